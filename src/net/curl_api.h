// The functions of libcurl, found when the network is first asked for: the program starts where there is no
// libcurl. Only functions and options that libcurl 7.66 has.
#pragma once

// The options that newer headers advise against are those that older libraries know.
#define CURL_DISABLE_DEPRECATION
#include <curl/curl.h>

#include <span>

namespace chaski {

#define CHASKI_CURL_FUNCTIONS(FUNCTION) \
  FUNCTION(easy_cleanup)                \
  FUNCTION(easy_getinfo)                \
  FUNCTION(easy_init)                   \
  FUNCTION(easy_reset)                  \
  FUNCTION(easy_setopt)                 \
  FUNCTION(easy_strerror)               \
  FUNCTION(free)                        \
  FUNCTION(global_init)                 \
  FUNCTION(multi_add_handle)            \
  FUNCTION(multi_cleanup)               \
  FUNCTION(multi_info_read)             \
  FUNCTION(multi_init)                  \
  FUNCTION(multi_perform)               \
  FUNCTION(multi_poll)                  \
  FUNCTION(multi_remove_handle)         \
  FUNCTION(slist_append)                \
  FUNCTION(slist_free_all)              \
  FUNCTION(url)                         \
  FUNCTION(url_cleanup)                 \
  FUNCTION(url_get)                     \
  FUNCTION(url_set)

/// Each function by its name without "curl_".
struct CurlApi {
#define CHASKI_CURL_MEMBER(name) decltype(&curl_##name) name = nullptr;
  CHASKI_CURL_FUNCTIONS(CHASKI_CURL_MEMBER)
#undef CHASKI_CURL_MEMBER
};

/// The functions of the first of `libraries`, names as the loader takes them, that opens. Throws
/// Error(kUnsupported) saying why none does, or which function it lacks.
CurlApi open_curl(std::span<const char* const> libraries);

/// This machine's libcurl, opened and started by the first call and never closed. Throws as open_curl.
const CurlApi& curl();

}  // namespace chaski
