// What hubs answer, well-formed, strange and hostile, read into listings.
#include "hub/listing.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "support/error_of.h"

namespace chaski {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kSha256(64, 'a');
const std::string kSha1(40, 'b');

RemoteFile file(const std::string& name, uint64_t size = 1) {
  RemoteFile remote;
  remote.name = name;
  remote.size = size;
  return remote;
}

ErrorCode code_of_listing(std::vector<RemoteFile> files) {
  return error_of([&] { check_listing({"", std::move(files)}, "test"); }).code();
}

TEST(HubListing, ModelScopeSaysFilesFoldersSizesAndHashes) {
  const std::string text = R"({"Code":200,"Success":true,"Data":{"Files":[
    {"Path":"a/b.safetensors","Type":"blob","Size":7,"Sha256":")" +
                           kSha256 + R"(","IsLFS":true},
    {"Path":"a","Type":"tree","Size":0},{"Path":"unknown","Type":"blob","Size":0,"Sha256":null}]}})";
  const ListingPage page = parse_modelscope_files(text, "test");
  ASSERT_EQ(page.files.size(), 2u);
  EXPECT_EQ(page.files[0].name, "a/b.safetensors");
  EXPECT_EQ(page.files[0].size, uint64_t{7});
  EXPECT_EQ(page.files[0].sha256, kSha256);
  EXPECT_TRUE(page.files[0].is_lfs);
  EXPECT_FALSE(page.files[1].size.has_value()) << "a size of 0 may mean that it is not known";
  EXPECT_THAT(page.folders, ElementsAre("a"));
}

TEST(HubListing, ModelScopesListMayStandWithoutAnObjectAroundIt) {
  EXPECT_EQ(parse_modelscope_files(R"({"Data":[{"Path":"x","Size":1}]})", "test").files.size(), 1u);
}

TEST(HubListing, AnAnswerOfModelScopeWithoutSuccessGivesItsMessage) {
  const Error error = error_of(
      [] { parse_modelscope_files(R"({"Success":false,"Message":"no model","Data":null})", "test"); });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_THAT(error.what(), HasSubstr("no model"));
}

TEST(HubListing, HuggingFaceSaysSha256OfLargeFilesAndGitsHashOfSmallOnes) {
  const std::string text = R"([{"type":"directory","path":"d"},
    {"type":"file","path":"config.json","size":3,"oid":")" +
                           kSha1 + R"("},
    {"type":"file","path":"w.safetensors","size":9,"oid":")" +
                           kSha1 + R"(","lfs":{"oid":")" + kSha256 + R"(","size":9,"pointerSize":134}}])";
  const ListingPage page = parse_huggingface_tree(text, "test");
  ASSERT_EQ(page.files.size(), 2u);
  EXPECT_EQ(page.files[0].git_sha1, kSha1);
  EXPECT_EQ(page.files[0].sha256, "");
  EXPECT_EQ(page.files[1].sha256, kSha256);
  EXPECT_EQ(page.files[1].git_sha1, "") << "git's hash there is the pointer's";
}

TEST(HubListing, OpenMindSaysItsCommitAndWhichHashAFileHas) {
  const std::string text = R"({"data":{"tree":[
    {"type":"file","path":"w.gguf","size":9,"is_lfs":true,"etag":")" +
                           kSha256 + R"("},
    {"type":"file","path":"a.json","size":1,"is_lfs":false,"etag":")" +
                           kSha1 + R"("},{"type":"dir","path":"sub"}],
    "last_commit":{"commit":{"commit_sha":"c0ffee"}}}})";
  const ListingPage page = parse_openmind_tree(text, "test");
  ASSERT_EQ(page.files.size(), 2u);
  EXPECT_EQ(page.files[0].sha256, kSha256);
  EXPECT_EQ(page.files[1].git_sha1, kSha1);
  EXPECT_EQ(page.commit, "c0ffee");
  EXPECT_THAT(page.folders, ElementsAre("sub"));
}

