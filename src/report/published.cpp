#include "report/published.h"

#include "base/error.h"
#include "base/json.h"

namespace chaski {
namespace {

std::map<std::string, std::string> both_languages(const Json& object, std::string_view key,
                                                  std::string_view where) {
  if (!object.contains(key)) return {};
  return {{"en", require_string(object.at(std::string(key)), "en", where)},
          {"zh", require_string(object.at(std::string(key)), "zh", where)}};
}

std::optional<double> seconds_of(const Json& object, std::string_view key, std::string_view where) {
  if (!object.contains(key)) return std::nullopt;
  return require_number(object, key, where);
}

PublishedRun run_of(const Json& json, std::string_view where) {
  PublishedRun run;
  run.name = require_string(json, "name", where);
  run.load_s = seconds_of(json, "load_s", where);
  run.total_s = seconds_of(json, "total_s", where);
  run.mean_s = seconds_of(json, "mean_s", where);
  const Json seconds = json.value("seconds", Json::object());
  for (const auto& [id, value] : seconds.items()) run.seconds[id] = require_number(seconds, id, where);
  run.fallback = both_languages(json, "fallback", where);
  run.stability = both_languages(json, "stability", where);
  return run;
}

}  // namespace

Published parse_published(std::string_view text, std::string_view where) {
  const Json json = parse_json(text, where);
  Published published;
  published.suite = require_string(json, "suite", where);
  published.title = both_languages(json, "title", where);
  published.setting = both_languages(json, "setting", where);
  if (!json.contains("runs") || !json["runs"].is_array()) {
    throw Error(ErrorCode::kCorrupt, "read published figures",
                fmt::format("{}: runs: expected a list", where));
  }
  for (const Json& run : json["runs"]) published.runs.push_back(run_of(run, where));
  return published;
}

const Published* published_for(std::string_view suite) {
  static const std::vector<Published> all = [] {
    std::vector<Published> list;
    for (const std::string_view text : published_texts()) {
      list.push_back(parse_published(text, "built-in published figures"));
    }
    return list;
  }();
  for (const Published& published : all) {
    if (published.suite == suite) return &published;
  }
  return nullptr;
}

}  // namespace chaski
