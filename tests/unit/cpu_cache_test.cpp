// The file of packed weights: used where it is good, made anew where it is not, done without where it cannot
// be kept.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "backend/cpu/cache_folder.h"
#include "backend/cpu/pack_cache.h"
#include "cpu_fixture.h"
#include "support/error_of.h"
#include "support/temporary_folder.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using tests::TemporaryFolder;

/// Three matrices over several chunks, and a gain, whose hash is said at once or late.
class SmallCheckpoint : public Checkpoint {
 public:
  explicit SmallCheckpoint(bool is_known = true) : is_known_(is_known) {}
  std::vector<std::string> names() const override { return {"a", "b", "c", "gain"}; }
  WeightSourcePtr find(std::string_view name) const override { return weights().at(std::string(name)); }
  std::string content_hash(const OnBytes&) const override { return std::string(64, 'd'); }
  std::optional<std::string> known_hash() const override {
    return is_known_ ? std::optional(content_hash({})) : std::nullopt;
  }
  uint64_t weight_bytes() const override { return 0; }

 protected:
  using Weights = std::map<std::string, WeightSourcePtr>;
  static const Weights& weights() {
    static const Weights made = [] {
      Weights weights;
      uint32_t seed = 1;
      for (const char* name : {"a", "b", "c"})
        weights[name] = random_weight(name, DType::kQ8_0, {1024, 2048}, seed++);
      weights["gain"] = random_weight("gain", DType::kF32, {2048}, seed);
      return weights;
    }();
    return made;
  }
  static WeightSourcePtr random_weight(const char* name, DType dtype, const Shape& shape, uint32_t seed) {
    return HostWeight::from_f32(name, shape, random_floats(shape.n_elements(), seed), dtype);
  }
  bool is_known_;
};

/// One that somebody writes to while it is packed.
class ChangingCheckpoint : public SmallCheckpoint {
 public:
  using SmallCheckpoint::SmallCheckpoint;
  bool is_unchanged() const override { return false; }
};

/// One that is so large that its hash takes as long as anybody listens.
class EndlessCheckpoint : public SmallCheckpoint {
 public:
  EndlessCheckpoint() : SmallCheckpoint(false) {}
  std::string content_hash(const OnBytes& on_bytes) const override {
    while (true) {
      on_bytes(1);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
};

/// One of the same hash with a weight of another shape.
class OtherShapes : public SmallCheckpoint {
 public:
  WeightSourcePtr find(std::string_view name) const override {
    return name == "a" ? random_weight("a", DType::kQ8_0, {512, 2048}, 9) : SmallCheckpoint::find(name);
  }
};

const cpu::KernelTable& kernels() { return *cpu::available_kernels().back(); }

/// A start of the program: the weights in some ops, and what they compute.
struct Start {
  CpuMachine machine;
  std::vector<WeightId> ids;
  std::vector<std::string> notes, made;  ///< `made`: those of files that were made

  explicit Start(const fs::path& folder, bool is_known = true)
      : Start(folder, std::make_shared<SmallCheckpoint>(is_known)) {}
  Start(const fs::path& folder, const std::shared_ptr<const Checkpoint>& checkpoint,
        const cpu::KernelTable& table = kernels())
      : machine(table, Precision::kFast) {
    if (!folder.empty()) machine.ops.begin_weights(folder.string(), checkpoint);
    for (const std::string& name : checkpoint->names()) {
      ids.push_back(machine.ops.add_weight(checkpoint->find(name)));
    }
    take(machine.ops.finish_weights());
    take(machine.ops.keep_weights({}));
  }
  void take(const std::vector<std::string>& said) {
    for (const std::string& note : said)
      (note.find("weights are kept for") != std::string::npos ? made : notes).push_back(note);
  }

  std::vector<float> products() {
    const HostTensor x = random_tensor({3, 2048}, 77);
    HostTensor normed({3, 2048});
    machine.ops.rms_norm(x.view, ids[3], 1e-5f, normed.view);
    std::vector<float> all;
    for (size_t i = 0; i < 3; ++i) {
      HostTensor out({3, 1024});
      machine.ops.linear(normed.view, ids[i], out.view);
      all.insert(all.end(), out.values.begin(), out.values.end());
    }
    machine.ops.synchronize();
    return all;
  }
};

const std::vector<float>& expected() {
  static const std::vector<float> products = Start("").products();
  return products;
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  return files;
}

fs::path kept_file(const fs::path& folder, const cpu::KernelTable& table = kernels()) {
  const char* form = table.linear_wide.kernel != nullptr ? "-fast-wide-" : "-fast-";
  return folder / (std::string(64, 'd') + form + std::to_string(cpu::kPanelLayoutVersion) + cpu::kPackSuffix);
}

ino_t inode_of(const fs::path& file) {
  struct stat info {};
  return ::stat(file.c_str(), &info) == 0 ? info.st_ino : 0;
}

void overwrite(const fs::path& file, uint64_t offset, const std::string& bytes) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(static_cast<std::streamoff>(offset));
  stream << bytes;
}

class PackCacheTest : public testing::Test {
 protected:
  const fs::path& folder() const { return temporary_.path(); }
  fs::path file() const { return kept_file(folder()); }

