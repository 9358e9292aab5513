// ModelScope: a listing without pages that is cut off silently at 3,000 entries, files by query, redirects to
// signed links for large ones. Its own clients send the token twice, as a bearer and as a cookie.
#include <deque>

#include "base/error.h"
#include "hub/sources.h"

namespace chaski {
namespace {

constexpr size_t kListingCap = 3000;  // entries after which the hub leaves out the rest and does not say so

class ModelScope final : public HubSource {
 public:
  using HubSource::HubSource;

 private:
  std::string base() const {
    return fmt::format("{}/api/v1/models/{}/repo", access_.endpoint, url_quoted(repo_.id, true));
  }
  std::string revision() const { return repo_.revision.empty() ? "master" : repo_.revision; }

  HttpRequest get_with_cookie(std::string url) const {
    HttpRequest request = get(std::move(url));
    if (may_send_token()) request.headers.emplace_back("Cookie", "m_session_id=" + access_.token);
    return request;
  }

  ListingPage page(const std::string& folder, bool is_recursive, HttpClient& client,
                   const CancelToken& cancel) const {
    std::string url = fmt::format("{}/files?Revision={}&Recursive={}", base(), url_quoted(revision(), false),
                                  is_recursive ? "True" : "False");
    if (!folder.empty()) url += "&Root=" + url_quoted(folder, false);
    const std::string what = fmt::format("{} at {}", repo_.id, revision());
    return parse_modelscope_files(ask(get_with_cookie(url), what, client, cancel).body, what);
  }

  RemoteListing list_unchecked(HttpClient& client, const CancelToken& cancel) const override {
    RemoteListing listing;
    const auto take = [&](ListingPage& from) {
      for (RemoteFile& file : from.files) {
        file.url = fmt::format("{}?Revision={}&FilePath={}", base(), url_quoted(revision(), false),
                               url_quoted(file.name, false));
        listing.files.push_back(std::move(file));
      }
    };
    ListingPage all = page("", true, client, cancel);
    if (all.n_entries() < kListingCap) {
      take(all);
      return listing;
    }
    std::deque<std::string> folders{""};
    for (size_t n_asked = 0; !folders.empty(); folders.pop_front()) {
      if (++n_asked > kMaxRemoteFiles || listing.files.size() > kMaxRemoteFiles)
        break;  // check_listing says it
      ListingPage one = page(folders.front(), false, client, cancel);
      if (one.n_entries() >= kListingCap) {
        throw Error(
            ErrorCode::kUnsupported, "list a repository",
            fmt::format("{}: the folder \"{}\" has {} entries, after which the hub leaves out the rest",
                        repo_.id, printable(folders.front()), one.n_entries()),
            "name the files to download: chaski pull REPO FILE…");
      }
      take(one);
      for (std::string& folder : one.folders) {
        if (folder.rfind(folders.front(), 0) == 0 && folder.size() > folders.front().size()) {
          folders.push_back(std::move(folder));
        }
      }
    }
    return listing;
  }

  HttpRequest request_for(const RemoteFile& file, HttpClient& /*client*/,
                          const CancelToken& /*cancel*/) const override {
    return get_with_cookie(file.url);
  }
};

}  // namespace

std::unique_ptr<HubSource> make_modelscope(const RepoAddress& repo, const HubAccess& access) {
  return std::make_unique<ModelScope>(repo, access);
}

}  // namespace chaski
