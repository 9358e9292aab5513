#include "format/safetensors_writer.h"

#include "base/checked.h"
#include "base/error.h"
#include "base/json.h"

namespace chaski {
namespace {

constexpr size_t kHeaderUnit = 8;

std::string_view type_of(const SafetensorsPlan& tensor) {
  if (tensor.dtype == DType::kF32) return "F32";
  if (tensor.dtype == DType::kF16) return "F16";
  if (tensor.dtype == DType::kBF16) return "BF16";
  throw Error(ErrorCode::kUnsupported, "write safetensors",
              fmt::format("tensor {}: expected f32, f16 or bf16, found {}", printable(tensor.name),
                          name_of(tensor.dtype)));
}

/// Where the tensor ends that begins at `begin` of the data.
uint64_t end_of(const SafetensorsPlan& tensor, uint64_t begin) {
  const auto bytes = checked_mul(tensor.shape.n_rows(), row_bytes(tensor.dtype, tensor.shape.last()));
  const auto end = bytes && *bytes >= 0 ? checked_add(begin, static_cast<uint64_t>(*bytes)) : std::nullopt;
  // Half of the range is left for the header.
  if (end && *end <= static_cast<uint64_t>(INT64_MAX)) return *end;
  throw Error(ErrorCode::kCorrupt, "write safetensors",
              fmt::format("tensor {}: the size in bytes of {} is out of range", printable(tensor.name),
                          tensor.shape.to_string()));
}

/// `"name":value`, with a comma before it where it is not the first.
void add_member(std::string& object, const std::string& name, const std::string& value) {
  if (object.size() > 1) object += ',';
  object.append(to_json_text(Json(name))).append(":").append(value);
}

}  // namespace

SafetensorsLayout lay_out_safetensors(const std::map<std::string, std::string>& metadata,
                                      std::span<const SafetensorsPlan> tensors) {
  SafetensorsLayout layout;
  std::string json = "{";
  if (!metadata.empty()) add_member(json, "__metadata__", to_json_text(Json(metadata)));
  uint64_t at = 0;
  for (const SafetensorsPlan& tensor : tensors) {
    const std::string_view type = type_of(tensor);
    const uint64_t end = end_of(tensor, at);
    std::vector<int64_t> dims;
    for (int axis = 0; axis < tensor.shape.rank(); ++axis) dims.push_back(tensor.shape[axis]);
    add_member(json, tensor.name,
               fmt::format(R"({{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", type,
                           fmt::join(dims, ","), at, end));
    layout.offsets.push_back(at);
    at = end;
  }
  json += '}';
  json.resize((json.size() + kHeaderUnit - 1) / kHeaderUnit * kHeaderUnit, ' ');
  const uint64_t length = json.size();
  layout.header.assign(reinterpret_cast<const char*>(&length), sizeof length).append(json);
  for (uint64_t& offset : layout.offsets) offset += layout.header.size();
  layout.file_bytes = layout.header.size() + at;
  return layout;
}

}  // namespace chaski
