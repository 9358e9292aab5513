#include "report/run_facts.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/files.h"
#include "report/figures.h"
#include "report/names.h"
#include "report/text_safety.h"

namespace chaski {
namespace {

constexpr size_t kMostSettings = 100;  // no run has more; a hostile record may

class FactList {
 public:
  explicit FactList(Lang lang) : lang_(lang) {}
  void add(FactGroup group, std::string_view en, std::string_view zh, std::string value) {
    add_parts(group, en, zh, {std::move(value)});
  }
  void add(FactGroup group, std::string name, std::string value) {
    if (!value.empty()) facts_.push_back({group, std::move(name), {std::move(value)}});
  }
  /// Of those that are not empty.
  void add_parts(FactGroup group, std::string_view en, std::string_view zh, std::vector<std::string> parts) {
    parts.erase(std::remove(parts.begin(), parts.end(), std::string()), parts.end());
    if (!parts.empty()) facts_.push_back({group, std::string(tr(lang_, en, zh)), std::move(parts)});
  }
  std::vector<Fact> take() { return std::move(facts_); }

 private:
  Lang lang_;
  std::vector<Fact> facts_;
};

/// The parts that are not empty, with commas.
std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) {
    if (!part.empty()) text += (text.empty() ? "" : ", ") + part;
  }
  return text;
}

/// The beginning of what is a SHA-256, all of another text.
std::string short_hash(const std::string& text) {
  constexpr size_t kHashSize = 64, kShown = 12;
  const bool is_hash =
      text.size() == kHashSize && text.find_first_not_of("0123456789abcdef") == std::string::npos;
  return is_hash ? text.substr(0, kShown) : text;
}

void add_model(const ModelFacts& m, Lang lang, FactList& facts) {
  using enum FactGroup;
  facts.add(kModel, "model", "模型", m.id);
  facts.add(kNone, "found at", "位置", m.path);
  facts.add(kModel, "parameters", "参数量", m.n_parameters > 0 ? parameters_text(m.n_parameters) : "");
  facts.add(kModel, "adapter (LoRA)", "适配器（LoRA）", m.lora);
  facts.add_parts(kFormat, "weights", "权重",
                  {m.format, m.weights, m.weight_bytes > 0 ? bytes_text(m.weight_bytes) : std::string()});
  facts.add(kModel, "SHA-256 of the weights", "权重 SHA-256", m.hash);
  if (m.is_synthetic) {
    facts.add(kModel, "random weights", "随机权重",
              std::string(tr(lang, "yes: for speed only", "是：仅供测速")));
  }
}

void add_machine(const RunRecord& r, Lang lang, FactList& facts) {
  using enum FactGroup;
  facts.add_parts(kDevice, "device", "设备",
                  {r.device.name, words_for(NameOf::kDeviceKind, r.device.device_kind, lang), r.device.path});
  facts.add(kDevice, "threads", "线程数",
            r.device.n_threads > 0 ? fmt::format("{}", r.device.n_threads) : std::string());
  facts.add_parts(kDevice, "computer", "计算机",
                  {r.machine.cpu,
                   r.machine.n_cores > 0 ? trf(lang, "{} cores", "{} 核", r.machine.n_cores) : std::string(),
                   r.machine.memory_bytes > 0 ? bytes_text(r.machine.memory_bytes) : std::string()});
  facts.add_parts(kDevice, "accelerator", "加速卡", {r.machine.accelerator, r.machine.driver});
  facts.add(kDevice, "clock governor", "频率策略", r.machine.governor);
  facts.add_parts(kDevice, "operating system", "操作系统", {r.machine.os, r.machine.kernel, r.machine.arch});
  facts.add_parts(
      kDevice, "runner", "执行方式",
      {words_for(NameOf::kRunner, r.runner.name, lang), remark_words(r.runner.why_not_faster, lang)});
  if (!r.build.version.empty()) {
    facts.add_parts(kProgram, "program", "程序",
                    {"chaski " + r.build.version, r.build.compiler, r.build.build_type});
  }
  facts.add(kNone, "began (UTC)", "开始时间（UTC）", r.summary.started_at);
}

/// Of the template that the prompts were made by, which a run with one of its own has not from its model.
void add_template_hash(const RunRecord& r, FactList& facts) {
  constexpr std::string_view kRaw = "raw:";
  const auto choice = r.settings.find("template");
  const bool is_raw = choice != r.settings.end() && choice->is_string() &&
                      choice->get_ref<const std::string&>().starts_with(kRaw);
  facts.add(
      is_raw ? FactGroup::kTemplate : FactGroup::kModel, "SHA-256 of the template", "对话模板 SHA-256",
      is_raw ? sha256_of(choice->get_ref<const std::string&>().substr(kRaw.size())) : r.model.template_hash);
}

