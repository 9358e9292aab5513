#include "format/stored_checkpoint.h"

#include <algorithm>

#include "base/error.h"

namespace chaski {

std::vector<std::string> StoredCheckpoint::names() const {
  std::vector<std::string> names;
  names.reserve(weights_.size());
  for (const auto& [name, weight] : weights_) names.push_back(name);
  return names;
}

WeightSourcePtr StoredCheckpoint::find(std::string_view name) const {
  if (const auto at = weights_.find(name); at != weights_.end()) return at->second;
  if (const auto at = unusable_.find(name); at != unusable_.end()) {
    throw Error(ErrorCode::kUnsupported, "open model",
                fmt::format("{}: weight {}: {}", path_, printable(name), at->second));
  }
  return nullptr;
}

std::string StoredCheckpoint::hash_of(const std::vector<std::string>& digests) const {
  return digests.size() == 1 ? digests.front() : sha256_of(fmt::format("{}", fmt::join(digests, "")));
}

std::string StoredCheckpoint::content_hash(const OnBytes& on_bytes) const {
  std::call_once(hashed_, [&] {
    std::vector<std::string> digests;
    for (const ByteSourcePtr& file : files_) digests.push_back(file->sha256(on_bytes));
    hash_ = hash_of(digests);
  });
  return hash_;
}

std::optional<std::string> StoredCheckpoint::known_hash() const {
  std::vector<std::string> digests;
  for (const ByteSourcePtr& file : files_) {
    const auto digest = file->known_sha256();
    if (!digest) return std::nullopt;
    digests.push_back(*digest);
  }
  return hash_of(digests);
}

bool StoredCheckpoint::is_unchanged() const {
  return std::all_of(files_.begin(), files_.end(),
                     [](const ByteSourcePtr& file) { return file->is_unchanged(); });
}

uint64_t StoredCheckpoint::weight_bytes() const {
  int64_t bytes = 0;
  for (const auto& [name, w] : weights_) bytes += w->n_rows() * row_bytes(w->dtype(), w->n_cols());
  return static_cast<uint64_t>(bytes);
}

}  // namespace chaski
