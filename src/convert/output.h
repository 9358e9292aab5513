// What all ways of writing a model share: options, the checks of the target, the report.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/error.h"
#include "convert/partial_file.h"
#include "format/checkpoint.h"

namespace chaski {

struct OutputOptions {
  int n_threads = 0;      ///< 0: one per core
  bool replaces = false;  ///< whether a target that is there may be replaced
  bool allow_nonfinite = false;
  std::filesystem::path adapter =
      {};  ///< folder of the LoRA adapter that the checkpoint has merged in, if any
  const CancelToken* cancel = nullptr;
  std::function<void(uint64_t done, uint64_t total)> on_progress =
      {};  ///< bytes of input read; caller's thread
};

/// What was written.
struct OutputReport {
  struct Types {
    DType dtype;
    int64_t n_weights = 0;
    uint64_t bytes = 0;
  };
  struct Fallback {
    DType wanted, used;
    int64_t n_weights = 0;
    int64_t n_rows = 0;
  };
  std::vector<Types> types;         ///< by bytes, most first
  std::vector<Fallback> fallbacks;  ///< weights whose rows the wanted blocks did not fit
  int64_t n_parameters = 0;
  uint64_t bytes_before = 0, bytes_after = 0;  ///< of the weights
  uint64_t file_bytes = 0;
  size_t n_weights = 0, n_continued = 0;  ///< all, and those that an earlier run had finished
  double write_s = 0, sync_s = 0;

  void count(DType dtype, const Shape& shape);
  void sort_types();
  double bits_per_weight() const {
    return n_parameters > 0 ? 8.0 * static_cast<double>(bytes_after) / static_cast<double>(n_parameters) : 0;
  }
};

/// Throws Error(kUsage) where `target` is the model itself or one of its files, where it is there and may not
/// be replaced, or where it is a folder (or, with `is_folder`, a folder with something in it).
void check_target(const Checkpoint& checkpoint, const std::filesystem::path& target, bool replaces,
                  bool is_folder);

/// The files that hold a model's weights: one, or all parts in order; none for a synthetic model. Throws as
/// Checkpoint::open does.
std::vector<std::filesystem::path> weight_files(const std::filesystem::path& model);

/// What the bytes of an output depend on beside its header: the files of the model and its adapter with their
/// sizes and times, the options, and the file of this program. A partial file is continued where this is the
/// same.
std::string origin_of(const Checkpoint& checkpoint, const OutputOptions& options);

/// Runs `work`, which writes `files`; where it is interrupted or the disk is full and parts are finished, the
/// error says how to go on; in all other cases nothing is left of the files that were not committed.
void keep_or_discard(const std::vector<PartialFile*>& files, const std::function<void()>& work);

}  // namespace chaski
