// What tests may do with an honest program in the sandbox, and what a result says. Hostile programs are in
// lab_sandbox_test.cpp; one tier is enough here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lab/code_runner.h"

namespace chaski {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class SandboxedCode : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { runner_ = make_code_runner().release(); }
  static void TearDownTestSuite() {
    delete runner_;
    runner_ = nullptr;
  }
  void SetUp() override {
    if (runner_->tier() == "none") GTEST_SKIP() << "there is no sandbox here: " << runner_->why_not();
  }
  CodeResult run(std::string program, std::vector<std::string> tests, std::string entry_point = {}) {
    CodeTask task;
    task.program = std::move(program);
    task.tests = std::move(tests);
    task.entry_point = std::move(entry_point);
    return runner_->run(task, CancelToken());
  }
  /// All tests pass.
  void expect_passed(std::string program, std::vector<std::string> tests, std::string entry_point = {}) {
    const CodeResult result = run(std::move(program), std::move(tests), std::move(entry_point));
    EXPECT_EQ(result.verdict, CodeVerdict::kPassed) << result.message;
  }

  static CodeRunner* runner_;
};
CodeRunner* SandboxedCode::runner_ = nullptr;

TEST_F(SandboxedCode, EachTestIsCountedByItself) {
  const CodeResult result = run("def add(a, b):\n    return a + b if a > 0 else 0\n",
                                {"assert candidate(1, 2) == 3", "assert candidate(-1, 2) == 1",
                                 "assert add(2, 2) == 4", "def broken(:\n"});
  EXPECT_THAT(result.tests, ElementsAre(CodeVerdict::kPassed, CodeVerdict::kFailed, CodeVerdict::kPassed,
                                        CodeVerdict::kFailed));
  EXPECT_EQ(result.verdict, CodeVerdict::kFailed);
  EXPECT_EQ(result.n_passed(), 2);
  EXPECT_EQ(result.message, "assert candidate(-1, 2) == 1\nAssertionError");
  EXPECT_TRUE(result.defines_entry_point);
  EXPECT_FALSE(result.writes_output);
}

TEST_F(SandboxedCode, ATestThatTakesTooLongLeavesTimeForTheNext) {
  CodeTask task;
  task.program = "def f(x):\n    while x: pass\n    return 1\n";
  task.tests = {"candidate(1)", "assert candidate(0) == 1"};
  task.limits.wall_s = 3;
  const CodeResult result = runner_->run(task, CancelToken());
  EXPECT_THAT(result.tests, ElementsAre(CodeVerdict::kTimedOut, CodeVerdict::kPassed)) << result.message;
  EXPECT_LT(result.seconds, 3.5);
}

TEST_F(SandboxedCode, WithoutTestsNothingPasses) {
  EXPECT_EQ(run("def f(): pass", {}).verdict, CodeVerdict::kNotRun);
}

TEST_F(SandboxedCode, ValuesArriveAsWhatTheyAre) {
  expect_passed("def f(x):\n    return x\n",
                {"for x in [None, True, 0, -5, 2**53, 10**5000, 1.5, -0.0, float('inf'), 1e-320, 2 + 3j, '', "
                 "'a\\0\\ud800é中', "
                 "b'\\xff\\0', bytearray(b'ab'), [], [1, [2]], (), (1, (2, 'b')), {1, 2}, frozenset({3}), "
                 "{'a': [1], 2: None}, "
                 "range(1, 9, 3), int, ...]:\n"
                 "    y = candidate(x) if x is not ... else ...\n"
                 "    assert y == x and type(y) is type(x), (x, y)\n"
                 "import math\nassert math.isnan(candidate(float('nan')))\n"
                 "assert candidate(True) is True and str(candidate(-0.0)) == '-0.0'"});
}

