// See doctor.h. The checks of each section are in doctor_*.cpp.
#include "machine/doctor.h"

#include <algorithm>

namespace chaski {
namespace {

OrderedJson to_json(const Words& words) { return {{"en", words.en}, {"zh", words.zh}}; }

OrderedJson to_json(const Finding& finding) {
  OrderedJson json = {{"id", finding.id}, {"section", finding.section}, {"status", name_of(finding.status)}};
  if (finding.step > 0) json["step"] = finding.step;
  json["what"] = to_json(finding.what);
  json["reason"] = finding.reason.empty() ? OrderedJson() : to_json(finding.reason);
  json["fix"] = finding.fix.empty() ? OrderedJson() : to_json(finding.fix);
  if (finding.status == FindingStatus::kFailure) json["code"] = traits_of(finding.code).name;
  json["facts"] = OrderedJson(finding.facts);
  return json;
}

}  // namespace

std::string_view name_of(FindingStatus status) {
  switch (status) {
    case FindingStatus::kOk:
      return "ok";
    case FindingStatus::kWarning:
      return "warning";
    case FindingStatus::kFailure:
      return "failure";
    case FindingStatus::kNotApplicable:
      return "not_applicable";
  }
  return "?";
}

const std::vector<Section>& sections() {
  static const std::vector<Section> kSections{{"cpu", "Processor and memory", "处理器与内存"},
                                              {"disk", "Disk and caches", "磁盘与缓存"},
                                              {"network", "Network", "网络"},
                                              {"nvidia", "NVIDIA GPU", "NVIDIA GPU"},
                                              {"ascend", "Ascend NPU", "昇腾 NPU"},
                                              {"energy", "Energy meters", "能耗计量"},
                                              {"sandbox", "Sandbox for code", "代码沙箱"},
                                              {"model", "Model", "模型"},
                                              {"selftest", "Self-test", "自检"}};
  return kSections;
}

Finding& Findings::add(std::string id, FindingStatus status, Words what, Words reason, Words fix,
                       ErrorCode code) {
  Finding finding;
  finding.section = id.substr(0, id.find('.'));
  finding.id = std::move(id);
  finding.status = status;
  finding.what = std::move(what);
  finding.reason = std::move(reason);
  finding.fix = std::move(fix);
  finding.code = code;
  all_.push_back(std::move(finding));
  return all_.back();
}

Finding& Findings::ok(std::string id, Words what, Words reason) {
  return add(std::move(id), FindingStatus::kOk, std::move(what), std::move(reason), {});
}

Finding& Findings::none(std::string id, Words what, Words reason) {
  return add(std::move(id), FindingStatus::kNotApplicable, std::move(what), std::move(reason), {});
}

Finding& Findings::warn(std::string id, Words what, Words reason, Words fix) {
  return add(std::move(id), FindingStatus::kWarning, std::move(what), std::move(reason), std::move(fix));
}

Finding& Findings::fail(std::string id, ErrorCode code, Words what, Words reason, Words fix) {
  return add(std::move(id), FindingStatus::kFailure, std::move(what), std::move(reason), std::move(fix),
             code);
}

void Findings::number_steps(size_t first) {
  for (size_t i = first; i < all_.size(); ++i) all_[i].step = static_cast<int>(i - first) + 1;
}

const Finding* Findings::find(std::string_view id) const {
  const auto it = std::find_if(all_.begin(), all_.end(), [&](const Finding& f) { return f.id == id; });
  return it == all_.end() ? nullptr : &*it;
}

bool Findings::has_failed(std::string_view id) const {
  const Finding* finding = find(id);
  return finding != nullptr && finding->status == FindingStatus::kFailure;
}

bool DoctorScope::names(std::string_view family) const {
  return device.substr(0, device.find(':')) == family;
}
bool DoctorScope::wants(std::string_view family) const { return device == "auto" || names(family); }

std::vector<Finding> examine(const MachineView& view, const DoctorScope& scope) {
  Findings found;
  check_processor(view, found);
  check_places(view, found);
  check_network(view, found);
  if (scope.wants("cuda")) check_nvidia(view, scope, found);
  if (scope.wants("ascend")) check_ascend(view, scope, found);
  check_energy(view, found);
  return found.take();
}

Diagnosis diagnose(const std::vector<Finding>& findings) {
  Diagnosis diagnosis;
  for (const Finding& finding : findings) {
    const bool is_worse =
        finding.status == FindingStatus::kFailure
            ? diagnosis.status != FindingStatus::kFailure
            : finding.status == FindingStatus::kWarning && diagnosis.status == FindingStatus::kOk;
    if (!is_worse) continue;
    diagnosis.status = finding.status;
    diagnosis.headline = &finding;
  }
  if (diagnosis.status == FindingStatus::kFailure) {
    diagnosis.exit_status = traits_of(diagnosis.headline->code).exit_status;
  }
  return diagnosis;
}

OrderedJson doctor_json(const std::vector<Finding>& findings) {
  const Diagnosis diagnosis = diagnose(findings);
  OrderedJson json = {{"schema", 1}, {"kind", "doctor"}, {"status", name_of(diagnosis.status)}};
  json["exit_status"] = diagnosis.exit_status;
  json["headline"] = diagnosis.headline == nullptr ? OrderedJson() : OrderedJson(diagnosis.headline->id);
  json["findings"] = OrderedJson::array();
  for (const Finding& finding : findings) json["findings"].push_back(to_json(finding));
  return json;
}

std::string chaski_home_of(const MachineView& view) {
  if (const std::string home = view.env("CHASKI_HOME"); !home.empty()) return home;
  const std::string home = view.env("HOME");
  return home.empty() ? std::string() : home + "/.local/share/chaski";
}

}  // namespace chaski
