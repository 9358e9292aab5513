// Doctor's check of energy meters: which of them this user may read.
#include "machine/doctor.h"
#include "machine/meters.h"

namespace chaski {

void check_energy(const MachineView& view, Findings& found) {
  const std::string parent = "/sys/class/powercap";
  bool is_there = false, is_readable = false;
  for (const std::string& zone : view.names(parent)) {
    const std::string counter = parent + "/" + zone + "/energy_uj";
    if (!view.exists(counter)) continue;
    is_there = true;
    is_readable = is_readable || !view.line(counter).empty();
  }
  std::string list;
  if (view.is_live()) {  // the readers of meters.h
    for (const auto& meter : find_energy_meters().meters) {
      list += fmt::format("{}{}", list.empty() ? "" : ", ", shown(meter->source()));
    }
  } else if (is_readable) {
    list = "rapl";
  }
  if (!list.empty()) {
    found.ok("energy.meters", words("energy can be measured by {}", "可测量能耗：{}", list)).facts = {
        {"meters", list}};
  } else if (is_there) {
    found.warn(
        "energy.meters",
        words("this user may not read the processor's energy counter", "当前用户无权读取处理器能耗计数器"),
        words("{}/*/energy_uj is for root alone", "{}/*/energy_uj 仅 root 可读", parent),
        words("sudo chmod a+r {}/*/energy_uj (until the next start)",
              "sudo chmod a+r {}/*/energy_uj（重启后失效）", parent));
  } else {
    found.none("energy.meters", words("this machine shows no energy meter", "本机没有可用的能耗计量"),
               words("reports then leave energy out; virtual machines usually have none",
                     "报告中将不含能耗；虚拟机通常如此"));
  }
}

}  // namespace chaski
