// A small Llama model as GGUF, right but for a few choices of the input: keys of other types and values,
// tensors of other shapes, types and places.
#include "format/gguf_checkpoint.h"
#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using chaski::fuzz::Choices;

template <typename T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}
std::string text(const std::string& value) { return raw<uint64_t>(value.size()) + value; }

class Builder {
 public:
  explicit Builder(Choices& choices) : choices_(choices) {}

  std::string build() {
    key("general.architecture", 8, text("llama"));
    const std::pair<const char*, uint32_t> numbers[] = {
        {"llama.block_count", 1},          {"llama.context_length", 64},
        {"llama.embedding_length", 8},     {"llama.feed_forward_length", 16},
        {"llama.attention.head_count", 2}, {"llama.attention.head_count_kv", 1},
        {"llama.rope.dimension_count", 4}, {"tokenizer.ggml.bos_token_id", 1}};
    for (const auto& [name, value] : numbers) key(name, 4, raw(value));
    key("llama.attention.layer_norm_rms_epsilon", 6, raw(1e-5f));
    std::string tokens = raw<uint32_t>(8) + raw<uint64_t>(32);
    for (int i = 0; i < 32; ++i) tokens += text("t");
    key("tokenizer.ggml.tokens", 9, tokens);
    const std::pair<const char*, std::pair<uint64_t, uint64_t>> tensors[] = {
        {"token_embd.weight", {8, 32}},       {"output_norm.weight", {8, 0}},
        {"blk.0.attn_norm.weight", {8, 0}},   {"blk.0.attn_q.weight", {8, 8}},
        {"blk.0.attn_k.weight", {8, 4}},      {"blk.0.attn_v.weight", {8, 4}},
        {"blk.0.attn_output.weight", {8, 8}}, {"blk.0.ffn_norm.weight", {8, 0}},
        {"blk.0.ffn_gate.weight", {8, 16}},   {"blk.0.ffn_up.weight", {8, 16}},
        {"blk.0.ffn_down.weight", {16, 8}}};
    for (const auto& [name, dims] : tensors) tensor(name, dims.first, dims.second);
    const uint64_t n_tensors = choices_.one_in(64) ? choices_.number() : n_tensors_;
    const uint64_t n_keys = choices_.one_in(64) ? choices_.number() : n_keys_;
    std::string file = "GGUF" + raw<uint32_t>(3) + raw(n_tensors) + raw(n_keys) + keys_ + infos_;
    file.resize((file.size() + 31) / 32 * 32);
    return file + std::string(data_bytes_, '\1');
  }

 private:
  void key(const std::string& name, uint32_t type, std::string payload) {
    if (choices_.one_in(32)) type = choices_.byte() % 14;
    if (choices_.one_in(32)) payload[choices_.below(payload.size())] = static_cast<char>(choices_.byte());
    if (choices_.one_in(64)) return;
    keys_ += text(name) + raw(type) + payload;
    ++n_keys_;
  }

  void tensor(const std::string& name, uint64_t n_cols, uint64_t n_rows) {
    if (choices_.one_in(32)) n_cols = choices_.number();
    if (choices_.one_in(32)) n_rows = choices_.number();
    const uint32_t type = choices_.one_in(32) ? choices_.byte() : 0;
    const uint64_t offset = choices_.one_in(32) ? choices_.number() : data_bytes_;
    infos_ += text(name) + raw<uint32_t>(n_rows == 0 ? 1 : 2) + raw(n_cols);
    if (n_rows != 0) infos_ += raw(n_rows);
    infos_ += raw(type) + raw(offset);
    data_bytes_ += 4 * 8 * 32;
    ++n_tensors_;
  }

  Choices& choices_;
  std::string keys_, infos_;
  uint64_t n_keys_ = 0, n_tensors_ = 0;
  size_t data_bytes_ = 0;
};

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace chaski;
  Choices choices(data, size);
  const std::string file = Builder(choices).build();
  bool is_accepted = false;
  fuzz::expect_error_at_most([&] {
    const auto model = open_gguf({std::make_shared<MemorySource>("fuzz.gguf", file)});
    for (const std::string& name : model->names()) {
      const WeightSourcePtr weight = model->find(name);
      std::vector<std::byte> rows(
          static_cast<size_t>(weight->n_rows() * row_bytes(weight->dtype(), weight->n_cols())));
      weight->read_rows(0, weight->n_rows(), rows);
    }
    is_accepted = true;
  });
  if (size == 0 && !is_accepted) std::abort();  // without a choice nothing is wrong
  return 0;
}
