#include "tensor/quantize.h"

#include <array>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/x86_features.h"

namespace chaski {

using RowCodecs = std::array<RowCodec, kDTypeCount>;
extern const RowCodecs kScalarCodecs;  // codecs_*.cpp
#if defined(__x86_64__)
extern const RowCodecs kAvx2Codecs;
extern const RowCodecs kAvx512Codecs;
#endif

namespace {

/// Fastest first.
std::vector<const RowCodecs*> detect() {
  std::vector<const RowCodecs*> here;
#if defined(__x86_64__)
  if (has_avx512()) here.push_back(&kAvx512Codecs);
  if (has_avx2()) here.push_back(&kAvx2Codecs);
#endif
  here.push_back(&kScalarCodecs);
  return here;
}

}  // namespace

RowCodec row_codec(DType dtype, std::string_view isa) {
  static const std::vector<const RowCodecs*> here = detect();
  std::string known;
  for (const RowCodecs* codecs : here) {
    const RowCodec& codec = (*codecs)[static_cast<size_t>(dtype)];
    if (codec.quantize_row == nullptr) {
      throw Error(ErrorCode::kUnsupported, "quantize", fmt::format("no rows of {}", name_of(dtype)));
    }
    if (isa.empty() || codec.isa == isa) return codec;
    known += (known.empty() ? "" : ", ") + std::string(codec.isa);
  }
  throw Error(ErrorCode::kUnsupported, "quantize",
              fmt::format("no code path '{}' on this processor; it can run {}", printable(isa), known));
}

}  // namespace chaski
