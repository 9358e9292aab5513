// Opening CANN, what is said where it is not whole, what its error codes mean; doctor's list of symbols.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "backend/ascend/acl_error.h"
#include "machine/ascend_install.h"
#include "support/ascend_emulator.h"
#include "support/temporary_folder.h"

namespace chaski {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using tests::emulated_cann;
using tests::emulated_profile;
using tests::Emulator;
using tests::EmulatorSettings;
using tests::TemporaryFolder;

/// What open() says of `search`.
Error refusal_of(const AclSearch& search) {
  try {
    AclApi::open(search);
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::kInternal, "test", "it opened");
}

TEST(AscendBinding, EverySymbolIsFoundAndItsLibraryNamed) {
  const Emulator emulator;
  const AclApi& api = *emulator.api();
  for (const AclSymbol& symbol : api.symbols()) {
    if (!symbol.is_required) continue;
    EXPECT_THAT(symbol.served_by, HasSubstr(std::string(name_of(symbol.library)) + ".so")) << symbol.name;
  }
  EXPECT_EQ(api.can_capture(), emulated_profile() != "8.0");
  EXPECT_EQ(api.missing().empty(), api.can_capture());
  EXPECT_TRUE(api.has(AclnnOp::kMm));
  EXPECT_TRUE(api.has("aclrtMalloc"));
  EXPECT_FALSE(api.has("aclrtNoSuchThing"));
}

TEST(AscendBinding, TheEmulatorIsToldFromCann) {
  const Emulator emulator;
  EXPECT_TRUE(emulator.api()->is_emulated());
  EXPECT_EQ(emulator.api()->profile(), emulated_profile());
  EXPECT_EQ(emulator.api()->version(), "emulated CANN " + emulated_profile());
}

/// In a process of its own: ends with 0 where CANN 8.0 opens without what came later.
void open_cann_8_0() {
  const auto api = AclApi::open(emulated_cann("8.0"));
  bool is_right = !api->can_capture() && api->call.aclmdlRICaptureBegin == nullptr &&
                  api->missing().size() == 5 &&
                  api->missing().front() == "aclmdlRICaptureBegin (since CANN 8.1)" &&
                  api->has(AclnnOp::kMm) && api->version() == "emulated CANN 8.0";
  std::_Exit(is_right ? 0 : 1);
}

TEST(AscendBindingDeathTest, Cann80OpensWithoutWhatCameLater) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(open_cann_8_0(), ::testing::ExitedWithCode(0), "");
}

TEST(AscendBinding, RequiredSymbolsThatAreMissingAreNamedWithWhatToDo) {
  AclSearch search = emulated_cann();
  search.without = {"aclrtMalloc", "aclnnMm"};
  const Error error = refusal_of(search);
  EXPECT_EQ(error.code(), ErrorCode::kDevice);
  EXPECT_THAT(error.what(), HasSubstr("lacks aclrtMalloc, aclnnMmGetWorkspaceSize, aclnnMm"));
  EXPECT_THAT(error.what(), HasSubstr("emulated CANN " + emulated_profile()));
  EXPECT_THAT(error.hint(), HasSubstr("CANN 8.0"));
  EXPECT_THAT(error.hint(), HasSubstr("set_env.sh"));
}

TEST(AscendBinding, OptionalSymbolsMayBeMissing) {
  AclSearch search = emulated_cann();
  search.without = {"aclmdlRICaptureEnd"};
  const Emulator emulator(search);
  EXPECT_FALSE(emulator.api()->can_capture());
  EXPECT_THAT(emulator.api()->missing(), Contains("aclmdlRICaptureEnd (since CANN 8.1)"));
}

TEST(AscendBinding, WithoutLibrariesItSaysSo) {
  AclSearch search;
  search.by_loader = false;
  const Error error = refusal_of(search);
  EXPECT_EQ(error.code(), ErrorCode::kDevice);
  EXPECT_THAT(error.what(), HasSubstr("libascendcl.so cannot be opened"));
  EXPECT_THAT(error.hint(), HasSubstr("set_env.sh"));
}

TEST(AscendBinding, ALibraryThatCannotBeLoadedIsNamedWithTheLoadersReason) {
  const TemporaryFolder folder;
  std::ofstream(folder / "libascendcl.so") << std::string(100, 'x');
  AclSearch search;
  search.by_loader = false;
  search.folders = {folder.path().string()};
  EXPECT_THAT(refusal_of(search).what(),
              HasSubstr(folder.path().string() + "/libascendcl.so: invalid ELF header"));
}

