// Where activations are. A residual's addition is put off until the norm that follows does it on the way, and
// its sum is then in another buffer than its own, as no operator may write over what it reads. Whoever else
// reads such a view has it settled first.
#include <algorithm>

#include "backend/ascend/ascend_ops.h"

namespace chaski {

using ascend::Scratch;

namespace {

const std::byte* begin_of(const TensorView& view) { return static_cast<const std::byte*>(view.data); }
const std::byte* end_of(const TensorView& view) { return begin_of(view) + view.bytes(); }

bool overlaps(const TensorView& view, const void* data, int64_t bytes) {
  const auto* begin = static_cast<const std::byte*>(data);
  return begin < end_of(view) && begin_of(view) < begin + bytes;
}
bool covers(const TensorView& outer, const TensorView& inner) {
  return begin_of(outer) <= begin_of(inner) && end_of(inner) <= end_of(outer);
}

}  // namespace

TensorView AscendOps::located(const TensorView& view) {
  if (pending_ && overlaps(pending_->x, view.data, view.bytes())) settle_pending();
  for (const Moved& moved : moved_) {
    if (!covers(moved.view, view)) continue;
    TensorView found = view;
    found.data = moved.at + (begin_of(view) - begin_of(moved.view));
    return found;
  }
  settle_moved(view.data, view.bytes());
  return view;
}

void AscendOps::overwritten(const TensorView& view) {
  if (pending_ && covers(view, pending_->x)) pending_.reset();
  std::erase_if(moved_, [&](const Moved& moved) { return covers(view, moved.view); });
  settle(view.data, view.bytes());
}

void AscendOps::settle(const void* data, int64_t bytes) {
  if (pending_ && overlaps(pending_->x, data, bytes)) settle_pending();
  settle_moved(data, bytes);
}

void AscendOps::settle_moved(const void* data, int64_t bytes) {
  for (size_t i = 0; i < moved_.size();) {
    if (!overlaps(moved_[i].view, data, bytes)) {
      ++i;
      continue;
    }
    const Moved moved = moved_[i];
    moved_.erase(moved_.begin() + static_cast<std::ptrdiff_t>(i));
    copy_on_device(moved.view.data, moved.at, moved.view.bytes());
  }
}

void AscendOps::vacate(Scratch purpose) {
  for (size_t i = moved_.size(); i-- > 0;) {
    if (i < moved_.size() && scratch_.contains(purpose, moved_[i].at))
      settle_moved(moved_[i].view.data, moved_[i].view.bytes());
  }
}

void AscendOps::copy_on_device(void* to, const void* from, int64_t bytes) {
  ++context_.counters().device_copies;
  memory_.queue().submit([&context = context_, to, from, size = static_cast<size_t>(bytes)] {
    context.check(context.api().call.aclrtMemcpyAsync(to, size, from, size, acl::CopyKind::kDeviceToDevice,
                                                      context.stream()),
                  "aclrtMemcpyAsync", "a copy on the device");
  });
}

AscendOps::Turn AscendOps::turn(const TensorView& x) {
  const auto it = std::find_if(moved_.begin(), moved_.end(), [&](const Moved& moved) {
    return moved.view.data == x.data && moved.view.bytes() == x.bytes();
  });
  TensorView from = x;
  if (it != moved_.end()) {
    from.data = it->at;
    moved_.erase(it);
    return {from, x};
  }
  settle_moved(x.data, x.bytes());
  vacate(Scratch::kResidual);
  TensorView to = x;
  to.data = scratch(Scratch::kResidual, x.bytes());
  moved_.push_back({x, static_cast<std::byte*>(to.data)});
  return {from, to};
}

void AscendOps::settle_pending() {
  const TensorView x = pending_->x;
  pending_.reset();
  const Turn places = turn(x);
  const TensorView product{scratch(Scratch::kProduct, x.bytes()), activations_, x.shape};
  call<AclnnOp::kAdd>(places.from, product, ScalarArg{1}, places.to);
}

TensorView AscendOps::normed(const TensorView& x, WeightId gain, float eps) {
  const int64_t n = x.n_rows(), width = x.n_cols();
  CHECK(weights_.source(gain).shape().n_elements() == width, "{} as gain of width {}",
        weights_.source(gain).name(), width);
  const TensorView y{scratch(Scratch::kNormed, x.bytes()), activations_, {n, width}};
  const TensorArg rstd(scratch(Scratch::kRstd, 4 * n), acl::DataType::kFloat, {n, 1});
  const TensorArg gamma = numbers(weights_.numbers(gain), {width});
  const bool adds = pending_ && pending_->x.data == x.data && pending_->x.shape == x.shape;
  if (!adds) {
    call<AclnnOp::kRmsNorm>(located(x), gamma, double{eps}, y, rstd);
    return y;
  }
  pending_.reset();
  const Turn places = turn(x);
  const TensorView product{scratch(Scratch::kProduct, x.bytes()), activations_, x.shape};
  call<AclnnOp::kAddRmsNorm>(places.from, product, gamma, double{eps}, y, rstd, places.to);
  return y;
}

void AscendOps::rms_norm(const TensorView& x, WeightId gain, float eps, const TensorView& out) {
  const TensorView from = located(x);
  overwritten(out);
  const int64_t n = x.n_rows(), width = x.n_cols();
  const TensorArg rstd(scratch(Scratch::kRstd, 4 * n), acl::DataType::kFloat, {n, 1});
  call<AclnnOp::kRmsNorm>(from, numbers(weights_.numbers(gain), {width}), double{eps}, out, rstd);
}

void AscendOps::add(const TensorView& x, const TensorView& y, const TensorView& out) {
  CHECK(x.shape == y.shape && out.shape == x.shape, "add {} and {}", x.shape.to_string(),
        y.shape.to_string());
  TensorView a = located(x), b = located(y), to = out;
  if (a.data == out.data || b.data == out.data) {
    vacate(Scratch::kResidual);
    a = located(x);
    b = located(y);
    to.data = scratch(Scratch::kResidual, out.bytes());
  }
  overwritten(out);
  if (to.data != out.data) moved_.push_back({out, static_cast<std::byte*>(to.data)});
  call<AclnnOp::kAdd>(a, b, ScalarArg{1}, to);
}

void AscendOps::GuardedMemory::copy_in(void* device, const void* host, size_t bytes) {
  ops_.settle(device, static_cast<int64_t>(bytes));
  ops_.has_rotation_ = ops_.has_attention_ = false;
  memory_.copy_in(device, host, bytes);
}

void AscendOps::GuardedMemory::copy_out(void* host, const void* device, size_t bytes) {
  ops_.settle(device, static_cast<int64_t>(bytes));
  memory_.copy_out(host, device, bytes);
}

}  // namespace chaski
