#include "convert/output.h"

#include <sys/stat.h>

#include <algorithm>

#include "format/byte_source.h"
#include "format/model_folder.h"
#include "format/shard_index.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

/// Path, size, inode and time of change, where the file is there.
std::string state_of(const fs::path& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return fmt::format("\n{} is not there", file.string());
  return fmt::format("\n{} {} {} {}.{}", fs::absolute(file).string(), info.st_size, info.st_ino,
                     info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

[[noreturn]] void refuse(const fs::path& target, const std::string& message, std::string hint) {
  throw Error(ErrorCode::kUsage, "write model", fmt::format("{}: {}", target.string(), message),
              std::move(hint));
}

}  // namespace

void OutputReport::count(DType dtype, const Shape& shape) {
  const auto bytes = static_cast<uint64_t>(shape.n_rows() * row_bytes(dtype, shape.last()));
  auto at = std::find_if(types.begin(), types.end(), [&](const Types& t) { return t.dtype == dtype; });
  if (at == types.end()) at = types.insert(at, Types{dtype});
  ++at->n_weights;
  at->bytes += bytes;
  ++n_weights;
  n_parameters += shape.n_elements();
  bytes_after += bytes;
}

void OutputReport::sort_types() {
  std::stable_sort(types.begin(), types.end(),
                   [](const Types& a, const Types& b) { return a.bytes > b.bytes; });
}

void check_target(const Checkpoint& checkpoint, const fs::path& target, bool replaces, bool is_folder) {
  std::error_code ignored;
  if (!fs::exists(fs::symlink_status(target, ignored))) return;
  const auto is_target = [&](const fs::path& file) { return fs::equivalent(file, target, ignored); };
  const std::vector<fs::path> files = weight_files(checkpoint.path());
  if (is_target(checkpoint.path()) || std::any_of(files.begin(), files.end(), is_target)) {
    refuse(target, "this is the model itself", "choose another name for the output");
  }
  if (fs::is_directory(target, ignored)) {
    if (is_folder && fs::is_empty(target, ignored)) return;
    refuse(target, is_folder ? "the folder is not empty" : "this is a folder, expected a file name",
           is_folder ? "remove it, or choose another name" : "");
  }
  if (is_folder) refuse(target, "this is a file, expected the name of a folder", "choose another name");
  if (!replaces) refuse(target, "the file is there already", "--force replaces it");
}

std::vector<fs::path> weight_files(const fs::path& model) {
  if (!fs::exists(model)) return {};  // synthetic
  if (!fs::is_directory(model)) return gguf_parts_of(model);
  if (fs::exists(model / "model.safetensors")) return {model / "model.safetensors"};
  const FileSource index(inside(model, "model.safetensors.index.json"));
  std::vector<fs::path> files;
  for (const std::string& name : read_shard_index(index).files) files.push_back(inside(model, name));
  return files;
}

std::string origin_of(const Checkpoint& checkpoint, const OutputOptions& options) {
  const fs::path model = checkpoint.path();
  std::string origin = fmt::format("{}\nallow_nonfinite {}", model.string(), options.allow_nonfinite);
  origin += state_of("/proc/self/exe");  // another build may quantise otherwise
  for (const fs::path& file : weight_files(model)) origin += state_of(file);
  if (fs::is_directory(model)) origin += state_of(model / "config.json");  // rotary factors come from it
  if (!options.adapter.empty()) {
    for (const char* name : {"adapter_config.json", "adapter_model.safetensors"}) {
      origin += state_of(options.adapter / name);
    }
  }
  return origin;
}

void keep_or_discard(const std::vector<PartialFile*>& files, const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    const bool is_passing = error.code() == ErrorCode::kCancelled || error.code() == ErrorCode::kIo;
    const auto kept = std::find_if(files.begin(), files.end(),
                                   [](const PartialFile* file) { return file->has_finished_parts(); });
    if (!is_passing || kept == files.end()) {
      for (PartialFile* file : files) file->discard();
      throw;
    }
    Error told(error.code(), "write model", error.what(),
               fmt::format("what is done is kept in {}; the same command goes on from there",
                           (*kept)->partial_path().string()));
    throw told;
  } catch (...) {
    for (PartialFile* file : files) file->discard();
    throw;
  }
}

}  // namespace chaski
