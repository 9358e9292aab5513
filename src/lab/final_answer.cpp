#include "lab/final_answer.h"

#include <algorithm>

namespace chaski {
namespace {

constexpr std::string_view kAnnouncement = "The answer is ";
constexpr std::string_view kOfNumbers = "0123456789.,";
constexpr std::string_view kOfAmounts = "0123456789.,$";
constexpr std::string_view kDigits = "0123456789";

/// Bytes from `at` on that are all among `characters`.
size_t run_length(std::string_view text, size_t at, std::string_view characters) {
  return std::min(text.size(), text.find_first_not_of(characters, at)) - std::min(at, text.size());
}

bool has_minus(std::string_view text, size_t at) { return at < text.size() && text[at] == '-'; }

std::string normalised(std::string text) {
  for (const char ignored : {',', '$'})
    text.erase(std::remove(text.begin(), text.end(), ignored), text.end());
  if (const size_t marker = text.rfind("#### "); marker != std::string::npos) text.erase(0, marker + 5);
  // The end, or the line end that is the last character.
  const size_t end = !text.empty() && text.back() == '\n' ? text.size() - 1 : text.size();
  if (end > 0 && text[end - 1] == '.') text.erase(end - 1, 1);
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

}  // namespace

std::string_view stripped(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::optional<std::string> strict_match(std::string_view answer) {
  for (size_t at = 0; (at = answer.find(kAnnouncement, at)) != std::string_view::npos; ++at) {
    const size_t begin = at + kAnnouncement.size();
    const size_t number = begin + (has_minus(answer, begin) ? 1 : 0);
    const size_t length = run_length(answer, number, kOfNumbers);
    const size_t end = number + length;
    const bool is_followed = end < answer.size() && answer[end] != '\n';
    const size_t n_taken = is_followed || length == 0 ? length : length - 1;
    if (n_taken > 0) return std::string(answer.substr(begin, number + n_taken - begin));
  }
  return std::nullopt;
}

std::optional<std::string> flexible_extract(std::string_view answer) {
  std::optional<std::string> last;
  for (size_t at = 0; at < answer.size();) {
    const size_t number = at + (has_minus(answer, at) ? 1 : 0);
    size_t length = run_length(answer, number, kOfAmounts);
    if (length < 2) length = run_length(answer, number, kDigits);
    if (length == 0) {
      ++at;
      continue;
    }
    last = answer.substr(at, number + length - at);
    at = number + length;
  }
  return last;
}

std::string reference_answer(std::string_view answer) {
  constexpr std::string_view kMarker = "####";
  const size_t marker = answer.rfind(kMarker);
  return std::string(
      stripped(marker == std::string_view::npos ? answer : answer.substr(marker + kMarker.size())));
}

bool is_exact_match(const std::optional<std::string>& found, std::string_view reference) {
  return normalised(found.value_or("[invalid]")) == normalised(std::string(reference));
}

}  // namespace chaski
