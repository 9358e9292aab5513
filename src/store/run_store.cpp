#include "store/run_store.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/files.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

constexpr int kApplicationId = 0x63686b69;  // "chki": tells our files from other programs'
constexpr int kSchemaVersion = 1;
constexpr int kMaxRecordBytes = 600 << 20;  // above what a record may have, below what SQLite can hold
constexpr std::string_view kTable =
    "CREATE TABLE runs (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, model TEXT NOT NULL, suite TEXT NOT "
    "NULL, "
    "started_at TEXT NOT NULL, folder TEXT NOT NULL, sha256 TEXT NOT NULL UNIQUE, record TEXT NOT NULL) "
    "STRICT";

/// What a code of SQLite's is to us, with what to do about it.
struct Meaning {
  int code;  ///< primary result code
  ErrorCode error;
  std::string_view hint;
};
constexpr std::string_view kDamagedHint = "move the file away; chaski then begins a new one";
constexpr std::array<Meaning, 9> kMeanings{
    {{SQLITE_NOTADB, ErrorCode::kCorrupt, kDamagedHint},
     {SQLITE_CORRUPT, ErrorCode::kCorrupt, kDamagedHint},
     {SQLITE_BUSY, ErrorCode::kIo, "another program is writing to it; try again when it is done"},
     {SQLITE_FULL, ErrorCode::kIo, "make room on the disk"},
     {SQLITE_IOERR, ErrorCode::kIo, "see that the disk has room and can be written"},
     {SQLITE_READONLY, ErrorCode::kIo, "give yourself the right to write it and its folder"},
     {SQLITE_CANTOPEN, ErrorCode::kIo, "see that its folder is there and may be written"},
     {SQLITE_NOMEM, ErrorCode::kOutOfMemory, "close other programs"},
     {SQLITE_TOOBIG, ErrorCode::kUnsupported, "keep its run.json; it is too large for the history"}}};

Error error_of(int code, const std::string& message, const std::string& path) {
  const auto* row = std::find_if(kMeanings.begin(), kMeanings.end(),
                                 [&](const Meaning& m) { return m.code == (code & 0xFF); });
  const bool is_known = row != kMeanings.end();
  return Error(
      is_known ? row->error : ErrorCode::kIo, "run store",
      fmt::format("{}: {} (SQLite {})", path, printable(message, 200), code),
      std::string(is_known ? row->hint : std::string_view("see that it is a file that chaski made")));
}

Error not_ours(const std::string& path, std::string_view why) {
  return Error(ErrorCode::kCorrupt, "run store", fmt::format("{}: {}", path, why), std::string(kDamagedHint));
}

/// One prepared statement; values are bound, never written into its text.
class Statement {
 public:
  Statement(sqlite3* db, const std::string& path, std::string_view sql) : db_(db), path_(path) {
    check(sqlite3_prepare_v2(db_, sql.data(), static_cast<int>(sql.size()), &statement_, nullptr));
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  /// The text must live until the statement was run.
  Statement& bind(int at, std::string_view text) {
    check(sqlite3_bind_text64(statement_, at, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8));
    return *this;
  }
  Statement& bind(int at, int64_t value) {
    check(sqlite3_bind_int64(statement_, at, value));
    return *this;
  }
  /// Whether there is a row, which the next call replaces.
  bool next() {
    const int code = sqlite3_step(statement_);
    if (code != SQLITE_ROW && code != SQLITE_DONE) check(code);
    return code == SQLITE_ROW;
  }
  int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  std::string text(int column) const {
    const unsigned char* bytes = sqlite3_column_text(statement_, column);
    if (bytes == nullptr) return {};
    return {reinterpret_cast<const char*>(bytes),
            static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
  }

 private:
  void check(int code) const {
    if (code != SQLITE_OK) throw error_of(code, sqlite3_errmsg(db_), path_);
  }

  sqlite3* db_;
  const std::string& path_;
  sqlite3_stmt* statement_ = nullptr;
};

}  // namespace

struct RunStore::State {
  std::string path;
  sqlite3* db = nullptr;

