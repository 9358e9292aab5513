#include "base/rng.h"

#include <sys/random.h>

#include <cerrno>
#include <system_error>

#include "base/error.h"

namespace chaski {

std::array<uint32_t, 4> philox(const std::array<uint32_t, 4>& counter, uint64_t key) {
  std::array<uint32_t, 4> c = counter;
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = 0xD2511F53ull * c[0];
    const uint64_t p1 = 0xCD9E8D57ull * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

double uniform01(uint64_t seed, uint64_t sample, uint64_t position) {
  const std::array<uint32_t, 4> words =
      philox({static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32),
              static_cast<uint32_t>(sample), static_cast<uint32_t>(sample >> 32)},
             seed);
  const uint64_t bits = (static_cast<uint64_t>(words[0]) << 32 | words[1]) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

uint64_t draw_seed() {
  uint64_t bits = 0;
  while (::getrandom(&bits, sizeof(bits), 0) != sizeof(bits)) {  // so few come whole or not at all
    if (errno == EINTR) continue;
    throw Error(ErrorCode::kInternal, "draw a random number",
                fmt::format("getrandom: {}", std::generic_category().message(errno)));
  }
  return bits >> 11;
}

}  // namespace chaski
