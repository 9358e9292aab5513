#include "format/hf_checkpoint.h"

#include <algorithm>
#include <functional>
#include <unordered_set>

#include "base/error.h"
#include "format/hf_config.h"
#include "format/json_stream.h"
#include "format/llama_layout.h"
#include "format/model_folder.h"
#include "format/safetensors.h"
#include "format/shard_index.h"
#include "format/stored_checkpoint.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxConfigBytes = 1u << 20;
constexpr uint64_t kMaxTokenizerBytes = 64u << 20;
constexpr uint64_t kMaxTokenizerConfigBytes = 16u << 20;
constexpr size_t kMaxTemplateBytes = 1u << 20;

std::string read_text(const fs::path& path, uint64_t max_bytes) {
  refuse_lfs_pointer(FileSource(path));
  return read_text_file(path, max_bytes);
}

using IsWanted = std::function<bool(const std::string&)>;

class HfCheckpoint : public StoredCheckpoint {
 public:
  HfCheckpoint(const fs::path& folder, std::shared_ptr<const DigestMemo> digests)
      : folder_(folder), digests_(std::move(digests)) {
    path_ = folder.string();
    kind_ = "safetensors";
    const fs::path config = inside(folder, "config.json");
    config_ = parse_hf_config(read_text(config, kMaxConfigBytes), config.string());
    if (has("generation_config.json")) {
      const fs::path generation = inside(folder, "generation_config.json");
      generation_ =
          parse_generation_config(read_text(generation, kMaxConfigBytes), generation.string(), config_);
    }
    read_weights();
    check_weights(*this);
    read_tokenizer();
  }

 private:
  bool has(const std::string& name) const { return fs::exists(folder_ / name); }

  std::string read_text_if_there(const std::string& name, uint64_t max_bytes) const {
    return has(name) ? read_text(inside(folder_, name), max_bytes) : std::string();
  }

  void read_weights() {
    std::unordered_set<std::string> names;
    for (ExpectedWeight& weight : expected_weights(config_)) names.insert(std::move(weight.name));
    const IsWanted is_wanted = [&](const std::string& name) { return names.count(name) > 0; };
    if (has("model.safetensors")) {
      const auto source = std::make_shared<FileSource>(inside(folder_, "model.safetensors"), digests_);
      files_ = {source};
      for (const SafetensorsEntry& entry : read_safetensors_header(*source, is_wanted).entries) {
        add(source, entry);
      }
    } else if (has("model.safetensors.index.json")) {
      const fs::path index = inside(folder_, "model.safetensors.index.json");
      read_shards(read_shard_index(FileSource(index), is_wanted), is_wanted, index.string());
    } else {
      const bool has_pickle = has("pytorch_model.bin") || has("pytorch_model.bin.index.json");
      throw Error(
          has_pickle ? ErrorCode::kUnsupported : ErrorCode::kNotFound, "open model",
          fmt::format("{}: expected model.safetensors or model.safetensors.index.json, found {}", path_,
                      has_pickle ? "pytorch_model.bin, which can hold code and is never loaded" : "neither"),
          "fetch the safetensors files of this model");
    }
  }

  void add(const ByteSourcePtr& source, const SafetensorsEntry& entry) {
    if (entry.dtype) {
      weights_.emplace(entry.name, std::make_shared<StoredWeight>(source, entry.name, *entry.dtype,
                                                                  entry.shape, entry.offset));
    } else {
      unusable_.emplace(entry.name, fmt::format("stored as {}, expected F32, F16 or BF16", entry.type));
    }
  }

  void read_shards(const ShardIndex& index, const IsWanted& is_wanted, const std::string& where) {
    std::vector<std::string> missing;
    for (const std::string& file : index.files) {
      if (!has(file)) missing.push_back(file);
    }
    if (!missing.empty()) {
      throw Error(ErrorCode::kNotFound, "open model",
                  fmt::format("{}: files of this index are missing: {}", where, first_three(missing)),
                  "the model is incomplete; fetch it again");
    }
    std::vector<std::deque<SafetensorsEntry>> headers;
    size_t n_tensors = 0;
    for (const std::string& file : index.files) {
      files_.push_back(std::make_shared<FileSource>(inside(folder_, file), digests_));
      SafetensorsHeader header = read_safetensors_header(*files_.back(), is_wanted, n_tensors);
      n_tensors += header.n_tensors;
      headers.push_back(std::move(header.entries));
    }
    for (const auto& [tensor, place] : index.tensors) {
      const auto& entries = headers[place];
      const auto at = std::lower_bound(entries.begin(), entries.end(), tensor,
                                       [](const auto& entry, const auto& name) { return entry.name < name; });
      if (at != entries.end() && at->name == tensor) {
        add(files_[place], *at);
      } else {
        missing.push_back(fmt::format("{} in {}", tensor, index.files[place]));
      }
    }
    if (!missing.empty()) {
      throw Error(ErrorCode::kCorrupt, "open model",
                  fmt::format("{}: tensors of this index are missing from their files: {}", where,
                              first_three(missing)));
    }
  }

  void read_tokenizer() {
    tokenizer_.tokenizer_json = read_text_if_there("tokenizer.json", kMaxTokenizerBytes);
    if (!has("tokenizer.json")) {
      tokenizer_.tokenizer_model = read_text_if_there("tokenizer.model", kMaxTokenizerBytes);
    }
    tokenizer_.tokenizer_config_json = read_text_if_there("tokenizer_config.json", kMaxTokenizerConfigBytes);
    if (has("chat_template.jinja")) {
      chat_template_ = read_text(inside(folder_, "chat_template.jinja"), kMaxTemplateBytes);
    } else if (has("tokenizer_config.json")) {
      chat_template_ = read_chat_template(FileSource(inside(folder_, "tokenizer_config.json")));
    }
  }

  fs::path folder_;
  std::shared_ptr<const DigestMemo> digests_;
};

/// One element of a list of templates; its text goes to `chosen` where it is the first or the default.
void read_named_template(JsonStream& json, std::string& chosen, bool& is_first) {
  std::string name, text;
  json.read_object(kMaxTemplateBytes, [&](const std::string& key) {
    if (key == "name") return json.read_string(name, kMaxTemplateBytes);
    if (key == "template") return json.read_string(text, kMaxTemplateBytes);
    json.skip_value();
  });
  if (is_first || name == "default") chosen = text;
  is_first = false;
}

}  // namespace

std::string read_chat_template(const ByteSource& tokenizer_config) {
  JsonStream json(tokenizer_config, 0, tokenizer_config.size());
  std::string chosen;
  bool is_there = false;
  json.read_object(kMaxTemplateBytes, [&](const std::string& key) {
    if (key != "chat_template") return json.skip_value();
    if (is_there) json.fail("key \"chat_template\" stands twice");
    is_there = true;
    if (json.peek() == 'n') return json.skip_value();
    if (json.peek() != '[') return json.read_string(chosen, kMaxTemplateBytes);
    bool is_first = true;
    json.read_array([&] { read_named_template(json, chosen, is_first); });
  });
  json.expect_end();
  return chosen;
}

std::shared_ptr<const Checkpoint> open_hf_directory(const fs::path& folder,
                                                    std::shared_ptr<const DigestMemo> digests) {
  return std::make_shared<HfCheckpoint>(folder, std::move(digests));
}

}  // namespace chaski
