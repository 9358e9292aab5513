// The formats for x86-64 processors with AVX-512 F, BW, VL and DQ.
#include "tensor/row_codecs.h"

#if defined(__x86_64__)
namespace chaski {
extern const RowCodecs kAvx512Codecs;
constinit const RowCodecs kAvx512Codecs = row_codecs("avx512");
}  // namespace chaski
#endif
