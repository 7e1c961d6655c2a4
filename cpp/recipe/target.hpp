// One compiled target or ignore of a recipe: a module name, a class name or a `re:` pattern.
#pragma once

#include <optional>
#include <string>

#include "recipe/matching.hpp"
#include "recipe/pattern.hpp"

namespace autoround::recipe {

class Target {
 public:
  /// @throws Error parse, subject = the target: empty or an invalid pattern.
  explicit Target(std::string text);

  const std::string& text() const noexcept { return text_; }

  /// How a target matched; of several that do, the smaller one decides.
  struct Rank {
    enum class Kind { name, pattern, class_name } kind;
    std::size_t class_depth = 0;  // 0 the module's own class, then its bases in order

    auto operator<=>(const Rank&) const = default;
  };
  /// nullopt: no match. @throws Error parse: the pattern passes its limits.
  std::optional<Rank> match(const ModuleInfo& module) const;

 private:
  std::string text_;
  std::optional<Pattern> pattern_;
};

}  // namespace autoround::recipe
