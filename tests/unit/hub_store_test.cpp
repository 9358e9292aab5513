// The store of pulled models, and the caches of other programs that are used in place.
#include "hub/model_store.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "base/error.h"
#include "base/files.h"
#include "hub/hub_places.h"
#include "support/error_of.h"
#include "support/temporary_folder.h"

namespace chaski {
namespace {

using test::error_of;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

/// Homes of all programs in one folder that goes away.
class Store : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name :
         {"MODELSCOPE_CACHE", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "OLLAMA_MODELS"}) {
      ::unsetenv(name);
    }
    ::setenv("HOME", folder_.path().c_str(), 1);
    ::setenv("CHASKI_HOME", (folder_ / "chaski").c_str(), 1);
  }
  void TearDown() override { ::unsetenv("CHASKI_HOME"); }

  void put(const fs::path& path, const std::string& text = "x") const {
    fs::create_directories((folder_.path() / path).parent_path());
    write_file_atomic(folder_.path() / path, text);
  }
  void put_model(const fs::path& folder) const {
    put(folder / "config.json");
    put(folder / "model.safetensors");
  }
  fs::path in(const fs::path& path) const { return folder_.path() / path; }

  tests::TemporaryFolder folder_;
};

Manifest manifest_of(const std::string& content) {
  Manifest manifest{"modelscope", "https://h", "A/B", "", "", "", {}};
  manifest.files.push_back({"config.json", content.size(), sha256_of(content), "", "sha256"});
  return manifest;
}

TEST_F(Store, AManifestIsReadAsItWasWritten) {
  Manifest manifest = manifest_of("x");
  manifest.commit = "c";
  manifest.files.push_back({"ü/b", 3, std::string(64, 'a'), std::string(40, 'b'), "git-sha1"});
  const Manifest read = parse_manifest(manifest_text(manifest), "test");
  EXPECT_EQ(read.id, "A/B");
  EXPECT_EQ(read.commit, "c");
  ASSERT_EQ(read.files.size(), 2u);
  EXPECT_EQ(read.files[1].name, "ü/b");
  EXPECT_EQ(read.files[1].git_sha1, std::string(40, 'b'));
}

TEST_F(Store, AManifestThatLeavesTheFolderIsRefused) {
  Manifest manifest = manifest_of("x");
  manifest.files[0].name = "../x";
  EXPECT_EQ(error_of([&] { parse_manifest(manifest_text(manifest), "test"); }).code(), ErrorCode::kCorrupt);
  for (const char* text : {"", "{}", "[]", R"({"format":2,"hub":"x","id":"y","files":[]})"}) {
    EXPECT_EQ(error_of([&] { parse_manifest(text, "test"); }).code(), ErrorCode::kCorrupt) << text;
  }
}

TEST_F(Store, AnUnfinishedFolderIsRefusedUntilItsManifestIsThere) {
  const fs::path folder = "chaski/models/modelscope/A/B";
  put_model(folder);
  EXPECT_NO_THROW(require_whole_model(in(folder))) << "put there by hand";
  put(folder / ".chaski/lock");
  EXPECT_EQ(find_pulled("A/B"), in(folder));
  EXPECT_EQ(error_of([&] { require_whole_model(in(folder)); }).code(), ErrorCode::kNotFound);
  EXPECT_EQ(error_of([&] { require_whole_model(in(folder / "model.safetensors")); }).code(),
            ErrorCode::kNotFound);
  put(folder / ".chaski/complete.json", manifest_text(manifest_of("x")));
  EXPECT_NO_THROW(require_whole_model(in(folder)));
}

