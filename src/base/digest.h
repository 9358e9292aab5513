// Cryptographic digests of bytes that come piece by piece.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace chaski {

/// SHA-256, or SHA-1 where a protocol names files by it. One thread at a time.
class Digest {
 public:
  enum class Kind { kSha256, kSha1 };

  explicit Digest(Kind kind = Kind::kSha256);
  ~Digest();
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;

  void add(std::span<const std::byte> bytes);
  void add(std::string_view bytes) { add(std::as_bytes(std::span(bytes))); }
  /// Lower-case hex of all that was added. Ends the digest.
  std::string hex();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

/// Whether `text` is `n_digits` lower-case hex digits: 64 of a SHA-256, 40 of a SHA-1.
bool is_lower_hex(std::string_view text, size_t n_digits);

}  // namespace chaski
