// One regular expression, anchored at the start of the text and not at its end, as Python's re.match. Bounded in steps
// and memory: patterns come from recipes, and a hostile one must end in an error and not hang its host.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace autoround::recipe {

/// An expression that matches the name of a module, or a beginning of one.
std::string name_pattern(std::string_view name);

class Pattern {
 public:
  /// @param target what errors name: the target as the recipe has it.
  /// @throws Error parse, subject = `target`: the expression is invalid.
  Pattern(const std::string& expression, std::string target);
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  /// Not for two threads at once. @throws Error parse, subject = the target: the match took too many steps or too much
  /// memory.
  bool matches_start_of(const std::string& text) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
  std::string target_;
};

}  // namespace autoround::recipe
