#include "cli/build_info.h"

#include <fmt/format.h>

namespace chaski::cli {

BuildFacts build_facts() {
#if defined(__clang__)
  const std::string compiler = "clang " __clang_version__;
#else
  const std::string compiler = "gcc " __VERSION__;
#endif
  return {CHASKI_VERSION, compiler, CHASKI_BUILD_TYPE};
}

std::string version_text() {
  const BuildFacts facts = build_facts();
  return fmt::format("chaski {}\n{}, {}\n", facts.version, facts.compiler, facts.build_type);
}

std::string version_json() {
  const BuildFacts facts = build_facts();
  const OrderedJson json{
      {"version", facts.version}, {"compiler", facts.compiler}, {"build_type", facts.build_type}};
  return to_json_text(json) + "\n";
}

}  // namespace chaski::cli
