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
  bool ask(const EvalEvents& events, ItemJournal& journal, int32_t batch = 1) {
    EngineOptions options{256, batch, 256, 0, false};
    Engine engine(*device_, device_->ops(), model_, tokenizer_, options);
    plan_.batch = batch;
    const bool is_through = ask_all({engine, prompts_}, suite_.items, plan_, journal, events, cancel_);
    engine.check_integrity();
    return is_through;
  }
  /// A whole run in a folder of its own.
  RunRecord run(const std::string& name, int32_t batch = 1) {
    fs::create_directories(folder_ / name);
    RunRecord record;
    ItemJournal journal(folder_ / name, record, ItemJournal::Start::kFresh);
    EXPECT_TRUE(ask({}, journal, batch));
    take_answers(journal, suite_, record);
    return record;
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
  PromptMaker prompts_{tokenizer_, nullptr, "model", ""};
};

TEST_F(Eval, AQuestionThatFailsDoesNotStopTheOthersAndKeepsItsReason) {
  for (const int32_t batch : {1, 4}) {
    const RunRecord record = run("batch" + std::to_string(batch), batch);
    ASSERT_EQ(record.items.size(), 3U);
    EXPECT_EQ(record.items[1].id, "long") << "in the suite's order";
    ASSERT_EQ(record.failures.size(), 1U);
    EXPECT_EQ(record.failures[0].id, "long");
    EXPECT_EQ(record.failures[0].code, ErrorCode::kUsage);
    EXPECT_THAT(record.failures[0].message, HasSubstr("max_length is 64"));
    EXPECT_EQ(record.items[1].finish_reason, "error");
    EXPECT_FALSE(record.items[1].ttft_s);
    ASSERT_TRUE(record.summary.mean_ttft_s);
    EXPECT_DOUBLE_EQ(*record.summary.mean_ttft_s, (*record.items[0].ttft_s + *record.items[2].ttft_s) / 2);
  }
}

TEST_F(Eval, ACancelWhileAnAnswerComesKeepsTheAnswersBefore) {
  ItemJournal journal(folder_.path(), record_, ItemJournal::Start::kFresh);
  EvalEvents events;
  events.on_text = [&](std::string_view) {
    if (journal.rows().size() == 2) cancel_.cancel();
  };
  EXPECT_FALSE(ask(events, journal));
  EXPECT_THAT(ids_in_file(), ElementsAre("a", "long"));
  EXPECT_EQ(journal.rows().size(), 2U);
}

TEST_F(Eval, AFullDiskIsSaid) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full here";
  fs::create_symlink("/dev/full", items());
  ItemJournal journal(folder_.path(), record_, ItemJournal::Start::kFresh);
  try {
    ask({}, journal);
    FAIL() << "nothing was said";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_THAT(error.what(), HasSubstr(items().string()));
    EXPECT_THAT(describe(error), HasSubstr("could not be written"));
  }
}

TEST_F(Eval, TheTextIsTheSameWhateverTheBatchAndSamplesAreInOrder) {
  suite_ = parse_suite("name: toy\nsettings: {temperature: 0.9, max_new_tokens: 12, seed: 5}\n",
                       R"({"id": "a", "type": "t", "prompt": "one"})"
                       "\n"
                       R"({"id": "b", "type": "t", "prompt": "two two"})"
                       "\n"
                       R"({"id": "c", "type": "t", "prompt": "three three three"})"
                       "\n",
                       "toy");
  plan_.settings = suite_.settings;
  plan_.n_samples = 3;
  const RunRecord alone = run("alone"), batched = run("batched", 4);
  ASSERT_EQ(batched.items.size(), 9U);
  for (size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(alone.items[i].id, batched.items[i].id);
    EXPECT_EQ(batched.items[i].sample, static_cast<int64_t>(i % 3));
    EXPECT_EQ(alone.items[i].ids, batched.items[i].ids);
    EXPECT_EQ(alone.items[i].answer, batched.items[i].answer);
  }
  EXPECT_NE(alone.items[0].ids, alone.items[1].ids) << "samples are drawn apart";
}

TEST_F(Eval, TheWallTimeIsOfAllStartsAndSecondsThatAreSharedCountOnce) {
  EvalEvents events;
  events.on_row = [&](const ItemRow&) { cancel_.cancel(); };
  RunRecord record;
  double seconds_before = 0;
  {
    ItemJournal journal(folder_.path(), record_, ItemJournal::Start::kFresh);
    EXPECT_FALSE(ask(events, journal));
    seconds_before = journal.wall_s();
    EXPECT_GE(seconds_before, journal.rows().back().answer.seconds);
  }
  cancel_.reset();
  ItemJournal journal(folder_.path(), record_, ItemJournal::Start::kResume);
  EXPECT_TRUE(ask({}, journal));
  take_answers(journal, suite_, record);
  ASSERT_TRUE(record.summary.wall_s);
  EXPECT_GT(*record.summary.wall_s, seconds_before);
  EXPECT_GE(*record.summary.wall_s, 0.99 * record.summary.total_s) << "one at a time";
  plan_.n_samples = 8;
  const RunRecord batched = run("batched", 8);
  EXPECT_LT(*batched.summary.wall_s, 0.8 * batched.summary.total_s);
}

