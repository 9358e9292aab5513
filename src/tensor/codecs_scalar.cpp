// The formats as every processor runs them: their definition.
#include "tensor/row_codecs.h"

namespace chaski {
extern const RowCodecs kScalarCodecs;
constinit const RowCodecs kScalarCodecs = row_codecs("scalar");
}  // namespace chaski
