// Doctor's checks of NVIDIA GPUs: the card, the kernel's driver, the library that goes with it, memory.
#include <algorithm>

#include "machine/device_facts.h"
#include "machine/doctor.h"
#include "machine/library_search.h"

namespace chaski {
namespace {

constexpr double kGib = 1024.0 * 1024 * 1024;

struct Nvidia {
  int n_cards = 0;           ///< on the PCI bus
  bool has_nodes = false;    ///< /dev/nvidia0
  bool has_nouveau = false;  ///< the kernel's other driver holds them
  std::string driver;        ///< the kernel's module; empty: not loaded
};

/// "535.54.03" in "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue …".
std::string version_in(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t first = text.find_first_not_of(' ', at);
    if (first == std::string_view::npos) break;
    const size_t end = std::min(text.size(), text.find(' ', first));
    const std::string_view word = text.substr(first, end - first);
    const bool is_version = word.find('.') != std::string_view::npos &&
                            word.find_first_not_of("0123456789.") == std::string_view::npos;
    if (is_version) return std::string(word);
    at = end;
  }
  return {};
}

Nvidia look(const MachineView& view) {
  Nvidia seen;
  for (const PciDevice& device : pci_devices(view)) {
    if (device.vendor == "0x10de" && device.device_class.substr(0, 4) == "0x03") ++seen.n_cards;
  }
  seen.driver = shown(view.line("/sys/module/nvidia/version"), 40);
  if (seen.driver.empty()) {
    seen.driver = shown(version_in(view.value("/proc/driver/nvidia/version", "NVRM version", ':')), 40);
  }
  seen.has_nouveau = view.exists("/sys/module/nouveau");
  seen.has_nodes = view.device_node("/dev/nvidia0").has_value();
  return seen;
}

void check_driver(const Nvidia& seen, Findings& found) {
  const Json facts = {{"cards", seen.n_cards}, {"driver", seen.driver}, {"nouveau", seen.has_nouveau}};
  if (!seen.driver.empty()) {
    found.ok("nvidia.driver", words("driver {}", "驱动 {}", seen.driver)).facts = facts;
  } else if (seen.has_nouveau) {
    found
        .fail(
            "nvidia.driver", ErrorCode::kDevice,
            words("the GPU is held by nouveau, not by NVIDIA's driver",
                  "GPU 由 nouveau 占用，而非 NVIDIA 驱动"),
            words("nouveau draws on screens; it runs no CUDA", "nouveau 只用于显示，不能运行 CUDA"),
            words("install NVIDIA's driver (on Debian: sudo apt install nvidia-driver), which blacklists "
                  "nouveau, "
                  "then restart",
                  "安装 NVIDIA 驱动（Debian：sudo apt install nvidia-driver，会自动禁用 nouveau），然后重启"))
        .facts = facts;
  } else {
    found
        .fail("nvidia.driver", ErrorCode::kDevice,
              words("there is a GPU but no driver for it", "有 GPU，但没有驱动"),
              words("the kernel's module nvidia is not loaded", "内核模块 nvidia 未加载"),
              words("install NVIDIA's driver (on Debian: sudo apt install nvidia-driver) and restart; in a "
                    "container, install it on the host",
                    "安装 NVIDIA 驱动（Debian：sudo apt install nvidia-driver）并重启；容器内请在宿主机安装"))
        .facts = facts;
  }
}

void check_nodes(const MachineView& view, const Nvidia& seen, Findings& found) {
  if (seen.driver.empty()) return;
  const bool in_container = is_container(view);
  const Words fix = in_container ? words("start the container with docker run --gpus all …",
                                         "用 docker run --gpus all … 启动容器")
                                 : words("sudo nvidia-modprobe -u -c 0", "sudo nvidia-modprobe -u -c 0");
  if (!seen.has_nodes) {
    found.fail("nvidia.nodes", ErrorCode::kDevice, words("/dev/nvidia0 is missing", "缺少 /dev/nvidia0"),
               in_container
                   ? words("the driver is loaded, but this container was not given the GPU",
                           "驱动已加载，但容器没有挂载 GPU")
                   : words("the driver is loaded, but made no device nodes", "驱动已加载，但没有设备节点"),
               fix);
  } else if (!view.identity().may_use(*view.device_node("/dev/nvidia0"))) {
    found.fail("nvidia.nodes", ErrorCode::kDevice,
               words("/dev/nvidia0 may not be used by {}", "用户 {} 无权使用 /dev/nvidia0",
                     shown(view.identity().user, 32)),
               words("its permissions leave this user out", "设备节点权限不包含该用户"),
               words("sudo usermod -aG {0} {1}, then log in again", "sudo usermod -aG {0} {1}，然后重新登录",
                     shown(view.group_name(view.device_node("/dev/nvidia0")->gid), 32),
                     shown(view.identity().user, 32)));
  } else {
    found.ok("nvidia.nodes", words("/dev/nvidia0 can be used", "/dev/nvidia0 可用"));
  }
}

void check_library(const MachineView& view, const Nvidia& seen, Findings& found) {
  if (seen.driver.empty()) return;
  const auto paths = find_libraries(view, "libcuda.so.1");
  if (paths.empty()) {
    found.fail(
        "nvidia.library", ErrorCode::kDevice, words("libcuda.so.1 was not found", "未找到 libcuda.so.1"),
        words("programs reach the driver through it", "程序通过它调用驱动"),
        is_container(view)
            ? words("start the container with --gpus all and NVIDIA_DRIVER_CAPABILITIES=compute,utility",
                    "启动容器时加 --gpus all 与 NVIDIA_DRIVER_CAPABILITIES=compute,utility")
            : words("install the driver's libraries (on Debian: sudo apt install libcuda1)",
                    "安装驱动运行库（Debian：sudo apt install libcuda1）"));
    return;
  }
  const std::string file = view.resolve(paths.front()).value_or(paths.front());
  const size_t at = file.rfind(".so.");
  const std::string version = at == std::string::npos ? "" : file.substr(at + 4);
  const Json facts = {{"path", shown(file)}, {"version", shown(version, 40)}, {"driver", seen.driver}};
  if (version.find('.') != std::string::npos && version != seen.driver) {
    found
        .fail("nvidia.library", ErrorCode::kDevice,
              words("libcuda.so.1 is of driver {}, the loaded driver is {}",
                    "libcuda.so.1 属于驱动 {}，而已加载的驱动是 {}", shown(version, 40), seen.driver),
              words("{}: every call would end with a version mismatch", "{}：所有调用都会因版本不一致失败",
                    shown(file)),
              words("restart the machine, which loads the driver that was installed last",
                    "重启机器，以加载最近安装的驱动"))
        .facts = facts;
  } else {
    found.ok("nvidia.library", words("libcuda.so.1 is {}", "libcuda.so.1 位于 {}", shown(file))).facts =
        facts;
  }
}

void check_memory(const MachineView& view, const Nvidia& seen, Findings& found) {
  if (seen.driver.empty()) return;
  const DriverAnswer answer = ask_nvml(view);
  if (!answer.why_not.empty() || answer.devices.empty()) {
    found.none("nvidia.memory", words("the GPUs' memory cannot be read", "无法读取显存信息"),
               words("{}", "{}", answer.why_not.empty() ? std::string("no device answers") : answer.why_not));
    return;
  }
  for (size_t i = 0; i < answer.devices.size(); ++i) {
    const AcceleratorFacts& gpu = answer.devices[i];
    const std::string name = gpu.name.empty() ? "GPU" : gpu.name;
    Json facts = {{"index", i}, {"name", name}, {"total_bytes", nullptr}, {"free_bytes", nullptr}};
    if (!gpu.total_bytes || !gpu.used_bytes) {
      found.none("nvidia.memory", words("{} {}", "{} {}", i, name)).facts = facts;
      continue;
    }
    const int64_t free = std::max<int64_t>(0, *gpu.total_bytes - *gpu.used_bytes);
    facts["total_bytes"] = *gpu.total_bytes;
    facts["free_bytes"] = free;
    found
        .ok("nvidia.memory",
            words("{} {}: {:.1f} of {:.1f} GiB free", "{} {}：显存可用 {:.1f} GiB，共 {:.1f} GiB", i, name,
                  static_cast<double>(free) / kGib, static_cast<double>(*gpu.total_bytes) / kGib))
        .facts = facts;
  }
}

void check_toolkit(const MachineView& view, Findings& found) {
  std::string home = view.env("CUDA_HOME");
  if (home.empty()) home = "/usr/local/cuda";
  std::string version;
  try {
    const FileText file = view.text(home + "/version.json");
    if (file) version = parse_json(file.text, "version.json").at("cuda").at("version").get<std::string>();
  } catch (const std::exception&) {
    version.clear();  // another program's file: what it says is only reported
  }
  if (version.empty()) {
    found.none("nvidia.toolkit",
               words("no CUDA toolkit; running needs none", "没有 CUDA 工具包；运行时不需要"));
  } else {
    found
        .ok("nvidia.toolkit",
            words("CUDA toolkit {} in {}", "CUDA 工具包 {}，位于 {}", shown(version, 40), shown(home)))
        .facts = {{"version", shown(version, 40)}, {"path", shown(home)}};
  }
}

}  // namespace

