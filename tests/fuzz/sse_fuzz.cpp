// An event stream of any bytes, whole and cut as its own first bytes say: the same events, or Error(kCorrupt)
// both times.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "fuzz/fuzz_input.h"
#include "net/sse.h"

namespace {

/// What came of feeding `stream` in pieces of `sizes`, over and over; one piece where there are none.
std::vector<std::string> outcome_of(std::string_view stream, const std::vector<size_t>& sizes) {
  std::vector<std::string> events;
  chaski::SseParser parser({40, 60});
  try {
    for (size_t i = 0; !stream.empty(); ++i) {
      const size_t size = sizes.empty() ? stream.size() : std::min(stream.size(), sizes[i % sizes.size()]);
      parser.feed(stream.substr(0, size), [&](const chaski::SseEvent& event) {
        if (event.type.empty() || event.data.size() > 60) std::abort();
        events.push_back(event.type + '\0' + event.data);
      });
      stream.remove_prefix(size);
    }
  } catch (const chaski::Error& error) {
    if (error.code() != chaski::ErrorCode::kCorrupt) std::abort();
    events.push_back("refused");
  }
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const size_t n_sizes = std::min<size_t>(size, 3);
  std::vector<size_t> sizes;
  for (size_t i = 0; i < n_sizes; ++i) sizes.push_back(data[i] % 16 + 1);
  const std::string stream = chaski::fuzz::text_of(data + n_sizes, size - n_sizes);
  if (outcome_of(stream, {}) != outcome_of(stream, sizes)) std::abort();
  return 0;
}
