// What the operators' plans have in common: a call under construction with its checks, and strided views read
// and written element by element. Arithmetic on rows: op_math.h.
#pragma once

#include <initializer_list>
#include <utility>

#include "core.h"

namespace ascend_emulator {

using Dtypes = std::initializer_list<DataType>;
using Dims = std::vector<int64_t>;

inline constexpr Dtypes kHalves = {DataType::kFloat16, DataType::kBFloat16};
inline constexpr Dtypes kFloats = {DataType::kFloat16, DataType::kBFloat16, DataType::kFloat};
inline constexpr Dtypes kIndices = {DataType::kInt32, DataType::kInt64};
inline constexpr Dtypes kAnything = {
    DataType::kFloat, DataType::kFloat16, DataType::kBFloat16, DataType::kInt8, DataType::kUint8,
    DataType::kInt16, DataType::kInt32,   DataType::kInt64,    DataType::kBool, DataType::kDouble};

bool contains(Dtypes list, DataType dtype);
std::string describe(const Dims& dims);  ///< "[2, 64]"
int64_t element_bytes(DataType dtype);   ///< of a dtype of whole bytes
int64_t product(const Dims& dims, int64_t first = 0,
                int64_t last = -1);  ///< of dims[first, last); −1: to the end

/// A first phase while its arguments are read: collects what goes into the Plan and throws OpError with the
/// status that CANN's documents give for the refusal.
class Call {
 public:
  /// The operand's view. Throws 161001 if null; 161002 unless its dtype is in `allowed`, its format ND, its
  /// rank ≤ 8.
  View in(const aclTensor* tensor, const char* argument, Dtypes allowed);
  View in(const View& view, const char* argument, Dtypes allowed);  ///< of a tensor list
  View out(const aclTensor* tensor, const char* argument, Dtypes allowed);
  View in_out(const aclTensor* tensor, const char* argument, Dtypes allowed);

  /// 161002 unless `holds`: the dtypes, formats and shapes that the interface itself checks.
  template <class... Parts>
  void valid(bool holds, const Parts&... parts) const {
    if (!holds) fail(kNnInvalidParam, text(parts...));
  }
  /// 561002 unless `holds`: what only the tiling finds.
  template <class... Parts>
  void tiling(bool holds, const Parts&... parts) const {
    if (!holds) fail(kNnTiling, text(parts...));
  }
  void same_dtype(const View& view, const char* argument, DataType expected) const;
  void same_dims(const View& view, const char* argument, const Dims& expected,
                 Status status = kNnInvalidParam) const;
  void must_be_contiguous(const View& view, const char* argument) const;
  /// What the operator would first copy into (or, for an output, out of) a dense tensor.
  void copied_unless_contiguous(const View& view);
  void count_copies(int copies) { plan_.hidden_copies += copies; }
  void refuses_repeatable() { plan_.refuses_repeatable = true; }
  /// Runs on the AI core for these dtypes only.
  void ai_core_only_for(Dtypes list, DataType dtype) { plan_.is_ai_cpu |= !contains(list, dtype); }

  /// The Plan. Throws 161002 where an output overlaps another operand.
  Plan done(std::function<void()> run);

  [[noreturn]] void fail(Status status, const std::string& what) const;

 private:
  void check(const View& view, const char* argument, Dtypes allowed) const;

  Plan plan_;
  std::vector<std::pair<std::string, View>> read_, written_;  // by argument
};

/// `dim` counted from the front. 161002 if it is not in [−rank, rank).
int64_t dimension(const Call& call, int64_t dim, int64_t rank);
/// The broadcast of two shapes; 161002 where there is none.
Dims broadcast_dims(const Call& call, const View& a, const View& b);

/// Elements between the view's first and the `index`-th in row-major order.
int64_t element_offset(const View& view, int64_t index);
/// The view with dims and strides as if repeated to `dims` (strides 0 where it has 1).
View broadcast_to(const View& view, const Dims& dims);
/// Where the `index`-th element lies. Only in Plan::run.
const std::byte* element_at(const View& view, int64_t index);
std::byte* writable_element_at(const View& view, int64_t index);

/// All elements of a view of f32, f16 or bf16, row-major.
std::vector<float> load_floats(const View& view);
/// The same to where the caller says: `count` elements from the `first`-th.
void load_floats(const View& view, int64_t first, int64_t count, float* to);
void store_floats(const View& view, int64_t first, int64_t count, const float* from);
/// One element of any whole-byte dtype, as a number (64-bit integers beyond 2^53 lose their end).
double load_number(const View& view, int64_t index);
void store_number(const View& view, int64_t index, double value);
/// All elements of a view of i32 or i64.
std::vector<int64_t> load_indices(const View& view);
/// Copies elements as they are: `count` from the `first`-th of `from` to the `to_first`-th of `to`, same
/// dtype.
void copy_elements(const View& from, int64_t first, const View& to, int64_t to_first, int64_t count);

/// 507015 unless 0 ≤ index < size: what CANN does not check and then reads or writes
/// anywhere.
void index_in_range(const char* argument, int64_t position, int64_t index, int64_t size);

}  // namespace ascend_emulator
