// Small model files made in memory, right unless a test makes them wrong, and the check that a hostile one is
// refused as it should be: with a message, soon, and without taking memory.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "format/byte_source.h"
#include "format/checkpoint.h"
#include "support/temporary_folder.h"

namespace chaski::testing {

/// Bytes on the heap now, and the most there were since `reset_heap_peak`.
size_t heap_now();
size_t heap_peak();
void reset_heap_peak();
/// Lets the `n`th allocation from now fail, with std::bad_alloc; but none that a JSON tree makes while it is
/// destroyed: the JSON library asks for memory there, and would end the program.
void fail_allocation(size_t n);
/// Whether it did; none will any more.
bool allocation_failed();

/// Runs `work`, which must throw Error (no internal one) whose text has `part`, within 2 s of processor
/// time, since other work may share the machine, and 64 MiB.
void expect_refused(const std::string& what, const std::function<void()>& work, const std::string& part);

template <typename T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

/// A safetensors file of this header and data.
std::string safetensors_file(const std::string& header, const std::string& data);

/// A Llama model of one layer: hidden 8, ffn 16, 2 heads of 4, 1 key-value head, vocabulary 32, untied.
ModelConfig small_config();
/// Its weights as Hugging Face has them, f32, each number different from every other.
std::vector<float> small_weight(const std::string& name, const Shape& shape);
Json small_hf_config();
/// config.json as given and the weights in model.safetensors.
void write_small_hf_model(const std::filesystem::path& folder, const Json& config);

/// The same with each weight in a shard of its own number modulo two, and the index that says so.
Json write_sharded_model(const std::filesystem::path& folder);

/// A GGUF file piece by piece. Everything that is declared can be made to lie.
struct GgufBuilder {
  struct KeyValue {
    std::string key;
    uint32_t type;
    std::string payload;
  };
  struct Tensor {
    std::string name;
    std::vector<uint64_t> dims;
    uint32_t type = 0;
    std::string data;
    std::optional<uint64_t> offset;
  };
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> n_tensors, n_keys;
  std::vector<KeyValue> keys;
  std::vector<Tensor> tensors;

  void set(const std::string& key, uint32_t type, const std::string& payload);
  void set_u32(const std::string& key, uint32_t value) { set(key, 4, raw(value)); }
  void set_f32(const std::string& key, float value) { set(key, 6, raw(value)); }
  void set_string(const std::string& key, const std::string& value);
  void set_strings(const std::string& key, const std::vector<std::string>& values);
  void erase(const std::string& key);
  Tensor& tensor(const std::string& name);
  std::string build() const;
};

std::string gguf_string(const std::string& text);
/// The small model as GGUF, q and k in GGUF's order of rows.
GgufBuilder small_gguf();
/// The same in parts: the first holds the keys and, as some tools write it, no tensors.
inline constexpr size_t kSmallParts = 3;
std::vector<GgufBuilder> small_gguf_parts();
void set_split_keys(GgufBuilder& part, size_t number, size_t n_parts, size_t n_tensors);
/// "m-00001-of-00003.gguf" for part 0.
std::string gguf_part_name(size_t i, size_t n_parts = kSmallParts);
void write_gguf_parts(const std::filesystem::path& folder, const std::vector<GgufBuilder>& parts);
std::shared_ptr<const Checkpoint> open_gguf_bytes(const std::string& bytes);

using tests::TemporaryFolder;

/// All rows of a weight as f32.
std::vector<float> values_of(const WeightSource& weight);

}  // namespace chaski::testing
