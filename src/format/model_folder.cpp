#include "format/model_folder.h"

#include <dirent.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxParts = 512;

/// NAME-00002-of-00003.gguf, as the tools that split a model name its files.
struct SplitName {
  std::string stem;
  int number = 0;  ///< from 1
  int count = 0;

  std::string of_part(int part) const { return fmt::format("{}-{:05}-of-{:05}.gguf", stem, part, count); }
};

/// Nothing where the name is not of a part.
std::optional<SplitName> split_name_of(const std::string& name) {
  constexpr std::string_view kPattern = "-00000-of-00000.gguf";
  if (name.size() <= kPattern.size()) return std::nullopt;
  SplitName split;
  split.stem = name.substr(0, name.size() - kPattern.size());
  const auto number_at = [&](size_t at) {
    int value = 0;
    for (const char digit : name.substr(split.stem.size() + at, 5)) value = value * 10 + (digit - '0');
    return value;
  };
  split.number = number_at(1);
  split.count = number_at(10);
  const bool is_part = split.number >= 1 && split.number <= split.count;
  if (!is_part || split.of_part(split.number) != name) return std::nullopt;
  return split;
}

}  // namespace

fs::path inside(const fs::path& folder, const std::string& name) {
  const fs::path home = fs::canonical(folder), target = fs::canonical(folder / name);
  const auto is_below = [&](const fs::path& root) {
    return std::mismatch(root.begin(), root.end(), target.begin(), target.end()).first == root.end();
  };
  bool is_inside = is_below(home);
  // Hugging Face's cache: REPO/snapshots/REVISION, then folders as the repository has them. What its
  // repositories share lies in a store beside them, which a marker names.
  for (fs::path above = home; !is_inside && above.has_relative_path(); above = above.parent_path()) {
    if (above.filename() != "snapshots") continue;
    const fs::path shared = above.parent_path().parent_path() / "blobs";
    is_inside = is_below(above.parent_path() / "blobs") ||
                (fs::exists(shared / ".huggingface-shared-blobs") && is_below(shared));
  }
  if (!is_inside) {
    throw Error(
        ErrorCode::kCorrupt, "open model",
        fmt::format("{}: {} is a link that leads out of the folder", folder.string(), printable(name)),
        "put the file itself into the folder");
  }
  return folder / name;
}

std::vector<fs::path> gguf_parts_of(const fs::path& path) {
  const std::optional<SplitName> split = split_name_of(path.filename().string());
  if (!split || split->count == 1) return {path};
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (split->count > kMaxParts) {
    throw Error(
        ErrorCode::kCorrupt, "open model",
        fmt::format("{}: expected at most {} parts, found {}", path.string(), kMaxParts, split->count));
  }
  std::vector<fs::path> parts;
  std::vector<std::string> missing;
  for (int part = 1; part <= split->count; ++part) {
    const std::string name = split->of_part(part);
    if (!fs::exists(folder / name)) {
      missing.push_back(name);
    } else {
      // The one that was named may lie anywhere.
      parts.push_back(part == split->number ? path : inside(folder, name));
    }
  }
  if (!missing.empty()) {
    throw Error(
        ErrorCode::kNotFound, "open model",
        fmt::format("{}: parts of this split model are missing: {}", path.string(), first_three(missing)),
        "the model is incomplete; fetch it again");
  }
  return parts;
}

std::vector<fs::path> one_of_each_split(const std::vector<fs::path>& files) {
  std::set<std::pair<std::string, int>> seen;
  std::vector<fs::path> models;
  for (const fs::path& file : files) {
    const std::optional<SplitName> split = split_name_of(file.filename().string());
    if (!split || seen.emplace(split->stem, split->count).second) models.push_back(file);
  }
  return models;
}

// By hand, since the standard library's iterator ends the program where an allocation fails.
std::vector<std::string> names_in(const fs::path& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(folder.c_str()), ::closedir);
  if (!stream) {
    throw Error(ErrorCode::kNotFound, "open model",
                fmt::format("{}: {}", printable(folder.string()),
                            std::error_code(errno, std::generic_category()).message()));
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream.get())) names.emplace_back(entry->d_name);
  return names;
}

std::string first_three(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(3, names.size()); ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : ", ", printable(names[i]));
  }
  return names.size() <= 3 ? text : fmt::format("{} and {} more", text, names.size() - 3);
}

}  // namespace chaski
