// Where the codes and sub-scales of each block format lie in its bytes. Codes come and go as one byte each;
// what they stand for and how they are chosen is not here. Everything has internal linkage, because it is
// compiled once per instruction set. Source: docs/sources.md#block-formats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace chaski {
namespace {

inline int byte_of(const std::byte* at) { return static_cast<int>(*at); }
inline std::byte to_byte(int value) { return static_cast<std::byte>(value & 255); }

typedef uint8_t Bytes16 __attribute__((vector_size(16)));

inline Bytes16 load_16(const void* from) {
  Bytes16 bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return bytes;
}
inline void store_16(Bytes16 bytes, void* to) { std::memcpy(to, &bytes, sizeof bytes); }

/// Sixteen bytes: the low halves are codes 0 to 15, the high halves 16 to 31.
inline void pack_nibbles_32(const uint8_t* codes, std::byte* out) {
  store_16((load_16(codes) & 15) | load_16(codes + 16) << 4, out);
}
inline void unpack_nibbles_32(const std::byte* in, uint8_t* codes) {
  const Bytes16 bytes = load_16(in);
  store_16(bytes & 15, codes);
  store_16(bytes >> 4, codes + 16);
}

/// 128 bytes: of each 32, the low halves are 32 codes and the high halves the next 32.
inline void pack_nibbles_256(const uint8_t* codes, std::byte* out) {
  for (int chunk = 0; chunk < 4; ++chunk, codes += 64, out += 32) {
    for (int i = 0; i < 32; ++i) out[i] = to_byte((codes[i] & 15) | (codes[i + 32] & 15) << 4);
  }
}
inline void unpack_nibbles_256(const std::byte* in, uint8_t* codes) {
  for (int chunk = 0; chunk < 4; ++chunk, codes += 64, in += 32) {
    for (int i = 0; i < 32; ++i) {
      codes[i] = static_cast<uint8_t>(byte_of(in + i) & 15);
      codes[i + 32] = static_cast<uint8_t>(byte_of(in + i) >> 4);
    }
  }
}

/// 64 bytes: of each 32, the four pairs of bits are four times 32 codes.
inline void pack_pairs_256(const uint8_t* codes, std::byte* out) {
  for (int half = 0; half < 2; ++half, codes += 128, out += 32) {
    for (int i = 0; i < 32; ++i) {
      out[i] =
          to_byte((codes[i] & 3) | (codes[i + 32] & 3) << 2 | (codes[i + 64] & 3) << 4 | codes[i + 96] << 6);
    }
  }
}
inline void unpack_pairs_256(const std::byte* in, uint8_t* codes) {
  for (int half = 0; half < 2; ++half, codes += 128, in += 32) {
    for (int quarter = 0; quarter < 4; ++quarter) {
      for (int i = 0; i < 32; ++i) {
        codes[32 * quarter + i] = static_cast<uint8_t>(byte_of(in + i) >> (2 * quarter) & 3);
      }
    }
  }
}

/// 32 bytes: bit `b` of byte `i` is bit `bit` of code 32 b + i.
inline void pack_bits_256(const uint8_t* codes, int bit, std::byte* out) {
  for (int i = 0; i < 32; ++i) {
    int bits = 0;
    for (int b = 0; b < 8; ++b) bits |= (codes[32 * b + i] >> bit & 1) << b;
    out[i] = to_byte(bits);
  }
}
/// Adds the bits to codes that have them clear.
inline void unpack_bits_256(const std::byte* in, int bit, uint8_t* codes) {
  for (int b = 0; b < 8; ++b) {
    for (int i = 0; i < 32; ++i) {
      codes[32 * b + i] = static_cast<uint8_t>(codes[32 * b + i] | (byte_of(in + i) >> b & 1) << bit);
    }
  }
}

/// Four bytes: bit `i` is bit 4 of code `i`.
inline void pack_fifth_bits_32(const uint8_t* codes, std::byte* out) {
  for (int i = 0; i < 4; ++i) {
    uint64_t eight;
    std::memcpy(&eight, codes + 8 * i, sizeof eight);
    // The product has bit 4 of byte k at place 56 + k, with no carries below.
    out[i] = to_byte(static_cast<int>((eight >> 4 & 0x0101010101010101u) * 0x0102040810204080u >> 56));
  }
}
inline void unpack_fifth_bits_32(const std::byte* in, uint8_t* codes) {
  uint32_t bits;
  std::memcpy(&bits, in, sizeof bits);
  for (int i = 0; i < 32; ++i) codes[i] = static_cast<uint8_t>(codes[i] | (bits >> i & 1) << 4);
}

/// 192 bytes of six-bit codes: 128 of low halves, 64 of high pairs.
inline void pack_sixes_256(const uint8_t* codes, std::byte* out) {
  for (int half = 0; half < 2; ++half, codes += 128) {
    std::byte* low = out + 64 * half;
    std::byte* high = out + 128 + 32 * half;
    for (int i = 0; i < 32; ++i) {
      const int a = codes[i], b = codes[i + 32], c = codes[i + 64], d = codes[i + 96];
      low[i] = to_byte((a & 15) | (c & 15) << 4);
      low[i + 32] = to_byte((b & 15) | (d & 15) << 4);
      high[i] = to_byte(a >> 4 | (b >> 4) << 2 | (c >> 4) << 4 | (d >> 4) << 6);
    }
  }
}
inline void unpack_sixes_256(const std::byte* in, uint8_t* codes) {
  for (int half = 0; half < 2; ++half, codes += 128) {
    const std::byte* low = in + 64 * half;
    const std::byte* high = in + 128 + 32 * half;
    for (int i = 0; i < 32; ++i) {
      const int a = byte_of(low + i), b = byte_of(low + i + 32), h = byte_of(high + i);
      codes[i] = static_cast<uint8_t>((a & 15) | (h & 3) << 4);
      codes[i + 32] = static_cast<uint8_t>((b & 15) | (h >> 2 & 3) << 4);
      codes[i + 64] = static_cast<uint8_t>(a >> 4 | (h >> 4 & 3) << 4);
      codes[i + 96] = static_cast<uint8_t>(b >> 4 | h >> 6 << 4);
    }
  }
}

/// Twelve bytes of q4_K and q5_K: eight scales and eight minima of six bits. The first four of each are whole
/// in the low bits of bytes 0 to 7; the last four have their low halves in bytes 8 to 11 and their high pairs
/// above the first ones'.
inline void pack_scales_and_minima(const uint8_t* scales, const uint8_t* minima, std::byte* out) {
  for (int i = 0; i < 4; ++i) {
    out[i] = to_byte((scales[i] & 63) | (scales[i + 4] >> 4) << 6);
    out[i + 4] = to_byte((minima[i] & 63) | (minima[i + 4] >> 4) << 6);
    out[i + 8] = to_byte((scales[i + 4] & 15) | (minima[i + 4] & 15) << 4);
  }
}
inline void unpack_scales_and_minima(const std::byte* in, uint8_t* scales, uint8_t* minima) {
  for (int i = 0; i < 4; ++i) {
    const int a = byte_of(in + i), b = byte_of(in + i + 4), c = byte_of(in + i + 8);
    scales[i] = static_cast<uint8_t>(a & 63);
    minima[i] = static_cast<uint8_t>(b & 63);
    scales[i + 4] = static_cast<uint8_t>((c & 15) | a >> 6 << 4);
    minima[i + 4] = static_cast<uint8_t>(c >> 4 | b >> 6 << 4);
  }
}

/// Twelve bytes of q3_K: sixteen scales of six bits; byte i < 8 has the low halves of scales i and i + 8,
/// byte 8 + i the high pairs of scales i, i + 4, i + 8, i + 12.
inline void pack_scales_q3(const uint8_t* scales, std::byte* out) {
  for (int i = 0; i < 8; ++i) out[i] = to_byte((scales[i] & 15) | (scales[i + 8] & 15) << 4);
  for (int i = 0; i < 4; ++i) {
    out[8 + i] = to_byte(scales[i] >> 4 | (scales[i + 4] >> 4) << 2 | (scales[i + 8] >> 4) << 4 |
                         (scales[i + 12] >> 4) << 6);
  }
}
inline void unpack_scales_q3(const std::byte* in, uint8_t* scales) {
  for (int i = 0; i < 16; ++i) {
    const int low = byte_of(in + i % 8) >> (i < 8 ? 0 : 4) & 15;
    const int high = byte_of(in + 8 + i % 4) >> (2 * (i / 4)) & 3;
    scales[i] = static_cast<uint8_t>(low | high << 4);
  }
}

/// Six bytes of iq4_xs: two of high pairs, four of low halves, for eight scales.
inline void pack_scales_iq4(const uint8_t* scales, std::byte* out) {
  int high = 0;
  for (int i = 0; i < 8; ++i) high |= (scales[i] >> 4) << (2 * i);
  out[0] = to_byte(high);
  out[1] = to_byte(high >> 8);
  for (int i = 0; i < 4; ++i) out[2 + i] = to_byte((scales[2 * i] & 15) | (scales[2 * i + 1] & 15) << 4);
}
inline void unpack_scales_iq4(const std::byte* in, uint8_t* scales) {
  const int high = byte_of(in) | byte_of(in + 1) << 8;
  for (int i = 0; i < 8; ++i) {
    const int low = byte_of(in + 2 + i / 2) >> (4 * (i % 2)) & 15;
    scales[i] = static_cast<uint8_t>(low | (high >> (2 * i) & 3) << 4);
  }
}

}  // namespace
}  // namespace chaski
