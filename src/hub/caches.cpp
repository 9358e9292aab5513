// The caches of ModelScope's clients (all their layouts), of Hugging Face's and openMind's, and of Ollama.
// They are read and never written; pickled indexes in them are never opened.
#include <algorithm>
#include <cstdlib>
#include <system_error>

#include "base/error.h"
#include "base/files.h"
#include "hub/hub_places.h"
#include "hub/listing.h"
#include "hub/selection.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

fs::path home() {
  const std::string user = environment("HOME");
  return user.empty() ? fs::path(".") : fs::path(user);
}

fs::path folder_from(const char* variable, const fs::path& otherwise) {
  const std::string value = environment(variable);
  return value.empty() ? otherwise : fs::path(value);
}

fs::path general_cache() { return folder_from("XDG_CACHE_HOME", home() / ".cache"); }

std::vector<std::string> names_below(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (fs::directory_iterator it(folder, ignored), end; it != end && !ignored; it.increment(ignored)) {
    names.push_back(it->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// Whether a folder has weights that could be loaded, links of a cache among them.
bool has_model(const fs::path& folder) {
  bool has_config = false, has_weights = false;
  for (const std::string& name : names_below(folder)) {
    std::error_code problem;
    if (!fs::is_regular_file(folder / name, problem)) continue;
    has_config = has_config || name == "config.json";
    has_weights = has_weights || is_weight_file(name);
    if (name.size() > 5 && name.substr(name.size() - 5) == ".gguf") return true;
  }
  return has_config && has_weights;
}

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
  return text;
}

/// `folder`/snapshots/REVISION where that is there, else the newest there is, if none was asked for.
void add_snapshots(const CachedModel& model, const fs::path& folder, const std::string& revision,
                   std::vector<CachedModel>& found) {
  if (!revision.empty()) {
    if (is_safe_relative_name(revision) && has_model(folder / revision)) {
      found.push_back({model.hub, model.id, revision, folder / revision});
    }
    return;
  }
  std::vector<std::pair<fs::file_time_type, std::string>> all;
  for (const std::string& name : names_below(folder)) {
    std::error_code problem;
    const auto time = fs::last_write_time(folder / name, problem);
    if (!problem && has_model(folder / name)) all.emplace_back(time, name);
  }
  std::sort(all.rbegin(), all.rend());
  for (const auto& [time, name] : all) found.push_back({model.hub, model.id, name, folder / name});
}

void add_modelscope(const std::string& id, const std::string& revision, std::vector<CachedModel>& found) {
  const std::string set = environment("MODELSCOPE_CACHE");
  const fs::path cache = set.empty() ? home() / ".cache/modelscope" : fs::path(set);
  const CachedModel model{"modelscope", id, "", {}};
  const fs::path now = cache / "models" / replaced(id, "/", "--") / "snapshots";
  const bool has_master = revision.empty() && has_model(now / "master");
  add_snapshots(model, now, has_master ? "master" : revision, found);
  const size_t slash = id.find('/');
  const std::string old = id.substr(0, slash + 1) + replaced(id.substr(slash + 1), ".", "___");
  if (!revision.empty() && revision != "master") return;  // the old layouts do not say which they have
  for (const fs::path& folder : {cache / "hub/models" / old, cache / "models" / old, cache / "hub" / old}) {
    if (has_model(folder)) found.push_back({"modelscope", id, "", folder});
  }
}

/// models--ORG--NAME/refs/REVISION with the commit in it, snapshots/COMMIT with the files.
void add_huggingface_like(const std::string& hub, const fs::path& cache, const std::string& id,
                          const std::string& revision, std::vector<CachedModel>& found) {
  const fs::path folder = cache / ("models--" + replaced(id, "/", "--"));
  const std::string name = revision.empty() ? "main" : revision;
  std::string commit;
  try {
    if (is_safe_relative_name(name)) commit = read_text_file(folder / "refs" / name, 256);
  } catch (const Error&) {  // the revision may be a commit itself
  }
  commit = commit.substr(0, commit.find_first_of("\r\n "));
  const CachedModel model{hub, id, "", {}};
  if (!commit.empty() && is_safe_relative_name(commit)) {
    add_snapshots(model, folder / "snapshots", commit, found);
  } else {
    add_snapshots(model, folder / "snapshots", revision, found);
  }
}

fs::path huggingface_cache() { return folder_from("HF_HUB_CACHE", huggingface_home() / "hub"); }
fs::path openmind_cache() { return general_cache() / "openmind/hub"; }
fs::path ollama_models() { return folder_from("OLLAMA_MODELS", home() / ".ollama/models"); }

/// The blob of the model layer that a manifest names.
void add_ollama(const std::string& id, const std::string& revision, std::vector<CachedModel>& found) {
  const size_t colon = id.find(':');
  std::string name = id.substr(0, colon);
  std::string tag = colon == std::string::npos ? "latest" : id.substr(colon + 1);
  if (!revision.empty()) tag = revision;
  if (name.find('/') == std::string::npos) name = "library/" + name;
  const fs::path manifest = ollama_models() / "manifests/registry.ollama.ai" / name / tag;
  try {
    for (const RemoteFile& file :
         parse_ollama_manifest(read_text_file(manifest, 1 << 20), manifest.string()).files) {
      const fs::path blob = ollama_models() / "blobs" / ("sha256-" + file.sha256);
      std::error_code problem;
      if (file.name == "model.gguf" && fs::file_size(blob, problem) == file.size && !problem) {
        found.push_back({"ollama", id, tag, blob});
      }
    }
  } catch (const Error&) {  // no manifest, or one that is damaged, as that program leaves them at times
  }
}

/// ORG--NAME as ORG/NAME.
std::string id_of_folder(std::string name) {
  const size_t dashes = name.find("--");
  return dashes == std::string::npos ? name : name.replace(dashes, 2, "/");
}

void add_all_huggingface_like(const std::string& hub, const fs::path& cache, std::vector<CachedModel>& all) {
  for (const std::string& name : names_below(cache)) {
    if (name.rfind("models--", 0) != 0) continue;
    std::vector<CachedModel> found;
    add_huggingface_like(hub, cache, id_of_folder(name.substr(8)), "", found);
    if (!found.empty()) all.push_back(std::move(found.front()));
  }
}

void add_all_modelscope(std::vector<CachedModel>& all) {
  const std::string set = environment("MODELSCOPE_CACHE");
  const fs::path cache = set.empty() ? home() / ".cache/modelscope" : fs::path(set);
  std::vector<std::string> ids;
  for (const fs::path& folder : {cache / "models", cache / "hub/models", cache / "hub"}) {
    for (const std::string& org : names_below(folder)) {
      if (org.find("--") != std::string::npos) {
        ids.push_back(id_of_folder(org));
        continue;
      }
      for (const std::string& name : names_below(folder / org)) {
        if (has_model(folder / org / name)) ids.push_back(org + "/" + replaced(name, "___", "."));
      }
    }
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  for (const std::string& id : ids) {
    std::vector<CachedModel> found;
    add_modelscope(id, "", found);
    if (!found.empty()) all.push_back(std::move(found.front()));
  }
}

void add_all_ollama(std::vector<CachedModel>& all) {
  const fs::path registry = ollama_models() / "manifests/registry.ollama.ai";
  for (const std::string& owner : names_below(registry)) {
    for (const std::string& name : names_below(registry / owner)) {
      for (const std::string& tag : names_below(registry / owner / name)) {
        add_ollama((owner == "library" ? name : owner + "/" + name) + ":" + tag, "", all);
      }
    }
  }
}

}  // namespace

fs::path huggingface_home() { return folder_from("HF_HOME", general_cache() / "huggingface"); }

std::vector<CachedModel> find_in_caches(const std::string& hub, const std::string& id,
                                        const std::string& revision) {
  std::vector<CachedModel> found;
  if (hub == "modelscope") add_modelscope(id, revision, found);
  if (hub == "huggingface") add_huggingface_like(hub, huggingface_cache(), id, revision, found);
  if (hub == "openmind") add_huggingface_like(hub, openmind_cache(), id, revision, found);
  if (hub == "gitcode") add_huggingface_like(hub, general_cache() / "gitcode", id, revision, found);
  if (hub == "ollama") add_ollama(id, revision, found);
  return found;
}

std::vector<CachedModel> all_in_caches() {
  std::vector<CachedModel> all;
  add_all_modelscope(all);
  add_all_huggingface_like("huggingface", huggingface_cache(), all);
  add_all_huggingface_like("openmind", openmind_cache(), all);
  add_all_ollama(all);
  return all;
}

}  // namespace chaski
