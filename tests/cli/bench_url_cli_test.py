#!/usr/bin/env python3
"""chaski bench --url against a server that plays streams with known delays: every figure is the arithmetic of the
delays, as the server's log says that they were kept. Times may be off by what a scheduler takes: SLACK_S, absolute, and
how late the server itself woke in that run (at most MOST_LATE_S), in more than half of a figure's samples: where the
machine stops one of them for longer, the others tell. A run in which it did so more often is done again."""
import csv
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

CHASKI = os.environ["CHASKI"]
SERVER = pathlib.Path(__file__).resolve().parent.parent / "support" / "replay_server.py"
SLACK_S = 0.005
MOST_LATE_S = 0.015
ATTEMPTS = 12


class Server:
    """The replay server as a process of its own."""

    def __init__(self, *plays, **more):
        self.folder = tempfile.TemporaryDirectory()
        script = pathlib.Path(self.folder.name) / "plays.json"
        script.write_text(json.dumps({"plays": plays, **more}))
        self.process = subprocess.Popen([sys.executable, str(SERVER), str(script)], stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.folder.cleanup()

    def log(self):
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(self.url + "/log") as answer:
            return json.load(answer)


HOME = tempfile.TemporaryDirectory()


def command(*args):
    return [CHASKI, "bench", *args]


def environment(**more):
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "CHASKI_HOME": HOME.name, **more}


def bench(*args, status=0, **env):
    done = subprocess.run(command(*args), capture_output=True, timeout=600, check=False, stdin=subprocess.DEVNULL,
                          env=environment(**env))
    assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
    return done.stdout.decode(), done.stderr.decode()


def record_of(server, *args, **more):
    return json.loads(bench("--url", server.url, "-o", "json", *args, **more)[0])[0]


def samples(record, name):
    return record["metrics"][name]["samples"]


# Four tokens come at once, then one by one with pauses; then two by two.
SLOW = {"chunks": [[0.12, 4], [0.02, 1], [0.05, 1], [0.1, 1], [0.02, 1]], "end_after_s": 0.03, "n_prompt": 24}
FAST = {"chunks": [[0.04, 2], [0.03, 2], [0.03, 2]], "n_prompt": 16}


class Arithmetic:
    """What a play's delays come to, kept as its entry in the server's log says."""

    def __init__(self, play, entry):
        tokens = [n for _, n in play["chunks"]]
        sent_s = entry["sent_s"]
        self.ttft_s = sent_s[0]
        self.gaps_s = [after - before for before, after in zip(sent_s, sent_s[1:])]
        self.n_tokens = sum(tokens)
        self.n_first = tokens[0]
        self.e2e_s = entry["ended_s"]
        self.decode_s = sent_s[-1] - sent_s[0]
        self.n_decoded = self.n_tokens - self.n_first
        self.n_prompt = play["n_prompt"]
        planned = [sum(after_s for after_s, _ in play["chunks"][:i + 1]) for i in range(len(tokens))]
        self.late_s = [sent - plan for sent, plan in zip(sent_s, planned)]


class Disturbed(AssertionError):
    pass


