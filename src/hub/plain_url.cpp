// A file by its URL. No hub says its hash: what is checked is its size, and that it did not change meanwhile.
#include "base/error.h"
#include "base/files.h"
#include "hub/file_download.h"
#include "hub/part_journal.h"
#include "hub/sources.h"

namespace chaski {
namespace {

class PlainUrl final : public HubSource {
 public:
  using HubSource::HubSource;

 private:
  RemoteListing list_unchecked(HttpClient& client, const CancelToken& cancel) const override {
    const std::string path = repo_.id.substr(0, repo_.id.find_first_of("?#"));
    RemoteFile file;
    file.name = path.substr(path.rfind('/') + 1);
    file.url = repo_.id;
    if (file.name.empty() || path.find("/", path.find("://") + 3) == std::string::npos) {
      throw Error(ErrorCode::kUsage, "pull", fmt::format("\"{}\" names no file", printable(repo_.id, 200)),
                  "the URL of a .gguf file is expected, or one of a repository that ends in .git");
    }
    // Not by HEAD, which links that are signed for GET refuse.
    HttpRequest request = get(repo_.id);
    request.headers.emplace_back("Range", "bytes=0-0");
    const HttpResponse answer = ask(request, file.name, client, cancel, false);
    if (answer.status == 206) {
      const auto range = parse_content_range(answer.header("content-range"));
      if (range) file.size = range->total;
    } else {
      const std::string_view length = answer.header("content-length");
      const bool is_number = !length.empty() && length.size() <= 15 &&
                             length.find_first_not_of("0123456789") == std::string_view::npos;
      if (is_number) file.size = std::stoull(std::string(length));
    }
    const std::string_view etag = answer.header("etag");
    if (is_strong_etag(etag) && etag.size() <= kMaxEtagBytes) file.etag = etag;
    return {"", {std::move(file)}};
  }
};

}  // namespace

std::unique_ptr<HubSource> make_plain_url(const RepoAddress& repo, const HubAccess& access) {
  return std::make_unique<PlainUrl>(repo, access);
}

}  // namespace chaski
