// How long a model takes to load, part by part: as one load says it, and cold and warm in fresh processes.
// The loading is cli/models.h's; the processes are this program's own hidden command.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.h"
#include "base/json.h"
#include "report/run_record.h"

namespace chaski {

/// Seconds of one load. All but the tokenizer's, which is made on a thread beside, and the first token's are
/// parts of total_s; what is left of it is opening the device and waiting for the tokenizer.
struct LoadParts {
  double open_s = 0;         ///< headers of the model's files
  double tokenizer_s = 0;    ///< on its own thread
  double packed_s = 0;       ///< finding, mapping and checking weights packed by an earlier start
  double weights_s = 0;      ///< reading and packing, or taking what is mapped
  double engine_s = 0;       ///< the cache's pages, a step's buffers
  double total_s = 0;        ///< from opening the files to the engine standing ready
  double first_token_s = 0;  ///< of the first request, whose prompt is one token
};

/// Loads of fresh processes.
struct LoadTimes {
  struct Load {
    LoadParts parts;
    double start_s = 0;  ///< from starting the program to hearing of its first token
    int64_t peak_rss_bytes = 0;
  };
  std::vector<Load> cold, warm;
  bool is_cold = true;  ///< the files were out of the page cache before each cold load
};

/// The line by which a process that loads tells of it: its parts and its peak of memory, which the process
/// that started it could only see mixed with its own.
OrderedJson to_json(const LoadTimes::Load& load);
/// Of such a line, without start_s. Throws Error(kCorrupt).
LoadTimes::Load load_of(std::string_view json);

/// `n` cold loads and as many warm ones, by turns, after one that is not counted. `arguments`: this program's
/// own, for a process that loads, and prints its to_json on a line. Throws Error with what ended a load.
LoadTimes measure_load_times(const std::vector<std::string>& arguments,
                             const std::vector<std::filesystem::path>& files, int64_t n,
                             const CancelToken& cancel,
                             const std::function<void(int64_t done, int64_t total)>& on_progress = {});

/// "load_cold_s", "load_cold_open_s" …, "load_warm_s" …
std::vector<NamedMetric> load_metrics(const LoadTimes& times);
/// "load_s", "load_open_s" … of one load.
std::vector<NamedMetric> load_metrics(const LoadParts& parts);

/// Ask the system to take these files out of its page cache; the share of their pages that is still there.
double drop_page_cache(const std::vector<std::filesystem::path>& files);

/// The files that loading the model at `path` reads: its own, and weights packed by earlier starts.
std::vector<std::filesystem::path> files_of_model(const std::filesystem::path& path,
                                                  const std::filesystem::path& packed_folder);

}  // namespace chaski
