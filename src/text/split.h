// Split rules: how text is cut into pre-tokens before byte-pair merging, what tokenizer files call the rules,
// and the patterns they spell them with. No regular expressions: the scanners are in split_steps.cpp. Merging
// is in bpe.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "text/unicode_tables.h"

namespace chaski {

/// One cut of a rule; each does exactly what the pattern in its comment does. "Isolating" ones make a piece
/// of each match and of what lies between; the others match everywhere.
enum class SplitStep : uint8_t {
  kGpt2Words,          // kGpt2Pattern
  kLlama3Words,        // kLlama3Pattern
  kQwen2Words,         // the same with \p{N} for \p{N}{1,3}
  kNumberRunWords,     // the same with \p{N}+
  kUncontractedWords,  // as kQwen2Words, without the English contractions
  kSeedCoderWords,     // as kQwen2Words, newlines never after marks
  kTekkenWords,        // words cut where small letters end and capitals begin
  kGpt4oWords,         // the same, contractions at the end of words, numbers by three
  kBloomWords,         // isolating:  ?[^(\s|.,!?…。，、।۔،)]+
  kDeepSeek3Words,     // isolating: ASCII marks stay with ASCII letters after them
  kDigits,             // isolating: each numeric character by Unicode 17
  kNumber,             // isolating: \p{N}
  kThreeNumbers,       // isolating: \p{N}{1,3}
  kNumberRuns,         // isolating: \p{N}+
  kThreeDigits,        // isolating: [0-9][0-9][0-9]
  kNewline,            // isolating: [\r\n]
  kTrailingSpace,      // isolating: \s+$
  kLetters,            // isolating: \s?\p{L}+
  kPunctuation,        // isolating: \s?\p{P}+
  kDefaultMarks,       // isolating: [\p{P}\$\+<=>\^~\|]+
  kCasedLetters,       // isolating: \s?[A-Za-zµÀ-Ö…]+, letters of scripts with case
  kAsciiWideMarks,     // isolating: \s?[!-/:-~！-／：-～‘-‟　-。]+
  kHanHangul,          // isolating: [一-龥ࠀ-一가-퟿]+
  kHanKana,            // isolating: [一-龥぀-ゟ゠-ヿ]+
  kBeforeSpaces,       // a run of spaces begins a piece
  kBeforeEachSpace,    // each space begins a piece
};

/// The split rules known: each a list of steps, the later cutting what the earlier leave.
enum class SplitRule : uint8_t {
  kLlama3,
  kSmolLm,
  kGpt2,
  kQwen2,
  kMiniCpm5,
  kUfakzeka,
  kSeedCoder,
  kTekken,
  kGpt4o,
  kBloom,
  kViking,
  kDeepSeekLlm,
  kDeepSeekCoder,
  kDeepSeek3,
  kDefault,
  kWhole,
  kBeforeSpaces,
  kBeforeEachSpace,
  kLast = kBeforeEachSpace
};

std::span<const SplitStep> steps_of(SplitRule rule);
/// The rule of exactly these steps.
std::optional<SplitRule> rule_of(std::span<const SplitStep> steps);
/// The step that a pattern of tokenizer.json with behavior "Isolated" is.
std::optional<SplitStep> step_of_pattern(std::string_view pattern);

/// What a name in GGUF's `tokenizer.ggml.pre` stands for. Source: docs/sources.md#gguf-pre.
struct GgufPre {
  std::string_view name;
  SplitRule rule;
  bool ignores_merges = false;
  bool adds_bos = false;  // where the file does not say
};

/// The entry of that name; an empty name is "default". Null for one not known.
const GgufPre* find_gguf_pre(std::string_view name);
/// All names known, for errors.
std::string gguf_pre_names();
/// What GGUF calls a split rule; nothing where it has no name for it.
std::optional<std::string_view> gguf_pre_name(SplitRule rule, bool ignores_merges);

/// Patterns that tests and tools spell out too.
inline constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// Cuts one segment of valid UTF-8; its end is the end of text for look-ahead. Constant memory, linear time.
class Splitter {
 public:
  /// `segment` is kept as a view.
  Splitter(SplitRule rule, std::string_view segment);
  bool at_end() const { return at_ == segment_.size(); }
  std::string_view next();  ///< the next pre-token, never empty; not at the end

 private:
  static constexpr size_t kMaxSteps = 6;
  std::span<const SplitStep> steps_;
  std::string_view segment_;
  size_t at_ = 0;
  std::array<size_t, kMaxSteps + 1> ends_{};  // [i]: where the piece that steps 0 to i - 1 cut ends
};

/// The class of a Unicode character.
CharClass char_class(uint32_t code);

}  // namespace chaski
