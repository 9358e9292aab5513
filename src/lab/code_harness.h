// The Python that runs inside the sandboxes: the worker, which runs a program, and the judge, which runs its
// tests. Each gets a sandbox of its own; they talk through us. Starting them is code_runner.cpp's.
#pragma once

#include <string>

namespace chaski {

/// Loads one program and answers calls of its functions, until it is killed. Reads requests from descriptor
/// 3, answers on 4. What it says is the program's word and no more.
const std::string& worker_script();

/// Runs one test after the other, each in a process of its own, and judges: reads jobs from descriptor 3,
/// writes verdicts to 4, asks the worker on 6 and hears it on 5. Takes nothing from the worker but plain
/// values and handles, and never runs the program's code.
const std::string& judge_script();

}  // namespace chaski
