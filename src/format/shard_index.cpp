#include "format/shard_index.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "format/json_stream.h"

namespace chaski {
namespace {

constexpr uint64_t kMaxIndexBytes = 64u << 20;
constexpr size_t kMaxTensors = 200000;
constexpr size_t kMaxFiles = 4096;
constexpr size_t kMaxNameBytes = 4096;

class Parser {
 public:
  explicit Parser(const ByteSource& source) : json_(source, 0, source.size()) {}

  ShardIndex parse() {
    bool has_map = false;
    json_.read_object(kMaxNameBytes, [&](const std::string& key) {
      if (key != "weight_map") return json_.skip_value();
      if (has_map) json_.fail("key \"weight_map\" stands twice");
      has_map = true;
      json_.read_object(kMaxNameBytes, [&](const std::string& tensor) { read_entry(tensor); });
    });
    json_.expect_end();
    if (!has_map) json_.fail("field \"weight_map\" is missing");
    return sorted();
  }

 private:
  void read_entry(const std::string& tensor) {
    if (index_.tensors.size() == kMaxTensors)
      json_.fail(fmt::format("expected at most {} tensors", kMaxTensors));
    json_.read_string(file_, kMaxNameBytes);
    auto at = places_.find(file_);
    if (at == places_.end()) {
      check_name(tensor);
      if (places_.size() == kMaxFiles) json_.fail(fmt::format("expected at most {} files", kMaxFiles));
      at = places_.emplace(file_, static_cast<uint32_t>(places_.size())).first;
    }
    index_.tensors.emplace_back(tensor, at->second);
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
    for (size_t i = 1; i < index_.tensors.size(); ++i) {
      if (index_.tensors[i].first == index_.tensors[i - 1].first) {
        json_.fail(fmt::format("weight_map: \"{}\" stands twice", printable(index_.tensors[i].first)));
      }
    }
    return std::move(index_);
  }

  JsonStream json_;
  ShardIndex index_;
  std::map<std::string, uint32_t> places_;
  std::string file_;
};

}  // namespace

ShardIndex read_shard_index(const ByteSource& source) {
  refuse_lfs_pointer(source);
  if (source.size() > kMaxIndexBytes) {
    throw Error(
        ErrorCode::kCorrupt, "read shard index",
        fmt::format("{}: {} bytes, at most {} are accepted", source.name(), source.size(), kMaxIndexBytes));
  }
  return Parser(source).parse();
}

}  // namespace chaski
