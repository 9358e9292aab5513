// Doctor's twelve steps of an Ascend machine, in the order in which they fail: files first (1 to 6, here),
// then what the driver says (7 to 12, doctor_ascend_device.cpp). docs/sources.md#ascend-doctor
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "machine/ascend_install.h"
#include "machine/ascend_steps.h"

namespace chaski {
namespace {

const Words kNoToolkit{"step 3 must pass first", "须先通过第 3 步"};

Words container_fix() {
  return words(
      "start the container with docker run --device /dev/davinci0 --device /dev/davinci_manager --device "
      "/dev/devmm_svm "
      "--device /dev/hisi_hdc -v /usr/local/Ascend/driver:/usr/local/Ascend/driver:ro -v "
      "/usr/local/dcmi:/usr/local/dcmi:ro …",
      "用 docker run --device /dev/davinci0 --device /dev/davinci_manager --device /dev/devmm_svm --device "
      "/dev/hisi_hdc "
      "-v /usr/local/Ascend/driver:/usr/local/Ascend/driver:ro -v /usr/local/dcmi:/usr/local/dcmi:ro … "
      "启动容器");
}

/// Step 1: the device nodes, and who may use them.
void check_nodes(const MachineView& view, const AscendInstall& install, Findings& found) {
  const std::string id = "ascend.devices";
  const Json facts = {{"chips_on_bus", install.n_chips}, {"nodes", install.nodes}};
  if (install.nodes.empty()) {
    const bool in_container = is_container(view);
    const Words reason = in_container ? words("this container was not given an NPU", "容器没有挂载 NPU")
                         : install.n_chips > 0
                             ? words("{} chips on the PCI bus, but no driver has made nodes for them",
                                     "PCI 总线上有 {} 个芯片，但驱动没有创建设备节点", install.n_chips)
                             : words("no chip on the PCI bus", "PCI 总线上没有昇腾芯片");
    const Words fix = in_container ? container_fix()
                      : install.n_chips > 0
                          ? words("install the NPU's driver and firmware (Ascend HDK), then restart",
                                  "安装 NPU 驱动与固件（Ascend HDK），然后重启")
                          : words("run on a machine that has an NPU; or use --device cpu",
                                  "在有 NPU 的机器上运行；或使用 --device cpu");
    found
        .fail(id, ErrorCode::kDevice, words("there is no /dev/davinci*", "没有 /dev/davinci* 设备节点"),
              reason, fix)
        .facts = facts;
    return;
  }
  std::vector<std::string> nodes{fmt::format("/dev/davinci{}", install.nodes.front())};
  for (const char* name : {"/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc"})
    nodes.emplace_back(name);
  for (const std::string& node : nodes) {
    const auto facts_of_node = view.device_node(node);
    if (!facts_of_node) {
      found
          .fail(id, ErrorCode::kDevice, words("{} is missing", "缺少 {}", node),
                words("the driver needs all of davinciN, davinci_manager, devmm_svm and hisi_hdc",
                      "驱动需要 davinciN、davinci_manager、devmm_svm 与 hisi_hdc 全部存在"),
                is_container(view) ? container_fix()
                                   : words("reinstall the NPU's driver (Ascend HDK) and restart",
                                           "重新安装 NPU 驱动（Ascend HDK）并重启"))
          .facts = facts;
      return;
    }
    const Identity& who = view.identity();
    if (who.may_use(*facts_of_node)) continue;
    const std::string user = shown(who.user, 32);
    const std::string group = shown(view.group_name(facts_of_node->gid), 32);
    found
        .fail(
            id, ErrorCode::kDevice,
            words("user {} is not in group {}", "用户 {} 不在用户组 {} 中", user, group),
            words("{} may be used by that group alone", "{} 只允许该组使用", node),
            words(
                "sudo usermod -aG {0} {1}, then log in again; in a container, run as root or give it that "
                "group's "
                "number with --group-add {2}",
                "sudo usermod -aG {0} {1}，然后重新登录；容器内请以 root 运行，或用 --group-add {2} 加入该组",
                group, user, facts_of_node->gid))
        .facts = facts;
    return;
  }
  found.ok(id, words("{} NPUs can be used", "可用 NPU {} 个", install.nodes.size())).facts = facts;
}

/// Step 2: the driver, and whether it is new enough for the toolkit in use.
void check_driver(const AscendInstall& install, Findings& found) {
  const std::string id = "ascend.driver";
  const Toolkit* toolkit = install.in_use             ? &*install.in_use
                           : install.toolkits.empty() ? nullptr
                                                      : &install.toolkits.front();
  const std::string cann = toolkit == nullptr ? "" : toolkit->version;
  Json facts = {{"version", install.driver}, {"cann", cann}};
  if (install.driver.empty()) {
    found
        .fail(id, ErrorCode::kDevice, words("the driver's version cannot be read", "无法读取驱动版本"),
              words("{}/version.info names none", "{}/version.info 中没有版本", kAscendDriver),
              words("install the NPU's driver (Ascend HDK); in a container, mount the host's: -v {0}:{0}:ro",
                    "安装 NPU 驱动（Ascend HDK）；容器内请挂载宿主机的驱动：-v {0}:{0}:ro", kAscendDriver))
        .facts = facts;
    return;
  }
  const auto driver = parse_release(install.driver), release = parse_release(cann);
  const DriverNeed* need = release ? driver_need_of(*release) : nullptr;
  const Words what = words("driver {}", "驱动 {}", install.driver);
  if (!driver || need == nullptr) {
    found.ok(id, what).facts = facts;
    return;
  }
  const Release oldest = parse_release(need->oldest).value(), paired = parse_release(need->paired).value();
  const auto is_before = [&](const Release& other) {
    return std::pair(driver->major, driver->minor) < std::pair(other.major, other.minor);
  };
  facts["oldest"] = need->oldest;
  facts["paired"] = need->paired;
  const Words fix = words("install Ascend HDK {} or later (driver and firmware), then restart",
                          "安装 Ascend HDK {} 或更高版本（驱动与固件），然后重启", need->paired);
  if (is_before(oldest)) {
    found
        .fail(id, ErrorCode::kDevice,
              words("driver {} is too old for CANN {}", "驱动 {} 对 CANN {} 来说太旧", install.driver, cann),
              words("CANN {} works with drivers from {} on", "CANN {} 要求驱动不低于 {}", need->series,
                    need->oldest),
              fix)
        .facts = facts;
  } else if (is_before(paired)) {
    found
        .warn(id, what,
              words("CANN {} was released with {}; with older drivers parts such as graph capture may fail",
                    "CANN {} 配套驱动为 {}；更旧的驱动可能使图捕获等功能失败", cann, need->paired),
              fix)
        .facts = facts;
  } else {
    found.ok(id, what).facts = facts;
  }
}

std::string names_of(const std::vector<Toolkit>& toolkits) {
  std::string list;
  for (const Toolkit& toolkit : toolkits) {
    list += fmt::format("{}{} ({})", list.empty() ? "" : ", ", toolkit.version, shown(toolkit.path));
  }
  return list;
}

/// Step 3: a toolkit of a known version for this processor, and an environment that names it.
void check_toolkit(const MachineView& view, const AscendInstall& install, Findings& found) {
  const std::string id = "ascend.toolkit";
  Json facts = {{"home", shown(install.home)}, {"installed", Json::array()}};
  for (const Toolkit& toolkit : install.toolkits) {
    facts["installed"].push_back({{"version", toolkit.version}, {"path", shown(toolkit.path)}});
  }
  const auto fail = [&](const Words& what, const Words& reason, const Words& fix) {
    found.fail(id, ErrorCode::kDevice, what, reason, fix).facts = facts;
  };
  const Words install_it =
      words("install CANN 8.0 or later: its toolkit, and the kernels package of this chip",
            "安装 CANN 8.0 或更高版本：toolkit 以及本芯片的 kernels 包");
  if (install.home.empty() && install.toolkits.empty()) {
    return fail(words("no CANN toolkit was found", "未找到 CANN toolkit"),
                words("none in /usr/local/Ascend, and ASCEND_HOME_PATH is not set",
                      "/usr/local/Ascend 下没有，ASCEND_HOME_PATH 也未设置"),
                install_it);
  }
  if (install.home.empty()) {
    const Toolkit& first = install.toolkits.front();
    return fail(words("the environment of CANN {} is not set", "未设置 CANN {} 的环境变量", first.version),
                words("set_env.sh was not sourced in this shell: libraries and kernels would not be found",
                      "当前 shell 未执行 set_env.sh：找不到运行库与算子"),
                words("source {}", "source {}",
                      shown(first.set_env.empty() ? first.path + "/set_env.sh" : first.set_env)));
  }
  if (!install.in_use) {
    return fail(words("ASCEND_HOME_PATH leads to no toolkit", "ASCEND_HOME_PATH 指向的目录中没有 toolkit"),
                words("{} holds no ascend_toolkit_install.info with a version",
                      "{} 中没有带版本号的 ascend_toolkit_install.info", shown(install.home)),
                install.toolkits.empty()
                    ? install_it
                    : words("source {}", "source {}", shown(install.toolkits.front().set_env)));
  }
  const Toolkit& toolkit = *install.in_use;
  facts["version"] = toolkit.version;
  facts["architectures"] = toolkit.architectures;
  const auto release = parse_release(toolkit.version);
  if (!release || *release < Release{8, 0, 0, 0}) {
    return fail(words("CANN {} is too old", "CANN {} 版本太旧", toolkit.version),
                words("operators of CANN 8.0 are needed", "需要 CANN 8.0 的算子"), install_it);
  }
  const std::string machine = view.architecture();
  const auto& built_for = toolkit.architectures;
  if (!machine.empty() && std::find(built_for.begin(), built_for.end(), machine) == built_for.end()) {
    return fail(words("CANN {} is for {}, this machine is {}", "CANN {} 适用于 {}，而本机是 {}",
                      toolkit.version, fmt::format("{}", fmt::join(built_for, ", ")), shown(machine, 20)),
                words("its libraries cannot be loaded here", "其运行库无法在本机加载"),
                words("install the package whose name ends with linux-{}.run",
                      "安装文件名以 linux-{}.run 结尾的安装包", shown(machine, 20)));
  }
  const Words what = words("CANN {} in {}", "CANN {}，位于 {}", toolkit.version, shown(toolkit.path));
  if (install.toolkits.size() > 1) {
    found
        .warn(id, what,
              words("there are several toolkits: {}; the environment names this one",
                    "本机有多个 toolkit：{}；环境变量选用此版本", names_of(install.toolkits)),
              words("if another is meant, source its set_env.sh in a new shell",
                    "若要用其他版本，请在新的 shell 中 source 对应的 set_env.sh"))
        .facts = facts;
  } else {
    found.ok(id, what).facts = facts;
  }
}

bool is_stub(const MachineView& view, const std::string& path) {
  const std::string file = view.resolve(path).value_or(path);
  return (path + "/" + file).find("/devlib/") != std::string::npos || file.find("/stub") != std::string::npos;
}

/// Step 4: libascend_hal.so is the driver's own; CANN has an empty one for linking.
void check_hal(const MachineView& view, Findings& found) {
  const std::string id = "ascend.hal", library = "libascend_hal.so";
  const std::string folder = std::string(kAscendDriver) + "/lib64";
  std::string real;
  for (const std::string& part : {folder + "/driver/", folder + "/common/", folder + "/"}) {
    if (real.empty() && view.exists(part + library)) real = part + library;
  }
  const std::vector<std::string> paths = find_libraries(view, library);
  Json facts = {{"found", Json::array()}, {"driver", real}};
  for (const std::string& path : paths) facts["found"].push_back(shown(path));
  const Words set_path = words("export LD_LIBRARY_PATH={0}:{0}/common:{0}/driver:$LD_LIBRARY_PATH",
                               "export LD_LIBRARY_PATH={0}:{0}/common:{0}/driver:$LD_LIBRARY_PATH", folder);
  if (paths.empty() && real.empty()) {
    found
        .fail(
            id, ErrorCode::kDevice, words("{} was not found", "未找到 {}", library),
            words("it belongs to the driver, and CANN's libraries need it", "它属于驱动，CANN 运行库依赖它"),
            words("install the NPU's driver; in a container, mount the host's: -v {0}:{0}:ro",
                  "安装 NPU 驱动；容器内请挂载宿主机的驱动：-v {0}:{0}:ro", kAscendDriver))
        .facts = facts;
  } else if (paths.empty()) {
    found
        .fail(id, ErrorCode::kDevice,
              words("{} is not on the loader's path", "{} 不在动态库搜索路径中", library),
              words("it is {}", "它位于 {}", real), set_path)
        .facts = facts;
  } else if (is_stub(view, paths.front())) {
    found
        .fail(id, ErrorCode::kDevice,
              real.empty()
                  ? words("{} is CANN's empty one for linking", "{} 是 CANN 用于链接的空库", library)
                  : words("CANN's empty {} hides the driver's", "CANN 的空 {} 遮挡了驱动自带的库", library),
              words("{} comes first on the loader's path; its functions do nothing",
                    "动态库搜索路径中排在最前的是 {}，其函数没有实际功能", shown(paths.front())),
              real.empty() ? words("take …/devlib out of LD_LIBRARY_PATH and mount or install the driver",
                                   "从 LD_LIBRARY_PATH 中去掉 …/devlib，并安装或挂载驱动")
                           : words("take {} out of LD_LIBRARY_PATH, or put the driver's folders before it",
                                   "从 LD_LIBRARY_PATH 中去掉 {}，或把驱动目录放在它前面",
                                   shown(paths.front().substr(0, paths.front().rfind('/')))))
        .facts = facts;
  } else {
    found.ok(id, words("{} is {}", "{} 位于 {}", library, shown(paths.front()))).facts = facts;
  }
}

/// The files in which the symbols of a group may be: CANN splits libopapi from 8.5 on.
const std::vector<std::string>& files_of(std::string_view library) {
  static const std::vector<std::string> kRuntime{"libascendcl.so"}, kBase{"libnnopbase.so"},
      kOps{"libopapi.so", "libopapi_math.so", "libopapi_nn.so", "libopapi_transformer.so",
           "libcust_opapi.so"};
  return library == "libascendcl" ? kRuntime : library == "libnnopbase" ? kBase : kOps;
}

struct LoadedLibraries {
  std::vector<std::string> paths;  ///< of those that are there
  std::string wrong;               ///< the first that cannot be loaded, and why
  std::set<std::string> symbols;   ///< of the wanted ones
};

LoadedLibraries read_libraries(const MachineView& view, std::string_view group,
                               const std::set<std::string>& wanted) {
  LoadedLibraries loaded;
  for (const std::string& file : files_of(group)) {
    const auto paths = find_libraries(view, file);
    if (paths.empty()) continue;
    const LibrarySymbols library = view.library(paths.front(), wanted);
    loaded.paths.push_back(paths.front());
    const std::string machine = view.architecture();
    if (loaded.wrong.empty() && !library.why_not.empty()) {
      loaded.wrong = fmt::format("{}: {}", shown(paths.front()), shown(library.why_not));
    } else if (loaded.wrong.empty() && !machine.empty() && library.architecture != machine) {
      loaded.wrong = fmt::format("{}: {}", shown(paths.front()), shown(library.architecture, 20));
    }
    loaded.symbols.insert(library.found.begin(), library.found.end());
  }
  return loaded;
}

std::string some_of(const std::vector<std::string>& names) {
  constexpr size_t kShown = 4;
  std::string list;
  for (size_t i = 0; i < std::min(kShown, names.size()); ++i) list += (i == 0 ? "" : ", ") + names[i];
  return names.size() > kShown ? fmt::format("{} … ({})", list, names.size()) : list;
}

/// Step 5: the three libraries, where each comes from, and what they lack.
void check_libraries(const MachineView& view, Findings& found) {
  const std::string id = "ascend.libraries";
  std::map<std::string_view, std::set<std::string>> wanted;
  for (const AscendSymbol& symbol : ascend_symbols()) wanted[symbol.library].emplace(symbol.name);
  Json facts = {
      {"paths", Json::object()}, {"missing_required", Json::array()}, {"missing_optional", Json::array()}};
  std::string absent, wrong;
  std::set<std::string> symbols;
  for (const auto& [group, names] : wanted) {
    const LoadedLibraries loaded = read_libraries(view, group, names);
    facts["paths"][std::string(group)] = loaded.paths;
    if (loaded.paths.empty() && absent.empty()) absent = files_of(group).front();
    if (wrong.empty()) wrong = loaded.wrong;
    symbols.insert(loaded.symbols.begin(), loaded.symbols.end());
  }
  const Words source_it = words("source set_env.sh of the toolkit, in this shell",
                                "在当前 shell 中 source toolkit 的 set_env.sh");
  if (!absent.empty() || !wrong.empty()) {
    found
        .fail(id, ErrorCode::kDevice,
              absent.empty() ? words("a library cannot be loaded", "有运行库无法加载")
                             : words("{} was not found", "未找到 {}", absent),
              absent.empty()
                  ? words("{}", "{}", wrong)
                  : words("it is in no folder of LD_LIBRARY_PATH", "它不在 LD_LIBRARY_PATH 的任何目录中"),
              absent.empty() ? words("install the toolkit for {} again", "重新安装适用于 {} 的 toolkit",
                                     shown(view.architecture(), 20))
                             : source_it)
        .facts = facts;
    return;
  }
  std::vector<std::string> required;
  Words lost;
  for (const AscendSymbol& symbol : ascend_symbols()) {
    if (symbols.count(std::string(symbol.name)) > 0) continue;
    if (symbol.lost.empty()) {
      required.emplace_back(symbol.name);
      continue;
    }
    facts["missing_optional"].push_back(symbol.name);
    if (lost.en.find(symbol.lost.en) != std::string::npos) continue;
    lost.en += (lost.en.empty() ? "without later symbols: " : "; ") + symbol.lost.en;
    lost.zh += (lost.zh.empty() ? "缺少较新的符号：" : "；") + symbol.lost.zh;
  }
  facts["missing_required"] = required;
  if (!required.empty()) {
    found
        .fail(id, ErrorCode::kDevice,
              words("CANN's libraries lack {} symbols that are needed", "CANN 运行库缺少 {} 个必需符号",
                    required.size()),
              words("{}", "{}", some_of(required)),
              words("install the whole toolkit of CANN 8.0 or later; do not mix files of several versions",
                    "完整安装 CANN 8.0 或更高版本的 toolkit；不要混用多个版本的文件"))
        .facts = facts;
    return;
  }
  const std::string path = shown(facts["paths"]["libascendcl"].at(0).get<std::string>());
  found
      .ok(id,
          words("libascendcl, libnnopbase and libopapi have what is needed; the first is {}",
                "libascendcl、libnnopbase、libopapi 齐全；首个位于 {}", path),
          lost)
      .facts = facts;
}

/// Step 6: the compiled operators of this chip.
void check_kernels(const MachineView& view, const AscendInstall& install, const AscendChip* chip,
                   Findings& found) {
  const std::string id = "ascend.kernels";
  const std::string opp = view.env("ASCEND_OPP_PATH");
  if (opp.empty()) {
    if (!install.in_use) {
      found.none(id, words("the operators were not looked for", "未检查算子包"), kNoToolkit);
      return;
    }
    found.fail(id, ErrorCode::kDevice, words("ASCEND_OPP_PATH is not set", "未设置 ASCEND_OPP_PATH"),
               words("every operator would end with error 561107", "所有算子都会报错 561107"),
               words("source set_env.sh of the toolkit, in this shell",
                     "在当前 shell 中 source toolkit 的 set_env.sh"));
    return;
  }
  const std::string parent = opp + "/built-in/op_impl/ai_core/tbe/kernel";
  // The toolkit alone brings one folder of its tools here.
  const auto n_operators = [&](const std::string& kernels) {
    const auto names = view.names(parent + "/" + kernels);
    return std::count_if(names.begin(), names.end(),
                         [](const std::string& name) { return name != "ops_oam"; });
  };
  std::vector<std::string> installed;
  for (const AscendChip& other : ascend_chips()) {
    if (n_operators(std::string(other.kernels)) > 0) installed.emplace_back(other.kernels);
  }
  const Json facts = {
      {"opp", shown(opp)}, {"installed", installed}, {"chip", chip == nullptr ? "" : chip->kernels}};
  if (chip == nullptr && !installed.empty()) {
    found.ok(id, words("operators for {}", "已安装算子：{}", some_of(installed))).facts = facts;
  } else if (chip != nullptr && n_operators(std::string(chip->kernels)) > 0) {
    found.ok(id, words("operators for {}", "已安装 {} 的算子", chip->name)).facts = facts;
  } else {
    const std::string name = chip == nullptr ? "910b" : std::string(chip->kernels.substr(6));
    found
        .fail(id, ErrorCode::kDevice,
              words("the operators of this chip are not installed", "未安装本芯片的算子包"),
              words("{}/{} is empty or missing: every operator would end with error 561003",
                    "{}/{} 为空或不存在：所有算子都会报错 561003", shown(parent),
                    chip == nullptr ? std::string("*") : std::string(chip->kernels)),
              words("install Ascend-cann-kernels-{0} (from CANN 8.5 on: Ascend-cann-{0}-ops) of the "
                    "toolkit's version",
                    "安装与 toolkit 同版本的 Ascend-cann-kernels-{0}（CANN 8.5 起为 Ascend-cann-{0}-ops）",
                    name))
        .facts = facts;
  }
}

}  // namespace

void check_ascend(const MachineView& view, const DoctorScope& scope, Findings& found) {
  const AscendInstall install = look_for_ascend(view);
  if (!install.is_there() && !scope.names("ascend")) {
    found.none("ascend.devices", words("no Ascend NPU was found", "未发现昇腾 NPU"));
    return;
  }
  const size_t first = found.all().size();
  const DriverAnswer dcmi = ask_dcmi(view);
  const AscendChip* chip = install.chip;
  if (chip == nullptr && !dcmi.devices.empty()) chip = chip_of_name(dcmi.devices.front().name);
  check_nodes(view, install, found);
  check_driver(install, found);
  check_toolkit(view, install, found);
  check_hal(view, found);
  if (install.home.empty()) {
    found.none("ascend.libraries", words("CANN's libraries were not looked at", "未检查 CANN 运行库"),
               kNoToolkit);
  } else {
    check_libraries(view, found);
  }
  check_kernels(view, install, chip, found);
  check_ascend_device({view, scope, install, dcmi, chip}, found);
  found.number_steps(first);
}

}  // namespace chaski
