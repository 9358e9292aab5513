// A download's journal of any bytes, after a header that fits or not: never more than a part has, never more
// synced than written. And Content-Range headers.
#include "fuzz/fuzz_input.h"
#include "hub/file_download.h"
#include "hub/part_journal.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  chaski::fuzz::Choices choices(data, size);
  const chaski::JournalIdentity identity{"fuzz", "", choices.number() % 5000, choices.number() % 700 + 1};
  const std::string text = chaski::fuzz::text_of(data, size);
  const std::string rest = size > 16 ? text.substr(16) : "";
  for (const std::string& journal : {rest, text}) {
    const auto content = chaski::parse_journal(journal, identity);
    if (!content) continue;
    if (content->parts.size() != chaski::count_parts(identity)) std::abort();
    for (size_t i = 0; i < content->parts.size(); ++i) {
      const chaski::PartProgress& part = content->parts[i];
      if (part.n_written > chaski::bytes_of_part(identity, i) || part.n_synced > part.n_written) std::abort();
    }
  }
  if (const auto range = chaski::parse_content_range(rest)) {
    if (range->first > range->last || range->last >= range->total) std::abort();
  }
  return 0;
}
