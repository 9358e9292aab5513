// A checkpoint's tokenizer, or for a checkpoint without one (a bare model made by a test) a stand-in of
// single bytes.
#pragma once

#include "convert/gguf_vocabulary.h"
#include "format/checkpoint.h"
#include "text/tokenizer.h"

namespace chaski::tests {

inline Tokenizer load_tokenizer(const Checkpoint& checkpoint) {
  const TokenizerData& t = checkpoint.tokenizer();
  if (!t.tokenizer_json.empty()) {
    return Tokenizer::from_tokenizer_json(t.tokenizer_json, t.tokenizer_config_json, checkpoint.path());
  }
  if (!t.tokenizer_model.empty()) {
    return Tokenizer(spec_from_tokenizer_file(t.tokenizer_model, t.tokenizer_config_json, checkpoint.path()));
  }
  if (!t.tokens.empty()) {
    return Tokenizer(spec_from_gguf(gguf_vocabulary_of(t), checkpoint.path()));
  }
  TokenizerSpec spec;
  for (int32_t id = 0; id < checkpoint.config().vocab; ++id) {
    spec.pieces.push_back(id < 256 ? std::string(1, static_cast<char>(id)) : fmt::format("<{}>", id));
    spec.is_special.push_back(false);
  }
  return Tokenizer(std::move(spec));
}

}  // namespace chaski::tests
