// The signature of a call: all that its plan depends on, as words that compare and hash quickly and that can
// be read back for a message.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/ascend/acl_handles.h"

namespace chaski {

class CallSignature {
 public:
  void begin(AclnnOp op);  ///< forget all, but not the room for it
  void add(const TensorArg& arg);
  void add(const TensorListArg& arg) { add(arg.tensor); }
  void add(const IntsArg& arg);
  void add(const ScalarArg& arg) { add(static_cast<double>(arg.value)); }
  void add(int64_t value);
  void add(int32_t value) { add(int64_t{value}); }
  void add(int8_t value) { add(int64_t{value}); }
  void add(bool value) { add(int64_t{value}); }
  void add(double value);
  void add(const char* text);

  AclnnOp op() const { return op_; }
  /// The tensor arguments by position; those of other kinds, or left out, are null.
  std::vector<TensorArg> tensors() const;
  /// "aclnnMm(self f16 [1, 2048], mat2 f16 [2048, 512] strides [1, 2048], …)"
  std::string to_string() const;

  struct Hash {
    size_t operator()(const CallSignature* signature) const;
  };
  struct Same {
    bool operator()(const CallSignature* a, const CallSignature* b) const {
      return a->op_ == b->op_ && a->words_ == b->words_;
    }
  };

 private:
  AclnnOp op_{};
  std::vector<uint64_t> words_;
};

}  // namespace chaski
