// The name under which llama.cpp knows a pre-tokenizer, which cuts text into words before byte-pair encoding.
#pragma once

#include <string>

#include "base/json.hpp"

namespace autoround::exporter {

/// tokenizer.ggml.pre for the pre-tokenizer of a byte-level tokenizer.json. llama.cpp has several names for some, which
/// differ in how text is put together again: model_type decides.
/// @throws Error unsupported: llama.cpp has none that is known here; with what was found.
std::string gguf_pre_tokenizer(const Json& tokenizer, const std::string& model_type, const std::string& file);

}  // namespace autoround::exporter
