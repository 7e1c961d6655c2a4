#include "recipe/pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <new>

#include "base/error.hpp"
#include "base/text.hpp"

namespace autoround::recipe {
namespace {

// A module name has some tens of characters: an honest pattern takes hundreds of steps.
constexpr std::uint32_t kMaxSteps = 100'000;
constexpr std::uint32_t kMaxHeapKiB = 4096;
constexpr std::size_t kMaxLength = 4096;

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* pointer) const noexcept {
    Free(pointer);
  }
};

using Code8 = std::unique_ptr<pcre2_code, Deleter<pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>>;

std::string error_text(int code) {
  std::array<PCRE2_UCHAR, 160> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return std::string(reinterpret_cast<const char*>(text.data()));
}

}  // namespace

struct Pattern::Compiled {
  Code8 code;
  MatchData data;
  MatchContext context;
};

std::string name_pattern(std::string_view name) { return replaced(name, ".", "\\."); }

Pattern::Pattern(const std::string& expression, std::string target)
    : compiled_(new Compiled), target_(std::move(target)) {
  if (expression.size() > kMaxLength) {
    fail(Code::parse, target_,
         "the pattern has " + std::to_string(expression.size()) + " bytes, at most " + std::to_string(kMaxLength) +
             " are taken");
  }
  int error = 0;
  PCRE2_SIZE offset = 0;
  // UCP: classes such as \w know Unicode, as those of Python do.
  compiled_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                                      PCRE2_ANCHORED | PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
                                      nullptr));
  if (!compiled_->code) {
    fail(Code::parse, target_,
         "not a regular expression: " + error_text(error) + " at offset " + std::to_string(offset) + " of the pattern");
  }
  compiled_->data.reset(pcre2_match_data_create(1, nullptr));
  compiled_->context.reset(pcre2_match_context_create(nullptr));
  if (!compiled_->data || !compiled_->context) throw std::bad_alloc();
  pcre2_set_match_limit(compiled_->context.get(), kMaxSteps);
  pcre2_set_heap_limit(compiled_->context.get(), kMaxHeapKiB);
}

Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

bool Pattern::matches_start_of(const std::string& text) const {
  const int found = pcre2_match(compiled_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0,
                                compiled_->data.get(), compiled_->context.get());
  if (found >= 0) return true;
  if (found == PCRE2_ERROR_NOMATCH) return false;
  fail(Code::parse, target_, "the pattern cannot be matched against `" + text + "`: " + error_text(found));
}

}  // namespace autoround::recipe
