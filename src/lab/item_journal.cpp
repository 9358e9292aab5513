#include "lab/item_journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/locked_file.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

constexpr const char* kItems = "items.jsonl";
constexpr const char* kRecord = "run.json";
constexpr const char* kPartial = "run.partial.json";
constexpr const char* kReport = "report.md";
constexpr uint64_t kMaxBytes = uint64_t{4} << 30;
constexpr size_t kMaxLineBytes = 256u << 20;
constexpr size_t kMaxLineNodes = 16'000'000;
constexpr double kMostSeconds = 1e9;

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// Half a file of an answer's size is lost on a disk that lost power; then the folder's entry, too.
/// "temperature is 0.7 there and 0.9 here", all that differ.
std::string differences(const RunIdentity& there, const RunIdentity& here) {
  std::set<std::string> names;
  for (const auto& [name, value] : there) names.insert(name);
  for (const auto& [name, value] : here) names.insert(name);
  const auto value_in = [](const RunIdentity& identity, const std::string& name) {
    const auto it = identity.find(name);
    return it == identity.end() ? std::string("not set") : printable(it->second, 100);
  };
  std::string text;
  for (const std::string& name : names) {
    const std::string a = value_in(there, name), b = value_in(here, name);
    if (a == b) continue;
    text += fmt::format("{}{} is {} there and {} here", text.empty() ? "" : "; ", printable(name), a, b);
  }
  return text;
}

Error not_of_this_run(const std::string& where) {
  return Error(ErrorCode::kCorrupt, "resume", fmt::format("{}: is no answer of this run", where),
               "the file was changed by something else; begin again in another folder");
}

OrderedJson failure_json(const FailureRecord& failure) {
  return {{"code", traits_of(failure.code).name}, {"message", failure.message}};
}

}  // namespace

RunIdentity identity_of(const RunRecord& run) {
  RunIdentity identity{
      {"model hash", run.model.hash},         {"chat template hash", run.model.template_hash},
      {"date string", run.model.date_string}, {"LoRA adapter", run.model.lora},
      {"device", run.device.device_kind},     {"code path", run.device.path},
      {"program version", run.build.version}};
  for (const auto& [name, value] : run.settings.items()) {
    if (name == "batch") continue;
    if (name == "suite" && value.is_object()) {
      for (const char* key : {"name", "sha256", "part"}) {
        identity[fmt::format("suite {}", key)] = to_json_text(value.value(key, OrderedJson()));
      }
    } else {
      identity[name] = to_json_text(value);
    }
  }
  return identity;
}

std::string row_line(const ItemRow& row, const std::string& key) {
  OrderedJson json = item_json(row.answer, true);
  if (row.answer.tpot_s) json["tpot_s"] = *row.answer.tpot_s;
  json["itl_s"] = OrderedJson::array();
  // To the microsecond: a clock's noise is more, and the line stays short.
  for (const double gap : row.itl_s) json["itl_s"].push_back(std::round(gap * 1e6) / 1e6);
  if (row.failure) json["failure"] = failure_json(*row.failure);
  json["wall_s"] = row.wall_s;
  json["key"] = key;
  return to_json_text(json) + "\n";
}

std::pair<ItemRow, std::string> parse_row(std::string_view line, std::string_view where) {
  JsonLimits limits;
  limits.max_bytes = kMaxLineBytes;
  limits.max_nodes = kMaxLineNodes;
  limits.max_keys = 64;
  const OrderedJson json = parse_ordered_json(line, where, limits);
  const auto fail = [&](std::string_view what) {
    throw Error(ErrorCode::kCorrupt, "read journal", fmt::format("{}: {}", where, what));
  };
  ItemRow row;
  row.answer = answer_record_of(json, where);
  const auto seconds = [&](const OrderedJson& value, std::string_view what) {
    const bool is_time = value.is_number() && value.get<double>() >= 0 && value.get<double>() <= kMostSeconds;
    if (!is_time) fail(fmt::format("{}: expected seconds", what));
    return value.get<double>();
  };
  if (const auto gaps = json.find("itl_s"); gaps != json.end()) {
    if (!gaps->is_array()) fail("itl_s: expected a list");
    for (const OrderedJson& gap : *gaps) row.itl_s.push_back(seconds(gap, "itl_s"));
  }
  const auto wall = json.find("wall_s");
  row.wall_s = seconds(wall == json.end() ? OrderedJson() : *wall, "wall_s");
  if (const auto failure = json.find("failure"); failure != json.end()) {
    const Json values(*failure);
    const auto code = error_code_of(require_string(values, "code", where));
    if (!code) fail("failure.code: is no error code");
    row.failure =
        FailureRecord{row.answer.id, row.answer.sample, *code, require_string(values, "message", where)};
  }
  const auto key = json.find("key");
  if (key == json.end() || !key->is_string()) fail("key: expected a string");
  return {std::move(row), key->get<std::string>()};
}

