// The element types of GGUF as arguments of weights. The K types have super groups: 256 columns with one scale, in
// units of which each group of 16 or 32 columns has a small integer for a scale of its own. Source: auto-round 0.15.1
// schemes.py GGUF_SCHEME_FACTS.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "recipe/scheme.hpp"

namespace autoround::recipe {

/// By preset name, "GGUF:Q4_0", "GGUF:Q4_K" ...
const std::vector<std::pair<std::string, QuantizationArgs>>& gguf_schemes();

/// @throws Error invalid_argument, subject = `key`: super groups that no K type has.
void check_super_groups(const QuantizationArgs& args, const std::string& key);

}  // namespace autoround::recipe
