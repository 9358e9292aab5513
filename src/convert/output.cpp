#include "convert/output.h"

#include <sys/stat.h>

#include <algorithm>

namespace chaski {
namespace {

namespace fs = std::filesystem;

/// The files of a model or an adapter that hold weights, sorted.
std::vector<fs::path> weight_files(const fs::path& path) {
  std::vector<fs::path> files;
  if (!fs::exists(path)) return files;  // synthetic
  const bool is_folder = fs::is_directory(path);
  // One GGUF file may be the first of several.
  const bool is_split = !is_folder && path.stem().string().find("-of-") != std::string::npos;
  if (!is_folder && !is_split) return {path};
  const std::string extension = is_folder ? ".safetensors" : ".gguf";
  const fs::path folder = is_folder ? path : path.has_parent_path() ? path.parent_path() : fs::path(".");
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == extension) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
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

std::string origin_of(const Checkpoint& checkpoint, const OutputOptions& options) {
  std::string origin = checkpoint.path();
  std::vector<fs::path> files = weight_files(checkpoint.path());
  for (fs::path& file : weight_files(options.adapter)) files.push_back(std::move(file));
  for (const fs::path& file : files) {
    struct stat info {};
    if (::stat(file.c_str(), &info) != 0) continue;
    origin += fmt::format("\n{} {} {} {}.{}", fs::absolute(file).string(), info.st_size, info.st_ino,
                          info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  }
  return origin;
}

void keep_or_discard(const std::vector<PartialFile*>& files, const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    const bool can_continue = error.code() == ErrorCode::kCancelled || error.code() == ErrorCode::kIo;
    if (!can_continue) {
      for (PartialFile* file : files) file->discard();
      throw;
    }
    Error told(error.code(), "write model", error.what(),
               fmt::format("what is done is kept in {}; the same command goes on from there",
                           files.front()->partial_path().string()));
    throw told;
  } catch (...) {
    for (PartialFile* file : files) file->discard();
    throw;
  }
}

}  // namespace chaski
