// dequantize_blocks FORMAT [quantize [ISA]]: blocks on stdin to f32 numbers on stdout, or numbers to blocks,
// by the scalar definitions or the code for an instruction set. The other side is formats_parity.py.
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/quantize.h"

int main(int argc, char** argv) {
  const auto dtype = chaski::dtype_named(argc > 1 ? argv[1] : "");
  if (!dtype || chaski::format_of(*dtype).dequantize_row == nullptr) {
    std::fputs("usage: dequantize_blocks FORMAT [quantize] <bytes >bytes\n", stderr);
    return 2;
  }
  const chaski::BlockFormat& format = chaski::format_of(*dtype);
  const bool is_quantize = argc > 2 && std::string(argv[2]) == "quantize";
  const std::string in((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
  const size_t f32_bytes = static_cast<size_t>(format.block_elements) * sizeof(float);
  const auto block_bytes = static_cast<size_t>(format.block_bytes);
  const size_t n_blocks = in.size() / (is_quantize ? f32_bytes : block_bytes);
  const auto n = static_cast<int64_t>(n_blocks) * format.block_elements;
  std::string out(n_blocks * (is_quantize ? block_bytes : f32_bytes), '\0');
  if (is_quantize) {
    const chaski::RowCodec codec = chaski::row_codec(*dtype, argc > 3 ? argv[3] : "scalar");
    codec.quantize_row(reinterpret_cast<const float*>(in.data()), reinterpret_cast<std::byte*>(out.data()),
                       n);
  } else {
    format.dequantize_row(reinterpret_cast<const std::byte*>(in.data()), reinterpret_cast<float*>(out.data()),
                          n);
  }
  std::cout.write(out.data(), static_cast<std::streamsize>(out.size()));
  return std::cout ? 0 : 1;
}
