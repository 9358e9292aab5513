#!/usr/bin/env python3
"""Evaluations that are broken off and go on, answer several questions at once, and are scored: on the tiny synthetic
model. With CHASKI_FULL=ON the program is killed 50 times instead of a few."""
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time
import unittest

from chaski_cli import CHASKI, TINY, ChaskiTest

RUBRIC = pathlib.Path(__file__).resolve().parents[2] / "suites/rubric.yaml"
N_KILLS = 50 if os.environ.get("CHASKI_FULL") == "ON" else 6
SHORT = ["--max-new-tokens", "6"]
#: What an unbroken run and one in pieces have the same; times differ.
SAME = ["id", "type", "prompt", "answer", "ids", "n_prompt_tokens", "n_tokens", "finish_reason"]


class EvalTest(ChaskiTest):
    def eval(self, out, *more, status=0):
        return self.chaski("eval", TINY, "--suite", "review-zh", "--out", out, *SHORT, *more, status=status)

    def suite(self, n_items, settings="temperature: 0.8, max_new_tokens: 24", item_type="code"):
        folder = self.home / "suite"
        folder.mkdir(exist_ok=True)
        (folder / "suite.yaml").write_text(f"name: toy\nsettings: {{{settings}}}\n")
        items = [{"id": f"q{n}", "type": item_type, "prompt": f"第 {n} 个问题" + " x" * (n % 7)} for n in range(n_items)]
        (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
        return folder

    def rows(self, folder):
        """The rows of a finished run, from both its files, which must agree."""
        lines = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
        items = self.record(folder)["items"]
        self.assertEqual([[line[name] for name in SAME] for line in lines],
                         [[item[name] for name in SAME] for item in items])
        return [[item["sample"], *(item[name] for name in SAME)] for item in items]

    # ---- broken off

    def test_f7_killed_anywhere_and_resumed_has_the_rows_of_an_unbroken_run(self):
        suite = self.suite(12)
        draw = random.Random(6)
        n_kills = 0
        for batch in ["1", "3"] * N_KILLS:
            command = ["eval", TINY, "--suite", suite, "--samples", "2", "--batch", batch, "--json"]
            whole, broken = self.home / f"whole{batch}", self.home / f"broken{n_kills}"
            if not whole.exists():
                began = time.monotonic()
                self.chaski(*command, "--out", whole)
                seconds = time.monotonic() - began
            n_before = n_kills
            while True:
                with subprocess.Popen([CHASKI, *map(str, command), "--resume", "--out", str(broken)], env=self.env,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
                    try:
                        # A run that must only go on is shorter, and should be hit as often.
                        _, err = running.communicate(timeout=draw.uniform(0, seconds) if n_kills < N_KILLS else 300)
                    except subprocess.TimeoutExpired:
                        running.send_signal(signal.SIGKILL)
                        running.communicate()
                        n_kills += 1
                        continue
                self.assertEqual(running.returncode, 0, err)
                break
            self.assertEqual(self.rows(broken), self.rows(whole))
            codes = [warning["code"] for warning in self.record(broken)["warnings"]]
            self.assertLessEqual(codes.count("resumed"), 1 if n_kills > n_before else 0)
            if n_kills >= N_KILLS:
                break
        self.assertGreaterEqual(n_kills, N_KILLS)
        self.assertEqual(self.rows(self.home / "whole1"), self.rows(self.home / "whole3"), "batched or not")

    def test_f18_sigterm_loses_no_row(self):
        command = [CHASKI, "eval", TINY, "--suite", str(self.suite(20)), "--samples", "50", "--out", str(self.out),
                   "--json"]
        with subprocess.Popen(command, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            items = self.out / "items.jsonl"
            deadline = time.monotonic() + 120
            while not items.exists() or items.read_text().count("\n") < 5:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.01)
            running.send_signal(signal.SIGTERM)
            self.assertEqual(running.wait(60), -signal.SIGTERM)
        n_kept = items.read_text().count("\n")
        _, err = self.chaski(*command[1:], "--resume")
        self.assertIn(f"{n_kept} answers are there", err)
        self.assertEqual(len(self.rows(self.out)), 1000)

    def test_f4_a_full_disk_ends_the_run_and_loses_no_row(self):
        command = f'"$CHASKI" eval {TINY} --suite {self.suite(20)} --samples 10 --out {self.out} --json'
        done = subprocess.run(["sh", "-c", f"ulimit -f 40; {command}"], env={**self.env, "CHASKI": CHASKI},
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 9, done.stderr)
        self.assertIn("items.jsonl", done.stderr.decode())
        text = (self.out / "items.jsonl").read_text()
        self.assertTrue(text.endswith("\n"))
        self.assertGreater(text.count("\n"), 5)
        self.assertFalse((self.out / "run.json").exists())
        _, err = self.chaski("eval", TINY, "--suite", self.suite(20), "--samples", "10", "--out", self.out, "--json",
                             "--resume")
        self.assertIn(f"{text.count(chr(10))} answers are there", err)
        self.assertEqual(len(self.rows(self.out)), 200)

    def test_a_history_that_cannot_be_written_costs_no_run(self):
        (self.home / "home").mkdir()
        (self.home / "home/runs.db").write_text("not a database" * 100)
        _, err = self.eval(self.out)
        self.assertIn("not in the history", err)
        self.assertEqual(len(self.rows(self.out)), 5)

    def test_another_run_is_refused_with_the_difference_named_and_left_as_it_was(self):
        command = ["eval", TINY, "--suite", self.suite(3), "--out", self.out, "--json"]
        self.chaski(*command)
        before = (self.out / "run.json").read_text()
        for change, difference in ((["--temperature", "0.5"], "temperature is 0.8 there and 0.5 here"),
                                   (["--template", "raw:<s>{prompt}"], "template is"),
                                   (["--samples", "2"], "n_samples is 1 there and 2 here"),
                                   (["--precision", "exact"], "precision is")):
            self.assertIn(difference, self.chaski(*command, "--resume", *change, status=2)[1])
        command[1] = TINY + "@q8_0"
        self.assertIn("model hash is", self.chaski(*command, "--resume", status=2)[1])
        self.assertEqual((self.out / "run.json").read_text(), before)

    def test_a_finished_run_is_not_asked_again(self):
        self.eval(self.out)
        before = (self.out / "run.json").read_text()
        out, err = self.eval(self.out, "--resume")
        self.assertIn("is finished", err)
        self.assertIn(str(self.out / "run.json"), out)
        self.assertEqual((self.out / "run.json").read_text(), before)

    def test_a_fresh_run_keeps_the_one_that_was_there(self):
        self.eval(self.out)
        before = (self.out / "run.json").read_text()
        _, err = self.eval(self.out, "--seed", "7")
        self.assertIn("older-1", err)
        self.assertEqual((self.out / "older-1/run.json").read_text(), before)
        self.assertEqual(self.record(self.out)["settings"]["seed"], 7)
        self.assertEqual(sorted(path.name for path in self.out.iterdir()),
                         ["items.jsonl", "older-1", "report.md", "run.json"])

    def test_an_unfinished_run_that_a_fresh_one_moves_can_be_gone_on_with(self):
        command = ["eval", TINY, "--suite", self.suite(4), "--batch", "1", "--no-score"]
        self.chaski(*command, "--out", self.out)
        lines = (self.out / "items.jsonl").read_text().splitlines()
        record = self.record()
        (self.out / "run.json").rename(self.out / "run.partial.json")
        (self.out / "items.jsonl").write_text("")
        _, err = self.chaski(*command, "--out", self.out)
        older = self.out / "older-1"
        self.assertIn(f"--resume --out {older}", err)
        self.chaski(*command, "--resume", "--out", older)
        self.assertEqual(len(self.rows(older)), len(lines))
        self.assertEqual([item["ids"] for item in self.record(older)["items"]], [item["ids"] for item in record["items"]])

    def test_resume_needs_a_folder(self):
        _, err = self.chaski("eval", TINY, "--suite", "review-zh", "--resume", status=2)
        self.assertIn("--out", err)

    # ---- several at once

    def test_the_reviews_questions_are_timed_alone_and_others_are_batched(self):
        self.eval(self.out)
        self.assertEqual(self.record(self.out)["settings"]["batch"], 1)
        self.assertNotIn("batched", [warning["code"] for warning in self.record(self.out)["warnings"]])
        self.chaski("eval", TINY, "--suite", self.suite(10), "--out", self.home / "toy", *SHORT)
        record = self.record(self.home / "toy")
        self.assertEqual(record["settings"]["batch"], 8)
        self.assertIn("batched", [warning["code"] for warning in record["warnings"]])
        self.chaski("eval", TINY, "--suite", self.suite(2), "--batch", "0.5", status=2)

    def test_a_question_alone_is_not_called_a_batch(self):
        out, _ = self.chaski("eval", TINY, "--suite", self.suite(1), "--no-score", "--out", self.out, *SHORT)
        self.assertEqual(self.record()["settings"]["batch"], 1)
        self.assertNotIn("batched", [warning["code"] for warning in self.record()["warnings"]])
        self.assertIn("One question at a time", (self.out / "report.md").read_text())
        self.assertNotIn("at once", out)

    def test_the_total_of_a_batch_is_its_wall_time(self):
        suite = self.suite(12)
        began = time.monotonic()
        out, _ = self.chaski("eval", TINY, "--suite", suite, "--batch", "6", "--no-score", "--out", self.out)
        seconds = time.monotonic() - began
        summary = self.record()["summary"]
        self.assertGreater(summary["total_s"], 1.5 * summary["wall_s"], "shared seconds count several times")
        self.assertLess(summary["wall_s"], seconds)
        self.assertGreaterEqual(summary["wall_s"], max(item["seconds"] for item in self.record()["items"]))
        self.assertRegex(out, rf"total +{summary['wall_s']:.2f} ")

    def test_the_wall_time_of_a_run_in_pieces_is_that_of_all_its_pieces(self):
        command = ["eval", TINY, "--suite", self.suite(6), "--batch", "1", "--no-score", "--out", self.out]
        running = subprocess.Popen([CHASKI, *map(str, command), "--samples", "100"], env=self.env,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        items = self.out / "items.jsonl"
        deadline = time.monotonic() + 120
        while not items.exists() or items.read_text().count("\n") < 20:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        running.wait(60)
        before = json.loads(items.read_text().splitlines()[-2])["wall_s"]
        self.assertGreater(before, 0)
        self.chaski(*command, "--samples", "100", "--resume")
        summary = self.record()["summary"]
        self.assertGreaterEqual(summary["wall_s"], 0.99 * summary["total_s"], "one at a time: no second is shared")

    def test_answers_of_a_batch_are_shown_whole(self):
        out, _ = self.chaski("eval", TINY, "--suite", self.suite(4), "--batch", "4", "--out", self.out, *SHORT)
        for number in range(1, 5):
            self.assertIn(f"[{number}/4] code · 第", out)

    # ---- which questions, which models

    def test_a_part_of_a_suite_is_asked_and_says_that_it_is_one(self):
        command = ["eval", TINY, "--suite", "chaski-zh", "--no-score", *SHORT]
        out, _ = self.chaski(*command, "--limit", "2", "--type", "code,concept", "--out", self.out)
        record = self.record()
        self.assertEqual([item["type"] for item in record["items"]].count("code"), 2)
        self.assertEqual(len(record["items"]), 4)
        suite = record["settings"]["suite"]
        self.assertEqual(suite["part"], {"n_questions": 4, "n_all": 109, "types": "code,concept", "limit": 2})
        self.assertIn("part_of_suite", [warning["code"] for warning in record["warnings"]])
        self.assertIn("part of the suite", out)
        self.assertIn("(a part)", (self.out / "report.md").read_text())
        other = self.home / "other"
        self.chaski(*command, "--limit", "1", "--out", other)
        self.assertEqual(self.record(other)["settings"]["suite"]["sha256"], suite["sha256"])
        out, _ = self.chaski("compare", self.out, other)
        self.assertIn("asked a part of its suite alone", out)
        self.score(self.out)
        self.assertEqual(len(self.record()["scores"]), 4)

    def test_another_part_is_another_run(self):
        command = ["eval", TINY, "--suite", self.suite(5), "--no-score", "--out", self.out, *SHORT]
        self.chaski(*command, "--limit", "2")
        self.assertIn("suite part is", self.chaski(*command, "--limit", "3", "--resume", status=2)[1])
        self.chaski(*command, "--limit", "5")
        self.assertNotIn("part", self.record()["settings"]["suite"], "all questions are no part")

    def test_a_type_that_the_suite_has_not_is_answered_with_those_it_has(self):
        _, err = self.eval(self.out, "--type", "poetry", status=2)
        self.assertIn("self-introduction", err)
        self.assertFalse(self.out.exists())
        self.eval(self.out, "--limit", "0", status=2)

    def test_the_suites_there_are_are_listed_with_their_questions(self):
        own = self.home / "home/suites/capitals"
        own.mkdir(parents=True)
        (own / "suite.yaml").write_text("name: capitals\n")
        (own / "items.jsonl").write_text('{"id": "1", "type": "geography", "prompt": "Which?"}\n')
        bad = self.home / "home/suites/broken"
        bad.mkdir()
        (bad / "suite.yaml").write_text("name: [\n")
        (bad / "items.jsonl").write_text("")
        out, err = self.chaski("eval", "--list-suites")
        self.assertRegex(out, r"chaski-zh +109 +Chinese")
        self.assertRegex(out, r"chaski-en +109 +English")
        self.assertRegex(out, r"capitals +1 +English")
        self.assertIn("geography 1", out)
        self.assertIn("ceval:", out)
        self.assertIn("broken", err)
        suites = {suite["name"]: suite for suite in json.loads(self.chaski("eval", "--list-suites", "--json")[0])}
        self.assertEqual((suites["chaski-zh"]["language"], suites["chaski-zh"]["types"]["code"]), ("zh", 21))
        self.assertIn("题数", self.chaski("eval", "--list-suites", "--lang", "zh")[0])

    def test_a_model_and_a_suite_must_be_named(self):
        self.assertIn("MODEL", self.chaski("eval", "--suite", "review-zh", status=2)[1])
        self.assertIn("--suite", self.chaski("eval", TINY, status=2)[1])

    def test_what_is_wrong_with_the_last_model_is_said_before_the_first_is_asked(self):
        (self.home / "cut.gguf").write_bytes(b"GGUF")
        for wrong, status in (("synthetic:nix", 2), ("nowhere/at-all", 3), (self.home / "cut.gguf", 4)):
            out, err = self.chaski("eval", TINY, wrong, "--suite", "review-zh", "--out", self.out, *SHORT, status=status)
            self.assertEqual(out, "")
            self.assertIn(str(wrong).rsplit(":", maxsplit=1)[-1], err)
            self.assertFalse(self.out.exists())
        _, err = self.chaski("eval", "nowhere/one", TINY, "nowhere/two", "--suite", "review-zh", status=3)
        self.assertIn("nowhere/one, nowhere/two", err)

    # ---- what is measured

    def test_a_record_has_latencies_memory_energy_and_the_fallback_rate(self):
        self.eval(self.out)
        record = self.record(self.out)
        self.assertEqual(list(record["metrics"]), ["ttft_s", "tpot_s", "itl_s", "e2e_s", "decode_tokens_per_s",
                                                   "characters_per_s"])
        self.assertEqual(record["metrics"]["e2e_s"]["samples"], [item["seconds"] for item in record["items"]])
        self.assertEqual(record["fallback_rate"], {"by_calls": 0, "by_time": 0, "by_ops": 0})
        self.assertGreater(record["memory"]["kv_bytes"], 0)
        self.assertGreater(record["memory"]["peak_rss_bytes"], 0)
        self.assertTrue(record["energy"])
        for energy in record["energy"]:
            self.assertEqual(energy["phase"], "eval")
            self.assertTrue(energy["joules"] is not None or energy["why_not"])

    def deep_model(self, n_layers):
        """The tiny model with its first layer again and again."""
        small, deep = self.home / "tiny.gguf", self.home / "deep"
        self.chaski("convert", TINY, small)
        self.chaski("convert", small, deep)
        config = json.loads((deep / "config.json").read_text())
        (deep / "config.json").write_text(json.dumps({**config, "num_hidden_layers": n_layers}))
        data = (deep / "model.safetensors").read_bytes()
        n_header = int.from_bytes(data[:8], "little")
        header, weights = json.loads(data[8:8 + n_header]), data[8 + n_header:]
        tensors, parts, at = {}, [], 0
        for layer in range(n_layers):
            for name, fact in header.items():
                if ".layers.0." not in name and (layer > 0 or ".layers." in name or name == "__metadata__"):
                    continue
                begin, end = fact["data_offsets"]
                tensors[name.replace(".layers.0.", f".layers.{layer}.")] = {**fact, "data_offsets": [at, at + end - begin]}
                parts.append(weights[begin:end])
                at += end - begin
        text = json.dumps(tensors).encode()
        (deep / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))
        return deep

    def test_the_peak_of_memory_is_that_of_the_model_alone_also_after_a_larger_one(self):
        deep = self.deep_model(120)
        self.chaski("eval", deep, TINY, "--suite", self.suite(2), "--no-score", "--out", self.out, "--max-new-tokens", "1")
        folders = sorted(self.out.iterdir(), key=lambda folder: not folder.name.endswith("deep"))
        large, small = (self.record(folder)["memory"] for folder in folders)
        difference = large["weight_bytes"] - small["weight_bytes"]
        self.assertGreater(difference, 50e6)
        self.assertGreater(large["peak_rss_bytes"] - small["peak_rss_bytes"], 0.7 * difference)
        self.assertGreater(small["scratch_bytes"], 0)

    def test_a_finished_run_is_in_the_history(self):
        self.eval(self.out)
        out, _ = self.chaski("history")
        self.assertIn("review-zh", out)

    # ---- scores

    def score(self, *args, status=0):
        return self.chaski("score", *args, status=status)

    def put_answers(self, folder, answers):
        record = self.record(folder)
        for item in record["items"]:
            if item["id"] in answers:
                item.update(answer=answers[item["id"]], finish_reason="stop")
        (folder / "run.json").write_text(json.dumps(record))

    def scores(self, folder):
        return {score["id"]: score["score"] for score in self.record(folder)["scores"]}

    def test_answers_are_scored_with_evidence_and_the_rubric_is_recorded(self):
        out, _ = self.eval(self.out)
        record = self.record(self.out)
        self.assertEqual([score["id"] for score in record["scores"]], ["1", "2", "3", "4", "5"])
        self.assertTrue(all(score["scorer"] == "rubric" for score in record["scores"]))
        self.assertEqual(record["scoring"]["rubric"]["sha256"], hashlib.sha256(RUBRIC.read_bytes()).hexdigest())
        self.assertIn(record["scoring"]["sandbox"], ("A", "B", "none"))
        self.assertEqual(record["scoring"]["by_type"]["arithmetic"]["n_questions"], 1)
        self.assertIn("arithmetic", out)
        self.assertIn("## Scores", (self.out / "report.md").read_text())

    def test_scoring_later_gives_the_same_scores_and_needs_no_model(self):
        self.eval(self.out)
        at_once = self.record(self.out)
        later = self.home / "later"
        self.eval(later, "--no-score")
        self.assertEqual(self.record(later)["scores"], [])
        self.assertIn("not scored here", (later / "report.md").read_text())
        record = self.record(later)
        record["model"]["path"] = "/nowhere"
        (later / "run.json").write_text(json.dumps(record))
        self.score(later)
        record = self.record(later)
        self.assertEqual(record["scores"], at_once["scores"])
        self.assertEqual(record["scoring"], at_once["scoring"])

    def test_an_unscored_run_that_is_resumed_is_scored(self):
        self.eval(self.out, "--no-score")
        self.eval(self.out, "--resume")
        self.assertEqual(len(self.record(self.out)["scores"]), 5)

    def test_answers_are_scored_by_what_they_say(self):
        self.eval(self.out, "--no-score")
        self.put_answers(self.out, {"3": "中国的首都是北京。", "5": "1+2+3+4+5=15，所以答案是15。"})
        self.score(self.out)
        good = self.scores(self.out)
        self.put_answers(self.out, {"3": "中国的首都是杭州。", "5": "等于1110。"})
        self.score(self.out, "--out", self.home / "bad")
        bad = self.scores(self.home / "bad")
        self.assertGreaterEqual(min(good["3"], good["5"]), 4)
        self.assertLessEqual(max(bad["3"], bad["5"]), 2)
        self.assertEqual(self.scores(self.out), good, "--out leaves the run as it was")

    def test_another_rubric_scores_otherwise_and_is_named(self):
        self.eval(self.out, "--no-score")
        self.put_answers(self.out, {"5": "1+2+3=6，6+4=10，10+5=15，所以答案是16。"})
        self.score(self.out)
        before = self.scores(self.out)
        rubric = self.home / "mine.yaml"
        text = RUBRIC.read_text()
        self.assertIn("wrong_final: 2", text)
        rubric.write_text(text.replace("wrong_final: 2", "wrong_final: 1").replace("chaski-rubric/", "mine/"))
        self.score(self.out, "--rubric", rubric)
        self.assertEqual((before["5"], self.scores(self.out)["5"]), (2, 1))
        self.assertTrue(self.record(self.out)["scoring"]["rubric"]["name"].startswith("mine/"))

    def test_a_bad_rubric_is_said_before_anything_is_asked(self):
        rubric = self.home / "bad.yaml"
        rubric.write_text("name: bad\ntypes: {arithmetic: {weights: {luck: 1}}}\n")
        _, err = self.eval(self.out, "--rubric", rubric, status=4)
        self.assertIn("luck", err)
        self.assertEqual(list(self.out.iterdir()), [])

    def test_answers_are_never_scored_by_other_questions(self):
        suite = self.suite(2, item_type="arithmetic")
        self.chaski("eval", TINY, "--suite", suite, "--no-score", "--out", self.out, "--json")
        kept = self.home / "kept"
        shutil.copytree(suite, kept)
        self.suite(3, item_type="arithmetic")
        _, err = self.score(self.out, status=2)
        self.assertIn(self.record(self.out)["settings"]["suite"]["sha256"], err)
        self.score(self.out, "--suite", kept)
        shutil.rmtree(suite)
        self.assertIn("--suite", self.score(self.out, status=3)[1])

    def test_a_run_of_the_history_is_scored_there_or_into_a_folder_that_is_named(self):
        self.eval(self.out, "--no-score")
        out, _ = self.score("1")
        self.assertIn("with these scores as 2", out)
        self.assertEqual(self.record()["scores"], [], "the run's own files are as they were")
        again, err = self.score("2", "--json")
        self.assertEqual(len(json.loads(again)["scores"]), 5)
        self.assertIn("as 2", err)
        self.score("1", "--out", self.home / "scored")
        self.assertEqual(len(self.record(self.home / "scored")["scores"]), 5)

    def test_a_bench_has_no_answers_to_score(self):
        self.chaski("bench", TINY, "-p", "8", "-n", "4", "-r", "1")
        self.assertIn("it has no answers to score", self.score("1", status=2)[1])

    def test_a_question_that_failed_counts_as_an_empty_answer(self):
        suite = self.suite(1, settings="temperature: 0, max_length: 40", item_type="arithmetic")
        with (suite / "items.jsonl").open("a") as items:
            items.write(json.dumps({"id": "long", "type": "arithmetic", "prompt": "x" * 90, "answer": "1"}) + "\n")
        self.chaski("eval", TINY, "--suite", suite, "--out", self.out, status=2)
        record = self.record(self.out)
        score = record["scores"][1]
        self.assertEqual((score["status"], score["score"], score["is_correct"]), ("scored", 1, False))
        self.assertIn("failed", score["note"])
        self.assertEqual(record["scoring"]["by_type"]["arithmetic"]["n_questions"], 1, "q0 has no reference")
        self.assertEqual(record["scoring"]["by_type"]["arithmetic"]["mean"], 1)


if __name__ == "__main__":
    unittest.main()