 private:
  TemporaryFolder temporary_;
};

TEST_F(PackCacheTest, TheSecondStartUsesTheFileOfTheFirstAndComputesTheSameBits) {
  Start start(folder());
  EXPECT_EQ(start.products(), expected());
  EXPECT_THAT(start.made, ElementsAre(HasSubstr(file().string())));
  ASSERT_THAT(files_in(folder()), ElementsAre(file()));
  const ino_t first = inode_of(file());
  Start second(folder());
  EXPECT_THAT(second.notes, IsEmpty());
  EXPECT_THAT(second.made, IsEmpty());
  EXPECT_EQ(second.products(), expected());
  EXPECT_EQ(inode_of(file()), first);
}

TEST_F(PackCacheTest, AHashThatIsKnownLateIsTheFilesNameAllTheSame) {
  EXPECT_EQ(Start(folder(), false).products(), expected());
  EXPECT_THAT(files_in(folder()), ElementsAre(file()));
  EXPECT_EQ(Start(folder()).products(), expected());
}

TEST_F(PackCacheTest, AModelWrittenToWhileItIsPackedIsNotKeptUnderItsHash) {
  for (const bool is_known : {true, false}) {
    Start start(folder(), std::make_shared<ChangingCheckpoint>(is_known));
    EXPECT_THAT(start.notes, ElementsAre(HasSubstr("written to while they were read")));
    EXPECT_EQ(start.products(), expected());
    EXPECT_THAT(files_in(folder()), IsEmpty());
  }
}

TEST_F(PackCacheTest, EachFormOfTheWeightsHasAFileOfItsOwn) {
  if (kernels().linear_wide.kernel == nullptr) GTEST_SKIP() << "numbers are packed as they are stored here";
  cpu::KernelTable other = kernels();
  other.linear_wide = {};
  ASSERT_NE(kept_file(folder(), other), file());
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(Start(folder()).notes, IsEmpty());
    EXPECT_THAT(Start(folder(), std::make_shared<SmallCheckpoint>(), other).notes, IsEmpty());
    EXPECT_THAT(files_in(folder()), testing::UnorderedElementsAre(file(), kept_file(folder(), other)));
  }
}

TEST_F(PackCacheTest, AFileThatDoesNotFitIsReplacedBeforeAnyOfItIsUsed) {
  Start{folder()};
  const auto other = std::make_shared<OtherShapes>();
  EXPECT_THAT(Start(folder(), other).notes, ElementsAre(HasSubstr("weight a is not in it as expected")));
  const Start again(folder(), other);
  EXPECT_THAT(again.notes, IsEmpty());
  EXPECT_THAT(again.made, IsEmpty());
}

