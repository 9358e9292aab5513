// See op_support.h.
#include "op_support.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "op_math.h"

namespace ascend_emulator {
namespace {

// First bit and the one after the last of what the view spans.
std::pair<int64_t, int64_t> span_of(const View& view) {
  int64_t last = view.offset;
  for (size_t i = 0; i < view.dims.size(); ++i) last += (view.dims[i] - 1) * view.strides[i];
  const int64_t bits = dtype_bits(view.dtype);
  const int64_t start = static_cast<int64_t>(reinterpret_cast<intptr_t>(view.storage)) * 8;
  return {start + view.offset * bits, start + (last + 1) * bits};
}

bool overlap(const View& a, const View& b) {
  if (a.numel() == 0 || b.numel() == 0) return false;
  const auto [a_first, a_end] = span_of(a);
  const auto [b_first, b_end] = span_of(b);
  return a_first < b_end && b_first < a_end;
}

uint64_t rounded_bytes(const View& view) {
  const int64_t bytes = (view.numel() * dtype_bits(view.dtype) + 7) / 8;
  return static_cast<uint64_t>((bytes + 511) / 512 * 512);
}

double number_at(DataType dtype, const std::byte* at) {
  const auto as = [at](auto value) {
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  switch (dtype) {
    case DataType::kFloat:
      return static_cast<double>(as(0.0F));
    case DataType::kFloat16:
      return static_cast<double>(half_to_float(as(uint16_t{0})));
    case DataType::kBFloat16:
      return static_cast<double>(bfloat16_to_float(as(uint16_t{0})));
    case DataType::kDouble:
      return as(0.0);
    case DataType::kInt8:
      return as(int8_t{0});
    case DataType::kUint8:
    case DataType::kBool:
      return as(uint8_t{0});
    case DataType::kInt16:
      return as(int16_t{0});
    case DataType::kInt32:
      return as(int32_t{0});
    case DataType::kInt64:
      return static_cast<double>(as(int64_t{0}));
    default:
      throw OpError(kNnInner, "a number of a dtype without whole bytes");
  }
}

// A float that no integer of this width can hold becomes 0 here, where C++ has no answer.
template <class Integer>
Integer whole(double value) {
  const double limit = std::ldexp(1.0, static_cast<int>(sizeof(Integer)) * 8);
  return std::abs(value) < limit / 2 ? static_cast<Integer>(value) : Integer{0};
}

void set_number_at(DataType dtype, std::byte* at, double value) {
  const auto put = [at](auto converted) { std::memcpy(at, &converted, sizeof converted); };
  switch (dtype) {
    case DataType::kFloat:
      return put(static_cast<float>(value));
    case DataType::kFloat16:
      return put(float_to_half(static_cast<float>(value)));
    case DataType::kBFloat16:
      return put(float_to_bfloat16(static_cast<float>(value)));
    case DataType::kDouble:
      return put(value);
    case DataType::kInt8:
      return put(whole<int8_t>(value));
    case DataType::kUint8:
      return put(static_cast<uint8_t>(whole<int16_t>(value)));
    case DataType::kBool:
      return put(static_cast<uint8_t>(value != 0));
    case DataType::kInt16:
      return put(whole<int16_t>(value));
    case DataType::kInt32:
      return put(whole<int32_t>(value));
    case DataType::kInt64:
      return put(whole<int64_t>(value));
    default:
      throw OpError(kNnInner, "a number of a dtype without whole bytes");
  }
}

// Elements that follow the `first`-th at one step: to the end of its row, or of the whole where all is dense.
struct Run {
  int64_t count = 0, step = 1;
};

Run run_from(const View& view, int64_t first) {
  if (view.contiguous()) return {view.numel() - first, 1};
  const int64_t width = view.dims.back();
  return {width - first % width, view.strides.back()};
}

}  // namespace

bool contains(Dtypes list, DataType dtype) {
  return std::find(list.begin(), list.end(), dtype) != list.end();
}

std::string describe(const Dims& dims) {
  std::string all = "[";
  for (const int64_t dim : dims) all += text(all.size() > 1 ? ", " : "", dim);
  return all + "]";
}

int64_t element_bytes(DataType dtype) { return dtype_bits(dtype) / 8; }

int64_t product(const Dims& dims, int64_t first, int64_t last) {
  if (last < 0) last = static_cast<int64_t>(dims.size());
  int64_t all = 1;
  for (int64_t i = first; i < last; ++i) all *= dims[static_cast<size_t>(i)];
  return all;
}

void Call::fail(Status status, const std::string& what) const { throw OpError(status, what); }

void Call::check(const View& view, const char* argument, Dtypes allowed) const {
  if (!contains(allowed, view.dtype)) {
    std::string expected;
    for (const DataType dtype : allowed) expected += text(expected.empty() ? "" : ", ", dtype_name(dtype));
    fail(kNnInvalidParam, text(argument, " is ", view.describe(), "; expected one of ", expected));
  }
  valid(view.format == Format::kNd, argument, " is ", view.describe(), "; expected format ND");
  valid(view.rank() <= 8, argument, " is ", view.describe(), "; expected at most 8 dimensions");
}

View Call::in(const aclTensor* tensor, const char* argument, Dtypes allowed) {
  return in(view_of(tensor, argument), argument, allowed);
}

View Call::in(const View& view, const char* argument, Dtypes allowed) {
  check(view, argument, allowed);
  plan_.inputs.push_back(view);
  read_.emplace_back(argument, view);
  return view;
}

View Call::out(const aclTensor* tensor, const char* argument, Dtypes allowed) {
  const View& view = view_of(tensor, argument);
  check(view, argument, allowed);
  plan_.outputs.push_back(view);
  written_.emplace_back(argument, view);
  return view;
}

View Call::in_out(const aclTensor* tensor, const char* argument, Dtypes allowed) {
  const View view = out(tensor, argument, allowed);
  plan_.inputs.push_back(view);
  return view;
}

void Call::same_dtype(const View& view, const char* argument, DataType expected) const {
  valid(view.dtype == expected, argument, " is ", view.describe(), "; expected ", dtype_name(expected));
}

void Call::same_dims(const View& view, const char* argument, const Dims& expected, Status status) const {
  if (view.dims != expected)
    fail(status, text(argument, " is ", view.describe(), "; expected ", ascend_emulator::describe(expected)));
}

void Call::must_be_contiguous(const View& view, const char* argument) const {
  valid(view.contiguous(), argument, " is ", view.describe(), "; expected a contiguous tensor");
}

void Call::copied_unless_contiguous(const View& view) {
  if (view.contiguous()) return;
  ++plan_.hidden_copies;
  plan_.workspace += rounded_bytes(view);
}

Plan Call::done(std::function<void()> run) {
  bool is_empty = true;
  for (size_t i = 0; i < written_.size(); ++i) {
    const auto& [argument, view] = written_[i];
    is_empty = is_empty && view.numel() == 0;
    plan_.workspace += rounded_bytes(view);
    for (const auto& [other, operand] : read_) {
      valid(!overlap(view, operand), argument, " overlaps ", other, ", which nothing promises to be safe");
    }
    for (size_t j = i + 1; j < written_.size(); ++j) {
      valid(!overlap(view, written_[j].second), argument, " overlaps ", written_[j].first,
            ", another output");
    }
  }
  if (is_empty && !written_.empty()) {  // nothing is launched
    plan_.workspace = 0;
    plan_.hidden_copies = 0;
    run = [] {};
  }
  plan_.run = std::move(run);
  return std::move(plan_);
}

int64_t dimension(const Call& call, int64_t dim, int64_t rank) {
  call.valid(dim >= -rank && dim < rank, "dim is ", dim, "; expected one of [", -rank, ", ", rank, ")");
  return dim < 0 ? dim + rank : dim;
}

Dims broadcast_dims(const Call& call, const View& a, const View& b) {
  Dims all(static_cast<size_t>(std::max(a.rank(), b.rank())), 1);
  for (const View* view : {&a, &b}) {
    const size_t shift = all.size() - view->dims.size();
    for (size_t i = 0; i < view->dims.size(); ++i) {
      int64_t& dim = all[shift + i];
      call.valid(dim == 1 || view->dims[i] == 1 || dim == view->dims[i], a.describe(), " and ", b.describe(),
                 " cannot be broadcast");
      if (dim == 1) dim = view->dims[i];
    }
  }
  return all;
}

int64_t element_offset(const View& view, int64_t index) {
  int64_t offset = 0;
  for (size_t i = view.dims.size(); i-- > 0;) {
    offset += index % view.dims[i] * view.strides[i];
    index /= view.dims[i];
  }
  return offset;
}

View broadcast_to(const View& view, const Dims& dims) {
  View wide = view;
  wide.dims = dims;
  wide.strides.assign(dims.size(), 0);
  const size_t shift = dims.size() - view.dims.size();
  for (size_t i = 0; i < view.dims.size(); ++i) {
    if (view.dims[i] != 1) wide.strides[shift + i] = view.strides[i];
  }
  return wide;
}

const std::byte* element_at(const View& view, int64_t index) { return writable_element_at(view, index); }

std::byte* writable_element_at(const View& view, int64_t index) {
  return view.data<std::byte>() + element_offset(view, index) * element_bytes(view.dtype);
}

std::vector<float> load_floats(const View& view) {
  std::vector<float> values(static_cast<size_t>(view.numel()));
  load_floats(view, 0, view.numel(), values.data());
  return values;
}

void load_floats(const View& view, int64_t first, int64_t count, float* to) {
  const int64_t bytes = element_bytes(view.dtype);
  while (count > 0) {
    const Run run = run_from(view, first);
    const int64_t n = std::min(count, run.count);
    const std::byte* at = element_at(view, first);
    if (run.step == 1) load_row(view.dtype, at, n, to);
    for (int64_t i = 0; run.step != 1 && i < n; ++i)
      load_row(view.dtype, at + i * run.step * bytes, 1, to + i);
    first += n, count -= n, to += n;
  }
}

void store_floats(const View& view, int64_t first, int64_t count, const float* from) {
  const int64_t bytes = element_bytes(view.dtype);
  while (count > 0) {
    const Run run = run_from(view, first);
    const int64_t n = std::min(count, run.count);
    std::byte* at = writable_element_at(view, first);
    if (run.step == 1) store_row(view.dtype, from, n, at);
    for (int64_t i = 0; run.step != 1 && i < n; ++i)
      store_row(view.dtype, from + i, 1, at + i * run.step * bytes);
    first += n, count -= n, from += n;
  }
}

double load_number(const View& view, int64_t index) { return number_at(view.dtype, element_at(view, index)); }

void store_number(const View& view, int64_t index, double value) {
  set_number_at(view.dtype, writable_element_at(view, index), value);
}

std::vector<int64_t> load_indices(const View& view) {
  std::vector<int64_t> values(static_cast<size_t>(view.numel()));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<int64_t>(load_number(view, static_cast<int64_t>(i)));
  return values;
}

void copy_elements(const View& from, int64_t first, const View& to, int64_t to_first, int64_t count) {
  const int64_t bytes = element_bytes(from.dtype);
  while (count > 0) {
    const Run source = run_from(from, first), target = run_from(to, to_first);
    const int64_t n = std::min({count, source.count, target.count});
    const std::byte* at = element_at(from, first);
    std::byte* into = writable_element_at(to, to_first);
    if (source.step == 1 && target.step == 1) {
      std::memcpy(into, at, static_cast<size_t>(n * bytes));
    } else {
      for (int64_t i = 0; i < n; ++i) {
        std::memcpy(into + i * target.step * bytes, at + i * source.step * bytes, static_cast<size_t>(bytes));
      }
    }
    first += n, to_first += n, count -= n;
  }
}

void index_in_range(const char* argument, int64_t position, int64_t index, int64_t size) {
  if (index >= 0 && index < size) return;
  throw OpError(kAicoreException,
                text(argument, "[", position, "] is ", index, "; expected 0 to ", size - 1));
}

}  // namespace ascend_emulator