void add_settings(const RunRecord& r, Lang lang, FactList& facts) {
  size_t n = 0;
  for (const auto& [name, value] : r.settings.items()) {
    if (++n > kMostSettings) break;
    if (value.is_null() || (value.is_array() && value.empty())) continue;  // not set
    if (name == "suite") {
      facts.add(FactGroup::kNone, "questions", "题集", run_title(r, lang));
      if (value.is_object() && value.contains("sha256")) {
        facts.add(FactGroup::kQuestions, "SHA-256 of the questions", "题集 SHA-256",
                  value_text(value["sha256"]));
      }
      facts.add(FactGroup::kQuestions, "part of the questions", "所选部分题目", part_text(r, lang));
    } else if (name == "template") {
      facts.add(FactGroup::kTemplate, "template", "对话模板", setting_words(name, value, lang));
    } else {
      // Objects are what was found out on the way, such as what the machine reaches.
      const bool is_found = value.is_object() || name == "clock_mhz" || name == "n_failed";
      facts.add(is_found ? FactGroup::kNone : FactGroup::kSettings, words_for(NameOf::kSetting, name, lang),
                setting_words(name, value, lang));
    }
  }
  add_template_hash(r, facts);
  facts.add(FactGroup::kTemplate, "date told to the template", "告知模板的日期", r.model.date_string);
}

}  // namespace

std::string Fact::value() const { return joined(parts); }

std::string_view title_of(FactGroup group, Lang lang) {
  switch (group) {
    case FactGroup::kModel:
      return tr(lang, "model", "模型");
    case FactGroup::kFormat:
      return tr(lang, "weight format", "权重格式");
    case FactGroup::kTemplate:
      return tr(lang, "template", "对话模板");
    case FactGroup::kDevice:
      return tr(lang, "device and machine", "设备与机器");
    case FactGroup::kProgram:
      return tr(lang, "program", "程序版本");
    case FactGroup::kSettings:
      return tr(lang, "settings", "运行设置");
    case FactGroup::kQuestions:
      return tr(lang, "questions", "题目");
    case FactGroup::kScoring:
      return tr(lang, "scoring", "评分规则");
    case FactGroup::kNone:
      break;
  }
  return tr(lang, "other", "其他");
}

std::string value_text(const OrderedJson& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "–";
  return to_json_text(value);
}

std::string side_letter(const RunView& run) { return run.side == "a" ? "A" : run.side == "b" ? "B" : ""; }

MemoryParts memory_of(const RunRecord& record) {
  const MemoryRecord memory = record.memory.value_or(MemoryRecord());
  const auto first = [](int64_t measured, int64_t other) { return measured > 0 ? measured : other; };
  return {first(memory.weight_bytes, record.device.weight_bytes),
          first(memory.kv_bytes, record.summary.kv_bytes), memory.scratch_bytes,
          first(memory.peak_rss_bytes, record.summary.peak_rss_bytes)};
}

int64_t batch_of(const RunRecord& record) {
  const auto batch = record.settings.find("batch");
  return batch != record.settings.end() && batch->is_number_integer() ? batch->get<int64_t>() : 1;
}

std::optional<double> answers_s(const RunRecord& record) {
  return batch_of(record) > 1 ? record.summary.wall_s : std::optional(record.summary.total_s);
}

std::string part_text(const RunRecord& record, Lang lang) {
  const auto field = [&](const char* name) {
    const OrderedJson::json_pointer where(std::string("/suite/part/") + name);
    return record.settings.contains(where) ? record.settings.at(where) : OrderedJson();
  };
  const OrderedJson n_questions = field("n_questions"), types = field("types"), limit = field("limit");
  if (n_questions.is_null()) return {};
  return joined({trf(lang, "{} of {} questions", "{} 题（共 {} 题）", value_text(n_questions),
                     value_text(field("n_all"))),
                 types.is_null() ? std::string() : trf(lang, "types {}", "类型 {}", value_text(types)),
                 limit.is_null()
                     ? std::string()
                     : trf(lang, "the first {} of each type", "每类前 {} 题", value_text(limit))});
}

std::string question_key(const AnswerRecord& item) {
  return fmt::format("{} {} {}", item.id.size(), item.id, item.prompt);
}

bool answered_alike(std::span<const RunView> runs) {
  const auto answered = [](const RunRecord& record) {
    std::set<std::pair<std::string, int64_t>> questions;
    for (const AnswerRecord& item : record.items) {
      if (item.finish_reason != "error") questions.emplace(question_key(item), item.sample);
    }
    return questions;
  };
  for (size_t i = 1; i < runs.size(); ++i) {
    if (answered(*runs[i].record) != answered(*runs[0].record)) return false;
  }
  return true;
}

std::string model_name(const RunRecord& record) {
  std::string id = record.model.id;
  while (id.size() > 1 && id.back() == '/') id.pop_back();
  const size_t slash = id.find_last_of('/');
  if (slash != std::string::npos && slash + 1 < id.size()) id.erase(0, slash + 1);
  return id.empty() ? "?" : short_name(id, 60);
}

