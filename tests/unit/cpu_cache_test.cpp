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

#include <fstream>

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

 private:
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

/// A start of the program: the weights in some ops, and what they compute.
struct Start {
  CpuMachine machine;
  std::vector<WeightId> ids;
  std::vector<std::string> notes;

  explicit Start(const fs::path& folder, bool is_known = true)
      : machine(*cpu::available_kernels().back(), Precision::kFast) {
    const auto checkpoint = std::make_shared<SmallCheckpoint>(is_known);
    if (!folder.empty()) machine.ops.begin_weights(folder.string(), checkpoint);
    for (const std::string& name : checkpoint->names()) {
      ids.push_back(machine.ops.add_weight(checkpoint->find(name)));
    }
    notes = machine.ops.finish_weights();
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

fs::path kept_file(const fs::path& folder) {
  return folder / (std::string(64, 'd') + "-fast" + cpu::kPackSuffix);
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
  EXPECT_EQ(Start(folder()).products(), expected());
  ASSERT_THAT(files_in(folder()), ElementsAre(file()));
  const ino_t first = inode_of(file());
  Start second(folder());
  EXPECT_THAT(second.notes, IsEmpty());
  EXPECT_EQ(second.products(), expected());
  EXPECT_EQ(inode_of(file()), first);
}

TEST_F(PackCacheTest, AHashThatIsKnownLateIsTheFilesNameAllTheSame) {
  EXPECT_EQ(Start(folder(), false).products(), expected());
  EXPECT_THAT(files_in(folder()), ElementsAre(file()));
  EXPECT_EQ(Start(folder()).products(), expected());
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

TEST_F(PackCacheTest, OtherBusErrorsReachTheHandlerThatWasThereBeforeAndItComesBackAfterwards) {
  struct sigaction own {
  }, now{}, before{};
  own.sa_handler = count_bus_errors;
  ASSERT_EQ(::sigaction(SIGBUS, &own, &before), 0);
  {
    const Start start(folder());
    ::raise(SIGBUS);
    EXPECT_EQ(n_bus_errors, 1);
  }
  ASSERT_EQ(::sigaction(SIGBUS, &before, &now), 0);
  EXPECT_EQ(now.sa_handler, count_bus_errors);
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

}  // namespace
}  // namespace chaski
