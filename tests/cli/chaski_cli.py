"""What tests of the command line share: a home of their own, the program run in it, a run's record."""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

CHASKI = os.environ["CHASKI"]
TINY = "synthetic:tiny"


class ChaskiTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.env = {"PATH": os.environ["PATH"], "CHASKI_HOME": str(self.home / "home"), "LC_ALL": "C.UTF-8"}
        self.out = self.home / "out"

    def chaski(self, *args, status=0):
        """What the command prints and says, after it ended as expected."""
        done = subprocess.run([CHASKI, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, env=self.env,
                              timeout=600, check=False)
        self.assertEqual(done.returncode, status, (args, done.stdout.decode(), done.stderr.decode()))
        return done.stdout.decode(), done.stderr.decode()

    def record(self, *parts):
        """The record in a folder: a path, or a place below self.out."""
        return json.loads(self.out.joinpath(*parts, "run.json").read_text())
