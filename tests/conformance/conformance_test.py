#!/usr/bin/env python3
"""Compiles chaski's declarations of CANN against the real headers that tools/ascend_headers.py fetched, and plants
wrong ones to see that each is noticed. With --toolkit FOLDER instead: against the headers of an installed CANN,
nnopbase's and the operators' included; FOLDER is the one that has acl/, aclnn/ and aclnnop/."""
import argparse
import collections.abc
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import declarations
from declarations import ERRORS, FUNCTIONS, OPERATORS, SOURCES, TYPES, Entry, entries, since, version

SOURCE = pathlib.Path(__file__).with_name("acl_conformance.cpp")
SETS = {"8.0": 800, "8.5": 805}
OPTIONS = argparse.Namespace(compiler="c++", headers=pathlib.Path())


def compile_against(include: pathlib.Path, number: int, ours: pathlib.Path | None = None,
                    aclnn: pathlib.Path | None = None) -> str:
    """What the compiler says, nothing where all is well. `ours` goes before src/ and may hold changed files."""
    command = [OPTIONS.compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-fmax-errors=0",
               *([f"-I{ours}"] if ours else []), f"-I{SOURCES}", "-isystem", str(include),
               f"-DCHASKI_HEADER_SET={number}", str(SOURCE)]
    if "clang" in OPTIONS.compiler:
        command[command.index("-fmax-errors=0")] = "-ferror-limit=0"
    if aclnn:
        command.append(f'-DCHASKI_ACLNN_HEADERS="{aclnn}"')
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stderr
    return done.stderr or f"the compiler ended with {done.returncode}"


def complaints(text: str) -> list[str]:
    return [line for line in text.splitlines() if "error" in line]


def in_wheels(entry: Entry) -> bool:
    return entry.fields[0] == "kAscendCl"  # nnopbase's own header is in no wheel


