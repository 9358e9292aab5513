// A shared library of any bytes, as doctor reads its symbols: an answer with symbols that were asked for, or
// a reason.
#include <fstream>
#include <set>
#include <string>

#include "base/error.h"
#include "base/utf8.h"
#include "fuzz/fuzz_input.h"
#include "machine/elf_symbols.h"
#include "support/temporary_folder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace chaski;
  static const tests::TemporaryFolder folder;
  const std::string input = fuzz::text_of(data, size);
  std::ofstream(folder / "lib.so", std::ios::binary) << input;
  const std::set<std::string> wanted{"aclInit", "f", ""};
  for (const LibrarySymbols& library :
       {read_elf_symbols(folder / "lib.so", wanted), read_listed_symbols(input, wanted)}) {
    for (const std::string& name : library.found) CHECK(wanted.count(name) > 0, "a symbol nobody asked for");
    CHECK(library.why_not.empty() || is_valid_utf8(library.why_not), "a reason that is no text");
  }
  return 0;
}
