// Files of GSM8K of any bytes, problems and examples split at the first NUL: a suite or Error(kCorrupt),
// nothing else. The filters that find an answer's last number take the same bytes.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "lab/final_answer.h"
#include "lab/gsm8k.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t split = input.find('\0');
  const bool has_examples = split != std::string_view::npos;
  try {
    const chaski::Suite suite =
        chaski::parse_gsm8k(input.substr(0, split), "fuzz", has_examples ? input.substr(split + 1) : "",
                            has_examples ? "fuzz examples" : "");
    for (const chaski::SuiteItem& item : suite.items) {
      CHECK(!item.prompt.empty() && !item.extra.at("answer").get<std::string>().empty(),
            "a problem without a question or an answer was accepted");
    }
  } catch (const chaski::Error& error) {
    if (error.code() != chaski::ErrorCode::kCorrupt) throw;
  }
  for (const auto& found : {chaski::strict_match(input), chaski::flexible_extract(input)}) {
    if (!found) continue;
    CHECK(!found->empty() && input.find(*found) != std::string_view::npos,
          "a number that does not stand there");
    CHECK(chaski::is_exact_match(found, *found), "a number that is not itself");
  }
  const std::string reference = chaski::reference_answer(input);
  CHECK(chaski::stripped(reference) == reference, "a reference with space around it");
  return 0;
}
