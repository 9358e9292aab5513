#include "format/shard_index.h"

#include <algorithm>
#include <map>
#include <unordered_set>

#include "base/error.h"
#include "format/json_stream.h"

namespace chaski {
namespace {

constexpr uint64_t kMaxIndexBytes = 64u << 20;
constexpr size_t kMaxTensors = 200000;
constexpr size_t kMaxFiles = 4096;
constexpr size_t kMaxTensorNameBytes = 512;
constexpr size_t kMaxNameBytes = 4096;

class Parser {
 public:
  Parser(const ByteSource& source, const std::function<bool(const std::string&)>& is_wanted)
      : json_(source, 0, source.size()), is_wanted_(is_wanted) {}

  ShardIndex parse() {
    bool has_map = false;
    json_.read_object(kMaxNameBytes, [&](const std::string& key) {
      if (key != "weight_map") return json_.skip_value();
      if (has_map) json_.fail("key \"weight_map\" stands twice");
      has_map = true;
      json_.read_object(kMaxTensorNameBytes, [&](const std::string& tensor) { read_entry(tensor); });
    });
    json_.expect_end();
    if (!has_map) json_.fail("field \"weight_map\" is missing");
    return sorted();
  }

 private:
  void read_entry(const std::string& tensor) {
    if (name_hashes_.size() == kMaxTensors)
      json_.fail(fmt::format("expected at most {} tensors", kMaxTensors));
    // By hash, so that names are not kept; a collision of two honest names is out of reach.
    if (!name_hashes_.insert(std::hash<std::string>{}(tensor)).second) {
      json_.fail(fmt::format("weight_map: \"{}\" stands twice", printable(tensor)));
    }
    json_.read_string(file_, kMaxNameBytes);
    auto at = places_.find(file_);
    if (at == places_.end()) {
      check_name(tensor);
      if (places_.size() == kMaxFiles) json_.fail(fmt::format("expected at most {} files", kMaxFiles));
      at = places_.emplace(file_, static_cast<uint32_t>(places_.size())).first;
    }
    if (!is_wanted_ || is_wanted_(tensor)) index_.tensors.emplace_back(tensor, at->second);
  }

  void check_name(const std::string& tensor) const {
    constexpr std::string_view kSuffix = ".safetensors";
    const bool has_suffix = file_.size() > kSuffix.size() &&
                            std::string_view(file_).substr(file_.size() - kSuffix.size()) == kSuffix;
    if (is_safe_relative_name(file_) && has_suffix) return;
    json_.fail(fmt::format(
        "weight_map \"{}\": expected the name of a .safetensors file below the folder, found \"{}\"",
        printable(tensor), printable(file_)));
  }

  /// Files in name order, and the tensors' places in that order.
  ShardIndex sorted() {
    std::vector<uint32_t> new_place(places_.size());
    for (const auto& [file, old_place] : places_) {
      new_place[old_place] = static_cast<uint32_t>(index_.files.size());
      index_.files.push_back(file);
    }
    for (auto& [tensor, place] : index_.tensors) place = new_place[place];
    std::sort(index_.tensors.begin(), index_.tensors.end());
    return std::move(index_);
  }

  JsonStream json_;
  const std::function<bool(const std::string&)>& is_wanted_;
  std::unordered_set<size_t> name_hashes_;
  ShardIndex index_;
  std::map<std::string, uint32_t> places_;
  std::string file_;
};

}  // namespace

ShardIndex read_shard_index(const ByteSource& source,
                            const std::function<bool(const std::string&)>& is_wanted) {
  refuse_lfs_pointer(source);
  if (source.size() > kMaxIndexBytes) {
    throw Error(
        ErrorCode::kCorrupt, "read shard index",
        fmt::format("{}: {} bytes, at most {} are accepted", source.name(), source.size(), kMaxIndexBytes));
  }
  return Parser(source, is_wanted).parse();
}

}  // namespace chaski
