// What checkpoints made of files have in common: weights by name, and the hash of the files that hold them.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "format/checkpoint.h"
#include "format/stored_weight.h"

namespace chaski {

class StoredCheckpoint : public Checkpoint {
 public:
  std::vector<std::string> names() const override;
  /// Throws Error(kUnsupported) for a weight whose type is known but not computed with.
  WeightSourcePtr find(std::string_view name) const override;
  std::string content_hash(const OnBytes& on_bytes) const override;
  std::optional<std::string> known_hash() const override;
  bool is_unchanged() const override;
  uint64_t weight_bytes() const override;

 protected:
  std::map<std::string, WeightSourcePtr, std::less<>> weights_;
  /// Weights that cannot be used, and the reason, for the day somebody asks for one.
  std::map<std::string, std::string, std::less<>> unusable_;
  std::vector<ByteSourcePtr> files_;  ///< in name order

 private:
  std::string hash_of(const std::vector<std::string>& digests) const;
  mutable std::once_flag hashed_;
  mutable std::string hash_;
};

}  // namespace chaski
