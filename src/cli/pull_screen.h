// What a pull looks like: lines and a moving one for a person, one JSON object a line for a program.
#pragma once

#include <deque>
#include <string>
#include <utility>

#include "base/clock.h"
#include "hub/pull.h"
#include "report/lang.h"

namespace chaski::cli {

/// "1.23 GB", "512 kB".
std::string text_of_bytes(uint64_t n_bytes);

class PullScreen {
 public:
  PullScreen(bool wants_json, bool is_dry_run, Lang lang)
      : wants_json_(wants_json), is_dry_run_(is_dry_run), lang_(lang) {}
  ~PullScreen() { clear(); }
  PullScreen(const PullScreen&) = delete;
  PullScreen& operator=(const PullScreen&) = delete;

  void show(const PullEvent& event);
  /// How it ended. `model`: as the user named it.
  void finish(const PullReport& report, const std::string& model);

 private:
  void show_plan(const PullEvent& event);
  void show_progress(const PullEvent& event);
  void line(const std::string& text);
  void clear() noexcept;
  /// Over the last seconds; 0 until there are some.
  double bytes_per_s() const;

  bool wants_json_, is_dry_run_;
  Lang lang_;
  bool has_weights_ = true;  ///< among what was asked for
  bool has_moving_line_ = false;
  Stopwatch clock_;
  double last_json_s_ = -1;
  std::deque<std::pair<double, uint64_t>> recent_;  ///< seconds, bytes fetched until then
};

}  // namespace chaski::cli
