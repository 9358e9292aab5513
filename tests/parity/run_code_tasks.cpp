// run_code_tasks [TIER]: reads one JSON object a line, {"program", "entry_point", "tests", "wall_s"}, from
// stdin, runs each in the sandbox, two at a time, and writes a line {"verdict", "tests", "message"} for it.
// Ends with status 77 where no sandbox can be had here.
#include <cstdio>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "lab/code_runner.h"

int main(int argc, char** argv) {
  using namespace chaski;
  try {
    SandboxTools tools;
    if (argc > 1 && std::string(argv[1]) == "B") tools.bwrap = "/nonexistent";
    const std::unique_ptr<CodeRunner> runner = make_code_runner(false, tools);
    if (runner->tier() == "none") {
      std::fprintf(stderr, "run_code_tasks: no sandbox: %s\n", runner->why_not().c_str());
      return 77;
    }
    std::vector<CodeTask> tasks;
    for (std::string line; std::getline(std::cin, line);) {
      const Json json = parse_json(line, "stdin");
      CodeTask task;
      task.program = require_string(json, "program", "stdin");
      task.entry_point = get_string(json, "entry_point", "", "stdin");
      for (const Json& test : json.at("tests")) task.tests.push_back(test.get<std::string>());
      task.limits.wall_s = get_number(json, "wall_s", 10, "stdin");
      tasks.push_back(std::move(task));
    }
    const CancelToken never;
    const Stopwatch clock;
    const std::vector<CodeResult> results = run_tasks(*runner, tasks, 2, never);
    const double seconds = clock.seconds();
    for (const CodeResult& result : results) {
      OrderedJson json;
      json["verdict"] = name_of(result.verdict);
      json["tests"] = OrderedJson::array();
      for (const CodeVerdict verdict : result.tests) json["tests"].push_back(name_of(verdict));
      json["message"] = result.message;
      std::cout << to_json_text(json) << "\n";
    }
    std::fprintf(stderr, "tier %s, %zu tasks, %.1f ms a task\n", runner->tier().c_str(), tasks.size(),
                 1000 * seconds / static_cast<double>(tasks.empty() ? 1 : tasks.size()));
  } catch (const Error& error) {
    std::fprintf(stderr, "run_code_tasks: %s\n", error.what());
    return 1;
  }
  return 0;
}
