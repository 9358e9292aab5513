// score_agreement FOLDER [--verbose]: scores the answers of FOLDER (suites/agreement) by the built-in rubric
// and prints how far it agrees with the reader's scores beside them, as one JSON object. What the reader is
// worth: FOLDER/README.md.
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "base/files.h"
#include "lab/scorer.h"
#include "report/statistics.h"

namespace chaski {
namespace {

std::vector<Json> lines_of(const std::string& path) {
  const std::string text = read_text_file(path);
  std::vector<Json> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) lines.push_back(parse_json(std::string_view(text).substr(at, end - at), path));
    at = end + 1;
  }
  return lines;
}

struct Pairs {
  std::vector<int> reader, rubric;
  std::vector<double> reader_values, raw;
  int64_t n_same = 0, n_within_one = 0;

  void add(int by_reader, const ScoreRecord& by_rubric) {
    reader.push_back(by_reader);
    rubric.push_back(*by_rubric.score);
    reader_values.push_back(by_reader);
    raw.push_back(by_rubric.raw);
    n_same += by_reader == *by_rubric.score ? 1 : 0;
    n_within_one += std::abs(by_reader - *by_rubric.score) <= 1 ? 1 : 0;
  }
  OrderedJson json() const {
    OrderedJson out;
    out["n"] = reader.size();
    const auto kappa = quadratic_kappa(reader, rubric, 1, 5);
    const auto rho = spearman(reader_values, raw);
    out["quadratic_kappa"] = kappa ? OrderedJson(*kappa) : OrderedJson();
    out["spearman"] = rho ? OrderedJson(*rho) : OrderedJson();
    out["same"] = n_same;
    out["within_one"] = n_within_one;
    return out;
  }
};

int run(const std::string& folder, bool is_verbose) {
  std::map<std::string, int> by_reader;
  for (const Json& line : lines_of(folder + "/scores.jsonl")) {
    by_reader[require_string(line, "id", "scores")] = static_cast<int>(require_int(line, "score", "scores"));
  }
  const auto runner = make_code_runner();
  const CancelToken cancel;
  std::map<std::string, Pairs> groups;
  int64_t n_unscored = 0;
  for (const Json& line : lines_of(folder + "/answers.jsonl")) {
    SuiteItem item;
    item.id = require_string(line, "id", "answers");
    item.type = require_string(line, "type", "answers");
    item.prompt = require_string(line, "prompt", "answers");
    item.extra = line.contains("item") ? line["item"] : Json::object();
    AnswerRecord answer;
    answer.id = item.id;
    answer.answer = get_string(line, "answer", "", "answers");
    answer.finish_reason = get_string(line, "finish_reason", "stop", "answers");
    const ScoreRecord score = score_answer(item, answer, default_rubric(), runner.get(), cancel);
    if (!score.score) {
      ++n_unscored;
      std::fprintf(stderr, "%s: %s, %s\n", item.id.c_str(), score.status.c_str(), score.note.c_str());
      continue;
    }
    const int reader = by_reader.at(item.id);
    for (const std::string& group :
         {std::string("all"), "origin " + get_string(line, "origin", "?", "answers"), "type " + item.type}) {
      groups[group].add(reader, score);
    }
    if (is_verbose) {
      std::fprintf(stderr, "%s %s reader %d rubric %d (%.1f)\n", item.id.c_str(), item.type.c_str(), reader,
                   *score.score, score.raw);
    }
  }
  OrderedJson out;
  out["rubric"] = {{"name", default_rubric().name}, {"sha256", default_rubric().sha256}};
  out["sandbox"] = runner->tier();
  out["n_unscored"] = n_unscored;
  for (const auto& [name, pairs] : groups) out[name] = pairs.json();
  std::puts(to_json_text(out, 2).c_str());
  return n_unscored == 0 ? 0 : 1;
}

}  // namespace
}  // namespace chaski

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: score_agreement FOLDER [--verbose]\n", stderr);
    return 2;
  }
  try {
    return chaski::run(argv[1], argc > 2 && std::string(argv[2]) == "--verbose");
  } catch (const chaski::Error& error) {
    std::fprintf(stderr, "%s\n", chaski::describe(error).c_str());
    return 1;
  }
}