TEST_F(SandboxedCode, AnswersOfTheStandardLibrarysTypesCompareAsTheyDo) {
  expect_passed(
      "import collections, decimal, fractions, enum\nP = collections.namedtuple('P', 'a b')\n"
      "def f(kind):\n    return {'counter': collections.Counter('aab'), 'default': "
      "collections.defaultdict(int, a=1),\n"
      "            'ordered': collections.OrderedDict(a=1), 'point': P(1, 2), 'keys': {1: 2}.keys(),\n"
      "            'items': {1: 2}.items(), 'decimal': decimal.Decimal('1.5'), 'fraction': "
      "fractions.Fraction(1, 3),\n"
      "            'generator': (x for x in [1, 2]), 'map': map(str, [1, 2])}[kind]\n",
      {"assert candidate('counter') == {'a': 2, 'b': 1} and candidate('default') == {'a': 1}",
       "assert candidate('ordered') == {'a': 1} and candidate('point') == (1, 2)",
       "assert candidate('keys') == {1} and candidate('items') == {(1, 2)}",
       "import decimal, fractions\nassert candidate('decimal') == decimal.Decimal('1.5')\n"
       "assert candidate('fraction') == fractions.Fraction(1, 3)",
       "assert list(candidate('generator')) == [1, 2] and next(candidate('map')) == '1'"});
}

TEST_F(SandboxedCode, WhatACallChangesInItsArgumentsIsChanged) {
  expect_passed("def f(a, d):\n    a.sort()\n    a[0].append(9)\n    d['new'] = 1\n    d.pop('old', None)\n",
                {"inner = [1]\na, d = [[2], inner], {'old': 0}\nassert candidate(a, d) is None\n"
                 "assert a == [[1, 9], [2]] and d == {'new': 1}, (a, d)",
                 "a = [[1], [2]]\ncandidate(a, {})\nassert a == [[1, 9], [2]]"});
}

TEST_F(SandboxedCode, FunctionsGoBothWays) {
  expect_passed(
      "def f(g, xs):\n    return [g(x) for x in xs]\n",
      {"seen = []\ndef g(x):\n    seen.append(x)\n    return x * 2\n"
       "assert candidate(g, [1, 2]) == [2, 4] and seen == [1, 2]",
       "assert candidate(lambda x: (x, [x]), 'ab') == [('a', ['a']), ('b', ['b'])]",
       "assert candidate(str, [1]) == ['1'] and candidate(len, ['ab', iter('c')][:1]) == [2]",
       "def g(x): raise KeyError(x)\ntry:\n    candidate(g, [1])\n    assert False\nexcept KeyError: pass"});
  expect_passed("def make(n):\n    return lambda x: x + n\n", {"assert candidate(2)(3) == 5"});
}

TEST_F(SandboxedCode, ClassesOfTheProgramCanBeTested) {
  expect_passed(
      "class Empty(Exception):\n    def __init__(self, size):\n        super().__init__('empty')\n        "
      "self.size = size\n"
      "class Stack:\n    def __init__(self, *items): self.items = list(items)\n"
      "    def push(self, x): self.items.append(x)\n"
      "    def pop(self):\n        if not self.items: raise Empty(0)\n        return self.items.pop()\n"
      "    def __len__(self): return len(self.items)\n    def __eq__(self, o): return self.items == o.items\n"
      "    def __repr__(self): return f'Stack({self.items})'\n    def __iter__(self): return "
      "iter(self.items)\n"
      "    def __enter__(self): return self\n    def __exit__(self, *a): self.items.clear()\n",
      {"s = Stack(1)\ns.push([2])\nassert len(s) == 2 and s.pop() == [2] and repr(s) == 'Stack([1])' and "
       "s.items == [1]",
       "try:\n    Stack().pop()\n    assert False\nexcept Empty as e:\n    assert str(e) == 'empty' and "
       "e.size == 0",
       "assert Stack(1) == Stack(1) and Stack(1) != Stack(2) and isinstance(Stack(), Stack) and "
       "list(Stack(3)) == [3]",
       "with Stack(1) as s:\n    assert len(s) == 1\nassert not s and isinstance(candidate(4), Stack)"},
      "Stack");
}

TEST_F(SandboxedCode, OtherNamesOfTheProgramAreThereAndBuiltinsAreOurs) {
  expect_passed(
      "import math\nLIMIT = 7\ndef helper(x): return x + LIMIT\ndef sorted(x): return 'theirs'\n"
      "def f(x): return helper(x)\n",
      {"assert candidate(1) == helper(1) == 8 and LIMIT == 7 and math.floor(1.5) == 1",
       "assert sorted([2, 1]) == [1, 2]"});
}

TEST_F(SandboxedCode, ErrorsOfTheProgramAreTheTests) {
  expect_passed("def f(x):\n    if x < 0: raise ValueError('negative', x)\n    return [1][x]\n",
                {"try:\n    candidate(-1)\n    assert False\nexcept ValueError as e:\n    assert e.args == "
                 "('negative', -1)",
                 "try:\n    candidate(5)\n    assert False\nexcept IndexError: pass"});
  const CodeResult result = run("def f(x): return 1 / x", {"assert candidate(0) == 1"});
  EXPECT_EQ(result.message, "assert candidate(0) == 1\nZeroDivisionError: division by zero");
}

