// The table of split rules and of the names that files give them, and the splitter that runs a rule's steps.
#include "text/split.h"

#include <algorithm>

#include "base/error.h"
#include "text/split_steps.h"

namespace chaski {
namespace {

using enum SplitStep;

struct RuleSteps {
  SplitRule rule;
  size_t n_steps;
  std::array<SplitStep, 6> steps;
};

constexpr RuleSteps kRules[] = {
    {SplitRule::kLlama3, 1, {kLlama3Words}},
    {SplitRule::kSmolLm, 2, {kDigits, kGpt2Words}},
    {SplitRule::kGpt2, 1, {kGpt2Words}},
    {SplitRule::kQwen2, 1, {kQwen2Words}},
    {SplitRule::kMiniCpm5, 2, {kThreeNumbers, kNumberRunWords}},
    {SplitRule::kUfakzeka, 1, {kUncontractedWords}},
    {SplitRule::kSeedCoder, 1, {kSeedCoderWords}},
    {SplitRule::kTekken, 1, {kTekkenWords}},
    {SplitRule::kGpt4o, 1, {kGpt4oWords}},
    {SplitRule::kBloom, 1, {kBloomWords}},
    {SplitRule::kViking, 2, {kBloomWords, kDigits}},
    {SplitRule::kDeepSeekLlm,
     6,
     {kNewline, kCasedLetters, kAsciiWideMarks, kTrailingSpace, kHanHangul, kDigits}},
    {SplitRule::kDeepSeekCoder, 5, {kNewline, kLetters, kPunctuation, kHanHangul, kDigits}},
    {SplitRule::kDeepSeek3, 3, {kThreeNumbers, kHanKana, kDeepSeek3Words}},
    {SplitRule::kDefault, 4, {kDefaultMarks, kGpt2Words, kNumberRuns, kThreeDigits}},
    {SplitRule::kWhole, 0, {}},
    {SplitRule::kBeforeSpaces, 1, {SplitStep::kBeforeSpaces}},
    {SplitRule::kBeforeEachSpace, 1, {SplitStep::kBeforeEachSpace}},
};

// Of each rule and flag, the first is the name that is written.
constexpr GgufPre kPres[] = {
    {"llama-bpe", SplitRule::kLlama3, true, true},
    {"llama3", SplitRule::kLlama3, true, true},
    {"llama-v3", SplitRule::kLlama3, true, true},
    {"falcon3", SplitRule::kLlama3, true, true},
    {"falcon-h1", SplitRule::kLlama3, true, true},
    {"pixtral", SplitRule::kLlama3, true, true},
    {"midm-2.0", SplitRule::kLlama3, true, true},
    {"lfm2", SplitRule::kLlama3, true, true},
    {"dbrx", SplitRule::kLlama3},
    {"smaug-bpe", SplitRule::kLlama3},
    {"smollm", SplitRule::kSmolLm},
    {"starcoder", SplitRule::kSmolLm},
    {"refact", SplitRule::kSmolLm},
    {"command-r", SplitRule::kSmolLm},
    {"codeshell", SplitRule::kSmolLm},
    {"exaone", SplitRule::kSmolLm},
    {"minerva-7b", SplitRule::kSmolLm},
    {"mellum2", SplitRule::kSmolLm},
    {"gpt-2", SplitRule::kGpt2},
    {"gpt2", SplitRule::kGpt2},
    {"phi-2", SplitRule::kGpt2},
    {"gigachat", SplitRule::kGpt2},
    {"a.x-4.0", SplitRule::kGpt2},
    {"mellum", SplitRule::kGpt2},
    {"exaone4", SplitRule::kGpt2},
    {"mpt", SplitRule::kGpt2},
    {"olmo", SplitRule::kGpt2},
    {"jais", SplitRule::kGpt2},
    {"trillion", SplitRule::kGpt2},
    {"granite-docling", SplitRule::kGpt2},
    {"qwen2", SplitRule::kQwen2},
    {"deepseek-r1-qwen", SplitRule::kQwen2},
    {"megrez", SplitRule::kQwen2},
    {"stablelm2", SplitRule::kQwen2},
    {"hunyuan", SplitRule::kQwen2},
    {"solar-open", SplitRule::kQwen2},
    {"grok-2", SplitRule::kQwen2},
    {"kormo", SplitRule::kQwen2},
    {"f2llmv2", SplitRule::kQwen2},
    {"bailingmoe", SplitRule::kQwen2},
    {"bailingmoe2", SplitRule::kQwen2},
    {"llada-moe", SplitRule::kQwen2},
    {"minicpm5", SplitRule::kMiniCpm5, true},
    {"ufakzeka", SplitRule::kUfakzeka},
    {"seed-coder", SplitRule::kSeedCoder},
    {"tekken", SplitRule::kTekken, true, true},
    {"gpt-4o", SplitRule::kGpt4o},
    {"llama4", SplitRule::kGpt4o},
    {"kanana2", SplitRule::kGpt4o},
    {"talkie", SplitRule::kGpt4o},
    {"minimax-m2", SplitRule::kGpt4o},
    {"bloom", SplitRule::kBloom},
    {"poro-chat", SplitRule::kBloom},
    {"gpt3-finnish", SplitRule::kBloom},
    {"viking", SplitRule::kViking},
    {"deepseek-llm", SplitRule::kDeepSeekLlm},
    {"deepseek-coder", SplitRule::kDeepSeekCoder},
    {"deepseek-v3", SplitRule::kDeepSeek3},
    {"hunyuan-dense", SplitRule::kDeepSeek3},
    {"joyai-llm", SplitRule::kDeepSeek3},
    {"hy_v4", SplitRule::kDeepSeek3},
    {"default", SplitRule::kDefault},
};

struct Pattern {
  std::string_view text;  // newlines spelled \r and \n
  SplitStep step;
};

constexpr Pattern kPatterns[] = {
    {kLlama3Pattern, kLlama3Words},
    {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
     kLlama3Words},
    {kGpt2Pattern, kGpt2Words},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     kQwen2Words},
    {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
     kQwen2Words},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     kNumberRunWords},
    {R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     kUncontractedWords},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)",
     kSeedCoderWords},
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     kTekkenWords},
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     kGpt4oWords},
    {" ?[^(\\s|.,!?\u2026\u3002\uFF0C\u3001\u0964\u06D4\u060C)]+", kBloomWords},
    {" ?[^(\\s|[.,!?\u2026\u3002\uFF0C\u3001\u0964\u06D4\u060C])]+", kBloomWords},
    {R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     kDeepSeek3Words},
    {R"(\p{N})", kNumber},
    {R"(\p{N}{1,3})", kThreeNumbers},
    {R"(\p{N}+)", kNumberRuns},
    {"[0-9][0-9][0-9]", kThreeDigits},
    {R"([\r\n])", kNewline},
    {R"(\s+$)", kTrailingSpace},
    {R"(\s?\p{L}+)", kLetters},
    {R"(\s?\p{P}+)", kPunctuation},
    {R"([\p{P}\$\+<=>\^~\|]+)", kDefaultMarks},
    {"\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+", kAsciiWideMarks},
    {"[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+", kHanHangul},
    {"[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+", kHanKana},
    {"\\s?[A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF"
     "\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3-"
     "\u03F5\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD\u1C90"
     "-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D"
     "\u1F20-\u1F45\u1F48-\u1F4D\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-"
     "\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4"
     "\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D"
     "\u212F-\u2134\u2139\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4"
     "\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E"
     "\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A\uFF41-\uFF5A\U00010400-\U0001044F"
     "\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2\U00010CC0-\U00010CF2"
     "\U000118A0-\U000118DF\U0001E900-\U0001E943]+",
     kCasedLetters},
};

}  // namespace

