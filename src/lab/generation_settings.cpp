#include "lab/generation_settings.h"

#include <fmt/format.h>

#include <charconv>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace chaski {
namespace {

template <typename T>
void take(std::optional<T>& base, const std::optional<T>& over) {
  if (over) base = over;
}

template <typename T>
OrderedJson or_null(const std::optional<T>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

}  // namespace

std::optional<uint64_t> parse_seed(std::string_view text) {
  uint64_t seed = 0;
  const char* end = text.data() + text.size();
  const auto [stop, fault] = std::from_chars(text.data(), end, seed);
  if (fault != std::errc() || stop != end || seed > kMaxSeed) return std::nullopt;
  return seed;
}

GenerationSettings advised_settings(const GenerationDefaults& advised) {
  GenerationSettings settings;
  settings.temperature = advised.temperature;
  settings.top_p = advised.top_p;
  settings.top_k = advised.top_k;
  settings.min_p = advised.min_p;
  settings.repetition_penalty = advised.repetition_penalty;
  if (!advised.temperature && !advised.top_p && !advised.top_k && !advised.min_p) {
    settings.temperature = 0.7;
    settings.top_p = 0.9;
  }
  if (advised.do_sample == false) settings.temperature = 0;
  return settings;
}

void overlay(GenerationSettings& base, const GenerationSettings& over) {
  take(base.temperature, over.temperature);
  take(base.top_p, over.top_p);
  take(base.min_p, over.min_p);
  take(base.repetition_penalty, over.repetition_penalty);
  take(base.presence_penalty, over.presence_penalty);
  take(base.frequency_penalty, over.frequency_penalty);
  take(base.top_k, over.top_k);
  take(base.max_length, over.max_length);
  if (over.max_length && !over.max_new_tokens) base.max_new_tokens.reset();
  take(base.max_new_tokens, over.max_new_tokens);
  if (base.max_new_tokens) base.max_length.reset();
  take(base.seed, over.seed);
  take(base.system, over.system);
  if (!over.stop.empty()) base.stop = over.stop;
  base.ignores_eos = base.ignores_eos || over.ignores_eos;
}

SamplingParams sampling_of(const GenerationSettings& settings) {
  for (const auto& [name, limit] :
       {std::pair("max_length", settings.max_length), std::pair("max_new_tokens", settings.max_new_tokens)}) {
    if (limit && *limit < 1) {
      throw Error(ErrorCode::kUsage, "generation settings",
                  fmt::format("{} must be at least 1, found {}", name, *limit));
    }
  }
  SamplingParams params;
  params.temperature = settings.temperature.value_or(params.temperature);
  params.top_k = settings.top_k.value_or(params.top_k);
  params.top_p = settings.top_p.value_or(params.top_p);
  params.min_p = settings.min_p.value_or(params.min_p);
  params.repetition_penalty = settings.repetition_penalty.value_or(params.repetition_penalty);
  params.presence_penalty = settings.presence_penalty.value_or(params.presence_penalty);
  params.frequency_penalty = settings.frequency_penalty.value_or(params.frequency_penalty);
  params.seed = settings.seed.value_or(params.seed);
  params.validate();
  return params;
}

Request request_of(const GenerationSettings& settings, const std::vector<int32_t>& eos,
                   std::vector<int32_t> ids) {
  Request request;
  request.prompt = std::move(ids);
  request.sampling = sampling_of(settings);
  request.stop = settings.stop;
  if (!settings.ignores_eos) request.eos = eos;
  request.max_length = settings.max_length;
  request.max_new_tokens = settings.max_new_tokens;
  return request;
}

OrderedJson to_json(const GenerationSettings& settings) {
  const SamplingParams params = sampling_of(settings);
  OrderedJson json;
  json["seed"] = params.seed;
  json["temperature"] = params.temperature;
  json["top_k"] = params.top_k;
  json["top_p"] = params.top_p;
  json["min_p"] = params.min_p;
  json["repetition_penalty"] = params.repetition_penalty;
  json["presence_penalty"] = params.presence_penalty;
  json["frequency_penalty"] = params.frequency_penalty;
  json["max_length"] = or_null(settings.max_length);
  json["max_new_tokens"] = or_null(settings.max_new_tokens);
  json["system"] = or_null(settings.system);
  json["stop"] = settings.stop;
  json["ignore_eos"] = settings.ignores_eos;
  return json;
}

}  // namespace chaski
