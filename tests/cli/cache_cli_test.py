#!/usr/bin/env python3
"""Packed weights and hashes that one start keeps for the next, as users meet them."""
import json
import os
import pathlib
import resource
import subprocess
import tempfile
import time
import unittest

CHASKI = os.environ["CHASKI"]


class CacheTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.env = {"PATH": os.environ["PATH"], "CHASKI_HOME": str(self.home), "LC_ALL": "C.UTF-8"}
        self.model = self.home / "tiny.gguf"
        self.chaski("quantize", "synthetic:tiny", self.model, "--format", "q8_0")
        os.utime(self.model, ns=(10**18, 10**18))
        time.sleep(0.2)  # what was written to a moment ago is not remembered
        self.weights = self.home / "cache" / "weights"

    def chaski(self, *args, status=0, **settings):
        done = subprocess.run([CHASKI, *args], capture_output=True, env=self.env, timeout=300, check=False,
                              stdin=subprocess.DEVNULL, **settings)
        self.assertEqual(done.returncode, status, (args, done.stdout, done.stderr))
        return done.stdout.decode(), done.stderr.decode()

    def ask(self, *args, **settings):
        """Ids of the answer, and what was said beside it."""
        out, err = self.chaski("run", self.model, "-p", "hello", "--json", "--seed", "1", "--max-new-tokens", "8", *args,
                               **settings)
        return json.loads(out)["ids"], err

    def kept(self):
        return sorted(self.weights.glob("*")) if self.weights.exists() else []

    def test_the_second_start_uses_what_the_first_kept_and_gives_the_same_text(self):
        without, _ = self.ask("--no-cache")
        self.assertEqual(self.kept(), [])
        self.assertEqual(self.ask()[0], without)
        self.assertEqual(len(self.kept()), 1)
        first = self.kept()[0].stat()
        ids, said = self.ask()
        self.assertEqual(ids, without)
        self.assertNotIn("packed", said)
        self.assertEqual((self.kept()[0].stat().st_ino, self.kept()[0].stat().st_mtime_ns), (first.st_ino, first.st_mtime_ns))
        for _ in range(2):
            self.assertEqual(self.ask("--precision", "exact")[0], self.ask("--precision", "exact", "--no-cache")[0])

    def test_a_draft_model_is_kept_as_well_and_gives_the_same_text(self):
        draft = self.home / "draft.gguf"
        self.chaski("quantize", "synthetic:tiny", draft, "--format", "q4_0")
        os.utime(draft, ns=(10**18, 10**18))
        time.sleep(0.2)
        asked = ("--draft", draft, "--ignore-eos")
        without, _ = self.ask("--no-cache", *asked)
        self.assertEqual(self.kept(), [])
        self.assertEqual(self.ask(*asked)[0], without)
        first = [(file, file.stat().st_ino, file.stat().st_mtime_ns) for file in self.kept()]
        self.assertEqual(len(first), 2, "the model's and the draft's")
        ids, said = self.ask(*asked)
        self.assertEqual(ids, without)
        self.assertNotIn("packed", said)
        self.assertEqual([(file, file.stat().st_ino, file.stat().st_mtime_ns) for file in self.kept()], first)
        self.assertEqual(self.ask("--draft", self.model, "--ignore-eos")[0], without,
                         "the model as its own draft: one file for both")

    def test_damage_is_said_and_made_good(self):
        ids, _ = self.ask()
        file = self.kept()[0]
        content = bytearray(file.read_bytes())
        content[-5] ^= 1
        file.write_bytes(content)
        again, said = self.ask()
        self.assertEqual(again, ids)
        self.assertIn("packed anew", said)
        self.assertNotIn("packed anew", self.ask()[1])

    def test_a_model_that_was_written_to_is_not_taken_for_the_old_one(self):
        ids, _ = self.ask()
        self.chaski("quantize", "synthetic:tiny", self.home / "other.gguf", "--format", "q4_0")
        self.model.write_bytes((self.home / "other.gguf").read_bytes())
        os.utime(self.model, ns=(10**18, 10**18))
        self.assertEqual(self.ask()[0], self.ask("--no-cache")[0])
        self.assertNotEqual(self.ask()[0], ids)

    def test_a_home_that_cannot_be_written_works_and_says_so(self):
        ids, _ = self.ask("--no-cache")
        (self.home / "cache").write_text("in the way of the folder")
        again, said = self.ask()
        self.assertEqual(again, ids)
        self.assertIn("not kept", said)
        self.assertNotIn("not kept", self.ask("--no-cache")[1])

    def test_a_full_disk_is_said_and_leaves_nothing(self):
        ids, _ = self.ask("--no-cache")
        most = 1 << 20
        again, said = self.ask(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
        self.assertEqual(again, ids)
        self.assertIn("not kept", said)
        self.assertEqual(self.kept(), [])

    def test_weights_that_are_not_the_files_own_are_not_kept(self):
        self.chaski("run", "synthetic:tiny", "-p", "hello", "--max-new-tokens", "1")
        self.ask("--allow-nonfinite")
        self.assertEqual(self.kept(), [])


if __name__ == "__main__":
    unittest.main()
