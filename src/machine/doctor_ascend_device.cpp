// Steps 7 to 12 of doctor_ascend.cpp: what the driver says of the NPUs. What only an opened device can tell
// waits for the self-test (cli/doctor.cpp).
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "machine/ascend_steps.h"

namespace chaski {
namespace {

constexpr double kGib = 1024.0 * 1024 * 1024;
constexpr int64_t kLeastFree = int64_t{4} << 30;  // Llama-3.2-1B in bf16 with its cache and workspace
/// An idle NPU holds 3 GB of 32 and 4 GB of 64 itself; more than this share of it is somebody's.
constexpr double kIdleShare = 0.125;

Words not_started() {
  return words("nothing was started on the NPU; chaski doctor --device ascend --self-test does that",
               "未在 NPU 上运行任何程序；chaski doctor --device ascend --self-test 会运行");
}

struct VisibleList {
  std::vector<int> ids;
  std::string cut_at;  ///< the first entry that is none: it and all behind it do not count
  bool has_duplicates = false, is_sorted = true;
};

VisibleList parse_visible(std::string_view text, int n_devices) {
  VisibleList list;
  while (!text.empty() && list.ids.size() < 256) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    int id = 0;
    const auto [end, fault] = std::from_chars(part.data(), part.data() + part.size(), id);
    if (fault != std::errc() || end != part.data() + part.size() || id < 0 || id >= n_devices) {
      list.cut_at = shown(part, 20);
      break;
    }
    if (std::find(list.ids.begin(), list.ids.end(), id) != list.ids.end()) list.has_duplicates = true;
    if (!list.ids.empty() && id < list.ids.back()) list.is_sorted = false;
    list.ids.push_back(id);
  }
  return list;
}

/// Step 7: which NPUs the runtime shows to a program.
void check_runtime(const AscendSeen& seen, Findings& found) {
  const std::string id = "ascend.runtime", name = "ASCEND_RT_VISIBLE_DEVICES";
  const std::string text = seen.view.env(name);
  const auto n_devices = static_cast<int>(seen.install.nodes.size());
  Json facts = {{"visible", nullptr}, {"devices", n_devices}};
  if (text.empty()) {
    found
        .none(id, words("all {} NPUs are visible to programs", "{} 个 NPU 对程序全部可见", n_devices),
              not_started())
        .facts = facts;
    return;
  }
  const VisibleList list = parse_visible(text, n_devices);
  facts["visible"] = shown(text);
  const Words fix = words("export {}=0 (numbers of NPUs, ascending, each once), or unset it",
                          "export {}=0（NPU 编号，升序，不重复），或取消该变量", name);
  const std::string setting = fmt::format("{}={}", name, shown(text, 60));
  if (list.has_duplicates) {
    found
        .fail(id, ErrorCode::kDevice, words("{}: a number stands twice", "{}：编号重复", setting),
              words("the runtime refuses such a list: no NPU would be visible",
                    "运行时会拒绝这样的列表：没有 NPU 可见"),
              fix)
        .facts = facts;
  } else if (list.ids.empty()) {
    found
        .fail(id, ErrorCode::kDevice, words("{}: no NPU is visible", "{}：没有可见的 NPU", setting),
              words("\"{}\" is no NPU of this machine, which has {}", "“{}” 不是本机的 NPU（共 {} 个）",
                    list.cut_at, n_devices),
              fix)
        .facts = facts;
  } else if (!list.cut_at.empty() || !list.is_sorted) {
    found
        .warn(id, words("{}: {} NPUs are visible", "{}：可见 NPU {} 个", setting, list.ids.size()),
              list.is_sorted ? words("the list ends before \"{}\", which is no NPU of this machine",
                                     "列表在 “{}” 处截断：它不是本机的 NPU", list.cut_at)
                             : words("the numbers do not ascend", "编号不是升序"),
              fix)
        .facts = facts;
  } else {
    found
        .none(id, words("{}: {} NPUs are visible", "{}：可见 NPU {} 个", setting, list.ids.size()),
              not_started())
        .facts = facts;
  }
}

/// Step 8: chips whose operators are known to do.
void check_chip(const AscendSeen& seen, Findings& found) {
  const std::string id = "ascend.chip";
  const std::string said = seen.dcmi.devices.empty() ? "" : seen.dcmi.devices.front().name;
  const AscendChip* chip = seen.chip;
  if (chip == nullptr) {
    found.none(id, words("the chip is not known", "无法识别芯片型号"),
               words("neither the PCI bus nor the driver names it", "PCI 总线与驱动都没有给出型号"));
    return;
  }
  const Json facts = {{"chip", chip->name}, {"driver_says", said}, {"count", seen.install.n_chips}};
  const std::string as_said =
      said.empty() ? "" : fmt::format(" ({}{})", said, seen.dcmi.is_emulated ? ", emulated" : "");
  if (chip->is_supported) {
    found.ok(id, words("{}{} is supported", "支持 {}{}", chip->name, as_said)).facts = facts;
    return;
  }
  const bool is_first_generation = chip->name == "Ascend910";
  found
      .fail(id, ErrorCode::kUnsupported, words("{}{} is not supported", "不支持 {}{}", chip->name, as_said),
            is_first_generation
                ? words("it is the first generation; attention and RMSNorm of CANN need 910B, whatever "
                        "npu-smi calls it",
                        "这是第一代 910；CANN 的注意力与 RMSNorm 算子需要 910B，不论 npu-smi 显示什么名称")
                : words("attention and RMSNorm of CANN need Ascend910B or 910_93",
                        "CANN 的注意力与 RMSNorm 算子需要 Ascend910B 或 910_93"),
            words("use a machine with Atlas A2 or A3 (910B, 910_93), or --device cpu",
                  "请使用 Atlas A2 或 A3（910B、910_93）机器，或 --device cpu"))
      .facts = facts;
}

std::optional<int64_t> free_bytes(const AcceleratorFacts& npu) {
  if (!npu.total_bytes || !npu.used_bytes) return std::nullopt;
  return std::max<int64_t>(0, *npu.total_bytes - *npu.used_bytes);
}

/// Step 9: memory of the NPU that has most of it free.
void check_memory(const AscendSeen& seen, Findings& found) {
  const std::string id = "ascend.memory";
  const AcceleratorFacts* best = nullptr;
  size_t index = 0;
  for (size_t i = 0; i < seen.dcmi.devices.size(); ++i) {
    const auto free = free_bytes(seen.dcmi.devices[i]);
    if (!free || (best != nullptr && *free <= *free_bytes(*best))) continue;
    best = &seen.dcmi.devices[i];
    index = i;
  }
  if (best == nullptr) {
    const std::string refusals = seen.dcmi.devices.empty()
                                     ? ""
                                     : fmt::format("{}", fmt::join(seen.dcmi.devices[0].not_readable, "; "));
    found.none(id, words("the NPUs' memory cannot be read", "无法读取 NPU 显存信息"),
               !refusals.empty() ? words("{}", "{}", refusals)
               : seen.dcmi.why_not.empty()
                   ? words("the driver does not tell it to this user", "驱动不向当前用户提供该信息")
                   : words("libdcmi.so: {}", "libdcmi.so：{}", seen.dcmi.why_not));
    return;
  }
  const int64_t free = *free_bytes(*best);
  const Json facts = {{"index", index}, {"total_bytes", *best->total_bytes}, {"free_bytes", free}};
  const Words what =
      words("NPU {}: {:.1f} of {:.1f} GiB free", "NPU {}：显存可用 {:.1f} GiB，共 {:.1f} GiB", index,
            static_cast<double>(free) / kGib, static_cast<double>(*best->total_bytes) / kGib);
  if (free < kLeastFree) {
    found
        .fail(
            id, ErrorCode::kOutOfMemory, what,
            words("Llama-3.2-1B in bf16 needs about 4 GiB there", "Llama-3.2-1B 的 bf16 权重约需 4 GiB"),
            words("end the programs that npu-smi info lists, or use another NPU by ASCEND_RT_VISIBLE_DEVICES",
                  "结束 npu-smi info 列出的程序，或用 ASCEND_RT_VISIBLE_DEVICES 换用其他 NPU"))
        .facts = facts;
  } else {
    found.ok(id, what).facts = facts;
  }
}

/// Step 12: whether somebody else is at work there.
void check_busy(const AscendSeen& seen, Findings& found) {
  const std::string id = "ascend.busy";
  std::vector<size_t> busy;
  size_t n_known = 0;
  for (size_t i = 0; i < seen.dcmi.devices.size(); ++i) {
    const AcceleratorFacts& npu = seen.dcmi.devices[i];
    if (!npu.total_bytes || !npu.used_bytes) continue;
    ++n_known;
    const bool holds =
        static_cast<double>(*npu.used_bytes) > kIdleShare * static_cast<double>(*npu.total_bytes);
    if (holds || npu.busy_percent.value_or(0) > 0) busy.push_back(i);
  }
  if (n_known == 0) {
    found.none(id, words("who else uses the NPUs is not known", "无法得知 NPU 是否被其他程序占用"));
  } else if (busy.size() == n_known) {
    found
        .warn(id, words("all NPUs are in use by other programs", "所有 NPU 都被其他程序占用"),
              words("times that are measured now say little", "此时测得的时间参考意义有限"),
              words("npu-smi info lists the processes", "用 npu-smi info 查看进程"))
        .facts = {{"busy", busy}};
  } else {
    found.ok(id, words("{} of {} NPUs are idle", "空闲 NPU {} 个，共 {} 个", n_known - busy.size(), n_known))
        .facts = {{"busy", busy}};
  }
}

}  // namespace

void check_ascend_device(const AscendSeen& seen, Findings& found) {
  check_runtime(seen, found);
  check_chip(seen, found);
  check_memory(seen, found);
  found.none("ascend.operators", words("no operator was run", "未运行算子"), not_started());
  found.none("ascend.launch", words("the time of a launch was not measured", "未测量下发时延"),
             not_started());
  check_busy(seen, found);
}

}  // namespace chaski
