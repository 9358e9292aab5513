// The small files in which Linux says what the machine is and does, one line or one number each. What is not
// there, or is no number, is nothing. Files of "name: value" lines: base/cpu_name.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace chaski {

/// At most its first 128 bytes; nothing, with the reason in errno, where it cannot be read.
std::optional<std::string> first_line(const std::filesystem::path& file);

/// The whole number that the file begins with; nothing, with the reason in errno, where there is none.
std::optional<uint64_t> number_in(const std::filesystem::path& file);

/// Of its line as "MemTotal: 16 kB"; nothing where there is none.
std::optional<int64_t> bytes_in(const std::filesystem::path& file, std::string_view key);

}  // namespace chaski
