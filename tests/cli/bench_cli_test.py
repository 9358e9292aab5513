#!/usr/bin/env python3
"""chaski bench, and --isa, as users meet them."""
import csv
import io
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

CHASKI = os.environ["CHASKI"]
TINY = "synthetic:tiny"
SHORT = ["-p", "16", "-n", "4", "--repeat", "2"]
HOME = tempfile.TemporaryDirectory()
ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "CHASKI_HOME": HOME.name}
# What scripts that read llama-bench's files ask for.
LLAMA_BENCH = """build_commit build_number cpu_info gpu_info backends model_filename model_type model_size model_n_params n_batch
    n_ubatch n_threads cpu_mask cpu_strict poll type_k type_v n_gpu_layers n_cpu_moe split_mode main_gpu no_kv_offload flash_attn
    devices tensor_split tensor_buft_overrides load_mode lazy_mode embeddings no_op_offload no_host repack fit_target fit_min_ctx
    n_prompt n_gen n_depth test_time avg_ns stddev_ns avg_ts stddev_ts""".split()


def chaski(*args, status=0):
    done = subprocess.run([CHASKI, *args], capture_output=True, timeout=300, check=False, stdin=subprocess.DEVNULL,
                          env=ENVIRONMENT)
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

    def test_a_modelled_card_runs_nothing_and_says_so_everywhere(self):
        shape = "synthetic:llama-3.2-1b"
        began = time.monotonic()
        records = json.loads(chaski("bench", shape, "--device", "ascend-model:910b3", "-o", "json")[0])
        self.assertLess(time.monotonic() - began, 20)  # whose weights would take longer to make
        self.assertEqual([(r["device_kind"], r["runner"]) for r in records], [("modelled", "captured"), ("modelled", "eager")])
        self.assertIn("off by", records[0]["warnings"][0]["message"])
        self.assertIn("time_model", records[0]["settings"])
        table, _ = chaski("bench", shape, "--device", "ascend-model:910B4", "--lang", "zh")
        self.assertIn("模型推算", table)
        rows = list(csv.DictReader(io.StringIO(chaski("bench", shape, "--device", "ascend-model:910b2", "-o", "csv")[0])))
        self.assertEqual({row["device_kind"] for row in rows}, {"modelled"})

    def test_a_modelled_card_is_for_bench_alone_and_must_be_known(self):
        for args in (["bench", TINY, "--device", "ascend-model:910"], ["bench", TINY, "--device", "ascend-model"],
                     ["bench", TINY, "--device", "ascend-model:910b3", "--soak", "2"],
                     ["run", TINY, "--device", "ascend-model:910b3", "-p", "hi"]):
            said = chaski(*args, status=2)[1]
            self.assertIn("ascend-model", said)

    def test_json_has_every_figure_with_its_samples(self):
        record = bench(TINY, "-t", "1")[0]
        for name in ("ttft_s", "tpot_s", "itl_s", "e2e_s", "overall_tokens_per_s", "decode_chars_per_s_en", "decode_chars_per_s_zh",
                     "load_s", "load_weights_s", "load_tokenizer_s"):
            metric = record["metrics"][name]
            self.assertEqual(metric["n"], len(metric["samples"]), name)
            self.assertGreater(metric["mean"], 0, name)
        self.assertEqual(record["metrics"]["itl_s"]["n"], 2 * 3)  # two requests of four tokens
        for key in ("weight_bytes", "kv_bytes", "scratch_bytes", "peak_rss_bytes"):
            self.assertGreater(record["memory"][key], 0, key)
        self.assertEqual(record["fallback_rate"], {"by_calls": 0, "by_time": 0, "by_ops": 0})

    def test_energy_is_joules_or_the_reason_why_there_are_none(self):
        for energy in bench(TINY)[0]["energy"]:
            self.assertTrue((energy["joules"] is None) == bool(energy["why_not"]), energy)

    def test_lists_of_lengths_and_depths_make_a_test_each(self):
        record = json.loads(chaski("bench", TINY, "-p", "8,16", "-n", "2,4", "-d", "0,32", "-r", "1", "-o", "json")[0])[0]
        self.assertEqual([(t["kind"], t["n_prompt"], t["n_gen"], t["depth"]) for t in record["settings"]["tests"]],
                         [("prefill", 8, 0, 0), ("prefill", 16, 0, 0), ("decode", 0, 2, 0), ("decode", 0, 4, 0),
                          ("prefill", 8, 0, 32), ("prefill", 16, 0, 32), ("decode", 0, 2, 32), ("decode", 0, 4, 32),
                          ("request", 8, 2, 0)])
        self.assertIn("decode_tokens_per_s[n=4,d=32]", record["metrics"])

    def test_json_lines_and_csv_have_llama_benchs_columns_and_a_row_per_test(self):
        out, _ = chaski("bench", TINY, TINY, *SHORT, "-o", "jsonl")
        rows = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([(row["model"], row["n_prompt"], row["n_gen"]) for row in rows],
                         2 * [(TINY, 16, 0), (TINY, 0, 4), (TINY, 16, 4)])
        for row in rows:
            self.assertEqual(list(row)[:len(LLAMA_BENCH)], LLAMA_BENCH)
            self.assertEqual(len(row["samples_ns"]), 2)
            tokens = row["n_prompt"] + row["n_gen"]
            self.assertAlmostEqual(row["samples_ts"][0] * row["samples_ns"][0] / 1e9, tokens, delta=tokens / 1000)
        table = list(csv.DictReader(io.StringIO(chaski("bench", TINY, *SHORT, "-o", "csv")[0])))
        self.assertEqual([row["n_gen"] for row in table], ["0", "4", "4"])
        self.assertEqual(list(table[0])[:len(LLAMA_BENCH)], LLAMA_BENCH)

    def test_a_bench_is_remembered(self):
        bench(TINY)
        self.assertIn("bench", chaski("history")[0])

    def test_loads_are_timed_cold_and_warm_in_fresh_processes(self):
        chaski("quantize", TINY, f"{HOME.name}/loads.gguf", "--format", "bf16")
        record = json.loads(chaski("bench", f"{HOME.name}/loads.gguf", *SHORT, "--loads", "2", "-o", "json")[0])[0]
        for kind in ("cold", "warm"):
            metrics = {part: record["metrics"][f"load_{kind}_{part}"] for part in ("s", "open_s", "weights_s", "engine_s", "start_s")}
            self.assertEqual(metrics["s"]["n"], 2)
            self.assertEqual(metrics["s"]["n_warmup"], 1)
            parts = sum(metrics[part]["mean"] for part in ("open_s", "weights_s", "engine_s"))
            self.assertLess(parts, metrics["s"]["mean"] * 1.001)
            self.assertLess(metrics["s"]["mean"], metrics["start_s"]["mean"])
        # A model that is made here and not read cannot be cold, and that is said.
        synthetic = json.loads(chaski("bench", TINY, *SHORT, "--loads", "1", "-o", "json")[0])[0]
        self.assertIn("load_not_cold", [warning["code"] for warning in synthetic["warnings"]])

    def test_a_peak_of_memory_is_not_that_of_the_process_that_started_it(self):
        ballast = bytearray(800 << 20)
        ballast[::4096] = b"x" * len(ballast[::4096])
        loaded = json.loads(chaski("load-probe", TINY)[0])
        self.assertGreater(loaded["peak_rss_bytes"], 1 << 20)
        self.assertLess(loaded["peak_rss_bytes"], len(ballast) // 2)
        self.assertLess(bench(TINY)[0]["memory"]["peak_rss_bytes"], len(ballast) // 2)

    def test_a_profile_lists_ops_by_phase_with_bytes_and_time(self):
        ops = bench(TINY, "--profile")[0]["ops"]
        self.assertEqual({op["phase"] for op in ops}, {"prefill", "decode"})
        for op in ops:
            self.assertTrue(op["calls"] > 0 and op["bytes"] > 0 and op["shape"], op)
        decoded = {op["op"]: op["calls"] for op in ops if op["phase"] == "decode"}
        self.assertEqual(decoded["argmax_rows"], 4)
        self.assertIn("GB/s", chaski("bench", TINY, *SHORT, "--profile", "--lang", "en")[0])

    def test_a_soak_repeats_one_request_and_counts_what_differs(self):
        stability = bench(TINY, "--soak", "5")[0]["stability"]
        self.assertEqual((stability["n_repeats"], stability["n_same_text"]), (5, 5))
        self.assertEqual((stability["n_nonfinite"], stability["n_errors"], stability["n_crashes"]), (0, 0, 0))

    def test_a_soak_goes_on_after_a_crash_and_counts_it(self):
        process = subprocess.Popen([CHASKI, "bench", TINY, "-p", "4", "-n", "400", "-r", "1", "--soak", "40", "-o", "json"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=ENVIRONMENT)
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while process.poll() is None and not children.read_text().split():
            time.sleep(0.002)
        os.kill(int(children.read_text().split()[0]), signal.SIGSEGV)
        out, _ = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 0)
        stability = json.loads(out)[0]["stability"]
        self.assertEqual((stability["n_repeats"], stability["n_crashes"]), (40, 1))
        self.assertEqual(stability["n_same_text"], 39)

    def test_ctrl_c_prints_what_was_measured_and_leaves_no_process_behind(self):
        process = subprocess.Popen([CHASKI, "bench", TINY, "-p", "4", "-n", "4", "-r", "1", "--soak", "1000000", "-o", "json"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=ENVIRONMENT)
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while process.poll() is None and not children.read_text().split():
            time.sleep(0.002)
        child = children.read_text().split()[0]
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        self.assertEqual(json.loads(out)[0]["n_gen"], 4)
        self.assertFalse(pathlib.Path(f"/proc/{child}").exists())

    def test_models_together_say_that_the_peak_of_memory_is_all_of_theirs(self):
        codes = [[warning["code"] for warning in record["warnings"]] for record in bench(TINY, TINY)]
        self.assertTrue(all("memory_peak_of_all" in of_one for of_one in codes))
        self.assertNotIn("memory_peak_of_all", [warning["code"] for warning in bench(TINY)[0]["warnings"]])

    def test_speculation_stands_beside_plain_decoding(self):
        self.assertIsNone(bench(TINY)[0]["speculative_decode_tokens_per_s"])
        record = bench(TINY, "--speculate")[0]
        self.assertIn("speculation_random_weights", [warning["code"] for warning in record["warnings"]])
        for key in ("decode_tokens_per_s", "speculative_decode_tokens_per_s"):
            self.assertEqual(len(record[key]["samples"]), 2)
        self.assertIn("n-gram", chaski("bench", TINY, *SHORT, "--speculate", "--lang", "en")[0])

    def test_csv_names_the_test_of_each_row(self):
        out, _ = chaski("bench", TINY, *SHORT, "-b", "2", "-o", "csv")
        rows = list(csv.DictReader(io.StringIO(out)))
        self.assertEqual([(row["test"], row["n_sequences"]) for row in rows],
                         [("prefill", "1"), ("decode", "1"), ("request", "1"), ("decode", "2")])

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
