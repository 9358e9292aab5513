// What the hubs say of a repository, read into one form and checked: every name, hash, size and count that
// comes from another machine passes here. Nothing here asks anything; hub_source.h does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace chaski {

constexpr size_t kMaxListingBytes = size_t{32} << 20;
constexpr size_t kMaxRemoteFiles = 10'000;

/// A file of a repository.
struct RemoteFile {
  std::string name;              ///< below the repository
  std::optional<uint64_t> size;  ///< in bytes; nothing: the hub does not say
  std::string sha256;            ///< lower-case hex; empty: the hub does not say
  std::string git_sha1;          ///< of "blob SIZE\0" and the bytes, as git names files; may be empty
  bool is_lfs = false;           ///< kept outside of git, as weights are
  std::string etag;              ///< a strong one, of a file without a hash; may be empty
  std::string url;               ///< where its bytes are; empty: its source knows
};

struct RemoteListing {
  std::string commit;  ///< that the revision stood for; empty: the hub does not say
  std::vector<RemoteFile> files;
};

/// A page of a hub's answer: files, and folders that may have to be asked for one by one.
struct ListingPage {
  std::vector<RemoteFile> files;
  std::vector<std::string> folders;
  std::string commit;
  size_t n_entries() const { return files.size() + folders.size(); }
};

/// Read one answer. All throw Error(kCorrupt) naming `where` and the field. `text` may be anything.
ListingPage parse_modelscope_files(std::string_view text, std::string_view where);
ListingPage parse_huggingface_tree(std::string_view text, std::string_view where);
/// The commit of a repository's description.
std::string parse_huggingface_commit(std::string_view text, std::string_view where);
ListingPage parse_openmind_tree(std::string_view text, std::string_view where);
/// The layers of a model as files: model.gguf, template.txt, params.json, …
ListingPage parse_ollama_manifest(std::string_view text, std::string_view where);

/// The URL with rel="next" of a Link header; empty where there is none.
std::string next_page_of(std::string_view link_header);

/// Throws Error(kCorrupt), naming the file, unless every name is safe, stands once (in any case and
/// form of its letters) and is no other's folder, every hash has the form of its kind, counts and sums are
/// within limits.
void check_listing(const RemoteListing& listing, std::string_view where);

/// What git keeps in place of a large file.
struct LfsPointer {
  std::string sha256;
  uint64_t size = 0;
};
constexpr size_t kMaxLfsPointerBytes = 1024;
/// Nothing where the text is no pointer.
std::optional<LfsPointer> parse_lfs_pointer(std::string_view text);

/// Where an object of LFS is, as a server's batch answer says.
struct LfsAction {
  std::string href;
  std::vector<std::pair<std::string, std::string>> headers;
};
/// Throws Error(kNotFound) where the server has no such object, Error(kCorrupt) for what is no answer.
LfsAction parse_lfs_batch(std::string_view text, const LfsPointer& object, std::string_view where);

}  // namespace chaski
