// A git repository over http(s) with its large files in LFS. The git program fetches the tree and the small
// files, one commit deep and into a bare folder, where nothing of it is run; large files are asked for here.
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "base/digest.h"
#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "hub/hub_places.h"
#include "hub/sources.h"

extern char** environ;

namespace chaski {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxSmallFile = size_t{32} << 20;

/// Runs git with its output read, at most `max_bytes` of it. Throws Error(kNotFound) where there is no git,
/// Error(kNetwork) with its last words where it fails.
std::string run_git(const std::vector<std::string>& arguments, size_t max_bytes, const CancelToken& cancel) {
  std::array<int, 2> out{}, err{};
  CHECK(::pipe2(out.data(), O_CLOEXEC) == 0 && ::pipe2(err.data(), O_CLOEXEC) == 0, "no pipe");
  std::vector<std::string> words{"git",
                                 "-c",
                                 "core.hooksPath=/dev/null",
                                 "-c",
                                 "protocol.allow=never",
                                 "-c",
                                 "protocol.http.allow=always",
                                 "-c",
                                 "protocol.https.allow=always",
                                 "-c",
                                 "core.askPass=true",
                                 "-c",
                                 "http.lowSpeedLimit=1",
                                 "-c",
                                 "http.lowSpeedTime=60"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::vector<std::string> variables{"GIT_TERMINAL_PROMPT=0", "GIT_LFS_SKIP_SMUDGE=1", "LC_ALL=C"};
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, "GIT_", 4) != 0 && std::strncmp(*variable, "LC_ALL=", 7) != 0) {
      variables.emplace_back(*variable);
    }
  }
  std::vector<char*> envp;
  for (std::string& variable : variables) envp.push_back(variable.data());
  envp.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  posix_spawn_file_actions_adddup2(&actions, err[1], 2);
  pid_t child = 0;
  const int problem = ::posix_spawnp(&child, "git", &actions, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  ::close(out[1]);
  ::close(err[1]);
  std::string text, words_of_git;
  std::array<pollfd, 2> waits{{{out[0], POLLIN, 0}, {err[0], POLLIN, 0}}};
  const std::array<std::string*, 2> into{&text, &words_of_git};
  bool is_too_much = false;
  for (int n_open = problem == 0 ? 2 : 0; n_open > 0;) {
    if (cancel.is_cancelled() || is_too_much) ::kill(child, SIGTERM);
    if (::poll(waits.data(), waits.size(), 100) <= 0) continue;
    for (size_t i = 0; i < waits.size(); ++i) {
      if (waits[i].fd < 0 || waits[i].revents == 0) continue;
      std::array<char, 1 << 16> piece;
      const ssize_t n = ::read(waits[i].fd, piece.data(), piece.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        waits[i].fd = -1;
        --n_open;
      } else if (into[i]->size() < (i == 0 ? max_bytes : 4096)) {
        into[i]->append(piece.data(), static_cast<size_t>(n));
      } else {
        is_too_much = is_too_much || i == 0;
      }
    }
  }
  ::close(out[0]);
  ::close(err[0]);
  if (problem != 0) {
    throw Error(ErrorCode::kNotFound, "run git", std::strerror(problem),
                "repositories whose URL ends in .git need the git program: apt-get install git");
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  cancel.throw_if_cancelled("run git");
  if (is_too_much || text.size() > max_bytes) {
    throw Error(ErrorCode::kCorrupt, "run git", fmt::format("more than {} bytes of output", max_bytes));
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw Error(ErrorCode::kNetwork, "run git", printable(words_of_git, 400));
  }
  return text;
}

class GitLfs final : public HubSource {
 public:
  using HubSource::HubSource;
  ~GitLfs() override {
    std::error_code ignored;
    if (!clone_.empty()) fs::remove_all(clone_, ignored);
  }

 private:
  RemoteListing list_unchecked(HttpClient& /*client*/, const CancelToken& cancel) const override {
    std::string pattern = (fs::temp_directory_path() / "chaski-git-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw write_error(pattern, errno);
    clone_ = pattern;
    std::vector<std::string> clone{"clone", "--quiet", "--bare", "--depth=1", "--no-tags"};
    if (!access_.ca_file.empty()) clone.insert(clone.begin(), {"-c", "http.sslCAInfo=" + access_.ca_file});
    if (!repo_.revision.empty()) clone.push_back("--branch=" + repo_.revision);
    clone.insert(clone.end(), {"--", repo_.id, clone_.string()});
    run_git(clone, 1 << 20, cancel);
    RemoteListing listing;
    listing.commit = git({"rev-parse", "HEAD"}, 100, cancel).substr(0, 40);
    const std::string tree = git({"ls-tree", "-r", "-l", "-z", "HEAD"}, kMaxListingBytes, cancel);
    for (size_t at = 0; at < tree.size();) {
      const size_t end = std::min(tree.find('\0', at), tree.size());
      add_entry(std::string_view(tree).substr(at, end - at), listing, cancel);
      at = end + 1;
      if (listing.files.size() > kMaxRemoteFiles) break;  // which check_listing says
    }
    return listing;
  }

  std::string git(std::vector<std::string> arguments, size_t max_bytes, const CancelToken& cancel) const {
    arguments.insert(arguments.begin(), "--git-dir=" + clone_.string());
    return run_git(arguments, max_bytes, cancel);
  }

  /// MODE blob SHA1 SIZE\tNAME; links and submodules are left out.
  void add_entry(std::string_view entry, RemoteListing& listing, const CancelToken& cancel) const {
    const size_t tab = entry.find('\t');
    if (tab == std::string_view::npos || entry.substr(0, 3) != "100" || tab < 20) return;
    RemoteFile file;
    file.name = std::string(entry.substr(tab + 1));
    file.git_sha1 = std::string(entry.substr(12, 40));
    const std::string_view size = entry.substr(53, tab - 53);
    const size_t first = size.find_first_not_of(' ');
    if (first == std::string_view::npos ||
        size.find_first_not_of("0123456789", first) != std::string_view::npos || size.size() - first > 15) {
      return;
    }
    file.size = std::stoull(std::string(size.substr(first)));
    if (*file.size <= kMaxLfsPointerBytes) {
      const auto pointer =
          parse_lfs_pointer(git({"cat-file", "blob", file.git_sha1}, kMaxLfsPointerBytes, cancel));
      if (pointer) {
        file.git_sha1.clear();
        file.sha256 = pointer->sha256;
        file.size = pointer->size;
        file.is_lfs = true;
      }
    }
    listing.files.push_back(std::move(file));
  }

  std::optional<std::string> content_of(const RemoteFile& file) const override {
    if (file.is_lfs) return std::nullopt;
    return git({"cat-file", "blob", file.git_sha1}, kMaxSmallFile, CancelToken());
  }

  HttpRequest request_for(const RemoteFile& file, HttpClient& client,
                          const CancelToken& cancel) const override {
    const LfsPointer object{file.sha256, file.size.value_or(0)};
    HttpRequest batch = get(repo_.id + "/info/lfs/objects/batch");
    batch.method = "POST";
    batch.headers.emplace_back("Accept", "application/vnd.git-lfs+json");
    batch.headers.emplace_back("Content-Type", "application/vnd.git-lfs+json");
    batch.body = to_json_text(Json{{"operation", "download"},
                                   {"transfers", {"basic"}},
                                   {"objects", {{{"oid", object.sha256}, {"size", object.size}}}},
                                   {"hash_algo", "sha256"}});
    const LfsAction action = parse_lfs_batch(ask(batch, file.name, client, cancel).body, object, file.name);
    HttpRequest request = get(action.href);
    request.headers.insert(request.headers.end(), action.headers.begin(), action.headers.end());
    return request;
  }

  mutable fs::path clone_;
};

}  // namespace

std::unique_ptr<HubSource> make_git(const RepoAddress& repo, const HubAccess& access) {
  return std::make_unique<GitLfs>(repo, access);
}

}  // namespace chaski
