// Untrusted SentencePiece models: a refusal with an Error, or a tokenizer that works. The message is put
// together from choices, so that most inputs are whole protobufs, and then cut or overwritten in places.
#include <algorithm>
#include <string>

#include "fuzz_input.h"
#include "text/tokenizer.h"

namespace {

using chaski::fuzz::Choices;

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7F) | 0x80);
  return out + static_cast<char>(value);
}

std::string bytes_field(uint64_t number, const std::string& bytes) {
  return varint(number << 3 | 2) + varint(bytes.size()) + bytes;
}

std::string number_field(uint64_t number, uint64_t value) { return varint(number << 3) + varint(value); }

std::string piece(const std::string& text, const std::string& score, uint64_t type) {
  return bytes_field(1, bytes_field(1, text) + "\x15" + score + number_field(3, type));
}

std::string text_of(Choices& in) {
  constexpr std::string_view kParts[] = {"\u2581", "a", "b", "ab", "<0x41>", "\u4E2D", "<s>", " "};
  std::string text;
  for (size_t n = in.below(6); n > 0; --n) {
    if (in.one_in(8)) {
      text += static_cast<char>(in.byte());
    } else {
      text += kParts[in.below(std::size(kParts))];
    }
  }
  return text;
}

std::string model_of(Choices& in) {
  static const std::string kBytes = [] {
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all += piece(fmt::format("<0x{:02X}>", byte), {0, 0, 0, 0}, 6);
    return all;
  }();
  std::string model = piece("<unk>", {0, 0, 0, 0}, 2) + piece("<s>", {0, 0, 0, 0}, 3);
  if (in.one_in(16)) model += kBytes;
  for (size_t n = in.below(24); n > 0; --n) {
    const std::string text = text_of(in);
    const std::string score = {0, 0, static_cast<char>(in.byte()), static_cast<char>(in.byte())};
    model += piece(text, score, in.one_in(4) ? in.below(8) : 1);
  }
  std::string trainer = number_field(3, in.one_in(16) ? in.byte() : 2);
  for (size_t n = in.below(3); n > 0; --n)
    trainer += number_field(in.below(64), in.one_in(4) ? in.number() : in.byte());
  std::string normalizer = number_field(4, in.one_in(16) ? 1 : 0);
  if (in.one_in(4)) normalizer += number_field(3, in.below(2));
  model += bytes_field(2, trainer) + bytes_field(3, normalizer);
  for (size_t n = in.one_in(4) ? in.below(4) : 0; n > 0; --n) {
    model[static_cast<size_t>(in.number() % model.size())] = static_cast<char>(in.byte());
  }
  if (in.one_in(8)) model.resize(static_cast<size_t>(in.number() % model.size()));
  return model;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Choices in(data, std::min<size_t>(size, 256));
  const bool is_raw = in.one_in(8);
  const std::string raw(reinterpret_cast<const char*>(data), std::min<size_t>(size, 256));
  const std::string model = is_raw ? raw.substr(std::min<size_t>(raw.size(), 1)) : model_of(in);
  chaski::fuzz::expect_error_at_most([&] {
    const chaski::Tokenizer tokenizer = chaski::Tokenizer::from_sentencepiece(model, {}, "fuzz");
    const auto ids = tokenizer.encode(raw, {.parse_special = true, .add_bos = true});
    for (const int32_t id : ids) {
      if (id < 0 || id >= tokenizer.vocab_size()) std::abort();
    }
    tokenizer.decode(ids, true);
  });
  return 0;
}
