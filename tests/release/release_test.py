#!/usr/bin/env python3
"""Programs of `./dev release`, started as they are, and one for another processor by qemu: what libraries in them do,
that errors are caught by the unwinder in them, and the network with and without this machine's libcurl.
Usage: release_test.py chaski-ARCH…"""
import json
import os
import pathlib
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

PROGRAMS = []
RUN = ("run", "synthetic:tiny", "-p", "hello", "--seed", "7", "--max-new-tokens", "12", "--precision", "exact", "--json")


def architecture(program):
    return program.name.rpartition("-")[2]


def is_own(program):
    return architecture(program) == platform.machine()


def command(program):
    return [str(program)] if is_own(program) else [f"qemu-{architecture(program)}", "-cpu", "max", str(program)]


def curl_files(program):
    """libcurl for the program's processor, in Debian's places."""
    folder = pathlib.Path(f"/usr/lib/{architecture(program)}-linux-gnu")
    return [folder / name for name in ("libcurl.so.4", "libcurl-gnutls.so.4") if (folder / name).exists()]


class Release(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.home = pathlib.Path(scratch.name)

    def ask(self, program, *arguments, status=0, before=()):
        environment = {"PATH": os.environ["PATH"], "CHASKI_HOME": str(self.home), "LC_ALL": "C.UTF-8"}
        done = subprocess.run([*before, *command(program), *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, env=environment, timeout=300, check=False)
        self.assertEqual(done.returncode, status, (program.name, arguments, done.stdout, done.stderr))
        return done.stdout, done.stderr

    def test_every_processor_gives_the_same_tokens(self):
        answers = {tuple(json.loads(self.ask(program, *RUN)[0])["ids"]) for program in PROGRAMS}
        self.assertEqual(len(answers), 1, answers)

    def test_an_error_deep_inside_is_caught_and_told(self):
        for program in PROGRAMS:
            self.assertIn("no-such-model", self.ask(program, "show", "no-such-model", status=3)[1])
            broken = self.home / "broken.gguf"
            broken.write_bytes(b"GGUF\x03\0\0\0" + b"\xff" * 64)
            self.assertIn("broken.gguf", self.ask(program, "show", str(broken), status=4)[1])

    def test_the_history_and_a_suite_of_yaml_are_read(self):
        suite = self.home / "capitals"
        suite.mkdir()
        (suite / "suite.yaml").write_text("name: capitals\ntitle: {zh: 首都, en: Capitals}\nsettings: {max_new_tokens: 4}\n")
        (suite / "items.jsonl").write_text('{"id": "1", "type": "geography", "prompt": "中国的首都是哪里?"}\n')
        for program in PROGRAMS:
            out = self.home / architecture(program)
            self.ask(program, "eval", "synthetic:tiny", "--suite", str(suite), "--out", str(out))
            self.assertEqual(len((out / "items.jsonl").read_text().splitlines()), 1)
            self.assertIn("capitals", self.ask(program, "history")[0])

    def test_where_there_is_no_libcurl_only_the_network_is_refused(self):
        for program in PROGRAMS:
            hidden = []
            if curl_files(program):
                if shutil.which("bwrap") is None:
                    self.skipTest("nothing here hides a library")
                hidden = ["bwrap", "--dev-bind", "/", "/"]
                for file in curl_files(program):
                    hidden += ["--ro-bind", "/dev/null", str(file.resolve())]
            self.ask(program, "version", before=hidden)
            _, said = self.ask(program, "pull", "http://127.0.0.1:1/model.gguf", status=5, before=hidden)
            self.assertIn("libcurl.so.4", said)
            self.assertIn("libcurl4 on Debian", said)

    def test_where_there_is_libcurl_it_is_used(self):
        for program in PROGRAMS:
            if not curl_files(program):
                continue
            with socket.create_server(("127.0.0.1", 0)) as server:
                port = server.getsockname()[1]
            _, said = self.ask(program, "pull", f"http://127.0.0.1:{port}/model.gguf", status=8)
            self.assertIn(f"127.0.0.1:{port}", said)


if __name__ == "__main__":
    PROGRAMS = [pathlib.Path(name).resolve() for name in sys.argv[1:]]
    if not PROGRAMS:
        sys.exit(__doc__)
    unittest.main(argv=sys.argv[:1])
