#include "backend/ascend/ascend_weights.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/error.h"

namespace chaski::ascend {
namespace {

constexpr int64_t kPieceElements = int64_t{1} << 18;  // converted at once: a MiB of f32
constexpr size_t kMostAdjoined = 3;                   // weights that adjoin() may still ask for

constexpr int64_t kAlignment = 32;  // bytes, of a tensor's first number
constexpr double kLargestF16 = 65504;

[[noreturn]] void fail_too_large(const WeightSource& source, int64_t row, double value) {
  throw Error(ErrorCode::kUnsupported, "upload weight",
              fmt::format("{}: row {} holds {:.6g}; f16 ends at {}", source.name(), row, value, kLargestF16),
              "--activations bf16 has the range for it");
}

/// Rows of a quantised weight apart: codes as the device takes them, and scales.
class Splitter {
 public:
  Splitter(const WeightSource& source, WeightForm form, DType activations)
      : source_(source), form_(form), activations_(activations) {}

  void split(const std::byte* rows, int64_t first_row, int64_t n_rows) {
    const int64_t n_blocks = source_.n_cols() / kWeightGroup;
    const int64_t code_bytes = form_ == WeightForm::kInt8 ? kWeightGroup : kWeightGroup / 2;
    codes.resize(static_cast<size_t>(n_rows * n_blocks * code_bytes));
    scales.resize(static_cast<size_t>(n_rows * n_blocks));
    for (int64_t i = 0; i < n_rows * n_blocks; ++i) {
      const std::byte* block = rows + i * (code_bytes + 2);
      std::byte* to = codes.data() + i * code_bytes;
      const int largest =
          form_ == WeightForm::kInt8 ? copy_bytes(block + 2, to) : pack_nibbles(block + 2, to);
      uint16_t scale;
      std::memcpy(&scale, block, sizeof scale);
      const float value = f16_to_f32(scale);
      if (activations_ == DType::kF16) {
        // The device multiplies code and scale in f16 before it multiplies with activations.
        if (std::isfinite(value) && std::fabs(double{value}) * largest > kLargestF16)
          fail_too_large(source_, first_row + i / n_blocks, double{value} * largest);
        scales[static_cast<size_t>(i)] = scale;
      } else {
        scales[static_cast<size_t>(i)] = f32_to_bf16(value);
      }
    }
  }

  std::vector<std::byte> codes;
  std::vector<uint16_t> scales;

 private:
  /// Copies a group; the largest magnitude in it.
  static int copy_bytes(const std::byte* from, std::byte* to) {
    std::memcpy(to, from, kWeightGroup);
    int largest = 0;
    for (int64_t i = 0; i < kWeightGroup; ++i)
      largest = std::max(largest, std::abs(static_cast<int>(static_cast<int8_t>(from[i]))));
    return largest;
  }
  /// From low halves first, then high ones, offset by 8, to neighbours in two's complement.
  static int pack_nibbles(const std::byte* from, std::byte* to) {
    const auto code = [from](int64_t i) {
      const int byte = static_cast<int>(from[i % 16]);
      return i < 16 ? byte & 15 : byte >> 4;
    };
    int largest = 0;
    for (int64_t i = 0; i < kWeightGroup; i += 2) {
      largest = std::max({largest, std::abs(code(i) - 8), std::abs(code(i + 1) - 8)});
      to[i / 2] = static_cast<std::byte>((code(i) ^ 8) | (code(i + 1) ^ 8) << 4);
    }
    return largest;
  }

  const WeightSource& source_;
  WeightForm form_;
  DType activations_;
};

/// Calls `use(rows, first, count)` with the weight's stored rows, some at a time.
template <class Use>
void for_each_piece(const WeightSource& source, Use&& use) {
  const int64_t stride = row_bytes(source.dtype(), source.n_cols());
  const int64_t step = std::max<int64_t>(1, kPieceElements / std::max<int64_t>(1, source.n_cols()));
  std::vector<std::byte> stored;
  for (int64_t first = 0; first < source.n_rows(); first += step) {
    const int64_t count = std::min(step, source.n_rows() - first);
    stored.resize(static_cast<size_t>(count * stride));
    source.read_rows(first, count, stored);
    use(stored.data(), first, count);
  }
}

/// Numbers that are not finite as stored are passed on.
void check_range(const WeightSource& source, std::span<const float> values, int64_t first_row) {
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::fabs(value));
  if (largest <= static_cast<float>(kLargestF16)) return;
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i]) && std::fabs(values[i]) > static_cast<float>(kLargestF16))
      fail_too_large(source, first_row + static_cast<int64_t>(i) / source.n_cols(), values[i]);
  }
}

std::string sentence(int64_t n, DType stored, std::string_view what) {
  return fmt::format("{} of {} {} held {}", n == 1 ? "1 weight" : fmt::format("{} weights", n),
                     name_of(stored), n == 1 ? "is" : "are", what);
}

}  // namespace

