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

const std::vector<AscendSymbol>& ascend_symbols() {
  static const Words kGraph{"no captured steps: every op is launched from the host",
                            "不能捕获图：每个算子都由主机下发"};
  static const Words kQuantised{"no int8 or int4 weights on the NPU", "NPU 上不能使用 int8、int4 权重"};
  static const Words kReuse{"ops are planned anew in every step", "每一步都要重新准备算子"};
  static const Words kFusedNorm{"one launch more per layer", "每层多一次下发"};
  static const Words kPaged{"no paged cache of keys and values", "不能使用分页 KV 缓存"};
  static const Words kFormat{"weights stay in row-major order", "权重只能按行存放"};
  static const std::vector<AscendSymbol> kSymbols = [] {
    std::vector<AscendSymbol> all;
    for (const char* name : {"aclInit",
                             "aclFinalize",
                             "aclGetRecentErrMsg",
                             "aclrtSetDevice",
                             "aclrtResetDevice",
                             "aclrtGetDeviceCount",
                             "aclrtGetSocName",
                             "aclrtCreateContext",
                             "aclrtSetCurrentContext",
                             "aclrtCreateStream",
                             "aclrtDestroyStream",
                             "aclrtSynchronizeStream",
                             "aclrtMalloc",
                             "aclrtFree",
                             "aclrtMallocHost",
                             "aclrtFreeHost",
                             "aclrtMemcpy",
                             "aclrtMemcpyAsync",
                             "aclrtMemsetAsync",
                             "aclrtGetMemInfo",
                             "aclrtCreateEventWithFlag",
                             "aclrtRecordEvent",
                             "aclrtSynchronizeEvent",
                             "aclrtEventElapsedTime",
                             "aclrtDestroyEvent"}) {
      all.push_back({"libascendcl", name, {}});
    }
    for (const char* name :
         {"aclCreateTensor", "aclDestroyTensor", "aclCreateScalar", "aclDestroyScalar", "aclCreateIntArray",
          "aclDestroyIntArray", "aclCreateTensorList", "aclDestroyTensorList"}) {
      all.push_back({"libnnopbase", name, {}});
    }
    for (const char* name : {"aclnnEmbedding",
                             "aclnnEmbeddingGetWorkspaceSize",
                             "aclnnRmsNorm",
                             "aclnnRmsNormGetWorkspaceSize",
                             "aclnnMm",
                             "aclnnMmGetWorkspaceSize",
                             "aclnnRotaryPositionEmbedding",
                             "aclnnRotaryPositionEmbeddingGetWorkspaceSize",
                             "aclnnInplaceScatterUpdate",
                             "aclnnInplaceScatterUpdateGetWorkspaceSize",
                             "aclnnFusedInferAttentionScoreV2",
                             "aclnnFusedInferAttentionScoreV2GetWorkspaceSize",
                             "aclnnSwiGlu",
                             "aclnnSwiGluGetWorkspaceSize",
                             "aclnnAdd",
                             "aclnnAddGetWorkspaceSize",
                             "aclnnIndexSelect",
                             "aclnnIndexSelectGetWorkspaceSize",
                             "aclnnArgMax",
                             "aclnnArgMaxGetWorkspaceSize"}) {
      all.push_back({"libopapi", name, {}});
    }
    for (const char* name :
         {"aclmdlRICaptureBegin", "aclmdlRICaptureEnd", "aclmdlRIExecuteAsync", "aclmdlRIDestroy"}) {
      all.push_back({"libascendcl", name, kGraph});
    }
    all.push_back({"libnnopbase", "aclSetAclOpExecutorRepeatable", kReuse});
    all.push_back({"libopapi", "aclnnAddRmsNorm", kFusedNorm});
    all.push_back({"libopapi", "aclnnWeightQuantBatchMatmulV2", kQuantised});
    all.push_back({"libopapi", "aclnnScatterPaKvCache", kPaged});
    all.push_back({"libopapi", "aclnnNpuFormatCast", kFormat});
    return all;
  }();
  return kSymbols;
}

}  // namespace chaski
