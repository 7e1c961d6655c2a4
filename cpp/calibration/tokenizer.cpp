#include "calibration/tokenizer.hpp"

#include <optional>
#include <utility>

#include "base/error.hpp"
#include "base/file.hpp"
#include "calibration/chat_template.hpp"
#include "calibration/ffi_buffer.hpp"

namespace autoround::calibration {
namespace {

constexpr std::uint64_t max_tokenizer_bytes = 256u << 20;

struct FreeHandle {
  void operator()(autoround_ffi_tokenizer* handle) const noexcept { autoround_ffi_tokenizer_free(handle); }
};
using Handle = std::unique_ptr<autoround_ffi_tokenizer, FreeHandle>;

Handle load_handle(const std::string& path) {
  const std::string json = read_text_file(path, max_tokenizer_bytes);
  autoround_ffi_tokenizer* handle = nullptr;
  FfiBuffer error;
  const int status = autoround_ffi_tokenizer_new(ffi_bytes(json), json.size(), &handle, error.out());
  check_ffi(status, error, path, "this is not a tokenizer that the library reads");
  return Handle(handle);
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

struct Tokenizer::Impl {
  std::string path;
  Handle handle;
  std::optional<ChatTemplate> chat_template;
  std::vector<std::int64_t> prefix, suffix;
};

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

std::shared_ptr<const Tokenizer> Tokenizer::load(const std::string& tokenizer_json) {
  auto impl = std::make_unique<Impl>();
  impl->path = tokenizer_json;
  impl->handle = load_handle(tokenizer_json);
  impl->chat_template = ChatTemplate::load(directory_of(tokenizer_json));

  FfiBuffer prefix, suffix, error;
  const int status = autoround_ffi_tokenizer_affixes(impl->handle.get(), prefix.out(), suffix.out(), error.out());
  check_ffi(status, error, tokenizer_json, "the tokenizer cannot encode a text");
  impl->prefix = prefix.ids();
  impl->suffix = suffix.ids();
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(impl)));
}

std::vector<std::int64_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  FfiBuffer ids, error;
  const int status = autoround_ffi_tokenizer_encode(impl_->handle.get(), ffi_bytes(text), text.size(),
                                                    add_special_tokens, ids.out(), error.out());
  check_ffi(status, error, impl_->path, "a text cannot be tokenized");
  return ids.ids();
}

TokensInText Tokenizer::encode_with_offsets(std::string_view text) const {
  FfiBuffer ids, begins, error;
  const int status = autoround_ffi_tokenizer_encode_with_offsets(impl_->handle.get(), ffi_bytes(text), text.size(),
                                                                 ids.out(), begins.out(), error.out());
  check_ffi(status, error, impl_->path, "a text cannot be tokenized");
  return {ids.ids(), begins.ids()};
}

std::string Tokenizer::decode(const std::vector<std::int64_t>& ids, bool skip_special_tokens) const {
  std::vector<std::uint32_t> narrow;
  narrow.reserve(ids.size());
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= vocab_size()) {
      fail(Code::invalid_argument, impl_->path,
           "token id " + std::to_string(id) + " is not between 0 and " + std::to_string(vocab_size() - 1));
    }
    narrow.push_back(static_cast<std::uint32_t>(id));
  }
  FfiBuffer text, error;
  const int status = autoround_ffi_tokenizer_decode(impl_->handle.get(), narrow.data(), narrow.size(),
                                                    skip_special_tokens, text.out(), error.out());
  check_ffi(status, error, impl_->path, "the tokens cannot be turned into text");
  return text.text();
}

std::int64_t Tokenizer::vocab_size() const { return autoround_ffi_tokenizer_vocab_size(impl_->handle.get()); }

bool Tokenizer::has_chat_template() const noexcept { return impl_->chat_template.has_value(); }

std::string Tokenizer::apply_chat_template(const Conversation& conversation, bool add_generation_prompt) const {
  if (!impl_->chat_template) {
    fail(Code::parse, impl_->path,
         "the model has no chat template, so `messages` cannot become text; put chat_template.jinja beside "
         "tokenizer.json or use `text`");
  }
  return impl_->chat_template->render(conversation, add_generation_prompt);
}

std::vector<std::int64_t> Tokenizer::prefix_ids() const { return impl_->prefix; }
std::vector<std::int64_t> Tokenizer::suffix_ids() const { return impl_->suffix; }

}  // namespace autoround::calibration