  explicit State(const fs::path& file) : path(file.string()) {
    const int code = sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
    if (code == SQLITE_OK) return;
    const Error error = error_of(code, db == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db), path);
    sqlite3_close(db);
    throw error;
  }
  ~State() { sqlite3_close(db); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  Statement prepare(std::string_view sql) const { return {db, path, sql}; }
  void run(std::string_view sql) const { prepare(sql).next(); }
  int64_t number(std::string_view sql) const {
    Statement statement = prepare(sql);
    return statement.next() ? statement.integer(0) : 0;
  }

  /// The file's own SQL is never run: no triggers, no views, no functions from its schema.
  void distrust(int patience_ms) const {
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, patience_ms);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, kMaxRecordBytes);
    const std::array<std::pair<int, int>, 5> settings{{{SQLITE_DBCONFIG_DEFENSIVE, 1},
                                                       {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                                                       {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
                                                       {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
                                                       {SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0}}};
    for (const auto& [setting, value] : settings) {
      CHECK(sqlite3_db_config(db, setting, value, nullptr) == SQLITE_OK, "SQLite lacks its setting {}",
            setting);
    }
    for (const char* pragma :
         {"PRAGMA cell_size_check = ON", "PRAGMA mmap_size = 0", "PRAGMA synchronous = FULL",
          "PRAGMA temp_store = MEMORY", "PRAGMA secure_delete = ON"}) {
      run(pragma);
    }
  }

  /// A file without a page is new: ours from here on, unless another program was quicker.
  void make_if_new() const {
    if (number("PRAGMA page_count") > 0) return;
    Transaction transaction(*this);
    if (number("SELECT count(*) FROM sqlite_schema") > 0) return;
    run(kTable);
    run(fmt::format("PRAGMA application_id = {}", kApplicationId));
    run(fmt::format("PRAGMA user_version = {}", kSchemaVersion));
    transaction.commit();
  }

  void check_is_ours() const {
    if (number("PRAGMA application_id") != kApplicationId) {
      throw not_ours(path, "a database of another program, expected chaski's history of runs");
    }
    const int64_t version = number("PRAGMA user_version");
    if (version != kSchemaVersion) {
      throw Error(
          version > kSchemaVersion ? ErrorCode::kUnsupported : ErrorCode::kCorrupt, "run store",
          fmt::format("{}: its schema has version {}, this program knows {}", path, version, kSchemaVersion),
          "use the version of chaski that wrote it, or move the file away");
    }
    Statement schema = prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY rowid LIMIT 3");
    const bool has_table = schema.next() && schema.text(2) == kTable;
    const bool has_index = has_table && schema.next() && schema.text(1) == "sqlite_autoindex_runs_1";
    if (!has_index) throw not_ours(path, "it lacks the table of runs as chaski makes it");
    if (schema.next()) {
      throw not_ours(path, fmt::format("it has a {} \"{}\" that chaski did not make",
                                       printable(schema.text(0)), printable(schema.text(1))));
    }
    Statement check = prepare("PRAGMA quick_check(1)");
    const std::string verdict = check.next() ? check.text(0) : "no answer";
    if (verdict != "ok") throw not_ours(path, fmt::format("damaged: {}", printable(verdict, 200)));
  }

  int64_t insert(const RunRecord& record, const std::string& folder) const;

  /// Rolled back unless committed.
  class Transaction {
   public:
    explicit Transaction(const State& state) : state_(state) { state_.run("BEGIN IMMEDIATE"); }
    ~Transaction() {
      if (!sqlite3_get_autocommit(state_.db)) sqlite3_exec(state_.db, "ROLLBACK", nullptr, nullptr, nullptr);
    }
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    void commit() { state_.run("COMMIT"); }

   private:
    const State& state_;
  };
};

RunStore::RunStore(const fs::path& file, int patience_ms) {
  std::error_code ignored;  // opening says what is in the way
  fs::create_directories(file.parent_path(), ignored);
  state_ = std::make_unique<State>(file);
  state_->distrust(patience_ms);
  state_->make_if_new();
  state_->check_is_ours();
}

RunStore::~RunStore() = default;

int64_t RunStore::State::insert(const RunRecord& record, const std::string& folder) const {
  const std::string json = to_json_text(to_json(record));
  const std::string sha256 = sha256_of(json);
  const std::string suite = suite_name(record);
  Transaction transaction(*this);
  prepare(
      "INSERT INTO runs (kind, model, suite, started_at, folder, sha256, record) "
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (sha256) DO NOTHING")
      .bind(1, record.kind)
      .bind(2, record.model.id)
      .bind(3, suite)
      .bind(4, record.summary.started_at)
      .bind(5, folder)
      .bind(6, sha256)
      .bind(7, json)
      .next();
  int64_t id = 0;
  {
    Statement stored = prepare("SELECT id FROM runs WHERE sha256 = ?1");
    CHECK(stored.bind(1, sha256).next(), "a run that was just stored is not there");
    id = stored.integer(0);
  }
  transaction.commit();
  return id;
}

int64_t RunStore::put(const RunRecord& record, const std::string& folder) {
  const int64_t n_stored = size();
  try {
    return state_->insert(record, folder);
  } catch (Error& error) {
    error.add_context(fmt::format("storing a run; the {} runs stored before are kept", n_stored));
    throw;
  }
}

std::vector<StoredRun> RunStore::list(const RunFilter& filter) const {
  Statement rows = state_->prepare(
      "SELECT id, substr(kind, 1, 100), substr(model, 1, 4096), substr(suite, 1, 4096), "
      "substr(started_at, 1, 100), substr(folder, 1, 4096), substr(sha256, 1, 64) FROM runs "
      "WHERE (?1 = '' OR kind = ?1) AND instr(lower(model), lower(?2)) > 0 AND instr(lower(suite), "
      "lower(?3)) > 0 "
      "ORDER BY id DESC LIMIT ?4");
  rows.bind(1, filter.kind).bind(2, filter.model).bind(3, filter.suite);
  rows.bind(4, filter.limit > 0 ? filter.limit : int64_t{-1});
  std::vector<StoredRun> runs;
  while (rows.next()) {
    runs.push_back({rows.integer(0), rows.text(1), rows.text(2), rows.text(3), rows.text(4), rows.text(5),
                    rows.text(6)});
  }
  return runs;
}

std::optional<RunRecord> RunStore::get(int64_t id) const {
  Statement row = state_->prepare("SELECT record, sha256 FROM runs WHERE id = ?1");
  if (!row.bind(1, id).next()) return std::nullopt;
  const std::string json = row.text(0);
  const std::string where = fmt::format("{}, run {}", state_->path, id);
  if (sha256_of(json) != row.text(1)) {
    throw Error(ErrorCode::kCorrupt, "run store",
                fmt::format("{}: the record is not the one that was stored", where),
                fmt::format("`chaski history rm {}` removes it", id));
  }
  return parse_run_record(json, where);
}

std::optional<RunRecord> RunStore::head(int64_t id) const {
  try {
    Statement row = state_->prepare(
        "SELECT json_remove(record, '$.items', '$.scores', '$.results', '$.metrics', '$.ops', '$.failures') "
        "FROM runs WHERE id = ?1 AND json_valid(record)");
    if (!row.bind(1, id).next()) return std::nullopt;
    return parse_run_record(row.text(0), fmt::format("{}, run {}", state_->path, id));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCorrupt || error.code() == ErrorCode::kUnsupported) return std::nullopt;
    throw;
  }
}

void RunStore::remove(std::span<const int64_t> ids) {
  State::Transaction transaction(*state_);
  for (const int64_t id : ids) {
    Statement row = state_->prepare("DELETE FROM runs WHERE id = ?1 RETURNING id");
    if (!row.bind(1, id).next()) {
      throw Error(ErrorCode::kNotFound, "run store", fmt::format("{}: no run {}", state_->path, id),
                  "`chaski history` lists the runs with their ids");
    }
    row.next();  // to its end
  }
  transaction.commit();
}

int64_t RunStore::size() const { return state_->number("SELECT count(*) FROM runs"); }

}  // namespace chaski
