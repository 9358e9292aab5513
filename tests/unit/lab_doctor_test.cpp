// Doctor's pages of the machines in tests/data/machines, word for word in both languages; whether a model
// fits; the self-test. Redraw the pages with CHASKI_REDRAW=1 in the environment, and read the difference.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include "backend/cpu/cpu_backend.h"
#include "lab/doctor_page.h"
#include "lab/model_fit.h"
#include "lab/self_test.h"
#include "model/llama.h"
#include "support/isolated_device.h"
#include "support/machine_tree.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;
using testing::IsolatedDevice;
using tests::MachineTree;

std::vector<std::string> machine_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(MachineTree::folder_of(""))) {
    if (entry.is_directory()) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string text_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Machine : public ::testing::TestWithParam<std::string> {};

TEST_P(Machine, HasThePageOnRecord) {
  const MachineTree machine(GetParam());
  const std::vector<Finding> findings = examine(MachineView(machine.root()), {});
  for (const Lang lang : {Lang::kEn, Lang::kZh}) {
    const std::string page = doctor_page(findings, lang, false);
    const fs::path file = MachineTree::folder_of(GetParam()) / fmt::format("doctor.{}.txt", name_of(lang));
    if (std::getenv("CHASKI_REDRAW") != nullptr) std::ofstream(file, std::ios::binary) << page;
    EXPECT_EQ(page, text_of(file));
  }
}

std::string name_of_machine(const ::testing::TestParamInfo<std::string>& tested) {
  std::string name = tested.param;
  for (char& c : name) c = c == '-' || c == '.' ? '_' : c;
  return name;
}

INSTANTIATE_TEST_SUITE_P(Doctor, Machine, ::testing::ValuesIn(machine_names()), name_of_machine);

TEST(Doctor, TheFirstThingToMendIsNamed) {
  struct Expected {
    const char *machine, *id;
    int step, exit_status;
  };
  const Expected all[] = {{"good-910b", "", 0, 0},
                          {"no-group", "ascend.devices", 1, 7},
                          {"container-no-device", "ascend.devices", 1, 7},
                          {"driver-too-old", "ascend.driver", 2, 7},
                          {"driver-older", "ascend.driver", 2, 0},
                          {"no-toolkit", "ascend.toolkit", 3, 7},
                          {"not-sourced", "ascend.toolkit", 3, 7},
                          {"wrong-architecture", "ascend.toolkit", 3, 7},
                          {"two-toolkits", "ascend.toolkit", 3, 0},
                          {"devlib-shadows", "ascend.hal", 4, 7},
                          {"missing-symbol", "ascend.libraries", 5, 7},
                          {"no-kernels", "ascend.kernels", 6, 7},
                          {"duplicate-devices", "ascend.runtime", 7, 7},
                          {"cut-devices", "ascend.runtime", 7, 0},
                          {"ascend-310p", "ascend.chip", 8, 5},
                          {"first-910", "ascend.chip", 8, 5},
                          {"npu-full", "ascend.memory", 9, 6},
                          {"npu-smi-only", "", 0, 0},
                          {"dcmi-refused", "", 0, 0},
                          {"cann-8.5-a3", "", 0, 0},
                          {"no-accelerator", "", 0, 0},
                          {"nvidia-good", "", 0, 0},
                          {"nvidia-no-driver", "nvidia.driver", 0, 7},
                          {"nvidia-nouveau", "nvidia.driver", 0, 7},
                          {"nvidia-mismatch", "nvidia.library", 0, 7},
                          {"proxies", "network.proxy", 0, 0},
                          {"proxy-broken", "network.proxy", 0, 8},
                          {"low-memory", "cpu.memory", 0, 6},
                          {"read-only-home", "disk.home", 0, 9},
                          {"old-processor", "cpu.path", 0, 0}};
  EXPECT_EQ(std::size(all), machine_names().size()) << "every machine has its expectation here";
  for (const Expected& expected : all) {
    const MachineTree machine(expected.machine);
    const std::vector<Finding> findings = examine(MachineView(machine.root()), {});
    const Diagnosis diagnosis = diagnose(findings);
    EXPECT_EQ(diagnosis.headline == nullptr ? "" : diagnosis.headline->id, expected.id) << expected.machine;
    EXPECT_EQ(diagnosis.headline == nullptr ? 0 : diagnosis.headline->step, expected.step)
        << expected.machine;
    EXPECT_EQ(diagnosis.exit_status, expected.exit_status) << expected.machine;
  }
}

TEST(Doctor, AllTwelveStepsAreTakenInOrder) {
  const MachineTree machine("good-910b");
  std::vector<std::string> ids;
  for (const Finding& finding : examine(MachineView(machine.root()), {})) {
    if (finding.step == 0) continue;
    EXPECT_EQ(finding.step, static_cast<int>(ids.size()) + 1);
    ids.push_back(finding.id);
  }
  EXPECT_EQ(ids,
            (std::vector<std::string>{"ascend.devices", "ascend.driver", "ascend.toolkit", "ascend.hal",
                                      "ascend.libraries", "ascend.kernels", "ascend.runtime", "ascend.chip",
                                      "ascend.memory", "ascend.operators", "ascend.launch", "ascend.busy"}));
}

TEST(Doctor, TheJsonSaysWhatThePageSays) {
  const MachineTree machine("no-group");
  const OrderedJson json = doctor_json(examine(MachineView(machine.root()), {}));
  EXPECT_EQ(json.at("schema"), 1);
  EXPECT_EQ(json.at("kind"), "doctor");
  EXPECT_EQ(json.at("status"), "failure");
  EXPECT_EQ(json.at("exit_status"), 7);
  EXPECT_EQ(json.at("headline"), "ascend.devices");
  for (const OrderedJson& finding : json.at("findings")) {
    if (finding.at("id") != "ascend.devices") continue;
    EXPECT_EQ(finding.at("step"), 1);
    EXPECT_EQ(finding.at("code"), "device");
    EXPECT_NE(finding.at("fix").at("en").get<std::string>().find("usermod -aG HwHiAiUser alice"),
              std::string::npos);
    EXPECT_NE(finding.at("what").at("zh").get<std::string>().find("alice"), std::string::npos);
  }
}

TEST(Doctor, AMachinesTextsCannotMoveTheTerminal) {
  Findings found;
  found.fail("cpu.path", ErrorCode::kDevice,
             words("\x1b[2J{}", "{}",
                   shown("\xe2\x80\xae"
                         "evil\x1b[31m\n")),
             {}, words("fix", "修复"));
  const std::string page = doctor_page(found.all(), Lang::kEn, false);
  EXPECT_EQ(page.find('\x1b'), std::string::npos) << page;
  EXPECT_EQ(page.find("\xe2\x80\xae"), std::string::npos) << page;
  EXPECT_NE(doctor_page(found.all(), Lang::kEn, true).find("\x1b[31;1mFAIL\x1b[0m"), std::string::npos);
}

std::unique_ptr<Device> cpu(Precision precision = Precision::kFast) {
  DeviceOptions options;
  options.precision = precision;
  return CpuBackend().open(0, options);
}

TEST(ModelFit, ThePlanKnowsTheWeightsAsTheDeviceWillHoldThem) {
  for (const char* name :
       {"synthetic:tiny@q8_0", "synthetic:tiny@q4_0", "synthetic:tiny", "synthetic:tiny@f32"}) {
    for (const Precision precision : {Precision::kFast, Precision::kExact}) {
      const auto checkpoint = Checkpoint::open(name);
      const auto device = cpu(precision);
      const MemoryPlan plan = plan_memory(*checkpoint, *device, 64);
      load_llama(*checkpoint, device->ops(), 64);
      EXPECT_EQ(plan.weight_bytes, device->weight_bytes()) << name;
      EXPECT_GT(plan.kv_bytes, 0);
    }
  }
}

TEST(ModelFit, ALongerContextNeedsMoreAndNoneGoesBeyondTheModels) {
  const auto checkpoint = Checkpoint::open("synthetic:tiny");
  const auto device = cpu();
  const MemoryPlan one = plan_memory(*checkpoint, *device, 1), more = plan_memory(*checkpoint, *device, 64);
  EXPECT_LT(one.kv_bytes, more.kv_bytes);
  EXPECT_EQ(plan_memory(*checkpoint, *device, int64_t{1} << 60).context, checkpoint->config().max_context);
}

TEST(ModelFit, TheVerdictIsByWhatIsFree) {
  const auto checkpoint = Checkpoint::open("synthetic:llama-3.2-3b");
  const auto device = cpu();
  const int64_t needed = plan_memory(*checkpoint, *device, 4096).total_bytes();
  const std::vector<std::pair<std::optional<int64_t>, FindingStatus>> cases{
      {needed * 2, FindingStatus::kOk},
      {needed + 1, FindingStatus::kWarning},
      {needed - 1, FindingStatus::kFailure},
      {std::nullopt, FindingStatus::kNotApplicable}};
  for (const auto& [free, status] : cases) {
    Findings found;
    FitQuestion question;
    question.model = "synthetic:llama-3.2-3b";
    question.free_bytes = free;
    check_model(*checkpoint, *device, question, found);
    ASSERT_EQ(found.all().size(), 1u);
    EXPECT_EQ(found.all()[0].status, status);
  }
}

TEST(ModelFit, TheSpeedIsWhatTheBandwidthAllows) {
  const auto checkpoint = Checkpoint::open("synthetic:llama-3.2-1b@q8_0");
  Findings found;
  FitQuestion question;
  question.model = "m";
  question.read_gb_per_s = 20;
  check_model(*checkpoint, *cpu(), question, found);
  const Json& facts = found.find("model.speed")->facts;
  // 1.236e9 parameters of 8.5 bits, tied, are all read for each token.
  EXPECT_NEAR(facts.at("most_tokens_per_s").get<double>(), 20e9 / (1.2358e9 * 8.5 / 8), 0.2);
  EXPECT_LT(facts.at("most_tokens_per_s_full").get<double>(), facts.at("most_tokens_per_s").get<double>());
}

TEST(SelfTest, TheCpuAgreesWithTheScalarDefinition) {
  for (const Precision precision : {Precision::kExact, Precision::kFast}) {
    Findings found;
    check_device(*cpu(precision), "cpu", found);
    ASSERT_EQ(found.all().size(), 1u);
    EXPECT_EQ(found.all()[0].status, FindingStatus::kOk) << found.all()[0].what.en;
  }
}

TEST(SelfTest, AWrongDeviceIsAFailureThatNamesTheOp) {
  IsolatedDevice device;
  device.isolated_ops().plant_fault(OpKind::kSwiglu, 0);
  Findings found;
  check_device(device, "isolated", found);
  ASSERT_EQ(found.all().size(), 1u);
  EXPECT_EQ(found.all()[0].status, FindingStatus::kFailure);
  EXPECT_EQ(found.all()[0].section, "selftest");
  EXPECT_NE(found.all()[0].what.en.find("layer 0"), std::string::npos) << found.all()[0].what.en;
}

}  // namespace
}  // namespace chaski
