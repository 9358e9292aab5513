// Doctor's checks of where models lie and how they come: disk, caches of other programs, the network's
// environment. Nothing is sent.
#include <unistd.h>

#include <algorithm>
#include <array>

#include "machine/doctor.h"

namespace chaski {
namespace {

constexpr double kGb = 1e9;
constexpr uint64_t kLeastDisk = 500'000'000;  // the embedded model and a few runs
constexpr uint64_t kFewDisk = 8'000'000'000;  // Llama-3.2-3B in bf16, and its packed form

void check_home(const MachineView& view, Findings& found) {
  const std::string home = chaski_home_of(view);
  if (home.empty() || home.front() != '/') {
    found.fail(
        "disk.home", ErrorCode::kIo, words("there is no place for models", "没有存放模型的位置"),
        words("neither CHASKI_HOME nor HOME is an absolute path", "CHASKI_HOME 与 HOME 都不是绝对路径"),
        words("export CHASKI_HOME=/path/with/room", "export CHASKI_HOME=/空间充足的目录"));
    return;
  }
  const std::string said = shown(home);
  bool is_writable = !view.is_read_only(home);
  if (view.is_live()) {
    std::string folder = home;
    while (folder.size() > 1 && !view.exists(folder)) folder.resize(std::max<size_t>(1, folder.rfind('/')));
    is_writable = is_writable && ::access(folder.c_str(), W_OK | X_OK) == 0;
  }
  const auto space = view.disk_space(home);
  Json facts = {{"path", said}, {"writable", is_writable}, {"free_bytes", nullptr}};
  if (space) facts["free_bytes"] = space->free_bytes;
  if (!is_writable) {
    found
        .fail(
            "disk.home", ErrorCode::kIo, words("{} cannot be written", "{} 不可写", said),
            words("models, packed weights and runs are kept there", "模型、打包后的权重与运行记录都存放在此"),
            words("export CHASKI_HOME=/path/that/can/be/written", "export CHASKI_HOME=/可写的目录"))
        .facts = facts;
    return;
  }
  if (!space) {
    found.ok("disk.home", words("models are kept in {}", "模型存放于 {}", said)).facts = facts;
    return;
  }
  const Words what = words("{:.1f} GB free for models in {}", "可用磁盘 {:.1f} GB，模型存放于 {}",
                           static_cast<double>(space->free_bytes) / kGb, said);
  const Words fix = words("make room there, or export CHASKI_HOME=/path/with/room",
                          "清理空间，或 export CHASKI_HOME=/空间充足的目录");
  if (space->free_bytes < kLeastDisk) {
    found
        .fail("disk.home", ErrorCode::kIo, what,
              words("that is too little for any model", "不足以存放任何模型"), fix)
        .facts = facts;
  } else if (space->free_bytes < kFewDisk) {
    found
        .warn("disk.home", what,
              words("Llama-3.2-3B in bf16 takes 6.4 GB", "Llama-3.2-3B 的 bf16 权重有 6.4 GB"), fix)
        .facts = facts;
  } else {
    found.ok("disk.home", what).facts = facts;
  }
}

struct Cache {
  std::string name, folder;
};

/// Where other programs keep models, by their own rules. Source: docs/sources.md#hub-caches.
std::vector<Cache> known_caches(const MachineView& view) {
  const std::string home = view.env("HOME");
  const auto or_else = [&](const char* variable, const std::string& below_home) {
    const std::string set = view.env(variable);
    return !set.empty() ? set : home.empty() ? std::string() : home + below_home;
  };
  const std::string hugging_face_home = or_else("HF_HOME", "/.cache/huggingface");
  const std::string hub = view.env("HF_HUB_CACHE");
  const std::string chaski = chaski_home_of(view);
  return {{"chaski", chaski.empty() ? "" : chaski + "/models"},
          {"ModelScope", or_else("MODELSCOPE_CACHE", "/.cache/modelscope")},
          {"Hugging Face", !hub.empty()                ? hub
                           : hugging_face_home.empty() ? ""
                                                       : hugging_face_home + "/hub"},
          {"openMind", or_else("XDG_CACHE_HOME", "/.cache") + "/openmind/hub"},
          {"Ollama", or_else("OLLAMA_MODELS", "/.ollama/models")}};
}

bool is_visible(const std::string& name) {
  return !name.empty() && name.front() != '.' && name.front() != '_';
}

/// Folders of `folder` for which `is_model` holds.
template <typename Test>
int64_t count_folders(const MachineView& view, const std::string& folder, Test is_model) {
  int64_t n = 0;
  for (const std::string& name : view.names(folder)) {
    if (is_visible(name) && is_model(name) && view.is_folder(folder + "/" + name)) ++n;
  }
  return n;
}

/// Models as ORG/NAME below `folder`.
int64_t count_pairs(const MachineView& view, const std::string& folder) {
  int64_t n = 0;
  constexpr int64_t kMost = 1000;
  for (const std::string& owner : view.names(folder)) {
    if (!is_visible(owner) || owner.find("--") != std::string::npos || n >= kMost) continue;
    n += count_folders(view, folder + "/" + owner, [](const std::string&) { return true; });
  }
  return n;
}

int64_t count_models(const MachineView& view, const Cache& cache) {
  const auto has_dashes = [](const std::string& name) { return name.find("--") != std::string::npos; };
  if (cache.name == "ModelScope") {
    return count_folders(view, cache.folder + "/models", has_dashes) +
           count_pairs(view, cache.folder + "/models") + count_pairs(view, cache.folder + "/hub/models");
  }
  if (cache.name == "Ollama") {
    int64_t n = 0;
    for (const std::string& host : view.names(cache.folder + "/manifests")) {
      n += count_pairs(view, cache.folder + "/manifests/" + host);
    }
    return n;
  }
  if (cache.name == "chaski") return static_cast<int64_t>(view.names(cache.folder).size());
  return count_folders(view, cache.folder,
                       [](const std::string& name) { return name.rfind("models--", 0) == 0; });
}

void check_caches(const MachineView& view, Findings& found) {
  Json facts = Json::array();
  std::string list;
  for (const Cache& cache : known_caches(view)) {
    if (cache.folder.empty() || cache.folder.front() != '/' || !view.is_folder(cache.folder)) continue;
    const int64_t n = count_models(view, cache);
    facts.push_back({{"name", cache.name}, {"path", shown(cache.folder)}, {"models", n}});
    list += fmt::format("{}{} {}: {}", list.empty() ? "" : "; ", cache.name, shown(cache.folder), n);
  }
  if (list.empty()) {
    found.none("disk.caches", words("no cache of models was found", "未发现已有的模型缓存"));
  } else {
    found.ok("disk.caches", words("models found: {}", "已有模型缓存（个数）：{}", list)).facts = {
        {"caches", facts}};
  }
}

/// A proxy's URL without what may be a password in it.
std::string without_secret(const std::string& url) {
  const size_t at = url.rfind('@'), scheme = url.find("://");
  if (at == std::string::npos) return shown(url);
  const std::string front = scheme == std::string::npos || scheme > at ? "" : url.substr(0, scheme + 3);
  return shown(front + "…@" + url.substr(at + 1));
}

constexpr std::array<const char*, 6> kProxies{"http_proxy",  "https_proxy", "all_proxy",
                                              "HTTPS_PROXY", "ALL_PROXY",   "HTTP_PROXY"};

bool has_scheme_of_a_proxy(const std::string& url) {
  const size_t colon = url.find("://");
  if (colon == std::string::npos) return true;  // http is meant
  const std::string scheme = url.substr(0, colon);
  constexpr std::array<std::string_view, 6> kSchemes{"http",    "https",  "socks4",
                                                     "socks4a", "socks5", "socks5h"};
  return std::find(kSchemes.begin(), kSchemes.end(), scheme) != kSchemes.end();
}

void check_proxies(const MachineView& view, Findings& found) {
  Json facts = Json::object();
  std::string list, wrong;
  for (const char* name : kProxies) {
    const std::string url = view.env(name);
    if (url.empty()) continue;
    facts[name] = without_secret(url);
    list += fmt::format("{}{}={}", list.empty() ? "" : ", ", name, without_secret(url));
    if (!has_scheme_of_a_proxy(url) && wrong.empty()) wrong = name;
  }
  if (list.empty()) {
    found.none("network.proxy", words("no proxy is set", "未设置代理"));
    return;
  }
  std::string exceptions = view.env("no_proxy");
  if (exceptions.empty()) exceptions = view.env("NO_PROXY");
  facts["no_proxy"] = shown(exceptions);
  const Words what = words("downloads go through {}", "下载经由代理 {}", list);
  const bool is_local_excepted = exceptions.find("127.0.0.1") != std::string::npos ||
                                 exceptions.find("localhost") != std::string::npos || exceptions == "*";
  if (!wrong.empty()) {
    found
        .fail("network.proxy", ErrorCode::kNetwork, what,
              words("{} is no proxy's URL", "{} 不是有效的代理地址", wrong),
              words("export {}=http://HOST:PORT (or socks5h://HOST:PORT)",
                    "export {}=http://主机:端口（或 socks5h://主机:端口）", wrong))
        .facts = facts;
  } else if (view.env("http_proxy").empty() && !view.env("HTTP_PROXY").empty()) {
    found
        .warn("network.proxy", what,
              words("HTTP_PROXY in capitals is not used: a web server's clients can set it",
                    "大写的 HTTP_PROXY 不会生效：它可能被网页请求方伪造"),
              words("export http_proxy=$HTTP_PROXY", "export http_proxy=$HTTP_PROXY"))
        .facts = facts;
  } else if (!is_local_excepted) {
    found
        .warn("network.proxy", what,
              words("requests to this machine itself (a judge, a server under test) would go there too",
                    "发往本机的请求（评审服务、被测服务）也会经过代理"),
              words("export no_proxy=localhost,127.0.0.1,::1", "export no_proxy=localhost,127.0.0.1,::1"))
        .facts = facts;
  } else {
    found.ok("network.proxy", what).facts = facts;
  }
}

void check_hub_settings(const MachineView& view, Findings& found) {
  constexpr std::array<const char*, 5> kSettings{"HF_ENDPOINT", "MODELSCOPE_DOMAIN", "OPENMIND_HUB_ENDPOINT",
                                                 "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"};
  constexpr std::array<const char*, 4> kTokens{"HF_TOKEN", "MODELSCOPE_API_TOKEN", "OPENMIND_HUB_TOKEN",
                                               "GITCODE_TOKEN"};
  Json facts = Json::object();
  std::string list;
  for (const char* name : kSettings) {
    const std::string value = view.env(name);
    if (value.empty()) continue;
    facts[name] = without_secret(value);
    list += fmt::format("{}{}={}", list.empty() ? "" : ", ", name, without_secret(value));
  }
  for (const char* name : kTokens) {  // that there is one, never which
    if (view.env(name).empty()) continue;
    facts[name] = true;
    list += fmt::format("{}{}", list.empty() ? "" : ", ", name);
  }
  if (list.empty()) {
    found.none("network.hubs", words("no setting of a model hub: the hubs' own addresses, no token",
                                     "未设置模型站点参数：使用各站点默认地址，无令牌"));
  } else {
    found.ok("network.hubs", words("settings of model hubs: {}", "模型站点参数：{}", list)).facts = facts;
  }
}

void check_resolver(const MachineView& view, Findings& found) {
  const bool has_proxy = std::any_of(kProxies.begin(), kProxies.end(),
                                     [&](const char* name) { return !view.env(name).empty(); });
  if (!has_proxy && view.text("/etc/resolv.conf").text.find("nameserver") == std::string::npos) {
    found.warn("network.names",
               words("/etc/resolv.conf names no server", "/etc/resolv.conf 中没有域名服务器"),
               words("names of hubs cannot be looked up; models that are here work all the same",
                     "无法解析模型站点域名；已在本机的模型不受影响"),
               words("start the container with its network, or copy a model here and name its path",
                     "启动容器时启用网络，或把模型拷贝到本机后以路径指定"));
  }
}

}  // namespace

void check_places(const MachineView& view, Findings& found) {
  check_home(view, found);
  check_caches(view, found);
}

void check_network(const MachineView& view, Findings& found) {
  check_proxies(view, found);
  check_hub_settings(view, found);
  check_resolver(view, found);
}

}  // namespace chaski