TEST_F(SandboxedCode, WhatAFunctionPrintsIsTheTestsToRead) {
  const CodeResult result = run(
      "def f():\n    print('hello', 3)\n",
      {"import contextlib, io\nout = io.StringIO()\nwith contextlib.redirect_stdout(out):\n    candidate()\n"
       "assert out.getvalue() == 'hello 3\\n'"});
  EXPECT_EQ(result.verdict, CodeVerdict::kPassed) << result.message;
  EXPECT_EQ(result.output, "hello 3\n");
  EXPECT_FALSE(result.writes_output) << "that is what it was asked to do";
}

TEST_F(SandboxedCode, AProgramThatPrintsOrAsksWhenItIsLoadedIsKnown) {
  EXPECT_TRUE(run("print('demo')\ndef f(): return 1", {"assert candidate() == 1"}).writes_output);
  const CodeResult asks = run("def f(): return 1\nx = input('n? ')", {"assert candidate() == 1"});
  EXPECT_TRUE(asks.writes_output);
  EXPECT_TRUE(asks.defines_entry_point);
  EXPECT_THAT(asks.message, HasSubstr("EOFError"));
  EXPECT_FALSE(
      run("def f(): return 1\nif __name__ == '__main__':\n    print(input())", {"assert candidate() == 1"})
          .writes_output);
}

TEST_F(SandboxedCode, SyntaxErrorsAndMissingFunctionsAreSaid) {
  const CodeResult broken = run("def f(:\n", {"assert candidate() == 1", "assert True"});
  EXPECT_THAT(broken.tests, ElementsAre(CodeVerdict::kSyntaxError, CodeVerdict::kSyntaxError));
  EXPECT_THAT(broken.message, StartsWith("SyntaxError: "));
  const CodeResult missing = run("def g(): return 1", {"assert candidate() == 1"}, "f");
  EXPECT_EQ(missing.verdict, CodeVerdict::kFailed);
  EXPECT_FALSE(missing.defines_entry_point);
  EXPECT_THAT(missing.message, HasSubstr("'candidate' is not defined"));
}

TEST_F(SandboxedCode, ThreadsAndAsynchronousProgramsRun) {
  expect_passed(
      "import asyncio, concurrent.futures\n"
      "async def wait(x):\n    await asyncio.sleep(0.01)\n    return x\n"
      "def f(x):\n    with concurrent.futures.ThreadPoolExecutor(2) as pool:\n"
      "        y = list(pool.map(lambda v: v + 1, [x]))\n"
      "    return asyncio.run(wait(y))\n",
      {"assert candidate(1) == [2]"});
}

TEST_F(SandboxedCode, OneProgramSeesNothingOfAnother) {
  const CodeResult result =
      run("import os\ntry:\n    open('left', 'x').close()\nexcept PermissionError: pass\n"
          "def f(): return sum(x == 'left' for x in os.listdir('.')) if os.getcwd() != '/' else 1\n",
          {"assert candidate() == 1", "assert candidate() == 1"});
  EXPECT_EQ(result.verdict, CodeVerdict::kPassed) << result.message;
}

TEST_F(SandboxedCode, AMessageThatIsNoTextFailsItsTestAndNotTheRun) {
  const CodeResult result = run("def f(x): raise ValueError('before \\ud800 after')", {"candidate(1)"});
  EXPECT_EQ(result.verdict, CodeVerdict::kFailed);
  EXPECT_THAT(result.message, HasSubstr("before \\ud800 after"));
}

TEST_F(SandboxedCode, TasksRunSideBySideAndComeBackInOrder) {
  std::vector<CodeTask> tasks;
  for (int i = 0; i < 8; ++i) {
    CodeTask task;
    task.program = "def f(): return " + std::to_string(i);
    task.tests = {"assert candidate() % 2 == 0"};
    tasks.push_back(task);
  }
  const std::vector<CodeResult> results = run_tasks(*runner_, tasks, 2, CancelToken());
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i].verdict, i % 2 == 0 ? CodeVerdict::kPassed : CodeVerdict::kFailed) << i;
  }
}

}  // namespace
}  // namespace chaski
