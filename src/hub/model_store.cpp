#include "hub/model_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "base/digest.h"
#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/locked_file.h"
#include "hub/hub_places.h"
#include "hub/safe_folder.h"
#include "hub/selection.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxManifestBytes = 16u << 20;
constexpr std::array<std::string_view, 7> kHubs{"modelscope", "huggingface", "gitcode", "openmind",
                                                "ollama",     "git",         "url"};

fs::path models_folder() { return chaski_home() / "models"; }

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

/// Names in a folder, sorted; none where it cannot be read.
std::vector<std::string> sorted_names(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (fs::directory_iterator it(folder, ignored), end; it != end && !ignored; it.increment(ignored)) {
    names.push_back(it->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

uint64_t bytes_in(const fs::path& folder) {
  uint64_t sum = 0;
  std::error_code ignored;
  if (fs::is_regular_file(folder, ignored)) return fs::file_size(folder, ignored);
  for (fs::recursive_directory_iterator it(folder, ignored), end; it != end && !ignored;
       it.increment(ignored)) {
    struct stat info {};
    if (::lstat(it->path().c_str(), &info) == 0 && S_ISREG(info.st_mode))
      sum += uint64_t(info.st_blocks) * 512;
  }
  return sum;
}

/// NAME@REVISION and alias as an address of each hub that could be meant.
std::vector<RepoAddress> addresses_of(const std::string& model) {
  if (auto alias = repo_of_alias(model)) return {*alias};
  std::vector<RepoAddress> addresses;
  const bool is_url = !origin_of_url(model).empty();
  const size_t at = is_url ? std::string::npos : model.find('@');
  const std::string id = model.substr(0, at), revision = at == std::string::npos ? "" : model.substr(at + 1);
  for (const char* hub : {"", "huggingface", "gitcode", "openmind", "ollama"}) {
    try {
      addresses.push_back(parse_repo(id, hub, revision));
    } catch (const Error&) {  // no name of a repository there
    }
  }
  return addresses;
}

StoredModel describe(const fs::path& path, std::string name, std::string hub) {
  return {std::move(name), std::move(hub), path, !is_incomplete(path), bytes_in(path)};
}

}  // namespace

const StoredFile* Manifest::find(const std::string& name) const {
  for (const StoredFile& file : files) {
    if (file.name == name) return &file;
  }
  return nullptr;
}

Manifest parse_manifest(std::string_view text, std::string_view where) {
  const Json json = parse_json(text, where, {.max_bytes = kMaxManifestBytes, .max_depth = 8});
  const auto fail = [&](std::string_view what) {
    return Error(ErrorCode::kCorrupt, "read manifest", fmt::format("{}: {}", where, what), "pull it again");
  };
  if (!json.is_object()) throw fail("expected an object");
  if (require_int(json, "format", where) != 1) throw fail("a format of another version");
  Manifest manifest;
  manifest.hub = require_string(json, "hub", where);
  manifest.endpoint = get_string(json, "endpoint", "", where);
  manifest.id = require_string(json, "id", where);
  manifest.revision = get_string(json, "revision", "", where);
  manifest.commit = get_string(json, "commit", "", where);
  manifest.pulled_at = get_string(json, "pulled_at", "", where);
  const auto files = json.find("files");
  if (files == json.end() || !files->is_array()) throw fail("expected a list \"files\"");
  for (const Json& entry : *files) {
    if (!entry.is_object()) throw fail("expected a file as an object");
    StoredFile file;
    file.name = require_string(entry, "name", where);
    const int64_t size = require_int(entry, "size", where);
    file.sha256 = require_string(entry, "sha256", where);
    file.git_sha1 = get_string(entry, "git_sha1", "", where);
    file.checked_by = get_string(entry, "checked_by", "size", where);
    file.etag = get_string(entry, "etag", "", where);
    if (!is_safe_relative_name(file.name) || size < 0 || !is_lower_hex(file.sha256, 64)) {
      throw fail(fmt::format("\"{}\" is no file that was pulled", printable(file.name)));
    }
    file.size = static_cast<uint64_t>(size);
    manifest.files.push_back(std::move(file));
  }
  return manifest;
}

std::string manifest_text(const Manifest& manifest) {
  OrderedJson files = OrderedJson::array();
  for (const StoredFile& file : manifest.files) {
    OrderedJson entry{{"name", file.name}, {"size", file.size}, {"sha256", file.sha256}};
    if (!file.git_sha1.empty()) entry["git_sha1"] = file.git_sha1;
    entry["checked_by"] = file.checked_by;
    if (!file.etag.empty()) entry["etag"] = file.etag;
    files.push_back(std::move(entry));
  }
  return to_json_text(OrderedJson{{"format", 1},
                                  {"hub", manifest.hub},
                                  {"endpoint", manifest.endpoint},
                                  {"id", manifest.id},
                                  {"revision", manifest.revision},
                                  {"commit", manifest.commit},
                                  {"pulled_at", manifest.pulled_at},
                                  {"files", std::move(files)}},
                      2) +
         "\n";
}

std::optional<Manifest> read_manifest(const fs::path& folder) {
  const fs::path path = folder / SafeFolder::kOwn / kManifestName;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  return parse_manifest(read_text_file(path, kMaxManifestBytes), path.string());
}

fs::path folder_of(const RepoAddress& repo) {
  std::string name = repo.id;
  if (repo.hub == "ollama") {
    const size_t colon = name.find(':');
    std::string tag = colon == std::string::npos ? "latest" : name.substr(colon + 1);
    if (!repo.revision.empty()) tag = repo.revision;
    name = name.substr(0, colon);
    std::replace(name.begin(), name.end(), '/', '@');
    return models_folder() / "ollama" / name / tag;
  }
  if (repo.hub == "git" || repo.hub == "url") {
    const size_t host = name.find("://") + 3;
    const size_t slash = std::min(name.find('/', host), name.size());
    const std::string path = name.substr(slash, name.find_first_of("?#", slash) - slash);
    const std::string leaf = path.substr(path.rfind('/') + 1);
    // Other URLs of that host may end alike.
    name = fmt::format("{}/{}@{}", url_quoted(name.substr(host, slash - host), false),
                       url_quoted(leaf, false), sha256_of(repo.id).substr(0, 8));
  }
  fs::path folder = models_folder() / repo.hub / name;
  if (!repo.revision.empty()) folder += "@" + url_quoted(repo.revision, false);
  return folder;
}

bool is_incomplete(const fs::path& folder) {
  std::error_code ignored;
  const fs::path own = folder / SafeFolder::kOwn;
  return fs::is_directory(own, ignored) && !fs::exists(own / kManifestName, ignored);
}

void require_whole_model(const fs::path& path) {
  const bool is_file = !is_folder(path);
  const fs::path folder = is_file ? path.parent_path() : path;
  if (is_incomplete(folder)) {
    throw Error(ErrorCode::kNotFound, "find model",
                fmt::format("{}: the download has not ended", printable(folder.string(), 300)),
                "`chaski pull` with the same words goes on where it was");
  }
  std::vector<fs::path> files;
  if (is_file) files.push_back(path);
  for (const std::string& name : is_file ? std::vector<std::string>() : sorted_names(folder)) {
    files.push_back(folder / name);
  }
  for (const fs::path& file : files) {
    std::error_code problem;
    if (!is_weight_file(file.string()) || fs::file_size(file, problem) > kMaxLfsPointerBytes || problem)
      continue;
    const auto pointer = parse_lfs_pointer(read_text_file(file, kMaxLfsPointerBytes));
    if (!pointer) continue;
    throw Error(ErrorCode::kCorrupt, "find model",
                fmt::format("{}: a pointer of git LFS to {} bytes, not the weights themselves",
                            printable(file.string(), 300), pointer->size),
                "run `git lfs pull` in that folder, or fetch the model by `chaski pull`");
  }
}

std::optional<fs::path> find_pulled(const std::string& model) {
  const std::vector<RepoAddress> addresses = addresses_of(model);
  for (const RepoAddress& address : addresses) {
    if (const fs::path folder = folder_of(address); is_folder(folder)) return folder;
  }
  for (const RepoAddress& address : addresses) {
    const auto cached = find_in_caches(address.hub, address.id, address.revision);
    if (!cached.empty()) return cached.front().path;
  }
  return std::nullopt;
}

std::vector<StoredModel> list_models() {
  std::vector<StoredModel> models;
  for (const std::string& top : sorted_names(models_folder())) {
    const fs::path folder = models_folder() / top;
    if (top.front() == '.') continue;
    if (std::find(kHubs.begin(), kHubs.end(), top) == kHubs.end()) {
      models.push_back(describe(folder, top, ""));
      continue;
    }
    for (const std::string& org : sorted_names(folder)) {
      for (const std::string& name : sorted_names(folder / org)) {
        std::string owner = org;
        std::replace(owner.begin(), owner.end(), '@', '/');  // as folder_of has it
        std::string shown =
            top == "ollama" ? fmt::format("{}:{}", owner, name) : fmt::format("{}/{}", org, name);
        if (top == "git" || top == "url") {
          try {
            if (const auto manifest = read_manifest(folder / org / name)) shown = manifest->id;
          } catch (const Error&) {  // shown by its folder
          }
        }
        models.push_back(describe(folder / org / name, std::move(shown), top));
      }
    }
  }
  return models;
}

std::vector<VerifiedFile> verify_model(const fs::path& folder, const CancelToken& cancel,
                                       const std::function<void(uint64_t)>& on_bytes) {
  const auto manifest = read_manifest(folder);
  if (!manifest) {
    throw Error(ErrorCode::kNotFound, "verify",
                fmt::format("{}: nothing says what its files should be", printable(folder.string(), 300)),
                "only what `chaski pull` has fetched has hashes to compare with");
  }
  std::vector<VerifiedFile> files;
  for (const StoredFile& expected : manifest->files) {
    VerifiedFile& file = files.emplace_back(VerifiedFile{expected.name, ""});
    std::error_code problem;
    const fs::path path = folder / expected.name;
    if (!fs::is_regular_file(path, problem)) {
      file.problem = "missing";
      continue;
    }
    const InputFile input(path);
    if (input.size() != expected.size) {
      file.problem = "size";
      continue;
    }
    const std::string found = sha256_of_file(input, [&](uint64_t n) {
      cancel.throw_if_cancelled("verify");
      if (on_bytes) on_bytes(n);
    });
    if (found != expected.sha256) file.problem = "sha256";
  }
  return files;
}

fs::path remove_model(const std::string& model) {
  std::optional<fs::path> found;
  for (const RepoAddress& address : addresses_of(model)) {
    if (!found && is_folder(folder_of(address))) found = folder_of(address);
  }
  // One that was put there by hand, under a name of one part.
  const bool is_hub = std::find(kHubs.begin(), kHubs.end(), model) != kHubs.end();
  if (!found && is_safe_relative_name(model) && model.find('/') == std::string::npos && !is_hub &&
      is_folder(models_folder() / model)) {
    found = models_folder() / model;
  }
  if (!found) {
    const auto elsewhere = find_pulled(model);
    throw Error(elsewhere ? ErrorCode::kUsage : ErrorCode::kNotFound, "remove model",
                elsewhere ? fmt::format("{} is in another program's cache: {}", printable(model, 200),
                                        elsewhere->string())
                          : fmt::format("{}: there is no such model below {}", printable(model, 200),
                                        models_folder().string()),
                elsewhere ? "let that program remove it" : "`chaski list` names those that are there");
  }
  const fs::path own = *found / SafeFolder::kOwn;
  std::optional<LockedFile> lock;
  if (is_folder(own)) {
    lock.emplace(own / "lock");
    fs::remove(own / kManifestName);     // what is half removed must not be loaded
  } else if (!fs::is_symlink(*found)) {  // it may hold more than a model
    throw Error(ErrorCode::kUsage, "remove model",
                fmt::format("{}: was put there by hand, not by `chaski pull`", found->string()),
                "remove the folder yourself, once you have seen what is in it");
  }
  std::error_code problem;
  if (fs::is_symlink(*found)) {
    fs::remove(*found, problem);
  } else {
    fs::remove_all(*found, problem);
  }
  if (problem) throw write_error(found->string(), problem.value());
  std::error_code ignored;  // its folders above, where they are empty now
  for (fs::path above = found->parent_path(); above != models_folder(); above = above.parent_path()) {
    if (!fs::remove(above, ignored)) break;
  }
  return *found;
}

}  // namespace chaski
