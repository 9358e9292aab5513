// Doctor's reading of a machine: files below a root, libraries' symbols, versions, drivers' answers, and
// machines whose files are not what they should be. The pages: lab_doctor_test.cpp.
#include "machine/doctor.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/utf8.h"
#include "machine/device_facts.h"
#include "machine/library_search.h"
#include "machine/release.h"
#include "support/machine_tree.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;
using tests::MachineTree;
using tests::TemporaryFolder;

void write(const fs::path& file, std::string_view text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

std::string bytes_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string own_architecture() {
  utsname names{};
  ::uname(&names);
  return names.machine;
}

/// Every text of every finding is one line of valid UTF-8, and a failure says what to do.
void expect_sound(const std::vector<Finding>& findings) {
  EXPECT_GE(findings.size(), 8u);
  for (const Finding& finding : findings) {
    for (const Words* words : {&finding.what, &finding.reason, &finding.fix}) {
      for (const std::string* text : {&words->en, &words->zh}) {
        EXPECT_TRUE(is_valid_utf8(*text)) << finding.id;
        EXPECT_EQ(text->find('\n'), std::string::npos) << finding.id << ": " << *text;
        EXPECT_LT(text->size(), 2000u) << finding.id;
      }
      EXPECT_EQ(words->en.empty(), words->zh.empty()) << finding.id;
    }
    EXPECT_FALSE(finding.what.empty()) << finding.id;
    EXPECT_TRUE(finding.status != FindingStatus::kFailure || !finding.fix.empty()) << finding.id;
  }
  EXPECT_NO_THROW(doctor_json(findings).dump());
}

TEST(MachineView, LinksLeadNowhereOutsideTheRoot) {
  const TemporaryFolder root, outside;
  write(outside / "secret", "secret\n");
  write(root / "data/file", "inside\n");
  fs::create_symlink("/data/file", root / "absolute");
  fs::create_symlink("../../../../data/file", root / "data/up");
  fs::create_symlink((outside / "secret").string(), root / "out");
  fs::create_symlink("loop", root / "loop");
  fs::create_symlink("/data", root / "folder");
  const MachineView view(root.path());
  EXPECT_EQ(view.line("/absolute"), "inside");
  EXPECT_EQ(view.line("/data/up"), "inside");
  EXPECT_EQ(view.line("/folder/file"), "inside");
  EXPECT_EQ(view.resolve("/folder/../data/./file"), "/data/file");
  EXPECT_FALSE(view.exists("/out"));
  EXPECT_FALSE(view.exists("/loop"));
  EXPECT_FALSE(view.exists("/loop/more"));
  EXPECT_TRUE(view.names("/out").empty());
}

TEST(MachineView, WhatIsNoRegularFileIsNotOpened) {
  const TemporaryFolder root;
  ASSERT_EQ(::mkfifo((root / "pipe").c_str(), 0600), 0);
  fs::create_directories(root / "folder");
  write(root / "large", std::string(100'000, 'x'));
  const MachineView view(root.path());
  EXPECT_EQ(view.text("/pipe").why_not, "it is no regular file");
  EXPECT_EQ(view.text("/folder").why_not, "it is no regular file");
  EXPECT_EQ(view.text("/nothing").why_not, "there is no such file");
  EXPECT_NE(view.text("/large").why_not, "");
  EXPECT_LE(view.text("/large").text.size(), MachineView::kMostTextBytes);
  EXPECT_FALSE(view.device_node("/pipe").has_value());
  EXPECT_NE(view.library("/pipe", {"f"}).why_not, "");
}

TEST(MachineView, TheEnvironmentIsTheTreesOwn) {
  ::setenv("CHASKI_TEST_ONLY_HERE", "1", 1);
  const TemporaryFolder root;
  write(root / "environment", "HOME=/home/bob\nEMPTY=\n=x\nno line\nLIST=/a:b::/c\n");
  const MachineView view(root.path());
  EXPECT_EQ(view.env("HOME"), "/home/bob");
  EXPECT_EQ(view.env("CHASKI_TEST_ONLY_HERE"), "");
  EXPECT_EQ(view.env_paths("LIST"), (std::vector<std::string>{"/a", "/c"}));
  EXPECT_EQ(MachineView::live().env("CHASKI_TEST_ONLY_HERE"), "1");
  ::unsetenv("CHASKI_TEST_ONLY_HERE");
}

TEST(MachineView, PermissionIsByOwnerThenGroupThenOthers) {
  Identity who;
  who.is_known = true;
  who.uid = 1000;
  who.gids = {1000, 44};
  EXPECT_TRUE(who.may_use({true, 0660, 0, 44}));
  EXPECT_FALSE(who.may_use({true, 0660, 0, 45}));
  EXPECT_TRUE(who.may_use({true, 0666, 0, 45}));
  EXPECT_FALSE(who.may_use({true, 0066, 1000, 44})) << "the owner's own bits count first";
  EXPECT_TRUE(who.may_use({false, 0, 0, 0})) << "what is not known is not held against it";
  who.uid = 0;
  EXPECT_TRUE(who.may_use({true, 0, 5, 5}));
}

TEST(ElfSymbols, ALibrarysSymbolsAreReadWithoutLoadingIt) {
  const LibrarySymbols library =
      read_elf_symbols(fake_dcmi_path, {"dcmi_init", "dcmi_get_card_list", "no_such"});
  EXPECT_EQ(library.why_not, "");
  EXPECT_EQ(library.architecture, own_architecture());
  EXPECT_EQ(library.found, (std::set<std::string>{"dcmi_init", "dcmi_get_card_list"}));
}

TEST(ElfSymbols, ACutOrDamagedLibraryIsAnAnswer) {
  const std::string whole = bytes_of(fake_dcmi_path);
  const TemporaryFolder folder;
  const auto read = [&](const std::string& bytes) {
    write(folder / "lib.so", bytes);
    return read_elf_symbols(folder / "lib.so", {"dcmi_init"});
  };
  for (size_t n = 0; n < whole.size(); n += 1 + whole.size() / 97) {
    const LibrarySymbols library = read(whole.substr(0, n));
    EXPECT_TRUE(!library.why_not.empty() || !library.found.empty()) << n << " bytes";
  }
  for (const size_t at : {4u, 5u, 18u, 40u, 44u, 47u, 58u, 60u}) {
    std::string damaged = whole;
    damaged[at] = '\xff';
    read(damaged);
  }
  EXPECT_NE(read("").why_not, "");
  EXPECT_NE(read("#!/bin/sh\n").why_not, "");
}

TEST(Release, CandidatesComeBeforeTheirRelease) {
  const std::vector<std::string> in_order{"22.0.4",     "23.0.3", "24.1.rc1", "24.1.rc3.b999", "24.1.0",
                                          "25.0.rc1.1", "25.0.0", "25.2.0",   "25.2.1"};
  for (size_t i = 1; i < in_order.size(); ++i) {
    ASSERT_TRUE(parse_release(in_order[i]).has_value()) << in_order[i];
    EXPECT_LT(*parse_release(in_order[i - 1]), *parse_release(in_order[i])) << in_order[i];
  }
  EXPECT_LT(*parse_release("8.0.0.alpha001"), *parse_release("8.0.RC1"));
  EXPECT_LT(*parse_release("8.0.RC3"), *parse_release("8.0.0"));
  for (const char* none : {"", "8", "x", "8.x", "-1.2", "99999999999999999999.1", ".", "8."}) {
    EXPECT_FALSE(parse_release(none).has_value()) << none;
  }
}

TEST(DeviceFacts, ADriversLibraryIsAskedOnThisMachine) {
  const DriverAnswer answer = ask_dcmi(MachineView::live(), fake_dcmi_path);
  EXPECT_EQ(answer.why_not, "");
  EXPECT_EQ(answer.devices.size(), 2u) << "the card's controller is no NPU";
  EXPECT_NE(ask_dcmi(MachineView::live(), "/no/such/library.so").why_not, "");
  EXPECT_NE(ask_nvml(MachineView::live(), "/no/such/library.so").why_not, "");
}

TEST(DeviceFacts, AWrittenAnswerMayBeAnything) {
  const TemporaryFolder root;
  for (const char* text :
       {"", "[]", "{", "{\"devices\": 3}", "{\"devices\": [1]}", "{\"devices\": [{\"name\": 3}]}",
        "{\"devices\": [{\"total_bytes\": -5, \"used_bytes\": 1e300}]}",
        "{\"devices\": [{\"name\": \"\\u001b[2J\", \"busy_percent\": 1000000}]}"}) {
    write(root / "dcmi.json", text);
    const DriverAnswer answer = ask_dcmi(MachineView(root.path()));
    for (const AcceleratorFacts& npu : answer.devices) {
      EXPECT_EQ(npu.name.find('\x1b'), std::string::npos);
      EXPECT_FALSE(npu.total_bytes && *npu.total_bytes < 0);
      EXPECT_FALSE(npu.busy_percent.has_value());
    }
  }
}

TEST(LibrarySearch, TheLoadersPathComesFirstAndLinksCountOnce) {
  const TemporaryFolder root;
  write(root / "first/libx.so", "symbols x86_64\n");
  write(root / "conf/libx.so", "symbols x86_64\n");
  write(root / "etc/ld.so.conf.d/more.conf", "# folders\n/conf  # and a remark\n");
  write(root / "environment", "LD_LIBRARY_PATH=/first:/link\n");
  fs::create_symlink("/first", root / "link");
  EXPECT_EQ(find_libraries(MachineView(root.path()), "libx.so"),
            (std::vector<std::string>{"/first/libx.so", "/conf/libx.so"}));
}

TEST(Doctor, AnEmptyRootIsAMachineOfWhichNothingIsKnown) {
  const TemporaryFolder root;
  const std::vector<Finding> findings = examine(MachineView(root.path()), {});
  EXPECT_GE(findings.size(), 6u);
  for (const Finding& finding : findings) EXPECT_FALSE(finding.what.empty());
}

TEST(Doctor, ThisMachineCanBeExamined) { expect_sound(examine(MachineView::live(), {})); }

TEST(Doctor, ADeviceThatIsAskedForAndMissingIsAFailure) {
  const MachineTree machine("no-accelerator");
  const MachineView view(machine.root());
  for (const char* device : {"cuda", "cuda:1", "ascend", "ascend:0"}) {
    DoctorScope scope;
    scope.device = device;
    const std::vector<Finding> findings = examine(view, scope);
    EXPECT_EQ(diagnose(findings).exit_status, traits_of(ErrorCode::kDevice).exit_status) << device;
    expect_sound(findings);
  }
  DoctorScope cpu;
  cpu.device = "cpu";
  EXPECT_EQ(diagnose(examine(view, cpu)).exit_status, 0);
}

TEST(Doctor, SecretsOfTheEnvironmentAreNotShown) {
  const MachineTree machine("proxies");
  const std::string json = doctor_json(examine(MachineView(machine.root()), {})).dump();
  EXPECT_NE(json.find("proxy.example:3128"), std::string::npos);
  EXPECT_EQ(json.find("s3cret"), std::string::npos);
  EXPECT_EQ(json.find("hf_secret"), std::string::npos);
}

/// What hostile files may be in the place of any file of a machine.
using Spoil = void (*)(const fs::path& file);
void make_pipe(const fs::path& file) { ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0); }
void make_loop(const fs::path& file) { fs::create_symlink(file.filename(), file); }
void make_folder(const fs::path& file) { fs::create_directories(file / "in it"); }
void make_garbage(const fs::path& file) {
  std::string bytes;
  for (int i = 0; i < 5000; ++i) bytes += static_cast<char>(i * 37 + i / 256);
  write(file, bytes);
}
void make_huge(const fs::path& file) {
  write(file, "Version=");
  fs::resize_file(file, uint64_t{1} << 40);  // sparse
}
void make_controls(const fs::path& file) {
  write(file, "\x1b[2J\x1b]0;title\x07Version=\x1b[31m\xe2\x80\xae\xff\nversion=\x1b[31m8.0.0\n");
}

class HostileMachine : public ::testing::TestWithParam<Spoil> {};

TEST_P(HostileMachine, EveryFileMayBeSpoiled) {
  const MachineTree machine("good-910b");
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(machine.root())) {
    const bool is_one_of_many = entry.path().string().find("/cpu/cpu") != std::string::npos ||
                                entry.path().string().find("/0000:c2") != std::string::npos;
    if (entry.is_regular_file() && !entry.is_symlink() && !is_one_of_many) files.push_back(entry.path());
  }
  ASSERT_GT(files.size(), 20u);
  for (const fs::path& file : files) {
    const fs::path kept = file.string() + ".kept";
    fs::rename(file, kept);
    GetParam()(file);
    const std::vector<Finding> findings = examine(MachineView(machine.root()), {});
    expect_sound(findings);
    if (::testing::Test::HasFailure()) FAIL() << file;
    fs::remove_all(file);
    fs::rename(kept, file);
  }
  EXPECT_EQ(diagnose(examine(MachineView(machine.root()), {})).exit_status, 0);
}

std::string name_of_spoil(const ::testing::TestParamInfo<Spoil>& tested) {
  constexpr const char* kNames[] = {"APipe",   "ALoopOfLinks", "AFolder",
                                    "Garbage", "ATerabyte",    "ControlCharacters"};
  return kNames[tested.index];
}

INSTANTIATE_TEST_SUITE_P(By, HostileMachine,
                         ::testing::Values(make_pipe, make_loop, make_folder, make_garbage, make_huge,
                                           make_controls),
                         name_of_spoil);

}  // namespace
}  // namespace chaski
