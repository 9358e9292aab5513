// GGUF models split into several files: what is one model, and what is no whole one (H22 to H41 where a part
// is the hostile one).
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "format/gguf_split.h"
#include "format/llama_layout.h"
#include "format_builders.h"

namespace chaski::testing {
namespace {

namespace fs = std::filesystem;

constexpr size_t kParts = kSmallParts;

void expect_small_model(const Checkpoint& model) {
  for (const ExpectedWeight& weight : expected_weights(small_config())) {
    EXPECT_EQ(values_of(*model.require(weight.name, weight.shape)), small_weight(weight.name, weight.shape));
  }
  EXPECT_EQ(model.tokenizer().tokens.size(), 32u);
}

void parts_refused(const std::string& what, const std::vector<GgufBuilder>& parts, const std::string& part) {
  const TemporaryFolder folder;
  write_gguf_parts(folder.path(), parts);
  expect_refused(
      what, [&] { Checkpoint::open(folder.path()); }, part);
}

TEST(GgufSplit, AnyPartAndTheFolderOpenTheWholeModel) {
  const TemporaryFolder folder;
  write_gguf_parts(folder.path(), small_gguf_parts());
  std::string digests;
  for (size_t i = 0; i < kParts; ++i) digests += sha256_of_file(InputFile(folder.path() / gguf_part_name(i)));
  for (const std::string& name : {gguf_part_name(0), gguf_part_name(1), gguf_part_name(2), std::string()}) {
    const auto model = Checkpoint::open(folder.path() / name);
    expect_small_model(*model);
    EXPECT_EQ(model->path(), folder.path() / gguf_part_name(0));
    EXPECT_EQ(model->content_hash(), sha256_of(digests));
    EXPECT_TRUE(model->is_unchanged());
    fs::last_write_time(folder.path() / gguf_part_name(1), fs::file_time_type::clock::now());
    EXPECT_FALSE(model->is_unchanged());
  }
  EXPECT_EQ(model_in_folder(folder.path()), folder.path() / gguf_part_name(0));
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  expect_small_model(*Checkpoint::open(gguf_part_name(1)));
  fs::current_path(before);
}

TEST(GgufSplit, ASetOfPartsIsOneModelOfItsFolder) {
  const TemporaryFolder folder;
  write_gguf_parts(folder.path(), small_gguf_parts());
  for (const char* other : {"a.gguf", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf",
                            "m-0001-of-00002.gguf", "m-00003-of-00002.gguf"}) {
    write_file_atomic(folder.path() / other, "x");
  }
  EXPECT_EQ(gguf_files_in(folder.path()),
            (std::vector<fs::path>{folder.path() / "a.gguf", folder.path() / "m-00001-of-00002.gguf",
                                   folder.path() / gguf_part_name(0), folder.path() / "m-00003-of-00002.gguf",
                                   folder.path() / "m-0001-of-00002.gguf"}));
}

TEST(GgufSplit, OneFileOfOnePartIsAWholeModelWhateverItsName) {
  const TemporaryFolder folder;
  GgufBuilder file = small_gguf();
  write_file_atomic(folder.path() / "m-00001-of-00001.gguf", file.build());
  expect_small_model(*Checkpoint::open(folder.path()));
  set_split_keys(file, 0, 1, file.tensors.size());
  write_file_atomic(folder.path() / "m-00001-of-00001.gguf", file.build());
  expect_small_model(*Checkpoint::open(folder.path()));
  write_file_atomic(folder.path() / "plain.gguf", file.build());
  expect_small_model(*Checkpoint::open(folder.path() / "plain.gguf"));
}

TEST(GgufSplit, MissingPartsAreListed) {
  const TemporaryFolder folder;
  write_gguf_parts(folder.path(), small_gguf_parts());
  fs::remove(folder.path() / gguf_part_name(0));
  expect_refused(
      "the first", [&] { Checkpoint::open(folder.path()); }, "are missing: " + gguf_part_name(0));
  fs::rename(folder.path() / gguf_part_name(1), folder.path() / gguf_part_name(1, 6));
  expect_refused(
      "five", [&] { Checkpoint::open(folder.path() / gguf_part_name(1, 6)); },
      "are missing: m-00001-of-00006.gguf, m-00003-of-00006.gguf, m-00004-of-00006.gguf and 2 more");
  write_file_atomic(folder.path() / gguf_part_name(0, 99999), "x");
  expect_refused(
      "too many", [&] { Checkpoint::open(folder.path() / gguf_part_name(0, 99999)); },
      "expected at most 512 parts, found 99999");
  fs::rename(folder.path() / gguf_part_name(2), folder.path() / "renamed.gguf");
  expect_refused(
      "renamed", [&] { Checkpoint::open(folder.path() / "renamed.gguf"); },
      "one of 3 parts of a split model, and its name does not say so");
}

TEST(GgufSplit, H23_PartsSayWhichTheyAreAndWhatAllHave) {
  const auto with = [](size_t part, const std::string& key, uint32_t type, const std::string& payload) {
    std::vector<GgufBuilder> parts = small_gguf_parts();
    payload.empty() ? parts[part].erase(key) : parts[part].set(key, type, payload);
    return parts;
  };
  for (size_t i = 0; i < kParts; ++i) {
    for (const std::string key : {"split.no", "split.count", "split.tensors.count"}) {
      const std::string file = gguf_part_name(i) + ": ";
      parts_refused("missing", with(i, key, 4, ""), file + "key " + key + " is missing from a part");
      parts_refused("another", with(i, key, 4, raw(9u)), file + key + ": expected ");
      parts_refused("negative", with(i, key, 5, raw(-1)), "found -1");
      parts_refused("huge", with(i, key, 10, raw(UINT64_MAX)), "out of range");
      parts_refused("string", with(i, key, 8, gguf_string("1")), "expected an integer, found string");
    }
  }
  std::vector<GgufBuilder> parts = small_gguf_parts();
  std::swap(parts[1], parts[2]);
  parts_refused("in another order", parts, gguf_part_name(1) + ": split.no: expected 1, found 2");
}

TEST(GgufSplit, KeysAreKeptOfTheFirstPartAlone) {
  std::vector<ByteSourcePtr> sources;
  for (const GgufBuilder& part : small_gguf_parts()) {
    sources.push_back(std::make_shared<MemorySource>("part", part.build()));
  }
  const std::deque<GgufHeader> parts = read_gguf_parts(sources);
  EXPECT_FALSE(parts[0].values().empty());
  for (size_t i = 1; i < kParts; ++i) EXPECT_TRUE(parts[i].values().empty());
}

TEST(GgufSplit, H31_ATensorStandsInOnePartAndInsideItsFile) {
  std::vector<GgufBuilder> parts = small_gguf_parts();
  parts[2].tensors.push_back(parts[1].tensors[0]);
  for (size_t i = 0; i < kParts; ++i) set_split_keys(parts[i], i, kParts, 13);
  parts_refused("twice", parts, gguf_part_name(2) + ": tensor token_embd.weight stands in ");
  parts = small_gguf_parts();
  parts[2].tensors.pop_back();
  parts_refused("one less", parts, "split.tensors.count: expected 11, found 12");
  parts = small_gguf_parts();
  parts[1].tensors[0].offset = 1u << 20;
  parts_refused("H31", parts, gguf_part_name(1) + ": tensor token_embd.weight: expected");
}

TEST(GgufSplit, H22_H40_EveryPartIsCheckedAsAFileOfItsOwn) {
  for (size_t i = 0; i < kParts; ++i) {
    std::vector<GgufBuilder> parts = small_gguf_parts();
    parts[i].version = 1;
    parts_refused("H22", parts, gguf_part_name(i) + ": GGUF version 1, expected 2 or 3");
    parts = small_gguf_parts();
    parts[i].set("claim", 9, raw<uint32_t>(10) + raw<uint64_t>(1u << 24));
    parts_refused("H40", parts, gguf_part_name(i) + ": claim: ");
    const TemporaryFolder folder;
    write_gguf_parts(folder.path(), small_gguf_parts());
    fs::remove(folder.path() / gguf_part_name(i));
    fs::create_directory(folder.path() / gguf_part_name(i));
    expect_refused(
        "H41", [&] { Checkpoint::open(folder.path() / gguf_part_name((i + 1) % kParts)); },
        "expected a regular file");
  }
}

TEST(GgufSplit, NoPartMayBeALinkOutOfTheFolder) {
  const TemporaryFolder folder;
  const fs::path model = folder.path() / "model", other = folder.path() / "other.gguf";
  write_gguf_parts(model, small_gguf_parts());
  fs::rename(model / gguf_part_name(2), other);
  fs::create_symlink(other, model / gguf_part_name(2));
  expect_refused(
      "link", [&] { Checkpoint::open(model); },
      gguf_part_name(2) + " is a link that leads out of the folder");
  expect_small_model(*Checkpoint::open(model / gguf_part_name(2)));
}

TEST(GgufSplit, PartsInAFolderOfHuggingFacesCacheAreFollowed) {
  const TemporaryFolder folder;
  const fs::path snapshot = folder.path() / "repo/snapshots/0123/Q8_0", blobs = folder.path() / "repo/blobs";
  write_gguf_parts(snapshot, small_gguf_parts());
  fs::create_directories(blobs);
  for (size_t i = 0; i < kParts; ++i) {
    fs::rename(snapshot / gguf_part_name(i), blobs / std::to_string(i));
    fs::create_symlink(fs::path("../../../blobs") / std::to_string(i), snapshot / gguf_part_name(i));
  }
  expect_small_model(*Checkpoint::open(snapshot));
}

}  // namespace
}  // namespace chaski::testing
