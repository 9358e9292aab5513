#!/usr/bin/env python3
"""The program on processors that lack instructions this one has, as virtual machines mask them, played by qemu."""
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import unittest

CHASKI = os.environ["CHASKI"]
QEMU = shutil.which("qemu-x86_64")
# What qemu calls the processor, and the code paths that are left there. It knows no AVX-512 and no AVX-VNNI.
PROCESSORS = {
    "Haswell-v1": "avx2, scalar",
    "Haswell-v1,-f16c": "scalar",
    "Haswell-v1,-fma": "scalar",
    "max,-avx2": "scalar",
    "Nehalem-v1": "scalar",
}


class ProcessorsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.env = {"PATH": os.environ["PATH"], "CHASKI_HOME": str(self.home), "LC_ALL": "C.UTF-8"}

    def chaski(self, *args, cpu=None, status=0):
        start = [QEMU, "-cpu", cpu, CHASKI] if cpu else [CHASKI]
        done = subprocess.run([*start, *args], capture_output=True, env=self.env, timeout=600, check=False,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, status, (cpu, args, done.stdout, done.stderr))
        return done.stdout.decode(), done.stderr.decode()

    def test_only_code_that_the_processor_runs_is_chosen(self):
        model, expected = self.home / "a.gguf", self.home / "expected.gguf"
        self.chaski("quantize", "synthetic:tiny", expected, "--format", "q4_0")
        ask = ("-p", "hello", "--max-new-tokens", "2", "--threads", "1", "--no-cache", "--precision")
        exact = json.loads(self.chaski("run", expected, "--json", "--seed", "1", *ask, "exact", "--isa", "scalar")[0])
        for cpu, paths in PROCESSORS.items():
            with self.subTest(cpu):
                _, said = self.chaski("run", "synthetic:tiny", "--isa", "none", *ask, "fast", cpu=cpu, status=2)
                self.assertIn(f"it can run {paths}\n", said)
                self.chaski("run", expected, *ask, "fast", cpu=cpu)
                out, _ = self.chaski("run", expected, "--json", "--seed", "1", *ask, "exact", cpu=cpu)
                if paths == "scalar":
                    self.assertEqual(json.loads(out)["ids"], exact["ids"])
                # Codecs have paths of their own, and the same bytes come from each.
                self.chaski("quantize", "synthetic:tiny", model, "--format", "q4_0", cpu=cpu)
                self.assertEqual(model.read_bytes(), expected.read_bytes())
                model.unlink()


if __name__ == "__main__":
    if QEMU is None or platform.machine() != "x86_64":
        print("skipped: qemu-x86_64 is not installed, or this is no x86 machine")
        sys.exit(77)
    unittest.main()
