#!/usr/bin/env python3
"""What a soak's process tells, on a model that is broken: one of its weights is not a number."""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

CHASKI = os.environ["CHASKI"]


class SoakTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.env = {"PATH": os.environ["PATH"], "CHASKI_HOME": str(self.home / "home"), "LC_ALL": "C.UTF-8"}

    def chaski(self, *args):
        done = subprocess.run([CHASKI, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, env=self.env,
                              timeout=600, check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def broken_model(self):
        small, folder = self.home / "tiny.gguf", self.home / "broken"
        for source, target in (("synthetic:tiny", small), (small, folder)):
            status, _, err = self.chaski("convert", source, target)
            self.assertEqual(status, 0, err)
        file = folder / "model.safetensors"
        data = bytearray(file.read_bytes())
        begin = 8 + int.from_bytes(data[:8], "little")
        fact = json.loads(data[8:begin])["model.norm.weight"]
        nan = {"BF16": b"\xc0\x7f", "F16": b"\x00\x7e", "F32": b"\x00\x00\xc0\x7f"}[fact["dtype"]]
        at = begin + fact["data_offsets"][0]
        data[at:at + len(nan)] = nan
        file.write_bytes(data)
        return folder

    def test_answers_from_logits_that_are_no_numbers_are_told_as_such(self):
        status, out, err = self.chaski("soak-worker", self.broken_model(), "--repeats", 2, "--tokens", 4, "--allow-nonfinite")
        self.assertEqual(status, 0, (out, err))
        repeats = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([repeat["is_nonfinite"] for repeat in repeats], [True, True])
        self.assertIn("not finite", repeats[0]["error"])


if __name__ == "__main__":
    unittest.main()
