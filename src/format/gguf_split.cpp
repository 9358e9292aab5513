#include "format/gguf_split.h"

#include <string_view>
#include <unordered_map>

#include "base/error.h"

namespace chaski {
namespace {

constexpr std::string_view kNumber = "split.no", kCount = "split.count", kTensors = "split.tensors.count";
constexpr size_t kMaxTensors = 200000;

[[noreturn]] void fail(const GgufHeader& part, const std::string& message, std::string hint = {}) {
  throw Error(ErrorCode::kCorrupt, "read GGUF", fmt::format("{}: {}", part.source()->name(), message),
              std::move(hint));
}

void expect_key(const GgufHeader& part, std::string_view key, size_t expected) {
  const auto found = part.get_int(key);
  if (!found) fail(part, fmt::format("key {} is missing from a part of a split model", key));
  if (*found != static_cast<int64_t>(expected)) {
    fail(part, fmt::format("{}: expected {}, found {}", key, expected, *found));
  }
}

void expect_no_tensor_twice(const std::deque<GgufHeader>& parts) {
  std::unordered_map<std::string_view, const GgufHeader*> homes;
  for (const GgufHeader& part : parts) {
    for (const GgufTensor& tensor : part.tensors()) {
      const auto [home, is_new] = homes.emplace(tensor.name, &part);
      if (!is_new) {
        fail(part, fmt::format("tensor {} stands in {} too", printable(tensor.name),
                               home->second->source()->name()));
      }
    }
  }
}

}  // namespace

std::deque<GgufHeader> read_gguf_parts(std::span<const ByteSourcePtr> sources) {
  CHECK(!sources.empty(), "a model of no files");
  std::deque<GgufHeader> parts;
  size_t n_tensors = 0;
  for (const ByteSourcePtr& source : sources) {
    n_tensors += parts.emplace_back(source).tensors().size();
    if (n_tensors > kMaxTensors) {
      fail(parts.back(), fmt::format("expected at most {} tensors in a model", kMaxTensors));
    }
  }
  if (parts.size() == 1) {
    // Without these keys, or with a count of 1, this is the whole model.
    if (const auto count = parts[0].get_int(kCount); count && *count > 1) {
      fail(parts[0],
           fmt::format("the file is one of {} parts of a split model, and its name does not say so", *count),
           fmt::format("give the parts their names back: NAME-00001-of-{:05}.gguf and so on", *count));
    }
    return parts;
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    expect_key(parts[i], kNumber, i);
    expect_key(parts[i], kCount, parts.size());
    expect_key(parts[i], kTensors, n_tensors);
  }
  expect_no_tensor_twice(parts);
  return parts;
}

}  // namespace chaski
