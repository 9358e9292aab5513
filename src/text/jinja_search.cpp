// Finding one text in another in linear time and constant space, whatever the two are: templates and messages
// choose both, and std::string's search takes quadratic time on a text of equal letters.
// Source: two-way-search.
#include <algorithm>
#include <string_view>
#include <utility>

#include "text/jinja_text.h"

namespace chaski::jinja {

namespace {

// A text read from its begin or from its end.
template <bool kBackwards>
struct Reader {
  std::string_view text;
  size_t size() const { return text.size(); }
  char operator[](size_t i) const { return text[kBackwards ? text.size() - 1 - i : i]; }
};

// Where the greatest suffix of `part` begins, and its period. Greatest in the order of bytes or its reverse.
template <typename Text>
std::pair<size_t, size_t> greatest_suffix(const Text& part, bool is_reversed_order) {
  size_t begin = 0;
  size_t candidate = 1;
  size_t n_equal = 0;
  size_t period = 1;
  while (candidate + n_equal < part.size()) {
    const char a = part[candidate + n_equal];
    const char b = part[begin + n_equal];
    if (a == b) {
      if (++n_equal == period) {
        candidate += period;
        n_equal = 0;
      }
    } else if ((a < b) != is_reversed_order) {
      candidate += n_equal + 1;
      n_equal = 0;
      period = candidate - begin;
    } else {
      begin = candidate++;
      n_equal = 0;
      period = 1;
    }
  }
  return {begin, period};
}

// The two-way search: `part` is cut where its local period is its period; its right half is compared first,
// then its left half. What is known to match of a periodic part is not compared again.
template <typename Text>
size_t two_way_search(const Text& text, const Text& part) {
  auto [cut, period] = std::max(greatest_suffix(part, false), greatest_suffix(part, true));
  bool is_periodic = true;
  for (size_t i = 0; i < cut && is_periodic; ++i) is_periodic = part[i] == part[i + period];
  if (!is_periodic) period = std::max(cut, part.size() - cut) + 1;
  size_t n_known = 0;
  for (size_t at = 0; at + part.size() <= text.size();) {
    size_t i = std::max(cut, n_known);
    while (i < part.size() && part[i] == text[at + i]) ++i;
    if (i < part.size()) {
      at += i - cut + 1;
      n_known = 0;
      continue;
    }
    i = cut;
    while (i > n_known && part[i - 1] == text[at + i - 1]) --i;
    if (i <= n_known) return at;
    at += period;
    n_known = is_periodic ? part.size() - period : 0;
  }
  return std::string_view::npos;
}

}  // namespace

size_t find_first(std::string_view text, std::string_view part, size_t from) {
  text.remove_prefix(from);
  if (part.size() > text.size()) return std::string_view::npos;
  if (part.size() <= 1) {
    const size_t at = text.find(part);
    return at == std::string_view::npos ? at : from + at;
  }
  const size_t at = two_way_search(Reader<false>{text}, Reader<false>{part});
  return at == std::string_view::npos ? at : from + at;
}

size_t find_last(std::string_view text, std::string_view part) {
  if (part.size() > text.size()) return std::string_view::npos;
  if (part.empty()) return text.size();
  const size_t at = two_way_search(Reader<true>{text}, Reader<true>{part});
  return at == std::string_view::npos ? at : text.size() - at - part.size();
}

}  // namespace chaski::jinja