TEST_F(PackCacheTest, ALinkInTheFilesPlaceIsSaidAndLeftAlone) {
  std::ofstream(folder() / "elsewhere") << "not ours";
  fs::create_symlink(folder() / "elsewhere", file());
  Start start(folder());
  EXPECT_THAT(start.notes, ElementsAre(HasSubstr(file().string())));
  EXPECT_EQ(start.products(), expected());
  EXPECT_TRUE(fs::is_symlink(file()));
  EXPECT_EQ(files_in(folder()).size(), 2u);
}

TEST_F(PackCacheTest, AFileThatCannotGetItsNameIsSaidAndLeavesNothing) {
  fs::create_directories(file() / "not empty");
  Start start(folder(), false);
  EXPECT_THAT(start.notes, ElementsAre(HasSubstr("not kept")));
  EXPECT_EQ(start.products(), expected());
  EXPECT_THAT(files_in(folder()), ElementsAre(file()));
}

TEST_F(PackCacheTest, TheCheckTellsOfEachByteOnceAndCanBeEnded) {
  Start{folder()};
  const auto checkpoint = std::make_shared<SmallCheckpoint>();
  CpuMachine machine(kernels(), Precision::kFast);
  uint64_t n_checked = 0;
  machine.ops.begin_weights(folder().string(), checkpoint, [&](uint64_t n_bytes) { n_checked += n_bytes; });
  EXPECT_EQ(n_checked, fs::file_size(file()) - cpu::kPackChunk);
  const auto end = [](uint64_t) { throw Error(ErrorCode::kCancelled, "test", "enough"); };
  const Error error = error_of(
      [&] { CpuMachine(kernels(), Precision::kFast).ops.begin_weights(folder().string(), checkpoint, end); });
  EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  EXPECT_THAT(Start(folder()).made, IsEmpty());
}

TEST_F(PackCacheTest, ADamagedByteAnywhereIsFoundSaidAndMadeGood) {
  Start{folder()};
  const uint64_t size = fs::file_size(file());
  uint64_t at = 0;
  for (int i = 0; i < 24;
       ++i, at = cpu::kPackChunk + static_cast<uint64_t>(i) * (size - cpu::kPackChunk) / 24) {
    const uint64_t place = i < 8 ? static_cast<uint64_t>(i) * 15 : std::min(at, size - 1);
    char byte = 0;
    std::ifstream(file(), std::ios::binary).seekg(static_cast<std::streamoff>(place)).get(byte);
    overwrite(file(), place, std::string(1, static_cast<char>(byte ^ 0x10)));
    Start start(folder());
    ASSERT_EQ(start.notes.size(), 1u) << place;
    EXPECT_THAT(start.notes[0], HasSubstr("packed anew"));
    EXPECT_EQ(start.products(), expected());
    EXPECT_THAT(Start(folder()).notes, IsEmpty()) << place;
  }
}

TEST_F(PackCacheTest, AFileCutShortAnywhereIsFoundAndMadeGood) {
  for (const uint64_t size :
       {uint64_t{0}, uint64_t{50}, uint64_t{4096}, cpu::kPackChunk, cpu::kPackChunk + 4096}) {
    Start{folder()};
    fs::resize_file(file(), size);
    Start start(folder());
    EXPECT_THAT(start.notes, ElementsAre(HasSubstr("packed anew"))) << size;
    EXPECT_EQ(start.products(), expected());
  }
}

TEST_F(PackCacheTest, AnotherVersionOrByteOrderIsSaidAndReplaced) {
  struct Case {
    uint64_t offset;
    std::string bytes, said;
  };
  for (const Case& other : {Case{8, std::string("\x01\x02\x03\x04", 4), "byte order"},
                            Case{12, std::string("\x63\0\0\0", 4), "format 99"},
                            Case{16, std::string("\x63\0\0\0", 4), "layout 99"},
                            Case{32, std::string(64, 'e'), "another model's"}}) {
    Start{folder()};
    overwrite(file(), other.offset, other.bytes);
    std::vector<char> beginning(cpu::kPackChunk);
    std::ifstream(file(), std::ios::binary)
        .read(beginning.data(), static_cast<std::streamsize>(beginning.size()));
    cpu::repair_pack_checksums(std::as_writable_bytes(std::span(beginning)));
    overwrite(file(), 0, std::string(beginning.begin(), beginning.begin() + 4096));
    Start start(folder());
    EXPECT_THAT(start.notes, ElementsAre(HasSubstr(other.said)));
    EXPECT_EQ(start.products(), expected());
    EXPECT_THAT(Start(folder()).notes, IsEmpty()) << other.said;
  }
}

