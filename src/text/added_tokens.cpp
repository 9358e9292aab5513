#include "text/added_tokens.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"
#include "text/split.h"

namespace chaski {
namespace {

uint64_t edge(int32_t node, unsigned char byte) { return static_cast<uint64_t>(node) << 8 | byte; }

bool is_space_at(std::string_view text, size_t at, size_t& length) {
  const Utf8Char c = decode_utf8(text, at);
  length = static_cast<size_t>(c.length);
  return c.length > 0 && char_class(c.code) == CharClass::kSpace;
}

/// Where the white space that ends at `end` begins, not before `floor`.
size_t space_before(std::string_view text, size_t floor, size_t end) {
  while (end > floor) {
    size_t lead = end - 1;
    while (lead > floor && (static_cast<unsigned char>(text[lead]) & 0xC0) == 0x80) --lead;
    size_t length = 0;
    if (!is_space_at(text, lead, length)) break;
    end = lead;
  }
  return end;
}

size_t space_after(std::string_view text, size_t begin, size_t ceiling) {
  size_t length = 0;
  while (begin < ceiling && is_space_at(text, begin, length)) begin += length;
  return begin;
}

bool is_white_space(std::string_view text) { return space_after(text, 0, text.size()) == text.size(); }

}  // namespace

int32_t AddedTokens::child(int32_t node, unsigned char byte) const {
  if (node == 0) return first_[byte];
  const auto it = children_.find(edge(node, byte));
  return it == children_.end() ? 0 : it->second;
}

void AddedTokens::insert(const AddedToken& token, std::string_view text, bool is_special) {
  int32_t node = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    int32_t next = child(node, byte);
    if (next == 0) {
      next = static_cast<int32_t>(token_at_.size());
      token_at_.push_back(-1);
      if (node == 0) {
        first_[byte] = next;
      } else {
        children_.emplace(edge(node, byte), next);
      }
    }
    node = next;
  }
  CHECK(node != 0 && token_at_[node] < 0, "added token {} is empty or stands twice", token.id);
  token_at_[node] = static_cast<int32_t>(tokens_.size());
  tokens_.push_back({token, is_special, !is_special && is_white_space(text)});
  has_user_defined_ = has_user_defined_ || !is_special;
  has_normalized_ = has_normalized_ || token.normalized;
}

int32_t AddedTokens::find_exact(std::string_view text) const {
  int32_t node = 0;
  for (const char c : text) {
    node = child(node, static_cast<unsigned char>(c));
    if (node == 0) return -1;
  }
  return token_at_[node] < 0 ? -1 : tokens_[token_at_[node]].token.id;
}

void AddedTokens::find_pass(std::string_view text, const Rules& rules, bool normalized, Match gap,
                            std::vector<Match>& matches) const {
  size_t after_last = gap.begin;
  auto plain = rules.plain.begin();
  for (size_t at = gap.begin; at < gap.end;) {
    while (plain != rules.plain.end() && plain->end <= at) ++plain;
    const Entry* best = nullptr;
    size_t best_end = at;
    int32_t node = 0;
    for (size_t end = at; end < gap.end;) {
      node = child(node, static_cast<unsigned char>(text[end]));
      if (node == 0) break;
      ++end;
      if (token_at_[node] < 0) continue;
      const Entry& entry = tokens_[token_at_[node]];
      const bool touches_plain = plain != rules.plain.end() && plain->begin < end;
      const bool may_match = touches_plain ? entry.may_be_plain : rules.parse_special || !entry.is_special;
      if (entry.token.normalized == normalized && may_match) {
        best = &entry;
        best_end = end;
      }
    }
    if (best == nullptr) {
      ++at;
      continue;
    }
    const size_t begin = best->token.lstrip ? space_before(text, after_last, at) : at;
    after_last = best->token.rstrip ? space_after(text, best_end, gap.end) : best_end;
    matches.push_back({begin, after_last, best->token.id});
    at = after_last;
  }
}

std::vector<AddedTokens::Match> AddedTokens::find(std::string_view text, const Rules& rules) const {
  std::vector<Match> matches;
  // What may match at all: user-defined tokens anywhere, special ones where the caller wants them.
  if (tokens_.empty() || (!rules.parse_special && !has_user_defined_)) return matches;
  find_pass(text, rules, false, {0, text.size(), -1}, matches);
  if (!has_normalized_) return matches;
  const size_t n_first = matches.size();
  size_t begin = 0;
  for (size_t i = 0; i <= n_first; ++i) {
    const size_t end = i < n_first ? matches[i].begin : text.size();
    const size_t next = i < n_first ? matches[i].end : end;
    find_pass(text, rules, true, {begin, end, -1}, matches);
    begin = next;
  }
  std::sort(matches.begin(), matches.end(), [](const Match& a, const Match& b) { return a.begin < b.begin; });
  return matches;
}

}  // namespace chaski
