#include "hub/hub_source.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/files.h"
#include "hub/sources.h"

namespace chaski {
namespace {

constexpr int kMaxRedirects = 5;

struct Alias {
  std::string_view name, hub, id;
};
constexpr std::array<Alias, 4> kAliases{
    {{"llama-3.2-1b", "modelscope", "LLM-Research/Llama-3.2-1B-Instruct"},
     {"llama-3.2-3b", "modelscope", "LLM-Research/Llama-3.2-3B-Instruct"},
     {"unichat-1b", "modelscope", "UnicomAI/Unichat-llama3.2-Chinese-1B"},
     {"unichat-3b", "modelscope", "UnicomAI/Unichat-llama3.2-Chinese-3B"}}};

bool starts_with(std::string_view text, std::string_view start) { return text.rfind(start, 0) == 0; }
bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}
bool is_url(std::string_view text) { return starts_with(text, "https://") || starts_with(text, "http://"); }

Error usage(std::string_view what, std::string hint = {}) {
  return Error(ErrorCode::kUsage, "pull", what, std::move(hint));
}

/// ORG/NAME, or for ollama NAME:TAG, HOST-less NAMESPACE/NAME:TAG.
void check_id(const RepoAddress& repo) {
  const bool has_known_letters = std::all_of(repo.id.begin(), repo.id.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '/' || (c == ':' && repo.hub == "ollama");
  });
  std::string path = repo.id;
  std::replace(path.begin(), path.end(), ':', '/');
  const auto n_slashes = std::count(repo.id.begin(), repo.id.end(), '/');
  const bool has_parts = repo.hub == "ollama" ? n_slashes <= 1 : n_slashes == 1;
  if (has_known_letters && has_parts && is_safe_relative_name(path)) return;
  throw usage(fmt::format("expected {} on {}, found \"{}\"", repo.hub == "ollama" ? "NAME:TAG" : "ORG/NAME",
                          repo.hub, printable(repo.id)),
              "aliases: llama-3.2-1b, llama-3.2-3b, unichat-1b, unichat-3b; --from names another hub");
}

}  // namespace

std::optional<RepoAddress> repo_of_alias(std::string_view name) {
  for (const Alias& alias : kAliases) {
    if (alias.name == name) return RepoAddress{std::string(alias.hub), std::string(alias.id), ""};
  }
  return std::nullopt;
}

RepoAddress parse_repo(const std::string& repo, const std::string& from, const std::string& revision) {
  RepoAddress address{from.empty() ? "modelscope" : from, repo, revision};
  if (is_url(repo)) {
    if (!from.empty()) throw usage("a URL says itself where it is: --from goes with ORG/NAME alone");
    address.hub = ends_with(repo, ".git") ? "git" : "url";
    return address;
  }
  if (const auto alias = repo_of_alias(repo); alias && (from.empty() || from == alias->hub)) {
    address.hub = alias->hub;
    address.id = alias->id;
  } else if (from.empty() && repo.find(':') != std::string::npos) {
    throw usage(
        fmt::format("\"{}\" is the name of a hub's repository nowhere but at Ollama's", printable(repo)),
        "add --from ollama");
  }
  if (address.hub == "openmind" || address.hub == "modelers") address.hub = "openmind";
  const std::array<std::string_view, 5> known{"modelscope", "huggingface", "gitcode", "openmind", "ollama"};
  if (std::find(known.begin(), known.end(), address.hub) == known.end()) {
    throw usage(fmt::format("--from {}: expected modelscope, huggingface, gitcode, openmind or ollama",
                            printable(from)));
  }
  check_id(address);
  return address;
}

HubSource::HubSource(RepoAddress repo, HubAccess access)
    : repo_(std::move(repo)), access_(std::move(access)) {}

RemoteListing HubSource::list(HttpClient& client, const CancelToken& cancel) const {
  RemoteListing listing = list_unchecked(client, cancel);
  check_listing(listing, fmt::format("{} {}", repo_.hub, repo_.id));
  return listing;
}

