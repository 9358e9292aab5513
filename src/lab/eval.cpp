#include "lab/eval.h"

#include <algorithm>
#include <list>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "lab/loglikelihood.h"
#include "machine/machine_info.h"
#include "report/eval_report.h"
#include "report/warnings.h"

namespace chaski {
namespace {

/// As many as decode together for little more than the time of one, and whose caches fit beside a model.
constexpr int32_t kDefaultBatch = 8;

/// Whether an error concerns this question only, so that the next one may be asked.
bool is_of_one_question(ErrorCode code) {
  return code == ErrorCode::kUsage || code == ErrorCode::kUnsupported || code == ErrorCode::kCorrupt;
}

std::vector<double> gaps_of(const std::vector<double>& times) {
  std::vector<double> gaps;
  for (size_t i = 1; i < times.size(); ++i) gaps.push_back(std::max(0.0, times[i] - times[i - 1]));
  return gaps;
}

/// Questions under way in the engine, from being asked to being a row of the journal.
class Asking {
 public:
  Asking(const EvalSubject& subject, const EvalPlan& plan, ItemJournal& journal, const EvalEvents& events)
      : engine_(subject.engine),
        prompts_(subject.prompts),
        plan_(plan),
        journal_(journal),
        events_(events),
        wall_before_s_(journal.wall_s()) {}
  ~Asking() { drop_all(); }
  Asking(const Asking&) = delete;
  Asking& operator=(const Asking&) = delete;

  size_t n_under_way() const { return under_way_.size(); }

  void ask(const SuiteItem& item, int64_t sample) {
    if (events_.on_question) events_.on_question(item, sample);
    UnderWay asked;
    AnswerRecord& answer = begin(asked, item, sample);
    try {
      if (item.choice) {
        choose(item, answer);
      } else {
        Request request =
            request_of(plan_.settings, plan_.eos, prompts_.question(item.prompt, plan_.settings.system).ids);
        request.sampling.sample = static_cast<uint64_t>(sample);
        answer.n_prompt_tokens = static_cast<int64_t>(request.prompt.size());
        asked.id = engine_.submit(std::move(request), plan_.batch == 1 ? events_.on_text : OnText());
      }
    } catch (const Error& error) {
      if (!is_of_one_question(error.code())) throw;
      return finish(std::move(asked), error.what(), error.code());
    }
    if (item.choice) return finish(std::move(asked), {}, {});
    under_way_.push_back(std::move(asked));
  }

  /// One step of all; those it ended are in the journal then.
  void step() {
    try {
      CHECK(engine_.step(), "{} questions are under way and there is nothing to do", under_way_.size());
    } catch (const Error& error) {
      // What the step could not do is the end of those that it ended; if it ended none, of the run.
      if (!is_of_one_question(error.code()) || !any_is_finished()) throw;
    }
    for (auto asked = under_way_.begin(); asked != under_way_.end();) {
      if (!engine_.is_finished(asked->id)) {
        ++asked;
        continue;
      }
      UnderWay done = std::move(*asked);
      asked = under_way_.erase(asked);
      take(std::move(done));
    }
  }

 private:
  struct UnderWay {
    ItemRow row;
    RequestId id = 0;
    Stopwatch since_asked;
  };

  static AnswerRecord& begin(UnderWay& asked, const SuiteItem& item, int64_t sample) {
    AnswerRecord& answer = asked.row.answer;
    answer.id = item.id;
    answer.type = item.type;
    answer.prompt = item.prompt;
    answer.sample = sample;
    answer.finish_reason = name_of(FinishReason::kError);
    return answer;
  }

  /// No token is generated, so that there is nothing to go on with in later steps.
  void choose(const SuiteItem& item, AnswerRecord& answer) {
    const ChoiceTask& task = *item.choice;
    if (plan_.settings.system) {
      throw Error(ErrorCode::kUsage, "eval",
                  "these questions are plain text, which has no place for a system text");
    }
    std::vector<std::string> continuations;
    for (const std::string& choice : task.choices) continuations.push_back(task.delimiter + choice);
    const ContinuationScores scores =
        score_continuations(engine_, prompts_, task.lead + item.prompt, continuations);
    answer.n_prompt_tokens = scores.n_context_tokens;
    for (size_t i = 0; i < task.choices.size(); ++i) {
      const ContinuationScore& score = scores.continuations[i];
      answer.choices.push_back({task.choices[i], score.loglikelihood, score.is_greedy});
    }
    answer.answer = most_probable(answer.choices).text;
    answer.finish_reason = kChoiceEnd;
  }

  bool any_is_finished() const {
    return std::any_of(under_way_.begin(), under_way_.end(),
                       [this](const UnderWay& asked) { return engine_.is_finished(asked.id); });
  }

  void take(UnderWay done) {
    Answer got = engine_.take(done.id);
    AnswerRecord& answer = done.row.answer;
    answer.tpot_s = tpot_s(got);
    if (got.timings.ttft_s > 0) answer.ttft_s = got.timings.ttft_s;
    answer.answer = std::move(got.text);
    answer.ids = std::move(got.ids);
    answer.finish_reason = name_of(got.finish_reason);
    done.row.itl_s = gaps_of(got.timings.token_s);
    finish(std::move(done), got.error, got.error_code);
  }

