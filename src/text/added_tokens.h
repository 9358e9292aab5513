// Finding added tokens (special and user-defined ones) in text, before any split rule runs.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/plain_span.h"

namespace chaski {

/// How an added token is matched. Its text and whether it is special stand in TokenizerSpec under its id.
struct AddedToken {
  int32_t id = 0;
  bool lstrip = false;       // the match takes the white space before it too
  bool rstrip = false;       // and after it
  bool single_word = false;  // only between characters that are no word characters: not supported
  bool normalized = false;   // matched after all those that are not
  bool is_matched = true;    // false: it has a text and an id, but no text becomes it
};

/// The set of added tokens of one vocabulary.
class AddedTokens {
 public:
  static constexpr size_t kMaxBytes = 512;            // of a token's text; bounds the time per byte of text
  static constexpr size_t kMaxTotalBytes = 4u << 20;  // of all texts; bounds the memory

  /// `text` is not empty and not there yet.
  void insert(const AddedToken& token, std::string_view text, bool is_special);

  struct Match {
    size_t begin;
    size_t end;
    int32_t id;
  };

  /// What may match: special tokens only if `parse_special`; and over a span of `plain` (sorted, none empty)
  /// nothing but user-defined tokens of white space, since chat templates may mark turns with any other.
  /// Source: docs/sources.md#added-tokens.
  struct Rules {
    bool parse_special = false;
    std::span<const PlainSpan> plain;
  };

  /// The matches in order, none overlapping: leftmost first, of those the longest.
  std::vector<Match> find(std::string_view text, const Rules& rules) const;

  /// The added token whose text is exactly this, or -1.
  int32_t find_exact(std::string_view text) const;

 private:
  struct Entry {
    AddedToken token;
    bool is_special = false;
    bool may_be_plain = false;  // in what the user wrote, too
  };
  int32_t child(int32_t node, unsigned char byte) const;
  void find_pass(std::string_view text, const Rules& rules, bool normalized, Match gap,
                 std::vector<Match>& matches) const;

  std::vector<Entry> tokens_;
  std::vector<int32_t> token_at_{-1};  // [node] index in tokens_ of the token that ends there, or -1
  std::array<int32_t, 256> first_{};   // children of the root; 0 for none
  std::unordered_map<uint64_t, int32_t> children_;
  bool has_normalized_ = false;
  bool has_user_defined_ = false;  // tokens that are not special
};

}  // namespace chaski