TEST_F(PackCacheTest, AFileCutWhileItIsInUseIsAnErrorNotTheEndOfTheProgram) {
  for (const bool is_first : {true, false}) {
    for (const uint64_t size :
         {uint64_t{0}, cpu::kPackChunk, cpu::kPackChunk + (uint64_t{3} << 20) + 100, uint64_t{1} << 40}) {
      fs::remove(file());
      if (!is_first) Start{folder()};
      Start start(folder());
      ASSERT_EQ(start.products(), expected());
      const uint64_t whole = fs::file_size(file());
      fs::resize_file(file(), size == uint64_t{1} << 40 ? whole - 1 : size);
      const auto compute = [&] { start.products(); };
      const Error error = error_of(compute);
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
      EXPECT_THAT(error.what(), HasSubstr(file().string()));
      EXPECT_THAT(error.what(), HasSubstr("while they were in use"));
      EXPECT_EQ(error_of(compute).code(), ErrorCode::kCorrupt);  // and it stays one
      EXPECT_EQ(Start(folder()).products(), expected());
    }
  }
}

TEST_F(PackCacheTest, AFileWrittenToWhileItIsInUseIsAnError) {
  Start{folder()};
  Start start(folder());
  overwrite(file(), cpu::kPackChunk + 12345, "x");
  EXPECT_EQ(error_of([&] { start.products(); }).code(), ErrorCode::kCorrupt);
}

TEST_F(PackCacheTest, AFileReplacedOrRemovedWhileItIsInUseGoesOnBeingUsed) {
  Start{folder()};
  Start start(folder());
  fs::remove(file());
  EXPECT_EQ(start.products(), expected());
  Start{folder()};
  EXPECT_EQ(start.products(), expected());
}

void count_bus_errors(int);
volatile sig_atomic_t n_bus_errors = 0;
void count_bus_errors(int) { n_bus_errors = n_bus_errors + 1; }

struct sigaction below_ours;
void count_and_pass_on(int signal, siginfo_t* info, void* context) {
  n_bus_errors = n_bus_errors + 10;
  if (n_bus_errors < 100) below_ours.sa_sigaction(signal, info, context);
}

/// Between two starts another handler is put on top of ours.
[[noreturn]] void raise_between_handlers(const fs::path& folder) {
  struct sigaction own {};
  own.sa_handler = count_bus_errors;
  ::sigaction(SIGBUS, &own, nullptr);
  Start{folder};
  own = {};
  own.sa_sigaction = count_and_pass_on;
  own.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &own, &below_ours);
  const Start start(folder);
  ::raise(SIGBUS);
  ::_exit(n_bus_errors);
}

TEST_F(PackCacheTest, ABusErrorThatIsNotOursReachesEveryOtherHandlerOnce) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process in which nobody has handled the signal yet
  EXPECT_EXIT(raise_between_handlers(folder()), testing::ExitedWithCode(11), "");
}

TEST_F(PackCacheTest, AFolderThatCannotBeMadeIsSaidAndDoneWithout) {
  std::ofstream(folder() / "plain") << "a file";
  Start start(folder() / "plain/cache");
  EXPECT_THAT(start.notes, ElementsAre(HasSubstr("not kept")));
  EXPECT_EQ(start.products(), expected());
}

