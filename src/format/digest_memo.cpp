#include "format/digest_memo.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxBytes = 64u << 10;
constexpr size_t kMaxEntries = 4096;
/// Times of files move on in steps: of a few milliseconds, on some file systems of two seconds.
constexpr int64_t kFineStepNs = 50'000'000, kCoarseStepNs = 2'100'000'000;

OrderedJson entry_of(const FileIdentity& file, const std::string& digest) {
  return {{"path", file.path}, {"device", file.device},           {"inode", file.inode},
          {"size", file.size}, {"modified_ns", file.modified_ns}, {"changed_ns", file.changed_ns},
          {"sha256", digest}};
}

bool is_sha256(const std::string& text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

bool is_settled(const FileIdentity& file, int64_t now_ns) {
  const bool is_coarse = file.modified_ns % 1'000'000'000 == 0 && file.changed_ns % 1'000'000'000 == 0;
  const int64_t last = std::max(file.modified_ns, file.changed_ns);
  return now_ns - last > (is_coarse ? kCoarseStepNs : kFineStepNs);
}

}  // namespace

fs::path DigestMemo::place_of(const FileIdentity& file) const {
  return folder_ / (sha256_of(file.path).substr(0, 32) + ".json");
}

std::optional<std::string> DigestMemo::find(const FileIdentity& file) const {
  try {
    const fs::path place = place_of(file);
    const std::string where = place.string();
    const Json entry = parse_json(read_text_file(place, kMaxBytes), where);
    const std::string digest = get_string(entry, "sha256", "", where);
    if (!is_sha256(digest) || entry != Json(entry_of(file, digest))) return std::nullopt;
    return digest;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

void DigestMemo::remember(const FileIdentity& file, const std::string& digest,
                          int64_t read_at_ns) const noexcept {
  try {
    if (!is_settled(file, read_at_ns)) return;
    fs::create_directories(folder_);
    // A memory only: once it is full of files that may be long gone, it begins anew.
    const auto n = std::distance(fs::directory_iterator(folder_), fs::directory_iterator());
    if (static_cast<size_t>(n) >= kMaxEntries) {
      for (const auto& entry : fs::directory_iterator(folder_)) fs::remove(entry.path());
    }
    write_file_atomic(place_of(file), to_json_text(entry_of(file, digest)) + "\n");
  } catch (const std::exception&) {
    return;
  }
}

}  // namespace chaski
