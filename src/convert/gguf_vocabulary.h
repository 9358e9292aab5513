// The arrays of a GGUF tokenizer, as format/ reads them and as text/ takes them.
#pragma once

#include "format/checkpoint.h"
#include "text/tokenizer.h"

namespace chaski {

/// Views into `data`, which must outlive them.
inline GgufVocabulary gguf_vocabulary_of(const TokenizerData& data) {
  return {.model = data.gguf_model,
          .pre = data.gguf_pre,
          .tokens = data.tokens,
          .token_types = data.token_types,
          .merges = data.merges,
          .scores = data.scores,
          .bos = data.bos,
          .eos = data.eos,
          .unk = data.unk,
          .add_bos = data.add_bos,
          .add_space_prefix = data.add_space_prefix};
}

}  // namespace chaski
