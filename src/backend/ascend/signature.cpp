#include "backend/ascend/signature.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <string_view>

namespace chaski {
namespace {

// The first word of an argument: its kind in the lowest byte, then what the kind needs.
enum Kind : uint64_t { kNone, kTensor, kInts, kInteger, kReal, kText };
constexpr int kDtypeAt = 8, kRankAt = 24, kFormatAt = 32, kStridedAt = 48;  // of a tensor
constexpr int kSizeAt = 8;                                                  // of integers and text

uint64_t byte_at(uint64_t word, int at) { return (word >> at) & 0xFF; }

/// Reads the words of one argument after the other.
class Reader {
 public:
  explicit Reader(const std::vector<uint64_t>& words) : words_(&words) {}
  bool is_at_end() const { return at_ == words_->size(); }
  uint64_t next() { return (*words_)[at_++]; }
  int64_t next_integer() { return static_cast<int64_t>(next()); }

  TensorArg tensor(uint64_t head) {
    std::array<int64_t, TensorArg::kMostDims> dims{};
    const auto rank = static_cast<size_t>(byte_at(head, kRankAt));
    void* data = reinterpret_cast<void*>(next());
    for (size_t axis = 0; axis < rank; ++axis) dims[axis] = next_integer();
    TensorArg arg(data, static_cast<acl::DataType>(byte_at(head, kDtypeAt)),
                  std::span<const int64_t>(dims).first(rank));
    arg.format = static_cast<acl::Format>(byte_at(head, kFormatAt));
    if (byte_at(head, kStridedAt) != 0) {
      for (size_t axis = 0; axis < rank; ++axis) arg.strides[axis] = next_integer();
    }
    return arg;
  }

  /// The argument that `head` begins, as text; tensors are tensor()'s.
  std::string text(uint64_t head) {
    switch (static_cast<Kind>(byte_at(head, 0))) {
      case kNone:
        return "none";
      case kTensor:
        return tensor(head).to_string();
      case kInteger:
        return fmt::format("{}", next_integer());
      case kReal:
        return fmt::format("{:g}", __builtin_bit_cast(double, next()));
      case kInts: {
        std::vector<int64_t> values(head >> kSizeAt);
        for (int64_t& value : values) value = next_integer();
        return fmt::format("[{}]", fmt::join(values, ", "));
      }
      case kText: {
        std::string text(head >> kSizeAt, '\0');
        for (size_t i = 0; i < text.size(); i += sizeof(uint64_t)) {
          const uint64_t word = next();
          std::memcpy(text.data() + i, &word, std::min(sizeof word, text.size() - i));
        }
        return text;
      }
    }
    return {};
  }

 private:
  const std::vector<uint64_t>* words_;
  size_t at_ = 0;
};

}  // namespace

void CallSignature::begin(AclnnOp op) {
  op_ = op;
  words_.clear();
}

void CallSignature::add(const TensorArg& arg) {
  if (arg.is_null()) {
    words_.push_back(kNone);
    return;
  }
  const bool is_strided = !arg.is_contiguous();
  words_.push_back(kTensor | static_cast<uint64_t>(arg.dtype) << kDtypeAt |
                   static_cast<uint64_t>(arg.rank) << kRankAt |
                   static_cast<uint64_t>(arg.format) << kFormatAt | uint64_t{is_strided} << kStridedAt);
  words_.push_back(reinterpret_cast<uint64_t>(arg.data));
  const auto rank = static_cast<size_t>(arg.rank);
  words_.insert(words_.end(), arg.dims.begin(), arg.dims.begin() + rank);
  if (is_strided) words_.insert(words_.end(), arg.strides.begin(), arg.strides.begin() + rank);
}

void CallSignature::add(const IntsArg& arg) {
  if (arg.values == nullptr) {
    words_.push_back(kNone);
    return;
  }
  words_.push_back(kInts | static_cast<uint64_t>(arg.size) << kSizeAt);
  words_.insert(words_.end(), arg.values, arg.values + arg.size);
}

void CallSignature::add(int64_t value) {
  words_.push_back(kInteger);
  words_.push_back(static_cast<uint64_t>(value));
}

void CallSignature::add(double value) {
  words_.push_back(kReal);
  words_.push_back(__builtin_bit_cast(uint64_t, value));
}

void CallSignature::add(const char* text) {
  const std::string_view view(text);
  words_.push_back(kText | static_cast<uint64_t>(view.size()) << kSizeAt);
  for (size_t i = 0; i < view.size(); i += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, view.data() + i, std::min(sizeof word, view.size() - i));
    words_.push_back(word);
  }
}

std::vector<TensorArg> CallSignature::tensors() const {
  std::vector<TensorArg> tensors;
  Reader reader(words_);
  while (!reader.is_at_end()) {
    const uint64_t head = reader.next();
    if (byte_at(head, 0) == kTensor) {
      tensors.push_back(reader.tensor(head));
    } else {
      reader.text(head);
      tensors.emplace_back();
    }
  }
  return tensors;
}

std::string CallSignature::to_string() const {
  std::string text(name_of(op_));
  const char* separator = "(";
  Reader reader(words_);
  for (const std::string_view name : argument_names(op_)) {
    if (reader.is_at_end()) break;
    const uint64_t head = reader.next();
    if (byte_at(head, 0) == kNone) continue;
    text += fmt::format("{}{} {}", separator, name, reader.text(head));
    separator = ", ";
  }
  return text + ")";
}

size_t CallSignature::Hash::operator()(const CallSignature* signature) const {
  uint64_t hash = static_cast<uint64_t>(signature->op_) + signature->words_.size();
  for (const uint64_t word : signature->words_) {
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
  }
  return hash;
}

}  // namespace chaski
