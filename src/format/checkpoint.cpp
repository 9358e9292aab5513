// Which reader opens a path, and the check that a weight has the shape asked for.
#include "format/checkpoint.h"

#include "base/error.h"
#include "format/byte_source.h"
#include "format/gguf_checkpoint.h"
#include "format/synthetic.h"

namespace chaski {

std::shared_ptr<const Checkpoint> Checkpoint::open(const std::string& path) {
  constexpr std::string_view kSynthetic = "synthetic:";
  if (path.substr(0, kSynthetic.size()) == kSynthetic) {
    return open_synthetic(std::string_view(path).substr(kSynthetic.size()));
  }
  return open_gguf(std::make_shared<FileSource>(path));
}

WeightSourcePtr Checkpoint::require(std::string_view name, const Shape& shape) const {
  WeightSourcePtr weight = find(name);
  if (weight == nullptr) {
    throw Error(
        ErrorCode::kCorrupt, "open model",
        fmt::format("{}: weight {} is missing, expected with shape {}", path_, name, shape.to_string()));
  }
  if (weight->shape() != shape) {
    throw Error(ErrorCode::kCorrupt, "open model",
                fmt::format("{}: weight {}: expected shape {} from the config, found {}", path_, name,
                            shape.to_string(), weight->shape().to_string()));
  }
  return weight;
}

}  // namespace chaski