bool HubSource::may_send_token() const {
  if (access_.token.empty()) return false;
  const std::string origin = origin_of_url(access_.endpoint);
  return starts_with(origin, "https://") || starts_with(origin, "http://127.0.0.1:") ||
         starts_with(origin, "http://localhost:");
}

HttpRequest HubSource::get(std::string url) const {
  HttpRequest request;
  request.url = std::move(url);
  request.headers = {{"Accept-Encoding", "identity"}};
  if (may_send_token() && origin_of_url(request.url) == origin_of_url(access_.endpoint)) {
    request.headers.emplace_back("Authorization", "Bearer " + access_.token);
  }
  request.max_redirects = kMaxRedirects;
  request.ca_file = access_.ca_file;
  return request;
}

HttpRequest HubSource::request_for(const RemoteFile& file, HttpClient& /*client*/,
                                   const CancelToken& /*cancel*/) const {
  return get(file.url);
}

HttpResponse HubSource::ask(HttpRequest request, std::string_view what, HttpClient& client,
                            const CancelToken& cancel, bool reads_body) const {
  request.max_body_bytes = static_cast<int64_t>(kMaxListingBytes);
  Backoff backoff(access_.retry);
  while (true) {
    std::optional<Error> failure;
    double at_least_s = 0;
    try {
      HttpResponse answer = reads_body ? client.send(request, cancel)
                                       : client.send(request, cancel, [](std::string_view) { return false; });
      if (answer.status < 400) return answer;
      failure = refusal(answer, what);
      if (!is_worth_retrying(answer)) throw *failure;
      at_least_s = retry_after_s(answer);
    } catch (const CertificateError&) {
      throw;
    } catch (const Error& error) {
      if (failure || error.code() != ErrorCode::kNetwork) throw;
      failure = error;
    }
    backoff.wait_or_throw(*failure, at_least_s, cancel);
  }
}

Error HubSource::refusal(const HttpResponse& answer, std::string_view what) const {
  const std::string asked =
      fmt::format("{}: {} answered {}", printable(what, 200), origin_of_url(answer.url), answer.status);
  if (answer.status == 401 || answer.status == 403) {
    const bool has_token = !access_.token.empty();
    return Error(ErrorCode::kNetwork, "pull", asked,
                 has_token ? "the token does not open this repository: its terms may have to be accepted on "
                             "the hub's page first, or it is another account's"
                           : "the repository is private or asks for its terms to be accepted: do so on the "
                             "hub's page, and set the hub's token in the environment");
  }
  if (answer.status == 404) {
    return Error(ErrorCode::kNotFound, "pull", asked, "check the name, the revision and the hub (--from)");
  }
  return Error(ErrorCode::kNetwork, "pull", asked,
               answer.status == 429 ? "too many requests: try again later" : "");
}

std::unique_ptr<HubSource> make_source(const RepoAddress& repo, const HubAccess& access) {
  if (repo.hub == "modelscope") return make_modelscope(repo, access);
  if (repo.hub == "huggingface") return make_huggingface(repo, access);
  if (repo.hub == "gitcode" || repo.hub == "openmind") return make_openmind(repo, access);
  if (repo.hub == "ollama") return make_ollama(repo, access);
  if (repo.hub == "git") return make_git(repo, access);
  CHECK(repo.hub == "url", "no source for the hub {}", repo.hub);
  return make_plain_url(repo, access);
}

std::string url_quoted(std::string_view text, bool keeps_slashes) {
  std::string quoted;
  for (const char c : text) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                          c == '-' || c == '.' || c == '_' || c == '~' || (c == '/' && keeps_slashes);
    quoted += is_plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return quoted;
}

std::string origin_of_url(std::string_view url) {
  if (!is_url(url)) return {};
  const size_t host = url.find("://") + 3;
  std::string origin(url.substr(0, url.find_first_of("/?#", host)));
  if (origin.find(':', host) == std::string::npos) origin += starts_with(origin, "https") ? ":443" : ":80";
  return origin;
}

}  // namespace chaski
