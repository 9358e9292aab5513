// What doctor finds on a machine: can it run models, and if not, what helps. Checks are functions of a
// MachineView; nothing here prints, runs a program or opens a connection. The page: lab/doctor_page.h.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "machine/machine_view.h"

namespace chaski {

/// A sentence in both languages.
struct Words {
  std::string en, zh;
  bool empty() const { return en.empty(); }
};

/// Both sentences with the same values put in.
template <typename... Args>
Words words(fmt::format_string<const Args&...> en, fmt::format_string<const Args&...> zh,
            const Args&... args) {
  return {fmt::format(en, args...), fmt::format(zh, args...)};
}

enum class FindingStatus {
  kOk,
  kWarning,       ///< works, with something the user should know
  kFailure,       ///< does not work until it is mended
  kNotApplicable  ///< nothing to check here, or it cannot be checked
};
std::string_view name_of(FindingStatus status);  ///< "ok", "warning", "failure", "not_applicable"

struct Finding {
  std::string id;       ///< "ascend.driver"; fixed, for programs
  std::string section;  ///< a key of sections(): what the id begins with
  FindingStatus status = FindingStatus::kOk;
  Words what;                           ///< one line
  Words reason;                         ///< why it matters or how it came, or empty
  Words fix;                            ///< what to do; there for every failure
  ErrorCode code = ErrorCode::kDevice;  ///< of a failure
  int step = 0;                         ///< of the twelve Ascend steps; 0: none of them
  Json facts = Json::object();          ///< what was seen, for programs
};

struct Section {
  std::string_view key;
  std::string_view en, zh;
};
/// In the order of the page.
const std::vector<Section>& sections();

/// Adds to the findings of a section. Texts that come from the machine must have passed shown().
class Findings {
 public:
  Finding& ok(std::string id, Words what, Words reason = {});
  Finding& none(std::string id, Words what, Words reason = {});  ///< not applicable
  Finding& warn(std::string id, Words what, Words reason, Words fix);
  Finding& fail(std::string id, ErrorCode code, Words what, Words reason, Words fix);

  /// The findings from `first` on are steps 1, 2, …
  void number_steps(size_t first);
  const Finding* find(std::string_view id) const;
  bool has_failed(std::string_view id) const;
  const std::vector<Finding>& all() const { return all_; }
  std::vector<Finding> take() { return std::move(all_); }

 private:
  Finding& add(std::string id, FindingStatus status, Words what, Words reason, Words fix,
               ErrorCode code = ErrorCode::kDevice);
  std::vector<Finding> all_;
};

/// What the user wants to run on: "auto", "cpu", "cuda[:N]", "ascend[:N]". A named family that is not there
/// is a failure; what is not wanted is not looked at, except that "auto" looks at everything.
struct DoctorScope {
  std::string device = "auto";
  std::set<std::string> backends{"cpu"};      ///< families that this build can run on
  bool wants(std::string_view family) const;  ///< "cpu", "cuda", "ascend"
  bool names(std::string_view family) const;  ///< and nothing else
};

/// Everything that files and drivers tell of the machine, in the order of sections().
std::vector<Finding> examine(const MachineView& view, const DoctorScope& scope);

// The checks, one function per section.
void check_processor(const MachineView& view, Findings& found);
void check_places(const MachineView& view, Findings& found);   ///< disk, caches
void check_network(const MachineView& view, Findings& found);  ///< environment only: nothing is sent
void check_nvidia(const MachineView& view, const DoctorScope& scope, Findings& found);
void check_ascend(const MachineView& view, const DoctorScope& scope, Findings& found);
void check_energy(const MachineView& view, Findings& found);

/// What all findings together say.
struct Diagnosis {
  FindingStatus status = FindingStatus::kOk;  ///< the worst that there is; never kNotApplicable
  const Finding* headline = nullptr;          ///< the first failure, else the first warning, else null
  int exit_status = 0;                        ///< of the first failure's code, else 0
};
Diagnosis diagnose(const std::vector<Finding>& findings);

/// One object: docs/en/doctor.md.
OrderedJson doctor_json(const std::vector<Finding>& findings);

/// Memory that programs may still take, a control group's limit counted; nothing where the system does not
/// say.
std::optional<int64_t> free_memory_bytes(const MachineView& view);

/// $CHASKI_HOME of that machine, or the default place below its $HOME; empty where it has neither.
std::string chaski_home_of(const MachineView& view);

}  // namespace chaski
