// Tables of run_tables.h that are about questions: one by one, their scores, shares by public protocols.
#include "report/eval_report.h"
#include "report/figures.h"
#include "report/names.h"
#include "report/per_run_table.h"

namespace chaski {
namespace {

/// The first of a question's answers and the means over its samples.
struct QuestionMeans {
  const AnswerRecord* first = nullptr;
  double seconds = 0, n_tokens = 0;
  int64_t n = 0;
};
std::unordered_map<std::string, QuestionMeans> question_means(const RunRecord& record) {
  std::unordered_map<std::string, QuestionMeans> means;
  for (const AnswerRecord& item : record.items) {
    QuestionMeans& of_question = means[question_key(item)];
    if (of_question.first == nullptr) of_question.first = &item;
    of_question.seconds += item.seconds;
    of_question.n_tokens += static_cast<double>(item.n_tokens());
    ++of_question.n;
  }
  for (auto& [id, of_question] : means) {
    of_question.seconds /= static_cast<double>(of_question.n);
    of_question.n_tokens /= static_cast<double>(of_question.n);
  }
  return means;
}

std::string column_of(const RunView& run, std::string_view what) {
  const std::string letter = side_letter(run);
  return letter.empty() ? std::string(what) : fmt::format("{}: {}", letter, what);
}

std::string type_label(Runs runs, const std::string& type, Lang lang) {
  return type.empty() ? std::string(tr(lang, "all", "全部")) : type_title(*runs[0].record, type, lang);
}

}  // namespace

Table questions_table(Runs runs, const std::optional<ScorerChoice>& scorer, const Published* published,
                      Lang lang) {
  Table table{"questions",
              std::string(tr(lang, "Question by question", "逐题结果")),
              {"#", std::string(tr(lang, "task type", "任务类型"))},
              "ll",
              {},
              {},
              {"", ""}};
  const auto column = [&](std::string title, std::string side) {
    table.columns.push_back(std::move(title));
    table.align += 'r';
    table.sides.push_back(std::move(side));
  };
  std::vector<std::unordered_map<std::string, QuestionMeans>> means;
  std::vector<std::map<std::string, double>> scores;
  std::vector<const AnswerRecord*> questions;
  std::set<std::string> seen;
  for (const RunView& run : runs) {
    means.push_back(question_means(*run.record));
    scores.push_back(scorer ? question_scores(*run.record, {scorer->scorer, scorer->kind})
                            : std::map<std::string, double>());
    for (const AnswerRecord& item : run.record->items) {
      if (seen.insert(question_key(item)).second) questions.push_back(&item);
    }
  }
  for (const RunView& run : runs) column(column_of(run, tr(lang, "seconds", "用时（秒）")), run.side);
  for (const RunView& run : runs) column(column_of(run, tr(lang, "tokens", "词元数")), run.side);
  if (scorer) {
    for (const RunView& run : runs) column(column_of(run, tr(lang, "score", "得分")), run.side);
  }
  if (published != nullptr) {
    for (const PublishedRun& run : published->runs) {
      column(trf(lang, "published, s: {}", "已发表（秒）：{}", run.name), "p");
    }
  }
  for (const AnswerRecord* question : questions) {
    std::vector<std::string> row{question->id, type_title(*runs[0].record, question->type, lang)};
    const auto add = [&](const std::function<std::string(size_t)>& cell) {
      for (size_t i = 0; i < runs.size(); ++i) row.push_back(cell(i));
    };
    const std::string key = question_key(*question);
    add([&](size_t i) { return means[i].count(key) > 0 ? fixed(means[i][key].seconds) : std::string("–"); });
    add([&](size_t i) {
      return means[i].count(key) > 0 ? figure(means[i][key].n_tokens) : std::string("–");
    });
    if (scorer) {
      add([&](size_t i) {
        const auto at = scores[i].find(question->id);
        return at == scores[i].end() || means[i].count(key) == 0 ? std::string("–") : figure(at->second);
      });
    }
    for (size_t i = 0; published != nullptr && i < published->runs.size(); ++i) {
      const auto at = published->runs[i].seconds.find(question->id);
      row.push_back(at == published->runs[i].seconds.end() ? std::string(tr(lang, "not given", "未给出"))
                                                           : fixed(at->second));
    }
    table.add(std::move(row));
  }
  return table;
}

Table scores_table(Runs runs, const ScorerChoice& scorer, Lang lang) {
  const bool is_points = scorer.kind == ScoreKind::kPoints;
  const std::string by = words_for(NameOf::kScorer, scorer.scorer, lang);
  PerRun table("scores",
               is_points ? trf(lang, "Scores from 1 to 5 ({})", "得分 1–5（{}）", by)
                         : trf(lang, "Share of right answers ({})", "正确率（{}）", by),
               runs, nullptr, lang);
  std::map<const RunRecord*, std::map<std::string, TypeScore>> summaries;
  std::vector<std::string> types{""};
  std::set<std::string> seen{""};
  for (const RunView& run : runs) {
    for (const TypeScore& summary : scores_by_type(*run.record, scorer)) {
      summaries[run.record].emplace(summary.type, summary);
      if (seen.insert(summary.type).second) types.push_back(summary.type);
    }
  }
  for (const std::string& type : types) {
    table.row(type_label(runs, type, lang), [&](const RunRecord& record) {
      const auto at = summaries[&record].find(type);
      if (at == summaries[&record].end()) return std::string();
      const TypeScore& s = at->second;
      const std::string value =
          is_points
              ? fmt::format("{:.2f}{}", s.mean,
                            s.ci95 ? fmt::format(" ({:.2f} – {:.2f})", s.ci95->low, s.ci95->high) : "")
              : fmt::format(
                    "{}{}", percent(s.mean),
                    s.ci95 ? fmt::format(" ({} – {})", percent(s.ci95->low), percent(s.ci95->high)) : "");
      return value + fmt::format(" · n = {}", s.n);
    });
  }
  table.note(std::string(
      tr(lang,
         "Mean over questions, 95 % bootstrap interval over questions in brackets (from six questions on).",
         "按题平均；括号内为按题自助法 95 % 区间（至少六题）。")));
  if (scorer.questions) {
    table.note(std::string(
        tr(lang, "Of the questions that both runs have a score for; one that failed has the least.",
           "只计两次运行都有得分的题；失败的题得最低分。")));
  }
  return table.take();
}

Table results_table(Runs runs, Lang lang) {
  PerRun table("results", tr(lang, "Results by public protocols", "公开评测协议的结果"), runs, nullptr, lang);
  rows_by_key<TaskResult>(
      table, runs, &RunRecord::results,
      [lang](const TaskResult& r) {
        return fmt::format("{} · {}", r.task, words_for(NameOf::kMetric, r.metric, lang));
      },
      [](const TaskResult& r) {
        return fmt::format("{:.4f}{} · n = {}", r.value,
                           r.standard_error ? fmt::format(" ± {:.4f}", *r.standard_error) : "", r.n);
      });
  return table.take();
}

}  // namespace chaski
