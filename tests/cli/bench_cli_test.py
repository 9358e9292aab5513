#!/usr/bin/env python3
"""chaski bench, and --isa, as users meet them."""
import csv
import io
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

CHASKI = os.environ["CHASKI"]
TINY = "synthetic:tiny"
SHORT = ["-p", "16", "-n", "4", "--repeat", "2"]


def chaski(*args, status=0):
    done = subprocess.run([CHASKI, *args], capture_output=True, timeout=300, check=False, stdin=subprocess.DEVNULL,
                          env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"})
    assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
    return done.stdout.decode(), done.stderr.decode()


def bench(*args):
    return json.loads(chaski("bench", *args, *SHORT, "-o", "json")[0])


class BenchTest(unittest.TestCase):
    def test_json_is_a_list_with_an_object_per_model_and_the_agreed_keys(self):
        records = bench(TINY, TINY + "@q8_0", "-b", "2,5", "-t", "2")
        self.assertEqual([r["model"] for r in records], [TINY, TINY + "@q8_0"])
        for record in records:
            for key in ("device", "device_kind", "isa", "format", "precision", "weight_bytes", "kv_bytes", "load_s",
                        "peak_rss_bytes"):
                self.assertTrue(record[key], key)
            self.assertEqual((record["threads"], record["n_prompt"], record["n_gen"]), (2, 16, 4))
            self.assertTrue(record["is_synthetic"])
            batched = [entry["decode_tokens_per_s"] for entry in record["batched"]]
            self.assertEqual([entry["n_sequences"] for entry in record["batched"]], [2, 5])
            for metric in (record["prefill_tokens_per_s"], record["decode_tokens_per_s"], *batched):
                self.assertEqual(len(metric["samples"]), 2)
                self.assertIsNone(metric["ci95"])  # two samples have a range
                low, high = metric["range"]
                self.assertTrue(0 < low <= metric["median"] <= metric["p90"] <= metric["p99"] <= high)

    def test_jsonl_has_a_line_per_model(self):
        out, _ = chaski("bench", TINY, TINY, *SHORT, "-o", "jsonl")
        self.assertEqual([json.loads(line)["model"] for line in out.splitlines()], [TINY, TINY])

    def test_speculation_stands_beside_plain_decoding(self):
        self.assertIsNone(bench(TINY)[0]["speculative_decode_tokens_per_s"])
        record = bench(TINY, "--speculate")[0]
        self.assertEqual([warning["code"] for warning in record["warnings"]], ["speculation_random_weights"])
        for key in ("decode_tokens_per_s", "speculative_decode_tokens_per_s"):
            self.assertEqual(len(record[key]["samples"]), 2)
        self.assertIn("n-gram", chaski("bench", TINY, *SHORT, "--speculate", "--lang", "en")[0])

    def test_csv_has_a_row_per_metric(self):
        out, _ = chaski("bench", TINY, *SHORT, "-b", "2", "-o", "csv")
        rows = list(csv.DictReader(io.StringIO(out)))
        self.assertEqual([(row["test"], row["n_sequences"]) for row in rows],
                         [("prefill", "1"), ("decode", "1"), ("decode", "2")])

    def test_tables_speak_both_languages_and_label_random_weights(self):
        english, note = chaski("bench", TINY, *SHORT, "--lang", "en")
        self.assertIn("(random weights)", english)
        self.assertIn("for speed only", note)
        self.assertIn("预填充 16", chaski("bench", TINY, *SHORT, "--lang", "zh")[0])
        self.assertIn("| --- |", chaski("bench", TINY, *SHORT, "-o", "md")[0])

    def test_six_samples_have_an_interval(self):
        out, _ = chaski("bench", TINY, "-p", "4", "-n", "0", "-o", "json")
        metric = json.loads(out)[0]["prefill_tokens_per_s"]
        low, high = metric["ci95"]  # of the median, by bootstrap: within the range, and not all of it by rule
        self.assertTrue(min(metric["samples"]) <= low <= metric["median"] <= high <= max(metric["samples"]), metric)

    def test_a_wrong_name_is_found_before_anything_is_measured(self):
        out, err = chaski("bench", TINY, "no-such-model", *SHORT, "-o", "jsonl", status=3)
        self.assertEqual(out, "")
        self.assertIn("no-such-model", err)

    def test_what_was_measured_before_a_failure_is_printed(self):
        with tempfile.TemporaryDirectory() as home:
            broken = pathlib.Path(home) / "broken"
            chaski("quantize", TINY, f"{home}/a.gguf", "--format", "bf16")
            chaski("convert", f"{home}/a.gguf", broken)
            weights = broken / "model.safetensors"
            content = bytearray(weights.read_bytes())
            content[-2:] = b"\xff\xff"  # a NaN, which only loading finds
            weights.write_bytes(content)
            out, err = chaski("bench", TINY, broken, *SHORT, "-o", "json", status=4)
        self.assertEqual([record["model"] for record in json.loads(out)], [TINY])
        self.assertIn("broken", err)

    def test_a_plan_too_long_for_the_model_names_the_options_that_made_it(self):
        _, err = chaski("bench", TINY, "-d", "1000000", status=2)
        self.assertIn("a depth of 1000000 (-d)", err)
        self.assertNotIn("--ctx", err)

    def test_options_without_effect_are_not_offered(self):
        self.assertNotIn("--ctx", chaski("bench", "--help")[0])
        chaski("bench", TINY, *SHORT, "--draft", TINY, status=2)
        chaski("perplexity", TINY, __file__, "--draft", TINY, status=2)

    def test_settings_out_of_range_are_usage_errors(self):
        for wrong in (["--repeat", "0"], ["-p", "0", "-n", "0"], ["-b", "0"], ["-d", "-1"], ["-o", "xml"]):
            chaski("bench", TINY, *wrong, status=2)

    def test_f27_every_code_path_can_be_forced_and_an_unknown_one_is_named_with_those_there_are(self):
        _, err = chaski("bench", TINY, "--isa", "mmx", status=2)
        self.assertIn("mmx", err)
        self.assertIn("scalar", err)
        paths = err.split("it can run ")[1].split("\n")[0].split(", ")
        for path in paths:
            self.assertEqual(bench(TINY, "--isa", path)[0]["isa"], path)
            chaski("run", TINY, "-p", "hello", "--max-new-tokens", "2", "--isa", path)
            chaski("eval", TINY, "--suite", "review-zh", "--isa", "mmx", status=2)


if __name__ == "__main__":
    unittest.main()
