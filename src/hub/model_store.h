// The models that were pulled: CHASKI_HOME/models/HUB/ORG/NAME, one folder for each revision, which counts
// only once its manifest is there. Fetching is in pull.h, other programs' caches are in hub_places.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "hub/hub_source.h"

namespace chaski {

struct StoredFile {
  std::string name;
  uint64_t size = 0;
  std::string sha256, git_sha1;
  std::string checked_by;  ///< sha256, git-sha1 or size: what the hub had promised of it
  std::string etag{};      ///< of a file without a hash, where its server says one
};

/// What a folder holds, and where from: FOLDER/.chaski/complete.json.
struct Manifest {
  std::string hub, endpoint, id, revision, commit, pulled_at;
  std::vector<StoredFile> files;

  const StoredFile* find(const std::string& name) const;
};

constexpr const char* kManifestName = "complete.json";

/// Throws Error(kCorrupt). `text` may be anything.
Manifest parse_manifest(std::string_view text, std::string_view where);
std::string manifest_text(const Manifest& manifest);
/// Of the folder; nothing where it has none. Throws Error(kCorrupt).
std::optional<Manifest> read_manifest(const std::filesystem::path& folder);

/// Where `repo` is or will be.
std::filesystem::path folder_of(const RepoAddress& repo);

/// A folder that a pull is filling, or left unfinished.
bool is_incomplete(const std::filesystem::path& folder);
/// Throws Error(kNotFound) for such a folder, and Error(kCorrupt) where pointers of git LFS are in place of
/// weights. `path` may be any folder or file.
void require_whole_model(const std::filesystem::path& path);

/// The folder or file that MODEL stands for, if it was pulled or a hub's own client has it: an alias,
/// ORG/NAME[@REVISION], NAME:TAG or a URL. Whether it is complete is for require_whole_model.
std::optional<std::filesystem::path> find_pulled(const std::string& model);

struct StoredModel {
  std::string name;  ///< by which other commands find it
  std::string hub;   ///< empty: put there by hand
  std::filesystem::path path;
  bool is_complete = true;
  uint64_t n_bytes = 0;
};
/// All in CHASKI_HOME/models, by name.
std::vector<StoredModel> list_models();

struct VerifiedFile {
  std::string name;
  std::string problem;  ///< empty: right; "missing", "size" or "sha256"
};
/// Hash all files that the manifest names. Throws Error(kNotFound) where the folder has no manifest.
std::vector<VerifiedFile> verify_model(const std::filesystem::path& folder, const CancelToken& cancel,
                                       const std::function<void(uint64_t n_bytes)>& on_bytes = {});

/// Remove the model in CHASKI_HOME/models that MODEL stands for and give its path. Throws Error(kNotFound),
/// Error(kUsage) for what is elsewhere, was put there by hand, or is being filled.
std::filesystem::path remove_model(const std::string& model);

}  // namespace chaski
