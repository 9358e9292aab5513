// The one exception of the program, and the table that maps its codes to what each door shows.
// Conventions: what ends an operation throws Error; what a caller expects is returned. See CONTRIBUTING.md.
#pragma once

#include <fmt/format.h>

#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace chaski {

enum class ErrorCode {
  kUsage,
  kNotFound,
  kCorrupt,
  kUnsupported,
  kOutOfMemory,
  kDevice,
  kNetwork,
  kCancelled,
  kInternal,
  kIo
};

/// One row of the table from code to exit status, HTTP status and headline.
struct ErrorTraits {
  ErrorCode code;
  std::string_view name;
  int exit_status;
  int http_status;
  std::string_view headline_en;
  std::string_view headline_zh;
};

const ErrorTraits& traits_of(ErrorCode code);
/// The code of that name, as records and JSON spell it; nothing for any other text.
std::optional<ErrorCode> error_code_of(std::string_view name);

/// What ended an operation. `message` says what, expected, found and where; `hint` what to do next.
class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string_view operation, std::string_view message, std::string hint = {});

  const char* what() const noexcept override { return text_.c_str(); }  ///< "[operation] message"
  ErrorCode code() const { return code_; }
  const std::string& hint() const { return hint_; }
  const std::vector<std::string>& context() const { return context_; }

  /// Add what the caller was doing, innermost first; for `catch (Error& e) { e.add_context(…); throw; }`.
  void add_context(std::string doing) { context_.push_back(std::move(doing)); }

 private:
  ErrorCode code_;
  std::string text_;
  std::string hint_;
  std::vector<std::string> context_;
};

/// The whole error for a person: headline, message, context and hint, one per line. `lang` is "en" or "zh".
std::string describe(const Error& error, std::string_view lang = "en");

/// Untrusted bytes as they may be shown: control characters escaped, invalid UTF-8 as U+FFFD; the first
/// `limit` bytes, and … where there are more.
std::string printable(std::string_view text, size_t limit = 80);

namespace detail {
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& message);
}

}  // namespace chaski

/// A bug of ours, not of the user's input: throws Error(kInternal). CHECK(condition, "format {}", args…).
#define CHECK(condition, ...)                                                                     \
  do {                                                                                            \
    if (!(condition)) [[unlikely]] {                                                              \
      ::chaski::detail::check_failed(__FILE__, __LINE__, #condition, ::fmt::format(__VA_ARGS__)); \
    }                                                                                             \
  } while (false)
