// Prints the ids of texts, for tokenizer_parity.py: `tokenize_lines FILE [special]` reads one JSON string a
// line and prints one JSON list a line; `special` lets special-token text become its token. `tokenize_lines
// FILE time` reads text and prints MB/s of processor time; `tokenize_lines FILE decode` prints the text of
// each line's ids. FILE: tokenizer.json, rank file, SentencePiece model, .gguf, or .vocab.json: the
// tokenizer's arrays of a GGUF file without weights, as an object with the keys below.
#include <cstdio>
#include <ctime>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "support/load_tokenizer.h"
#include "text/tokenizer.h"

namespace {

/// Processor time of this program so far, which a busy machine does not stretch.
double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

template <typename T>
std::vector<T> list_of(const chaski::Json& object, const char* key) {
  return object.contains(key) ? object[key].get<std::vector<T>>() : std::vector<T>();
}

template <typename T>
std::optional<T> value_of(const chaski::Json& object, const char* key) {
  return object.contains(key) ? std::optional(object[key].get<T>()) : std::nullopt;
}

chaski::Tokenizer open_vocabulary(const std::string& file) {
  const chaski::JsonLimits limits{.max_bytes = 256u << 20, .max_nodes = 10'000'000};
  const chaski::Json v = chaski::parse_json(chaski::read_text_file(file, limits.max_bytes), file, limits);
  const auto tokens = list_of<std::string>(v, "tokens"), merges = list_of<std::string>(v, "merges");
  const auto types = list_of<int32_t>(v, "token_type");
  const auto scores = list_of<float>(v, "scores");
  const std::string model = v.at("model"), pre = v.at("pre");
  const chaski::GgufVocabulary vocabulary{.model = model,
                                          .pre = pre,
                                          .tokens = tokens,
                                          .token_types = types,
                                          .merges = merges,
                                          .scores = scores,
                                          .add_bos = value_of<bool>(v, "add_bos_token"),
                                          .add_space_prefix = value_of<bool>(v, "add_space_prefix")};
  return chaski::Tokenizer(chaski::spec_from_gguf(vocabulary, file));
}

chaski::Tokenizer open_tokenizer(const std::string& file) {
  if (file.ends_with(".vocab.json")) return open_vocabulary(file);
  if (!file.ends_with(".gguf")) return chaski::Tokenizer::open(file);
  return chaski::tests::load_tokenizer(*chaski::Checkpoint::open(file));
}

int run(int argc, char** argv) {
  const double start = cpu_seconds();
  const chaski::Tokenizer tokenizer = open_tokenizer(argv[1]);
  const std::string mode = argc > 2 ? argv[2] : "";
  if (mode == "time") {
    std::fprintf(stderr, "loaded in %.3f s\n", cpu_seconds() - start);
    const std::string text((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
    for (int i = 0; i < 5; ++i) {
      const double begin = cpu_seconds();
      const size_t n_ids = tokenizer.encode(text).size();
      const double seconds = cpu_seconds() - begin;
      std::printf("%zu bytes, %zu ids, %.4f s, %.1f MB/s\n", text.size(), n_ids, seconds,
                  static_cast<double>(text.size()) / seconds / 1e6);
    }
    return 0;
  }
  std::string line;
  while (std::getline(std::cin, line)) {
    if (mode == "decode") {
      const auto ids = chaski::parse_json(line, "stdin").get<std::vector<int32_t>>();
      std::cout << chaski::to_json_text(chaski::Json(tokenizer.decode(ids, true))) << '\n';
      continue;
    }
    const std::string text = chaski::parse_json(line, "stdin").get<std::string>();
    std::string out = "[";
    for (const int32_t id : tokenizer.encode(text, {.parse_special = mode == "special"})) {
      if (out.size() > 1) out += ',';
      out += std::to_string(id);
    }
    out += "]\n";
    std::fwrite(out.data(), 1, out.size(), stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: tokenize_lines FILE [special|decode|time]\n");
    return 2;
  }
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
