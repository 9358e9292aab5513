#include "hub/listing.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <set>

#include "base/checked.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/files.h"
#include "base/json.h"

namespace chaski {
namespace {

constexpr uint64_t kMaxTotalBytes = uint64_t{1} << 50;  // a petabyte and more: no repository's

Error corrupt(std::string_view where, std::string_view what) {
  return Error(ErrorCode::kCorrupt, "list a repository", fmt::format("{}: {}", where, what),
               "the hub's answer cannot be trusted; nothing was downloaded for it");
}

Json parse(std::string_view text, std::string_view where) {
  return parse_json(text, where, {.max_bytes = kMaxListingBytes, .max_depth = 16});
}

/// `object[key]`, which must be a list.
const Json& list_of(const Json& object, const char* key, std::string_view where) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || it == object.end() || !it->is_array()) {
    throw corrupt(where, fmt::format("expected a list \"{}\"", key));
  }
  return *it;
}

const Json& object_of(const Json& value, std::string_view where, std::string_view what) {
  if (!value.is_object()) throw corrupt(where, fmt::format("expected {} as an object", what));
  return value;
}

/// Nothing where the field is absent.
std::optional<uint64_t> size_of(const Json& object, const char* key, std::string_view where) {
  if (!object.contains(key) || object.at(key).is_null()) return std::nullopt;
  const int64_t size = require_int(object, key, where);
  if (size < 0) throw corrupt(where, fmt::format("a file of {} bytes", size));
  return static_cast<uint64_t>(size);
}

/// The hash after "sha256:".
std::string sha256_of_oid(const std::string& oid, std::string_view where) {
  constexpr std::string_view kPrefix = "sha256:";
  if (oid.rfind(kPrefix, 0) != 0 || !is_lower_hex(std::string_view(oid).substr(kPrefix.size()), 64)) {
    throw corrupt(where,
                  fmt::format("expected sha256: and 64 hex digits, found \"{}\"", printable(oid, 100)));
  }
  return oid.substr(kPrefix.size());
}

/// The same text for names that are one on some disk: those of Windows know no upper case, those of macOS no
/// difference between a letter with its accent and the two one after the other.
std::string folded_name(const std::string& name) {
  utf8proc_uint8_t* folded = nullptr;
  const auto n = utf8proc_map(
      reinterpret_cast<const utf8proc_uint8_t*>(name.data()), static_cast<utf8proc_ssize_t>(name.size()),
      &folded, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_CASEFOLD));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(folded, &std::free);
  return n < 0 ? name : std::string(reinterpret_cast<const char*>(folded), static_cast<size_t>(n));
}

}  // namespace

ListingPage parse_modelscope_files(std::string_view text, std::string_view where) {
  const Json answer = parse(text, where);
  object_of(answer, where, "the answer");
  if (!get_bool(answer, "Success", true, where)) {
    throw Error(
        ErrorCode::kNotFound, "list a repository",
        fmt::format("{}: {}", where, printable(get_string(answer, "Message", "refused", where), 200)));
  }
  const auto data = answer.find("Data");
  if (data == answer.end()) throw corrupt(where, "expected a field \"Data\"");
  ListingPage page;
  for (const Json& entry : data->is_array() ? *data : list_of(*data, "Files", where)) {
    object_of(entry, where, "a file");
    RemoteFile file;
    file.name = require_string(entry, "Path", where);
    if (get_string(entry, "Type", "blob", where) == "tree") {
      page.folders.push_back(std::move(file.name));
      continue;
    }
    file.sha256 = get_string(entry, "Sha256", "", where);
    file.size = size_of(entry, "Size", where);
    if (file.size == uint64_t{0}) file.size.reset();  // which may mean that it is not known
    file.is_lfs = get_bool(entry, "IsLFS", false, where);
    page.files.push_back(std::move(file));
  }
  return page;
}

