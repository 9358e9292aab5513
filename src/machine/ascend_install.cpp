#include "machine/ascend_install.h"

#include <algorithm>
#include <charconv>

namespace chaski {

const std::vector<AscendChip>& ascend_chips() {
  static const std::vector<AscendChip> kChips{{"0xd802", "Ascend910B", "ascend910b", true},
                                              {"0xd803", "Ascend910_93", "ascend910_93", true},
                                              {"0xd801", "Ascend910", "ascend910", false},
                                              {"0xd500", "Ascend310P", "ascend310p", false},
                                              {"0xd100", "Ascend310", "ascend310", false}};
  return kChips;
}

const AscendChip* chip_of_pci(std::string_view device) {
  for (const AscendChip& chip : ascend_chips()) {
    if (chip.pci_device == device) return &chip;
  }
  return nullptr;
}

const AscendChip* chip_of_name(std::string_view name) {
  const size_t at = name.rfind("Ascend");
  std::string_view rest = at == std::string_view::npos ? name : name.substr(at + 6);
  rest.remove_prefix(std::min(rest.size(), rest.find_first_not_of(' ')));
  const AscendChip* best = nullptr;  // the longest name that begins it: 910B before 910
  for (const AscendChip& chip : ascend_chips()) {
    const std::string_view own = chip.name.substr(6);
    if (rest.substr(0, own.size()) == own && (best == nullptr || chip.name.size() > best->name.size()))
      best = &chip;
  }
  return best;
}

std::optional<Toolkit> toolkit_in(const MachineView& view, const std::string& path) {
  Toolkit toolkit;
  toolkit.path = path;
  for (const std::string architecture : {"aarch64", "x86_64"}) {
    const std::string folder = path + "/" + architecture + "-linux";
    for (const char* file : {"/ascend_toolkit_install.info", "/ascend_nnrt_install.info"}) {
      const std::string version = view.value(folder + file, "version");
      if (version.empty()) continue;
      if (toolkit.version.empty()) toolkit.version = shown(version, 40);
      toolkit.architectures.push_back(architecture);
      break;
    }
  }
  if (toolkit.version.empty()) return std::nullopt;
  for (const std::string& script : {path + "/set_env.sh", path.substr(0, path.rfind('/')) + "/set_env.sh"}) {
    if (toolkit.set_env.empty() && view.exists(script)) toolkit.set_env = script;
  }
  return toolkit;
}

std::vector<Toolkit> installed_toolkits(const MachineView& view) {
  std::vector<std::string> parents{"/usr/local/Ascend/ascend-toolkit", "/usr/local/Ascend/nnrt",
                                   "/usr/local/Ascend"};
  const std::string said = view.value("/etc/Ascend/ascend_cann_install.info", "Install_Path");
  if (!said.empty() && said.front() == '/') parents.push_back(said);
  const std::string home = view.env("HOME");
  if (!home.empty() && home.front() == '/') parents.push_back(home + "/Ascend/ascend-toolkit");
  std::vector<std::string> paths;
  for (const std::string& parent : parents) {
    paths.push_back(parent + "/latest");
    paths.push_back(parent);
    for (const std::string& name : view.names(parent)) paths.push_back(parent + "/" + name);
  }
  std::vector<Toolkit> toolkits;
  for (const std::string& path : paths) {
    auto toolkit = toolkit_in(view, path);
    const auto is_same = [&](const Toolkit& other) { return other.version == toolkit->version; };
    if (toolkit && std::none_of(toolkits.begin(), toolkits.end(), is_same))
      toolkits.push_back(std::move(*toolkit));
  }
  return toolkits;
}

const DriverNeed* driver_need_of(const Release& cann) {
  static const std::vector<DriverNeed> kNeeds{{"8.0", "23.0", "24.1"}, {"8.1", "24.1", "25.0"},
                                              {"8.2", "24.1", "25.2"}, {"8.3", "24.1", "25.3"},
                                              {"8.5", "25.0", "25.5"}, {"9.0", "25.0", "26.0"}};
  const std::string series = fmt::format("{}.{}", cann.major, cann.minor);
  for (const DriverNeed& need : kNeeds) {
    if (need.series == series) return &need;
  }
  return nullptr;
}

AscendInstall look_for_ascend(const MachineView& view) {
  AscendInstall install;
  for (const PciDevice& device : pci_devices(view)) {
    const AscendChip* chip = device.vendor == "0x19e5" ? chip_of_pci(device.device) : nullptr;
    if (chip == nullptr) continue;
    ++install.n_chips;
    if (install.chip == nullptr) install.chip = chip;
  }
  constexpr std::string_view kNode = "davinci";
  for (const std::string& name : view.names("/dev")) {
    if (name.rfind(kNode, 0) != 0) continue;
    int number = 0;
    const char* end = name.data() + name.size();
    const auto [stop, fault] = std::from_chars(name.data() + kNode.size(), end, number);
    if (fault == std::errc() && stop == end && view.device_node("/dev/" + name))
      install.nodes.push_back(number);
  }
  std::sort(install.nodes.begin(), install.nodes.end());
  const std::string version_file = std::string(kAscendDriver) + "/version.info";
  install.driver = shown(view.value(version_file, "package_version"), 40);
  if (install.driver.empty()) install.driver = shown(view.value(version_file, "Version"), 40);
  install.toolkits = installed_toolkits(view);
  install.home = view.env("ASCEND_HOME_PATH");
  if (install.home.empty()) install.home = view.env("ASCEND_TOOLKIT_HOME");
  if (!install.home.empty()) install.in_use = toolkit_in(view, install.home);
  return install;
}

namespace {

/// What goes without a symbol that a backend can do without; `name` is of the tables.
Words lost_without(std::string_view name) {
  if (name.substr(0, 8) == "aclmdlRI")
    return {"no captured steps: every op is launched from the host", "不能捕获图：每个算子都由主机下发"};
  if (name == "aclrtGetDeviceUtilizationRate")
    return {"reports leave out how busy the NPU was", "报告中没有 NPU 利用率"};
  if (name == "aclrtGetVersion")
    return {"records leave out the version of AscendCL", "记录中没有 AscendCL 的版本"};
  return {fmt::format("{} runs on the CPU", name), fmt::format("{} 改由 CPU 执行", name)};
}

}  // namespace

const std::vector<AscendSymbol>& ascend_symbols() {
  static const std::vector<AscendSymbol> kSymbols = [] {
    constexpr std::string_view kAscendCl = "libascendcl", kNnBase = "libnnopbase", kOperators = "libopapi";
    constexpr bool kRequired = true, kOptional = false;
    std::vector<AscendSymbol> all;
    const auto add = [&](std::string_view library, std::string_view name, bool is_required) {
      all.push_back({library, name, is_required ? Words{} : lost_without(name)});
    };
#define ACL_FUNCTION(library, since, need, type, name, parameters) add(library, #name, need);
#include "backend/ascend/acl_functions.def"
#undef ACL_FUNCTION
#define ACLNN_OP(since, need, name, args) \
  add(kOperators, "aclnn" #name, need);   \
  add(kOperators, "aclnn" #name "GetWorkspaceSize", need);
#include "backend/ascend/aclnn_ops.def"
#undef ACLNN_OP
    return all;
  }();
  return kSymbols;
}

}  // namespace chaski
