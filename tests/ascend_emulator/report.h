// What the emulator has seen, as JSON, and the faults that it was told to make. Not here: who counts what.
#pragma once

#include <map>

#include "core.h"

namespace ascend_emulator {

using Counts = std::map<std::string, uint64_t, std::less<>>;

/// Since aclInit.
struct Counters {
  Counts launches, phase_one, copies;  ///< by operator; copies by "h2h", "h2d", "d2h", "d2d", "memset"
  uint64_t hidden_copies = 0, ai_cpu_launches = 0, host_waits = 0, unpinned_copies = 0;
  uint64_t allocations = 0, peak_bytes = 0;
  uint64_t executors_reused = 0, graphs_captured = 0, graph_replays = 0, replayed_launches = 0;
  std::vector<std::string> problems;  ///< calls that no correct program makes, the first thousand
};

/// Quoted, with what JSON needs escaped.
std::string json(std::string_view text);
std::string json(const Counts& counts);

/// Errors that calls are told to return: "SITE:N:CODE[:times]", several separated by commas. The N-th call of
/// the site from now returns CODE, and so do the times − 1 after it.
class EMULATOR_API Faults {
 public:
  /// Throws 100000 for what it cannot read.
  void set(std::string_view specification);
  /// Counts one call of the site. Throws the code where one is due.
  void hit(std::string_view site);

 private:
  struct Fault {
    std::string site;
    uint64_t from, times;
    Status code;
    uint64_t calls = 0;
  };
  std::vector<Fault> faults_;
};

/// Items of a list separated by commas, empty ones left out.
std::vector<std::string> split(std::string_view list, char separator);

}  // namespace ascend_emulator