ListingPage parse_huggingface_tree(std::string_view text, std::string_view where) {
  const Json answer = parse(text, where);
  if (!answer.is_array()) throw corrupt(where, "expected a list of files");
  ListingPage page;
  for (const Json& entry : answer) {
    object_of(entry, where, "a file");
    RemoteFile file;
    file.name = require_string(entry, "path", where);
    if (require_string(entry, "type", where) != "file") {
      page.folders.push_back(std::move(file.name));
      continue;
    }
    file.size = size_of(entry, "size", where);
    const auto lfs = entry.find("lfs");
    file.is_lfs = lfs != entry.end() && !lfs->is_null();
    if (file.is_lfs) {
      object_of(*lfs, where, "\"lfs\"");
      file.sha256 = require_string(*lfs, "oid", where);
      file.size = size_of(*lfs, "size", where);
    } else {
      file.git_sha1 = get_string(entry, "oid", "", where);
    }
    page.files.push_back(std::move(file));
  }
  return page;
}

std::string parse_huggingface_commit(std::string_view text, std::string_view where) {
  const Json answer = parse(text, where);
  std::string commit = require_string(object_of(answer, where, "the answer"), "sha", where);
  if (!is_lower_hex(commit, 40)) {
    throw corrupt(where, fmt::format("expected a commit, found \"{}\"", printable(commit)));
  }
  return commit;
}

ListingPage parse_openmind_tree(std::string_view text, std::string_view where) {
  const Json answer = parse(text, where);
  const auto data = object_of(answer, where, "the answer").find("data");
  if (data == answer.end()) throw corrupt(where, "expected a field \"data\"");
  ListingPage page;
  for (const Json& entry : list_of(*data, "tree", where)) {
    object_of(entry, where, "a file");
    RemoteFile file;
    file.name = require_string(entry, "path", where);
    if (require_string(entry, "type", where) != "file") {
      page.folders.push_back(std::move(file.name));
      continue;
    }
    file.size = size_of(entry, "size", where);
    file.is_lfs = get_bool(entry, "is_lfs", false, where);
    const std::string etag = get_string(entry, "etag", "", where);
    (etag.size() == 64 ? file.sha256 : file.git_sha1) = etag;
    page.files.push_back(std::move(file));
  }
  const auto last = data->find("last_commit");
  if (last != data->end() && last->is_object() && last->contains("commit") &&
      last->at("commit").is_object()) {
    page.commit = get_string(last->at("commit"), "commit_sha", "", where);
  }
  return page;
}

ListingPage parse_ollama_manifest(std::string_view text, std::string_view where) {
  const Json answer = parse(text, where);
  constexpr std::string_view kKind = "application/vnd.ollama.image.";
  ListingPage page;
  for (const Json& layer : list_of(answer, "layers", where)) {
    object_of(layer, where, "a layer");
    const std::string type = require_string(layer, "mediaType", where);
    if (type.rfind(kKind, 0) != 0) continue;
    const std::string kind = type.substr(kKind.size());
    RemoteFile file;
    if (kind == "model") {
      file.name = "model.gguf";
    } else if (kind == "params") {
      file.name = "params.json";
    } else if (kind == "template" || kind == "license" || kind == "system") {
      file.name = kind + ".txt";
    } else {
      continue;  // adapters, projectors: nothing that is loaded here
    }
    const auto n_same = std::count_if(page.files.begin(), page.files.end(), [&](const RemoteFile& other) {
      return other.name.rfind(kind, 0) == 0;
    });
    if (n_same > 0) file.name.insert(file.name.rfind('.'), fmt::format("-{}", n_same + 1));
    file.sha256 = sha256_of_oid(require_string(layer, "digest", where), where);
    file.size = size_of(layer, "size", where);
    file.is_lfs = kind == "model";
    page.files.push_back(std::move(file));
  }
  return page;
}

std::string next_page_of(std::string_view link_header) {
  while (!link_header.empty()) {
    const size_t open = link_header.find('<'), close = link_header.find('>');
    if (open == std::string_view::npos || close == std::string_view::npos || close < open) return {};
    const std::string_view url = link_header.substr(open + 1, close - open - 1);
    link_header.remove_prefix(close + 1);
    const std::string_view parameters = link_header.substr(0, link_header.find('<'));
    if (parameters.find("rel=\"next\"") != std::string_view::npos ||
        parameters.find("rel=next") != std::string_view::npos) {
      return std::string(url);
    }
  }
  return {};
}

