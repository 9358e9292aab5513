// Which files of a repository are fetched: by default those that can be loaded here and what explains them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "hub/listing.h"

namespace chaski {

/// What the user asked for. Patterns are those of a shell, where * goes over slashes too, as the hubs' own
/// clients have it; "a,b" is two patterns and "dir/" all that is in it.
struct SelectionRules {
  std::vector<std::string> names;     ///< files by their names
  std::vector<std::string> includes;  ///< patterns
  std::vector<std::string> excludes;
  bool skips_lfs = false;
};

enum class SkipReason { kNotAsked, kExcluded, kLargeFile, kPickle, kOtherFormat, kNotNeeded };

struct SkippedFile {
  RemoteFile file;
  SkipReason reason = SkipReason::kNotNeeded;
};

struct Selection {
  std::vector<RemoteFile> files;  ///< small ones first
  std::vector<SkippedFile> skipped;
};

/// Throws Error(kNotFound) for a name that is not there and where nothing is left, Error(kUnsupported) where
/// all weights are of a kind that is not loaded here, Error(kUsage) where several GGUF models are there.
Selection select_files(const std::vector<RemoteFile>& files, const SelectionRules& rules);

/// Whether a file of this name holds weights in a format that is loaded here: safetensors or GGUF.
bool is_weight_file(std::string_view name);

}  // namespace chaski
