#include "base/checksum.h"

#include <bit>
#include <cstring>

namespace chaski {
namespace {

constexpr uint64_t kOdd = 0x9FB21C651E98DF25u;  // a product with an odd number can be undone: nothing is lost
constexpr size_t kLanes = 8;                    // as many steps in flight as hide their latency
constexpr size_t kBlock = kLanes * sizeof(uint64_t);

/// One to one in `word` and in `state`: two different words, or states, never meet in one step.
inline uint64_t mixed(uint64_t state, uint64_t word) { return std::rotl(state ^ word, 29) * kOdd; }

inline uint64_t word_at(const std::byte* at) {
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

}  // namespace

uint64_t checksum_of(std::span<const std::byte> bytes) {
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  // By name, so that they stay in registers.
  uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8;
  for (; left >= kBlock; at += kBlock, left -= kBlock) {
    a = mixed(a, word_at(at));
    b = mixed(b, word_at(at + 8));
    c = mixed(c, word_at(at + 16));
    d = mixed(d, word_at(at + 24));
    e = mixed(e, word_at(at + 32));
    f = mixed(f, word_at(at + 40));
    g = mixed(g, word_at(at + 48));
    h = mixed(h, word_at(at + 56));
  }
  uint64_t sum = bytes.size();
  for (const uint64_t lane : {a, b, c, d, e, f, g, h}) sum = mixed(sum, lane);
  for (; left >= sizeof(uint64_t); at += sizeof(uint64_t), left -= sizeof(uint64_t)) {
    sum = mixed(sum, word_at(at));
  }
  uint64_t last = 0;
  if (left > 0) std::memcpy(&last, at, left);
  sum = mixed(sum, last);
  return sum ^ sum >> 32;
}

}  // namespace chaski
