// Where models come from: one source per protocol, all behind HubSource. How bytes get onto the disk is in
// file_download.h; what the answers mean is in listing.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hub/listing.h"
#include "hub/retry.h"
#include "net/http_client.h"

namespace chaski {

/// Which repository of which hub.
struct RepoAddress {
  std::string hub;       ///< modelscope, huggingface, gitcode, ollama, git or url
  std::string id;        ///< ORG/NAME; NAME or NAME:TAG of ollama; a URL of git and url
  std::string revision;  ///< empty: the hub's default
};

/// How to reach it.
struct HubAccess {
  std::string endpoint;  ///< without a slash at its end; of git and url the URL's own origin
  std::string token;     ///< empty: none
  std::string ca_file;   ///< as in HttpRequest
  RetryLimits retry;
};

/// What `repo` and --from mean: an alias, a URL, NAME:TAG of ollama, ORG/NAME. `from` empty: modelscope.
/// Throws Error(kUsage) for what names no repository.
RepoAddress parse_repo(const std::string& repo, const std::string& from, const std::string& revision);
/// The repository that an alias stands for: llama-3.2-1b, unichat-3b. Nothing for any other name.
std::optional<RepoAddress> repo_of_alias(std::string_view name);

/// Endpoint and token from `endpoint` (may be empty) and from the variables that the hub's own clients read.
/// Throws Error(kUsage) for an endpoint that is no http or https URL.
HubAccess access_from_environment(const RepoAddress& repo, std::string endpoint);
/// Whether the environment asks for no network at all (HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE).
bool environment_is_offline();

class HubSource {
 public:
  HubSource(RepoAddress repo, HubAccess access);
  virtual ~HubSource() = default;
  HubSource(const HubSource&) = delete;
  HubSource& operator=(const HubSource&) = delete;

  const RepoAddress& repo() const { return repo_; }
  const HubAccess& access() const { return access_; }

  /// All files of the repository, checked. Throws Error(kNetwork), Error(kNotFound) saying what to do about a
  /// repository that is not there or not open to us, Error(kCorrupt) for a listing that cannot be.
  RemoteListing list(HttpClient& client, const CancelToken& cancel) const;

  /// What to send for the bytes of `file`: anew for each part, since signed links expire. Thread-safe.
  virtual HttpRequest request_for(const RemoteFile& file, HttpClient& client,
                                  const CancelToken& cancel) const;
  /// The bytes themselves, of files that are not asked for by HTTP.
  virtual std::optional<std::string> content_of(const RemoteFile& /*file*/) const { return std::nullopt; }
  /// What an answer of 400 and above means, in words.
  virtual Error refusal(const HttpResponse& answer, std::string_view what) const;

 protected:
  virtual RemoteListing list_unchecked(HttpClient& client, const CancelToken& cancel) const = 0;

  /// A GET with the token where one may be sent: over https, or to this machine itself.
  HttpRequest get(std::string url) const;
  /// Sends it until it is answered below 400, with retries. Throws refusal(…). `reads_body` false: only what
  /// the answer's headers say is wanted.
  HttpResponse ask(HttpRequest request, std::string_view what, HttpClient& client, const CancelToken& cancel,
                   bool reads_body = true) const;
  /// Whether a token may go to the endpoint.
  bool may_send_token() const;

  RepoAddress repo_;
  HubAccess access_;
};

std::unique_ptr<HubSource> make_source(const RepoAddress& repo, const HubAccess& access);

/// `text` with everything but letters, digits and "-._~" as %XX; slashes too unless `keeps_slashes`.
std::string url_quoted(std::string_view text, bool keeps_slashes);
/// Scheme, host and port of a URL, as it is written; empty for what is no http or https URL.
std::string origin_of_url(std::string_view url);

}  // namespace chaski