TEST_F(Eval, LatenciesOfTheAnswersAreMetrics) {
  const RunRecord record = run("metrics");
  std::vector<std::string> names;
  for (const NamedMetric& metric : record.metrics) {
    names.push_back(metric.name);
    const size_t n_gaps = static_cast<size_t>(record.items[0].n_tokens() + record.items[2].n_tokens() - 2);
    EXPECT_EQ(metric.metric.samples.size(), metric.name == "itl_s" ? n_gaps : 2U)
        << metric.name << ": of the questions that were answered";
  }
  EXPECT_THAT(names,
              ElementsAre("ttft_s", "tpot_s", "itl_s", "e2e_s", "decode_tokens_per_s", "characters_per_s"));
  EXPECT_EQ(record.metrics[3].metric.samples[0], record.items[0].seconds);
  EXPECT_EQ(record.metrics[4].metric.samples[1], 1 / *record.items[2].tpot_s);
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

TEST(GenerationSettings, ALimitBelowOneTokenIsRefusedBeforeAnythingIsAsked) {
  GenerationSettings settings;
  settings.max_new_tokens = -3;
  EXPECT_THROW(sampling_of(settings), Error);
  settings.max_new_tokens = 1;
  EXPECT_NO_THROW(sampling_of(settings));
  settings.max_length = 0;
  EXPECT_THROW(sampling_of(settings), Error);
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

/// Questions of multiple choice, whose answers are words of several tokens.
class ChoiceEval : public Eval {
 protected:
  ChoiceEval() {
    const auto task = std::make_shared<ChoiceTask>();
    task->lead = std::string(60, 'e') + " one two\n\n";
    task->choices = {"A", "B", "an answer", "an ant"};
    suite_.items.clear();
    for (const char* id : {"a", "b", "c"}) {
      suite_.items.push_back({id, "code", fmt::format("question {}?", id), {}, task});
    }
    suite_.items[1].prompt += std::string(400, 'x');
  }
};

TEST_F(ChoiceEval, EachChoiceHasItsLogLikelihoodWhateverTheBatchAndTheCache) {
  // An engine that keeps nothing computes all anew; one that keeps pages gives the very same numbers.
  const auto run_with = [&](const std::string& name, bool reuses) {
    fs::create_directories(folder_ / name);
    EngineOptions options{256, 4, 64, 0, reuses};
    Engine engine(*device_, device_->ops(), model_, tokenizer_, options);
    RunRecord record;
    ItemJournal journal(folder_ / name, record, ItemJournal::Start::kFresh);
    EXPECT_TRUE(ask_all({engine, prompts_}, suite_.items, plan_, journal, {}, cancel_));
    engine.check_integrity();
    take_answers(journal, suite_, record);
    return std::pair{record, engine.stats().n_prompt_tokens};
  };
  const auto [plain, n_plain] = run_with("plain", false);
  const auto [kept, n_kept] = run_with("kept", true);
  EXPECT_LT(n_kept, n_plain);
  ASSERT_EQ(plain.items.size(), 3U);
  for (const size_t i : {0U, 2U}) {
    ASSERT_EQ(plain.items[i].choices.size(), 4U);
    EXPECT_EQ(plain.items[i].finish_reason, "choice");
    EXPECT_EQ(plain.items[i].n_tokens(), 0);
    const ChoiceRecord* best = &plain.items[i].choices[0];
    for (size_t c = 0; c < 4; ++c) {
      const ChoiceRecord& choice = plain.items[i].choices[c];
      EXPECT_LT(choice.loglikelihood, 0);
      EXPECT_EQ(choice.loglikelihood, kept.items[i].choices[c].loglikelihood);
      if (choice.loglikelihood > best->loglikelihood) best = &choice;
    }
    EXPECT_EQ(plain.items[i].answer, best->text);
  }
  ASSERT_EQ(plain.failures.size(), 1U) << "too long for the context";
  EXPECT_EQ(plain.failures[0].id, "b");
  EXPECT_TRUE(plain.items[1].choices.empty());
  EXPECT_GT(plain.summary.mean_s, 0);
}

TEST_F(ChoiceEval, RowsOfTheJournalKeepWhatWasFoundOut) {
  {
    ItemJournal journal(folder_.path(), record_, ItemJournal::Start::kFresh);
    EvalEvents events;
    events.on_row = [&](const ItemRow&) { cancel_.cancel(); };
    EXPECT_FALSE(ask(events, journal));
  }
  const ItemJournal journal(folder_.path(), record_, ItemJournal::Start::kResume);
  ASSERT_EQ(journal.rows().size(), 1U);
  ASSERT_EQ(journal.rows()[0].answer.choices.size(), 4U);
  EXPECT_EQ(journal.rows()[0].answer.choices[2].text, "an answer");
  EXPECT_LT(journal.rows()[0].answer.choices[2].loglikelihood, 0);
}

TEST_F(ChoiceEval, ATemplateAroundPlainTextIsRefused) {
  const PromptMaker wrapped{tokenizer_, nullptr, "raw:[INST] {prompt} [/INST]", ""};
  Engine engine(*device_, device_->ops(), model_, tokenizer_, {});
  RunRecord record;
  ItemJournal journal(folder_.path(), record, ItemJournal::Start::kFresh);
  EXPECT_TRUE(ask_all({engine, wrapped}, suite_.items, plan_, journal, {}, cancel_));
  take_answers(journal, suite_, record);
  ASSERT_EQ(record.failures.size(), 3U);
  EXPECT_THAT(record.failures[0].message, HasSubstr("expected plain text"));
}

}  // namespace
}  // namespace chaski