int64_t DeviceMatrix::data_bytes() const {
  return form == WeightForm::kFloat  ? 2 * n_out * n_in
         : form == WeightForm::kInt8 ? n_out * n_in
                                     : n_out * n_in / 2;
}

DeviceMatrix DeviceMatrix::rows(int64_t first, int64_t count) const {
  CHECK(first >= 0 && count > 0 && first + count <= n_out, "rows {} + {} of {}", first, count, n_out);
  DeviceMatrix part = *this;
  part.n_out = first;
  const int64_t skipped = part.data_bytes(), skipped_scales = part.scale_bytes();
  part.data = static_cast<std::byte*>(data) + skipped;
  if (scales != nullptr) part.scales = static_cast<std::byte*>(scales) + skipped_scales;
  part.n_out = count;
  return part;
}

void WeightTable::configure(DType activations, const QuantisedForms& forms) {
  CHECK(weights_.empty(), "{} weights are held already", weights_.size());
  activations_ = activations;
  forms_ = forms;
}

const WeightTable::Weight& WeightTable::weight(WeightId id) const {
  CHECK(id.index >= 0 && static_cast<size_t>(id.index) < weights_.size(), "weight id {} of {}", id.index,
        weights_.size());
  return weights_[static_cast<size_t>(id.index)];
}
WeightTable::Weight& WeightTable::weight(WeightId id) {
  return const_cast<Weight&>(static_cast<const WeightTable&>(*this).weight(id));
}

WeightForm WeightTable::form_of(const WeightSource& source) const {
  const bool fits =
      source.shape().rank() == 2 && source.n_cols() > kWeightGroup && source.n_cols() <= kMaxQuantisedWidth;
  if (fits && source.dtype() == DType::kQ8_0 && forms_.why_no_int8.empty()) return WeightForm::kInt8;
  if (fits && source.dtype() == DType::kQ4_0 && forms_.why_no_int4.empty()) return WeightForm::kInt4;
  return WeightForm::kFloat;
}

bool WeightTable::is_table(const WeightSource& source) const {
  return source.name() == "model.embed_tokens.weight";
}

WeightId WeightTable::add(WeightSourcePtr source) {
  CHECK(source->dtype() != DType::kI32, "{} holds integers", source->name());
  weights_.push_back({std::move(source), {}, nullptr});
  const WeightId id{static_cast<int32_t>(weights_.size()) - 1};
  waiting_.push_back(id);
  if (waiting_.size() > kMostAdjoined) {
    const WeightId oldest = waiting_.front();
    waiting_.pop_front();
    // The head may be another matrix, so a table that is quantised waits for finish() to be a matrix too.
    if (is_table(this->source(oldest))) {
      numbers(oldest);
    } else {
      upload(std::array{oldest});
    }
  }
  return id;
}

void WeightTable::adjoin(std::span<const WeightId> ids) {
  CHECK(ids.size() <= waiting_.size() &&
            std::equal(ids.begin(), ids.end(), waiting_.end() - static_cast<std::ptrdiff_t>(ids.size())),
        "{} weights to adjoin are not those added last", ids.size());
  waiting_.resize(waiting_.size() - ids.size());
  const WeightSource& first = source(ids[0]);
  const bool is_alike = std::all_of(ids.begin(), ids.end(), [&](WeightId id) {
    const DeviceMatrix one = layout_of(std::array{id});  // so that the next begins at an aligned address
    return one.form == form_of(first) && one.n_in == first.n_cols() && one.data_bytes() % kAlignment == 0 &&
           one.scale_bytes() % kAlignment == 0;
  });
  if (is_alike) return upload(ids);
  for (const WeightId id : ids) upload(std::array{id});
}

std::vector<std::string> WeightTable::finish() {
  const bool has_head = std::any_of(weights_.begin(), weights_.end(),
                                    [](const Weight& w) { return w.source->name() == "lm_head.weight"; });
  for (size_t i = 0; i < weights_.size(); ++i) {
    const WeightId id{static_cast<int32_t>(i)};
    const bool is_embedding = is_table(source(id));
    if (is_embedding) numbers(id);
    if (!is_embedding || !has_head) matrix(id);
  }
  std::vector<std::string> notes;
  for (const auto& [what, count] : conversions_) notes.push_back(sentence(count, what.first, what.second));
  conversions_.clear();
  n_finished_ = weights_.size();
  return notes;
}

DeviceMatrix WeightTable::matrix(WeightId id) {
  if (!weight(id).matrix) {
    std::erase(waiting_, id);
    upload(std::array{id});
  }
  return *weight(id).matrix;
}

std::optional<DeviceMatrix> WeightTable::joined(std::span<const WeightId> ids) {
  DeviceMatrix all = matrix(ids[0]);
  for (const WeightId id : ids.subspan(1)) {
    const DeviceMatrix part = matrix(id);
    const auto* end = static_cast<const std::byte*>(all.data) + all.data_bytes();
    const auto* scales_end = static_cast<const std::byte*>(all.scales) + all.scale_bytes();
    const bool is_next = part.form == all.form && part.n_in == all.n_in && part.data == end &&
                         (part.scales == nullptr || part.scales == scales_end);
    if (!is_next) return std::nullopt;
    all.n_out += part.n_out;
  }
  return all;
}

