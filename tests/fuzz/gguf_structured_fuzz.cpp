// A small Llama model as GGUF, in one file or split, right but for a few choices of the input: keys of other
// types and values, tensors of other shapes, types and places. A model without any lie must be accepted.
#include <algorithm>
#include <array>
#include <vector>

#include "format/gguf_checkpoint.h"
#include "format/gguf_types.h"
#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using namespace chaski;

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put_text(std::string& out, std::string_view value) {
  put<uint64_t>(out, value.size());
  out.append(value);
}

constexpr uint64_t kVocab = 32, kFfn = 16, kHeadDim = 4, kQueries = 8, kAlignment = 32;

/// `n` tokens "t", or as many numbers 1: the payload of an array.
std::string array_of(uint32_t element, size_t n) {
  std::string out;
  put(out, element);
  put<uint64_t>(out, n);
  for (size_t i = 0; i < n; ++i) element == 8 ? put_text(out, "t") : put<uint32_t>(out, 1);
  return out;
}

class Builder {
 public:
  Builder(const uint8_t* data, size_t size)
      : choices_(data, size),
        hidden_(choices_.one_in(2) ? 256 : 8),
        parts_(choices_.one_in(4) ? 2 + choices_.below(2) : 1) {}

  bool is_honest() const { return is_honest_; }

  std::vector<std::string> build() {
    for (const auto& [name, n_cols, n_rows] : tensors()) {
      tensor(parts_[choices_.below(parts_.size())], name, n_cols, n_rows);
    }
    model_keys(parts_[0]);
    std::vector<std::string> files;
    for (size_t i = 0; i < parts_.size(); ++i) {
      if (parts_.size() > 1) {
        number(parts_[i], "split.no", static_cast<uint32_t>(i));
        number(parts_[i], "split.count", static_cast<uint32_t>(parts_.size()));
        number(parts_[i], "split.tensors.count", n_tensors_);
      }
      files.push_back(file_of(parts_[i]));
    }
    if (lie(128)) files.pop_back();
    if (lie(128)) files.push_back(files.empty() ? "GGUF" : files[0]);
    return files;
  }

 private:
  struct Part {
    std::string keys, infos;
    uint64_t n_keys = 0, n_tensors = 0;
    size_t data_bytes = 0;
  };
  struct Planned {
    std::string_view name;
    uint64_t n_cols, n_rows;  ///< no rows: a vector
  };

  std::array<Planned, 11> tensors() const {
    return {{{"token_embd.weight", hidden_, kVocab},
             {"output_norm.weight", hidden_, 0},
             {"blk.0.attn_norm.weight", hidden_, 0},
             {"blk.0.attn_q.weight", hidden_, kQueries},
             {"blk.0.attn_k.weight", hidden_, kHeadDim},
             {"blk.0.attn_v.weight", hidden_, kHeadDim},
             {"blk.0.attn_output.weight", kQueries, hidden_},
             {"blk.0.ffn_norm.weight", hidden_, 0},
             {"blk.0.ffn_gate.weight", hidden_, kFfn},
             {"blk.0.ffn_up.weight", hidden_, kFfn},
             {"blk.0.ffn_down.weight", kFfn, hidden_}}};
  }

  bool lie(size_t n) {
    const bool is_told = choices_.one_in(n);
    if (is_told) is_honest_ = false;
    return is_told;
  }

  void model_keys(Part& part) {
    static const std::string kTokens = array_of(8, kVocab), kTypes = array_of(5, kVocab),
                             kScores = array_of(6, kVocab);
    std::string architecture;
    put_text(architecture, "llama");
    key(part, "general.architecture", 8, architecture);
    number(part, "llama.block_count", 1);
    number(part, "llama.context_length", 64);
    number(part, "llama.embedding_length", static_cast<uint32_t>(hidden_));
    number(part, "llama.feed_forward_length", kFfn);
    number(part, "llama.attention.head_count", 2);
    number(part, "llama.attention.head_count_kv", 1);
    number(part, "llama.attention.key_length", kHeadDim);
    number(part, "llama.rope.dimension_count", kHeadDim);
    std::string epsilon;
    put(epsilon, 1e-5f);
    key(part, "llama.attention.layer_norm_rms_epsilon", 6, epsilon);
    key(part, "tokenizer.ggml.tokens", 9, kTokens);
    key(part, "tokenizer.ggml.token_type", 9, kTypes);
    key(part, "tokenizer.ggml.scores", 9, kScores);
    number(part, "tokenizer.ggml.bos_token_id", 1);
    if (choices_.one_in(8)) number(part, "general.alignment", kAlignment);
  }

