#!/usr/bin/env python3
"""The whole review as one command, on two tiny synthetic models: one folder with everything, made by turns."""
import json
import re
import unittest

from chaski_cli import ChaskiTest

A, B = "synthetic:tiny", "synthetic:tiny@q8_0"
SHORT = ["--max-new-tokens", "6", "-p", "16", "-n", "8"]


class ReviewTest(ChaskiTest):
    def review(self, *args, status=0):
        return self.chaski("review", *args, status=status)

    def test_a_review_leaves_one_folder_with_everything(self):
        out, _ = self.review(A, B, "--out", self.out, *SHORT)
        self.assertEqual(sorted(path.name for path in self.out.iterdir()),
                         ["bench", "bench.html", "bench.json", "bench.md", "compare.html", "compare.md", "index.md",
                          "synthetic-tiny", "synthetic-tiny-q8_0"])
        for name in ("synthetic-tiny", "synthetic-tiny-q8_0"):
            record = self.record(name)
            self.assertEqual(len(record["items"]), 5)
            self.assertEqual(len(record["scores"]), 5)
            self.assertEqual(self.record("bench", name)["kind"], "bench")
            self.assertTrue((self.out / name / "report.md").exists())
        self.assertEqual([bench["model"] for bench in json.loads((self.out / "bench.json").read_text())], [A, B])
        page = (self.out / "compare.html").read_text()
        self.assertIn("tiny@q8_0", page)
        self.assertNotIn("<script", page)
        links = re.findall(r"\]\(([^)]+)\)", (self.out / "index.md").read_text())
        files = [str(path.relative_to(self.out)) for path in self.out.rglob("*") if path.is_file()]
        self.assertEqual(sorted(links), sorted(set(files) - {"index.md"}))
        self.assertIn("sandbox for generated code:", out)
        self.assertIn("energy:", out)

    def test_both_are_asked_by_turns_and_neither_always_first(self):
        out, _ = self.review(A, B, "--no-bench", "--out", self.out, *SHORT)
        self.assertEqual(re.findall(r"^\[(\d)/5\] ([AB]) ·", out, re.MULTILINE),
                         [("1", "A"), ("1", "B"), ("2", "B"), ("2", "A"), ("3", "A"), ("3", "B"), ("4", "B"), ("4", "A"),
                          ("5", "A"), ("5", "B")])
        self.assertFalse((self.out / "bench.json").exists())

    def test_the_template_experiment_asks_one_model_by_two_templates(self):
        self.review(A, "--templates", "--out", self.out, *SHORT, "--lang", "zh")
        own, other = self.record("own-template"), self.record("review-template")
        self.assertEqual(own["model"]["hash"], other["model"]["hash"])
        self.assertEqual(own["settings"]["template"], "model")
        self.assertEqual(other["settings"]["template"], "raw:<s>[INST] {prompt} [/INST]")
        self.assertIn('lang="zh', (self.out / "compare.html").read_text())
        self.assertIn("对话模板", (self.out / "compare.md").read_text())

    def test_models_that_are_not_here_are_all_named_and_nothing_is_left(self):
        _, err = self.review("LLM-Research/Llama-3.2-1B-Instruct", "UnicomAI/Unichat-llama3.2-Chinese-3B", status=3)
        self.assertIn("LLM-Research/Llama-3.2-1B-Instruct, UnicomAI/Unichat-llama3.2-Chinese-3B", err)
        self.assertFalse((self.home / "home/runs").exists())

    def test_one_model_alone_is_no_review(self):
        _, err = self.review(A, status=2)
        self.assertIn("expected two models", err)
        self.assertIn("--templates", err)
        self.assertIn("expected one model", self.review(A, B, "--templates", status=2)[1])

    def test_a_review_broken_off_goes_on_where_it_was(self):
        self.review(A, B, "--no-bench", "--out", self.out, *SHORT)
        before = [self.record(name)["items"] for name in ("synthetic-tiny", "synthetic-tiny-q8_0")]
        folder = self.out / "synthetic-tiny-q8_0"
        (folder / "run.json").unlink()
        self.review(A, B, "--no-bench", "--resume", "--out", self.out, *SHORT)
        after = [self.record(name)["items"] for name in ("synthetic-tiny", "synthetic-tiny-q8_0")]
        self.assertEqual(before[0], after[0], "a finished side is not asked again")
        self.assertEqual([item["ids"] for item in before[1]], [item["ids"] for item in after[1]])

    def test_a_second_review_keeps_the_first_whole(self):
        self.review(A, B, "--out", self.out, *SHORT)
        before = {path.relative_to(self.out): path.read_bytes() for path in self.out.rglob("*") if path.is_file()}
        _, err = self.review(A, B, "--out", self.out, *SHORT, "--seed", "7", "--no-bench")
        older = self.out / "older-1"
        self.assertIn(str(older), err)
        self.assertNotIn("--resume", err)
        self.assertEqual({path.relative_to(older): path.read_bytes() for path in older.rglob("*") if path.is_file()},
                         before)
        self.assertEqual(sorted(path.name for path in self.out.iterdir()),
                         ["compare.html", "compare.md", "index.md", "older-1", "synthetic-tiny", "synthetic-tiny-q8_0"])

    def test_a_second_review_of_other_models_keeps_the_first_whole_too(self):
        self.review(A, B, "--no-bench", "--out", self.out, *SHORT)
        before = {path.relative_to(self.out) for path in self.out.rglob("*") if path.is_file()}
        self.review(A, "--templates", "--out", self.out, *SHORT)
        older = self.out / "older-1"
        self.assertEqual({path.relative_to(older) for path in older.rglob("*") if path.is_file()}, before)
        self.assertFalse((self.out / "synthetic-tiny-q8_0").exists())

    def test_a_review_resumed_keeps_the_bench_that_was_there(self):
        self.review(A, B, "--out", self.out, *SHORT)
        bench = (self.out / "bench.json").read_bytes()
        answers = self.record("synthetic-tiny")["items"]
        self.review(A, B, "--out", self.out, *SHORT, "--resume")
        self.assertEqual((self.out / "older-1/bench.json").read_bytes(), bench)
        self.assertTrue((self.out / "older-1/bench/synthetic-tiny/run.json").exists())
        self.assertEqual(self.record("synthetic-tiny")["items"], answers)
        self.assertTrue((self.out / "bench.json").exists())

    def test_an_unfinished_review_is_kept_and_can_be_gone_on_with(self):
        self.review(A, B, "--no-bench", "--out", self.out, *SHORT)
        answers = self.record("synthetic-tiny")["items"]
        for name in ("index.md", "compare.md", "compare.html", "synthetic-tiny-q8_0/run.json"):
            (self.out / name).unlink()
        _, err = self.review(A, B, "--no-bench", "--out", self.out, *SHORT)
        older = self.out / "older-1"
        self.assertIn(f"--resume --out {older}", err)
        self.review(A, B, "--no-bench", "--resume", "--out", older, *SHORT)
        self.assertEqual(self.record("older-1", "synthetic-tiny")["items"], answers)
        self.assertTrue((older / "compare.html").exists())

    def test_a_part_of_the_suite_is_reviewed_and_said_to_be_one(self):
        out, _ = self.review(A, B, "--suite", "chaski-en", "--type", "commonsense", "--limit", "2", "--no-bench", "--out",
                             self.out, *SHORT)
        self.assertEqual([len(self.record(name)["items"]) for name in ("synthetic-tiny", "synthetic-tiny-q8_0")], [2, 2])
        self.assertIn("A asked a part of its suite alone (2 of 109 questions", out)

    def test_a_bench_that_fails_leaves_the_comparison(self):
        self.out.mkdir()
        (self.out / "bench").write_text("in the way")
        self.review(A, B, "--out", self.out, *SHORT, status=9)
        self.assertTrue((self.out / "compare.html").exists())
        index = (self.out / "index.md").read_text()
        self.assertIn("compare.html", index)
        self.assertNotIn("bench.html", index)

    def test_a_bench_that_does_not_fit_is_said_before_anything_is_asked(self):
        _, err = self.review(A, B, "--out", self.out, "-p", "10000000", status=2)
        self.assertIn("10000000", err)
        self.assertFalse(self.out.exists())


if __name__ == "__main__":
    unittest.main()
