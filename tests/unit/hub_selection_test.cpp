// Which files of a repository are fetched, and what REPO and --from mean.
#include "hub/selection.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "hub/hub_source.h"
#include "support/error_of.h"

namespace chaski {
namespace {

using test::error_of;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

std::vector<RemoteFile> files(const std::vector<std::string>& names) {
  std::vector<RemoteFile> all;
  for (const std::string& name : names) {
    RemoteFile file;
    file.name = name;
    file.size = name.size();
    all.push_back(std::move(file));
  }
  return all;
}

std::vector<std::string> names_of(const Selection& selection) {
  std::vector<std::string> names;
  for (const RemoteFile& file : selection.files) names.push_back(file.name);
  return names;
}

const std::vector<std::string> kRepo{"config.json",
                                     "tokenizer.json",
                                     "model.safetensors",
                                     "pytorch_model.bin",
                                     "README.md",
                                     "LICENSE",
                                     "original/params.json",
                                     "train.py",
                                     "original/consolidated.00.pth",
                                     "onnx/model.safetensors",
                                     "model-Q8_0.gguf",
                                     "images/a.png"};

TEST(HubSelection, ByDefaultWhatCanBeLoadedIsTakenAndTheRestIsNamed) {
  const Selection selection = select_files(files(kRepo), {});
  EXPECT_THAT(names_of(selection), UnorderedElementsAre("config.json", "tokenizer.json", "model.safetensors",
                                                        "README.md", "LICENSE"));
  EXPECT_EQ(selection.skipped.size(), kRepo.size() - 5);
  for (const SkippedFile& skipped : selection.skipped) {
    const bool is_pickle =
        skipped.file.name == "pytorch_model.bin" || skipped.file.name == "original/consolidated.00.pth";
    EXPECT_EQ(skipped.reason == SkipReason::kPickle, is_pickle) << skipped.file.name;
    EXPECT_EQ(skipped.reason == SkipReason::kOtherFormat, skipped.file.name == "model-Q8_0.gguf");
  }
}

TEST(HubSelection, PatternsTakeExactlyWhatTheyMatch) {
  SelectionRules rules;
  rules.includes = {"*.gguf,original/", "train.py"};
  rules.excludes = {"*.pth"};
  EXPECT_THAT(names_of(select_files(files(kRepo), rules)),
              UnorderedElementsAre("model-Q8_0.gguf", "original/params.json", "train.py"));
}

TEST(HubSelection, NamedFilesAreTakenAndMissingOnesAreAnError) {
  SelectionRules rules;
  rules.names = {"config.json"};
  EXPECT_THAT(names_of(select_files(files(kRepo), rules)), UnorderedElementsAre("config.json"));
  rules.names = {"nothing"};
  EXPECT_EQ(error_of([&] { select_files(files(kRepo), rules); }).code(), ErrorCode::kNotFound);
}

TEST(HubSelection, WithoutLargeFilesOnlyTheDescriptionIsFetched) {
  SelectionRules rules;
  rules.skips_lfs = true;
  const Selection selection = select_files(files(kRepo), rules);
  EXPECT_THAT(names_of(selection),
              UnorderedElementsAre("config.json", "tokenizer.json", "README.md", "LICENSE"));
}

TEST(HubSelection, ARepositoryOfPicklesAloneIsRefused) {
  const Error error = error_of([] { select_files(files({"config.json", "pytorch_model.bin"}), {}); });
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(error.what(), HasSubstr("pickle"));
}

TEST(HubSelection, OfSeveralGgufModelsOneMustBeNamedButThePartsOfOneAreOneModel) {
  const Error error = error_of([] { select_files(files({"m-Q4_0.gguf", "m-Q8_0.gguf"}), {}); });
  EXPECT_EQ(error.code(), ErrorCode::kUsage);
  EXPECT_THAT(error.what(), HasSubstr("m-Q8_0.gguf"));
  EXPECT_EQ(select_files(files({"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}), {}).files.size(), 2u);
}

TEST(HubAddress, AliasesUrlsAndHubsAreTold) {
  EXPECT_EQ(parse_repo("llama-3.2-1b", "", "").id, "LLM-Research/Llama-3.2-1B-Instruct");
  EXPECT_EQ(parse_repo("unichat-3b", "", "").id, "UnicomAI/Unichat-llama3.2-Chinese-3B");
  EXPECT_EQ(parse_repo("a/b", "", "").hub, "modelscope");
  EXPECT_EQ(parse_repo("a/b", "huggingface", "").hub, "huggingface");
  EXPECT_EQ(parse_repo("llama3.2:1b", "ollama", "").hub, "ollama");
  EXPECT_EQ(parse_repo("https://h/x/y.git", "", "").hub, "git");
  EXPECT_EQ(parse_repo("https://h/x/y.gguf", "", "").hub, "url");
}

TEST(HubAddress, WhatNamesNoRepositoryIsAUsageError) {
  for (const char* name :
       {"", "a", "a/b/c", "../b", "a/..", "a/b?x", "a b/c", "/a", "a//b", "llama3.2:1b", "a/b\n"}) {
    EXPECT_EQ(error_of([&] { parse_repo(name, "", ""); }).code(), ErrorCode::kUsage) << name;
  }
  EXPECT_EQ(error_of([] { parse_repo("a/b", "nowhere", ""); }).code(), ErrorCode::kUsage);
}

TEST(HubAddress, NamesAreQuotedAndOriginsHavePorts) {
  EXPECT_EQ(url_quoted("a b/ü&", true), "a%20b/%C3%BC%26");
  EXPECT_EQ(url_quoted("a/b", false), "a%2Fb");
  EXPECT_EQ(origin_of_url("https://h/x?y"), "https://h:443");
  EXPECT_EQ(origin_of_url("http://h:81"), "http://h:81");
  EXPECT_EQ(origin_of_url("ftp://h"), "");
}

}  // namespace
}  // namespace chaski