TEST_F(PackCacheTest, ADiskThatFillsUpOnTheWayIsSaidAndDoneWithoutAndNothingIsLeftOnIt) {
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old = ::signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t most : {rlim_t{1} << 20, rlim_t{5} << 20}) {
    const rlimit tight{most, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
    Start start(folder());
    ::setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_THAT(start.notes, ElementsAre(HasSubstr("not kept")));
    EXPECT_EQ(start.products(), expected());
    EXPECT_THAT(files_in(folder()), IsEmpty());
  }
  ::signal(SIGXFSZ, old);
}

TEST_F(PackCacheTest, AModelThatNeedsMoreThanHalfOfWhatIsFreeIsNotKept) {
  const Error error = error_of([&] { cpu::begin_pack_file(folder(), "new", uint64_t{1} << 60); });
  EXPECT_EQ(error.code(), ErrorCode::kIo);
  EXPECT_THAT(files_in(folder()), IsEmpty());
}

TEST_F(PackCacheTest, WhatAnEndedProcessLeftHalfWrittenIsClearedWhatALivingOneWritesIsNot) {
  const cpu::PartialFile living = cpu::begin_pack_file(folder(), "new", 1);
  std::ofstream(folder() / "new.weights.partial-0123") << "left behind";
  Start{folder()};
  EXPECT_THAT(files_in(folder()), testing::UnorderedElementsAre(file(), living.path));
  ::close(living.fd);
}

TEST_F(PackCacheTest, TwoProcessesPackingAtOnceBothWorkAndLeaveOneGoodFile) {
  expected();
  std::vector<pid_t> children;
  for (int i = 0; i < 2; ++i) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(Start(folder(), i == 0).products() == expected() ? 0 : 1);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_THAT(files_in(folder()), ElementsAre(file()));
  Start start(folder());
  EXPECT_THAT(start.notes, IsEmpty());
  EXPECT_EQ(start.products(), expected());
}

TEST_F(PackCacheTest, AWeightTheFileLacksIsPackedAloneAndTheFileAnewAtTheNextStart) {
  Start{folder()};
  CpuMachine machine(*cpu::available_kernels().back(), Precision::kFast);
  machine.ops.begin_weights(folder().string(), std::make_shared<SmallCheckpoint>());
  machine.ops.add_weight(random_weight(DType::kQ8_0, {64, 256}, 5));
  EXPECT_THAT(machine.ops.finish_weights(), ElementsAre(HasSubstr("next start")));
  EXPECT_THAT(files_in(folder()), IsEmpty());
}

TEST_F(PackCacheTest, ALoadThatEndsEarlyLeavesNoFile) {
  {
    CpuMachine machine(*cpu::available_kernels().back(), Precision::kFast);
    const auto checkpoint = std::make_shared<SmallCheckpoint>(false);
    machine.ops.begin_weights(folder().string(), checkpoint);
    machine.ops.add_weight(checkpoint->find("a"));
  }
  EXPECT_THAT(files_in(folder()), IsEmpty());
}

TEST_F(PackCacheTest, WhatIsStillHashedWhenTheProgramEndsIsWaitedForAsLongAsAskedAndLeavesNoFile) {
  {
    CpuMachine machine(kernels(), Precision::kFast);
    const auto checkpoint = std::make_shared<EndlessCheckpoint>();
    machine.ops.begin_weights(folder().string(), checkpoint);
    for (const std::string& name : checkpoint->names()) machine.ops.add_weight(checkpoint->find(name));
    EXPECT_THAT(machine.ops.finish_weights(), IsEmpty());
    EXPECT_EQ(files_in(folder()).size(), 1u);
    int n_waits = 0;
    const auto wait = [&] {
      if (++n_waits == 3) throw Error(ErrorCode::kCancelled, "test", "enough");
    };
    EXPECT_EQ(error_of([&] { machine.ops.keep_weights(wait); }).code(), ErrorCode::kCancelled);
    EXPECT_EQ(n_waits, 3);
  }
  EXPECT_THAT(files_in(folder()), IsEmpty());
}

}  // namespace
}  // namespace chaski
