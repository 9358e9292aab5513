#include "machine/elf_symbols.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "base/checked.h"
#include "base/files.h"

namespace chaski {
namespace {

constexpr uint64_t kMostSymbols = uint64_t{1} << 21;
constexpr uint64_t kMostNameBytes = uint64_t{64} << 20;
constexpr size_t kHeaderBytes = 64, kSectionBytes = 64, kSymbolBytes = 24;
constexpr size_t kSymbolsAtOnce = 4096;

/// A part of the file, checked against its size.
struct Extent {
  uint64_t offset = 0, size = 0;
};

template <typename T>
T number_at(const std::byte* bytes, size_t offset) {
  T value{};
  std::memcpy(&value, bytes + offset, sizeof(value));
  return value;
}

std::string architecture_of(uint16_t machine) {
  constexpr uint16_t kX86 = 62, kArm = 183;
  if (machine == kX86) return "x86_64";
  if (machine == kArm) return "aarch64";
  return fmt::format("machine {}", machine);
}

class ElfFile {
 public:
  explicit ElfFile(const std::filesystem::path& path) : file_(path) {}

  void read(const std::set<std::string>& wanted, LibrarySymbols& library) {
    std::array<std::byte, kHeaderBytes> header{};
    if (file_.size() < header.size()) return refuse(library, "it is too short for a library");
    file_.read_at(0, header);
    constexpr uint8_t kMagic[] = {0x7f, 'E', 'L', 'F', 2, 1};  // 64 bits, little-endian
    if (std::memcmp(header.data(), kMagic, sizeof(kMagic)) != 0) {
      return refuse(library, "it is not an ELF library of 64 bits");
    }
    library.architecture = architecture_of(number_at<uint16_t>(header.data(), 18));
    const auto table = number_at<uint64_t>(header.data(), 40);
    const auto entry_bytes = number_at<uint16_t>(header.data(), 58);
    const auto n_sections = number_at<uint16_t>(header.data(), 60);
    if (entry_bytes != kSectionBytes) return refuse(library, "it has no table of sections");
    for (uint64_t i = 0; i < n_sections; ++i) {
      const auto section = section_at(table, i);
      if (!section) return refuse(library, "its table of sections lies outside the file");
      constexpr uint32_t kDynamicSymbols = 11;
      if (number_at<uint32_t>(section->data(), 4) != kDynamicSymbols) continue;
      const auto link = number_at<uint32_t>(section->data(), 40);
      const auto names = link < n_sections ? section_at(table, link) : std::nullopt;
      return read_symbols(extent_of(*section), names ? extent_of(*names) : std::nullopt, wanted, library);
    }
    refuse(library, "it lists no symbols");
  }

 private:
  using Section = std::array<std::byte, kSectionBytes>;

  static void refuse(LibrarySymbols& library, std::string why) { library.why_not = std::move(why); }

  std::optional<Section> section_at(uint64_t table, uint64_t index) const {
    const auto at = checked_add<uint64_t>(table, index * kSectionBytes);
    const auto end = at ? checked_add<uint64_t>(*at, kSectionBytes) : std::nullopt;
    if (!end || *end > file_.size()) return std::nullopt;
    Section section{};
    file_.read_at(*at, section);
    return section;
  }

  std::optional<Extent> extent_of(const Section& section) const {
    const Extent extent{number_at<uint64_t>(section.data(), 24), number_at<uint64_t>(section.data(), 32)};
    const auto end = checked_add(extent.offset, extent.size);
    if (!end || *end > file_.size()) return std::nullopt;
    return extent;
  }

  void read_symbols(const std::optional<Extent>& symbols, const std::optional<Extent>& names,
                    const std::set<std::string>& wanted, LibrarySymbols& library) const {
    if (!symbols || !names) return refuse(library, "its symbols lie outside the file");
    const uint64_t n_symbols = symbols->size / kSymbolBytes;
    if (n_symbols > kMostSymbols || names->size > kMostNameBytes) {
      return refuse(library, fmt::format("it lists {} symbols in {} bytes of names: more than any library",
                                         n_symbols, names->size));
    }
    std::vector<char> text(names->size + 1);  // and a 0 behind the last
    file_.read_at(names->offset, std::as_writable_bytes(std::span(text).first(names->size)));
    std::vector<std::byte> part(kSymbolsAtOnce * kSymbolBytes);
    for (uint64_t first = 0; first < n_symbols; first += kSymbolsAtOnce) {
      const auto count = static_cast<size_t>(std::min<uint64_t>(kSymbolsAtOnce, n_symbols - first));
      file_.read_at(symbols->offset + first * kSymbolBytes, std::span(part).first(count * kSymbolBytes));
      for (size_t i = 0; i < count; ++i) add_symbol(part.data() + i * kSymbolBytes, text, wanted, library);
    }
  }

  static void add_symbol(const std::byte* symbol, const std::vector<char>& names,
                         const std::set<std::string>& wanted, LibrarySymbols& library) {
    constexpr uint16_t kUndefined = 0;
    constexpr unsigned kLocal = 0, kInternal = 1, kHidden = 2;
    const auto name = number_at<uint32_t>(symbol, 0);
    const unsigned binding = number_at<uint8_t>(symbol, 4) >> 4;
    const unsigned visibility = number_at<uint8_t>(symbol, 5) & 3u;
    if (number_at<uint16_t>(symbol, 6) == kUndefined || binding == kLocal || visibility == kInternal ||
        visibility == kHidden || name >= names.size()) {
      return;
    }
    const auto it = wanted.find(names.data() + name);
    if (it != wanted.end()) library.found.insert(*it);
  }

  InputFile file_;
};

}  // namespace

LibrarySymbols read_elf_symbols(const std::filesystem::path& file, const std::set<std::string>& wanted) {
  LibrarySymbols library;
  try {
    ElfFile(file).read(wanted, library);
  } catch (const Error& error) {
    library.why_not = error.code() == ErrorCode::kCorrupt       ? "it is shorter than it says"
                      : error.code() == ErrorCode::kUnsupported ? "it is no regular file"
                                                                : "it cannot be opened";
  }
  return library;
}

LibrarySymbols read_listed_symbols(std::string_view text, const std::set<std::string>& wanted) {
  constexpr std::string_view kBegins = "symbols ";
  LibrarySymbols library;
  bool is_first = true;
  while (!text.empty() || is_first) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (is_first) {
      is_first = false;
      if (line.substr(0, kBegins.size()) != kBegins) {
        library.why_not = "it is no library";
        return library;
      }
      library.architecture = line.substr(kBegins.size());
      continue;
    }
    if (const auto it = wanted.find(std::string(line)); it != wanted.end()) library.found.insert(*it);
  }
  return library;
}

}  // namespace chaski
