// Hugging Face and its mirrors: the commit of a revision, a listing in pages by Link headers, files by
// "resolve", which redirects to a CDN. Plain HTTP; the hub's Xet protocol is not needed.
#include <set>

#include "base/error.h"
#include "hub/sources.h"

namespace chaski {
namespace {

class HuggingFace final : public HubSource {
 public:
  using HubSource::HubSource;

 private:
  RemoteListing list_unchecked(HttpClient& client, const CancelToken& cancel) const override {
    const std::string revision = repo_.revision.empty() ? "main" : repo_.revision;
    const std::string what = fmt::format("{} at {}", repo_.id, revision);
    const std::string id = url_quoted(repo_.id, true);
    RemoteListing listing;
    const std::string api = fmt::format("{}/api/models/{}", access_.endpoint, id);
    listing.commit = parse_huggingface_commit(
        ask(get(api + "/revision/" + url_quoted(revision, false)), what, client, cancel).body, what);
    std::string url = api + "/tree/" + listing.commit + "?recursive=True&expand=False";
    for (std::set<std::string> seen; !url.empty();) {
      if (!seen.insert(url).second || seen.size() > kMaxRemoteFiles) {
        throw Error(ErrorCode::kCorrupt, "list a repository",
                    fmt::format("{}: the pages of the listing lead in a circle", what));
      }
      const HttpResponse answer = ask(get(url), what, client, cancel);
      ListingPage page = parse_huggingface_tree(answer.body, what);
      for (RemoteFile& file : page.files) {
        file.url = fmt::format("{}/{}/resolve/{}/{}", access_.endpoint, id, listing.commit,
                               url_quoted(file.name, true));
        listing.files.push_back(std::move(file));
      }
      if (listing.files.size() > kMaxRemoteFiles) break;  // which check_listing says
      url = next_of(answer, what);
    }
    return listing;
  }

  /// A mirror may repeat the hub's own host in the link: only the path is taken from it.
  std::string next_of(const HttpResponse& answer, const std::string& what) const {
    const std::string next = next_page_of(answer.header("link"));
    if (next.empty()) return {};
    const size_t path = next.find("/api/models/");
    if (path == std::string::npos) {
      throw Error(ErrorCode::kCorrupt, "list a repository",
                  fmt::format("{}: \"{}\" is no next page", what, printable(next, 200)));
    }
    return access_.endpoint + next.substr(path);
  }

  Error refusal(const HttpResponse& answer, std::string_view what) const override {
    const std::string_view code = answer.header("x-error-code");
    const std::string page = access_.endpoint + "/" + repo_.id;
    if (code == "GatedRepo") {
      return Error(
          ErrorCode::kNetwork, "pull",
          fmt::format("{}: the repository asks for its terms to be accepted ({})", what, answer.status),
          fmt::format("accept them on {} and set HF_TOKEN to a token of that account; ModelScope has "
                      "copies of many such models that ask for nothing: --from modelscope",
                      page));
    }
    if (code == "RevisionNotFound" || code == "EntryNotFound") {
      return Error(
          ErrorCode::kNotFound, "pull",
          fmt::format("{}: {} ({})", what,
                      code == "EntryNotFound" ? "there is no such file" : "there is no such revision",
                      answer.status));
    }
    if (code == "RepoNotFound" || (answer.status == 401 && code.empty())) {
      return Error(ErrorCode::kNotFound, "pull",
                   fmt::format("{}: there is no such repository, or it is private ({})", what, answer.status),
                   fmt::format("check the name on {}; for a private one set HF_TOKEN", page));
    }
    return HubSource::refusal(answer, what);
  }
};

}  // namespace

std::unique_ptr<HubSource> make_huggingface(const RepoAddress& repo, const HubAccess& access) {
  return std::make_unique<HuggingFace>(repo, access);
}

}  // namespace chaski
