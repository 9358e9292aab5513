// Untrusted tokenizer files: tokenizer.json (with a config after a NUL byte) and rank files. Either they are
// refused with an Error, or the tokenizer that comes out works.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "text/tokenizer.h"

namespace {

chaski::Tokenizer load(std::string_view bytes) {
  const size_t nul = bytes.find('\0');
  if (!bytes.starts_with('{')) return chaski::Tokenizer::from_rank_file(bytes, "fuzz");
  if (nul == std::string_view::npos) return chaski::Tokenizer::from_tokenizer_json(bytes, "fuzz");
  return chaski::Tokenizer::from_tokenizer_json(bytes.substr(0, nul), bytes.substr(nul + 1), "fuzz");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const chaski::Tokenizer tokenizer = load(bytes);
    const chaski::EncodeOptions options{.parse_special = true, .add_bos = true};
    for (const int32_t id : tokenizer.encode(bytes.substr(0, 2000), options)) {
      if (id < 0 || id >= tokenizer.vocab_size()) std::abort();
    }
  } catch (const chaski::Error& e) {
    if (e.code() == chaski::ErrorCode::kInternal) std::abort();
  }
  return 0;
}
