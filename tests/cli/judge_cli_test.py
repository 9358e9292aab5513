#!/usr/bin/env python3
"""chaski compare --judge, as users meet it: a judge behind a small server that prefers by content, by place, or says
nothing of use."""
import csv
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

CHASKI = os.environ["CHASKI"]
HOSTILE = "</td><script>alert(1)</script>\u202e\x1b[2J"


class FakeJudge(http.server.BaseHTTPRequestHandler):
    """Says what server.verdict makes of the two answers, and hears everything."""

    def reply(self, body, status=200):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.reply({"data": [{"id": self.server.model}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][1]["content"]
        first, second = text[text.index("<<<ANSWER 1"):].split("<<<ANSWER 2", 1)
        self.server.asked.append((self.headers.get("Authorization"), text))
        said = self.server.verdict(first, second)
        if isinstance(said, bytes):
            return self.reply(said, 500)
        return self.reply({"model": self.server.model, "choices": [{"message": {"content": said}}]})

    def log_message(self, *args):
        pass


def better(which, reason="it says more"):
    return json.dumps({"better": which, "reason": reason})


class JudgeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        suite = cls.folder / "toy"
        suite.mkdir()
        (suite / "suite.yaml").write_text("name: toy\nsettings: {max_new_tokens: 4, temperature: 0}\n")
        items = [{"id": str(i), "type": "odd" if i % 2 else "even", "prompt": f"question {i}", "reference": f"ref{i}"}
                 for i in range(1, 25)]
        (suite / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
        cls.env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "CHASKI_HOME": str(cls.folder / "home"),
                   "CHASKI_JUDGE_KEY": "secret-key"}
        subprocess.run([CHASKI, "eval", "synthetic:tiny", "--suite", suite, "--no-score", "--out", cls.folder / "a"],
                       check=True, capture_output=True, stdin=subprocess.DEVNULL, env=cls.env, timeout=300)
        record = json.loads((cls.folder / "a/run.json").read_text())
        for name, text in (("a", "short"), ("b", "a longer answer")):
            record["model"]["id"] = f"model-{name}"
            for item in record["items"]:
                item["answer"] = f"{text} {item['id']}"
            (cls.folder / name).mkdir(exist_ok=True)
            (cls.folder / name / "run.json").write_text(json.dumps(record))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def setUp(self):
        shutil.rmtree(self.folder / "home/cache", ignore_errors=True)

    def judge(self, verdict, model="umpire"):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeJudge)
        server.asked, server.verdict, server.model = [], verdict, model
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server, f"http://127.0.0.1:{server.server_port}/v1"

    def compare(self, *more, status=0, a="a", b="b"):
        done = subprocess.run([CHASKI, "compare", self.folder / a, self.folder / b, "--lang", "en", *map(str, more)],
                              stdin=subprocess.DEVNULL, capture_output=True, env=self.env, timeout=300, check=False)
        self.assertEqual(done.returncode, status, (done.stdout, done.stderr))
        return done.stdout.decode(), done.stderr.decode()

    def data(self, url):
        self.compare("--judge", url, "--out", self.folder / "c.json")
        return json.loads((self.folder / "c.json").read_text())

    def claim(self, data, kind=None):
        return next(c for c in data["claims"] if c["topic"] == "preferred_by_judge" and c["type"] == kind)

    def test_a_judge_that_prefers_by_content_supports_the_claim_and_is_asked_once_only(self):
        server, url = self.judge(lambda first, second: better("1" if "longer" in first else "2"))
        data = self.data(url)
        self.assertEqual(len(server.asked), 48)
        self.assertTrue(all(key == "Bearer secret-key" and "ref" in text for key, text in server.asked))
        counts = data["judge"]["counts"]
        self.assertEqual([c["type"] for c in counts], [None, "odd", "even"])
        self.assertEqual((counts[0]["n_b"], counts[0]["n_a"], counts[0]["n_changed_with_order"]), (24, 0, 0))
        self.assertEqual(data["judge"]["verdicts"][0]["b_first"], {"verdict": "b", "reason": "it says more"})
        self.assertTrue(data["judge"]["judge"]["has_references"])
        for kind in (None, "odd", "even"):
            self.assertEqual(self.claim(data, kind)["verdict"], "supported", kind)
        out, _ = self.compare("--judge", url)
        self.assertIn("B is preferred by the judge", out)
        self.assertIn("umpire", out)
        self.compare("--judge", url, "--out", self.folder / "c.csv")
        with open(self.folder / "c.csv", encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["kind"] == "judge"]
        self.assertEqual([(row["a"], row["b"], row["verdict"]) for row in rows], [("0", "1", "b")] * 24)
        self.assertEqual(len(server.asked), 48, "replies are kept")
        for path in self.folder.rglob("*"):
            if path.is_file():
                self.assertNotIn(b"secret-key", path.read_bytes(), path)

    def test_a_judge_that_prefers_a_place_decides_nothing_and_is_found_out(self):
        _, url = self.judge(lambda first, second: better("1"))
        data = self.data(url)
        self.assertEqual(data["judge"]["counts"][0]["position_bias"], 1)
        self.assertEqual(data["judge"]["counts"][0]["n_ties"], 24)
        claim = self.claim(data)
        self.assertEqual((claim["verdict"], claim["obstacle"]), ("undecided", "unsteady_judge"))

    def test_what_is_no_verdict_is_counted_and_never_ends_the_comparison(self):
        said = ["I like both.", "", "[" * 100_000, json.dumps({"better": "A", "reason": "x"}), b"\xff\xfe", better("1"),
                '{"better": "1", "better": "2", "reason": ""}', "\ud83d"]
        calls = iter(range(10 ** 9))
        _, url = self.judge(lambda first, second: said[next(calls) % len(said)])
        counts = self.data(url)["judge"]["counts"][0]
        self.assertEqual(counts["n_pairs"], 24)
        self.assertGreaterEqual(counts["n_no_verdict"], 20)
        _, errors = self.compare("--judge", url)
        self.assertIn("no verdict on", errors)

    def test_a_judges_reasons_are_text_wherever_they_are_shown(self):
        _, url = self.judge(lambda first, second: better("1" if "longer" in first else "2", HOSTILE), "<b>umpire")
        for name in ("c.html", "c.md"):
            self.compare("--judge", url, "--out", self.folder / name)
            text = (self.folder / name).read_text(encoding="utf-8")
            self.assertNotIn("\x1b", text)
            self.assertNotIn("\u202e", text)
            self.assertIn("alert", text)
            self.assertNotIn("<script>" if name == "c.html" else "\n<script>", text)
        out, _ = self.compare("--judge", url)
        self.assertNotIn("\x1b", out)

    def test_a_model_under_test_is_no_judge(self):
        for model in ("model-b", "some/repo/Model-A.gguf"):
            server, url = self.judge(lambda first, second: better("1"), model)
            _, errors = self.compare("--judge", url, status=2)
            self.assertIn("cannot judge itself", errors)
            self.assertEqual(server.asked, [])

    def test_runs_without_answers_in_common_are_refused_before_anyone_is_asked(self):
        record = json.loads((self.folder / "b/run.json").read_text())
        for item in record["items"]:
            item["finish_reason"] = "error"
        (self.folder / "failed").mkdir(exist_ok=True)
        (self.folder / "failed/run.json").write_text(json.dumps(record))
        server, url = self.judge(lambda first, second: better("1"))
        _, errors = self.compare("--judge", url, status=2, b="failed")
        self.assertIn("no question that both answered", errors)
        self.assertEqual(server.asked, [])

    def test_without_its_suite_the_judge_has_no_references_and_the_page_says_so(self):
        (self.folder / "toy").rename(self.folder / "gone")
        self.addCleanup((self.folder / "gone").rename, self.folder / "toy")
        server, url = self.judge(lambda first, second: better("tie"))
        self.assertFalse(self.data(url)["judge"]["judge"]["has_references"])
        self.assertFalse(any("ref1" in text for _, text in server.asked))
        out, errors = self.compare("--judge", url)
        self.assertIn("no reference answers", errors)
        self.assertIn("no reference answers", out)

    def test_an_interrupted_judging_goes_on_where_it_was(self):
        def slow(first, second):
            time.sleep(0.05)
            return better("1" if "longer" in first else "2")
        server, url = self.judge(slow)
        process = subprocess.Popen([CHASKI, "compare", self.folder / "a", self.folder / "b", "--judge", url],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=self.env)
        while len(server.asked) < 6 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(2)
        self.assertEqual(process.wait(timeout=60), 130)
        before = len(server.asked)
        self.assertLess(before, 48)
        self.assertEqual(self.data(url)["judge"]["counts"][0]["n_b"], 24)
        self.assertLessEqual(len(server.asked), 49, f"{before} had been asked")


if __name__ == "__main__":
    unittest.main()
