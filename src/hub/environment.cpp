// Endpoints and tokens, from the variables and files that the hubs' own clients read.
#include <array>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "hub/hub_places.h"
#include "hub/hub_source.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

bool is_true(const std::string& value) {
  std::string upper = value;
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return upper == "1" || upper == "ON" || upper == "YES" || upper == "TRUE";
}

/// The first line of a small file; empty where there is none.
std::string line_of_file(const fs::path& path) {
  try {
    std::string text = read_text_file(path, 4096);
    text = text.substr(0, text.find_first_of("\r\n"));
    return text;
  } catch (const Error&) {
    return {};
  }
}

std::string default_endpoint(const std::string& hub) {
  if (hub == "modelscope") {
    if (std::string endpoint = environment("MODELSCOPE_ENDPOINT"); !endpoint.empty()) return endpoint;
    std::string domain = environment("MODELSCOPE_DOMAIN");
    if (!domain.empty()) return domain.find("://") == std::string::npos ? "https://" + domain : domain;
    return is_true(environment("MODELSCOPE_PREFER_AI_SITE")) ? "https://modelscope.ai"
                                                             : "https://modelscope.cn";
  }
  if (hub == "huggingface") {
    const std::string endpoint = environment("HF_ENDPOINT");
    return endpoint.empty() ? "https://huggingface.co" : endpoint;
  }
  if (hub == "gitcode") return "https://api.gitcode.com";
  if (hub == "openmind") {
    if (environment("OPENMIND_PLATFORM") == "gitcode") return "https://api.gitcode.com";
    const std::string endpoint = environment("OPENMIND_HUB_ENDPOINT");
    return endpoint.empty() ? "https://modelers.cn" : endpoint;
  }
  return hub == "ollama" ? "https://registry.ollama.ai" : "";
}

std::string token_of(const std::string& hub) {
  if (hub == "modelscope") return environment("MODELSCOPE_API_TOKEN");
  if (hub == "huggingface") {
    std::string token = environment("HF_TOKEN");
    if (token.empty()) token = environment("HUGGING_FACE_HUB_TOKEN");
    if (!token.empty()) return token;
    const std::string path = environment("HF_TOKEN_PATH");
    return line_of_file(path.empty() ? huggingface_home() / "token" : fs::path(path));
  }
  if (hub == "gitcode") return environment("GITCODE_TOKEN");
  if (hub == "openmind") return environment("OPENMIND_TOKEN");
  return {};
}

}  // namespace

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

bool environment_is_offline() {
  return is_true(environment("HF_HUB_OFFLINE")) || is_true(environment("TRANSFORMERS_OFFLINE"));
}

HubAccess access_from_environment(const RepoAddress& repo, std::string endpoint) {
  HubAccess access;
  if (repo.hub == "git" || repo.hub == "url") endpoint = origin_of_url(repo.id);
  access.endpoint = endpoint.empty() ? default_endpoint(repo.hub) : std::move(endpoint);
  while (!access.endpoint.empty() && access.endpoint.back() == '/') access.endpoint.pop_back();
  if (origin_of_url(access.endpoint).empty()) {
    throw Error(
        ErrorCode::kUsage, "pull",
        fmt::format("expected an endpoint of http or https, found \"{}\"", printable(access.endpoint)),
        "see --endpoint and the hub's own variables");
  }
  access.token = token_of(repo.hub);
  for (const char* name : {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}) {
    if (access.ca_file.empty()) access.ca_file = environment(name);
  }
  return access;
}

}  // namespace chaski
