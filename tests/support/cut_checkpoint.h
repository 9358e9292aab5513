// Models that stop being read midway, for tests of what writers leave behind.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "format/checkpoint.h"

namespace chaski::tests {

constexpr const char* kDamaged = "model.layers.1.mlp.up_proj.weight";

/// A model with one of its weights replaced.
class PatchedCheckpoint : public Checkpoint {
 public:
  PatchedCheckpoint(std::shared_ptr<const Checkpoint> base, WeightSourcePtr patch)
      : base_(std::move(base)), patch_(std::move(patch)) {
    path_ = base_->path();
    kind_ = base_->kind();
    config_ = base_->config();
    tokenizer_ = base_->tokenizer();
    chat_template_ = base_->chat_template();
  }
  std::vector<std::string> names() const override { return base_->names(); }
  WeightSourcePtr find(std::string_view name) const override {
    return patch_ != nullptr && name == patch_->name() ? patch_ : base_->find(name);
  }
  std::string content_hash(const OnBytes& on_bytes) const override { return base_->content_hash(on_bytes); }
  uint64_t weight_bytes() const override { return base_->weight_bytes(); }

 private:
  std::shared_ptr<const Checkpoint> base_;
  WeightSourcePtr patch_;
};

/// A weight that calls back before its last row is read.
class CutWeight : public WeightSource {
 public:
  CutWeight(WeightSourcePtr base, std::function<void()> at_end)
      : base_(std::move(base)), at_end_(std::move(at_end)) {}
  const std::string& name() const override { return base_->name(); }
  DType dtype() const override { return base_->dtype(); }
  const Shape& shape() const override { return base_->shape(); }
  void read_rows(int64_t first, int64_t count, std::span<std::byte> out) const override {
    if (first + count == n_rows()) at_end_();
    base_->read_rows(first, count, out);
  }

 private:
  WeightSourcePtr base_;
  std::function<void()> at_end_;
};

inline std::shared_ptr<const Checkpoint> tiny() { return Checkpoint::open("synthetic:tiny"); }

/// `base` with a weight in its midst that calls back.
inline PatchedCheckpoint cut_checkpoint(std::shared_ptr<const Checkpoint> base,
                                        std::function<void()> at_end) {
  auto patch = std::make_shared<CutWeight>(base->find(kDamaged), std::move(at_end));
  return PatchedCheckpoint(std::move(base), std::move(patch));
}

/// The tiny model, whose reading ends in an error as a disk or a stop request would give it.
inline PatchedCheckpoint cut_checkpoint(ErrorCode code) {
  return cut_checkpoint(tiny(), [code] { throw Error(code, "read weights", "interrupted"); });
}

inline ErrorCode code_of(const std::function<void()>& work, std::string* message = nullptr) {
  try {
    work();
  } catch (const Error& error) {
    if (message != nullptr) *message = describe(error);
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::kInternal;
}

}  // namespace chaski::tests
