// Counter-based random numbers: a pure function of (seed, stream, position), so that a draw does not depend
// on what was drawn before, in which batch, or on which thread. Source: docs/sources.md#philox.
#pragma once

#include <array>
#include <cstdint>

namespace chaski {

/// Philox4x32-10: four 32-bit words from a 128-bit counter and a 64-bit key.
std::array<uint32_t, 4> philox(const std::array<uint32_t, 4>& counter, uint64_t key);

/// A uniform double in [0, 1) with 53 random bits, keyed by seed, sample index within the request, position.
double uniform01(uint64_t seed, uint64_t sample, uint64_t position);

/// A fresh seed from the operating system, below 2^53 so that JSON readers keep it exact.
uint64_t draw_seed();

}  // namespace chaski
