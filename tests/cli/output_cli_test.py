#!/usr/bin/env python3
"""Where the lab's commands write. To nowhere (F25): a pipe that was closed, a full disk, no stdout at all, a terminal
that is gone, a locale that is not UTF-8; what was measured is kept, and the exit status says what happened. And below
which names, where a model's own is hostile (H116)."""
import json
import os
import pathlib
import pty
import signal
import subprocess
import tempfile
import time
import unittest

CHASKI = os.environ["CHASKI"]
TINY = "synthetic:tiny"
SHORT = ["--max-new-tokens", "6"]


class OutputTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.home = pathlib.Path(folder.name)
        cls.env = {"PATH": os.environ["PATH"], "CHASKI_HOME": str(cls.home / "home"), "LC_ALL": "C.UTF-8",
                   "CHASKI": CHASKI}
        cls.run_folder = cls.home / "run"
        subprocess.run([CHASKI, "eval", TINY, "--suite", "review-zh", "--out", str(cls.run_folder), *SHORT],
                       env=cls.env, stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=True)
        run = str(cls.run_folder)
        cls.commands = (f"report {run}", f"compare {run} {run}", "history", f"score {run}",
                        f"bench {TINY} -p 4 -n 2 --repeat 1")

    def in_shell(self, command):
        """The program's own exit status, and what it said on stderr."""
        said = self.home / "said"
        status = self.home / "status"
        subprocess.run(["bash", "-c", f'{{ "$CHASKI" {command[0]} 2>{said}; echo $? >{status}; }} {command[1]}'],
                       env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=300, check=False)
        return int(status.read_text()), said.read_text()

    def test_f25_a_pipe_that_was_closed_ends_quietly(self):
        for command in self.commands:
            with self.subTest(command=command):
                status, said = self.in_shell((command, "| true"))
                self.assertEqual(status, 0, said)
                self.assertNotIn("internal", said)

    def test_f25_a_stdout_that_cannot_be_written_is_an_error_that_is_said(self):
        for command in self.commands:
            for output in (">/dev/full", ">&-"):
                with self.subTest(command=command, output=output):
                    status, said = self.in_shell((command, output))
                    self.assertEqual(status, 9, said)
                    self.assertIn("standard output", said)

    def test_f25_in_a_locale_that_is_not_utf8_the_output_is_the_same(self):
        for locale in ("C", "POSIX", "zh_CN.GB18030", "no_SUCH.encoding"):
            for lang in ("en", "zh"):
                with self.subTest(locale=locale, lang=lang):
                    command = [CHASKI, "report", str(self.run_folder), "--lang", lang]
                    shown = [subprocess.run(command, env={**self.env, "LC_ALL": name, "LANG": name}, timeout=60,
                                            stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout
                             for name in (locale, "C.UTF-8")]
                    self.assertEqual(shown[0], shown[1])

    def test_f25_a_terminal_that_is_gone_loses_no_row(self):
        suite = self.home / "suite"
        suite.mkdir()
        (suite / "suite.yaml").write_text("name: toy\nsettings: {temperature: 0.8, max_new_tokens: 24}\n")
        items = [{"id": f"q{n}", "type": "concept", "prompt": f"question {n}"} for n in range(20)]
        (suite / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
        out = self.home / "gone"
        command = [CHASKI, "eval", TINY, "--suite", str(suite), "--samples", "50", "--no-score", "--out",
                   str(out)]
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(CHASKI, command, {**self.env, "TERM": "dumb"})
        journal = out / "items.jsonl"
        deadline = time.monotonic() + 120
        while not journal.exists() or journal.read_text().count("\n") < 5:
            self.assertLess(time.monotonic(), deadline)
            self.assertEqual(os.waitpid(pid, os.WNOHANG), (0, 0), "it ended by itself")
            time.sleep(0.01)
        os.close(terminal)  # which hangs up
        _, status = os.waitpid(pid, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), -signal.SIGHUP)
        n_kept = journal.read_text().count("\n")
        done = subprocess.run([*command, "--resume"], env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=300, check=True)
        self.assertIn(f"{n_kept} answers are there", done.stderr.decode())
        self.assertEqual(len(json.loads((out / "run.json").read_text())["items"]), 1000)

    def test_h116_a_models_hostile_name_becomes_a_safe_folder_name(self):
        shop = self.home / "shop"
        shop.mkdir()
        name = "=cmd|'x'!A0; DROP TABLE \"runs\" $(touch gone) ..\\..&<b>\u202e\n.gguf"
        subprocess.run([CHASKI, "quantize", TINY, str(shop / "plain.gguf"), "--format", "q8_0"], env=self.env,
                       capture_output=True, timeout=120, check=True)
        os.rename(shop / "plain.gguf", shop / name)
        out = self.home / "both"
        subprocess.run([CHASKI, "eval", str(shop / name), TINY, "--suite", "review-zh", "--no-score", "--out",
                        str(out), *SHORT], env=self.env, cwd=shop, stdin=subprocess.DEVNULL, capture_output=True,
                       timeout=300, check=True)
        folders = sorted(path.name for path in out.iterdir() if path.is_dir())
        self.assertEqual(len(folders), 2)
        for folder in folders:
            self.assertRegex(folder, r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
            self.assertTrue((out / folder / "run.json").exists())
        self.assertEqual(os.listdir(shop), [name])
        shown = subprocess.run([CHASKI, "history"], env=self.env, capture_output=True, timeout=60, check=True).stdout
        for sign in ("\u202e", "$(touch gone) ..\\..&<b>\n"):
            self.assertNotIn(sign, shown.decode())


if __name__ == "__main__":
    unittest.main()
