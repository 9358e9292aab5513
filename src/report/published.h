// Figures that others published for a suite (suites/published/*.json), shown beside measured ones and
// labelled as published. Nothing is computed from them.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "report/lang.h"

namespace chaski {

struct PublishedRun {
  std::string name;
  std::optional<double> load_s, total_s, mean_s;
  std::map<std::string, double> seconds;  ///< by the question's id; those not given are not there
  std::map<std::string, std::string> fallback, stability;  ///< by language, "en" and "zh"
};

struct Published {
  std::string suite;
  std::map<std::string, std::string> title, setting;  ///< by language
  std::vector<PublishedRun> runs;
};

/// What was published for the suite of that name; null where nothing is known.
const Published* published_for(std::string_view suite);

/// Figures from their file. Throws Error(kCorrupt) naming the field.
Published parse_published(std::string_view json, std::string_view where);

/// The built-in files' texts.
std::span<const std::string_view> published_texts();

}  // namespace chaski
