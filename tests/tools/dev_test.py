#!/usr/bin/env python3
"""./dev on a machine that lacks packages: what it installs, and what it says where it cannot."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Dev(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.tree = pathlib.Path(scratch.name) / "tree"
        self.programs = pathlib.Path(scratch.name) / "bin"
        self.tree.mkdir()
        self.programs.mkdir()
        shutil.copy(ROOT / "dev", self.tree / "dev")

    def stand_in(self, name, body):
        """A program that ./dev finds before the real one."""
        path = self.programs / name
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def run_dev(self, *arguments):
        path = f"{self.programs}:{os.environ['PATH']}"
        return subprocess.run([str(self.tree / "dev"), *arguments], capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, env={**os.environ, "PATH": path})

    def test_only_the_missing_packages_are_installed(self):
        # One is there for another architecture alone, one for both.
        self.stand_in("dpkg-query", 'case "${!#}" in ccache | cmake) exit 1 ;; pkg-config) echo "other installed"; exit ;; '
                      'libssl-dev) echo "other installed" ;; g++) echo "all installed"; exit ;; esac; '
                      'echo "$(dpkg --print-architecture) installed"')
        self.stand_in("sudo", 'exec "$@"')
        self.stand_in("apt-get", f'echo "$@" >> {self.tree}/asked')
        self.stand_in("cmake", "exit 1")
        self.run_dev("build")
        asked = (self.tree / "asked").read_text().splitlines()
        self.assertEqual(len(asked), 2, asked)
        self.assertIn("update", asked[0])
        self.assertTrue(asked[1].endswith(" cmake ccache pkg-config"), asked[1])

    def test_a_failing_installation_ends_with_its_own_words(self):
        self.stand_in("dpkg-query", "exit 1")
        self.stand_in("sudo", 'exec "$@"')
        self.stand_in("apt-get", 'echo "the disk is full"; exit 100')
        run = self.run_dev("build")
        self.assertEqual(run.returncode, 1)
        self.assertIn("the disk is full", run.stderr)
        self.assertIn("updating the package lists failed", run.stderr)

    def test_a_failing_build_shows_the_compilers_words(self):
        self.stand_in("dpkg-query", 'echo "$(dpkg --print-architecture) installed"')
        self.stand_in("cmake", "exit 0")
        self.stand_in("ninja", 'echo "x.cpp:1: error: no such type"; exit 1')
        run = self.run_dev("build")
        self.assertEqual(run.returncode, 1)
        self.assertIn("x.cpp:1: error: no such type", run.stderr)

    def test_an_unknown_command_or_option_is_refused_with_the_usage(self):
        for arguments in (["bild"], ["test", "--fulll"]):
            run = self.run_dev(*arguments)
            self.assertEqual(run.returncode, 1)
            self.assertIn("usage: ./dev", run.stderr)


if __name__ == "__main__":
    unittest.main()
