#include "hub/selection.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/error.h"

namespace chaski {
namespace {

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

template <size_t n>
bool ends_with_any(std::string_view name, const std::array<std::string_view, n>& ends) {
  return std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return ends_with(name, end); });
}

bool is_pickle(std::string_view name) {
  constexpr std::array<std::string_view, 6> kEnds{".bin", ".pth", ".pt", ".pkl", ".ckpt", ".pickle"};
  return ends_with_any(name, kEnds);
}

/// Configs, tokenizers, templates, licences: at the top of the repository.
bool is_beside_weights(std::string_view name) {
  constexpr std::array<std::string_view, 6> kEnds{".json", ".jinja", ".model", ".tiktoken", ".md", ".txt"};
  const std::string_view start = name.substr(0, name.find('.'));
  return ends_with_any(name, kEnds) || start == "LICENSE" || start == "NOTICE" || start == "USE_POLICY";
}

/// "a,b/" as the patterns "a" and "b/*".
std::vector<std::string> patterns_of(const std::vector<std::string>& given) {
  std::vector<std::string> patterns;
  for (const std::string& list : given) {
    for (size_t at = 0; at <= list.size();) {
      const size_t end = std::min(list.find(',', at), list.size());
      std::string pattern = list.substr(at, end - at);
      if (!pattern.empty() && pattern.back() == '/') pattern += '*';
      if (!pattern.empty()) patterns.push_back(std::move(pattern));
      at = end + 1;
    }
  }
  return patterns;
}

bool matches_any(const std::string& name, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
  });
}

/// The name without -00002-of-00003: the same for all parts of a model.
std::string split_stem(const std::string& name) {
  const size_t of = name.rfind("-of-");
  return of == std::string::npos || of < 6 ? name : name.substr(0, of - 6);
}

/// The one GGUF model among `files`, where no other weights are there.
void check_one_gguf(const std::vector<RemoteFile>& files) {
  std::map<std::string, uint64_t> models;
  for (const RemoteFile& file : files) {
    if (ends_with(file.name, ".gguf")) models[split_stem(file.name)] += file.size.value_or(0);
  }
  if (models.size() < 2) return;
  std::string names;
  for (const auto& [name, bytes] : models) {
    names += fmt::format("\n  {} ({:.2f} GB)", printable(name, 200), static_cast<double>(bytes) * 1e-9);
  }
  throw Error(ErrorCode::kUsage, "pull",
              fmt::format("the repository holds {} models:{}", models.size(), names),
              "name the file after the repository, or --include a pattern");
}

/// Why `file` is left out when nothing was asked for; nothing where it is taken.
std::optional<SkipReason> default_reason(const RemoteFile& file, bool has_safetensors) {
  if (is_pickle(file.name)) return SkipReason::kPickle;
  if (file.name.find('/') != std::string::npos) return SkipReason::kNotNeeded;
  if (ends_with(file.name, ".safetensors")) return std::nullopt;
  if (ends_with(file.name, ".gguf")) {
    return has_safetensors ? std::optional(SkipReason::kOtherFormat) : std::nullopt;
  }
  if (is_beside_weights(file.name)) return std::nullopt;
  return SkipReason::kNotNeeded;
}

void check_weights(const std::vector<RemoteFile>& all, const Selection& selection) {
  const auto is_weights = [](const RemoteFile& file) { return is_weight_file(file.name); };
  if (std::any_of(selection.files.begin(), selection.files.end(), is_weights)) {
    return check_one_gguf(selection.files);
  }
  if (std::any_of(all.begin(), all.end(), [](const RemoteFile& file) { return is_pickle(file.name); })) {
    throw Error(ErrorCode::kUnsupported, "pull",
                "the repository has its weights as pickles alone, which can run any code and are not loaded",
                "look for a copy with safetensors or GGUF files; --include fetches whatever you name");
  }
}

}  // namespace

bool is_weight_file(std::string_view name) {
  return ends_with(name, ".safetensors") || ends_with(name, ".gguf");
}

Selection select_files(const std::vector<RemoteFile>& files, const SelectionRules& rules) {
  const std::vector<std::string> includes = patterns_of(rules.includes),
                                 excludes = patterns_of(rules.excludes);
  const std::set<std::string> names(rules.names.begin(), rules.names.end());
  const bool is_default = names.empty() && includes.empty();
  const bool has_safetensors = std::any_of(files.begin(), files.end(), [](const RemoteFile& file) {
    return ends_with(file.name, ".safetensors") && file.name.find('/') == std::string::npos;
  });
  for (const std::string& name : names) {
    if (std::none_of(files.begin(), files.end(), [&](const RemoteFile& f) { return f.name == name; })) {
      throw Error(ErrorCode::kNotFound, "pull",
                  fmt::format("{}: the repository has no such file", printable(name, 200)),
                  "--dry-run lists what it has");
    }
  }
  Selection selection;
  for (const RemoteFile& file : files) {
    std::optional<SkipReason> reason;
    if (is_default) {
      reason = default_reason(file, has_safetensors);
    } else if (names.count(file.name) == 0 && !matches_any(file.name, includes)) {
      reason = SkipReason::kNotAsked;
    }
    if (!reason && matches_any(file.name, excludes)) reason = SkipReason::kExcluded;
    if (!reason && rules.skips_lfs && (file.is_lfs || is_weight_file(file.name)))
      reason = SkipReason::kLargeFile;
    if (reason) {
      selection.skipped.push_back({file, *reason});
    } else {
      selection.files.push_back(file);
    }
  }
  if (is_default && !rules.skips_lfs) check_weights(files, selection);
  if (selection.files.empty()) {
    throw Error(ErrorCode::kNotFound, "pull",
                fmt::format("none of the {} files is left to fetch", files.size()),
                "see --include, --exclude and --dry-run");
  }
  std::stable_sort(selection.files.begin(), selection.files.end(),
                   [](const auto& a, const auto& b) { return a.size.value_or(0) < b.size.value_or(0); });
  return selection;
}

}  // namespace chaski
