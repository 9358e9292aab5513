#include "format/gguf_split.h"

#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"

namespace chaski {
namespace {

constexpr std::string_view kNumber = "split.no", kCount = "split.count", kTensors = "split.tensors.count";
constexpr size_t kMaxTensors = 200000;

[[noreturn]] void fail(const GgufHeader& part, const std::string& message, std::string hint = {}) {
  throw Error(ErrorCode::kCorrupt, "read GGUF", fmt::format("{}: {}", part.source()->name(), message),
              std::move(hint));
}

void expect_key(const GgufHeader& part, std::string_view key, std::optional<int64_t> found, size_t expected) {
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
  std::vector<std::optional<int64_t>> totals;  // what each part says that all have
  size_t n_tensors = 0;
  for (const ByteSourcePtr& source : sources) {
    GgufHeader& part = parts.emplace_back(source);
    n_tensors += part.tensors().size();
    if (n_tensors > kMaxTensors) {
      fail(part, fmt::format("expected at most {} tensors in a model", kMaxTensors));
    }
    if (sources.size() == 1) break;
    expect_key(part, kNumber, part.get_int(kNumber), parts.size() - 1);
    expect_key(part, kCount, part.get_int(kCount), sources.size());
    totals.push_back(part.get_int(kTensors));
    // The model's keys are those of the first part; a hostile set could fill the memory with the others'.
    if (parts.size() > 1) part.drop_values();
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
  for (size_t i = 0; i < parts.size(); ++i) expect_key(parts[i], kTensors, totals[i], n_tensors);
  expect_no_tensor_twice(parts);
  return parts;
}

}  // namespace chaski
