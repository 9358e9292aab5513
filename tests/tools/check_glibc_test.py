#!/usr/bin/env python3
"""tools/check_glibc.py on programs that this machine's compiler makes: each thing that would keep a program from
starting elsewhere is named."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CHECK = ROOT / "tools" / "check_glibc.py"


class CheckGlibc(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def program(self, source, *options):
        path = self.folder / "program"
        subprocess.run(["g++", "-x", "c++", "-", "-o", str(path), *options], input=source, text=True, check=True,
                       capture_output=True)
        return path

    def check(self, path, *options):
        return subprocess.run([sys.executable, str(CHECK), *options, str(path)], capture_output=True, text=True, check=False)

    def assert_refused(self, path, *expected, options=()):
        run = self.check(path, *options)
        self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
        for part in expected:
            self.assertIn(part, run.stderr)
        self.assertNotIn("Traceback", run.stderr)

    def test_a_program_of_libc_alone_is_accepted_and_its_needs_are_printed(self):
        source = '#include <cmath>\n#include <cstdio>\nint main(int n, char**) { std::printf("%g", std::log(n)); }\n'
        run = self.check(self.program(source, "-static-libstdc++", "-static-libgcc"))
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertRegex(run.stdout, r"newest version GLIBC_2\.\d+ \(.*libraries: .*libc\.so\.6")

    def test_a_newer_version_is_refused_with_the_symbol_that_needs_it(self):
        # A version that every glibc has, and one that none does.
        program = self.program('#include <cstdio>\nint main() { std::puts("x"); }\n', "-static-libgcc", "-nodefaultlibs", "-lc")
        self.assert_refused(program, "GLIBC_2.", "for", "puts", options=("--at-most", "2.0"))
        self.assertEqual(self.check(program, "--at-most", "9.9").returncode, 0)

    def test_versions_are_compared_as_numbers(self):
        program = self.program("int main() {}\n", "-nodefaultlibs", "-lc")
        self.assertEqual(self.check(program, "--at-most", "2.100").returncode, 0)

    def test_a_shared_library_besides_libc_is_refused(self):
        program = self.program("#include <iostream>\nint main() { std::cout << 1; }\n")
        self.assert_refused(program, "needs the library libstdc++.so.6")

    def test_a_folder_to_look_for_libraries_in_is_refused(self):
        program = self.program("int main() {}\n", "-nodefaultlibs", "-lc", "-Wl,-rpath,/opt/mine")
        self.assert_refused(program, "looks for libraries in /opt/mine")

    def test_relative_relocations_packed_for_newer_loaders_are_seen(self):
        source = "int x;\nint* table[64] = {&x, &x};\nint main() { return table[0] == nullptr; }\n"
        try:
            program = self.program(source, "-nodefaultlibs", "-lc", "-Wl,-z,pack-relative-relocs")
        except subprocess.CalledProcessError:
            self.skipTest("this linker has no -z pack-relative-relocs")
        if "GLIBC_ABI_DT_RELR" not in program.read_bytes().decode("latin-1"):
            self.skipTest("this linker packs no relocations")
        self.assert_refused(program, "GLIBC_ABI_DT_RELR for how it is linked")

    def test_what_is_no_program_or_is_cut_off_is_an_error_in_words(self):
        whole = self.program("int main() {}\n").read_bytes()
        other = self.folder / "other"
        for content in (b"", b"\x7fELF", b"#!/bin/sh\n", whole[:60], whole[:200], whole[:3000]):
            other.write_bytes(content)
            with self.subTest(length=len(content)):
                self.assert_refused(other, "other: ")
        self.assert_refused(self.folder / "missing", "missing")


if __name__ == "__main__":
    unittest.main()
