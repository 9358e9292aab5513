// Tests (`value is NAME`), each as Jinja 3.1 defines it.
#include "base/error.h"
#include "text/jinja_runtime.h"

namespace chaski::jinja {

namespace {

using Test = bool (*)(Runtime&, const Value&, const Value* argument);

bool is_kind_text(Runtime&, const Value& v, const Value*) { return v.is(Kind::kText); }

bool test_sequence(Runtime&, const Value& v, const Value*) {
  if (v.is(Kind::kList)) return v.list().flavour <= ListFlavour::kRange;
  return v.is(Kind::kText) || v.is(Kind::kDict) || v.is(Kind::kUndefined);
}

Int modulo(Runtime& rt, const Value& value, Int by) {
  const Value rest = rt.binary(ExpressionKind::kModulo, value, Value::of(by));
  if (rest.is(Kind::kFloat)) return rest.real() == 0 ? 0 : rest.real() == 1 ? 1 : 2;
  if (rest.is(Kind::kText)) return 2;
  return rest.integer();
}

bool is_same(Runtime& rt, const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kFloat:
      return false;
    case Kind::kText:
      return a.text_handle() == b.text_handle();
    case Kind::kList:
      return &a.list() == &b.list();
    case Kind::kDict:
      return &a.dict() == &b.dict();
    default:
      return rt.equals(a, b);
  }
}

struct NamedTest {
  std::string_view name;
  Test function;
  bool takes_argument;
};

constexpr NamedTest kTests[] = {
    {"defined", [](Runtime&, const Value& v, const Value*) { return !v.is(Kind::kUndefined); }, false},
    {"undefined", [](Runtime&, const Value& v, const Value*) { return v.is(Kind::kUndefined); }, false},
    {"none", [](Runtime&, const Value& v, const Value*) { return v.is(Kind::kNone); }, false},
    {"boolean", [](Runtime&, const Value& v, const Value*) { return v.is(Kind::kBool); }, false},
    {"true", [](Runtime&, const Value& v, const Value*) { return v.is(Kind::kBool) && v.boolean(); }, false},
    {"false", [](Runtime&, const Value& v, const Value*) { return v.is(Kind::kBool) && !v.boolean(); },
     false},
    {"integer", [](Runtime&, const Value& v, const Value*) { return v.is(Kind::kInt); }, false},
    {"float", [](Runtime&, const Value& v, const Value*) { return v.is(Kind::kFloat); }, false},
    {"number", [](Runtime&, const Value& v, const Value*) { return v.is_number(); }, false},
    {"string", is_kind_text, false},
    {"mapping", [](Runtime&, const Value& v, const Value*) { return v.is(Kind::kDict); }, false},
    {"iterable", [](Runtime& rt, const Value& v, const Value*) { return rt.is_iterable(v); }, false},
    {"sequence", test_sequence, false},
    {"callable", [](Runtime&, const Value& v, const Value*) { return v.is(Kind::kCallable); }, false},
    {"escaped", [](Runtime&, const Value&, const Value*) { return false; }, false},
    {"odd", [](Runtime& rt, const Value& v, const Value*) { return modulo(rt, v, 2) == 1; }, false},
    {"even", [](Runtime& rt, const Value& v, const Value*) { return modulo(rt, v, 2) == 0; }, false},
    {"divisibleby",
     [](Runtime& rt, const Value& v, const Value* by) {
       return rt.equals(rt.binary(ExpressionKind::kModulo, v, *by), Value::of(Int{0}));
     },
     true},
    {"lower",
     [](Runtime& rt, const Value& v, const Value*) {
       const MarkedText text = rt.str(v);
       return lower(text).bytes() == text.bytes() && upper(text).bytes() != text.bytes();
     },
     false},
    {"upper",
     [](Runtime& rt, const Value& v, const Value*) {
       const MarkedText text = rt.str(v);
       return upper(text).bytes() == text.bytes() && lower(text).bytes() != text.bytes();
     },
     false},
    {"sameas", [](Runtime& rt, const Value& v, const Value* other) { return is_same(rt, v, *other); }, true},
    {"in", [](Runtime& rt, const Value& v, const Value* other) { return rt.contains(*other, v); }, true},
    {"equalto", [](Runtime& rt, const Value& v, const Value* other) { return rt.equals(v, *other); }, true},
    {"eq", [](Runtime& rt, const Value& v, const Value* other) { return rt.equals(v, *other); }, true},
    {"==", [](Runtime& rt, const Value& v, const Value* other) { return rt.equals(v, *other); }, true},
    {"ne", [](Runtime& rt, const Value& v, const Value* other) { return !rt.equals(v, *other); }, true},
    {"!=", [](Runtime& rt, const Value& v, const Value* other) { return !rt.equals(v, *other); }, true},
    {"lt", [](Runtime& rt, const Value& v, const Value* other) { return rt.compare(v, *other) < 0; }, true},
    {"lessthan", [](Runtime& rt, const Value& v, const Value* other) { return rt.compare(v, *other) < 0; },
     true},
    {"<", [](Runtime& rt, const Value& v, const Value* other) { return rt.compare(v, *other) < 0; }, true},
    {"le", [](Runtime& rt, const Value& v, const Value* other) { return rt.compare(v, *other) <= 0; }, true},
    {"<=", [](Runtime& rt, const Value& v, const Value* other) { return rt.compare(v, *other) <= 0; }, true},
    {"gt", [](Runtime& rt, const Value& v, const Value* other) { return rt.compare(v, *other) > 0; }, true},
    {"greaterthan", [](Runtime& rt, const Value& v, const Value* other) { return rt.compare(v, *other) > 0; },
     true},
    {">", [](Runtime& rt, const Value& v, const Value* other) { return rt.compare(v, *other) > 0; }, true},
    {"ge", [](Runtime& rt, const Value& v, const Value* other) { return rt.compare(v, *other) >= 0; }, true},
    {">=", [](Runtime& rt, const Value& v, const Value* other) { return rt.compare(v, *other) >= 0; }, true},
};

}  // namespace

bool Runtime::call_test(std::string_view name, const Value& value, const Arguments& arguments) {
  heap.charge(1);
  for (const NamedTest& test : kTests) {
    if (test.name != name) continue;
    if (arguments.positional.size() != (test.takes_argument ? 1 : 0) || !arguments.named.empty()) {
      fail(fmt::format("wrong number of arguments for the test '{}'", name));
    }
    return test.function(*this, value, test.takes_argument ? arguments.positional.data() : nullptr);
  }
  fail(fmt::format("the test '{}' is not supported", printable(name)));
}

}  // namespace chaski::jinja
