// The emulated CANN of a test: opened from the folder of one profile, told to fail, asked what it saw. One
// profile a process: the loader joins libraries of the same name.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/ascend/ascend_context.h"
#include "base/json.h"

namespace chaski::tests {

/// The CANN that this process emulates: $CHASKI_TEST_ASCEND_PROFILE, or the newest.
inline std::string emulated_profile() {
  const char* profile = std::getenv("CHASKI_TEST_ASCEND_PROFILE");
  return profile == nullptr ? "8.3" : profile;
}

inline AclSearch emulated_cann(const std::string& profile = emulated_profile()) {
  AclSearch search;
  search.by_loader = false;
  search.folders = {std::string(CHASKI_ASCEND_EMULATOR) + "/" + profile};
  return search;
}

/// Environment variables that the emulator reads when it is initialised; what they were before comes back.
class EmulatorSettings {
 public:
  explicit EmulatorSettings(std::initializer_list<std::pair<std::string, std::string>> settings) {
    for (const auto& [name, value] : settings) {
      names_.push_back(name);
      ::setenv(name.c_str(), value.c_str(), 1);
    }
  }
  ~EmulatorSettings() {
    for (const std::string& name : names_) ::unsetenv(name.c_str());
  }
  EmulatorSettings(const EmulatorSettings&) = delete;
  EmulatorSettings& operator=(const EmulatorSettings&) = delete;

 private:
  std::vector<std::string> names_;
};

/// Opens the emulator; when it goes, all must have been given back and nothing been misused.
class Emulator {
 public:
  explicit Emulator(const AclSearch& search = emulated_cann()) : api_(AclApi::open(search)) {
    const std::unique_ptr<void, int (*)(void*)> library(::dlopen(api_->path().c_str(), RTLD_NOW), ::dlclose);
    report_ = reinterpret_cast<size_t (*)(char*, size_t)>(::dlsym(library.get(), "chaski_emulator_report"));
    fault_ = reinterpret_cast<int (*)(const char*)>(::dlsym(library.get(), "chaski_emulator_fault"));
  }
  ~Emulator() {
    fault_("");
    EXPECT_EQ(api_.use_count(), 1) << "something of the device outlives it";
    api_.reset();
    const Json problems = report().at("problems");
    EXPECT_TRUE(problems.empty() || expects_problems_) << problems.dump(2);
  }
  Emulator(const Emulator&) = delete;
  Emulator& operator=(const Emulator&) = delete;

  const std::shared_ptr<AclApi>& api() const { return api_; }
  /// "SITE:N:CODE[:times]"; the calls count from here.
  void fail(const std::string& fault) { ASSERT_EQ(fault_(fault.c_str()), 0) << fault; }
  void expect_problems() { expects_problems_ = true; }
  Json report() const {
    std::string text(report_(nullptr, 0) + 1, '\0');
    report_(text.data(), text.size());
    text.pop_back();
    return Json::parse(text);
  }
  /// Of a table of the report: launches, phase1, copies, live. 0 where it has no such line.
  int64_t count(const std::string& table, const std::string& line) const {
    const Json counts = report().at(table);
    return counts.contains(line) ? counts.at(line).get<int64_t>() : 0;
  }
  int64_t count(const std::string& number) const { return report().at(number).get<int64_t>(); }

 private:
  std::shared_ptr<AclApi> api_;
  size_t (*report_)(char*, size_t) = nullptr;
  int (*fault_)(const char*) = nullptr;
  bool expects_problems_ = false;
};

}  // namespace chaski::tests
