#include "backend/ascend/acl_api.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>

#include "backend/ascend/acl_error.h"
#include "base/files.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

/// The files that may hold a group of functions; every one that is there is searched, in this order. Later
/// CANN packages cut the operators into several.
const std::vector<const char*>& candidates(AclLibrary library) {
  static const std::array<std::vector<const char*>, 3> kNames{
      {{"libascendcl.so"},
       {"libnnopbase.so"},
       {"libcust_opapi.so", "libopapi.so", "libopapi_math.so", "libopapi_nn.so", "libopapi_transformer.so",
        "libaclnn_math.so", "libaclnn_ops_infer.so", "libaclnn_ops_train.so"}}};
  return kNames[static_cast<size_t>(library)];
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::vector<std::string> split_at_commas(std::string_view list) {
  std::vector<std::string> parts;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (comma > 0) parts.emplace_back(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return parts;
}

/// The driver's own library before anything that depends on it: a toolkit's folder for builds may hold a stub
/// of it, which a loader told of that folder would find first.
void open_driver() {
  for (const char* folder : {"/driver", "/common", ""}) {
    const std::string path = fmt::format("/usr/local/Ascend/driver/lib64{}/libascend_hal.so", folder);
    if (::dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) return;
  }
}

/// Opens libraries and finds symbols in them.
class Libraries {
 public:
  explicit Libraries(const AclSearch& search) : search_(&search) {
    if (search.by_loader) open_driver();
    // The runtime before what is built on it.
    for (const AclLibrary library : {AclLibrary::kAscendCl, AclLibrary::kNnBase, AclLibrary::kOperators}) {
      for (const char* name : candidates(library)) open(library, name);
    }
  }

  bool has(AclLibrary library) const { return !handles_[static_cast<size_t>(library)].empty(); }
  /// Why the group's usual library did not open.
  const std::string& why_not(AclLibrary library) const { return why_not_[static_cast<size_t>(library)]; }

  /// In the libraries of that group, else in the others'. Null where none has it.
  void* find(AclLibrary library, const char* name) const {
    for (void* handle : handles_[static_cast<size_t>(library)]) {
      if (void* symbol = ::dlsym(handle, name)) return symbol;
    }
    for (const auto& group : handles_) {
      for (void* handle : group) {
        if (void* symbol = ::dlsym(handle, name)) return symbol;
      }
    }
    return nullptr;
  }

  static std::string file_of(void* symbol) {
    Dl_info info{};
    return ::dladdr(symbol, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
  }

 private:
  void open(AclLibrary library, const char* name) {
    std::vector<std::string> paths;
    if (search_->by_loader) paths.emplace_back(name);
    for (const std::string& folder : search_->folders) {
      std::error_code ignored;
      const fs::path path = fs::path(folder) / name;
      if (fs::exists(path, ignored)) paths.push_back(path.string());
    }
    for (const std::string& path : paths) {
      if (void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL)) {
        handles_[static_cast<size_t>(library)].push_back(handle);
        return;
      }
      // A file that is there but does not open says more than one that is not.
      const char* reason = ::dlerror();
      std::string& kept = why_not_[static_cast<size_t>(library)];
      if (reason != nullptr && (kept.empty() || path.find('/') != std::string::npos))
        kept = printable(reason, 300);
    }
  }

  const AclSearch* search_;
  std::array<std::vector<void*>, 3> handles_;
  std::array<std::string, 3> why_not_;
};

constexpr std::string_view kHint =
    "source the toolkit's set_env.sh (usually /usr/local/Ascend/ascend-toolkit/set_env.sh) in the shell that "
    "starts chaski; `chaski doctor` says what is missing";

[[noreturn]] void throw_no_library(AclLibrary library, const std::string& why_not) {
  throw Error(ErrorCode::kDevice, "open CANN",
              fmt::format("{}.so cannot be opened: {}", name_of(library),
                          why_not.empty() ? "no such file where it was looked for" : why_not),
              std::string(kHint) + "; where there is none, install CANN 8.0 or newer");
}

/// Names before commas in "(const aclTensor* self, int64_t dim)".
std::vector<std::string_view> names_in(std::string_view list) {
  std::vector<std::string_view> names;
  list.remove_prefix(1);
  list.remove_suffix(1);
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view parameter = list.substr(0, comma);
    names.push_back(parameter.substr(parameter.find_last_of(" *") + 1));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return names;
}

/// The toolkit's version by the file beside the folder of its libraries; empty where it has none.
std::string toolkit_version(const std::string& library) {
  std::error_code fault;
  const fs::path folder = fs::canonical(library, fault).parent_path().parent_path();
  if (fault) return {};
  for (const char* file : {"ascend_toolkit_install.info", "ascend_nnrt_install.info"}) {
    std::string text;
    try {
      text = "\n" + read_text_file(folder / file, 64u << 10);
    } catch (const Error&) {
      continue;
    }
    constexpr std::string_view kKey = "\nversion=";
    const size_t at = text.find(kKey);
    if (at == std::string::npos) continue;
    const size_t from = at + kKey.size();
    return printable(text.substr(from, text.find_first_of("\r\n", from) - from), 40);
  }
  return {};
}

}  // namespace

std::string_view name_of(AclnnOp op) {
  static constexpr std::string_view kNames[] = {
#define ACLNN_OP(since, need, name, args) "aclnn" #name,
#include "backend/ascend/aclnn_ops.def"
#undef ACLNN_OP
  };
  return kNames[static_cast<size_t>(op)];
}

const std::vector<std::string_view>& argument_names(AclnnOp op) {
  static const std::vector<std::vector<std::string_view>> kNames{
#define ACLNN_OP(since, need, name, args) names_in(#args),
#include "backend/ascend/aclnn_ops.def"
#undef ACLNN_OP
  };
  return kNames[static_cast<size_t>(op)];
}

std::string_view name_of(AclLibrary library) {
  static constexpr std::string_view kNames[] = {"libascendcl", "libnnopbase", "libopapi"};
  return kNames[static_cast<size_t>(library)];
}

AclSearch AclSearch::from_environment() {
  AclSearch search;
  for (const char* name : {"ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"}) {
    if (const std::string home = environment(name); !home.empty()) search.folders.push_back(home + "/lib64");
  }
  for (const char* home : {"/usr/local/Ascend/ascend-toolkit/latest", "/usr/local/Ascend/nnrt/latest",
                           "/usr/local/Ascend/cann", "/usr/local/Ascend/latest"}) {
    search.folders.push_back(std::string(home) + "/lib64");
  }
  search.without = split_at_commas(environment("CHASKI_ASCEND_WITHOUT"));
  return search;
}

std::shared_ptr<AclApi> AclApi::open() {
  // Never destroyed: CANN's own threads and static objects outlive main(), and aclFinalize among their
  // destructors is a known way to crash at exit.
  static std::mutex& mutex = *new std::mutex;
  static std::shared_ptr<AclApi>& opened = *new std::shared_ptr<AclApi>;
  const std::lock_guard lock(mutex);
  if (opened == nullptr) opened = open(AclSearch::from_environment());
  return opened;
}

std::shared_ptr<AclApi> AclApi::open(const AclSearch& search) {
  const std::shared_ptr<AclApi> api(new AclApi);
  api->resolve(search);
  return api;
}

std::shared_ptr<AclApi> AclApi::try_open(std::string& why_not) noexcept {
  try {
    return open();
  } catch (const std::exception& error) {
    why_not = error.what();
  }
  return nullptr;
}

void AclApi::resolve(const AclSearch& search) {
  const Libraries libraries(search);
  for (const AclLibrary library : {AclLibrary::kAscendCl, AclLibrary::kNnBase, AclLibrary::kOperators}) {
    if (!libraries.has(library)) throw_no_library(library, libraries.why_not(library));
  }
  constexpr bool kRequired = true, kOptional = false;
  const auto is_hidden = [&](std::string_view name) {
    return std::find(search.without.begin(), search.without.end(), name) != search.without.end();
  };
  const auto bind = [&](auto& pointer, AclLibrary library, const char* name, std::string_view since,
                        bool is_required, bool is_left_out) {
    void* symbol = is_left_out ? nullptr : libraries.find(library, name);
    pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(symbol);
    symbols_.push_back(
        {library, name, since, is_required, symbol == nullptr ? "" : Libraries::file_of(symbol)});
  };
#define ACL_FUNCTION(library, since, need, type, name, parameters) \
  bind(call.name, AclLibrary::library, #name, since, need, is_hidden(#name));
#include "backend/ascend/acl_functions.def"
#undef ACL_FUNCTION
  const auto bind_op = [&](auto& pair, const char* name, const char* first_phase, std::string_view since,
                           bool is_required) {
    const bool is_left_out = is_hidden(name) || is_hidden(first_phase);
    bind(pair.get_workspace_size, AclLibrary::kOperators, first_phase, since, is_required, is_left_out);
    bind(pair.run, AclLibrary::kOperators, name, since, is_required, is_left_out);
  };
#define ACLNN_OP(since, need, name, args) \
  bind_op(ops.name, "aclnn" #name, "aclnn" #name "GetWorkspaceSize", since, need);
#include "backend/ascend/aclnn_ops.def"
#undef ACLNN_OP

  path_ = symbols_.front().served_by;
  if (void* marker = libraries.find(AclLibrary::kAscendCl, "chaski_ascend_emulator"))
    profile_ = printable(reinterpret_cast<const char* (*)()>(marker)(), 20);
  find_version();
  std::string lacking, since;
  for (const AclSymbol& symbol : symbols_) {
    if (!symbol.is_required || !symbol.served_by.empty()) continue;
    lacking += fmt::format("{}{}", lacking.empty() ? "" : ", ", symbol.name);
    since = std::max(since, std::string(symbol.since));
  }
  if (lacking.empty()) return;
  throw Error(ErrorCode::kDevice, "open CANN",
              fmt::format("{} in {} lacks {}", version_, fs::path(path_).parent_path().string(), lacking),
              fmt::format("they come with CANN {}: install it or a newer one, and {}", since, kHint));
}

void AclApi::find_version() {
  if (is_emulated()) {
    version_ = "emulated CANN " + profile_;
    return;
  }
  const std::string toolkit = toolkit_version(path_);
  version_ = toolkit.empty() ? "CANN" : "CANN " + toolkit;
  int32_t major = 0, minor = 0, patch = 0;
  if (call.aclrtGetVersion != nullptr && call.aclrtGetVersion(&major, &minor, &patch) == 0)
    version_ += fmt::format(" (AscendCL {}.{}.{})", major, minor, patch);
}

AclApi::~AclApi() {
  if (must_finalize_) call.aclFinalize();
}

void AclApi::initialize() {
  const std::lock_guard lock(mutex_);
  if (is_initialized_) return;
  const acl::Status status = call.aclInit(nullptr);
  // Another library of this process may have called it before; then finalising is not ours either.
  if (status != acl::kRepeatedInit) check_acl(*this, status, "aclInit");
  is_initialized_ = true;
  must_finalize_ = status == 0;
}

void AclApi::hold_device(int device) {
  CHECK(device >= 0, "device {}", device);
  initialize();
  const std::lock_guard lock(mutex_);
  check_acl(*this, call.aclrtSetDevice(device), "aclrtSetDevice", fmt::format("device {}", device));
  const auto index = static_cast<size_t>(device);
  if (users_of_device_.size() <= index) users_of_device_.resize(index + 1);
  ++users_of_device_[index];
}

void AclApi::release_device(int device) noexcept {
  const std::lock_guard lock(mutex_);
  if (--users_of_device_[static_cast<size_t>(device)] == 0) call.aclrtResetDevice(device);
}

bool AclApi::has(std::string_view name) const {
  return std::any_of(symbols_.begin(), symbols_.end(), [&](const AclSymbol& symbol) {
    return symbol.name == name && !symbol.served_by.empty();
  });
}

bool AclApi::has(AclnnOp op) const {
  return has(name_of(op)) && has(std::string(name_of(op)) + "GetWorkspaceSize");
}

bool AclApi::can_capture() const {
  return std::none_of(symbols_.begin(), symbols_.end(), [](const AclSymbol& symbol) {
    return symbol.name.substr(0, 8) == "aclmdlRI" && symbol.served_by.empty();
  });
}

std::vector<std::string> AclApi::missing() const {
  std::vector<std::string> lines;
  for (const AclSymbol& symbol : symbols_) {
    if (symbol.served_by.empty())
      lines.push_back(fmt::format("{} (since CANN {})", symbol.name, symbol.since));
  }
  return lines;
}

}  // namespace chaski
