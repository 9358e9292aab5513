#include "lab/doctor_page.h"

#include <algorithm>

#include "report/text_safety.h"

namespace chaski {
namespace {

constexpr int kSteps = 12;

std::string in(Lang lang, const Words& words) {
  return visible_text(lang == Lang::kZh ? words.zh : words.en);
}

struct Mark {
  std::string_view en, zh, colour;
};

Mark mark_of(FindingStatus status) {
  switch (status) {
    case FindingStatus::kOk:
      return {"ok", "正常", "32"};
    case FindingStatus::kWarning:
      return {"warn", "注意", "33"};
    case FindingStatus::kFailure:
      return {"FAIL", "失败", "31;1"};
    case FindingStatus::kNotApplicable:
      return {"-", "-", "2"};
  }
  return {"?", "?", "0"};
}

/// The status as a word of four columns.
std::string mark(FindingStatus status, Lang lang, bool has_colours) {
  const Mark m = mark_of(status);
  const std::string word = pad_right(tr(lang, m.en, m.zh), 4);
  return has_colours ? fmt::format("\x1b[{}m{}\x1b[0m", m.colour, word) : word;
}

std::string lines_of(const Finding& finding, Lang lang, bool has_colours) {
  const std::string step = finding.step > 0 ? fmt::format("{:2}. ", finding.step) : "";
  const std::string indent(8 + step.size(), ' ');
  std::string text =
      fmt::format("  {}  {}{}\n", mark(finding.status, lang, has_colours), step, in(lang, finding.what));
  if (!finding.reason.empty()) text += fmt::format("{}{}\n", indent, in(lang, finding.reason));
  if (!finding.fix.empty()) {
    text += fmt::format("{}{}{}\n", indent, tr(lang, "Fix: ", "解决办法："), in(lang, finding.fix));
  }
  return text;
}

std::string verdict(const Diagnosis& diagnosis, const std::vector<Finding>& findings, Lang lang) {
  const auto count = [&](FindingStatus status) {
    return std::count_if(findings.begin(), findings.end(),
                         [&](const Finding& f) { return f.status == status; });
  };
  const auto n_failures = count(FindingStatus::kFailure), n_warnings = count(FindingStatus::kWarning);
  if (diagnosis.status == FindingStatus::kOk) {
    return std::string(tr(lang, "Everything that was checked is in order.\n", "检查的各项均正常。\n"));
  }
  return trf(lang, "Failures: {}. Warnings: {}. First: {}\n", "失败 {} 项，注意 {} 项。首先处理：{}\n",
             n_failures, n_warnings, headline_of(*diagnosis.headline, lang));
}

}  // namespace

std::string headline_of(const Finding& finding, Lang lang) {
  std::string what = in(lang, finding.what);
  // A warning's first line says what is there; what is wrong with it comes after.
  if (finding.status == FindingStatus::kWarning && !finding.reason.empty()) {
    what += fmt::format("{}{}", tr(lang, "; ", "；"), in(lang, finding.reason));
  }
  if (finding.step == 0) return what;
  return trf(lang, "Ascend step {} of {}: {}", "昇腾第 {} 步（共 {} 步）：{}", finding.step, kSteps, what);
}

std::string doctor_page(const std::vector<Finding>& findings, Lang lang, bool has_colours) {
  const Diagnosis diagnosis = diagnose(findings);
  std::string text = verdict(diagnosis, findings, lang);
  if (diagnosis.headline != nullptr && !diagnosis.headline->fix.empty()) {
    text += fmt::format("{}{}\n", tr(lang, "Fix: ", "解决办法："), in(lang, diagnosis.headline->fix));
  }
  for (const Section& section : sections()) {
    std::string lines;
    for (const Finding& finding : findings) {
      if (finding.section == section.key) lines += lines_of(finding, lang, has_colours);
    }
    if (!lines.empty()) text += fmt::format("\n{}\n{}", tr(lang, section.en, section.zh), lines);
  }
  return text;
}

}  // namespace chaski
