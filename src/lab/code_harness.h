// The Python that runs inside the sandboxes, from src/lab/harness/ (cmake/harness.cmake puts it into the
// program): the worker, which runs a program, and the judge, which runs its tests. Each gets a sandbox of its
// own; they talk through us. Starting them is code_runner.cpp's.
#pragma once

#include <string_view>

namespace chaski {

/// Loads one program and answers calls of its functions, until it is killed. Reads requests from descriptor
/// 3, answers on 4. What it says is the program's word and no more.
std::string_view worker_script();

/// Runs one test after the other, each in a process of its own, and judges: reads jobs from descriptor 3,
/// writes verdicts to 4, asks the worker on 6 and hears it on 5. Takes nothing from the worker but plain
/// values and handles, and never runs the program's code.
std::string_view judge_script();

/// A program whose function `escapes` tries to get out of the sandbox and lists where it could.
std::string_view escape_attempts();

}  // namespace chaski
