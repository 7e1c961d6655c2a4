// Scalars of YAML's 1.2 core schema: which plain texts are null, booleans or numbers, and which strings need quotes.
#pragma once

#include <optional>
#include <string>

#include "recipe/node.hpp"

namespace autoround::recipe {

/// The value of an unquoted scalar; a string when it is nothing else. nullopt: an integer beyond 64 bits.
std::optional<Node::Scalar> plain_scalar(const std::string& text);
/// Text that plain_scalar or a quoted string reads back as `scalar`.
std::string scalar_text(const Node::Scalar& scalar);

}  // namespace autoround::recipe
