// Asking a suite's questions on the tiny model: what fails, what is stopped, and what is then on the disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "backend/cpu/cpu_backend.h"
#include "base/error.h"
#include "base/files.h"
#include "format/synthetic.h"
#include "lab/eval.h"
#include "support/load_tokenizer.h"
#include "support/temporary_folder.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

/// The tiny model with its own tokenizer, and a folder for what a run leaves.
class Eval : public testing::Test {
 protected:
  Eval() {
    suite_ = parse_suite("name: toy\nsettings: {temperature: 0, max_length: 64}\n",
                         R"({"id": "a", "type": "code", "prompt": "one"})"
                         "\n"
                         R"({"id": "long", "type": "code", "prompt": ")" +
                             std::string(200, 'x') +
                             "\"}\n"
                             R"({"id": "b", "type": "code", "prompt": "two"})"
                             "\n",
                         "toy");
    plan_.settings = suite_.settings;
  }

  fs::path items() const { return folder_ / "items.jsonl"; }
  bool ask(const EvalEvents& events, const fs::path& path) {
    ItemJournal journal(path);
    return ask_all(engine_, prompts_, suite_, plan_, record_, journal, events, cancel_);
  }
  std::vector<std::string> ids_in_file() const {
    std::vector<std::string> ids;
    std::string text = read_text_file(items());
    for (size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
      ids.push_back(require_string(parse_json(text.substr(0, end), "line"), "id", "line"));
    }
    EXPECT_EQ(text, "") << "a line is not whole";
    return ids;
  }

  tests::TemporaryFolder folder_;
  Suite suite_;
  EvalPlan plan_;
  RunRecord record_;
  CancelToken cancel_;
  std::shared_ptr<const Checkpoint> checkpoint_ = open_synthetic("tiny");
  Tokenizer tokenizer_ = tests::load_tokenizer(*checkpoint_);
  std::unique_ptr<Device> device_ = CpuBackend().open(0, {});
  LlamaModel model_ = load_llama(*checkpoint_, device_->ops(), 256);
  Engine engine_{*device_, device_->ops(), model_, tokenizer_, EngineOptions{256, 1, 256, 0, false}};
  PromptMaker prompts_{tokenizer_, nullptr, "model", ""};
};

TEST_F(Eval, AQuestionThatFailsDoesNotStopTheOthersAndKeepsItsReason) {
  EXPECT_TRUE(ask({}, items()));
  EXPECT_THAT(ids_in_file(), ElementsAre("a", "long", "b"));
  ASSERT_EQ(record_.failures.size(), 1U);
  EXPECT_EQ(record_.failures[0].id, "long");
  EXPECT_EQ(record_.failures[0].code, ErrorCode::kUsage);
  EXPECT_THAT(record_.failures[0].message, HasSubstr("max_length is 64"));
  EXPECT_EQ(record_.items[1].finish_reason, "error");
  EXPECT_FALSE(record_.items[1].ttft_s);
  ASSERT_TRUE(record_.summary.mean_ttft_s);
  EXPECT_DOUBLE_EQ(*record_.summary.mean_ttft_s, (*record_.items[0].ttft_s + *record_.items[2].ttft_s) / 2);
}

TEST_F(Eval, ACancelWhileAnAnswerComesKeepsTheAnswersBefore) {
  EvalEvents events;
  events.on_text = [this](std::string_view) {
    if (record_.items.size() == 2) cancel_.cancel();
  };
  EXPECT_FALSE(ask(events, items()));
  EXPECT_THAT(ids_in_file(), ElementsAre("a", "long"));
  EXPECT_EQ(record_.items.size(), 2U);
}

TEST_F(Eval, AFullDiskIsSaid) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full here";
  try {
    ask({}, "/dev/full");
    FAIL() << "nothing was said";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_THAT(error.what(), HasSubstr("/dev/full"));
    EXPECT_THAT(describe(error), HasSubstr("could not be written"));
  }
}

TEST_F(Eval, SamplesAreNumberedInTheFileOnlyWhereThereAreSeveral) {
  suite_.items.resize(1);
  EXPECT_TRUE(ask({}, items()));
  EXPECT_FALSE(parse_json(read_text_file(items()), "line").contains("sample"));
  plan_.n_samples = 2;
  EXPECT_TRUE(ask({}, items()));
  EXPECT_THAT(read_text_file(items()), HasSubstr("\"sample\":1}\n"));
}

TEST(GenerationSettings, TheNumbersUnaskedAreUsedOnlyWhereTheModelAdvisesNothing) {
  GenerationDefaults advised;
  EXPECT_EQ(advised_settings(advised).temperature, 0.7);
  EXPECT_EQ(advised_settings(advised).top_p, 0.9);
  advised.min_p = 0.05;
  EXPECT_FALSE(advised_settings(advised).temperature);
  EXPECT_FALSE(advised_settings(advised).top_p);
  EXPECT_EQ(advised_settings(advised).min_p, 0.05);
  advised.temperature = 0.6;
  advised.do_sample = false;
  EXPECT_EQ(advised_settings(advised).temperature, 0);
}

TEST(GenerationSettings, MaxNewTokensWinsOverMaxLengthAndTheLaterLimitOverTheEarlier) {
  GenerationSettings suite;
  suite.max_length = 512;
  GenerationSettings both;
  both.max_length = 40;
  both.max_new_tokens = 7;
  GenerationSettings settings = suite;
  overlay(settings, both);
  EXPECT_FALSE(settings.max_length);
  EXPECT_EQ(settings.max_new_tokens, 7);
  GenerationSettings length;
  length.max_length = 40;
  overlay(settings, length);
  EXPECT_EQ(settings.max_length, 40);
  EXPECT_FALSE(settings.max_new_tokens);
  GenerationSettings of_suite = both;
  overlay(of_suite, {});
  EXPECT_FALSE(of_suite.max_length);
}

}  // namespace
}  // namespace chaski