void check_nvidia(const MachineView& view, const DoctorScope& scope, Findings& found) {
  const Nvidia seen = look(view);
  if (seen.n_cards == 0 && seen.driver.empty() && !seen.has_nodes) {
    if (scope.names("cuda")) {
      found.fail(
          "nvidia.card", ErrorCode::kDevice, words("no NVIDIA GPU was found", "未发现 NVIDIA GPU"), {},
          words("in a container, start it with docker run --gpus all …; in a virtual machine, pass the GPU "
                "through; or use --device cpu",
                "容器请用 docker run --gpus all … 启动；虚拟机请直通 GPU；或使用 --device cpu"));
    } else {
      found.none("nvidia.card", words("no NVIDIA GPU was found", "未发现 NVIDIA GPU"));
    }
    return;
  }
  check_driver(seen, found);
  check_nodes(view, seen, found);
  check_library(view, seen, found);
  check_memory(view, seen, found);
  check_toolkit(view, found);
  if (scope.backends.count("cuda") == 0) {
    found.none("nvidia.backend", words("this build cannot run on GPUs", "本构建不能在 GPU 上运行"),
               words("it has the CPU only; the checks above say whether the machine is ready",
                     "本构建只支持 CPU；以上检查仅说明机器是否就绪"));
  }
}

}  // namespace chaski
