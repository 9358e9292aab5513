// Doctor's checks of the processor and its memory.
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <limits>
#include <set>

#include "base/threads.h"
#include "machine/doctor.h"

namespace chaski {
namespace {

constexpr double kGib = 1024.0 * 1024 * 1024;
constexpr int64_t kLeastMemory = int64_t{256} << 20;  // the embedded model needs about so much
constexpr int64_t kFewMemory = int64_t{2} << 30;      // Llama-3.2-1B in 4 bits, with a cache

bool has_all(std::string_view flags, std::initializer_list<std::string_view> wanted) {
  const std::string padded = fmt::format(" {} ", flags);
  return std::all_of(wanted.begin(), wanted.end(), [&](std::string_view flag) {
    return padded.find(fmt::format(" {} ", flag)) != std::string::npos;
  });
}

/// The code path that a processor of these flags takes, as backend/cpu/dispatch.cpp chooses it.
std::string_view code_path(std::string_view architecture, std::string_view flags) {
  if (architecture == "aarch64") {
    if (!has_all(flags, {"asimddp"})) return "scalar";
    return has_all(flags, {"i8mm"}) ? "i8mm" : "neon";
  }
  if (!has_all(flags, {"avx2", "fma", "f16c"})) return "scalar";
  if (has_all(flags, {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"})) return "avx512";
  return has_all(flags, {"avx_vnni"}) ? "avxvnni" : "avx2";
}

/// Folders of /sys, one for each core: "cpu0".
std::vector<std::string> core_folders(const MachineView& view) {
  const std::string parent = "/sys/devices/system/cpu";
  std::vector<std::string> all;
  for (const std::string& name : view.names(parent)) {
    const bool is_core = name.rfind("cpu", 0) == 0 && name.size() > 3 &&
                         name.find_first_not_of("0123456789", 3) == std::string::npos;
    if (is_core) all.push_back(fmt::format("{}/{}", parent, name));
  }
  return all;
}

std::string processor_name(const MachineView& view) {
  for (const char* key : {"model name", "Model", "Hardware"}) {
    if (const std::string name = view.value("/proc/cpuinfo", key, ':'); !name.empty()) return shown(name, 80);
  }
  // Arm kernels give numbers of maker and design instead.
  const std::string part = view.value("/proc/cpuinfo", "CPU part", ':');
  if (!part.empty()) return fmt::format("{} (CPU part {})", shown(view.architecture(), 20), shown(part, 20));
  return {};
}

void check_path(const MachineView& view, Findings& found) {
  const std::string architecture = view.architecture();
  const bool is_arm = architecture == "aarch64";
  const std::string flags = view.value("/proc/cpuinfo", is_arm ? "Features" : "flags", ':');
  const std::string name = processor_name(view);
  const int n_cores = view.is_live() ? available_cores() : static_cast<int>(core_folders(view).size());
  const std::string_view path = code_path(architecture, flags);
  const Json facts = {
      {"name", name}, {"architecture", shown(architecture, 20)}, {"cores", n_cores}, {"path", path}};
  const std::string said = name.empty() ? shown(architecture, 20) : name;
  if (architecture != "x86_64" && !is_arm) {
    found
        .fail("cpu.path", ErrorCode::kUnsupported,
              words("the processor's architecture is {}", "处理器架构为 {}",
                    architecture.empty() ? std::string("?") : shown(architecture, 20)),
              words("chaski runs on x86_64 and aarch64", "chaski 支持 x86_64 与 aarch64"),
              words("use a machine of one of these", "请换用上述架构的机器"))
        .facts = facts;
  } else if (path == "scalar") {
    found
        .warn(
            "cpu.path", words("{}: {} cores, code path scalar", "{}：{} 核，代码路径 scalar", said, n_cores),
            is_arm ? words("without dot products (asimddp) everything is computed one number at a time",
                           "缺少点积指令（asimddp），只能逐个数计算")
                   : words("without AVX2, FMA and F16C everything is computed one number at a time",
                           "缺少 AVX2、FMA 或 F16C，只能逐个数计算"),
            words("in a virtual machine, have its CPU type show the host's instructions (\"host\"); an older "
                  "processor is just slow",
                  "虚拟机请把 CPU 类型设为透传宿主机指令（“host”）；较旧的处理器则只能较慢地运行"))
        .facts = facts;
  } else {
    found.ok("cpu.path", words("{}: {} cores, code path {}", "{}：{} 核，代码路径 {}", said, n_cores, path))
        .facts = facts;
  }
}

std::optional<int64_t> number_of(const std::string& text) {
  int64_t value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  return fault == std::errc() && end != text.data() ? std::optional(value) : std::nullopt;
}

/// Bytes that a control group leaves us; nothing where it sets no limit.
std::optional<int64_t> group_limit(const MachineView& view) {
  constexpr int64_t kNoLimit = int64_t{1} << 60;
  for (const char* file : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    const auto bytes = number_of(view.line(file));
    if (bytes && *bytes > 0 && *bytes < kNoLimit) return bytes;
  }
  return std::nullopt;
}

/// A line of /proc/meminfo, as "MemTotal: 16 kB".
std::optional<int64_t> memory_line(const MachineView& view, std::string_view key) {
  const auto kib = number_of(view.value("/proc/meminfo", key, ':'));
  if (!kib || *kib < 0 || *kib > std::numeric_limits<int64_t>::max() / 1024) return std::nullopt;
  return *kib * 1024;
}

void check_memory(const MachineView& view, Findings& found) {
  const auto all = memory_line(view, "MemTotal");
  const auto available = free_memory_bytes(view);
  const auto limit = group_limit(view);
  if (!available || !all) {
    found.none("cpu.memory",
               words("the system does not say how much memory is free", "系统未提供可用内存信息"));
    return;
  }
  const int64_t free = *available, total = limit ? std::min(*all, *limit) : *all;
  Json facts = {{"total_bytes", total}, {"available_bytes", free}, {"control_group_limit_bytes", nullptr}};
  if (limit) facts["control_group_limit_bytes"] = *limit;
  const double free_gib = static_cast<double>(free) / kGib, total_gib = static_cast<double>(total) / kGib;
  const Words what = words("{:.1f} of {:.1f} GiB of memory are free", "内存可用 {:.1f} GiB，共 {:.1f} GiB",
                           free_gib, total_gib);
  const Words fix = words(
      "close other programs, raise the container's limit, or take a smaller or more quantised "
      "model; `chaski doctor --model M` says whether M fits",
      "关闭其他程序、提高容器内存上限，或换更小、量化位数更低的模型；"
      "`chaski doctor --model M` 会说明 M 能否装下");
  if (free < kLeastMemory) {
    found
        .fail("cpu.memory", ErrorCode::kOutOfMemory, what,
              words("the embedded model needs 0.25 GiB", "内置模型也需要 0.25 GiB"), fix)
        .facts = facts;
  } else if (free < kFewMemory) {
    found
        .warn("cpu.memory", what,
              words("Llama-3.2-1B in 4 bits needs about 1.3 GiB, in bf16 about 3 GiB",
                    "Llama-3.2-1B 4 位约需 1.3 GiB，bf16 约需 3 GiB"),
              fix)
        .facts = facts;
  } else {
    found.ok("cpu.memory", what).facts = facts;
  }
}

void check_settings(const MachineView& view, Findings& found) {
  const std::string pages = view.line("/sys/kernel/mm/transparent_hugepage/enabled");
  const size_t open = pages.find('['), close = pages.find(']');
  const bool is_said = open != std::string::npos && close != std::string::npos && open < close;
  const std::string setting = is_said ? shown(pages.substr(open + 1, close - open - 1), 20) : "";
  if (!is_said) {
    found.none("cpu.huge_pages", words("the system says nothing of huge pages", "系统未提供大页信息"));
  } else if (setting == "never") {
    found
        .warn(
            "cpu.huge_pages", words("transparent huge pages: never", "透明大页：never"),
            words("weights then lie in pages of 4 KiB, and reading them misses the address cache more often",
                  "权重只能放在 4 KiB 页中，读取时地址缓存未命中更多"),
            words("echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
                  "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"))
        .facts = {{"setting", setting}};
  } else {
    found.ok("cpu.huge_pages", words("transparent huge pages: {}", "透明大页：{}", setting)).facts = {
        {"setting", setting}};
  }
  std::set<std::string> governors;
  for (const std::string& core : core_folders(view))
    governors.insert(shown(view.line(core + "/cpufreq/scaling_governor"), 20));
  governors.erase("");
  const std::string governor = shown(fmt::format("{}", fmt::join(governors, ", ")), 60);
  if (governor.empty()) {
    found.none("cpu.governor", words("the clock's governor is not shown (virtual machines have none)",
                                     "未提供调频策略（虚拟机通常没有）"));
  } else if (governor.find("powersave") != std::string::npos &&
             !view.exists("/sys/devices/system/cpu/intel_pstate")) {
    found
        .warn(
            "cpu.governor", words("the clock's governor is {}", "调频策略为 {}", governor),
            words("cores then stay at a low clock, and times say little",
                  "核心停留在低频，计时结果参考意义有限"),
            words("sudo cpupower frequency-set -g performance", "sudo cpupower frequency-set -g performance"))
        .facts = {{"governor", governor}};
  } else {
    found.ok("cpu.governor", words("the clock's governor is {}", "调频策略为 {}", governor)).facts = {
        {"governor", governor}};
  }
}

}  // namespace

std::optional<int64_t> free_memory_bytes(const MachineView& view) {
  const auto available = memory_line(view, "MemAvailable");
  const auto limit = group_limit(view);
  if (!available || !limit) return available;
  // What the group has taken already counts against its limit.
  const auto used = number_of(view.line("/sys/fs/cgroup/memory.current"));
  return std::min(*available, *limit - std::clamp<int64_t>(used.value_or(0), 0, *limit));
}

void check_processor(const MachineView& view, Findings& found) {
  check_path(view, found);
  check_memory(view, found);
  check_settings(view, found);
}

}  // namespace chaski