TEST(AscendBinding, WhereToLookComesFromTheEnvironment) {
  const EmulatorSettings settings(
      {{"ASCEND_HOME_PATH", "/opt/cann"}, {"CHASKI_ASCEND_WITHOUT", "aclmdlRIDestroy,,aclnnMm"}});
  const AclSearch search = AclSearch::from_environment();
  EXPECT_TRUE(search.by_loader);
  EXPECT_EQ(search.folders.front(), "/opt/cann/lib64");
  EXPECT_THAT(search.without, ElementsAre("aclmdlRIDestroy", "aclnnMm"));
}

TEST(AscendBinding, AProbeNeverThrows) {
  std::string why_not;
  const auto api = AclApi::try_open(why_not);
  EXPECT_EQ(api == nullptr, !why_not.empty());
}

TEST(AscendBinding, ArgumentsKnowTheirNames) {
  EXPECT_THAT(argument_names(AclnnOp::kMm), ElementsAre("self", "mat2", "out", "cube_math_type"));
  EXPECT_EQ(argument_names(AclnnOp::kFusedInferAttentionScoreV2).size(), 39u);
  EXPECT_EQ(name_of(AclnnOp::kMm), "aclnnMm");
}

TEST(AscendBinding, DoctorNamesExactlyTheSymbolsThatAreCalled) {
  const Emulator emulator;
  std::map<std::string_view, std::string> called, named;
  for (const AclSymbol& symbol : emulator.api()->symbols()) {
    called[symbol.name] =
        fmt::format("{} {}", name_of(symbol.library), symbol.is_required ? "required" : "optional");
  }
  for (const AscendSymbol& symbol : ascend_symbols()) {
    named[symbol.name] = fmt::format("{} {}", symbol.library, symbol.lost.empty() ? "required" : "optional");
    EXPECT_EQ(symbol.lost.en.empty(), symbol.lost.zh.empty()) << symbol.name;
  }
  EXPECT_EQ(named, called);
}

TEST(AscendErrors, SayTheCodeItsNameAclsMessageAndWhatToDo) {
  const Emulator emulator;
  AclApi& api = *emulator.api();
  api.initialize();
  int32_t none = 7;
  const acl::Status status = api.call.aclrtSetDevice(none);
  try {
    check_acl(api, status, "aclrtSetDevice", "device 7");
    FAIL();
  } catch (const AclError& error) {
    EXPECT_EQ(error.status(), acl::kInvalidDevice);
    EXPECT_EQ(error.code(), ErrorCode::kDevice);
    EXPECT_FALSE(error.is_device_lost());
    EXPECT_THAT(error.what(),
                HasSubstr("[aclrtSetDevice] device 7: returned 107001 (ACL_ERROR_RT_INVALID_DEVICEID): "
                          "E107001: aclrtSetDevice: there is no device 7"));
    EXPECT_THAT(error.hint(), HasSubstr("ASCEND_RT_VISIBLE_DEVICES"));
  }
}

TEST(AscendErrors, TellALostDeviceARefusalAndFullMemoryApart) {
  for (const acl::Status lost :
       {acl::kAicoreException, acl::kAicoreTimeout, acl::kDeviceSetup, acl::kNoDevice, acl::kDriverInternal,
        acl::kVectorException, acl::kRuntimeInternal}) {
    EXPECT_TRUE(is_device_lost(lost)) << lost;
    EXPECT_FALSE(is_refusal(lost) || is_out_of_memory(lost)) << lost;
  }
  for (const acl::Status refused : {acl::kNnInvalidParam, acl::kNnTiling, acl::kNnNoKernel}) {
    EXPECT_TRUE(is_refusal(refused)) << refused;
    EXPECT_FALSE(is_device_lost(refused)) << refused;
  }
  for (const acl::Status full : {acl::kDeviceMemory, acl::kBadAllocation}) {
    EXPECT_TRUE(is_out_of_memory(full)) << full;
    EXPECT_FALSE(is_device_lost(full) || is_refusal(full)) << full;
  }
  EXPECT_FALSE(is_device_lost(acl::kNnNoOppPath) || is_device_lost(acl::kSocVersion));
}

TEST(AscendErrors, EveryHintSaysSomethingAboutItsCode) {
  const Emulator emulator;
  const std::pair<acl::Status, const char*> expected[] = {
      {acl::kNnNoKernel, "kernels package"},   {acl::kNnNoOppPath, "set_env.sh"},
      {acl::kDeviceMemory, "shorter context"}, {acl::kContextNull, "driver"},
      {acl::kDeviceSetup, "/dev/davinci"},     {acl::kAicoreException, "start chaski again"},
      {507999, "start chaski again"},          {acl::kSocVersion, "910B"}};
  for (const auto& [status, text] : expected) {
    try {
      throw_acl_error(*emulator.api(), status, "test");
    } catch (const AclError& error) {
      EXPECT_THAT(error.hint(), HasSubstr(text)) << status;
    }
  }
}

}  // namespace
}  // namespace chaski