std::span<const SplitStep> steps_of(SplitRule rule) {
  const RuleSteps& entry = kRules[static_cast<size_t>(rule)];
  CHECK(entry.rule == rule, "the table of split rules is out of order");
  return {entry.steps.data(), entry.n_steps};
}

std::optional<SplitRule> rule_of(std::span<const SplitStep> steps) {
  for (const RuleSteps& entry : kRules) {
    if (std::equal(steps.begin(), steps.end(), entry.steps.begin(), entry.steps.begin() + entry.n_steps)) {
      return entry.rule;
    }
  }
  return std::nullopt;
}

std::optional<SplitStep> step_of_pattern(std::string_view pattern) {
  std::string spelled;
  for (const char c : pattern) {
    if (c == '\r' || c == '\n') {
      spelled += c == '\r' ? "\\r" : "\\n";
    } else {
      spelled += c;
    }
  }
  for (const Pattern& known : kPatterns) {
    if (known.text == spelled) return known.step;
  }
  return std::nullopt;
}

const GgufPre* find_gguf_pre(std::string_view name) {
  if (name.empty()) name = "default";
  for (const GgufPre& pre : kPres) {
    if (pre.name == name) return &pre;
  }
  return nullptr;
}

std::string gguf_pre_names() {
  std::string names;
  for (const GgufPre& pre : kPres) names.append(names.empty() ? "" : ", ").append(pre.name);
  return names;
}

std::optional<std::string_view> gguf_pre_name(SplitRule rule, bool ignores_merges) {
  for (const GgufPre& pre : kPres) {
    if (pre.rule == rule && pre.ignores_merges == ignores_merges) return pre.name;
  }
  return std::nullopt;
}

Splitter::Splitter(SplitRule rule, std::string_view segment) : steps_(steps_of(rule)), segment_(segment) {
  ends_[0] = segment.size();
}

std::string_view Splitter::next() {
  size_t level = 1;
  while (level <= steps_.size() && ends_[level] != at_) ++level;
  for (; level <= steps_.size(); ++level) {
    ends_[level] = end_of_piece(steps_[level - 1], segment_.substr(0, ends_[level - 1]), at_);
  }
  const size_t begin = at_;
  at_ = ends_[steps_.size()];
  return segment_.substr(begin, at_ - begin);
}

}  // namespace chaski
