// Which reader opens a path, and the check that a weight has the shape asked for.
#include "format/checkpoint.h"

#include "base/error.h"
#include "format/byte_source.h"
#include "format/gguf_checkpoint.h"
#include "format/hf_checkpoint.h"
#include "format/synthetic.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

std::shared_ptr<const Checkpoint> open_directory(const fs::path& folder) {
  if (fs::exists(folder / "config.json")) return open_hf_directory(folder);
  std::vector<fs::path> gguf_files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".gguf") gguf_files.push_back(entry.path());
  }
  if (gguf_files.size() == 1) return open_gguf(std::make_shared<FileSource>(gguf_files.front()));
  throw Error(
      ErrorCode::kNotFound, "open model",
      fmt::format("{}: expected config.json or one .gguf file, found {} .gguf files and no config.json",
                  folder.string(), gguf_files.size()),
      gguf_files.empty() ? "" : "name one of the .gguf files");
}

}  // namespace

std::shared_ptr<const Checkpoint> Checkpoint::open(const std::string& path) {
  constexpr std::string_view kSynthetic = "synthetic:";
  if (path.compare(0, kSynthetic.size(), kSynthetic) == 0) {
    return open_synthetic(std::string_view(path).substr(kSynthetic.size()));
  }
  try {
    if (fs::is_directory(path)) return open_directory(path);
  } catch (const fs::filesystem_error& error) {
    throw Error(ErrorCode::kNotFound, "open model",
                fmt::format("{}: {}", printable(path), error.code().message()));
  }
  return open_gguf(std::make_shared<FileSource>(path));
}

WeightSourcePtr Checkpoint::require(std::string_view name, const Shape& shape) const {
  WeightSourcePtr weight = find(name);
  if (weight == nullptr) {
    throw Error(
        ErrorCode::kCorrupt, "open model",
        fmt::format("{}: weight {} is missing, expected with shape {}", path_, name, shape.to_string()));
  }
  if (weight->shape() != shape) {
    throw Error(ErrorCode::kCorrupt, "open model",
                fmt::format("{}: weight {}: expected shape {} from the config, found {}", path_, name,
                            shape.to_string(), weight->shape().to_string()));
  }
  return weight;
}

}  // namespace chaski
