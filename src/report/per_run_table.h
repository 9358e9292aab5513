// A table with a column per run, and one per published run where there are any: what the tables of
// run_tables.h are made with.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "report/run_tables.h"

namespace chaski {

class PerRun {
 public:
  PerRun(std::string id, std::string_view title, Runs runs, const Published* published, Lang lang);

  using OfRecord = std::function<std::string(const RunRecord&)>;
  using OfPublished = std::function<std::string(const PublishedRun&)>;
  /// A row, unless no run has a value.
  void row(std::string label, const OfRecord& of_record, const OfPublished& of_published = {});
  void note(std::string text) { table_.notes.push_back(std::move(text)); }
  Table take() { return std::move(table_); }

 private:
  void add_column(std::string title, std::string side);

  Runs runs_;
  const Published* published_;
  Table table_;
};

/// Two decimals, or nothing.
std::string fixed(const std::optional<double>& value);

/// The text in that language, or nothing.
std::string in_language(const std::map<std::string, std::string>& texts, Lang lang);

/// The keys of a list of every run, each once, in the order in which they come.
template <typename Entry>
std::vector<std::string> keys_of(Runs runs, const std::vector<Entry> RunRecord::*list,
                                 const std::function<std::string(const Entry&)>& key) {
  std::vector<std::string> keys;
  std::set<std::string> seen;
  for (const RunView& run : runs) {
    for (const Entry& entry : run.record->*list) {
      if (seen.insert(key(entry)).second) keys.push_back(key(entry));
    }
  }
  return keys;
}

/// A row per key; the first entry of a run with that key is its cell.
template <typename Entry>
void rows_by_key(PerRun& table, Runs runs, const std::vector<Entry> RunRecord::*list,
                 const std::function<std::string(const Entry&)>& key,
                 const std::function<std::string(const Entry&)>& cell) {
  std::map<const RunRecord*, std::unordered_map<std::string, const Entry*>> entries;
  for (const RunView& run : runs) {
    for (const Entry& entry : run.record->*list) entries[run.record].emplace(key(entry), &entry);
  }
  for (const std::string& one : keys_of<Entry>(runs, list, key)) {
    table.row(one, [&](const RunRecord& record) {
      const auto at = entries[&record].find(one);
      return at == entries[&record].end() ? std::string() : cell(*at->second);
    });
  }
}

}  // namespace chaski