  void finish(UnderWay done, const std::string& error, ErrorCode code) {
    AnswerRecord& answer = done.row.answer;
    answer.seconds = done.since_asked.seconds();
    if (!error.empty()) done.row.failure = FailureRecord{answer.id, answer.sample, code, error};
    done.row.wall_s = wall_before_s_ + since_begin_.seconds();
    journal_.append(std::move(done.row));
    if (events_.on_row) events_.on_row(journal_.rows().back());
  }

  void drop_all() noexcept {
    for (const UnderWay& asked : under_way_) {
      try {
        engine_.cancel(asked.id);
        engine_.take(asked.id);
      } catch (...) {  // the engine has less of it than we do
      }
    }
  }

  Engine& engine_;
  const PromptMaker& prompts_;
  const EvalPlan& plan_;
  ItemJournal& journal_;
  const EvalEvents& events_;
  const double wall_before_s_;
  const Stopwatch since_begin_;
  std::list<UnderWay> under_way_;
};

}  // namespace

int32_t default_batch(const Suite& suite) { return suite.is_timed_alone ? 1 : kDefaultBatch; }

bool ask_all(const EvalSubject& subject, std::span<const SuiteItem> items, const EvalPlan& plan,
             ItemJournal& journal, const EvalEvents& events, const CancelToken& cancel) {
  std::list<std::pair<const SuiteItem*, int64_t>> left;
  for (const SuiteItem& item : items) {
    for (int64_t sample = 0; sample < plan.n_samples; ++sample) {
      if (!journal.has(item.id, sample)) left.emplace_back(&item, sample);
    }
  }
  Asking asking(subject, plan, journal, events);
  while (!left.empty() || asking.n_under_way() > 0) {
    if (cancel.is_cancelled()) return false;
    if (!left.empty() && asking.n_under_way() < static_cast<size_t>(plan.batch)) {
      asking.ask(*left.front().first, left.front().second);
      left.pop_front();
    } else {
      asking.step();
    }
  }
  return true;
}

void take_answers(const ItemJournal& journal, const Suite& suite, RunRecord& record) {
  std::map<std::string, std::vector<const ItemRow*>> rows;
  for (const ItemRow& row : journal.rows()) rows[row.answer.id].push_back(&row);
  std::vector<const ItemRow*> in_order;
  for (const SuiteItem& item : suite.items) {
    std::vector<const ItemRow*>& samples = rows[item.id];
    std::sort(samples.begin(), samples.end(),
              [](const ItemRow* a, const ItemRow* b) { return a->answer.sample < b->answer.sample; });
    in_order.insert(in_order.end(), samples.begin(), samples.end());
  }
  for (const ItemRow* row : in_order) {
    record.items.push_back(row->answer);
    if (row->failure) record.failures.push_back(*row->failure);
  }
  record.metrics = answer_metrics(in_order);
  if (!journal.rows().empty()) record.summary.wall_s = journal.wall_s();
  record.summary.peak_rss_bytes = peak_rss_bytes();
  record.summary.ended_at = utc_timestamp();
  summarise(record);
}

OrderedJson settings_json(const Suite& suite, const EvalPlan& plan) {
  const auto both = [](const Bilingual& text) { return OrderedJson{{"en", text.en}, {"zh", text.zh}}; };
  OrderedJson json;
  json["suite"] = {
      {"name", suite.name}, {"title", both(suite.title)}, {"source", suite.source}, {"sha256", suite.sha256}};
  if (!suite.part.is_null()) json["suite"]["part"] = suite.part;
  json["suite"]["types"] = OrderedJson::object();
  for (const auto& [type, title] : suite.types) json["suite"]["types"][type] = both(title);
  json["n_samples"] = plan.n_samples;
  json["batch"] = plan.batch;
  json.update(to_json(plan.settings));
  return json;
}

std::vector<RunWarning> warnings_for(const RunRecord& record, PromptMaker::Kind kind) {
  std::vector<RunWarning> warnings;
  const auto warn = [&](bool applies, std::string_view code) {
    if (applies) warnings.push_back(make_warning(code));
  };
  const bool is_greedy =
      record.settings.value("temperature", 1.0) == 0.0 || record.settings.value("top_k", 0) == 1;
  const bool is_single = record.settings.value("n_samples", 1) == 1;
  const auto has_end = [&](std::string_view reason) {
    return std::any_of(record.items.begin(), record.items.end(),
                       [&](const AnswerRecord& item) { return item.finish_reason == reason; });
  };
  warn(record.model.is_synthetic, "synthetic_weights");
  warn(record.device.device_kind == "emulated", "emulated");
  warn(record.build.build_type == "Debug", "not_optimised");
  warn(is_single && !is_greedy, "single_sample");
  warn(is_single && is_greedy, "single_timing");
  warn(record.settings.value("batch", 1) > 1, "batched");
  warn(record.settings.contains(OrderedJson::json_pointer("/suite/part")), "part_of_suite");
  warn(!record.model.is_synthetic && record.model.n_parameters < 1'000'000'000, "small_model");
  warn(kind == PromptMaker::Kind::kRaw, "raw_template");
  warn(kind == PromptMaker::Kind::kPlain, "no_template");
  warn(has_end(name_of(FinishReason::kLength)), "cut_answers");
  warn(!record.failures.empty(), "failed_answers");
  return warnings;
}

void write_record(const std::filesystem::path& folder, const RunRecord& record, Lang lang) {
  write_file_atomic(folder / "report.md", eval_markdown(record, lang));
  write_file_atomic(folder / "run.json", to_json_text(to_json(record), 2) + "\n");
}

}  // namespace chaski
