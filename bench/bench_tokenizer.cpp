// bench_tokenizer [--repeat N] [--json] TOKENIZER [TEXT…]: how long the tokenizer takes to be made from what
// the file holds, and the MB/s at which one thread encodes each text, in processor time, which a busy machine
// does not stretch: median, least and most of N (7) after one to warm up. TOKENIZER: tokenizer.json, rank
// file, SentencePiece model or .gguf.
#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "convert/gguf_vocabulary.h"
#include "format/checkpoint.h"
#include "text/tokenizer.h"

namespace {

/// Sorted seconds of `repeat` calls.
std::vector<double> times_of(int repeat, const std::function<void()>& work) {
  std::vector<double> seconds;
  for (int i = 0; i < repeat; ++i) {
    timespec begin{}, end{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    work();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    seconds.push_back(static_cast<double>(end.tv_sec - begin.tv_sec) +
                      1e-9 * static_cast<double>(end.tv_nsec - begin.tv_nsec));
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

/// What reads the tokenizer again from `file`, which is in memory already.
std::function<chaski::Tokenizer()> maker_of(const std::string& file) {
  if (!file.ends_with(".gguf")) {
    return [file, text = chaski::read_text_file(file)] {
      return chaski::Tokenizer(chaski::spec_from_tokenizer_file(text, {}, file));
    };
  }
  return [file, data = chaski::Checkpoint::open(file)->tokenizer()] {
    return chaski::Tokenizer(chaski::spec_from_gguf(chaski::gguf_vocabulary_of(data), file));
  };
}

/// To compare ids without printing them.
uint32_t checksum_of(const std::vector<int32_t>& ids) {
  uint32_t sum = 0;
  for (const int32_t id : ids) sum = sum * 31 + static_cast<uint32_t>(id);
  return sum;
}

double median(const std::vector<double>& sorted) { return sorted[sorted.size() / 2]; }

int run(const std::vector<std::string>& files, int repeat, bool is_json) {
  const auto make = maker_of(files[0]);
  const std::vector<double> made = times_of(repeat, [&] { make(); });
  const chaski::Tokenizer tokenizer = make();
  chaski::Json record{{"make_s", made}, {"texts", chaski::Json::array()}};
  if (!is_json)
    fmt::print("made in {:.1f} ms ({:.1f} to {:.1f})\n", median(made) * 1e3, made[0] * 1e3,
               made.back() * 1e3);
  for (size_t i = 1; i < files.size(); ++i) {
    const std::string text = chaski::read_text_file(files[i]);
    const std::vector<int32_t> ids = tokenizer.encode(text);
    const std::vector<double> seconds = times_of(repeat, [&] { tokenizer.encode(text); });
    record["texts"].push_back({{"text", files[i]},
                               {"bytes", text.size()},
                               {"ids", ids.size()},
                               {"checksum", checksum_of(ids)},
                               {"encode_s", seconds}});
    const double mb = static_cast<double>(text.size()) / 1e6;
    if (is_json) continue;
    fmt::print("{}: {} bytes, {} ids, {:.1f} MB/s ({:.1f} to {:.1f})\n", files[i], text.size(), ids.size(),
               mb / median(seconds), mb / seconds.back(), mb / seconds[0]);
  }
  if (is_json) fmt::print("{}\n", chaski::to_json_text(record));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> files;
  int repeat = 7;
  bool is_json = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--json") {
      is_json = true;
    } else if (argument == "--repeat" && i + 1 < argc) {
      repeat = std::max(1, std::atoi(argv[++i]));
    } else {
      files.push_back(argument);
    }
  }
  if (files.empty()) {
    fmt::print(stderr, "usage: bench_tokenizer [--repeat N] [--json] TOKENIZER [TEXT…]\n");
    return 2;
  }
  try {
    return run(files, repeat, is_json);
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}
