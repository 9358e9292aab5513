// Hugging Face configs: what is read, with which defaults, and what is refused (H42 to H50).
#include "format/hf_config.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "format/hf_checkpoint.h"
#include "format_builders.h"

namespace chaski::testing {
namespace {

ModelConfig parse(const Json& config) { return parse_hf_config(config.dump(), "config.json"); }

Json with(const std::string& key, const Json& value) {
  Json config = small_hf_config();
  config[key] = value;
  return config;
}

void refused(const std::string& what, const std::string& text, const std::string& part) {
  expect_refused(
      what, [&] { parse_hf_config(text, "config.json"); }, part);
}
void field_refused(const std::string& key, const Json& value, const std::string& part) {
  const std::string text = with(key, value).dump();
  refused(key + " " + value.dump().substr(0, 60), text, part);
  refused(key, text, "config.json");
}
/// The small config's text with `key` set to text that need not be JSON.
std::string with_raw(const std::string& key, const std::string& value) {
  std::string text = with(key, "@here@").dump();
  return text.replace(text.find("\"@here@\""), 8, value);
}

Json llama3_scaling() {
  return {{"rope_type", "llama3"},
          {"factor", 32.0},
          {"low_freq_factor", 1.0},
          {"high_freq_factor", 4.0},
          {"original_max_position_embeddings", 8192}};
}

TEST(HfConfig, TransformersDefaultsHoldWhereFieldsAreAbsent) {
  Json json = small_hf_config();
  for (const char* key : {"num_key_value_heads", "head_dim", "rms_norm_eps", "rope_theta", "bos_token_id",
                          "eos_token_id", "max_position_embeddings"}) {
    json.erase(key);
  }
  const ModelConfig config = parse(json);
  EXPECT_EQ(config.n_kv_heads, 2);
  EXPECT_EQ(config.head_dim, 4);
  EXPECT_EQ(config.rms_eps, 1e-6);
  EXPECT_EQ(config.rope_theta, 10000);
  EXPECT_EQ(config.max_context, 2048);
  EXPECT_EQ(config.bos, 1);
  EXPECT_EQ(config.eos, std::vector<int32_t>{2});
  EXPECT_FALSE(config.tie_embeddings);
  EXPECT_FALSE(config.rope_scaling);
}

TEST(HfConfig, Llama3ScalingIsReadInOldAndNewSpelling) {
  Json old_style = llama3_scaling();
  old_style["type"] = old_style["rope_type"];
  old_style.erase("rope_type");
  Json new_style = llama3_scaling();
  new_style["rope_theta"] = 500000.0;
  for (const Json& json : {with("rope_scaling", llama3_scaling()), with("rope_scaling", old_style)}) {
    EXPECT_EQ(parse(json).rope_scaling->factor, 32);
  }
  const ModelConfig config = parse(with("rope_parameters", new_style));
  EXPECT_EQ(config.rope_theta, 500000);
  EXPECT_EQ(config.rope_scaling->original_context, 8192);
  EXPECT_FALSE(parse(with("rope_parameters", {{"rope_type", "default"}, {"rope_theta", 7.0}})).rope_scaling);
}

TEST(HfConfig, GenerationConfigReplacesEosAndAdvises) {
  ModelConfig config = parse(with("eos_token_id", {3, 4, 3}));
  EXPECT_EQ(config.eos, (std::vector<int32_t>{3, 4}));
  const GenerationDefaults defaults = parse_generation_config(
      R"({"eos_token_id":[5,6],"temperature":0.6,"top_p":0.9,"top_k":50,"min_p":0.05,"do_sample":false})",
      "generation_config.json", config);
  EXPECT_EQ(config.eos, (std::vector<int32_t>{5, 6}));
  EXPECT_EQ(defaults.temperature, 0.6);
  EXPECT_EQ(defaults.top_k, 50);
  EXPECT_EQ(defaults.min_p, 0.05);
  EXPECT_EQ(defaults.do_sample, false);
  EXPECT_FALSE(defaults.repetition_penalty);
  for (const char* text :
       {R"({"temperature":-1})", R"({"top_p":2})", R"({"min_p":2})", R"({"do_sample":1})", R"({"top_k":-1})",
        R"({"eos_token_id":32})", R"({"temperature":NaN})", R"({"repetition_penalty":0})", "[]"}) {
    expect_refused(
        text, [&] { parse_generation_config(text, "generation_config.json", config); },
        "generation_config.json");
  }
}

TEST(HfConfig, H42_DeepNestingIsRefused) {
  refused("H42", std::string(100000, '['), "nested deeper");
  refused("H42 in a field", with_raw("ignored", std::string(100000, '[')), "nested deeper");
  refused("H42 objects",
          with_raw("ignored",
                   [] {
                     std::string text;
                     for (int i = 0; i < 100000; ++i) text += "{\"a\":";
                     return text;
                   }()),
          "nested deeper");
}

TEST(HfConfig, H43_NumbersThatAreNoExactIntegersAreRefused) {
  for (const char* number : {"1e400", "1e-400", "9007199254740993", "99999999999999999999", "1.5", "1e3",
                             "-1", "\"8\"", "true", "[8]", "-0"}) {
    refused(std::string("H43 ") + number, with_raw("num_hidden_layers", number), "config.json");
  }
  refused("H43 epsilon", with_raw("rms_norm_eps", "1e-400"), "rms_norm_eps: ");
}

TEST(HfConfig, H44_OnlyStrictJsonIsReadAndNonFiniteNumbersOnlyWhereUnused) {
  refused("H44 comment", "/* x */ " + small_hf_config().dump(), "config.json");
  refused("H44 trailing comma", R"({"model_type":"llama",})", "config.json");
  refused("H44 two documents", small_hf_config().dump() + "{}", "config.json");
  refused("H44 surrogate", with_raw("model_type", "\"\\ud800\""), "config.json");
  refused("H44 used", with_raw("rope_theta", "NaN"), "rope_theta");
  refused("H44 used", with_raw("rms_norm_eps", "Infinity"), "rms_norm_eps");
  refused("H44 used", with_raw("hidden_size", "-Infinity"), "hidden_size");
  EXPECT_EQ(parse_hf_config(with_raw("time_step_limit", "[0.0, Infinity]"), "config.json").hidden, 8);
}

TEST(HfConfig, H45_SizesThatMakeNoModelAreRefusedByName) {
  field_refused("num_attention_heads", 3, "num_attention_heads: expected a divisor of hidden_size 8");
  field_refused("num_attention_heads", 0, "num_attention_heads: ");
  field_refused("num_key_value_heads", 0, "num_key_value_heads: ");
  field_refused("num_key_value_heads", 3, "num_key_value_heads: ");
  field_refused("num_hidden_layers", 1000000000, "num_hidden_layers: ");
  field_refused("num_hidden_layers", 0, "num_hidden_layers: ");
  field_refused("vocab_size", 0, "vocab_size: ");
  field_refused("head_dim", 5, "head_dim: ");
  field_refused("head_dim", 0, "head_dim: ");
  field_refused("intermediate_size", -16, "intermediate_size: ");
  field_refused("hidden_size", INT64_MAX, "hidden_size: ");
  for (const Json& theta : {Json(0), Json(-1), Json(1e308)})
    field_refused("rope_theta", theta, "rope_theta: ");
  Json heads = with("hidden_size", 4096);
  heads["num_attention_heads"] = 33;
  heads["num_key_value_heads"] = 33;
  refused("H45 33 heads", heads.dump(), "divisor of hidden_size 4096, found 33");
}

TEST(HfConfig, H46_UnknownOrContradictingScalingIsRefused) {
  Json scaling = llama3_scaling();
  scaling["type"] = "linear";
  field_refused("rope_scaling", scaling, "disagree");
  field_refused("rope_scaling", {{"type", "yarn"}, {"factor", 4.0}}, "yarn");
  field_refused("rope_scaling", {{"factor", 4.0}}, "rope_type is missing");
  field_refused("rope_scaling", "llama3", "expected an object");
  for (const char* key :
       {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}) {
    Json part = llama3_scaling();
    part.erase(key);
    field_refused("rope_scaling", part, key);
    part[key] = 0;
    field_refused("rope_scaling", part,
                  std::string("rope_scaling.") + (key[0] == 'h'   ? "high"
                                                  : key[0] == 'l' ? "low"
                                                                  : key));
  }
  Json reversed = llama3_scaling();
  reversed["low_freq_factor"] = 8.0;
  field_refused("rope_scaling", reversed, "high_freq_factor");
  Json both = with("rope_scaling", llama3_scaling());
  both["rope_parameters"] = {{"rope_type", "default"}};
  refused("H46 both objects", both.dump(), "disagrees");
}

TEST(HfConfig, BothSpellingsOfScalingAreComparedFieldByField) {
  Json both = with("rope_scaling", llama3_scaling());
  Json parameters = llama3_scaling();
  parameters["rope_theta"] = 500000.0;
  parameters["factor"] = 32;
  both["rope_parameters"] = parameters;
  EXPECT_EQ(parse(both).rope_theta, 500000);
  EXPECT_EQ(parse(both).rope_scaling->factor, 32);
  both["rope_scaling"].erase("rope_type");
  both["rope_scaling"]["type"] = "llama3";
  EXPECT_EQ(parse(both).rope_theta, 500000);
  both["rope_parameters"]["factor"] = 8.0;
  refused("factor", both.dump(), "rope_parameters.factor\": 8.0 disagrees with 32.0");
  both["rope_parameters"].erase("factor");
  refused("absent", both.dump(), "rope_parameters.factor");
  both["rope_parameters"] = parameters;
  both["rope_scaling"]["rope_theta"] = 10000.0;
  refused("theta", both.dump(), "rope_parameters.rope_theta");
  field_refused("rope_parameters", {{"full_attention", {{"rope_type", "default"}}}},
                "rope_parameters.full_attention: expected a number or name, found object");
}

TEST(HfConfig, WindowsOfAttentionAndSeveralArchitecturesAreRefused) {
  field_refused("sliding_window", 4096, "sliding_window");
  Json json = with("sliding_window", 4096);
  json["use_sliding_window"] = true;
  refused("used", json.dump(), "sliding_window");
  json["use_sliding_window"] = false;
  EXPECT_EQ(parse(json).hidden, 8);
  EXPECT_EQ(parse(with("sliding_window", nullptr)).hidden, 8);
  field_refused("architectures", {"LlamaForCausalLM", "LlamaForCausalLM"}, "expected one, found 2");
}

TEST(HfConfig, H48_OtherArchitecturesAreNamedAndRepositoryCodeIsNotRun) {
  Json custom = with("architectures", {"InternLM3ForCausalLM"});
  custom["model_type"] = "internlm3";
  refused("H48 other", custom.dump(), "InternLM3ForCausalLM");
  custom["auto_map"] = {{"AutoModelForCausalLM", "modeling_internlm3.InternLM3ForCausalLM"}};
  refused("H48 auto_map", custom.dump(), "needs repository code, not supported");
  Json bare = custom;
  bare.erase("architectures");
  bare.erase("model_type");
  refused("H48 auto_map only", bare.dump(), "needs repository code, not supported");
  field_refused("hidden_act", "gelu", "gelu");
  field_refused("attention_bias", true, "attention_bias");
  field_refused("mlp_bias", true, "mlp_bias");
  field_refused("quantization_config", {{"quant_method", "gptq"}}, "quantization_config");
  field_refused("architectures", "LlamaForCausalLM", "expected a list");
}

TEST(HfConfig, H49_TokenIdsOutOfRangeAreRefused) {
  Json ids = Json::array();
  for (int i = 0; i < 1000; ++i) ids.push_back(i);
  field_refused("eos_token_id", ids, "found 32");
  for (const Json& id :
       {Json(-1), Json(32), Json(2.0), Json("2"), Json(true), Json(INT64_MIN), Json(UINT64_MAX)}) {
    field_refused("eos_token_id", id, "eos_token_id");
    field_refused("bos_token_id", id, "bos_token_id");
  }
  field_refused("eos_token_id", Json(std::vector<int>(5000, 1)), "at most 4096 ids");
  EXPECT_TRUE(parse(with("eos_token_id", nullptr)).eos.empty());
}

TEST(ChatTemplate, IsTheStringOrTheDefaultOfTheList) {
  const auto read = [](const std::string& text) {
    return read_chat_template(MemorySource("tokenizer_config.json", text));
  };
  EXPECT_EQ(read(R"({"chat_template":"a\nb","x":[{"chat_template":"no"}]})"), "a\nb");
  EXPECT_EQ(read(R"({"chat_template":[{"name":"rag","template":"r"},{"template":"d","name":"default"}]})"),
            "d");
  EXPECT_EQ(read(R"({"chat_template":[{"name":"only","template":"o"}]})"), "o");
  EXPECT_EQ(read(R"({"chat_template":null})"), "");
  EXPECT_EQ(read("{}"), "");
  for (const std::string text :
       {R"({"chat_template":1})", R"({"chat_template":"a","chat_template":"b"})", "{", "",
        R"({"chat_template":[1]})", R"({"x":[1,}})", R"({"x":nul})", R"({"x":01})"}) {
    expect_refused(
        text, [&] { read(text); }, "tokenizer_config.json");
  }
  expect_refused(
      "depth", [&] { read("{\"x\":" + std::string(100000, '[')); }, "nested deeper");
  expect_refused(
      "2 MB", [&] { read("{\"chat_template\":\"" + std::string(2u << 20, 'x') + "\"}"); }, "at most");
}

}  // namespace
}  // namespace chaski::testing