TEST_F(Store, APointerInPlaceOfWeightsIsNamed) {
  put_model("clone");
  put("clone/model.safetensors",
      "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, 'a') + "\nsize 5\n");
  const Error error = error_of([&] { require_whole_model(in("clone")); });
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_THAT(error.what(), HasSubstr("model.safetensors"));
  EXPECT_THAT(error.hint(), HasSubstr("git lfs pull"));
}

TEST_F(Store, VerifyFindsWhatChangedIsCutOrIsGone) {
  Manifest manifest = manifest_of("hello");
  for (const char* name : {"same", "flipped", "cut", "gone"}) {
    manifest.files.push_back({name, 5, sha256_of("hello"), "", "sha256"});
  }
  put("m/.chaski/complete.json", manifest_text(manifest));
  put("m/config.json", "hello");
  put("m/same", "hello");
  put("m/flipped", "hellp");
  put("m/cut", "hell");
  std::string found;
  for (const VerifiedFile& file : verify_model(in("m"), CancelToken()))
    found += file.name + "=" + file.problem + " ";
  EXPECT_EQ(found, "config.json= same= flipped=sha256 cut=size gone=missing ");
  put_model("by_hand");
  EXPECT_EQ(error_of([&] { verify_model(in("by_hand"), CancelToken()); }).code(), ErrorCode::kNotFound);
}

TEST_F(Store, OnlyWhatIsInTheStoreIsRemoved) {
  put_model("chaski/models/huggingface/A/B");
  put("chaski/models/huggingface/A/B/.chaski/complete.json", manifest_text(manifest_of("x")));
  put_model("chaski/models/modelscope/A/C");
  EXPECT_EQ(remove_model("A/B"), in("chaski/models/huggingface/A/B"));
  EXPECT_FALSE(fs::exists(in("chaski/models/huggingface")));
  EXPECT_TRUE(fs::exists(in("chaski/models/modelscope/A/C")));
  EXPECT_EQ(error_of([] { remove_model("A/B"); }).code(), ErrorCode::kNotFound);
  put_model(".cache/modelscope/models/A--D/snapshots/master");
  EXPECT_EQ(error_of([] { remove_model("A/D"); }).code(), ErrorCode::kUsage);
  for (const char* name : {"..", ".", "/", "modelscope", "", "../../x"}) {
    EXPECT_ANY_THROW(remove_model(name)) << name;
  }
  EXPECT_TRUE(fs::exists(in("chaski/models/modelscope/A/C/config.json")));
}

TEST_F(Store, WhatWasPutThereByHandIsNotRemoved) {
  put_model("chaski/models/mine");
  EXPECT_EQ(error_of([] { remove_model("mine"); }).code(), ErrorCode::kUsage);
  EXPECT_TRUE(fs::exists(in("chaski/models/mine/config.json")));
}

TEST_F(Store, AListHasWhatIsThereAndWhatIsUnfinished) {
  put_model("chaski/models/default");
  put_model("chaski/models/modelscope/A/B");
  put("chaski/models/modelscope/A/B/.chaski/lock");
  put("chaski/models/ollama/llama3.2/1b/model.gguf");
  const auto models = list_models();
  ASSERT_EQ(models.size(), 3u);
  EXPECT_EQ(models[0].name, "default");
  EXPECT_TRUE(models[0].is_complete);
  EXPECT_EQ(models[1].name, "A/B");
  EXPECT_FALSE(models[1].is_complete);
  EXPECT_EQ(models[2].name, "llama3.2:1b");
}

TEST_F(Store, AllLayoutsOfModelScopesCacheAreFound) {
  for (const char* folder : {".cache/modelscope/models/O--N.1/snapshots/master",
                             ".cache/modelscope/hub/models/O/N___1", ".cache/modelscope/hub/O/N___1"}) {
    fs::remove_all(in(".cache"));
    put_model(folder);
    EXPECT_EQ(find_pulled("O/N.1"), in(folder)) << folder;
  }
  fs::remove_all(in(".cache"));
  ::setenv("MODELSCOPE_CACHE", in("ms").c_str(), 1);
  put_model("ms/models/O/N___1");
  EXPECT_EQ(find_pulled("O/N.1"), in("ms/models/O/N___1"));
  EXPECT_EQ(find_in_caches("modelscope", "O/N.1", "v9").size(), 0u)
      << "an old layout does not say its revision";
  ::unsetenv("MODELSCOPE_CACHE");
}

TEST_F(Store, HuggingFacesCacheIsFoundByItsReference) {
  const std::string commit(40, 'c');
  const fs::path model = ".cache/huggingface/hub/models--O--N";
  put_model(model / "snapshots" / std::string(40, 'd'));
  put_model(model / "snapshots" / commit);
  put(model / "refs/main", commit);
  EXPECT_EQ(find_in_caches("huggingface", "O/N", "").front().path, in(model / "snapshots" / commit));
  EXPECT_EQ(find_in_caches("huggingface", "O/N", std::string(40, 'd')).front().path,
            in(model / "snapshots" / std::string(40, 'd')));
  EXPECT_TRUE(find_in_caches("huggingface", "O/N", "../../x").empty());
  put(model / "refs/evil", "../../../../etc");
  EXPECT_TRUE(find_in_caches("huggingface", "O/N", "evil").empty());
}

TEST_F(Store, OllamasBlobIsFoundByItsManifestAndDamagedManifestsAreNone) {
  const std::string digest(64, 'a');
  const std::string manifest =
      R"({"layers":[{"mediaType":"application/vnd.ollama.image.model","size":4,"digest":"sha256:)" + digest +
      "\"}]}";
  put(".ollama/models/manifests/registry.ollama.ai/library/llama3.2/1b", manifest);
  put(".ollama/models/manifests/registry.ollama.ai/library/llama3.2/empty", "");
  EXPECT_TRUE(find_in_caches("ollama", "llama3.2:1b", "").empty()) << "the blob is missing";
  put(".ollama/models/blobs/sha256-" + digest, "GGUF");
  EXPECT_EQ(find_pulled("llama3.2:1b"), in(".ollama/models/blobs/sha256-" + digest));
  EXPECT_TRUE(find_in_caches("ollama", "llama3.2:empty", "").empty());
  EXPECT_EQ(all_in_caches().size(), 1u);
}

}  // namespace
}  // namespace chaski
