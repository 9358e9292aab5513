// What an action throws, for tests that look at the error.
#pragma once

#include <gtest/gtest.h>

#include "base/error.h"

namespace chaski::test {

/// The Error that `action` throws; a failure of the test where it throws none.
template <typename Action>
Error error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "expected an error";
  return Error(ErrorCode::kInternal, "test", "none");
}

}  // namespace chaski::test
