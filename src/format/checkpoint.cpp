// Which reader opens a path, and the check that a weight has the shape asked for.
#include "format/checkpoint.h"

#include <algorithm>

#include "base/error.h"
#include "format/byte_source.h"
#include "format/gguf_checkpoint.h"
#include "format/hf_checkpoint.h"
#include "format/model_folder.h"
#include "format/synthetic.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

using Digests = std::shared_ptr<const DigestMemo>;

std::shared_ptr<const Checkpoint> open_gguf_file(const fs::path& path, const Digests& digests) {
  std::vector<ByteSourcePtr> parts;
  for (const fs::path& part : gguf_parts_of(path)) {
    parts.push_back(std::make_shared<FileSource>(part, digests));
  }
  return open_gguf(std::move(parts));
}

std::shared_ptr<const Checkpoint> open_directory(const fs::path& folder, const Digests& digests) {
  const std::optional<fs::path> model = model_in_folder(folder);
  if (!model) {
    const size_t n = gguf_files_in(folder).size();
    throw Error(
        ErrorCode::kNotFound, "open model",
        fmt::format("{}: expected config.json or one .gguf file, found {} .gguf files and no config.json",
                    folder.string(), n),
        n == 0 ? "" : "name one of the .gguf files");
  }
  if (*model == folder) return open_hf_directory(folder, digests);
  return open_gguf_file(*model, digests);
}

/// Runs `work`, which looks at folders; what the file system says against it becomes an Error.
template <typename Work>
auto in_file_system(const std::string& path, Work work) {
  try {
    return work();
  } catch (const fs::filesystem_error& error) {
    throw Error(ErrorCode::kNotFound, "open model",
                fmt::format("{}: {}", printable(path), error.code().message()));
  }
}

}  // namespace

std::shared_ptr<const Checkpoint> Checkpoint::open(const std::string& path,
                                                   std::shared_ptr<const DigestMemo> digests) {
  constexpr std::string_view kSynthetic = "synthetic:";
  if (path.compare(0, kSynthetic.size(), kSynthetic) == 0) {
    return open_synthetic(std::string_view(path).substr(kSynthetic.size()));
  }
  return in_file_system(path, [&] {
    return fs::is_directory(path) ? open_directory(path, digests) : open_gguf_file(path, digests);
  });
}

std::vector<fs::path> gguf_files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const std::string& name : names_in(folder)) {
    if (fs::path(name).extension() == ".gguf") files.push_back(folder / name);
  }
  std::sort(files.begin(), files.end());
  return one_of_each_split(files);
}

std::optional<fs::path> model_in_folder(const fs::path& folder) {
  return in_file_system(folder.string(), [&]() -> std::optional<fs::path> {
    if (fs::exists(folder / "config.json")) return folder;
    const std::vector<fs::path> files = gguf_files_in(folder);
    if (files.size() != 1) return std::nullopt;
    return inside(folder, files.front().filename().string());
  });
}

WeightSourcePtr Checkpoint::require(std::string_view name, const Shape& shape) const {
  const auto shown = [&] {
    const std::string in_file = name_in_file(name);
    return in_file.empty() ? std::string(name) : fmt::format("{} ({})", name, in_file);
  };
  WeightSourcePtr weight = find(name);
  if (weight == nullptr) {
    throw Error(
        ErrorCode::kCorrupt, "open model",
        fmt::format("{}: weight {} is missing, expected with shape {}", path_, shown(), shape.to_string()));
  }
  if (weight->shape() != shape) {
    throw Error(ErrorCode::kCorrupt, "open model",
                fmt::format("{}: weight {}: expected shape {} from the config, found {}", path_, shown(),
                            shape.to_string(), weight->shape().to_string()));
  }
  return weight;
}

}  // namespace chaski
