#include "convert/weight_writer.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/error.h"
#include "tensor/finite.h"
#include "tensor/quantize.h"

namespace chaski {
namespace {

/// Bytes read at once: large for the file system, small beside a core's second cache.
constexpr int64_t kPieceBytes = 1 << 20;

/// Above what any format of blocks holds: the largest f16 times the largest sub-scale times the largest code.
/// Far above it the squares that the search for scales sums up overflow, and what comes out is zeros.
constexpr float kLargestInBlocks = 65504.0f * 128 * 128;

/// Rows [first, first + count) of a job.
struct Piece {
  size_t job;
  int64_t first, count;
};

/// What one thread works in.
struct Workspace {
  std::vector<std::byte> stored, out;
  std::vector<float> row;
};

bool has_larger(std::span<const float> row, float limit) {
  int larger = 0;  // counted without a branch, many at a time
  for (const float x : row) larger |= static_cast<int>(std::fabs(x) > limit);
  return larger != 0;
}

class Writer {
 public:
  Writer(std::span<const WeightJob> jobs, ThreadPool& pool, const WriteOptions& options)
      : jobs_(jobs),
        pool_(pool),
        options_(options),
        workspaces_(static_cast<size_t>(pool.n_threads())),
        rows_left_(jobs.size()) {
    for (size_t i = 0; i < jobs.size(); ++i) add_pieces(i);
  }

  void run() {
    pool_.parallel_for(static_cast<int64_t>(pieces_.size()), 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) {
        if (options_.cancel != nullptr) options_.cancel->throw_if_cancelled("write weights");
        // Pieces are taken in order: all before the first bad number are looked at, whatever the threads.
        if (first_bad_.load() < bad_key(pieces_[static_cast<size_t>(i)])) continue;
        write(pieces_[static_cast<size_t>(i)], workspaces_[static_cast<size_t>(worker)]);
        if (worker == 0 && options_.on_progress) options_.on_progress(done_.load(), total_);
      }
    });
    if (first_bad_.load() != kNoneBad) throw_bad();
    if (options_.on_progress) options_.on_progress(total_, total_);
  }

 private:
  static constexpr uint64_t kNoneBad = std::numeric_limits<uint64_t>::max();

  void add_pieces(size_t i) {
    const WeightJob& job = jobs_[i];
    const int64_t stride = row_bytes(job.source->dtype(), job.source->n_cols());
    const int64_t n_rows = job.source->n_rows();
    const int64_t unit = std::max<int64_t>(1, job.interleaved_head_dim);
    CHECK(n_rows % unit == 0, "{}: {} rows in heads of {}", job.source->name(), n_rows, unit);
    total_ += static_cast<uint64_t>(n_rows * stride);
    if (job.file->is_finished(job.part)) {
      done_ += static_cast<uint64_t>(n_rows * stride);
      return;
    }
    rows_left_[i] = n_rows;
    const int64_t step = std::max<int64_t>(1, kPieceBytes / (unit * stride)) * unit;
    for (int64_t first = 0; first < n_rows; first += step) {
      pieces_.push_back({i, first, std::min(step, n_rows - first)});
    }
  }

  /// Orders places of numbers as the jobs are ordered: job, then row.
  static uint64_t bad_key(const Piece& piece, int64_t row_in_piece = 0) {
    return static_cast<uint64_t>(piece.job) << 32 | static_cast<uint64_t>(piece.first + row_in_piece);
  }

  void write(const Piece& piece, Workspace& work) {
    const WeightJob& job = jobs_[piece.job];
    const WeightSource& source = *job.source;
    const int64_t n_cols = source.n_cols();
    const int64_t stride = row_bytes(source.dtype(), n_cols), out_stride = row_bytes(job.dtype, n_cols);
    work.stored.resize(static_cast<size_t>(piece.count * stride));
    source.read_rows(piece.first, piece.count, work.stored);
    if (!options_.allow_nonfinite) note_first_bad(piece, source.dtype(), n_cols, work.stored);
    std::span<const std::byte> out = work.stored;
    if (source.dtype() != job.dtype || job.interleaved_head_dim > 0) {
      work.out.resize(static_cast<size_t>(piece.count * out_stride));
      convert(piece, work);
      out = work.out;
      // A number that is finite as it is stored may be too large for a scale or for f16.
      if (!options_.allow_nonfinite) note_first_bad(piece, job.dtype, n_cols, out);
    }
    job.file->write_at(job.offset + static_cast<uint64_t>(piece.first * out_stride), out);
    done_ += static_cast<uint64_t>(piece.count * stride);
    if (rows_left_[piece.job].fetch_sub(piece.count) == piece.count && first_bad_.load() == kNoneBad) {
      job.file->finish_part(job.part);
    }
  }

