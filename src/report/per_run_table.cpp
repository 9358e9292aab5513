#include "report/per_run_table.h"

namespace chaski {

PerRun::PerRun(std::string id, std::string_view title, Runs runs, const Published* published, Lang lang)
    : runs_(runs), published_(published) {
  table_.id = std::move(id);
  table_.title = title;
  table_.columns = {""};
  table_.align = "l";
  table_.sides = {""};
  for (const RunView& run : runs) {
    add_column(runs.size() == 1 ? std::string(tr(lang, "value", "数值")) : side_letter(run), run.side);
  }
  if (published == nullptr) return;
  for (const PublishedRun& run : published->runs) {
    add_column(trf(lang, "published: {}", "已发表数据：{}", run.name), "p");
  }
}

void PerRun::row(std::string label, const OfRecord& of_record, const OfPublished& of_published) {
  std::vector<std::string> cells{std::move(label)};
  bool has_value = false;
  for (const RunView& run : runs_) {
    cells.push_back(of_record(*run.record));
    has_value = has_value || !cells.back().empty();
    if (cells.back().empty()) cells.back() = "–";
  }
  if (!has_value) return;
  for (size_t i = 0; published_ != nullptr && i < published_->runs.size(); ++i) {
    cells.push_back(of_published ? of_published(published_->runs[i]) : std::string());
    if (cells.back().empty()) cells.back() = "–";
  }
  table_.add(std::move(cells));
}

void PerRun::add_column(std::string title, std::string side) {
  table_.columns.push_back(std::move(title));
  table_.align += 'r';
  table_.sides.push_back(std::move(side));
}

std::string fixed(const std::optional<double>& value) { return value ? fmt::format("{:.2f}", *value) : ""; }

std::string in_language(const std::map<std::string, std::string>& texts, Lang lang) {
  const auto at = texts.find(std::string(name_of(lang)));
  return at == texts.end() ? "" : at->second;
}

}  // namespace chaski
