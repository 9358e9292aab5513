// The tokenizer: ids from text and bytes from ids, byte-level BPE or SentencePiece's BPE over characters. The
// split rules are in split.h, merging in bpe.h, special tokens in added_tokens.h, reading of files in
// tokenizer_{json,gguf,files,sentencepiece}.cpp; text from a stream of ids in text_stream.h.
#pragma once

#include <array>
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

/// Before which pieces of text, cut by special and added tokens, a space is put that the text has not.
enum class SpacePrefix : uint8_t {
  kNone,
  kEvery,          // all that have text
  kAfterSpecial,   // the text's start, even before an added token, and what follows a special token
  kEveryUnspaced,  // all that do not begin with a space
  kFirstUnspaced   // what the text begins with, unless that is a space
};

/// What a tokenizer is made of, whatever file it came from.
struct TokenizerSpec {
  using Split = SplitRule;

  std::vector<std::string> pieces;  // [vocab] raw bytes, a space for SentencePiece's U+2581; of added tokens,
                                    // their text; empty: an id nobody uses
  std::vector<bool>
      is_special;  // [vocab] control tokens: matched in text before BPE, where the caller allows it
  std::vector<AddedToken>
      added;                   // flags of added tokens, special or user-defined; special ones may be left out
  MergeList merges;            // raw bytes, best first
  std::vector<float> scores;   // [vocab] without merges: what neighbours may join to, the highest first;
                               // without both, the id is the rank, as in rank files
  bool ignore_merges = false;  // a pre-token that is a token becomes it, whatever the merges give
  Split split = Split::kLlama3;

  // SentencePiece's BPE: merged from characters, U+2581 in text is a space.
  bool is_of_characters = false;
  std::array<int32_t, 256> byte_tokens = no_byte_tokens();  // stand for bytes of characters without a token
  SpacePrefix space_prefix = SpacePrefix::kNone;
  bool strips_first_space = false;  // decoded text loses one space at its start

  bool add_bos = false;  // whether a tokenizer call on a whole text puts bos in front
  std::optional<int32_t> bos;
  std::optional<int32_t> eos;
  std::optional<int32_t> unk;  // for characters that the vocabulary cannot spell
  std::string where;           // the file, for errors

  static constexpr std::array<int32_t, 256> no_byte_tokens() {
    std::array<int32_t, 256> none{};
    for (int32_t& id : none) id = -1;
    return none;
  }
};

struct EncodeOptions {
  bool parse_special = false;  // special-token text becomes the token; else it is encoded as any text
  bool add_bos = false;        // put bos in front, if there is one
};

/// Text to ids and back. Immutable; safe to share between threads.
class Tokenizer {
 public:
  static constexpr size_t kMaxPieceBytes = 4096;
  static constexpr size_t kMaxScoredPieceBytes = 512;  // every cut of it is looked up
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
  /// SentencePiece's tokenizer.model; `config_json` is that of tokenizer_config.json, empty for none. Throws
  /// Error(kUnsupported) for what is not BPE over unchanged text.
  static Tokenizer from_sentencepiece(std::string_view model, std::string_view config_json,
                                      std::string_view where);
  /// A bare tokenizer.json, rank file or SentencePiece model, told apart by content.
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

  /// Whether a decoded text loses the space that it begins with.
  bool strips_first_space() const { return strips_first_space_; }

  /// The text of ids, invalid UTF-8 as U+FFFD.
  std::string decode(std::span<const int32_t> ids, bool skip_special) const;

 private:
  struct Encoding;
  std::vector<int32_t> encode_with(std::string_view text, const AddedTokens::Rules& rules,
                                   bool add_bos) const;
  void encode_segment(std::string_view segment, bool has_prefix, Encoding& encoding) const;

  Bpe bpe_;
  SplitRule split_;
  bool is_of_characters_;
  SpacePrefix space_prefix_;
  bool strips_first_space_;
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

/// The metadata `tokenizer.ggml.*` of a GGUF file; views of what the caller keeps.
struct GgufVocabulary {
  std::string_view model = "gpt2";            // "gpt2": byte-level BPE; "llama": SentencePiece's
  std::string_view pre = {};                  // the name of the split rule; empty is "default"
  std::span<const std::string> tokens = {};   // [vocab]
  std::span<const int32_t> token_types = {};  // [vocab]
  std::span<const std::string> merges = {};   // "a b"; "gpt2" only
  std::span<const float> scores = {};         // [vocab]; "llama" only
  std::optional<int32_t> bos = {}, eos = {}, unk = {};
  std::optional<bool> add_bos = {};
  std::optional<bool> add_space_prefix = {};
};

/// Where a flag is left out, the model or `pre` decides as in llama.cpp. Throws Error(kCorrupt) or, for a
/// model or `pre` not known here, Error(kUnsupported) naming those that are.
TokenizerSpec spec_from_gguf(const GgufVocabulary& vocabulary, std::string_view where);

/// Specs from the files that Tokenizer::from_rank_file and from_sentencepiece read; and from any of those and
/// tokenizer.json, told apart by content.
TokenizerSpec spec_from_rank_file(std::string_view text, std::string_view where);
TokenizerSpec spec_from_sentencepiece(std::string_view model, std::string_view config_json,
                                      std::string_view where);
TokenizerSpec spec_from_tokenizer_file(std::string_view text, std::string_view config_json,
                                       std::string_view where);

}  // namespace chaski
