// What is left of files that were not finished, and which of it a later run believes.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <filesystem>

#include "../support/cut_checkpoint.h"
#include "../support/temporary_folder.h"
#include "base/files.h"
#include "convert/gguf_output.h"
#include "convert/hf_output.h"
#include "convert/kept_metadata.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;
using tests::code_of;
using tests::cut_checkpoint;
using tests::tiny;

class ConvertPartial : public testing::Test {
 protected:
  fs::path in(const std::string& name) const { return folder_.path() / name; }

  /// The parts that a run continues after one was interrupted and `change` was made.
  size_t continued_after(const std::function<void(OutputOptions&)>& change) {
    const ModelFormat& format = model_format_named("q8_0");
    fs::remove_all(folder_.path());
    fs::create_directories(in("adapter"));
    write_file_atomic(in("adapter/adapter_config.json"), "{}");
    write_gguf(*tiny(), in("in.gguf"), nullptr, {});
    OutputOptions options{.n_threads = 1, .adapter = in("adapter")};
    const auto cut = cut_checkpoint(Checkpoint::open(in("in.gguf").string()), [] {
      throw Error(ErrorCode::kCancelled, "read weights", "interrupted");
    });
    EXPECT_EQ(code_of([&] { write_gguf(cut, in("a.gguf"), &format, options); }), ErrorCode::kCancelled);
    change(options);
    return write_gguf(*Checkpoint::open(in("in.gguf").string()), in("a.gguf"), &format, options).n_continued;
  }

  tests::TemporaryFolder folder_;
};

TEST_F(ConvertPartial, WorkGoesOnOnlyWhereInputsAndOptionsAreTheSame) {
  EXPECT_GT(continued_after([](OutputOptions&) {}), 0u);
  EXPECT_EQ(continued_after([](OutputOptions& options) { options.allow_nonfinite = true; }), 0u);
  EXPECT_EQ(continued_after([](OutputOptions& options) { options.adapter.clear(); }), 0u);
  EXPECT_EQ(continued_after([&](OutputOptions&) {
              fs::last_write_time(in("in.gguf"), fs::file_time_type::clock::now() - std::chrono::hours(1));
            }),
            0u);
  EXPECT_EQ(
      continued_after([&](OutputOptions&) { write_file_atomic(in("adapter/adapter_config.json"), "{ }"); }),
      0u);
}

TEST_F(ConvertPartial, AfterACommitThatFailedNoPartIsBelieved) {
  const FilePlan plan{.header = "head", .n_bytes = 100, .origin = "o", .n_parts = 2};
  {
    PartialFile file(in("a"), plan);
    file.finish_part(0);
  }
  EXPECT_EQ(PartialFile(in("a"), plan).n_continued(), 1u);
  fs::create_directory(in("a"));  // in the way of the name
  {
    PartialFile file(in("a"), plan);
    EXPECT_EQ(code_of([&] { file.commit(); }), ErrorCode::kIo);
  }
  EXPECT_FALSE(fs::exists(in("a.journal")));
  EXPECT_EQ(PartialFile(in("a"), plan).n_continued(), 0u);
}

TEST_F(ConvertPartial, AFileThatCannotBeMadeLeavesNothingAndOneInUseIsLeftAlone) {
  const FilePlan huge{.header = "head", .n_bytes = uint64_t{1} << 62, .origin = "o", .n_parts = 1};
  EXPECT_EQ(code_of([&] { PartialFile(in("a"), huge); }), ErrorCode::kIo);
  EXPECT_TRUE(fs::is_empty(folder_.path()));
  const FilePlan plan{.header = "head", .n_bytes = 100, .origin = "o", .n_parts = 1};
  const PartialFile first(in("a"), plan);
  EXPECT_EQ(code_of([&] { PartialFile(in("a"), plan); }), ErrorCode::kUsage);
  EXPECT_TRUE(fs::exists(first.partial_path()));
}

