// Byte-level BPE tokenizer: ids from text and bytes from ids. The split rules are in split.h, merging in
// bpe.h, special tokens in added_tokens.h, reading of files in tokenizer_files.cpp; text from a stream of ids
// in text_stream.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/split.h"

namespace chaski {

/// What a tokenizer is made of, whatever file it came from.
struct TokenizerSpec {
  using Split = SplitRule;

  std::vector<std::string>
      pieces;  // [vocab] raw bytes; of added tokens, their text; empty: an id nobody uses
  std::vector<bool>
      is_special;  // [vocab] control tokens: matched in text before BPE, where the caller allows it
  std::vector<AddedToken>
      added;                   // flags of added tokens, special or user-defined; special ones may be left out
  Bpe::Merges merges;          // raw bytes, best first; empty for rank files, where the id is the rank
  bool ignore_merges = false;  // a pre-token that is a token becomes it, whatever the merges give
  Split split = Split::kLlama3;
  bool add_bos = false;  // whether a tokenizer call on a whole text puts bos in front
  std::optional<int32_t> bos;
  std::optional<int32_t> eos;
  std::string where;  // the file, for errors
};

struct EncodeOptions {
  bool parse_special = false;  // special-token text becomes the token; else it is encoded as any text
  bool add_bos = false;        // put bos in front, if there is one
};

/// Text to ids and back. Immutable; safe to share between threads.
class Tokenizer {
 public:
  static constexpr size_t kMaxPieceBytes = 4096;
  static constexpr size_t kMaxVocab = 4u << 20;
  static constexpr size_t kMaxUnusedIds = 65536;

  /// Throws Error(kCorrupt) for a vocabulary that contradicts itself or passes a limit above.
  explicit Tokenizer(TokenizerSpec spec);

  /// A Hugging Face tokenizer.json, and the tokenizer_config.json beside it, which names bos and eos. `where`
  /// names the file in errors. Throws Error(kUnsupported) naming the field that asks for what is not known
  /// here.
  static Tokenizer from_tokenizer_json(std::string_view json, std::string_view where);
  static Tokenizer from_tokenizer_json(std::string_view json, std::string_view config_json,
                                       std::string_view where);
  /// Llama 3's tokenizer.model: "base64 rank" a line; the 256 special tokens of its text models come after
  /// the ranks.
  static Tokenizer from_rank_file(std::string_view text, std::string_view where);
  /// A bare tokenizer.json or rank file, told apart by content.
  static Tokenizer open(const std::filesystem::path& path);

  /// The ids of `text`; invalid UTF-8 counts as U+FFFD, as Python's errors="replace" makes it. Time is linear
  /// up to a logarithm, stack constant. Throws Error(kUsage) for 2 GiB of text and more.
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;

  /// The ids of a rendered prompt: added tokens are matched except where a match overlaps a span of `plain`
  /// (sorted, in bytes of `text`); only user-defined white space is matched there too. The edge of a span is
  /// no token boundary. `options.parse_special` is not looked at.
  std::vector<int32_t> encode_rendered(std::string_view text, std::span<const PlainSpan> plain,
                                       const EncodeOptions& options = {}) const;

  /// The raw bytes of a token, which may be part of a character; empty for ids that are no token of this
  /// vocabulary.
  std::string_view piece(int32_t id) const;
  /// The special token whose text this is.
  std::optional<int32_t> find_special(std::string_view text) const;
  bool is_special(int32_t id) const;
  int32_t vocab_size() const { return bpe_.pieces().size(); }
  std::optional<int32_t> bos() const { return bos_; }
  std::optional<int32_t> eos() const { return eos_; }
  bool add_bos() const { return add_bos_; }

  /// The text of ids, invalid UTF-8 as U+FFFD.
  std::string decode(std::span<const int32_t> ids, bool skip_special) const;

 private:
  std::vector<int32_t> encode_with(std::string_view text, const AddedTokens::Rules& rules,
                                   bool add_bos) const;

  Bpe bpe_;
  SplitRule split_;
  std::vector<bool> is_special_;
  AddedTokens added_;
  bool add_bos_;
  std::optional<int32_t> bos_;
  std::optional<int32_t> eos_;
};

/// A spec from a Hugging Face tokenizer.json and the tokenizer_config.json beside it (empty: none). Throws as
/// Tokenizer::from_tokenizer_json does, except for what only making the tokenizer finds.
TokenizerSpec spec_from_tokenizer_json(std::string_view json, std::string_view config_json,
                                       std::string_view where);

/// What GGUF calls a split rule in `tokenizer.ggml.pre`; nothing where it has no name for it.
std::optional<std::string_view> gguf_pre_name(SplitRule rule, bool ignores_merges);

/// A spec from the metadata `tokenizer.ggml.*` of a GGUF file: `tokens` and `token_types` [vocab], `merges`
/// as "a b", `pre` the name of the split rule. Without `add_bos`, Llama 3's rule adds it and the others do
/// not. Throws Error(kCorrupt) or, for a `pre` not known here, Error(kUnsupported).
TokenizerSpec spec_from_gguf(const std::vector<std::string>& tokens, const std::vector<int32_t>& token_types,
                             const std::vector<std::string>& merges, std::string_view pre,
                             std::optional<int32_t> bos, std::optional<int32_t> eos,
                             std::optional<bool> add_bos);

}  // namespace chaski