ItemJournal::ItemJournal(fs::path folder, const RunRecord& run, Start start)
    : folder_(std::move(folder)), lock_(folder_) {
  const RunIdentity identity = identity_of(run);
  std::string text;
  for (const auto& [name, value] : identity) text += fmt::format("{}\n{}\n", name, value);
  identity_ = sha256_of(text);
  try {
    is_finished_ = start == Start::kResume && is_there(folder_ / kRecord);
    const bool goes_on = is_finished_ || (start == Start::kResume && is_there(folder_ / kPartial));
    if (goes_on) {
      const fs::path known = folder_ / (is_finished_ ? kRecord : kPartial);
      const RunIdentity there = identity_of(read_run_record(known.string()));
      if (there != identity) {
        throw Error(ErrorCode::kUsage, "resume",
                    fmt::format("{} has the answers of another run: {}", folder_.string(),
                                differences(there, identity)),
                    "give the model and settings of that run, or another folder: --out DIR");
      }
    } else {
      older_ = move_aside(folder_, {kItems, kRecord, kPartial, kReport});
      write_file_atomic(folder_ / kPartial, to_json_text(to_json(run), 2) + "\n");
    }
    if (is_finished_) return;
    open_items();
    read_items();
  } catch (...) {
    if (items_fd_ >= 0) ::close(items_fd_);
    throw;
  }
}

ItemJournal::~ItemJournal() {
  if (items_fd_ >= 0) ::close(items_fd_);
}

bool ItemJournal::older_is_unfinished() const { return !older_.empty() && is_there(older_ / kPartial); }

void ItemJournal::open_items() {
  const fs::path path = folder_ / kItems;
  items_fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (items_fd_ < 0) throw write_error(path.string(), errno);
  sync_folder_of(folder_ / kItems);
}

void ItemJournal::read_items() {
  const fs::path path = folder_ / kItems;
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return;  // a device has nothing to go on from
  const std::string text = read_text_file(path, kMaxBytes);
  size_t begin = 0;
  for (size_t number = 1, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string where = fmt::format("{} line {}", path.string(), number++);
    auto [row, key] = parse_row(std::string_view(text).substr(begin, end - begin), where);
    if (key != key_of(row.answer) || has(row.answer.id, row.answer.sample)) throw not_of_this_run(where);
    keep(std::move(row));
  }
  size_ = static_cast<int64_t>(begin);
  // The kill came in the middle of a line.
  if (begin < text.size() && (::ftruncate(items_fd_, size_) != 0 || ::fdatasync(items_fd_) != 0)) {
    throw write_error(path.string(), errno);
  }
}

std::string ItemJournal::key_of(const AnswerRecord& answer) const {
  return sha256_of(fmt::format("{}\n{}\n{}\n{}\n{}", identity_, answer.id, answer.sample, answer.type,
                               sha256_of(answer.prompt)));
}

void ItemJournal::keep(ItemRow row) {
  places_[{row.answer.id, row.answer.sample}] = rows_.size();
  rows_.push_back(std::move(row));
}

void ItemJournal::append(ItemRow row) {
  CHECK(!is_finished_ && !has(row.answer.id, row.answer.sample), "a row for an answer that is there: {} {}",
        row.answer.id, row.answer.sample);
  const std::string line = row_line(row, key_of(row.answer));
  const auto fail = [this] {
    const Error error = write_error((folder_ / kItems).string(), errno);
    // The row before stays the last one even where the disk is full.
    [[maybe_unused]] const int cut = ::ftruncate(items_fd_, size_);
    throw error;
  };
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t n = ::write(items_fd_, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail();
    rest.remove_prefix(static_cast<size_t>(n));
  }
  // EINVAL: what it was pointed at keeps nothing that could be lost.
  if (::fdatasync(items_fd_) != 0 && errno != EINVAL) fail();
  size_ += static_cast<int64_t>(line.size());
  keep(std::move(row));
}

void ItemJournal::finish(const RunRecord& record) {
  const bool has_samples = record.settings.value("n_samples", 1) > 1;
  std::string text;
  for (const AnswerRecord& item : record.items) text += to_json_text(item_json(item, has_samples)) + "\n";
  write_file_atomic(folder_ / kItems, text);
  std::error_code ignored;
  fs::remove(folder_ / kPartial, ignored);
}

}  // namespace chaski