void* WeightTable::numbers(WeightId id) {
  if (form_of(source(id)) == WeightForm::kFloat) return matrix(id).data;
  Weight& w = weight(id);
  if (w.numbers == nullptr) {
    DeviceMatrix all{WeightForm::kFloat, nullptr, nullptr, w.source->n_rows(), w.source->n_cols()};
    all.data = allocate(all.data_bytes(), *w.source).data();
    upload_rows(*w.source, all);
    w.numbers = all.data;
    ++conversions_[{w.source->dtype(), fmt::format("as {} for Embedding", name_of(activations_))}];
  }
  return w.numbers;
}

Buffer& WeightTable::allocate(int64_t bytes, const WeightSource& for_whom) {
  buffers_.push_back(memory_.allocate(static_cast<size_t>(bytes), for_whom.name()));
  bytes_ += bytes;
  return buffers_.back();
}

DeviceMatrix WeightTable::layout_of(std::span<const WeightId> ids) const {
  DeviceMatrix all{form_of(source(ids[0])), nullptr, nullptr, 0, source(ids[0]).n_cols()};
  for (const WeightId id : ids) all.n_out += source(id).n_rows();
  return all;
}

void WeightTable::upload(std::span<const WeightId> ids) {
  DeviceMatrix all = layout_of(ids);
  all.data = allocate(all.data_bytes(), source(ids[0])).data();
  if (all.scale_bytes() > 0) all.scales = allocate(all.scale_bytes(), source(ids[0])).data();
  int64_t first = 0;
  for (const WeightId id : ids) {
    Weight& w = weight(id);
    const int64_t n_rows = w.source->n_rows();
    const DeviceMatrix part = all.rows(first, n_rows);
    upload_rows(*w.source, part);
    w.matrix = part;
    first += n_rows;
    note_conversion(*w.source, part.form);
  }
}

void WeightTable::note_conversion(const WeightSource& source, WeightForm form) {
  const DType stored = source.dtype();
  if (form != WeightForm::kFloat) {
    if (activations_ == DType::kBF16) ++conversions_[{stored, "with their scales rounded to bf16"}];
    return;
  }
  if (stored == activations_) return;
  const std::string why = stored == DType::kQ8_0   ? forms_.why_no_int8
                          : stored == DType::kQ4_0 ? forms_.why_no_int4
                                                   : "";
  ++conversions_[{stored, fmt::format("as {}{}{}", name_of(activations_), why.empty() ? "" : ": ", why)}];
}

void WeightTable::upload_rows(const WeightSource& source, const DeviceMatrix& to) {
  if (to.form != WeightForm::kFloat) {
    Splitter splitter(source, to.form, activations_);
    for_each_piece(source, [&](const std::byte* rows, int64_t first, int64_t count) {
      splitter.split(rows, first, count);
      const DeviceMatrix part = to.rows(first, count);
      memory_.copy_in(part.data, splitter.codes.data(), splitter.codes.size());
      memory_.copy_in(part.scales, splitter.scales.data(), splitter.scales.size() * 2);
    });
    return;
  }
  if (source.dtype() == activations_) {
    for_each_piece(source, [&](const std::byte* rows, int64_t first, int64_t count) {
      memory_.copy_in(to.rows(first, count).data, rows, static_cast<size_t>(2 * count * to.n_in));
    });
    return;
  }
  std::vector<float> values;
  std::vector<std::byte> rounded;
  for_each_piece(source, [&](const std::byte* rows, int64_t first, int64_t count) {
    const int64_t n = count * to.n_in;
    values.resize(static_cast<size_t>(n));
    rounded.resize(static_cast<size_t>(2 * n));
    format_of(source.dtype()).dequantize_row(rows, values.data(), n);
    if (activations_ == DType::kF16) check_range(source, values, first);
    format_of(activations_).quantize_row(values.data(), rounded.data(), n);
    memory_.copy_in(to.rows(first, count).data, rounded.data(), rounded.size());
  });
}

HeldWeight WeightTable::held(WeightId id) const {
  const DeviceMatrix layout = layout_of(std::array{id});
  return {layout.data_bytes() + layout.scale_bytes(), name_of(activations_)};
}

int64_t WeightTable::bytes_to_hold(const WeightSource& source) const {
  DeviceMatrix layout{form_of(source), nullptr, nullptr, source.n_rows(), source.n_cols()};
  int64_t bytes = layout.data_bytes() + layout.scale_bytes();
  if (is_table(source) && layout.form != WeightForm::kFloat) bytes += 2 * source.n_rows() * source.n_cols();
  return bytes;
}

}  // namespace chaski::ascend
