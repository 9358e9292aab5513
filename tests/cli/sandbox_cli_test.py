#!/usr/bin/env python3
"""Programs in answers where the machine isolates nothing (F22): not run, and said; run only on request, and said. The
machine is made so for one process by a seccomp filter: no user namespaces, as in most containers, and no Landlock, as on
older kernels."""
import ctypes
import json
import os
import pathlib
import platform
import struct
import subprocess
import sys
import tempfile
import unittest

CHASKI = os.environ["CHASKI"]
SKIPPED = 77
# Numbers of clone and unshare; those of clone3 and landlock_create_ruleset are the same everywhere.
CALLS = {"x86_64": (56, 272), "aarch64": (220, 97)}
ANSWER = "```python\ndef add(a, b):\n    return a + b\n```\n"


def filter_program():
    clone, unshare = CALLS[platform.machine()]
    load, jump_equal, jump_set, leave = 0x20, 0x15, 0x45, 0x06
    allow, new_user, argument = 0x7FFF0000, 0x10000000, 16

    def refuse(error):
        return 0x00050000 | error

    def only_without_new_user(call):
        return [(jump_equal, 0, 4, call), (load, 0, 0, argument), (jump_set, 0, 1, new_user), (leave, 0, 0, refuse(1)),
                (leave, 0, 0, allow)]

    steps = [(load, 0, 0, 0), (jump_equal, 0, 1, 444), (leave, 0, 0, refuse(95)), (jump_equal, 0, 1, 435),
             (leave, 0, 0, refuse(38)), *only_without_new_user(clone), *only_without_new_user(unshare),
             (leave, 0, 0, allow)]
    return len(steps), b"".join(struct.pack("HBBI", *step) for step in steps)


def isolate_nothing():
    """In a child, before it becomes the program."""
    n_steps, steps = filter_program()
    buffer = ctypes.create_string_buffer(steps)
    program = struct.pack("HP", n_steps, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0) != 0:
        os._exit(SKIPPED)


class SandboxTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.out = self.home / "out"
        self.env = {"PATH": os.environ["PATH"], "CHASKI_HOME": str(self.home / "home"), "LC_ALL": "C.UTF-8"}
        suite = self.home / "suite"
        suite.mkdir()
        (suite / "suite.yaml").write_text("name: sums\nsettings: {temperature: 0, max_new_tokens: 2}\n")
        item = {"id": "add", "type": "code", "prompt": "Add two numbers.", "entry_point": "add",
                "tests": ["assert candidate(2, 3) == 5", "assert candidate(-1, 1) == 0"]}
        (suite / "items.jsonl").write_text(json.dumps(item) + "\n")
        self.chaski("eval", "synthetic:tiny", "--suite", suite, "--no-score", "--out", self.out)
        record = self.record()
        record["items"][0]["answer"] = ANSWER
        (self.out / "run.json").write_text(json.dumps(record))

    def chaski(self, *args, confined=False):
        done = subprocess.run([CHASKI, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, env=self.env,
                              timeout=300, check=False, preexec_fn=isolate_nothing if confined else None)
        if confined and done.returncode == SKIPPED:
            self.skipTest("this machine allows no seccomp filter")
        self.assertEqual(done.returncode, 0, (args, done.stdout, done.stderr))
        return done.stdout.decode() + done.stderr.decode()

    def record(self):
        return json.loads((self.out / "run.json").read_text())

    def report(self):
        page = self.home / "report.md"
        self.chaski("report", self.out, "--out", page)
        return page.read_text()

    def test_without_isolation_programs_are_not_run_and_the_record_and_the_report_say_why(self):
        said = self.chaski("score", self.out, confined=True)
        record = self.record()
        score = record["scores"][0]
        self.assertEqual(record["scoring"]["sandbox"], "none")
        self.assertEqual(score["status"], "not_run")
        self.assertIsNone(score.get("score"))
        for why in ("tier A: bwrap: ", "the kernel has no Landlock"):
            self.assertIn(why, record["scoring"]["sandbox_note"])
        self.assertIn("--allow-unsafe-exec", said)
        self.assertIn("tier B", self.report())

    def test_on_request_they_run_unprotected_and_the_record_and_the_report_say_so(self):
        said = self.chaski("score", self.out, "--allow-unsafe-exec", confined=True)
        record = self.record()
        self.assertEqual(record["scoring"]["sandbox"], "unsafe")
        self.assertIn("tier B", record["scoring"]["sandbox_note"])
        self.assertEqual((record["scores"][0]["status"], record["scores"][0]["score"]), ("scored", 5))
        self.assertIn("without isolation", said)
        self.assertIn("unsafe", self.report())

    def test_the_option_changes_nothing_where_a_sandbox_can_be_had(self):
        self.chaski("score", self.out)
        tier = self.record()["scoring"]["sandbox"]
        if tier == "none":
            self.skipTest("no sandbox can be had here")
        self.assertIn(tier, ("A", "B"))
        self.chaski("score", self.out, "--allow-unsafe-exec")
        self.assertEqual(self.record()["scoring"]["sandbox"], tier)


if __name__ == "__main__":
    if platform.machine() not in CALLS:
        sys.exit(SKIPPED)
    unittest.main()
