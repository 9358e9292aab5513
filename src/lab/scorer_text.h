// An answer as scorers read it: folded to its words and Han characters (widths, case, accents, traditional
// characters, punctuation are no differences), numbered by clause and sentence, so that phrases can be found,
// quoted, and told from denied ones. Knows no rubric.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace chaski {

/// One Han character, or one word or number of other scripts.
struct TextUnit {
  uint32_t begin = 0, end = 0;  ///< bytes of the text
  uint32_t fold_begin = 0, fold_end = 0;
  uint32_t clause = 0, sentence = 0;  ///< ascending; a sentence has whole clauses
  bool is_han = false;
};

/// Units of folded text, as ["机", "器", "学", "习"] or ["machine", "learning"].
using Phrase = std::vector<std::string>;

/// Units [begin, end) of a text.
struct TextMatch {
  size_t begin = 0, end = 0;
};

class FoldedText {
 public:
  /// `text` is valid UTF-8 and below 4 GiB; it must outlive this.
  explicit FoldedText(std::string_view text);

  std::span<const TextUnit> units() const { return units_; }
  std::string_view folded(size_t unit) const;
  int64_t n_han() const { return n_han_; }  ///< characters
  /// Words of two letters and more; commands of LaTeX are none.
  int64_t n_latin() const { return n_latin_; }
  int64_t n_other() const { return n_other_; }  ///< letters of other scripts
  size_t n_sentences() const { return units_.empty() ? 0 : units_.back().sentence + 1; }

  /// Where the phrase stands, in order, at most 64 times. Words match whole, but for the endings s, es, d,
  /// ed, ing of longer ones.
  std::vector<TextMatch> find(const Phrase& phrase) const;
  bool starts_at(const Phrase& phrase, size_t unit) const;
  /// The match with some text around it, one line, at most about 80 bytes.
  std::string quote(TextMatch match) const;

 private:
  class Folder;
  std::string_view text_;
  std::string folded_;
  std::vector<TextUnit> units_;
  int64_t n_han_ = 0, n_latin_ = 0, n_other_ = 0;
};

Phrase fold_phrase(std::string_view text);
std::vector<Phrase> fold_phrases(std::span<const std::string> texts);

/// Without the spaces and ASCII controls at its ends.
std::string_view trimmed(std::string_view text);

/// At most `limit` bytes of the text in one line, cut between characters, with … where something is left out.
std::string one_line(std::string_view text, size_t limit = 80);

/// Distinct 4-grams of units as a share of all; 1 for fewer than four units.
double distinct_4gram_ratio(const FoldedText& text);

/// The longest stretch of units in which one pattern is repeated at least three times in a row; empty where
/// none is at least `min_units` long.
TextMatch find_cycle(const FoldedText& text, size_t min_units);

}  // namespace chaski
