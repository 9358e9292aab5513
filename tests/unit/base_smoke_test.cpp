#include <gtest/gtest.h>

#include "base/json.h"
TEST(Json, DuplicateKeysAreRefused) {
  EXPECT_THROW(chaski::parse_json(R"({"a":1,"a":2})", "x.json"), std::exception);
}
