// Where this program and the hubs' own clients keep what they have downloaded.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace chaski {

/// The variable's value; empty where it is not set.
std::string environment(const char* name);

/// HF_HOME, else ~/.cache/huggingface.
std::filesystem::path huggingface_home();

/// A folder or GGUF file that a hub's own client has downloaded.
struct CachedModel {
  std::string hub;             ///< modelscope, huggingface, openmind, gitcode or ollama
  std::string id, revision;    ///< the revision as the cache names it; may be empty
  std::filesystem::path path;  ///< a folder; of ollama the blob itself
};

/// Every place where the caches of all hubs may have the repository, that is there; best first. `revision`
/// empty: the one that the cache's own default names.
std::vector<CachedModel> find_in_caches(const std::string& hub, const std::string& id,
                                        const std::string& revision);
/// Everything in the caches, for lists.
std::vector<CachedModel> all_in_caches();

}  // namespace chaski