  void convert(const Piece& piece, Workspace& work) {
    const WeightJob& job = jobs_[piece.job];
    const DType from = job.source->dtype();
    const int64_t n_cols = job.source->n_cols();
    const int64_t stride = row_bytes(from, n_cols), out_stride = row_bytes(job.dtype, n_cols);
    const int64_t head_dim = job.interleaved_head_dim, half = head_dim / 2;
    const bool is_copy = from == job.dtype;
    const bool has_limit = format_of(job.dtype).is_quantized() && !options_.allow_nonfinite;
    const RowCodec reader = row_codec(from), writer = row_codec(job.dtype);
    work.row.resize(static_cast<size_t>(n_cols));
    for (int64_t row = 0; row < piece.count; ++row) {
      const int64_t in_head = head_dim > 0 ? row % head_dim : 0;
      const int64_t to = head_dim > 0 ? row - in_head + 2 * (in_head % half) + in_head / half : row;
      const std::byte* in = work.stored.data() + row * stride;
      std::byte* out = work.out.data() + to * out_stride;
      if (is_copy) {
        std::memcpy(out, in, static_cast<size_t>(stride));
      } else {
        reader.dequantize_row(in, work.row.data(), n_cols);
        if (has_limit && has_larger(work.row, kLargestInBlocks)) note_bad(piece, row);
        writer.quantize_row(work.row.data(), out, n_cols);
      }
    }
  }

  void note_first_bad(const Piece& piece, DType dtype, int64_t n_cols, std::span<const std::byte> rows) {
    const int64_t stride = row_bytes(dtype, n_cols);
    for (int64_t row = 0; row < piece.count; ++row) {
      const auto bytes = rows.subspan(static_cast<size_t>(row * stride), static_cast<size_t>(stride));
      if (!first_nonfinite(dtype, bytes, n_cols)) continue;
      note_bad(piece, row);
      return;
    }
  }

  void note_bad(const Piece& piece, int64_t row_in_piece) {
    const uint64_t key = bad_key(piece, row_in_piece);
    uint64_t seen = first_bad_.load();
    while (key < seen && !first_bad_.compare_exchange_weak(seen, key)) {
    }
  }

  [[noreturn]] void throw_bad() const {
    const uint64_t key = first_bad_.load();
    const WeightJob& job = jobs_[static_cast<size_t>(key >> 32)];
    const WeightSource& source = *job.source;
    const auto row = static_cast<int64_t>(key & 0xFFFFFFFF);
    std::vector<std::byte> stored(static_cast<size_t>(row_bytes(source.dtype(), source.n_cols())));
    source.read_rows(row, 1, stored);
    const auto found = first_nonfinite(source.dtype(), stored, source.n_cols());
    const int64_t column = found.value_or(0);
    if (!found) {
      throw Error(ErrorCode::kCorrupt, "write weights",
                  fmt::format("weight {}: in row {} or near it is a number too large for {}", source.name(),
                              row, name_of(job.dtype)),
                  "take bf16 or f32; --allow-nonfinite goes on all the same");
    }
    throw Error(ErrorCode::kCorrupt, "write weights",
                fmt::format("weight {}: a number that is NaN or infinite at row {}, column {} (element {})",
                            source.name(), row, column, row * source.n_cols() + column),
                "the weights are damaged; --allow-nonfinite goes on all the same");
  }

  std::span<const WeightJob> jobs_;
  ThreadPool& pool_;
  const WriteOptions& options_;
  std::vector<Piece> pieces_;
  std::vector<Workspace> workspaces_;
  std::vector<std::atomic<int64_t>> rows_left_;
  std::atomic<uint64_t> first_bad_{kNoneBad};
  std::atomic<uint64_t> done_{0};
  uint64_t total_ = 0;
};

}  // namespace

void write_weights(std::span<const WeightJob> jobs, ThreadPool& pool, const WriteOptions& options) {
  Writer(jobs, pool, options).run();
}

}  // namespace chaski
