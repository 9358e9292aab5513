// container_files write FOLDER: all.gguf and all.safetensors with a key or tensor of each kind, by our
// writers; container_files read MODEL: a line `NAME DTYPE SHAPE SHA256` for each weight as stored, by our
// reader. The other side is containers_parity.py.
#include <cstdio>
#include <string>
#include <vector>

#include "base/files.h"
#include "format/checkpoint.h"
#include "format/gguf_writer.h"
#include "format/safetensors_writer.h"

namespace {

using namespace chaski;

/// The file of a layout; byte i of a tensor's data is i modulo 251.
template <typename Layout, typename Plan>
std::string file_of(const Layout& layout, const std::vector<Plan>& plan) {
  std::string file = layout.header;
  file.resize(static_cast<size_t>(layout.file_bytes));
  for (size_t i = 0; i < plan.size(); ++i) {
    const int64_t bytes = plan[i].shape.n_rows() * row_bytes(plan[i].dtype, plan[i].shape.last());
    for (size_t at = 0; at < static_cast<size_t>(bytes); ++at) {
      file[static_cast<size_t>(layout.offsets[i]) + at] = static_cast<char>(at % 251);
    }
  }
  return file;
}

void write(const std::string& folder) {
  GgufMetadata metadata;
  metadata.set_string("general.architecture", "llama");
  metadata.set_uint32("u32", 7);
  metadata.set_uint64("u64", uint64_t{1} << 40);
  metadata.set_int32("i32", -5);
  metadata.set_float32("f32", 1.5f);
  metadata.set_bool("yes", true);
  metadata.set_strings("strings", std::vector<std::string>{"", "甲", "b"});
  metadata.set_int32s("int32s", std::vector<int32_t>{-1, 0, 1});
  metadata.set_float32s("float32s", std::vector<float>{0.5f, -2.0f});
  std::vector<GgufTensorPlan> blocks = {{"vector", DType::kF32, {3}}};
  std::vector<SafetensorsPlan> floats = {{"vector", DType::kF32, {3}}};
  for (const BlockFormat& format : all_formats()) {
    if (format.dtype == DType::kI32) continue;
    const Shape shape{3, 2 * format.block_elements};
    blocks.push_back({std::string(format.name), format.dtype, shape});
    if (!format.is_quantized()) floats.push_back({std::string(format.name), format.dtype, shape});
  }
  write_file_atomic(folder + "/all.gguf", file_of(lay_out_gguf(metadata, blocks), blocks));
  write_file_atomic(folder + "/all.safetensors",
                    file_of(lay_out_safetensors({{"format", "pt"}, {"名", "\n"}}, floats), floats));
}

void read(const std::string& path) {
  const auto model = Checkpoint::open(path);
  for (const std::string& name : model->names()) {
    const WeightSourcePtr weight = model->find(name);
    std::string bytes(static_cast<size_t>(weight->n_rows() * row_bytes(weight->dtype(), weight->n_cols())),
                      '\0');
    weight->read_rows(0, weight->n_rows(), std::as_writable_bytes(std::span(bytes)));
    fmt::print("{} {} {} {}\n", name, name_of(weight->dtype()), weight->shape().to_string(),
               sha256_of(bytes));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc == 3 ? argv[1] : "";
  try {
    if (what == "write") return write(argv[2]), 0;
    if (what == "read") return read(argv[2]), 0;
  } catch (const Error& error) {
    std::fputs(describe(error).c_str(), stderr);
    return 1;
  }
  std::fputs("usage: container_files write|read PATH\n", stderr);
  return 2;
}
