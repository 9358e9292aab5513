// One model as files hold it: config, weights, tokenizer data and chat template, from a Hugging Face
// directory, a GGUF file or the synthetic writer. Nothing is computed here and nothing from the model is ever
// executed.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "format/digest_memo.h"
#include "format/model_config.h"
#include "tensor/weight_source.h"

namespace chaski {

/// The tokenizer as the file has it; text/ makes a tokenizer of it.
struct TokenizerData {
  // Hugging Face: the files' texts. Empty for GGUF.
  std::string tokenizer_json;
  std::string tokenizer_config_json;
  std::string tokenizer_model;  ///< SentencePiece's protobuf, where there is no tokenizer.json
  // GGUF: the arrays of tokenizer.ggml.*. Empty for Hugging Face.
  std::string gguf_model;  ///< "gpt2", "llama"
  std::string gguf_pre;    ///< "llama-bpe", "smollm", …
  std::vector<std::string> tokens;
  std::vector<int32_t> token_types;
  std::vector<std::string> merges;
  std::vector<float> scores;  ///< of each token; "llama" merges by them
  std::optional<int32_t> bos, eos, eot, pad, unk;
  std::optional<bool> add_bos, add_eos;
  std::optional<bool> add_space_prefix;  ///< whether text is encoded as if a space stood before it
};

/// What the model's makers advise (generation_config.json), where they do.
struct GenerationDefaults {
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k;
  std::optional<bool> do_sample;  ///< false is greedy
};

class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  /// A directory of safetensors, a .gguf file (of a split model, any), or "synthetic:SHAPE[@FORMAT]". Throws
  /// naming file, field and offset.
  /// `digests`, if given, is where content_hash looks first.
  static std::shared_ptr<const Checkpoint> open(const std::string& path,
                                                std::shared_ptr<const DigestMemo> digests = {});

  const ModelConfig& config() const { return config_; }
  const TokenizerData& tokenizer() const { return tokenizer_; }
  /// Free what tokenizer() holds, some 10 MB: for its only user, who has made a tokenizer of it.
  void forget_tokenizer() const { tokenizer_ = {}; }
  const std::string& chat_template() const { return chat_template_; }  ///< empty where the model has none
  const GenerationDefaults& generation() const { return generation_; }
  const std::string& path() const { return path_; }
  const std::string& kind() const { return kind_; }  ///< "safetensors", "gguf", "synthetic"
  bool is_synthetic() const { return config_.is_synthetic; }

  /// Names of all weights, sorted, as Hugging Face names them.
  virtual std::vector<std::string> names() const = 0;
  /// The weight, or null where there is none of that name.
  virtual WeightSourcePtr find(std::string_view name) const = 0;
  /// The weight of exactly this shape. Throws Error(kCorrupt) naming weight, expected, found and file.
  WeightSourcePtr require(std::string_view name, const Shape& shape) const;
  /// SHA-256 of the weight files' bytes (several: of their digests in name order); for records.
  /// `on_bytes` hears of the bytes as they are read, and may throw to end it.
  virtual std::string content_hash(const OnBytes& on_bytes = {}) const = 0;
  /// The same, where it is known without reading the files.
  virtual std::optional<std::string> known_hash() const { return std::nullopt; }
  /// Whether nobody has written to the weight files since they were opened, as far as the file system tells.
  virtual bool is_unchanged() const { return true; }
  /// Bytes of all weights as stored.
  virtual uint64_t weight_bytes() const = 0;

 protected:
  /// How the file names a weight, where it is not as Hugging Face does; for errors.
  virtual std::string name_in_file(std::string_view) const { return {}; }

  std::string path_, kind_, chat_template_;
  ModelConfig config_;
  mutable TokenizerData tokenizer_;
  GenerationDefaults generation_;
};

/// What in a folder is the model: the folder itself where it has a config.json, else its one .gguf file (of a
/// split model, the first); nothing where there is neither or several files. Throws Error(kNotFound) where it
/// cannot be read, and Error(kCorrupt) for a .gguf that is a link out of the folder.
std::optional<std::filesystem::path> model_in_folder(const std::filesystem::path& folder);

/// The .gguf files of a folder, sorted; of each split model, only the first that is there.
std::vector<std::filesystem::path> gguf_files_in(const std::filesystem::path& folder);

}  // namespace chaski
