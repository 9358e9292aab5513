// Which files of a folder are one model's, and that none of them leads out of it. What is in them is for the
// readers.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace chaski {

/// `folder / name`, for every file of a model: throws Error(kCorrupt) where a link leads it out of the
/// folder. Hugging Face's own cache keeps its files in `blobs` beside the snapshots, or in one such folder
/// for all repositories: links to there are inside.
std::filesystem::path inside(const std::filesystem::path& folder, const std::string& name);

/// All files of the GGUF model that `path` is a file of, in order: itself, or where its name is
/// NAME-00002-of-00003.gguf, that many files beside it. Throws Error(kNotFound) naming those missing, and
/// Error(kCorrupt) for one that is a link out of the folder.
std::vector<std::filesystem::path> gguf_parts_of(const std::filesystem::path& path);

/// `files`, sorted, with one file of each split model, the first that is there.
std::vector<std::filesystem::path> one_of_each_split(const std::vector<std::filesystem::path>& files);

/// Names of what is in `folder`, in no order. Throws Error(kNotFound) where it cannot be read.
std::vector<std::string> names_in(const std::filesystem::path& folder);

/// The first three of `names` as they may be shown, and how many more there are.
std::string first_three(const std::vector<std::string>& names);

}  // namespace chaski