TEST_F(ConvertPartial, WhereTheDiskTakesNoMoreTheWorkIsKeptAndGoesOn) {
  const ModelFormat& format = model_format_named("q8_0");
  write_gguf(*tiny(), in("whole.gguf"), &format, {});
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const auto full = cut_checkpoint(tiny(), [&] {
    const rlimit small{100'000, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  });
  std::string message;
  const ErrorCode code =
      code_of([&] { write_gguf(full, in("a.gguf"), &format, {.n_threads = 1}); }, &message);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(code, ErrorCode::kIo);
  EXPECT_NE(message.find("a.gguf.partial"), std::string::npos) << message;
  const OutputReport report = write_gguf(*tiny(), in("a.gguf"), &format, {});
  EXPECT_GT(report.n_continued, 0u);
  EXPECT_LT(report.n_continued, report.n_weights);
  EXPECT_EQ(read_text_file(in("a.gguf")), read_text_file(in("whole.gguf")));
}

// ---- folders

constexpr HfOutputOptions kSmallShards{.dtype = DType::kF16, .max_shard_bytes = 300'000};

TEST_F(ConvertPartial, AFolderInTheWayThatIsNotOursIsRefusedAndLeftAsItIs) {
  fs::create_directory(in("out.partial"));
  write_file_atomic(in("out.partial/mine.txt"), "mine");
  EXPECT_EQ(code_of([&] { write_hf_folder(*tiny(), in("out"), {}, {}); }), ErrorCode::kUsage);
  EXPECT_EQ(read_text_file(in("out.partial/mine.txt")), "mine");
  EXPECT_FALSE(fs::exists(in("out")));
}

TEST_F(ConvertPartial, AnInterruptedFolderIsContinuedWithoutWhatIsNotOfThisPlan) {
  const auto cut = cut_checkpoint(ErrorCode::kCancelled);
  EXPECT_EQ(code_of([&] { write_hf_folder(cut, in("out"), kSmallShards, {.n_threads = 1}); }),
            ErrorCode::kCancelled);
  write_file_atomic(in("out.partial/model-00001-of-00099.safetensors"), "of another plan");
  const OutputReport report = write_hf_folder(*tiny(), in("out"), kSmallShards, {});
  EXPECT_GT(report.n_continued, 0u);
  EXPECT_FALSE(fs::exists(in("out.partial")));
  EXPECT_FALSE(fs::exists(in("out/model-00001-of-00099.safetensors")));
  for (const auto& entry : fs::directory_iterator(in("out"))) {
    const std::string extension = entry.path().extension();
    EXPECT_TRUE(extension == ".json" || extension == ".safetensors") << entry.path();
  }
}

TEST_F(ConvertPartial, AFolderThatFailsForGoodLeavesNothing) {
  const auto cut = cut_checkpoint(ErrorCode::kCorrupt);
  EXPECT_EQ(code_of([&] { write_hf_folder(cut, in("out"), kSmallShards, {}); }), ErrorCode::kCorrupt);
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST_F(ConvertPartial, WhereOneShardCannotGetItsNameThoseBeforeItAreRemoved) {
  write_hf_folder(*tiny(), in("whole"), kSmallShards, {});
  fs::path second;
  for (const auto& entry : fs::directory_iterator(in("whole"))) {
    if (entry.path().filename().string().starts_with("model-00002-of-")) second = entry.path().filename();
  }
  const auto blocked = cut_checkpoint(tiny(), [&] { fs::create_directory(in("out.partial") / second); });
  EXPECT_EQ(code_of([&] { write_hf_folder(blocked, in("out"), kSmallShards, {.n_threads = 1}); }),
            ErrorCode::kIo);
  for (const auto& entry : fs::directory_iterator(in("out.partial"))) {
    EXPECT_NE(entry.path().extension(), ".safetensors") << entry.path();
  }
  write_hf_folder(*tiny(), in("out"), kSmallShards, {});
  EXPECT_EQ(read_text_file(in("out") / second), read_text_file(in("whole") / second));
}

TEST_F(ConvertPartial, AFolderOfAFolderKeepsItsTokenizerAndTemplateFiles) {
  write_hf_folder(*tiny(), in("first"), {}, {});
  write_file_atomic(in("first/chat_template.jinja"), "{{ messages }}");
  write_file_atomic(in("first/pytorch_model.bin"), "not taken over");
  write_hf_folder(*Checkpoint::open(in("first").string()), in("second"), {}, {});
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
                           "generation_config.json", "model.safetensors"}) {
    EXPECT_EQ(read_text_file(in("second") / name), read_text_file(in("first") / name)) << name;
  }
  EXPECT_FALSE(fs::exists(in("second/pytorch_model.bin")));
}

// ---- kept metadata

TEST(KeptMetadata, NumbersThatTheirTypeDoesNotHoldArePassedOver) {
  EXPECT_EQ(gguf_value_of_kept(R"({"type":"uint8","value":255})"), std::string("\0\0\0\0\xFF", 5));
  EXPECT_TRUE(gguf_value_of_kept(R"({"type":"int64","value":-9223372036854775808})"));
  EXPECT_TRUE(gguf_value_of_kept(R"({"type":"uint64","value":18446744073709551615})"));
  EXPECT_TRUE(gguf_value_of_kept(R"({"type":"float64","value":1e300})"));
  for (const char* text : {
           R"({"type":"uint8","value":256})",
           R"({"type":"uint8","value":-1})",
           R"({"type":"uint8","value":1.5})",
           R"({"type":"int8","value":128})",
           R"({"type":"uint32","value":1e300})",
           R"({"type":"int64","value":9223372036854775808})",
           R"({"type":"float32","value":1e300})",
           R"({"type":"float32","value":NaN})",
           R"({"type":"bool","value":1})",
           R"({"type":"string","value":1})",
           R"({"type":"array","element":"uint8","value":[1,256]})",
           R"({"type":"array","element":"array","value":[]})",
           R"({"type":7,"value":1})",
           R"({"type":"uint8"})",
           R"({"type":"uint8","value":1)",
           "[]",
           "",
       }) {
    EXPECT_FALSE(gguf_value_of_kept(text)) << text;
  }
}

}  // namespace
}  // namespace chaski