void check_listing(const RemoteListing& listing, std::string_view where) {
  if (listing.files.size() > kMaxRemoteFiles) {
    throw corrupt(where,
                  fmt::format("expected at most {} files, found {}", kMaxRemoteFiles, listing.files.size()));
  }
  std::set<std::string> names, folders;
  uint64_t total = 0;
  for (const RemoteFile& file : listing.files) {
    const std::string shown = printable(file.name, 100);
    const std::string folded = folded_name(file.name);
    const bool is_ours = folded.rfind(".chaski/", 0) == 0 || folded == ".chaski";
    if (!is_safe_relative_name(file.name) || is_ours) {
      throw corrupt(where, fmt::format("\"{}\" is no name that a file below a folder may have", shown));
    }
    if (!names.insert(folded).second) {
      throw corrupt(where,
                    fmt::format("\"{}\" is there twice, or under names that are one on some disks", shown));
    }
    for (size_t at = folded.find('/'); at != std::string::npos; at = folded.find('/', at + 1)) {
      folders.insert(folded.substr(0, at));
    }
    if ((!file.sha256.empty() && !is_lower_hex(file.sha256, 64)) ||
        (!file.git_sha1.empty() && !is_lower_hex(file.git_sha1, 40))) {
      throw corrupt(where, fmt::format("{}: expected a hash of 64 or 40 hex digits, found \"{}\"", shown,
                                       printable(file.sha256 + file.git_sha1, 100)));
    }
    const auto sum = checked_add(total, file.size.value_or(0));
    if (!sum || *sum > kMaxTotalBytes) throw corrupt(where, "sizes that no disk has");
    total = *sum;
  }
  for (const std::string& folder : folders) {
    if (names.count(folder) > 0) {
      throw corrupt(where, fmt::format("\"{}\" is a file and a folder", printable(folder, 100)));
    }
  }
}

std::optional<LfsPointer> parse_lfs_pointer(std::string_view text) {
  if (text.size() > kMaxLfsPointerBytes ||
      text.rfind("version https://git-lfs.github.com/spec/v1\n", 0) != 0) {
    return std::nullopt;
  }
  LfsPointer pointer;
  bool has_size = false;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    constexpr std::string_view kOid = "oid sha256:", kSize = "size ";
    if (line.rfind(kOid, 0) == 0) {
      pointer.sha256 = std::string(line.substr(kOid.size()));
    } else if (line.rfind(kSize, 0) == 0) {
      const std::string_view digits = line.substr(kSize.size());
      if (digits.empty() || digits.size() > 18) return std::nullopt;
      pointer.size = 0;
      for (const char digit : digits) {
        if (digit < '0' || digit > '9') return std::nullopt;
        pointer.size = pointer.size * 10 + static_cast<uint64_t>(digit - '0');
      }
      has_size = true;
    }
  }
  if (!has_size || !is_lower_hex(pointer.sha256, 64)) return std::nullopt;
  return pointer;
}

LfsAction parse_lfs_batch(std::string_view text, const LfsPointer& object, std::string_view where) {
  const Json answer = parse(text, where);
  for (const Json& entry : list_of(answer, "objects", where)) {
    object_of(entry, where, "an object");
    if (get_string(entry, "oid", "", where) != object.sha256) continue;
    if (entry.contains("error")) {
      const Json& error = object_of(entry.at("error"), where, "\"error\"");
      throw Error(ErrorCode::kNotFound, "ask for a large file",
                  fmt::format("{}: object {}…: {} ({})", where, object.sha256.substr(0, 12),
                              printable(get_string(error, "message", "refused", where), 200),
                              get_int(error, "code", 0, where)));
    }
    if (!entry.contains("actions")) break;
    const Json& actions = object_of(entry.at("actions"), where, "\"actions\"");
    if (!actions.contains("download")) break;
    const Json& download = object_of(actions.at("download"), where, "\"download\"");
    LfsAction action{require_string(download, "href", where), {}};
    if (download.contains("header")) {
      for (const auto& [name, value] : object_of(download.at("header"), where, "\"header\"").items()) {
        if (!value.is_string()) throw corrupt(where, "a header that is no text");
        action.headers.emplace_back(name, value.get<std::string>());
      }
    }
    return action;
  }
  throw corrupt(where, fmt::format("no way to download object {}…", object.sha256.substr(0, 12)));
}

}  // namespace chaski
