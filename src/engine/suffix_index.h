// Where a sequence has been in the same place before: a suffix automaton that grows with its tokens. What is
// made of it is in speculator.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace chaski {

/// Some hundred bytes and a constant time, on average, for each token.
class SuffixIndex {
 public:
  SuffixIndex();
  void push(int32_t token);
  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }
  const std::vector<int32_t>& tokens() const { return tokens_; }

  /// The longest end of the sequence that stands in it before: its length, and the index of the token that
  /// came after it there. Length 0: the last token is new.
  struct Match {
    int64_t length = 0;
    int64_t next = 0;
  };
  const Match& longest() const { return longest_; }

 private:
  /// Sequences that end at the same places; the longest of them, and one of the places.
  struct State {
    int32_t length = 0;
    int32_t link = -1;  ///< state of the longest shorter end that stands at more places
    int32_t end = -1;   ///< index of the last token
    int32_t first_edge = -1;
  };
  /// From `state` by `token` to `target`; the edges of a state are a list.
  struct Edge {
    int32_t state = 0, token = 0, target = 0, next = -1;
  };

  int32_t find(int32_t state, int32_t token) const;
  void add_edge(int32_t state, int32_t token, int32_t target);
  int32_t split(int32_t state, int32_t edge);
  size_t slot_of(int32_t state, int32_t token) const;

  std::vector<int32_t> tokens_;
  std::vector<State> states_;
  std::vector<Edge> edges_;
  std::vector<int32_t> slots_;  ///< hash table of edges, open addressing; −1: free
  int32_t last_ = 0;            ///< state of the whole sequence
  Match longest_;
};

}  // namespace chaski
