// Ollama's registry: a manifest names the model's layers by their digests; the model layer is a GGUF file.
#include "base/error.h"
#include "hub/sources.h"

namespace chaski {
namespace {

class Ollama final : public HubSource {
 public:
  using HubSource::HubSource;

 private:
  RemoteListing list_unchecked(HttpClient& client, const CancelToken& cancel) const override {
    const size_t colon = repo_.id.find(':');
    std::string name = repo_.id.substr(0, colon);
    if (name.find('/') == std::string::npos) name = "library/" + name;
    std::string tag = colon == std::string::npos ? "latest" : repo_.id.substr(colon + 1);
    if (!repo_.revision.empty()) tag = repo_.revision;
    const std::string base = fmt::format("{}/v2/{}", access_.endpoint, url_quoted(name, true));
    HttpRequest request = get(base + "/manifests/" + url_quoted(tag, false));
    request.headers.emplace_back("Accept", "application/vnd.docker.distribution.manifest.v2+json");
    RemoteListing listing;
    ListingPage page = parse_ollama_manifest(ask(request, repo_.id, client, cancel).body, repo_.id);
    for (RemoteFile& file : page.files) {
      file.url = base + "/blobs/sha256:" + file.sha256;
      listing.files.push_back(std::move(file));
    }
    return listing;
  }
};

}  // namespace

std::unique_ptr<HubSource> make_ollama(const RepoAddress& repo, const HubAccess& access) {
  return std::make_unique<Ollama>(repo, access);
}

}  // namespace chaski
