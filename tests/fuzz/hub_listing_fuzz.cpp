// What a hub answers, of any bytes, read by the parser that the first byte names: a listing whose names stay
// below their folder, or an Error about the input.
#include "base/files.h"
#include "fuzz/fuzz_input.h"
#include "hub/listing.h"
#include "hub/model_store.h"

namespace {

void check(chaski::ListingPage page) {
  chaski::RemoteListing listing{std::move(page.commit), std::move(page.files)};
  chaski::check_listing(listing, "fuzz");
  for (const chaski::RemoteFile& file : listing.files) {
    if (!chaski::is_safe_relative_name(file.name)) std::abort();
    if (!file.sha256.empty() && file.sha256.size() != 64) std::abort();
  }
}

void parse(int which, const std::string& text) {
  using namespace chaski;
  switch (which) {
    case 0:
      return check(parse_modelscope_files(text, "fuzz"));
    case 1:
      return check(parse_huggingface_tree(text, "fuzz"));
    case 2:
      return check(parse_openmind_tree(text, "fuzz"));
    case 3:
      return check(parse_ollama_manifest(text, "fuzz"));
    case 4:
      parse_huggingface_commit(text, "fuzz");
      return;
    case 5:
      parse_lfs_batch(text, {std::string(64, 'a'), 3}, "fuzz");
      return;
    case 6:
      if (const auto pointer = parse_lfs_pointer(text); pointer && pointer->sha256.size() != 64) std::abort();
      return;
    case 7:
      for (const StoredFile& file : parse_manifest(text, "fuzz").files) {
        if (!is_safe_relative_name(file.name)) std::abort();
      }
      return;
    default:
      next_page_of(text);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text = chaski::fuzz::text_of(data + 1, size - 1);
  chaski::fuzz::expect_error_at_most([&] { parse((data[0] - '0') % 9, text); });
  return 0;
}