TEST(HubListing, LayersOfOllamaBecomeFilesOfTheirKinds) {
  const auto layer = [](const std::string& kind, char digit) {
    return R"({"mediaType":"application/vnd.ollama.image.)" + kind + R"(","size":5,"digest":"sha256:)" +
           std::string(64, digit) + "\"}";
  };
  const std::string text = R"({"layers":[)" + layer("model", '1') + "," + layer("license", '2') + "," +
                           layer("license", '3') + "," + layer("projector", '4') + "]}";
  const ListingPage page = parse_ollama_manifest(text, "test");
  ASSERT_EQ(page.files.size(), 3u);
  EXPECT_EQ(page.files[0].name, "model.gguf");
  EXPECT_EQ(page.files[1].name, "license.txt");
  EXPECT_EQ(page.files[2].name, "license-2.txt");
}

TEST(HubListing, DigestsOfOtherFormsAreRefused) {
  for (const std::string& digest :
       {"sha256:" + std::string(63, 'a'), "sha256:" + std::string(65, 'a'), "sha256:" + std::string(64, 'A'),
        std::string("sha256:../../etc/passwd"), "sha512:" + std::string(64, 'a'), std::string(64, 'a')}) {
    const std::string text =
        R"({"layers":[{"mediaType":"application/vnd.ollama.image.model","size":5,"digest":")" + digest +
        "\"}]}";
    EXPECT_EQ(error_of([&] { parse_ollama_manifest(text, "test"); }).code(), ErrorCode::kCorrupt) << digest;
  }
  RemoteFile upper = file("a");
  upper.sha256 = std::string(64, 'A');
  EXPECT_EQ(code_of_listing({upper}), ErrorCode::kCorrupt);
}

TEST(HubListing, NamesThatLeaveTheFolderOrHideAreRefused) {
  for (const std::string& name :
       {std::string("../a"), std::string("/a"), std::string("a\\..\\b"), std::string("C:x"),
        std::string("a/./b"), std::string(), std::string("."), std::string(5000, 'x'), std::string("a\0b", 3),
        std::string("a\nb"), std::string("a\u202Eb"), std::string("CON"), std::string(".chaski/lock"),
        std::string(".chaski"), std::string(".Chaski/lock")}) {
    EXPECT_EQ(code_of_listing({file(name)}), ErrorCode::kCorrupt) << name.substr(0, 50);
  }
}

TEST(HubListing, NamesThatMeetOnADiskAreRefused) {
  EXPECT_EQ(code_of_listing({file("a"), file("a")}), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of_listing({file("Config.json"), file("config.json")}), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of_listing({file("\u00C4.json"), file("\u00E4.json")}), ErrorCode::kCorrupt) << "case";
  EXPECT_EQ(code_of_listing({file("\u00E4.json"), file("a\u0308.json")}), ErrorCode::kCorrupt) << "form";
  EXPECT_NO_THROW(check_listing({"", {file("\u6A21\u578B.json"), file("\u6A21\u578D.json")}}, "test"));
  EXPECT_EQ(code_of_listing({file("a"), file("a/b")}), ErrorCode::kCorrupt);
}

TEST(HubListing, CountsAndSumsHaveLimits) {
  std::vector<RemoteFile> many;
  for (size_t i = 0; i <= kMaxRemoteFiles; ++i) many.push_back(file(fmt::format("f{}", i)));
  EXPECT_EQ(code_of_listing(many), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of_listing({file("a", UINT64_MAX), file("b", 2)}), ErrorCode::kCorrupt);
  EXPECT_EQ(
      error_of([] { parse_huggingface_tree(R"([{"type":"file","path":"a","size":-1}])", "test"); }).code(),
      ErrorCode::kCorrupt);
}

