// The journal of a run: items.jsonl, a line for each answer as soon as it is there, so that a run which is
// killed anywhere goes on where it was. run.partial.json beside it says what run it is. Asking is in eval.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lab/run_folder.h"
#include "report/run_record.h"

namespace chaski {

/// One answer, and what of it the record has elsewhere.
struct ItemRow {
  AnswerRecord answer;
  std::vector<double> itl_s;             ///< seconds between its tokens
  std::optional<FailureRecord> failure;  ///< why there is no answer
  double wall_s = 0;                     ///< of asking, in all starts of the run, when it was complete
};

/// What answers depend on, name and value: model, template, prompt and sampling settings, suite, device,
/// program. Runs with the same give the same answers; batch, threads and times are not among them.
using RunIdentity = std::map<std::string, std::string>;
RunIdentity identity_of(const RunRecord& run);

/// A line of the journal, newline included: the fields of items.jsonl, then what going on needs. `key`:
/// ItemJournal::key_of.
std::string row_line(const ItemRow& row, const std::string& key);
/// Such a line without its newline, and its key. Throws Error(kCorrupt) naming `where` and the field.
std::pair<ItemRow, std::string> parse_row(std::string_view line, std::string_view where);

/// Holds the folder for itself while it lives: a second run in it is refused.
class ItemJournal {
 public:
  enum class Start {
    kFresh,  ///< what an earlier run left in the folder is moved to older-N in it
    kResume  ///< go on with the run that is there; where there is none, begin
  };
  /// `run` is all that is known of the run before its first question. Throws Error(kUsage) where another run
  /// is at work in the folder, and, to resume, where the run there is not this one, naming what differs;
  /// kCorrupt naming the line that is no row of it; write_error. Half a last line is cut off.
  ItemJournal(std::filesystem::path folder, const RunRecord& run, Start start);
  ~ItemJournal();
  ItemJournal(const ItemJournal&) = delete;
  ItemJournal& operator=(const ItemJournal&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  /// Where the earlier run's files went; empty: there was none.
  const std::filesystem::path& older() const { return older_; }
  /// The earlier run was not finished: it could be resumed there.
  bool older_is_unfinished() const;
  /// The run in the folder was finished before: its run.json stands, and nothing may be appended.
  bool is_finished() const { return is_finished_; }

  /// Those found, then those appended.
  const std::vector<ItemRow>& rows() const { return rows_; }
  /// Seconds of asking until the last of them was complete, in all starts of the run.
  double wall_s() const { return rows_.empty() ? 0 : rows_.back().wall_s; }
  bool has(const std::string& id, int64_t sample) const { return places_.count({id, sample}) > 0; }

  /// On the disk when it returns. Throws Error(kIo) where the disk is full; the file then still ends with the
  /// row before.
  void append(ItemRow row);

  /// After run.json was written: items.jsonl in the order of `record`, with the agreed fields alone, and no
  /// run.partial.json.
  void finish(const RunRecord& record);

 private:
  void open_items();
  void read_items();
  std::string key_of(const AnswerRecord& answer) const;
  void keep(ItemRow row);

  std::filesystem::path folder_;
  FolderLock lock_;
  std::filesystem::path older_;
  std::string identity_;  ///< hash of it
  std::vector<ItemRow> rows_;
  std::map<std::pair<std::string, int64_t>, size_t> places_;
  int64_t size_ = 0;  ///< bytes of whole rows
  int items_fd_ = -1;
  bool is_finished_ = false;
};

}  // namespace chaski
