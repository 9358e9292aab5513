// The two languages of the program, side by side where each sentence is used. Messages of Error stay in
// English below a headline in the reader's language.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace chaski {

enum class Lang { kEn, kZh };

inline std::string_view name_of(Lang lang) { return lang == Lang::kZh ? "zh" : "en"; }

/// The sentence in the reader's language.
inline std::string_view tr(Lang lang, std::string_view en, std::string_view zh) {
  return lang == Lang::kZh ? zh : en;
}

/// The same with values put in; both formats are checked against the values when compiled.
template <typename... Args>
std::string trf(Lang lang, fmt::format_string<Args...> en, fmt::format_string<Args...> zh, Args&&... args) {
  return lang == Lang::kZh ? fmt::format(zh, std::forward<Args>(args)...)
                           : fmt::format(en, std::forward<Args>(args)...);
}

}  // namespace chaski
