#!/usr/bin/env python3
"""tools/ascend_first_run.sh as the owner of a card starts it, on the emulator with a tiny model; and that it is clean."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

CHASKI = pathlib.Path(os.environ["CHASKI"])
SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "tools/ascend_first_run.sh"
EMULATOR = CHASKI.parent / "ascend_emulator/8.1"
SECRETS = {"HF_TOKEN": "hf_a_token_of_mine", "AWS_SECRET_ACCESS_KEY": "a-key-of-mine", "CHASKI_API_KEY": "sk-mine",
           "https_proxy": "http://me:password-of-mine@proxy"}


class FirstRun(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_script(self, *args, libraries=""):
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8",
                       "CHASKI_HOME": str(self.folder / "home"), "LD_LIBRARY_PATH": libraries, **SECRETS}
        return subprocess.run([SCRIPT, "--chaski", CHASKI, "--out", self.folder / "out", *args], env=environment,
                              capture_output=True, text=True, timeout=1100, check=False, stdin=subprocess.DEVNULL)

    def archives(self):
        return sorted((self.folder / "out").glob("*.tar.gz"))

    @unittest.skipUnless((EMULATOR / "libascendcl.so").exists(), "the emulator is not built")
    def test_a_short_run_leaves_one_archive_with_every_step_and_no_secret(self):
        done = self.run_script("--short", "--model", "synthetic:tiny", libraries=str(EMULATOR))
        said = done.stdout + done.stderr
        self.assertEqual(len(self.archives()), 1, said)
        status = {}
        with tarfile.open(self.archives()[0]) as archive:
            texts = {name.split("/", 1)[1]: archive.extractfile(name).read().decode()
                     for name in archive.getnames() if archive.getmember(name).isfile()}
        for line in texts["status.txt"].splitlines():
            name, code = line.rsplit(" ", 1)
            status[name] = int(code)
        for secret in SECRETS.values():
            for name, text in texts.items():
                self.assertNotIn(secret, text, name)
        self.assertIn(f"LD_LIBRARY_PATH={EMULATOR}", texts["environment.txt"])
        # There is no driver here, so doctor itself fails; all that computes runs.
        for step in ("model-of-time", "bench-eager", "bench-captured", "bench-ops", "eval", "eval-strict"):
            self.assertEqual(status.get(step), 0, (step, texts.get(step + ".errors.txt"), said))
        for step, runner in (("bench-eager", "eager"), ("bench-captured", "captured")):
            record = json.loads(texts[step + ".txt"])[0]
            self.assertEqual((record["device_kind"], record["runner"]), ("emulated", runner))
            self.assertIn("emulated", [warning["code"] for warning in record["warnings"]])
            self.assertEqual(record["fallback_rate"]["by_calls"], 0)
            counts = {count["name"]: count["n"] for count in record["counts"]}
            self.assertGreater(counts["launches"], 0)
            self.assertEqual(counts["ai_cpu_launches"], 0)
        review = json.loads(texts["review-zh/run.json"])
        self.assertEqual(len(review["items"]), 5)
        self.assertEqual(review["device"]["device_kind"], "emulated")
        modelled = json.loads(texts["model-of-time.txt"])
        self.assertEqual({record["device_kind"] for record in modelled}, {"modelled"})
        findings = {finding["id"]: finding for finding in json.loads(texts["self-test.txt"])["findings"]}
        self.assertEqual(findings["ascend.operators"]["status"], "ok", findings["ascend.operators"])

    def test_without_a_card_every_step_says_so_and_a_second_run_has_its_own_archive(self):
        for n in (1, 2):
            done = self.run_script("--short", "--model", "synthetic:tiny")
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertEqual(len(self.archives()), n)
        with tarfile.open(self.archives()[0]) as archive:
            names = [name.split("/", 1)[-1] for name in archive.getnames()]
            status = archive.extractfile(next(m for m in archive if m.name.endswith("/status.txt"))).read().decode()
        self.assertIn("bench-eager.errors.txt", names)
        self.assertIn("model-of-time 0", status)

    def test_wrong_options_are_said_and_nothing_is_written(self):
        for args in (["--device", "cuda"], ["--no-such"], ["--model"]):
            done = self.run_script(*args)
            self.assertEqual(done.returncode, 2, args)
            self.assertIn("ascend_first_run:", done.stderr)
        self.assertEqual(self.archives(), [])

    @unittest.skipUnless(shutil.which("shellcheck"), "there is no shellcheck")
    def test_shellcheck_has_nothing_to_say(self):
        done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)


if __name__ == "__main__":
    sys.exit(unittest.main())
