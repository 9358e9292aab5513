#include "cli/pull_screen.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/json.h"
#include "cli/terminal.h"
#include "hub/selection.h"
#include "report/text_safety.h"

namespace chaski::cli {
namespace {

constexpr double kWindow_s = 8;
constexpr double kJsonEvery_s = 1;

std::string_view name_of(SkipReason reason) {
  switch (reason) {
    case SkipReason::kNotAsked:
      return "not_asked";
    case SkipReason::kExcluded:
      return "excluded";
    case SkipReason::kLargeFile:
      return "large_file";
    case SkipReason::kPickle:
      return "pickle";
    case SkipReason::kOtherFormat:
      return "other_format";
    case SkipReason::kNotNeeded:
      return "not_needed";
  }
  return "";
}

std::string_view words_of(SkipReason reason, Lang lang) {
  switch (reason) {
    case SkipReason::kNotAsked:
      return tr(lang, "not asked for", "未指定");
    case SkipReason::kExcluded:
      return tr(lang, "excluded", "被排除");
    case SkipReason::kLargeFile:
      return tr(lang, "large file, --skip-lfs", "大文件（--skip-lfs）");
    case SkipReason::kPickle:
      return tr(lang, "pickle, never loaded", "pickle 文件，从不加载");
    case SkipReason::kOtherFormat:
      return tr(lang, "GGUF beside safetensors", "已有 safetensors，略去 GGUF");
    case SkipReason::kNotNeeded:
      return tr(lang, "not needed to run the model", "运行模型不需要");
  }
  return "";
}

Json size_json(const RemoteFile& file) { return file.size ? Json(*file.size) : Json(); }

std::string text_of_size(const RemoteFile& file, Lang lang) {
  return file.size ? text_of_bytes(*file.size) : std::string(tr(lang, "size unknown", "大小未知"));
}

void print_line(const Json& object) { print_exactly(to_json_text(object) + "\n"); }

std::string duration(double seconds) {
  const auto s = static_cast<int64_t>(std::min(seconds, 3.6e6));
  return s >= 3600 ? fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
                   : fmt::format("{}:{:02}", s / 60, s % 60);
}

/// "3 left out: 2 pickle, never loaded; 1 …"
std::string skipped_line(const Selection& selection, Lang lang) {
  std::map<SkipReason, int> counts;
  for (const SkippedFile& skipped : selection.skipped) ++counts[skipped.reason];
  std::string parts;
  for (const auto& [reason, n] : counts) {
    parts += fmt::format("{}{} {}", parts.empty() ? "" : "; ", n, words_of(reason, lang));
  }
  return trf(lang, "{} left out: {}", "略去 {} 个文件：{}", selection.skipped.size(), parts);
}

}  // namespace

std::string text_of_bytes(uint64_t n_bytes) {
  const auto n = static_cast<double>(n_bytes);
  if (n >= 1e9) return fmt::format("{:.2f} GB", n * 1e-9);
  if (n >= 1e6) return fmt::format("{:.1f} MB", n * 1e-6);
  if (n >= 1e3) return fmt::format("{:.0f} kB", n * 1e-3);
  return fmt::format("{} B", n_bytes);
}

void PullScreen::clear() noexcept {
  if (has_moving_line_) show_moving_line("");
  has_moving_line_ = false;
}

void PullScreen::line(const std::string& text) {
  clear();
  note(printable(text, 2000) + "\n");
}

double PullScreen::bytes_per_s() const {
  if (recent_.size() < 2) return 0;
  const auto& [from_s, from] = recent_.front();
  const auto& [to_s, to] = recent_.back();
  return to_s - from_s < 0.2 || to < from ? 0 : static_cast<double>(to - from) / (to_s - from_s);
}

void PullScreen::show(const PullEvent& event) {
  switch (event.kind) {
    case PullEvent::Kind::kPlan:
      return show_plan(event);
    case PullEvent::Kind::kProgress:
      return show_progress(event);
    case PullEvent::Kind::kWaiting:
      if (wants_json_) return print_line({{"event", "waiting"}});
      return line(std::string(tr(lang_, "another process fetches this model; waiting for it",
                                 "另一进程正在下载此模型，等待其结束")));
    case PullEvent::Kind::kRetry:
      if (wants_json_) return print_line({{"event", "retry"}, {"file", event.file}, {"reason", event.text}});
      return line(trf(lang_, "trying again: {}", "重试：{}", event.text));
    case PullEvent::Kind::kFile:
      if (wants_json_) {
        return print_line({{"event", "file"},
                           {"file", event.file},
                           {"size", event.stored->size},
                           {"sha256", event.stored->sha256},
                           {"checked_by", event.stored->checked_by}});
      }
      return line(fmt::format("  {}  {}", pad_right(event.file, 40), text_of_bytes(event.stored->size)));
  }
}

void PullScreen::show_plan(const PullEvent& event) {
  const Selection& selection = *event.selection;
  has_weights_ = std::any_of(selection.files.begin(), selection.files.end(),
                             [](const RemoteFile& file) { return is_weight_file(file.name); });
  if (wants_json_) {
    Json files = Json::array(), skipped = Json::array();
    for (const RemoteFile& file : selection.files) {
      files.push_back({{"name", file.name}, {"size", size_json(file)}, {"sha256", file.sha256}});
    }
    for (const SkippedFile& left : selection.skipped) {
      skipped.push_back(
          {{"name", left.file.name}, {"size", size_json(left.file)}, {"reason", name_of(left.reason)}});
    }
    return print_line({{"event", "plan"}, {"files", files}, {"skipped", skipped}, {"bytes", event.n_total}});
  }
  if (is_dry_run_) {
    std::string text;
    for (const RemoteFile& file : selection.files) {
      text += fmt::format("{} {}\n", pad_left(text_of_size(file, lang_), 12), printable(file.name, 300));
    }
    for (const SkippedFile& left : selection.skipped) {
      text += fmt::format("{} {}  ({})\n", pad_left(text_of_size(left.file, lang_), 12),
                          printable(left.file.name, 300), words_of(left.reason, lang_));
    }
    print(text);
  }
  line(trf(lang_, "{} files, {}", "{} 个文件，共 {}", selection.files.size(), text_of_bytes(event.n_total)));
  if (!selection.skipped.empty()) line(skipped_line(selection, lang_));
}

void PullScreen::show_progress(const PullEvent& event) {
  const double now_s = clock_.seconds();
  recent_.emplace_back(now_s, event.n_fetched);
  while (recent_.size() > 2 && now_s - recent_.front().first > kWindow_s) recent_.pop_front();
  const double speed = bytes_per_s();
  const double left_s = speed > 0 ? static_cast<double>(event.n_total - event.n_done) / speed : 0;
  if (wants_json_) {
    if (now_s - last_json_s_ < kJsonEvery_s && event.n_done < event.n_total) return;
    last_json_s_ = now_s;
    return print_line({{"event", "progress"},
                       {"done", event.n_done},
                       {"total", event.n_total},
                       {"bytes_per_s", speed > 0 ? Json(speed) : Json()},
                       {"seconds_left", speed > 0 ? Json(left_s) : Json()}});
  }
  if (!stderr_is_terminal()) return;
  const double share =
      event.n_total == 0 ? 1 : static_cast<double>(event.n_done) / static_cast<double>(event.n_total);
  std::string text = fmt::format("{:3.0f}%  {} / {}", 100 * share, text_of_bytes(event.n_done),
                                 text_of_bytes(event.n_total));
  if (speed > 0) {
    text += fmt::format("  {}/s  ", text_of_bytes(static_cast<uint64_t>(speed)));
    text += trf(lang_, "{} left", "剩余 {}", duration(left_s));
  }
  show_moving_line(text);
  has_moving_line_ = true;
}

void PullScreen::finish(const PullReport& report, const std::string& model) {
  clear();
  using Where = PullReport::Where;
  if (wants_json_) {
    constexpr const char* kNames[] = {"fetched", "was_there", "cache", "plan_only"};
    return print_line({{"event", "done"},
                       {"path", report.path.string()},
                       {"commit", report.commit},
                       {"files", report.n_files},
                       {"bytes", report.n_bytes},
                       {"fetched", report.n_fetched},
                       {"unchecked", report.unchecked},
                       {"where", kNames[static_cast<int>(report.where)]}});
  }
  for (const std::string& name : report.unchecked) {
    line(trf(lang_, "{}: the hub says no hash of it; only its size was checked",
             "{}：站点没有给出其哈希值，只核对了大小", name));
  }
  if (report.where == Where::kPlanOnly) return;
  if (report.where == Where::kCache) {
    line(std::string(
        tr(lang_, "another program has it already; used where it is", "其他程序已下载过此模型，直接使用")));
  } else if (report.where == Where::kWasThere) {
    line(std::string(tr(lang_, "it is here already", "此模型已在本机")));
  }
  print(report.path.string() + "\n");
  if (has_weights_) line(trf(lang_, "try it: chaski run {} -p …", "试用：chaski run {} -p …", model));
}

}  // namespace chaski::cli