TEST(HubListing, AnswersThatAreNoListingsAreErrors) {
  for (const std::string_view text : {"", "null", "7", "[]", "{}", "[1]", R"({"Data":7})",
                                      R"({"data":{"tree":[7]}})", "<html>", "\x1f\x8b\x08"}) {
    EXPECT_EQ(error_of([&] { parse_modelscope_files(text, "test"); }).code(), ErrorCode::kCorrupt) << text;
    EXPECT_EQ(error_of([&] { parse_openmind_tree(text, "test"); }).code(), ErrorCode::kCorrupt) << text;
    EXPECT_EQ(error_of([&] { parse_ollama_manifest(text, "test"); }).code(), ErrorCode::kCorrupt) << text;
    if (text != "[]") {
      EXPECT_EQ(error_of([&] { parse_huggingface_tree(text, "test"); }).code(), ErrorCode::kCorrupt) << text;
    }
  }
}

TEST(HubListing, TheNextPageIsTheOneThatIsCalledSo) {
  EXPECT_EQ(next_page_of("<https://h/a?cursor=1>; rel=\"next\""), "https://h/a?cursor=1");
  EXPECT_EQ(next_page_of("<https://h/x>; rel=\"xet-auth\", <https://h/b>; rel=\"next\""), "https://h/b");
  EXPECT_EQ(next_page_of("<https://h/x>; rel=\"prev\""), "");
  for (const std::string_view broken : {"", "next", "<", ">", "><; rel=next", "<a; rel=\"next\""}) {
    EXPECT_EQ(next_page_of(broken), "") << broken;
  }
}

TEST(HubListing, APointerOfLfsIsKnown) {
  const std::string text =
      "version https://git-lfs.github.com/spec/v1\noid sha256:" + kSha256 + "\nsize 2471645608\n";
  const auto pointer = parse_lfs_pointer(text);
  ASSERT_TRUE(pointer.has_value());
  EXPECT_EQ(pointer->sha256, kSha256);
  EXPECT_EQ(pointer->size, 2471645608u);
}

TEST(HubListing, WhatIsNoPointerIsNotTakenForOne) {
  const std::string start = "version https://git-lfs.github.com/spec/v1\n",
                    oid = "oid sha256:" + kSha256 + "\n";
  for (const std::string& text :
       {std::string(), start, start + oid, start + "size 3\n", start + oid + "size -3\n",
        start + oid + "size \n", start + oid + "size 99999999999999999999\n",
        start + "oid sha256:../x\nsize 3\n", oid + start + "size 3\n",
        start + oid + "size 3\n" + std::string(2000, '\n')}) {
    EXPECT_FALSE(parse_lfs_pointer(text).has_value()) << text.substr(0, 200);
  }
}

TEST(HubListing, ABatchAnswerGivesTheLinkAndItsHeadersOrTheServersError) {
  const LfsPointer object{kSha256, 3};
  const LfsAction action =
      parse_lfs_batch(R"({"objects":[{"oid":")" + kSha256 +
                          R"(","actions":{"download":{"href":"http://h/x","header":{"A":"b"}}}}]})",
                      object, "test");
  EXPECT_EQ(action.href, "http://h/x");
  ASSERT_EQ(action.headers.size(), 1u);
  EXPECT_EQ(action.headers[0].second, "b");
  const Error gone = error_of([&] {
    parse_lfs_batch(R"({"objects":[{"oid":")" + kSha256 + R"(","error":{"code":404,"message":"gone"}}]})",
                    object, "test");
  });
  EXPECT_EQ(gone.code(), ErrorCode::kNotFound);
  EXPECT_THAT(gone.what(), HasSubstr("gone"));
  for (const std::string_view text : {R"({"objects":[]})", R"({"objects":7})", R"({"objects":[7]})", "[]"}) {
    EXPECT_EQ(error_of([&] { parse_lfs_batch(text, object, "test"); }).code(), ErrorCode::kCorrupt) << text;
  }
}

}  // namespace
}  // namespace chaski
