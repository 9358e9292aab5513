// What the runtime of the emulator and its operators share: the objects behind aclnn's handles, and Plan,
// which is what an operator's first phase makes. Not here: memory, streams and executors (runtime.h). An
// operator is one definition, in op_*.cpp: `Plan op::NAME::plan(arguments as in aclnn_ops.def) { … }`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "backend/ascend/acl_types.h"

#define EMULATOR_API __attribute__((visibility("default")))

namespace ascend_emulator {

using namespace chaski::acl;

/// The arguments, streamed one after the other.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// Thrown by plan (the first phase returns `status`) and by Plan::run (the stream fails with `status`).
struct EMULATOR_API OpError : std::exception {
  OpError(Status code, std::string what_failed) : status(code), message(std::move(what_failed)) {}
  const char* what() const noexcept override { return message.c_str(); }
  Status status;
  std::string message;
};

EMULATOR_API const char* dtype_name(
    DataType dtype);                          ///< "f32", "f16", "bf16", "i8", "i4", "i32", "i64", "bool", …
EMULATOR_API int dtype_bits(DataType dtype);  ///< 4 for int4; 0 if unknown

/// What a tensor's handle says: a strided view of device memory. Copied into the Plan, so that a handle may
/// go.
struct EMULATOR_API View {
  DataType dtype = DataType::kUndefined;
  Format format = Format::kNd;
  std::vector<int64_t> dims, strides;  ///< strides in elements
  int64_t offset = 0;                  ///< of the first element from `storage`, in elements
  std::vector<int64_t> storage_dims;
  void* storage = nullptr;  ///< address on the device; the host cannot read it

  int64_t rank() const { return static_cast<int64_t>(dims.size()); }
  int64_t numel() const;
  /// Dense, last dimension fastest. Strides of dimensions of size 1 do not count.
  bool contiguous() const;
  /// Dense once the last two dimensions are exchanged: how a matrix [n, k] is passed as [k, n].
  bool transposed() const;
  std::string describe() const;  ///< "f16 [2, 64] strides (64, 1)"

  /// The first element (at `offset`), where the host can read it. Only in Plan::run. For int4 (two to a byte,
  /// lower half first) it is the byte that holds it; offset is then even.
  template <class T>
  T* data() const {
    return reinterpret_cast<T*>(host_bytes());
  }

 private:
  std::byte* host_bytes() const;
};

/// What one call of a first phase has decided.
struct Plan {
  /// Every view that run reads or writes. The runtime checks at the launch and again when it runs that each
  /// lies within one live allocation and is aligned. An in-place operand stands in both.
  std::vector<View> inputs, outputs;
  uint64_t workspace = 16u << 20;   ///< bytes asked for; at least the 16 MiB that kernels of the 910B reserve
  int hidden_copies = 0;            ///< operands that the operator would first make contiguous
  bool is_ai_cpu = false;           ///< would silently run on the AI CPU
  bool refuses_repeatable = false;  ///< its executor cannot be made repeatable
  /// The arithmetic. Called when the stream is synchronised, once per launch or replay, in stream order, on
  /// the synchronising thread; it may use threads of its own. Host values must have been copied into it.
  std::function<void()> run;
};

/// The view behind a handle. Throws 161001 if it is null, 561103 if it was destroyed. `name`: of the
/// argument.
EMULATOR_API const View& view_of(const aclTensor* tensor, std::string_view name);
/// The tensors of a list. Throws as view_of.
EMULATOR_API std::vector<View> views_of(const aclTensorList* list, std::string_view name);
EMULATOR_API double value_of(const aclScalar* scalar, std::string_view name);
EMULATOR_API const std::vector<int64_t>& values_of(const aclIntArray* array, std::string_view name);

/// Throws 161002 with the parts as text unless `holds`.
template <class... Parts>
void require(bool holds, const Parts&... parts) {
  if (!holds) throw OpError(kNnInvalidParam, text(parts...));
}

// op::NAME with its static plan, for each line of the table.
#define ACLNN_DECLARE_kRequired(name, parameters) \
  struct name {                                   \
    static Plan plan parameters;                  \
  };
#define ACLNN_DECLARE_kOptional(name, parameters) ACLNN_DECLARE_kRequired(name, parameters)
#define ACLNN_OP(since, need, name, parameters) ACLNN_DECLARE_##need(name, parameters)
namespace op {
#include "backend/ascend/aclnn_ops.def"
}  // namespace op
#undef ACLNN_OP
#undef ACLNN_DECLARE_kOptional
#undef ACLNN_DECLARE_kRequired

}  // namespace ascend_emulator

// The objects behind the handles. `serial` is 0 once destroyed; the memory is kept for a while so that a
// later use is seen. The runtime looks handles up among the live ones before it reads any member.
struct aclTensor {
  uint64_t serial = 0;
  ascend_emulator::View view;
};
struct aclScalar {
  uint64_t serial = 0;
  chaski::acl::DataType dtype = chaski::acl::DataType::kUndefined;
  double value = 0;
};
struct aclIntArray {
  uint64_t serial = 0;
  std::vector<int64_t> values;
};
struct aclTensorList {
  uint64_t serial = 0;
  std::vector<const aclTensor*> tensors;
};
