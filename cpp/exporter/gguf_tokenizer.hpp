// tokenizer.json as the keys of GGUF say it: tokens, their kinds, merges or scores, special tokens, chat template.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "exporter/gguf_file.hpp"

namespace autoround::exporter {

/// Byte-level byte-pair encoding, and byte-pair encoding as SentencePiece does it. A checkpoint without tokenizer.json
/// is written without tokens.
/// @param tokens rows of the embedding; ids without a token get a name
/// @param notes gets what readers will not get
/// @throws Error parse: a broken file. unsupported: another kind of tokenizer, with what was found.
void add_tokenizer(const checkpoint::Checkpoint& checkpoint, std::int64_t tokens, GgufMetadata& metadata,
                   std::vector<std::string>& notes);

}  // namespace autoround::exporter
