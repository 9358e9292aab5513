// Any text as a shard index. Names that are accepted must stay below the folder; JSON that the tree parser
// refuses must not be accepted here.
#include "base/json.h"
#include "format/shard_index.h"
#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace chaski;
  const std::string text = fuzz::text_of(data, size);
  fuzz::expect_error_at_most([&] {
    const ShardIndex index = read_shard_index(MemorySource("index.json", text));
    for (const std::string& file : index.files) {
      if (!is_safe_relative_name(file)) std::abort();
    }
    for (const auto& [tensor, place] : index.tensors) {
      if (place >= index.files.size()) std::abort();
    }
    try {
      parse_json(text, "index.json");
    } catch (const Error& error) {
      // The stream keeps no keys of members it passes over, and no values of numbers.
      const std::string why = error.what();
      if (why.find("stands twice") == std::string::npos && why.find("overflow") == std::string::npos)
        std::abort();
    }
  });
  return 0;
}
