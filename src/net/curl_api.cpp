#include "net/curl_api.h"

#include <dlfcn.h>

#include <array>
#include <string>

#include "base/error.h"

namespace chaski {
namespace {

constexpr std::array kLibraries{"libcurl.so.4", "libcurl-gnutls.so.4"};

Error no_curl(std::string_view what) {
  return Error(
      ErrorCode::kUnsupported, "open libcurl", what,
      "the network is used through libcurl 7.66 or newer; install it: package libcurl4 on Debian and "
      "Ubuntu, libcurl on openEuler and others");
}

/// `library` is closed where something is missing.
CurlApi functions_of(void* library, const char* name) {
  CurlApi api;
  const auto find = [&](const char* symbol) {
    void* address = ::dlsym(library, symbol);
    if (address != nullptr) return address;
    ::dlclose(library);
    throw no_curl(fmt::format("{} has no {}", name, symbol));
  };
#define CHASKI_CURL_FIND(name) api.name = reinterpret_cast<decltype(api.name)>(find("curl_" #name));
  CHASKI_CURL_FUNCTIONS(CHASKI_CURL_FIND)
#undef CHASKI_CURL_FIND
  return api;
}

}  // namespace

CurlApi open_curl(std::span<const char* const> libraries) {
  std::string reasons;
  for (const char* name : libraries) {
    if (void* library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL)) return functions_of(library, name);
    const char* reason = ::dlerror();
    reasons += fmt::format("{}{}", reasons.empty() ? "" : "; ", reason == nullptr ? name : reason);
  }
  throw no_curl(reasons);
}

const CurlApi& curl() {
  static const CurlApi api = [] {
    const CurlApi opened = open_curl(kLibraries);
    const CURLcode code = opened.global_init(CURL_GLOBAL_DEFAULT);
    if (code != CURLE_OK) throw no_curl(fmt::format("it does not start: {}", opened.easy_strerror(code)));
    return opened;
  }();
  return api;
}

}  // namespace chaski
