#include "cli/run_arguments.h"

#include <charconv>
#include <exception>

#include "base/files.h"
#include "cli/run_folders.h"
#include "cli/terminal.h"
#include "store/run_store.h"

namespace chaski::cli {

namespace fs = std::filesystem;

std::optional<int64_t> run_id_of(const std::string& run) {
  int64_t id = 0;
  const auto [end, fault] = std::from_chars(run.data(), run.data() + run.size(), id);
  if (fault != std::errc() || end != run.data() + run.size() || id < 0) return std::nullopt;
  return id;
}

fs::path run_store_path() { return chaski_home() / "runs.db"; }

RunRecord find_run(const std::string& run) {
  std::error_code ignored;
  if (holds_runs(run)) {
    std::string names;
    for (const fs::path& folder : run_folders_in(run)) names += (names.empty() ? "" : ", ") + folder.string();
    throw Error(ErrorCode::kUsage, "find run",
                fmt::format("{}: expected a run, found a folder of runs", printable(run, 400)),
                fmt::format("name one of them: {}; `chaski compare` takes a review's folder as it is",
                            printable(names, 600)));
  }
  if (fs::exists(run, ignored)) return read_run_record(run);
  const auto id = run_id_of(run);
  if (id && fs::exists(run_store_path(), ignored)) {
    if (auto record = RunStore(run_store_path()).get(*id)) return std::move(*record);
  }
  throw Error(ErrorCode::kNotFound, "find run",
              fmt::format("\"{}\": no such file or folder, {}", printable(run, 400),
                          id ? fmt::format("and no run of that id in {}", run_store_path().string())
                             : std::string("and no id of a run, which are numbers")),
              "`chaski history` lists the runs with their ids and folders");
}

std::optional<int64_t> remember_run(const RunRecord& record, const fs::path& folder, const Context& context) {
  const auto say = [&](std::string_view why) {
    note(fmt::format(
        "{} {}\n", tr(context.lang, "note: this run is not in the history:", "注意：本次运行未能记入历史："),
        why));
  };
  try {
    std::error_code fault;
    const fs::path absolute = folder.empty() ? folder : fs::absolute(folder, fault);
    return RunStore(run_store_path()).put(record, fault ? folder.string() : absolute.string());
  } catch (const Error& error) {
    say(describe(error, name_of(context.lang)));
  } catch (const std::exception& error) {
    say(printable(error.what(), 400));
  }
  return std::nullopt;
}

}  // namespace chaski::cli
