// All runs of this user, in one SQLite file below CHASKI_HOME: what `history` lists and `report ID` finds.
// It holds each record's JSON whole, with columns for what is listed and searched. Source:
// docs/sources.md#sqlite-untrusted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "report/run_record.h"

namespace chaski {

struct StoredRun {
  int64_t id = 0;
  std::string kind;        ///< eval, bench
  std::string model;       ///< as the user named it
  std::string suite;       ///< of an eval
  std::string started_at;  ///< UTC
  std::string folder;      ///< where its files were written; empty where nowhere
  std::string sha256;      ///< of the record's JSON
};

struct RunFilter {
  std::string kind, model, suite;  ///< empty: any; model and suite by part of the name
  int64_t limit = 0;               ///< newest so many; 0: all
};

class RunStore {
 public:
  /// Opens or makes the file. It is not trusted: its schema must be ours to the letter, quick_check must
  /// pass, none of its own SQL runs. Waits up to `patience_ms` for another writer. Throws Error(kCorrupt)
  /// for a file that is none of ours or damaged, kUnsupported for a newer schema, kIo.
  explicit RunStore(const std::filesystem::path& file, int patience_ms = 30'000);
  ~RunStore();
  RunStore(const RunStore&) = delete;
  RunStore& operator=(const RunStore&) = delete;

  /// Keep a record; the same JSON twice is one run. Returns its id. Throws Error(kIo) with how many runs are
  /// stored, which they stay.
  int64_t put(const RunRecord& record, const std::string& folder);
  std::vector<StoredRun> list(const RunFilter& filter = {}) const;
  /// Nothing where there is no such id. Throws Error(kCorrupt) where the record is not as it was stored.
  std::optional<RunRecord> get(int64_t id) const;
  /// The same without answers, scores and samples, for what tells runs apart in a list. Nothing also where
  /// the record cannot be read.
  std::optional<RunRecord> head(int64_t id) const;
  /// Forget these runs, all or none; their bytes are overwritten. Files elsewhere stay. Throws
  /// Error(kNotFound) naming the first that is not there, kIo.
  void remove(std::span<const int64_t> ids);
  int64_t size() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace chaski
