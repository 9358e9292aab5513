// What a judge's server answers, of any bytes: a reply or a reason; and the reply's content, and the bytes as
// content themselves: grades within their range, a verdict, or a reason that is short.
#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/utf8.h"
#include "fuzz/fuzz_input.h"
#include "lab/judge_prompt.h"

namespace {

void read_content(const std::string& content) {
  std::string why;
  if (const auto grades = chaski::parse_grades(content, why)) {
    for (const int grade : grades->grades) CHECK(grade >= 1 && grade <= 10, "a grade of {}", grade);
    CHECK(chaski::is_valid_utf8(grades->reason), "a reason that is no text");
  } else {
    CHECK(!why.empty() && why.size() < 500 && chaski::is_valid_utf8(why), "refused as \"{}\"", why);
  }
  why.clear();
  if (const auto verdict = chaski::parse_verdict(content, why)) {
    CHECK(chaski::is_valid_utf8(verdict->reason), "a reason that is no text");
  } else {
    CHECK(!why.empty() && why.size() < 500 && chaski::is_valid_utf8(why), "refused as \"{}\"", why);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string body = chaski::fuzz::text_of(data, size);
  std::string why;
  const chaski::JudgeReply reply = chaski::parse_completion(body, why);
  CHECK(reply.content.has_value() == why.empty(), "no content and no reason, or both");
  if (reply.content) read_content(*reply.content);
  read_content(body);
  return 0;
}
