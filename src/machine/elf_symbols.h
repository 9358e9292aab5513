// Which symbols a shared library offers, read from its file: it is not loaded, so that none of its code runs.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <string_view>

namespace chaski {

struct LibrarySymbols {
  std::string why_not;          ///< empty where the library could be read
  std::string architecture;     ///< "x86_64", "aarch64", or "machine 62"
  std::set<std::string> found;  ///< of the wanted ones, those that are defined and visible
};

/// Of an ELF file of 64 bits, little-endian, by its section of dynamic symbols. Never throws for what the
/// file holds: at most 2^21 symbols and 64 MiB of names are looked at.
LibrarySymbols read_elf_symbols(const std::filesystem::path& file, const std::set<std::string>& wanted);

/// The same from a text that stands for a library: "symbols ARCHITECTURE", then a name per line.
LibrarySymbols read_listed_symbols(std::string_view text, const std::set<std::string>& wanted);

}  // namespace chaski
