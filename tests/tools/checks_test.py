#!/usr/bin/env python3
"""Plants a violation in a copy of the tree and asserts that the check fails and names the place."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CLEAN_SOURCE = "namespace chaski {\n\nint planted() { return 1; }\n\n}  // namespace chaski\n"


def copy_tree(to):
    """A part of the tree that stands alone, so that a real violation elsewhere fails its own check and not this test."""
    for folder in ("src/base", "tools"):
        shutil.copytree(ROOT / folder, to / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".clang-format", "dev"):
        shutil.copy(ROOT / name, to / name)
    subprocess.run(["git", "init", "-q", str(to)], check=True)


class PlantedViolations(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.tree = pathlib.Path(cls.scratch.name) / "tree"
        copy_tree(cls.tree)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def run_check(self, name, root=None):
        command = [sys.executable, str(ROOT / "tools" / f"check_{name}.py"), str(root or self.tree)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def assert_fails(self, check, file, text, *expected):
        """`check` must fail on the tree with `file` holding `text`, and print a line with each of `expected`."""
        path = self.tree / file
        before = path.read_text() if path.exists() else None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        try:
            run = self.run_check(check)
            self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
            named = [line for line in run.stdout.splitlines() if all(part in line for part in expected)]
            self.assertTrue(named, f"no line names {expected}:\n{run.stdout}{run.stderr}")
        finally:
            path.unlink() if before is None else path.write_text(before)

    def assert_passes(self, check, file, text):
        path = self.tree / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        try:
            run = self.run_check(check)
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        finally:
            path.unlink()

    def test_an_include_against_the_table_is_named_with_what_is_allowed(self):
        self.assert_fails("includes", "src/base/planted.cpp", '#include "base/error.h"\n\n#include "text/none.h"\n',
                          "src/base/planted.cpp:3:", "src/text/none.h does not exist")
        (self.tree / "src/text").mkdir(exist_ok=True)
        (self.tree / "src/text/planted.h").write_text("#pragma once\n")
        self.assert_fails("includes", "src/base/planted.cpp", '#include "base/error.h"\n#include "text/planted.h"\n',
                          "src/base/planted.cpp:2:", 'base may not include "text/planted.h"', "may include: nothing")
        (self.tree / "src/text/planted.h").unlink()

    def test_only_backends_cpp_of_cli_may_name_a_backend(self):
        header = self.tree / "src/backend/cpu/planted.h"
        header.parent.mkdir(parents=True, exist_ok=True)
        header.write_text("#pragma once\n")
        include = '#include "backend/cpu/planted.h"\n'
        self.assert_fails("includes", "src/cli/planted.cpp", include, "src/cli/planted.cpp:1:", "cli may not include")
        self.assert_fails("includes", "src/engine/planted.cpp", include, "src/engine/planted.cpp:1:", "engine may not")
        self.assert_fails("includes", "src/backend/cuda/planted.cpp", include, "backend/cuda may not include")
        self.assert_passes("includes", "src/cli/backends.cpp", include)
        header.unlink()

    def test_a_device_named_in_the_model_folder_is_found_but_not_in_its_comments(self):
        self.assert_fails("includes", "src/model/planted.cpp", "// a cpu\nbool is_cuda = false;\n",
                          "src/model/planted.cpp:2:", "cuda")
        self.assert_passes("includes", "src/model/planted.cpp", "// any device: cpu, cuda\nbool is_accurate = true;\n")

    def test_a_folder_missing_from_the_table_is_named(self):
        self.assert_fails("includes", "src/planted/planted.cpp", CLEAN_SOURCE, "src/planted/planted.cpp:1:", "folder")
        (self.tree / "src/planted").rmdir()

    def test_each_forbidden_call_is_named(self):
        for call in ("std::abort()", "abort()", "exit(1)", "::exit(1)", "_exit(1)", "std::quick_exit(0)",
                     "std::terminate()", "assert(true)", "std::printf(\"x\")", "std::cout << 1", "fmt::print(\"x\")",
                     "std::regex(\"x\")", "std::fprintf(stdout, \"x\")", "std::random_device()()"):
            with self.subTest(call=call):
                self.assert_fails("forbidden", "src/base/planted.cpp", f"void planted() {{\n  {call};\n}}\n",
                                  "src/base/planted.cpp:2:")

    def test_what_only_looks_like_a_forbidden_call_passes(self):
        self.assert_passes("forbidden", "src/base/planted.cpp",
                           '// abort() ends it all\nstatic_assert(1 == 1, "exit(1)");\nconst char* a = "abort()";\n'
                           'const auto b = R"(std::regex "assert(" )";\n/* printf("x") */\nconst int n = 1\'000;\n'
                           "void f(Job& job) {\n  job.abort();\n  job->exit();\n  my_abort();\n"
                           '  fmt::print(stderr, "x");\n  std::fprintf(stderr, "x");\n  std::snprintf(p, 1, "x");\n}\n')

    def test_the_command_line_may_print_but_not_assert(self):
        self.assert_passes("forbidden", "src/cli/planted.cpp", 'void f() { fmt::print("x"); }\n')
        self.assert_fails("forbidden", "src/cli/planted.cpp", "\nvoid f() { assert(1); }\n", "src/cli/planted.cpp:2:")

    def test_a_format_error_is_named(self):
        self.assert_passes("format", "src/base/planted.cpp", CLEAN_SOURCE)
        self.assert_fails("format", "src/base/planted.cpp", CLEAN_SOURCE.replace("{ return", "{return"),
                          "src/base/planted.cpp:3:", "clang-format")

    def test_leftovers_in_text_files_are_named(self):
        for text, what in (("a\n" + "<" * 7 + " HEAD\n", "conflict"), ("a\nb \n", "blanks"),
                           ("a\nsee /" + "home/someone/model\n", "path of one machine"), ("a\nb", "no newline")):
            with self.subTest(what=what):
                self.assert_fails("tree", "tools/planted.md", text, "tools/planted.md:2:", what)
        self.assert_fails("tree", "tools/planted.py", "x = 1\ndef f(:\n", "tools/planted.py:2:", "does not compile")


class DevCheck(unittest.TestCase):
    def test_dev_check_runs_every_check_and_fails_where_one_does(self):
        with tempfile.TemporaryDirectory() as scratch:
            tree = pathlib.Path(scratch)
            copy_tree(tree)
            clean = subprocess.run([str(tree / "dev"), "check"], capture_output=True, text=True, check=False)
            self.assertEqual(clean.returncode, 0, clean.stdout + clean.stderr)
            (tree / "src/base/planted.cpp").write_text("void f() { abort();}\n#include \"lab/x.h\"\n")
            planted = subprocess.run([str(tree / "dev"), "check"], capture_output=True, text=True, check=False)
            self.assertEqual(planted.returncode, 1, planted.stdout + planted.stderr)
            for place in ("src/base/planted.cpp:1: abort(", "src/base/planted.cpp:2: include", "src/base/planted.cpp:1:"):
                self.assertIn(place, planted.stdout)


if __name__ == "__main__":
    unittest.main()
