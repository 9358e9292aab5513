// Text of any bytes, searched for numbers and equations: fractions in lowest terms, what was found quoted in
// short and valid text, counts that agree. What a number means is itself.
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "fuzz/fuzz_input.h"
#include "lab/numbers_in_text.h"

namespace {

void check(const chaski::Quantity& quantity) {
  const chaski::Rational& value = quantity.value;
  CHECK(value.den > 0 && std::gcd(value.num, value.den) == 1, "{}/{} is not in lowest terms", value.num,
        value.den);
  CHECK(quantity.decimals >= -1 && chaski::is_valid_utf8(quantity.unit), "{} decimals", quantity.decimals);
  CHECK(chaski::means_the_same(quantity, quantity), "{}/{} is not itself", value.num, value.den);
  CHECK(!chaski::needs_conversion(quantity.unit, quantity.unit), "{} is not itself", quantity.unit);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace chaski;
  const std::string text = replace_invalid_utf8(fuzz::text_of(data, size));
  const std::vector<Quantity> quantities = quantities_in(text);
  for (const Quantity& quantity : quantities) check(quantity);
  const auto only = parse_quantity(text);
  CHECK(only.has_value() == (quantities.size() == 1), "{} numbers, and one or none", quantities.size());

  static const std::vector<std::string> answers{"答案是", "answer is", "答案:"}, sums{"total is", "一共"},
      conclusions{"so", "所以"};
  const AnswerMarkers markers{answers, sums, conclusions};
  for (const auto& given : {std::vector<Quantity>(), quantities}) {
    const auto found = find_final_number(text, markers, given);
    CHECK(found.has_value() == !quantities.empty(), "a number where there is none, or none where there is");
    if (!found) continue;
    check(found->quantity);
    CHECK(found->quote.size() < 300 && is_valid_utf8(found->quote), "a quote of {} bytes",
          found->quote.size());
  }
  const EquationCheck equations = check_equations(text);
  CHECK(0 <= equations.n_true && equations.n_true <= equations.n, "{} of {}", equations.n_true, equations.n);
  CHECK(equations.first_false.empty() == (equations.n_true == equations.n), "a false one that is not shown");
  CHECK(equations.first_false.size() < 300 && is_valid_utf8(equations.first_false),
        "an equation that is no text");
  return 0;
}
