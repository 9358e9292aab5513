// openMind's hubs (modelers.cn) and GitCode, which speaks the same protocol: folders are listed one by one.
#include <deque>

#include "base/error.h"
#include "hub/sources.h"

namespace chaski {
namespace {

class OpenMind final : public HubSource {
 public:
  using HubSource::HubSource;

 private:
  RemoteListing list_unchecked(HttpClient& client, const CancelToken& cancel) const override {
    const std::string revision = repo_.revision.empty() ? "main" : repo_.revision;
    const std::string what = fmt::format("{} at {}", repo_.id, revision);
    const std::string base = fmt::format("{}/api/v1/file/{}", access_.endpoint, url_quoted(repo_.id, true));
    RemoteListing listing;
    std::deque<std::string> folders{""};
    for (size_t n_asked = 0; !folders.empty(); folders.pop_front()) {
      if (++n_asked > kMaxRemoteFiles) {
        throw Error(ErrorCode::kCorrupt, "list a repository", fmt::format("{}: too many folders", what));
      }
      const std::string& folder = folders.front();
      const std::string url =
          fmt::format("{}?ref={}&path={}", base, url_quoted(revision, false), url_quoted(folder, false));
      ListingPage page = parse_openmind_tree(ask(get(url), what, client, cancel).body, what);
      if (folder.empty()) listing.commit = page.commit;
      for (RemoteFile& file : page.files) {
        file.url =
            fmt::format("{}/{}/media/{}", base, url_quoted(revision, false), url_quoted(file.name, true));
        listing.files.push_back(std::move(file));
      }
      if (listing.files.size() > kMaxRemoteFiles) break;  // which check_listing says
      for (std::string& inner : page.folders) {
        // A folder that is not below this one would be listed for ever.
        if (inner.rfind(folder, 0) == 0 && inner.size() > folder.size()) folders.push_back(std::move(inner));
      }
    }
    return listing;
  }
};

}  // namespace

std::unique_ptr<HubSource> make_openmind(const RepoAddress& repo, const HubAccess& access) {
  return std::make_unique<OpenMind>(repo, access);
}

}  // namespace chaski
