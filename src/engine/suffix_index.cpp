// See suffix_index.h. Blumer's construction; edges of all states share one hash table.
#include "engine/suffix_index.h"

#include <utility>

namespace chaski {

SuffixIndex::SuffixIndex() : states_(1), slots_(64, -1) {}

/// The slot of the edge, or the free one where it belongs.
size_t SuffixIndex::slot_of(int32_t state, int32_t token) const {
  const auto key = uint64_t{static_cast<uint32_t>(state)} << 32 | static_cast<uint32_t>(token);
  const size_t mask = slots_.size() - 1;
  size_t slot = static_cast<size_t>((key * 0x9E3779B97F4A7C15U) >> 32) & mask;
  while (slots_[slot] >= 0) {
    const Edge& edge = edges_[static_cast<size_t>(slots_[slot])];
    if (edge.state == state && edge.token == token) break;
    slot = (slot + 1) & mask;
  }
  return slot;
}

int32_t SuffixIndex::find(int32_t state, int32_t token) const { return slots_[slot_of(state, token)]; }

void SuffixIndex::add_edge(int32_t state, int32_t token, int32_t target) {
  if (2 * (edges_.size() + 1) > slots_.size()) {
    slots_.assign(2 * slots_.size(), -1);
    for (size_t i = 0; i < edges_.size(); ++i) {
      slots_[slot_of(edges_[i].state, edges_[i].token)] = static_cast<int32_t>(i);
    }
  }
  slots_[slot_of(state, token)] = static_cast<int32_t>(edges_.size());
  int32_t& first = states_[static_cast<size_t>(state)].first_edge;
  edges_.push_back({state, token, target, first});
  first = static_cast<int32_t>(edges_.size()) - 1;
}

/// Split what `edge` of `state` leads to: the ends that come by this edge get a state of their own.
int32_t SuffixIndex::split(int32_t state, int32_t edge) {
  const int32_t token = edges_[static_cast<size_t>(edge)].token;
  const int32_t old = edges_[static_cast<size_t>(edge)].target;
  const auto made = static_cast<int32_t>(states_.size());
  State copy = states_[static_cast<size_t>(old)];
  copy.length = states_[static_cast<size_t>(state)].length + 1;
  int32_t next = std::exchange(copy.first_edge, -1);
  states_.push_back(copy);
  while (next >= 0) {
    const Edge from = edges_[static_cast<size_t>(next)];
    add_edge(made, from.token, from.target);
    next = from.next;
  }
  states_[static_cast<size_t>(old)].link = made;
  for (; state >= 0; state = states_[static_cast<size_t>(state)].link) {
    const int32_t at = find(state, token);
    if (at < 0 || edges_[static_cast<size_t>(at)].target != old) break;
    edges_[static_cast<size_t>(at)].target = made;
  }
  return made;
}

void SuffixIndex::push(int32_t token) {
  const auto end = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
  const auto made = static_cast<int32_t>(states_.size());
  states_.push_back({end + 1, 0, end, -1});
  int32_t state = std::exchange(last_, made);
  int32_t edge = -1;
  for (; state >= 0; state = states_[static_cast<size_t>(state)].link) {
    edge = find(state, token);
    if (edge >= 0) break;
    add_edge(state, token, made);
  }
  int32_t link = 0;
  if (state >= 0) {
    link = edges_[static_cast<size_t>(edge)].target;
    if (states_[static_cast<size_t>(link)].length != states_[static_cast<size_t>(state)].length + 1) {
      link = split(state, edge);
    }
  }
  states_[static_cast<size_t>(made)].link = link;
  // The state that this one links to has the longest end that was there before. It was last seen at its
  // `end`; from now on it is here: what came after the latest place is the better guess.
  State& before = states_[static_cast<size_t>(link)];
  longest_ = {before.length, before.end + 1};
  before.end = end;
}

}  // namespace chaski
