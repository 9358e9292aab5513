#include "cli/eval_folders.h"

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"
#include "base/files.h"
#include "cli/terminal.h"

namespace chaski::cli {
namespace {

namespace fs = std::filesystem;

/// A folder name from a model's name: letters, digits, dot, dash and underscore stay.
std::string folder_name(const std::string& model) {
  std::string name;
  for (const char c : model) {
    const bool stays = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '-' || c == '_';
    name += stays ? c : '-';
  }
  const size_t first = name.find_first_not_of(".-");
  name.erase(0, first == std::string::npos ? name.size() : first);
  return name.empty() ? "model" : name.substr(name.size() > 100 ? name.size() - 100 : 0);
}

Error cannot_make(const fs::path& folder, const std::error_code& fault) {
  return Error(ErrorCode::kIo, "make folder", fmt::format("{}: {}", folder.string(), fault.message()),
               "give a folder that may be written: --out DIR");
}

}  // namespace

std::vector<fs::path> suite_folders() {
  std::vector<fs::path> folders{chaski_home() / "suites"};
  std::error_code fault;
  const fs::path program = fs::read_symlink("/proc/self/exe", fault);
  if (!fault) folders.push_back(program.parent_path().parent_path() / "share/chaski/suites");
  return folders;
}

void make_folders(const fs::path& folder) {
  std::error_code fault;
  fs::create_directories(folder, fault);
  if (fault) throw cannot_make(folder, fault);
}

void note_resumable(const fs::path& folder, Lang lang) {
  note(trf(lang, "note: it was not finished; the command that began it goes on with --resume --out {}\n",
           "注意：该运行尚未完成；用原来的命令加上 --resume --out {} 可继续\n", folder.string()));
}

fs::path claim_folder(const std::string& name) {
  std::string stamp = utc_timestamp();
  stamp.erase(std::remove_if(stamp.begin(), stamp.end(), [](char c) { return c == ':' || c == '-'; }),
              stamp.end());
  const fs::path base = chaski_home() / "runs" / fmt::format("{}-{}", stamp, folder_name(name));
  make_folders(base.parent_path());
  fs::path folder = base;
  for (int n = 2;; ++n) {
    std::error_code fault;
    if (fs::create_directory(folder, fault)) return folder;
    if (fault) throw cannot_make(folder, fault);
    folder = fmt::format("{}-{}", base.string(), n);
  }
}

std::vector<fs::path> folders_in(const fs::path& out, const std::vector<std::string>& models) {
  if (models.size() == 1) return {out};
  std::vector<fs::path> folders;
  for (const std::string& model : models) {
    const std::string name = folder_name(model);
    fs::path folder = out / name;
    for (int n = 2; std::find(folders.begin(), folders.end(), folder) != folders.end(); ++n) {
      folder = out / fmt::format("{}-{}", name, n);
    }
    folders.push_back(folder);
  }
  return folders;
}

}  // namespace chaski::cli
