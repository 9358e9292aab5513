#include "lab/load_times.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "lab/bench_metrics.h"
#include "lab/own_process.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

/// Pages left in the cache, as a share, up to which a load counts as cold: directories and what else the
/// system keeps reading.
constexpr double kMostResident = 0.02;

struct Part {
  const char* name;  ///< in JSON; in metrics after "load_"
  double LoadParts::*seconds;
};
constexpr std::array<Part, 7> kParts{{{"s", &LoadParts::total_s},
                                      {"open_s", &LoadParts::open_s},
                                      {"tokenizer_s", &LoadParts::tokenizer_s},
                                      {"packed_s", &LoadParts::packed_s},
                                      {"weights_s", &LoadParts::weights_s},
                                      {"engine_s", &LoadParts::engine_s},
                                      {"first_token_s", &LoadParts::first_token_s}}};

/// Pages of the file in the page cache, and all of them.
std::pair<int64_t, int64_t> resident_pages(int fd, size_t n_bytes) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t n_pages = (n_bytes + page - 1) / page;
  if (n_pages == 0) return {0, 0};
  void* map = ::mmap(nullptr, n_bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) return {static_cast<int64_t>(n_pages), static_cast<int64_t>(n_pages)};
  std::vector<unsigned char> is_resident(n_pages, 1);
  if (::mincore(map, n_bytes, is_resident.data()) != 0) std::fill(is_resident.begin(), is_resident.end(), 1);
  ::munmap(map, n_bytes);
  const auto n =
      std::count_if(is_resident.begin(), is_resident.end(), [](unsigned char c) { return (c & 1) != 0; });
  return {n, static_cast<int64_t>(n_pages)};
}

LoadTimes::Load load_once(const std::vector<std::string>& arguments, const CancelToken& cancel) {
  LoadTimes::Load load;
  bool is_told = false;
  const Stopwatch since_start;
  const ChildEnd end = run_own_process(
      arguments,
      [&](std::string_view line) {
        const double start_s = since_start.seconds();
        load = load_of(line);
        load.start_s = start_s;
        is_told = true;
      },
      cancel);
  if (!end.is_good() || !is_told) {
    throw Error(
        ErrorCode::kDevice, "time a load",
        fmt::format("the process that loads ended with {} {}: {}", end.signal != 0 ? "signal" : "status",
                    end.signal != 0 ? end.signal : end.exit_status, printable(end.errors, 600)));
  }
  return load;
}

void add_metrics(const std::vector<LoadTimes::Load>& loads, const std::string& prefix, int64_t n_warmup,
                 std::vector<NamedMetric>& metrics) {
  if (loads.empty()) return;
  const auto add = [&](const std::string& name, const char* unit, const auto& value) {
    std::vector<double> samples;
    for (const LoadTimes::Load& load : loads) samples.push_back(value(load));
    metrics.push_back(named_metric(prefix + name, unit, false, n_warmup, std::move(samples)));
  };
  for (const Part& part : kParts) {
    add(part.name, "s", [&](const LoadTimes::Load& load) { return load.parts.*part.seconds; });
  }
  add("start_s", "s", [](const LoadTimes::Load& load) { return load.start_s; });
  add("peak_rss_bytes", "bytes",
      [](const LoadTimes::Load& load) { return static_cast<double>(load.peak_rss_bytes); });
}

}  // namespace

OrderedJson to_json(const LoadTimes::Load& load) {
  OrderedJson json;
  for (const Part& part : kParts) json[part.name] = load.parts.*part.seconds;
  json["peak_rss_bytes"] = load.peak_rss_bytes;
  return json;
}

LoadTimes::Load load_of(std::string_view text) {
  constexpr std::string_view kWhere = "a load's output";
  const Json json = parse_json(text, kWhere);
  LoadTimes::Load load;
  for (const Part& part : kParts) load.parts.*part.seconds = require_number(json, part.name, kWhere);
  load.peak_rss_bytes = require_int(json, "peak_rss_bytes", kWhere);
  return load;
}

double drop_page_cache(const std::vector<fs::path>& files) {
  int64_t n_resident = 0, n_pages = 0;
  for (const fs::path& file : files) {
    const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    struct stat facts {};
    if (::fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode)) {
      ::fsync(fd);  // pages that are not written yet stay
      ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
      const auto [n, all] = resident_pages(fd, static_cast<size_t>(facts.st_size));
      n_resident += n;
      n_pages += all;
    }
    ::close(fd);
  }
  return n_pages == 0 ? 1 : static_cast<double>(n_resident) / static_cast<double>(n_pages);
}

std::vector<fs::path> files_of_model(const fs::path& path, const fs::path& packed_folder) {
  std::vector<fs::path> files;
  const auto add_folder = [&](const fs::path& folder, const std::string& beginning) {
    std::error_code fault;
    for (fs::directory_iterator it(folder, fault), end; !fault && it != end; it.increment(fault)) {
      const bool is_wanted = it->path().filename().string().rfind(beginning, 0) == 0;
      std::error_code ignored;
      if (is_wanted && it->is_regular_file(ignored)) files.push_back(it->path());
    }
  };
  std::error_code fault;
  if (fs::is_directory(path, fault)) {
    add_folder(path, "");
  } else if (fs::is_regular_file(path, fault)) {
    const std::string name = path.filename().string();
    const size_t split = name.find("-00001-of-");  // the first of several files
    if (split == std::string::npos) {
      files.push_back(path);
    } else {
      add_folder(path.parent_path().empty() ? "." : path.parent_path(), name.substr(0, split));
    }
  }
  if (!files.empty()) add_folder(packed_folder, "");
  return files;
}

LoadTimes measure_load_times(const std::vector<std::string>& arguments, const std::vector<fs::path>& files,
                             int64_t n, const CancelToken& cancel,
                             const std::function<void(int64_t done, int64_t total)>& on_progress) {
  LoadTimes times;
  load_once(arguments, cancel);  // which may pack the weights for the next start
  for (int64_t i = 0; i < n; ++i) {
    if (drop_page_cache(files) > kMostResident) times.is_cold = false;
    times.cold.push_back(load_once(arguments, cancel));
    times.warm.push_back(load_once(arguments, cancel));
    if (on_progress) on_progress(i + 1, n);
  }
  return times;
}

std::vector<NamedMetric> load_metrics(const LoadTimes& times) {
  std::vector<NamedMetric> metrics;
  add_metrics(times.cold, "load_cold_", 1, metrics);
  add_metrics(times.warm, "load_warm_", 1, metrics);
  return metrics;
}

std::vector<NamedMetric> load_metrics(const LoadParts& parts) {
  std::vector<NamedMetric> metrics;
  for (const Part& part : kParts) {
    if (part.seconds == &LoadParts::first_token_s) continue;  // nobody has asked for one yet
    metrics.push_back(named_metric(std::string("load_") + part.name, "s", false, 0, {parts.*part.seconds}));
  }
  return metrics;
}

}  // namespace chaski