std::string run_title(const RunRecord& record, Lang lang) {
  const OrderedJson::json_pointer title("/suite/title/" + std::string(name_of(lang)));
  const std::string suite =
      record.settings.contains(title) ? value_text(record.settings.at(title)) : suite_name(record);
  const bool is_part = !part_text(record, lang).empty();
  if (!suite.empty()) return is_part ? suite + std::string(tr(lang, " (a part)", "（部分题目）")) : suite;
  if (record.kind == "bench") return std::string(tr(lang, "bench", "性能测试"));
  return record.kind;
}

std::vector<Fact> facts_of(const RunRecord& record, Lang lang) {
  FactList facts(lang);
  add_model(record.model, lang, facts);
  add_machine(record, lang, facts);
  add_settings(record, lang, facts);
  size_t n = 0;
  for (const auto& [name, value] : record.scoring.items()) {
    if (name == "by_type") continue;  // the scores' own table has it
    if (++n > kMostSettings) break;
    const std::string title = trf(lang, "scoring: {}", "评分：{}", words_for(NameOf::kSetting, name, lang));
    if (value.is_primitive()) {
      // Where programs ran is no rule of scoring.
      const bool is_place = name == "sandbox" || name == "sandbox_note";
      facts.add(is_place ? FactGroup::kNone : FactGroup::kScoring, title,
                remark_words(setting_words(name, value, lang), lang));
    } else if (value.is_object() && value.contains("sha256")) {
      facts.add(FactGroup::kScoring, title,
                joined({value.contains("name") ? value_text(value["name"]) : std::string(),
                        value_text(value["sha256"])}));
    } else {
      facts.add(FactGroup::kNone, title, to_json_text(value));
    }
  }
  return facts.take();
}

std::string label_of(const Fact& fact, std::span<const Fact> others) {
  const auto is_shared = [&](const std::string& part) {
    return std::all_of(others.begin(), others.end(), [&](const Fact& other) {
      return std::find(other.parts.begin(), other.parts.end(), part) != other.parts.end();
    });
  };
  const bool is_same =
      std::all_of(others.begin(), others.end(), [&](const Fact& other) { return other.parts == fact.parts; });
  if (is_same) return "";
  if (fact.parts.size() == 1) return fmt::format("{} {}", fact.title, short_hash(fact.parts[0]));
  std::vector<std::string> own = fact.parts;
  own.erase(std::remove_if(own.begin(), own.end(), is_shared), own.end());
  return own.empty() ? fact.value() : joined(own);
}

std::vector<std::string> labels_of(std::span<const std::vector<Fact>> runs) {
  std::map<std::string, std::vector<Fact>> values;  // by title, each once
  std::map<std::string, size_t> n_runs;
  for (const std::vector<Fact>& facts : runs) {
    for (const Fact& fact : facts) {
      if (fact.group == FactGroup::kNone) continue;
      std::vector<Fact>& known = values[fact.title];
      const bool is_known = std::any_of(known.begin(), known.end(),
                                        [&](const Fact& other) { return other.parts == fact.parts; });
      if (!is_known) known.push_back(fact);
      ++n_runs[fact.title];
    }
  }
  for (auto& [title, known] : values) {
    if (n_runs[title] < runs.size()) known.push_back({FactGroup::kNone, title, {}});
  }
  std::vector<std::string> labels;
  for (const std::vector<Fact>& facts : runs) {
    std::vector<std::string> parts;
    for (const FactGroup group : kTellingGroups) {
      for (const Fact& fact : facts) {
        if (fact.group == group) parts.push_back(label_of(fact, values[fact.title]));
      }
    }
    labels.push_back(joined(parts));
  }
  return labels;
}

Table facts_table(std::span<const RunView> runs, Lang lang) {
  Table table{"facts", {}, {std::string(tr(lang, "what", "项目"))}, "l", {}, {}, {""}};
  std::vector<std::string> titles;
  std::vector<std::vector<Fact>> facts;
  for (const RunView& run : runs) {
    table.columns.push_back(runs.size() == 1 ? std::string(tr(lang, "value", "内容")) : side_letter(run));
    table.align += 'l';
    table.sides.push_back(run.side);
    facts.push_back(facts_of(*run.record, lang));
    for (const Fact& fact : facts.back()) {
      if (std::find(titles.begin(), titles.end(), fact.title) == titles.end()) titles.push_back(fact.title);
    }
  }
  for (const std::string& title : titles) {
    std::vector<std::string> row{title};
    for (const std::vector<Fact>& of_run : facts) {
      const auto found =
          std::find_if(of_run.begin(), of_run.end(), [&](const Fact& fact) { return fact.title == title; });
      row.push_back(found == of_run.end() ? "–" : found->value());
    }
    table.add(std::move(row));
  }
  return table;
}

}  // namespace chaski
