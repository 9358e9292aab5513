#!/usr/bin/env python3
"""Who scores an evaluation, and that neither scores nor times are lost or falsified: rubrics that change, a judge behind
a small server, a reader of the output that is slow."""
import fcntl
import http.server
import json
import os
import pathlib
import socket
import subprocess
import threading
import time
import unittest

from chaski_cli import CHASKI, TINY, ChaskiTest

RUBRIC = pathlib.Path(__file__).resolve().parents[2] / "suites/rubric.yaml"


class FakeJudge(http.server.BaseHTTPRequestHandler):
    """Gives every answer 8 of 10."""

    def reply(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.reply({"data": [{"id": "umpire"}]})

    def do_POST(self):
        self.server.asked.append(self.headers.get("Authorization"))
        self.rfile.read(int(self.headers["Content-Length"]))
        grades = {"correct": 8, "complete": 8, "clear": 8, "fitting": 8, "reason": "fair"}
        self.reply({"model": "umpire", "choices": [{"message": {"role": "assistant", "content": json.dumps(grades)}}]})

    def log_message(self, *args):
        pass


class ScoringTest(ChaskiTest):
    def setUp(self):
        super().setUp()
        self.env["CHASKI_JUDGE_KEY"] = "secret-key"

    def eval(self, *more, status=0):
        return self.chaski("eval", TINY, "--suite", "review-zh", "--out", self.out, "--max-new-tokens", "6", *more,
                           status=status)

    def other_rubric(self):
        rubric = self.home / "mine.yaml"
        rubric.write_text(RUBRIC.read_text().replace("chaski-rubric/", "mine/"))
        return rubric

    def judge(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeJudge)
        server.asked = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server, f"http://127.0.0.1:{server.server_port}/v1"

    def test_a_finished_run_resumed_by_another_rubric_is_scored_by_it(self):
        self.eval()
        before = self.record()
        self.eval("--resume", "--rubric", self.other_rubric())
        after = self.record()
        self.assertEqual(before["items"], after["items"])
        self.assertTrue(after["scoring"]["rubric"]["name"].startswith("mine/"))
        self.assertNotEqual(before["scoring"]["rubric"]["sha256"], after["scoring"]["rubric"]["sha256"])

    def test_a_review_resumed_by_another_rubric_has_both_sides_scored_by_it(self):
        review = ["review", TINY, "synthetic:tiny@q8_0", "--no-bench", "--out", self.out, "--max-new-tokens", "6"]
        self.chaski(*review)
        (self.out / "synthetic-tiny-q8_0/run.json").unlink()
        self.chaski(*review, "--resume", "--rubric", self.other_rubric())
        names = {json.loads(path.read_text())["scoring"]["rubric"]["name"] for path in self.out.glob("*/run.json")}
        self.assertEqual(len(names), 1)
        self.assertTrue(names.pop().startswith("mine/"))

    def test_a_run_that_was_killed_before_it_was_remembered_reaches_the_history(self):
        self.eval()
        for path in (self.home / "home").glob("*.db*"):
            path.unlink()
        self.eval("--resume")
        self.assertEqual(self.chaski("history")[0].count("review-zh"), 1)
        self.eval("--resume")
        self.assertEqual(self.chaski("history")[0].count("review-zh"), 1)

    def test_a_judge_grades_beside_the_rubric(self):
        server, url = self.judge()
        out, _ = self.eval("--judge", url)
        record = self.record()
        scorers = [score["scorer"] for score in record["scores"]]
        self.assertEqual((scorers.count("rubric"), scorers.count("judge:umpire")), (5, 5))
        self.assertEqual({score["score"] for score in record["scores"] if score["scorer"] == "judge:umpire"}, {4})
        judge = record["scoring"]["judge"]
        self.assertEqual((judge["id"], judge["host"]), ("umpire", url.split("/")[2]))
        self.assertEqual(judge["by_type"]["all"]["mean"], 4)
        self.assertIn("judge:umpire", out)
        self.assertEqual(server.asked, ["Bearer secret-key"] * 5)
        for path in self.home.rglob("*"):
            if path.is_file():
                self.assertNotIn(b"secret-key", path.read_bytes(), path)

    def test_what_a_judge_said_is_kept(self):
        server, url = self.judge()
        self.eval("--no-score")
        self.chaski("score", self.out, "--judge", url, "--judge-model", "umpire")
        first = self.record()["scores"]
        self.chaski("score", self.out, "--judge", url)
        self.assertEqual(self.record()["scores"], first)
        self.assertEqual(len(server.asked), 5)
        self.chaski("score", self.out)
        self.assertEqual(len(self.record()["scores"]), 10, "without a judge its scores stay")

    def test_a_judge_that_cannot_be_reached_is_said_before_anything_is_asked(self):
        self.eval("--judge", "ftp://nowhere", status=2)
        self.assertEqual(list(self.out.iterdir()), [])
        server = socket.socket()
        server.bind(("127.0.0.1", 0))  # and nobody listens
        self.addCleanup(server.close)
        self.eval("--judge", f"http://127.0.0.1:{server.getsockname()[1]}/v1", status=8)
        self.assertEqual(list(self.out.iterdir()), [])

    def test_a_judge_that_is_under_test_is_refused_before_anything_is_asked(self):
        _, url = self.judge()
        _, err = self.eval("--judge", url, "--judge-model", "elsewhere/" + TINY, status=2)
        self.assertIn("cannot judge itself", err)
        self.assertEqual(list(self.out.iterdir()), [])

    def test_a_reader_that_is_slow_does_not_change_the_times(self):
        suite = self.home / "suite"
        suite.mkdir()
        (suite / "suite.yaml").write_text("name: toy\ntiming: alone\nsettings: {temperature: 0, max_new_tokens: 64}\n")
        (suite / "items.jsonl").write_text(json.dumps({"id": "q", "type": "concept", "prompt": "question"}) + "\n")
        command = ["eval", TINY, "--suite", suite, "--no-score", "--out", self.out]
        shown = self.chaski(*command)[0].encode()
        answer = self.record()["items"][0]["answer"].encode()
        before = shown.index(b"question\n") + len(b"question\n")
        self.assertGreater(len(answer), 40)
        reading, writing = os.pipe()
        size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writing, b"-" * (size - before - len(answer) // 2))  # full in the middle of the answer
        running = subprocess.Popen([CHASKI, *map(str, command)], stdin=subprocess.DEVNULL, stdout=writing,
                                   stderr=subprocess.DEVNULL, env=self.env)
        os.close(writing)
        time.sleep(2.5)
        self.assertIsNone(running.poll(), "it waits for its reader")
        with os.fdopen(reading, "rb") as pipe:
            text = pipe.read()
        self.assertEqual(running.wait(60), 0)
        self.assertIn(answer[-20:], text)
        item = self.record()["items"][0]
        self.assertLess(item["seconds"], 1.5)
        self.assertLess(self.record()["metrics"]["itl_s"]["max"], 1)

    def test_without_a_sandbox_programs_run_only_where_that_is_asked_for(self):
        self.eval("--no-score")
        self.chaski("score", self.out, "--allow-unsafe-exec")
        self.assertIn(self.record()["scoring"]["sandbox"], ("A", "B", "unsafe"))


if __name__ == "__main__":
    unittest.main()
