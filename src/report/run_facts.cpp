#include "report/run_facts.h"

#include <algorithm>

#include "report/figures.h"
#include "report/text_safety.h"

namespace chaski {
namespace {

constexpr size_t kMostSettings = 100;  // no run has more; a hostile record may

class FactList {
 public:
  explicit FactList(Lang lang) : lang_(lang) {}
  void add(FactGroup group, std::string_view en, std::string_view zh, std::string value) {
    if (!value.empty()) facts_.push_back({group, std::string(tr(lang_, en, zh)), std::move(value)});
  }
  void add(FactGroup group, std::string name, std::string value) {
    if (!value.empty()) facts_.push_back({group, std::move(name), std::move(value)});
  }
  std::vector<Fact> take() { return std::move(facts_); }

 private:
  Lang lang_;
  std::vector<Fact> facts_;
};

/// The parts that are not empty, with commas.
std::string joined(std::initializer_list<std::string> parts) {
  std::string text;
  for (const std::string& part : parts) {
    if (!part.empty()) text += (text.empty() ? "" : ", ") + part;
  }
  return text;
}

void add_model(const ModelFacts& m, Lang lang, FactList& facts) {
  using enum FactGroup;
  facts.add(kModel, "model", "模型", m.id);
  facts.add(kNone, "found at", "位置", m.path);
  facts.add(kModel, "parameters", "参数量", m.n_parameters > 0 ? parameters_text(m.n_parameters) : "");
  facts.add(kModel, "adapter (LoRA)", "适配器（LoRA）", m.lora);
  facts.add(kFormat, "weights", "权重",
            joined({m.format, m.weights, m.weight_bytes > 0 ? bytes_text(m.weight_bytes) : std::string()}));
  facts.add(kModel, "SHA-256 of the weights", "权重 SHA-256", m.hash);
  facts.add(kModel, "SHA-256 of the chat template", "对话模板 SHA-256", m.template_hash);
  if (m.is_synthetic) {
    facts.add(kModel, "random weights", "随机权重",
              std::string(tr(lang, "yes: for speed only", "是：仅供测速")));
  }
}

void add_machine(const RunRecord& r, Lang lang, FactList& facts) {
  using enum FactGroup;
  facts.add(kDevice, "device", "设备", joined({r.device.name, r.device.device_kind, r.device.path}));
  facts.add(kDevice, "threads", "线程数",
            r.device.n_threads > 0 ? fmt::format("{}", r.device.n_threads) : std::string());
  facts.add(kDevice, "computer", "计算机",
            joined({r.machine.cpu,
                    r.machine.n_cores > 0 ? trf(lang, "{} cores", "{} 核", r.machine.n_cores) : std::string(),
                    r.machine.memory_bytes > 0 ? bytes_text(r.machine.memory_bytes) : std::string()}));
  facts.add(kDevice, "accelerator", "加速卡", joined({r.machine.accelerator, r.machine.driver}));
  facts.add(kDevice, "clock governor", "频率策略", r.machine.governor);
  facts.add(kDevice, "operating system", "操作系统",
            joined({r.machine.os, r.machine.kernel, r.machine.arch}));
  facts.add(kDevice, "runner", "执行方式", joined({r.runner.name, r.runner.why_not_faster}));
  facts.add(kProgram, "program", "程序",
            r.build.version.empty()
                ? std::string()
                : joined({"chaski " + r.build.version, r.build.compiler, r.build.build_type}));
  facts.add(kNone, "began (UTC)", "开始时间（UTC）", r.summary.started_at);
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
    } else if (name == "template") {
      facts.add(FactGroup::kTemplate, "template", "对话模板", value_text(value));
    } else {
      // Objects are what was found out on the way, such as what the machine reaches.
      facts.add(value.is_object() ? FactGroup::kNone : FactGroup::kSettings, name, value_text(value));
    }
  }
  facts.add(FactGroup::kTemplate, "date told to the template", "告知模板的日期", r.model.date_string);
}

}  // namespace

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

std::string question_key(const AnswerRecord& item) {
  return fmt::format("{} {} {}", item.id.size(), item.id, item.prompt);
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
  if (record.settings.contains(title)) return value_text(record.settings.at(title));
  const std::string suite = suite_name(record);
  if (!suite.empty()) return suite;
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
    if (value.is_primitive()) {
      facts.add(FactGroup::kScoring, trf(lang, "scoring: {}", "评分：{}", name), value_text(value));
    } else if (value.is_object() && value.contains("sha256")) {
      facts.add(FactGroup::kScoring, trf(lang, "scoring: {}", "评分：{}", name),
                joined({value.contains("name") ? value_text(value["name"]) : std::string(),
                        value_text(value["sha256"])}));
    } else {
      facts.add(FactGroup::kNone, trf(lang, "scoring: {}", "评分：{}", name), to_json_text(value));
    }
  }
  return facts.take();
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
      row.push_back(found == of_run.end() ? "–" : found->value);
    }
    table.add(std::move(row));
  }
  return table;
}

}  // namespace chaski
