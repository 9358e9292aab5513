// A line of a run's journal, of any bytes: a row that is written as it was read, or an Error.
#include <cstdint>

#include "fuzz_input.h"
#include "lab/item_journal.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace chaski;
  fuzz::expect_error_at_most([&] {
    const auto [row, key] = parse_row(fuzz::text_of(data, size), "fuzz");
    const std::string line = row_line(row, key);
    const auto [again, same_key] = parse_row(std::string_view(line).substr(0, line.size() - 1), "fuzz");
    CHECK(row_line(again, same_key) == line, "a row changes when it is written and read");
  });
  return 0;
}
