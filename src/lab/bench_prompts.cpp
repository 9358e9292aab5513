#include "lab/bench_prompts.h"

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "lab/bench_plan.h"

namespace chaski {
namespace {

/// Plain narration, which neither repeats itself nor asks for its own words again.
constexpr std::string_view kEnglish =
    "The ferry left the island an hour late that morning, because the captain had waited for the doctor and "
    "her two heavy trunks. Nobody complained. Fog lay on the water, the engine coughed, and somewhere a bell "
    "answered the gulls. When the mainland came into view, a boy who had never left home asked his uncle "
    "whether people over there also kept goats. The uncle thought about it for a while and then";
constexpr std::string_view kChinese =
    "那天早上，渡船比平时晚了一个小时才离开小岛，因为船长在等医生和她那两只沉重的箱子。没有人抱怨。水面上起了"
    "雾，发动机咳嗽似的响着，不知哪里有一口钟在回应海鸥。当大陆出现在眼前时，一个从没离开过家的男孩问他的叔叔"
    "，"
    "那边的人是不是也养山羊。叔叔想了一会儿，然后";

}  // namespace

std::vector<int32_t> bench_prompt(const Tokenizer& tokenizer, int64_t n, uint64_t stream) {
  std::vector<int32_t> ids;
  const auto vocab = static_cast<double>(tokenizer.vocab_size());
  // Special tokens and ids without a piece are passed over; a vocabulary is never made of them alone.
  for (uint64_t draw = 0; static_cast<int64_t>(ids.size()) < n; ++draw) {
    CHECK(draw < static_cast<uint64_t>(n) * 1000 + 100'000, "no ordinary tokens in the vocabulary");
    const auto id = static_cast<int32_t>(uniform01(0, stream, draw) * vocab);
    if (!tokenizer.is_special(id) && !tokenizer.piece(id).empty()) ids.push_back(id);
  }
  return ids;
}

std::string_view bench_prose(Lang lang) { return tr(lang, kEnglish, kChinese); }

std::vector<int32_t> prose_prompt(const Tokenizer& tokenizer) {
  std::vector<int32_t> ids = tokenizer.encode(kEnglish);
  if (static_cast<int64_t>(ids.size()) > kProseTokens) ids.resize(kProseTokens);
  return ids;
}

double chars_per_token(const Tokenizer& tokenizer, Lang lang) {
  const std::string_view prose = bench_prose(lang);
  const auto n_tokens = static_cast<double>(tokenizer.encode(prose).size());
  return static_cast<double>(count_code_points(prose)) / std::max(1.0, n_tokens);
}

}  // namespace chaski
