#include "calibration/sample_set.hpp"
#include "guard.hpp"

using namespace autoround::capi;
using autoround::Code;
using autoround::fail;
namespace ar = autoround;

namespace {

void give_count(std::size_t* added, std::size_t count) {
  if (added) *added = count;
}

}  // namespace

autoround_status autoround_calibration_new(autoround_context* context, int64_t sequence_length,
                                           autoround_calibration** out, autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    const autoround_context* log_context = deref_or_null(context, "context");
    ar::calibration::SampleSet samples(sequence_length, log_context ? log_context->log : ar::Logger());
    *out = new autoround_calibration{{}, std::move(samples)};
  });
}

autoround_status autoround_calibration_set_tokenizer(autoround_calibration* data, const char* tokenizer_json_path,
                                                     autoround_error** error) noexcept {
  return guarded(error, [&] {
    autoround_calibration& target = deref(data, "data");
    target.impl.set_tokenizer(ar::calibration::Tokenizer::load(text(tokenizer_json_path, "tokenizer_json_path")));
  });
}

autoround_status autoround_calibration_add_tokens(autoround_calibration* data, const int64_t* ids, size_t count,
                                                  autoround_error** error) noexcept {
  return guarded(error, [&] {
    autoround_calibration& target = deref(data, "data");
    if (!ids) fail(Code::invalid_argument, "ids", "ids is NULL");
    target.impl.add_tokens({ids, count});
  });
}

autoround_status autoround_calibration_add_text(autoround_calibration* data, const char* value, size_t length,
                                                autoround_error** error) noexcept {
  return guarded(error, [&] { deref(data, "data").impl.add_text(text(value, length, "text")); });
}

autoround_status autoround_calibration_add_windows(autoround_calibration* data, const char* value, size_t length,
                                                   size_t limit, int32_t drop_last, size_t* added,
                                                   autoround_error** error) noexcept {
  return guarded(error, [&] {
    give_count(added, 0);
    give_count(added, deref(data, "data").impl.add_windows(text(value, length, "text"), limit, drop_last != 0));
  });
}

autoround_status autoround_calibration_add_jsonl(autoround_calibration* data, const char* path, const char* field,
                                                 size_t limit, size_t* added, autoround_error** error) noexcept {
  return guarded(error, [&] {
    give_count(added, 0);
    ar::calibration::JsonlOptions options;
    options.field = field ? field : "";
    options.limit = limit;
    give_count(added, deref(data, "data").impl.add_jsonl(text(path, "path"), options));
  });
}

autoround_status autoround_calibration_add_file(autoround_calibration* data, const char* path, size_t limit,
                                                int32_t drop_last, size_t* added, autoround_error** error) noexcept {
  return guarded(error, [&] {
    give_count(added, 0);
    give_count(added, deref(data, "data").impl.add_file(text(path, "path"), limit, drop_last != 0));
  });
}

size_t autoround_calibration_sample_count(const autoround_calibration* data) noexcept {
  return peek(data) ? data->impl.size() : 0;
}
int64_t autoround_calibration_token_count(const autoround_calibration* data) noexcept {
  return peek(data) ? data->impl.token_count() : 0;
}
int64_t autoround_calibration_sequence_length(const autoround_calibration* data) noexcept {
  return peek(data) ? data->impl.sequence_length() : 0;
}
void autoround_calibration_free(autoround_calibration* data) noexcept {
  if (peek(data)) delete data;
}