class Conformance(unittest.TestCase):
    def compile_changed(self, path: pathlib.Path, text: str, cann: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            changed = pathlib.Path(folder) / path.relative_to(SOURCES)
            changed.parent.mkdir(parents=True)
            changed.write_text(text, encoding="utf-8")
            return compile_against(OPTIONS.headers / cann / "include", SETS[cann], pathlib.Path(folder))

    def all_noticed(self, change: collections.abc.Callable[[Entry], Entry | None]) -> int:
        """Changes every entry that `change` changes, all at once, and expects a complaint that names each."""
        changed, lines = [], []
        for entry in entries(FUNCTIONS):
            new = change(entry)
            if new and in_wheels(entry):
                changed.append(entry.name)
            lines.append((new or entry).line())
        said = "\n".join(complaints(self.compile_changed(FUNCTIONS, "\n".join(lines), "8.5")))
        for name in changed:
            self.assertRegex(said, rf"\b{name}: not as the header declares it")
        return len(changed)

    def test_all_that_is_declared_is_as_in_the_headers(self):
        for cann, number in SETS.items():
            with self.subTest(cann=cann):
                self.assertEqual(compile_against(OPTIONS.headers / cann / "include", number), "")

    def test_a_wrong_type_of_any_parameter_of_any_function_is_named(self):
        functions = [entry for entry in entries(FUNCTIONS) if in_wheels(entry)]
        planted = 0
        for index in range(max(len(entry.parameters) for entry in functions)):
            def change(entry: Entry) -> Entry | None:
                if index >= len(entry.parameters):
                    return None
                wrong = [*entry.parameters]
                wrong[index] = "int16_t wrong"
                return Entry(entry.kind, entry.fields, entry.name, wrong)
            planted += self.all_noticed(change)
        self.assertEqual(planted, sum(len(entry.parameters) for entry in functions))

    def test_a_wrong_number_of_parameters_and_a_wrong_result_are_named(self):
        self.assertGreater(self.all_noticed(lambda entry: Entry(
            entry.kind, entry.fields, entry.name, [*entry.parameters, "int one_more"])), 20)
        self.assertGreater(self.all_noticed(lambda entry: Entry(
            entry.kind, [*entry.fields[:-1], "double"], entry.name, entry.parameters)), 20)

    def test_a_function_that_comes_or_goes_is_named(self):
        text = FUNCTIONS.read_text(encoding="utf-8")
        said = self.compile_changed(FUNCTIONS, text.replace("aclrtFree,", "aclrtFreed,"), "8.0")
        self.assertIn("aclrtFreed", said)
        # The graph's functions are said to be absent from 8.0, not from later ones.
        said = compile_against(OPTIONS.headers / "8.0" / "include", SETS["8.5"])
        self.assertIn("aclmdlRICaptureBegin", said)
        said = compile_against(OPTIONS.headers / "8.5" / "include", SETS["8.0"])
        self.assertRegex(said, r"aclmdlRICaptureBegin.*ambiguous")
        said = self.compile_changed(FUNCTIONS, text.replace('"8.1"', '"8.0"'), "8.0")
        self.assertIn("aclmdlRIExecuteAsync: said to be absent", said)

    def test_a_wrong_number_of_any_name_is_noticed(self):
        numbers = r"\b(k[A-Z]\w*) = (-?(?:0x)?[0-9a-f]+)"
        text = TYPES.read_text(encoding="utf-8")
        names = [name for name, _ in re.findall(numbers, text)]
        wrong = re.sub(numbers, lambda match: f"{match[1]} = {int(match[2], 0) + 1000}", text)
        said = "\n".join(complaints(self.compile_changed(TYPES, wrong, "8.5")))
        # What no wheel has: aclnn's codes, which --toolkit compares, and a code of CANN 9.
        exempt = [name for name in names if name.startswith("kNn") or name == "kNoWaitWhileCapturing"]
        for name in names:
            if name not in exempt:
                self.assertRegex(said, rf"\b{name}: not the header's")
        self.assertGreater(len(names) - len(exempt), 50)

    def test_fields_in_another_order_are_noticed(self):
        text = TYPES.read_text(encoding="utf-8").replace("cube = -1, vector = -1", "vector = -1, cube = -1")
        self.assertIn("Utilization::cube: not the header's", self.compile_changed(TYPES, text, "8.0"))

    def test_the_names_of_error_codes_are_the_headers(self):
        text = ERRORS.read_text(encoding="utf-8")
        ours = {name: int(number) for name, number in re.findall(r"\b(k[A-Z]\w*) = (\d+)", TYPES.read_text("utf-8"))}
        named = [(int(code) if code.isdigit() else ours[code.removeprefix("acl::")], name)
                 for code, name in re.findall(r'\{([\w:]+), "(ACL_ERROR_\w+)"', text)]
        include = OPTIONS.headers / "8.5" / "include" / "acl"
        theirs = {}
        for header in (include / "acl_base.h", include / "error_codes" / "rt_error_codes.h"):
            for name, number in re.findall(r"\b(ACL_ERROR_\w+)[ =]+(\d{6})\b", header.read_text("utf-8")):
                theirs[name] = int(number)
        known = [(number, name) for number, name in named if name in theirs]
        for number, name in known:
            self.assertEqual(number, theirs[name], name)
        self.assertLessEqual({name for _, name in named} - set(theirs), {"ACL_ERROR_RT_CAPTURE_MODE_BLOCK_ASYNC"})
        self.assertGreater(len(known), 20)

    def test_torch_npu_resolves_the_names_of_all_operators(self):
        names = {cann: set((OPTIONS.headers / cann / "names.txt").read_text("ascii").split()) for cann in SETS}
        for entry in entries(OPERATORS):
            cann = next((cann for cann in SETS if version(cann) >= since(entry)), None)
            self.assertIsNotNone(cann, f"{entry.name}: newer than all header sets")
            for name in (f"aclnn{entry.name}", f"aclnn{entry.name}GetWorkspaceSize"):
                self.assertIn(name, names[cann], f"{name} is in no string of the torch-npu for CANN {cann}")
        self.assertNotIn("aclnnMmm", names["8.0"])


def against_toolkit(include: pathlib.Path) -> int:
    """Compares with a whole CANN, and says what was compared."""
    headers = sorted(include.rglob("aclnn_*.h"))
    of, lacking = {}, []
    for entry in entries(OPERATORS):
        phase = f"aclnn{entry.name}GetWorkspaceSize"
        header = next((h for h in headers if re.search(rf"\b{phase}\b", h.read_text("utf-8", "replace"))), None)
        if header:
            of[entry.name] = header
        else:
            lacking.append(entry.name)
    with tempfile.TemporaryDirectory() as folder:
        list_of_headers = pathlib.Path(folder) / "aclnn_headers.h"
        list_of_headers.write_text(
            "".join(f'#include "{header}"\n' for header in sorted(set(of.values()))) +
            "".join(f"#define ABSENT_aclnn{name} ~, 0\n" for name in lacking), encoding="utf-8")
        rt = (include / "acl" / "acl_mdl.h").read_text("utf-8", "replace")
        number = 800 if "aclmdlRICaptureBegin" not in rt else 805
        said = compile_against(include, number, aclnn=list_of_headers)
    print(said, end="")
    print(f"{len(entries(FUNCTIONS))} functions and {len(of)} operators compared with {include}: "
          f"{'they differ' if said else 'they agree'}")
    if lacking:
        print(f"not declared there: {', '.join(lacking)}")
    return 1 if said or lacking else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiler", default=OPTIONS.compiler)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--headers", type=pathlib.Path, help="the folder of tools/ascend_headers.py")
    where.add_argument("--toolkit", type=pathlib.Path, help="the include folder of an installed CANN")
    _, tests = parser.parse_known_args(namespace=OPTIONS)  # the rest names tests
    if OPTIONS.toolkit:
        sys.exit(against_toolkit(OPTIONS.toolkit))
    unittest.main(argv=[sys.argv[0], *tests])


if __name__ == "__main__":
    main()
