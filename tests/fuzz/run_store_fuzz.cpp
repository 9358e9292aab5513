// A store of runs of any bytes: what it lists can be asked for, and a run can be kept in it; or an Error,
// which is about the file (kCorrupt, kUnsupported, kIo) and nothing else.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/error.h"
#include "fuzz/fuzz_input.h"
#include "store/run_store.h"
#include "support/temporary_folder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace chaski;
  static const tests::TemporaryFolder folder;
  const std::filesystem::path file = folder / "runs.sqlite";
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    std::filesystem::remove_all(entry.path());  // its journals, too
  }
  std::ofstream(file, std::ios::binary) << fuzz::text_of(data, size);
  const auto about_the_file = [](const Error& error) {
    if (error.code() != ErrorCode::kCorrupt && error.code() != ErrorCode::kUnsupported &&
        error.code() != ErrorCode::kIo) {
      throw error;
    }
  };
  try {
    RunStore store(file, 0);
    for (const StoredRun& run : store.list()) {
      try {
        CHECK(store.get(run.id).has_value(), "a run that is listed and not there");
      } catch (const Error& error) {
        about_the_file(error);
      }
    }
    RunRecord record;
    record.kind = "bench";
    const int64_t before = store.size();
    const int64_t id = store.put(record, "folder");
    CHECK(store.size() >= before && store.get(id).has_value(), "a run that was kept and is not there");
  } catch (const Error& error) {
    about_the_file(error);
  }
  return 0;
}
