// The formats for x86-64 processors with AVX2.
#include "tensor/row_codecs.h"

#if defined(__x86_64__)
namespace chaski {
extern const RowCodecs kAvx2Codecs;
constinit const RowCodecs kAvx2Codecs = row_codecs("avx2");
}  // namespace chaski
#endif
