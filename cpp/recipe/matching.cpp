#include "recipe/matching.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "recipe/target.hpp"

namespace autoround::recipe {
namespace {

constexpr std::string_view kPatternPrefix = "re:";

}  // namespace

Target::Target(std::string text) : text_(std::move(text)) {
  if (text_.empty()) fail(Code::parse, text_, "an empty target; wanted a class name, a module name or a re: pattern");
  if (text_.rfind(kPatternPrefix, 0) == 0) pattern_.emplace(text_.substr(kPatternPrefix.size()), text_);
}

std::optional<Target::Rank> Target::match(const ModuleInfo& module) const {
  if (pattern_) {
    if (!pattern_->matches_start_of(module.name) && (module.alias.empty() || !pattern_->matches_start_of(module.alias)))
      return std::nullopt;
    return Rank{Rank::Kind::pattern};
  }
  if (text_ == module.name || text_ == module.alias) return Rank{Rank::Kind::name};
  if (text_ == module.class_name) return Rank{Rank::Kind::class_name};
  const auto base = std::find(module.bases.begin(), module.bases.end(), text_);
  if (base == module.bases.end()) return std::nullopt;
  return Rank{Rank::Kind::class_name, static_cast<std::size_t>(base - module.bases.begin()) + 1};
}

void check_target(const std::string& target) { static_cast<void>(Target(target)); }

bool matches(const std::string& target, const ModuleInfo& module) { return Target(target).match(module).has_value(); }

}  // namespace autoround::recipe