def near(found, expected, slack):
    if len(found) != len(expected):
        raise AssertionError((found, expected))
    off = sorted((abs(a - b) / s, f"{a} is not {b} ± {s}") for a, b, s in zip(found, expected, slack))
    worse, said = off[len(off) // 2]
    if worse > 1:
        raise Disturbed(f"half of them and more: {said}")


def slack_of(expected):
    """What a time may be off in this run."""
    late = sorted(late_s for e in expected for late_s in e.late_s)
    typical = late[len(late) * 3 // 4]
    if typical > MOST_LATE_S:
        raise Disturbed(f"the server woke {typical} s late")
    return SLACK_S + max(0, typical)


def rate_slack(n, seconds, slack_s):
    """What `slack_s` in the time makes of n / seconds."""
    return n / (seconds - slack_s) - n / seconds if seconds > slack_s else n / seconds


def undisturbed(check):
    """One of several attempts must hold: a machine that stops us for a moment is no fault of what is measured."""
    for attempt in range(ATTEMPTS):
        try:
            return check()
        except Disturbed:
            if attempt == ATTEMPTS - 1:
                raise


class BenchUrlTest(unittest.TestCase):
    def check_arithmetic(self, plays, record, log):
        expected = [Arithmetic(plays[i % len(plays)], entry) for i, entry in enumerate(log)]
        slack_s = slack_of(expected)

        def times(name, values):
            near(samples(record, name), values, [slack_s] * len(values))

        def rates(name, counts, seconds, n_times=1):
            near(samples(record, name), [n / s for n, s in zip(counts, seconds)],
                 [rate_slack(n, s, n_times * slack_s) for n, s in zip(counts, seconds)])

        times("ttft_s", [e.ttft_s for e in expected])
        times("inter_chunk_s", [gap for e in expected for gap in e.gaps_s])
        times("e2e_s", [e.e2e_s for e in expected])
        near(samples(record, "tpot_s"), [e.decode_s / e.n_decoded for e in expected],
             [slack_s / e.n_decoded for e in expected])
        decode_s = [e.decode_s for e in expected]
        rates("decode_tokens_per_s", [e.n_decoded for e in expected], decode_s)
        rates("characters_per_s", [4 * e.n_decoded for e in expected], decode_s)
        rates("overall_tokens_per_s", [e.n_tokens for e in expected], [e.e2e_s for e in expected])
        rates("prefill_tokens_per_s", [e.n_prompt for e in expected], [e.ttft_s for e in expected])
        wall_s = sum(e.e2e_s for e in expected)
        rates("throughput_tokens_per_s", [sum(e.n_tokens for e in expected)], [wall_s], len(expected))
        rates("requests_per_s", [len(expected)], [wall_s], len(expected))
        self.assertEqual(samples(record, "answer_tokens"), [e.n_tokens for e in expected])
        self.assertEqual(samples(record, "prompt_tokens"), [e.n_prompt for e in expected])
        self.assertEqual(samples(record, "first_chunk_tokens"), [e.n_first for e in expected])

    def test_every_figure_is_the_arithmetic_of_the_delays(self):
        for url_end, more in (("", []), ("", ["--per-chunk-usage"]), ("/v1/completions", [])):
            def check():
                with Server(SLOW, FAST, warmup=FAST, n_warmup=1) as server:
                    out, _ = bench("--url", server.url + url_end, "-o", "json", "--repeat", "10", *more)
                    record = json.loads(out)[0]
                    self.check_arithmetic([SLOW, FAST], record, server.log()[1:])
                    self.assertEqual((record["n_requests"], record["n_failed"]), (10, 0))
                    self.assertEqual((record["token_counts"], record["model"]), ("usage", "replay"))
                    self.assertEqual(record["api"], "completions" if url_end else "chat")
                    codes = [warning["code"] for warning in record["warnings"]]
                    self.assertEqual(codes, [] if more else ["first_chunk_estimated"])
                    for metric in ("ttft_s", "tpot_s", "decode_tokens_per_s"):
                        self.assertEqual(record["metrics"][metric]["n_warmup"], 1)
            undisturbed(check)

    def test_requests_at_a_time_add_up(self):
        def check():
            with Server(SLOW) as server:
                record = record_of(server, "--repeat", "3", "--concurrency", "4")
                log = server.log()
            self.assertEqual((len(log), record["n_requests"], record["concurrency"]), (16, 12, 4))
            expected = [Arithmetic(SLOW, entry) for entry in log[4:]]
            slack_s = slack_of(expected)
            near(sorted(samples(record, "ttft_s")), sorted(e.ttft_s for e in expected), [slack_s] * 12)
            n_tokens, wall_s = sum(e.n_tokens for e in expected), sum(e.e2e_s for e in expected) / 4
            near(samples(record, "throughput_tokens_per_s"), [n_tokens / wall_s],
                 [rate_slack(n_tokens, wall_s, 4 * slack_s)])
        undisturbed(check)

    def test_what_fails_is_counted_and_the_rest_is_measured(self):
        plays = [FAST, {"status": 500}, FAST, {**FAST, "end": "error"}, {**FAST, "end": "cut"},
                 {**FAST, "end": "reset"}, {"status": 429}, {**FAST, "end": "no_done"}]
        with Server(*plays, warmup=FAST, n_warmup=1) as server:
            record = record_of(server, "--repeat", "8")
            self.assertEqual(len(server.log()), 9)  # nobody asked twice
        self.assertEqual((record["n_requests"], record["n_failed"]), (8, 5))
        self.assertEqual(len(samples(record, "ttft_s")), 3)
        self.assertEqual([failure["id"] for failure in record["failures"]],
                         ["request 1", "request 3", "request 4", "request 5", "request 6"])
        said = [failure["message"] for failure in record["failures"]]
        for message, part in zip(said, ("played status 500", "played error", "cut", "127.0.0.1", "played status 429")):
            self.assertIn(part, message)
        self.assertEqual(record["warnings"][0]["code"], "failed_requests")

    def test_where_all_fail_the_record_is_printed_and_the_program_fails(self):
        with Server({"status": 503}) as server:
            out, err = bench("--url", server.url, "--repeat", "2", "-o", "json", status=8)
        record = json.loads(out)[0]
        self.assertEqual((record["n_failed"], record["metrics"]), (2, {}))
        self.assertIsNone(record["decode_tokens_per_s"])
        self.assertIn("HTTP 503: played status 503", err)

    def test_without_usage_chunks_are_counted_and_that_is_said(self):
        with Server({**SLOW, "usage": False}) as server:
            record = record_of(server, "--repeat", "2")
            self.assertEqual(record["token_counts"], "chunks")
            self.assertEqual(samples(record, "answer_tokens"), [5, 5])
            self.assertNotIn("prompt_tokens", record["metrics"])
            self.assertIsNone(record["prefill_tokens_per_s"])
            english, _ = bench("--url", server.url, "--repeat", "1", "--lang", "en")
            chinese, _ = bench("--url", server.url, "--repeat", "1", "--lang", "zh")
        self.assertIn("sent no usage", english)
        self.assertIn("未返回用量", chinese)

    def test_tables_rows_and_lines(self):
        with Server(FAST) as server:
            table, _ = bench("--url", server.url, "--repeat", "2", "--lang", "en")
            markdown, _ = bench("--url", server.url, "--repeat", "2", "-o", "md", "--lang", "zh")
            rows = list(csv.DictReader(io.StringIO(bench("--url", server.url, "--repeat", "2", "-o", "csv")[0])))
            lines = bench("--url", server.url, "--repeat", "2", "-o", "jsonl")[0].splitlines()
        self.assertIn("first token (TTFT)", table)
        self.assertIn("2 requests, 1 at a time: 2 answered, 0 failed", table)
        self.assertIn("| 首词元延迟（TTFT） |", markdown)
        self.assertEqual({row["model"] for row in rows}, {"replay"})
        by_name = {row["metric"]: row for row in rows}
        self.assertEqual(by_name["answer_tokens"]["median"], "6")
        self.assertEqual(by_name["ttft_s"]["n_samples"], "2")
        self.assertEqual([json.loads(line)["device"] for line in lines], ["url"])

    def test_the_key_goes_to_the_server_and_nowhere_else(self):
        with Server(FAST) as server:
            out, err = bench("--url", server.url, "--repeat", "1", "--api-key-env", "MY_KEY", "-o", "json",
                             MY_KEY="s3cret-key")
            log = server.log()
        self.assertEqual({entry["authorization"] for entry in log}, {"Bearer s3cret-key"})
        self.assertNotIn("s3cret", out + err)
        for file in pathlib.Path(HOME.name).rglob("*"):
            if file.is_file():
                self.assertNotIn(b"s3cret", file.read_bytes(), file)
        _, err = bench("--url", "http://127.0.0.1:1", "--api-key-env", "NOT_SET", status=2)
        self.assertIn("NOT_SET", err)

    def test_a_given_prompt_is_asked_and_its_repeating_said(self):
        with Server(FAST) as server:
            record = record_of(server, "--repeat", "2", "--prompt", "你好", "--model", "mine", "-n", "5")
            asked = [entry["asked"] for entry in server.log()]
            with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
                file.write("from a file")
                file.flush()
                record_of(server, "--repeat", "1", "--prompt-file", file.name)
            from_file = server.log()[-1]["asked"]
        self.assertEqual(asked[0]["messages"], [{"role": "user", "content": "你好"}])
        self.assertEqual([(a["model"], a["max_tokens"], a["stream"]) for a in asked], [("mine", 5, True)] * 3)
        self.assertIn("same_prompt", [warning["code"] for warning in record["warnings"]])
        self.assertEqual(from_file["messages"][0]["content"], "from a file")

    def test_prompts_differ_from_request_to_request(self):
        with Server(FAST) as server:
            record_of(server, "--repeat", "3", "-p", "40")
            prompts = [entry["asked"]["messages"][0]["content"] for entry in server.log()]
        self.assertEqual(len({prompt[:12] for prompt in prompts}), 4)
        self.assertEqual({len(prompt.split()) for prompt in prompts}, {40})

    def test_wrong_options_are_usage_errors(self):
        for args in ([], ["--url", "http://127.0.0.1:1", "some-model"], ["--model", "m"], ["--url", "ftp://x", "--model", "m"],
                     ["--url", "127.0.0.1:80", "--model", "m"], ["--url", "http://127.0.0.1:1", "-p", "1,2"],
                     ["--url", "http://127.0.0.1:1", "-d", "5"], ["--url", "http://127.0.0.1:1", "--concurrency", "0"]):
            with self.subTest(args=args):
                bench(*args, status=2)

    def test_a_server_that_is_not_there_is_named(self):
        _, err = bench("--url", "http://127.0.0.1:1", "--lang", "en", status=8)
        self.assertIn("127.0.0.1:1", err)
        self.assertIn("is the server running", err)

    def test_ctrl_c_prints_what_was_measured(self):
        slow = {"chunks": [[0.01, 1], [30, 1]]}
        with Server(FAST, FAST, slow, warmup=FAST, n_warmup=1) as server:
            process = subprocess.Popen(command("--url", server.url, "-o", "json", "--repeat", "6"), env=environment(),
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
            while len(server.log()) < 4:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 130)
        record = json.loads(out)[0]
        self.assertEqual((record["n_requests"], record["n_failed"]), (2, 0))


if __name__ == "__main__":
    unittest.main()
