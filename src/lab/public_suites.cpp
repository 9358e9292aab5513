#include "lab/public_suites.h"

#include <zlib.h>

#include <array>
#include <cmath>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "lab/choice_suites.h"
#include "lab/gsm8k.h"
#include "lab/human_eval.h"

namespace chaski {
namespace {

constexpr uint64_t kMaxFileBytes = 256u << 20;
constexpr size_t kMaxLines = 100'000;
constexpr size_t kMaxLineBytes = 1 << 20;
constexpr std::string_view kGzipMagic = "\x1f\x8b";

}  // namespace

std::span<const PublicSuite* const> public_suites() {
  static const std::array<const PublicSuite*, 5> suites{&ceval(), &cmmlu(), &mmlu(), &gsm8k(), &human_eval()};
  return suites;
}

const PublicSuite* public_suite_of(const Suite& suite) {
  for (const PublicSuite* known : public_suites()) {
    if (known->name() == suite.protocol) return known;
  }
  return nullptr;
}

std::optional<Suite> load_public_suite(const std::string& name_and_file) {
  const size_t colon = name_and_file.find(':');
  if (colon == std::string::npos) return std::nullopt;
  for (const PublicSuite* known : public_suites()) {
    if (known->name() != std::string_view(name_and_file).substr(0, colon)) continue;
    Suite suite = known->load(name_and_file.substr(colon + 1));
    suite.protocol = known->name();
    suite.source = name_and_file;
    return suite;
  }
  return std::nullopt;
}

std::map<std::string, double> component_by_item(std::span<const ScoreRecord> scores,
                                                std::string_view component) {
  std::map<std::string, std::pair<double, int64_t>> sums;
  for (const ScoreRecord& score : scores) {
    for (const ScoreComponent& part : score.components) {
      if (part.name != component) continue;
      auto& [sum, n] = sums[score.id];
      sum += part.value;
      ++n;
    }
  }
  std::map<std::string, double> means;
  for (const auto& [id, sum] : sums) means[id] = sum.first / static_cast<double>(sum.second);
  return means;
}

TaskResult mean_result(std::string task, std::string metric, std::span<const double> shares) {
  const auto n = static_cast<double>(shares.size());
  TaskResult result;
  result.task = std::move(task);
  result.metric = std::move(metric);
  result.n = static_cast<int64_t>(shares.size());
  for (const double share : shares) result.value += share / n;
  if (shares.size() < 2) return result;
  double squares = 0;
  for (const double share : shares) squares += (share - result.value) * (share - result.value);
  result.standard_error = std::sqrt(squares / (n - 1) / n);
  return result;
}

std::string read_public_file(const std::string& path) {
  std::string text = read_text_file(path, kMaxFileBytes);
  return text.rfind(kGzipMagic, 0) == 0 ? gunzip(text, path, kMaxFileBytes) : text;
}

std::string gunzip(std::string_view packed, std::string_view where, size_t max_bytes) {
  const auto corrupt = [where](std::string_view what) {
    return Error(ErrorCode::kCorrupt, "unpack", fmt::format("{}: {}", where, what));
  };
  z_stream stream{};
  constexpr int kGzipAlone = 15 + 16;
  if (inflateInit2(&stream, kGzipAlone) != Z_OK) throw Error(ErrorCode::kOutOfMemory, "unpack", "zlib");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, inflateEnd);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  std::string text;
  std::array<char, 64 << 10> block;
  int status = Z_OK;
  while (status != Z_STREAM_END || stream.avail_in > 0) {
    if (status == Z_STREAM_END && inflateReset(&stream) != Z_OK) throw corrupt("cannot be unpacked");
    stream.next_out = reinterpret_cast<Bytef*>(block.data());
    stream.avail_out = block.size();
    status = inflate(&stream, Z_NO_FLUSH);
    const size_t n = block.size() - stream.avail_out;
    if (status == Z_BUF_ERROR || (status == Z_OK && n == 0 && stream.avail_in == 0)) {
      throw corrupt("ends before what it packs does");
    }
    if (status != Z_OK && status != Z_STREAM_END) throw corrupt("is not what gzip writes");
    if (n > max_bytes - text.size()) throw corrupt(fmt::format("unpacks to more than {} bytes", max_bytes));
    text.append(block.data(), n);
  }
  return text;
}

void for_each_json_line(std::string_view jsonl, std::string_view where, std::string_view operation,
                        const std::function<void(Json object, const std::string& place)>& take) {
  size_t n_taken = 0;
  for (size_t number = 1; !jsonl.empty(); ++number) {
    const size_t end = jsonl.find('\n');
    const std::string_view line = jsonl.substr(0, end);
    jsonl.remove_prefix(end == std::string_view::npos ? jsonl.size() : end + 1);
    const std::string place = fmt::format("{} line {}", where, number);
    const auto fail = [&](const std::string& what) {
      throw Error(ErrorCode::kCorrupt, std::string(operation), fmt::format("{}: {}", place, what));
    };
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (++n_taken > kMaxLines) fail(fmt::format("more than {} problems", kMaxLines));
    if (line.size() > kMaxLineBytes) {
      fail(fmt::format("{} bytes, at most {} are accepted", line.size(), kMaxLineBytes));
    }
    Json object = parse_json(line, place);
    if (!object.is_object()) fail("expected a JSON object");
    take(std::move(object), place);
  }
}

}  // namespace chaski