  void number(Part& part, std::string_view name, uint32_t value) {
    std::string payload;
    put(payload, value);
    key(part, name, 4, payload);
  }

  void key(Part& part, std::string_view name, uint32_t type, std::string_view payload) {
    if (lie(64)) return;
    put_text(part.keys, name);
    if (lie(32)) type = choices_.byte() % 14;
    put(part.keys, type);
    part.keys.append(payload);
    if (lie(32))
      part.keys[part.keys.size() - 1 - choices_.below(payload.size())] = static_cast<char>(choices_.byte());
    ++part.n_keys;
  }

  /// One of the types that fit: rows of a few numbers are f32.
  uint32_t type_for(uint64_t n_cols) {
    if (lie(32)) return choices_.byte();
    const std::span<const BlockFormat> formats = all_formats();
    const BlockFormat& format = formats[choices_.below(formats.size())];
    const bool fits =
        format.dtype != DType::kI32 && n_cols % static_cast<uint64_t>(format.block_elements) == 0;
    return gguf_type_id(fits ? format.dtype : DType::kF32);
  }

  void tensor(Part& part, std::string_view name, uint64_t n_cols, uint64_t n_rows) {
    const uint32_t type = type_for(n_cols);
    const GgufTensorType* known = gguf_type_with(type);
    const BlockFormat& format = format_of(known != nullptr && known->dtype ? *known->dtype : DType::kF32);
    const size_t row =
        (n_cols / static_cast<size_t>(format.block_elements) + 1) * static_cast<size_t>(format.block_bytes);
    const size_t bytes = row * std::max<size_t>(1, n_rows);
    if (lie(32)) n_cols = choices_.number();
    if (lie(32)) n_rows = choices_.number();
    const uint64_t offset = lie(32) ? choices_.number() : part.data_bytes;
    put_text(part.infos, name);
    put<uint32_t>(part.infos, n_rows == 0 ? 1 : 2);
    put(part.infos, n_cols);
    if (n_rows != 0) put(part.infos, n_rows);
    put(part.infos, type);
    put(part.infos, offset);
    part.data_bytes += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    ++part.n_tensors;
    ++n_tensors_;
  }

  std::string file_of(const Part& part) {
    std::string file = "GGUF";
    file.reserve(64 + part.keys.size() + part.infos.size() + part.data_bytes);
    put(file, static_cast<uint32_t>(lie(64) ? choices_.byte() : 2 + choices_.below(2)));
    put(file, lie(64) ? choices_.number() : part.n_tensors);
    put(file, lie(64) ? choices_.number() : part.n_keys);
    file.append(part.keys).append(part.infos);
    file.resize((file.size() + kAlignment - 1) / kAlignment * kAlignment + part.data_bytes,
                static_cast<char>(choices_.byte()));
    return file;
  }

  fuzz::Choices choices_;
  uint64_t hidden_;
  std::vector<Part> parts_;
  uint32_t n_tensors_ = 0;
  bool is_honest_ = true;
};

void read_all(const Checkpoint& model) {
  for (const std::string& name : model.names()) {
    const WeightSourcePtr weight = model.find(name);
    std::vector<std::byte> rows(
        static_cast<size_t>(weight->n_rows() * row_bytes(weight->dtype(), weight->n_cols())));
    weight->read_rows(0, weight->n_rows(), rows);
    std::vector<float> values(static_cast<size_t>(weight->n_cols()));
    format_of(weight->dtype()).dequantize_row(rows.data(), values.data(), weight->n_cols());
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Builder builder(data, size);
  std::vector<ByteSourcePtr> parts;
  for (std::string& file : builder.build()) {
    parts.push_back(std::make_shared<MemorySource>("fuzz.gguf", std::move(file)));
  }
  if (parts.empty()) return 0;
  bool is_accepted = false;
  fuzz::expect_error_at_most([&] {
    read_all(*open_gguf(std::move(parts)));
    is_accepted = true;
  });
  if (builder.is_honest() && !is_accepted) std::abort();
  return 0;
}
