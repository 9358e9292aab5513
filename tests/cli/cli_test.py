#!/usr/bin/env python3
"""The commands as users meet them, on the tiny synthetic model: what they print, write and leave behind."""
import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import tempfile
import time
import unittest

CHASKI = os.environ["CHASKI"]
TINY = "synthetic:tiny"
ITEM_FIELDS = ["id", "type", "prompt", "answer", "ids", "n_prompt_tokens", "n_tokens", "seconds", "ttft_s",
               "finish_reason"]
RECORD_KEYS = ["schema", "kind", "machine", "build", "model", "device", "runner", "settings", "items", "scores",
               "scoring", "results", "metrics", "energy", "memory", "ops", "fallback_rate", "stability", "summary",
               "fallbacks", "counts", "failures", "warnings"]
SHORT = ["--max-new-tokens", "6"]


def wait_until_it_reads(pid):
    """Until the program sleeps at its prompt: a signal just before that would not wake it."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        if state == "S":
            return
        time.sleep(0.05)
    raise AssertionError("the program does not wait for a line")


class CliTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.env = {"PATH": os.environ["PATH"], "CHASKI_HOME": str(self.home), "LC_ALL": "C.UTF-8"}

    def chaski(self, *args, stdin=b"", status=0):
        done = subprocess.run([CHASKI, *args], input=stdin, capture_output=True, env=self.env, timeout=300, check=False)
        self.assertEqual(done.returncode, status, (args, done.stdout, done.stderr))
        return done.stdout.decode(), done.stderr.decode()

    def status_in_shell(self, line):
        """Exit status of a line of the shell, in which "$CHASKI" is the program."""
        done = subprocess.run(["sh", "-c", line], env={**self.env, "CHASKI": CHASKI}, timeout=300, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return done.returncode

    def run_json(self, *args):
        return json.loads(self.chaski("run", TINY, "-p", "hello", "--json", *args)[0])

    # ---- run

    def test_h21_a_weight_with_nan_is_named_and_loaded_only_when_allowed(self):
        file, folder = self.home / "a.gguf", self.home / "hf"
        self.chaski("quantize", TINY, file, "--format", "bf16")
        self.chaski("convert", file, folder)
        weights = folder / "model.safetensors"
        content = bytearray(weights.read_bytes())
        n_header = int.from_bytes(content[:8], "little")
        begin = json.loads(content[8:8 + n_header])["model.embed_tokens.weight"]["data_offsets"][0]
        at = 8 + n_header + begin + 2 * (255 * 256 + 7)
        content[at:at + 2] = b"\xff\xff"
        weights.write_bytes(content)
        asked = ("eval", folder, "--suite", "review-zh", "--max-new-tokens", "2", "--out")
        _, err = self.chaski(*asked, self.home / "no", status=4)
        self.assertIn("model.embed_tokens.weight", err)
        self.assertIn("index 65287", err)
        self.chaski(*asked, self.home / "yes", "--allow-nonfinite", status=7)  # the answers fail: NaN in the head
        record = json.loads((self.home / "yes" / "run.json").read_text())
        self.assertIn("nonfinite_weights", json.dumps(record["warnings"]))

    def test_random_weights_stay_labelled_in_whatever_file_they_are_written_to(self):
        file, folder = self.home / "a.gguf", self.home / "hf"
        self.chaski("quantize", TINY, file, "--format", "q8_0")
        self.chaski("convert", file, folder)
        for model in (file, folder):
            out, err = self.chaski("run", model, "-p", "hello", "--json", *SHORT, "--seed", "1")
            self.assertTrue(json.loads(out)["is_synthetic"])
            self.assertIn("random weights", err)

    def test_run_json_is_one_object_with_the_agreed_fields(self):
        answer = self.run_json(*SHORT, "--seed", "3")
        for key in ("text", "ids", "prompt_ids", "finish_reason", "timings", "device_kind"):
            self.assertIn(key, answer)
        self.assertEqual(answer["device_kind"], "cpu")
        self.assertEqual(answer["seed"], 3)
        self.assertTrue(answer["is_synthetic"])
        self.assertGreater(answer["timings"]["total_s"], 0)

    def test_the_same_seed_gives_the_same_text_at_any_thread_count(self):
        first = self.run_json(*SHORT, "--seed", "7", "-t", "1")
        again = self.run_json(*SHORT, "--seed", "7", "-t", "2")
        self.assertEqual(first["ids"], again["ids"])
        self.assertNotEqual(first["ids"], self.run_json(*SHORT, "--seed", "8")["ids"])

    def test_a_draft_model_guesses_ahead_and_the_answer_stays_the_same(self):
        draft = self.home / "draft.gguf"
        self.chaski("quantize", TINY, draft, "--format", "q4_0")
        for settings in (["--temperature", "0"], ["--temperature", "0.7", "--seed", "3"]):
            asked = [*settings, "--max-new-tokens", "40", "--ignore-eos", "--draft"]
            plain, drafted = self.run_json(*asked, "none"), self.run_json(*asked, str(draft))
            self.assertGreater(plain["speculation"].pop("plain_tokens_per_s"), 0)
            self.assertEqual(plain["speculation"], {"kind": "off", "drafted": 0, "accepted": 0})
            self.assertGreater(drafted["speculation"]["plain_tokens_per_s"], 0)
            self.assertEqual(drafted["speculation"]["kind"], "draft")
            self.assertGreater(drafted["speculation"]["drafted"], 0)
            self.assertEqual(drafted["ids"], plain["ids"])

    def test_a_draft_model_with_other_tokens_is_refused(self):
        _, err = self.chaski("run", TINY, "-p", "hello", *SHORT, "--draft", "synthetic:llama-3.2-1b", status=2)
        self.assertIn("its tokens are not those of", err)

    def test_a_drawn_seed_is_told_and_repeats_the_answer(self):
        drawn = self.run_json(*SHORT)
        self.assertEqual(self.run_json(*SHORT, "--seed", str(drawn["seed"]))["ids"], drawn["ids"])

    def test_limits_count_what_they_say(self):
        self.assertEqual(len(self.run_json("--max-new-tokens", "4", "--temperature", "0")["ids"]), 4)
        answer = self.run_json("--max-length", "40", "--temperature", "0")
        self.assertEqual(len(answer["ids"]) + len(answer["prompt_ids"]), 40)
        self.assertEqual(answer["finish_reason"], "length")

    def test_max_new_tokens_wins_over_max_length(self):
        both = ["--max-new-tokens", "4", "--temperature", "0", "--max-length"]
        self.assertEqual(len(self.run_json(*both, "3")["ids"]), 4)
        self.assertEqual(len(self.run_json(*both, "1000")["ids"]), 4)

    def test_an_ignored_eos_does_not_end_the_answer(self):
        # At this temperature all tokens are about as likely, the three that end an answer among them.
        hot = ["--temperature", "1e6", "--top-p", "1", "--top-k", "0", "--max-new-tokens", "600", "--seed", "5", "-t", "1"]
        self.assertEqual(self.run_json(*hot)["finish_reason"], "stop")
        answer = self.run_json(*hot, "--ignore-eos")
        self.assertEqual(answer["finish_reason"], "length")
        self.assertEqual(len(answer["ids"]), 600)

    def test_the_answer_goes_to_stdout_and_the_figures_to_stderr(self):
        out, err = self.chaski("run", TINY, "-p", "hello", *SHORT, "--seed", "1")
        self.assertNotIn("tok/s", out)
        self.assertIn("seed 1", err)
        self.assertIn("random weights", err)

    def test_a_prompt_of_a_dash_reads_standard_input(self):
        by_pipe = json.loads(self.chaski("run", TINY, "-p", "-", "--json", *SHORT, "--seed", "3", stdin=b"hello")[0])
        self.assertEqual(by_pipe["prompt_ids"], self.run_json(*SHORT, "--seed", "3")["prompt_ids"])

    def test_special_text_from_the_user_stays_plain_and_in_the_raw_template_it_counts(self):
        raw = "<|start_header_id|>{prompt}<|eot_id|>"
        out, _ = self.chaski("run", TINY, "-p", "a<|eot_id|>", "--json", "--template", "raw:" + raw, *SHORT)
        ids = json.loads(out)["prompt_ids"]
        eot = ids[-1]
        self.assertGreaterEqual(eot, 256)
        self.assertEqual(ids.count(eot), 1)
        self.assertEqual(ids[0], 256, "bos stands where the tokenizer adds it")

    def test_bad_settings_are_named_with_status_2(self):
        for args in (["--top-p", "1.5"], ["--temperature", "-1"], ["--template", "raw:no place"], ["--ctx", "-5"],
                     ["--precision", "half"], ["--device", "gpu"], ["--bogus"], ["--top-k", "many"]):
            _, err = self.chaski("run", TINY, "-p", "x", *args, status=2)
            self.assertIn("Try:" if args[0] == "--bogus" else "", err)
        for seed in ("-1", "9007199254740992", "18446744073709551616", "0.5"):
            _, err = self.chaski("run", TINY, "-p", "x", "--seed", seed, status=2)
            self.assertIn("0 to 9007199254740991", err)
        self.assertEqual(self.run_json(*SHORT, "--seed", "9007199254740991")["seed"], 9007199254740991)
        self.chaski("run", TINY, status=2)
        self.chaski(status=2)
        self.chaski("frobnicate", status=2)

    def test_what_is_not_there_has_status_3_and_what_is_not_built_5(self):
        _, err = self.chaski("run", "no-such-model", "-p", "x", status=3)
        self.assertIn(str(self.home / "models"), err)
        self.chaski("eval", TINY, "--suite", "no-such-suite", status=3)
        self.chaski("run", TINY, "-p", "x", "--device", "cuda", status=5)

    def test_a_damaged_model_has_status_4(self):
        bad = self.home / "bad.gguf"
        bad.write_bytes(b"GGUF\x03\x00\x00\x00" + b"\xff" * 64)
        self.chaski("show", str(bad), status=4)

    def test_bad_settings_are_said_before_a_weight_is_read(self):
        # A model of this size takes seconds to load.
        big = "synthetic:llama-3.2-1b@q8_0"
        for args in (["--temperature", "-1"], ["--template", "raw:no place"], ["--precision", "half"]):
            for command in (["run", big, "-p", "x"], ["chat", big], ["eval", big, "--suite", "review-zh"]):
                before_s = os.times().children_user
                self.chaski(*command, *args, status=2)
                self.assertLess(os.times().children_user - before_s, 2, command)

    def test_a_stderr_or_stdout_that_cannot_be_written_is_no_crash(self):
        for stderr in ("2>&-", "2>/dev/full", "2>&- >&- <&-"):
            self.assertEqual(self.status_in_shell(f'"$CHASKI" show nosuch {stderr}'), 3)
            self.assertEqual(self.status_in_shell(f'"$CHASKI" --bogus {stderr}'), 2)
        self.assertEqual(self.status_in_shell(f'"$CHASKI" run {TINY} -p x --max-new-tokens 3 2>&-'), 0)
        self.assertEqual(self.status_in_shell(f'"$CHASKI" run {TINY} -p x --max-new-tokens 3 >/dev/full'), 9)
        self.assertEqual(self.status_in_shell(f'"$CHASKI" run {TINY} -p x --max-new-tokens 3 >&-'), 9)

    def test_a_closed_pipe_ends_quietly(self):
        command = [CHASKI, "run", TINY, "-p", "x", "--max-new-tokens", "4000", "--temperature", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env) as running:
            running.stdout.read(1)
            running.stdout.close()
            self.assertEqual(running.wait(120), 0)
            self.assertNotIn(b"internal", running.stderr.read())

    def test_ctrl_c_ends_a_run_with_130(self):
        command = [CHASKI, "run", TINY, "-p", "x", "--max-new-tokens", "100000", "--ctx", "131072",
                   "--temperature", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.env) as running:
            running.stdout.read(1)
            running.send_signal(signal.SIGINT)
            running.stdout.read()
            self.assertEqual(running.wait(120), 130)

    # ---- chat

    def test_chat_from_a_pipe_answers_each_line_and_obeys_commands(self):
        out, err = self.chaski("chat", TINY, *SHORT, "--seed", "1", stdin="你好\n/help\n/clear\nagain\n".encode())
        self.assertIn("/exit", out)
        self.assertEqual(err.count("tok/s"), 2)
        self.assertIn("a new conversation", err)

    def test_a_turn_too_long_is_said_and_the_chat_goes_on(self):
        _, err = self.chaski("chat", TINY, "--ctx", "64", *SHORT, stdin=b"x" * 500 + b"\nhi\n")
        self.assertIn("/clear", err)
        self.assertEqual(err.count("tok/s"), 1)

    def test_ctrl_c_stops_the_answer_and_not_the_chat(self):
        master, slave = pty.openpty()
        command = [CHASKI, "chat", TINY, "--max-new-tokens", "60000", "--ctx", "65536", "--ignore-eos", "--seed", "1"]
        running = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=self.env,
                                   start_new_session=True)
        os.close(slave)
        self.addCleanup(os.close, master)
        seen = b""

        def read_until(wanted):
            nonlocal seen
            deadline = time.monotonic() + 120
            while wanted not in seen:
                self.assertLess(time.monotonic(), deadline, (wanted, seen[-500:]))
                if select.select([master], [], [], 1)[0]:
                    seen += os.read(master, 4096)
            seen = seen[seen.index(wanted) + len(wanted):]

        def read_more(n_bytes):
            """Until so much of an answer has come that it is under way."""
            nonlocal seen
            deadline = time.monotonic() + 120
            while len(seen) < n_bytes:
                self.assertLess(time.monotonic(), deadline, seen[-500:])
                if select.select([master], [], [], 1)[0]:
                    seen += os.read(master, 4096)

        try:
            read_until(b"> ")
            os.write(master, b"hello\r")
            read_until(b"hello")
            read_more(100)
            running.send_signal(signal.SIGINT)
            read_until(b"stopped")
            read_until(b"> ")
            wait_until_it_reads(running.pid)
            running.send_signal(signal.SIGINT)
            read_until(b"Ctrl-C again")
            read_until(b"> ")
            wait_until_it_reads(running.pid)
            running.send_signal(signal.SIGINT)
            self.assertEqual(running.wait(120), 130)
        finally:
            running.kill()
            running.wait()

    # ---- eval

    def test_eval_writes_the_three_files_with_the_agreed_fields(self):
        folder = self.home / "out"
        out, _ = self.chaski("eval", TINY, "--suite", "review-zh", "--out", str(folder), *SHORT)
        lines = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
        self.assertEqual([list(line) for line in lines], [ITEM_FIELDS] * 5)
        self.assertEqual([line["id"] for line in lines], ["1", "2", "3", "4", "5"])
        self.assertTrue(all(line["n_tokens"] == len(line["ids"]) for line in lines))
        record = json.loads((folder / "run.json").read_text())
        self.assertEqual(list(record), RECORD_KEYS)
        self.assertEqual(record["schema"], "chaski.run/1")
        self.assertEqual(record["settings"]["seed"], 0)
        self.assertEqual(record["settings"]["temperature"], 0.7)
        self.assertEqual(record["settings"]["repetition_penalty"], 1.1)
        self.assertEqual(record["model"]["date_string"], "26 Jul 2024")
        self.assertTrue(record["model"]["is_synthetic"])
        self.assertIn("synthetic_weights", [warning["code"] for warning in record["warnings"]])
        summary = record["summary"]
        self.assertAlmostEqual(summary["total_s"], sum(line["seconds"] for line in lines))
        self.assertAlmostEqual(summary["mean_s"], summary["total_s"] / 5)
        self.assertGreater(summary["load_s"], 0)
        self.assertIn("1+2+3+4+5", (folder / "report.md").read_text())
        for part in ("load", "total", "per question", str(folder / "run.json"), str(folder / "report.md")):
            self.assertIn(part, out)
        self.assertEqual(sorted(path.name for path in folder.iterdir()), ["items.jsonl", "report.md", "run.json"])

    def test_eval_gives_the_same_answers_again(self):
        runs = []
        for name in ("a", "b"):
            self.chaski("eval", TINY, "--suite", "review-zh", "--out", str(self.home / name), *SHORT)
            lines = (self.home / name / "items.jsonl").read_text().splitlines()
            runs.append([json.loads(line)["ids"] for line in lines])
        self.assertEqual(*runs)

    def test_eval_of_several_models_has_a_folder_for_each(self):
        folder = self.home / "both"
        self.chaski("eval", TINY, TINY + "@q8_0", "--suite", "review-zh", "--out", str(folder), *SHORT)
        self.assertEqual(sorted(path.name for path in folder.iterdir()), ["synthetic-tiny", "synthetic-tiny-q8_0"])

    def test_eval_without_out_makes_a_folder_of_its_own_and_names_it(self):
        out, _ = self.chaski("eval", TINY, "--suite", "review-zh", *SHORT)
        folders = list((self.home / "runs").iterdir())
        self.assertEqual(len(folders), 1)
        self.assertIn(str(folders[0] / "run.json"), out)

    def test_evals_of_the_same_moment_have_folders_of_their_own(self):
        command = [CHASKI, "eval", TINY, "--suite", "review-zh", "--json", *SHORT]
        running = [subprocess.Popen(command, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                   for _ in range(3)]
        told = [process.communicate(timeout=300)[1].decode() for process in running]
        self.assertEqual([process.returncode for process in running], [0, 0, 0])
        folders = list((self.home / "runs").iterdir())
        self.assertEqual(len(folders), 3)
        for folder in folders:
            self.assertEqual(len(list(folder.iterdir())), 3)
            self.assertEqual(sum(str(folder / "run.json") in err for err in told), 1)

    def test_an_eval_that_cannot_begin_leaves_no_folder(self):
        self.chaski("eval", TINY, "--suite", "review-zh", "--precision", "half", status=2)
        self.assertEqual(list((self.home / "runs").iterdir()), [])

    def test_an_eval_whose_output_nobody_reads_still_writes_its_files(self):
        for output, status in (("| head -1", 0), (">/dev/full", 9)):
            folder = self.home / f"out{status}"
            shell = f'{{ "$CHASKI" eval {TINY} --suite review-zh --max-new-tokens 6 --out {folder}; ' \
                    f'echo $? >{folder}.status; }} {output}'
            self.status_in_shell(shell)
            self.assertEqual((self.home / f"out{status}.status").read_text(), f"{status}\n")
            self.assertEqual(len((folder / "items.jsonl").read_text().splitlines()), 5)
            self.assertTrue((folder / "run.json").exists() and (folder / "report.md").exists())

    def test_items_tell_their_sample_only_where_there_are_several(self):
        folder = self.home / "out"
        self.chaski("eval", TINY, "--suite", "review-zh", "--samples", "2", "--out", str(folder), *SHORT)
        lines = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
        self.assertEqual([list(line) for line in lines], [ITEM_FIELDS + ["sample"]] * 10)
        self.assertEqual([line["sample"] for line in lines], [0, 1] * 5)

    def test_samples_differ_and_are_counted(self):
        record = json.loads(self.chaski("eval", TINY, "--suite", "review-zh", "--samples", "2", "--json", *SHORT)[0])
        self.assertEqual([(item["id"], item["sample"]) for item in record["items"]][:2], [("1", 0), ("1", 1)])
        self.assertEqual(record["summary"]["n_answers"], 10)
        self.assertTrue(any(a["ids"] != b["ids"] for a, b in zip(record["items"][::2], record["items"][1::2])))

    def test_a_readers_own_suite_is_data_only(self):
        suite = self.home / "toy"
        suite.mkdir()
        (suite / "suite.yaml").write_text("name: toy\nsettings: {temperature: 0, max_new_tokens: 3}\n")
        (suite / "items.jsonl").write_text('{"id": "a", "type": "code", "prompt": "p"}\n')
        record = json.loads(self.chaski("eval", TINY, "--suite", str(suite), "--json")[0])
        self.assertEqual(record["settings"]["suite"]["name"], "toy")
        self.assertEqual(record["items"][0]["n_tokens"], 3)
        (suite / "items.jsonl").write_text('{"id": "a", "type": "code", "prompt": "p"}\n{"id": "b"}\n')
        _, err = self.chaski("eval", TINY, "--suite", str(suite), status=4)
        self.assertIn("items.jsonl line 2", err)

    def test_a_question_that_fails_is_recorded_and_the_others_are_asked(self):
        suite = self.home / "toy"
        suite.mkdir()
        (suite / "suite.yaml").write_text("name: toy\nsettings: {temperature: 0, max_length: 64}\n")
        (suite / "items.jsonl").write_text(
            json.dumps({"id": "long", "type": "code", "prompt": "x" * 400}) + "\n" +
            json.dumps({"id": "short", "type": "code", "prompt": "x"}) + "\n")
        folder = self.home / "out"
        self.chaski("eval", TINY, "--suite", str(suite), "--out", str(folder), status=2)
        record = json.loads((folder / "run.json").read_text())
        self.assertEqual(record["failures"][0]["code"], "usage")
        self.assertIn("failed", (folder / "report.md").read_text())
        self.assertEqual([item["finish_reason"] for item in record["items"]], ["error", "length"])
        self.assertEqual([failure["id"] for failure in record["failures"]], ["long"])

    def test_ctrl_c_during_eval_keeps_whole_lines_and_writes_no_record(self):
        folder = self.home / "out"
        command = [CHASKI, "eval", TINY, "--suite", "review-zh", "--out", str(folder), "--samples", "5000",
                   "--max-new-tokens", "50"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env) as running:
            items = folder / "items.jsonl"
            deadline = time.monotonic() + 120
            # The output is read as it comes, so that the program is never held up by a full pipe.
            os.set_blocking(running.stdout.fileno(), False)
            while not items.exists() or items.stat().st_size == 0:
                self.assertLess(time.monotonic(), deadline)
                running.stdout.read()
                time.sleep(0.01)
            running.send_signal(signal.SIGINT)
            os.set_blocking(running.stdout.fileno(), True)
            running.stdout.read()
            err = running.stderr.read().decode()
            self.assertEqual(running.wait(120), 130)
        text = items.read_text()
        self.assertTrue(text.endswith("\n"))
        kept = [json.loads(line) for line in text.splitlines()]
        self.assertEqual(sorted(path.name for path in folder.iterdir()), ["items.jsonl", "run.partial.json"])
        self.assertIn(f"{len(kept)} of 25000 answers are kept", err)

    # ---- tokenize, render, perplexity, show

    def test_tokenize_reads_bytes_and_replaces_what_is_not_utf8(self):
        bad, _ = self.chaski("tokenize", TINY, stdin=b"a\xff\xe4\xb8b")
        good, _ = self.chaski("tokenize", TINY, stdin="a\ufffd\ufffdb".encode())
        self.assertEqual(json.loads(bad), json.loads(good))
        self.assertEqual(json.loads(self.chaski("tokenize", TINY)[0]), [])
        special = json.loads(self.chaski("tokenize", TINY, stdin=b"<|eot_id|>")[0])
        self.assertTrue(all(token < 256 for token in special), "special-token text is plain, and there is no bos")

    def test_render_gives_the_prompt_and_its_ids(self):
        messages = b'[{"role": "user", "content": "hi"}]'
        out, _ = self.chaski("render", TINY, stdin=messages)
        self.assertEqual(out, "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>"
                              "<|start_header_id|>assistant<|end_header_id|>\n\n")
        ids = json.loads(self.chaski("render", TINY, "--ids", stdin=messages)[0])
        asked = json.loads(self.chaski("run", TINY, "-p", "hi", "--json", *SHORT)[0])
        self.assertEqual(ids, asked["prompt_ids"])
        self.chaski("render", TINY, stdin=b"{]", status=4)

    def test_perplexity_is_the_exponential_of_its_nll(self):
        text = self.home / "text"
        text.write_text("to be or not to be, that is the question. " * 8)
        found = json.loads(self.chaski("perplexity", TINY, str(text), "--ctx", "64")[0])
        self.assertAlmostEqual(found["perplexity"], 2.718281828459045 ** found["nll"], places=4)
        self.assertEqual(found["tokens"], len(json.loads(self.chaski("tokenize", TINY, stdin=text.read_bytes())[0])))
        self.assertEqual(found["precision"], "fast")
        narrowest = json.loads(self.chaski("perplexity", TINY, str(text), "--ctx", "2", "--json", "-t", "1")[0])
        self.assertEqual((narrowest["n_ctx"], narrowest["stride"], narrowest["tokens"]), (2, 1, found["tokens"]))
        for window, stride in (("1", "1"), ("64", "64"), ("64", "-1")):
            _, err = self.chaski("perplexity", TINY, str(text), "--ctx", window, "--stride", stride, status=2)
            self.assertIn(f"--ctx {window} and --stride {stride}", err)
        self.assertIn("1024", self.chaski("perplexity", "--help")[0])

    def test_show_tells_the_shape(self):
        facts = json.loads(self.chaski("show", TINY, "--json")[0])
        self.assertEqual(facts["config"]["n_layers"], 2)
        self.assertIn("Random weights", self.chaski("show", TINY)[0])

    # ---- languages, help

    def test_the_language_is_the_readers(self):
        self.assertIn("用法", self.chaski("help", "--lang", "zh")[0])
        _, err = self.chaski("run", "no-such-model", "-p", "x", "--lang", "zh", status=3)
        self.assertIn("未找到", err)
        out, _ = self.chaski("eval", TINY, "--suite", "review-zh", "--lang", "zh", "--out", str(self.home / "o"), *SHORT)
        for part in ("模型加载", "代码生成", "总计", "平均每题"):
            self.assertIn(part, out)
        self.assertIn("## 结果", (self.home / "o" / "report.md").read_text())
        self.env["LC_ALL"] = "zh_CN.UTF-8"
        self.assertIn("未找到", self.chaski("run", "no-such-model", "-p", "x", status=3)[1])
        self.chaski("version", "--lang", "fr", status=2)

    def test_the_version_is_told_to_people_and_to_programs(self):
        facts = json.loads(self.chaski("version", "--json")[0])
        self.assertIn(facts["version"], self.chaski("version")[0])

    def test_help_of_a_command_is_its_help_page(self):
        for words in (("eval",), ("history", "rm")):
            self.assertEqual(self.chaski("help", *words, "--lang", "en")[0],
                             self.chaski(*words, "--help", "--lang", "en")[0])
        self.assertIn("chaski eval", self.chaski("help", "evl", "--lang", "en", status=2)[1])

    def test_help_has_no_remnants_of_types_and_checks(self):
        commands = ("run", "chat", "eval", "score", "review", "bench", "compare", "report", "history", "quantize",
                    "convert", "perplexity")
        for lang in ("en", "zh"):
            for command in commands:
                page, _ = self.chaski(command, "--help", "--lang", lang)
                for remnant in ("INT", "UINT", "FLOAT", " in [", ":{", "Excludes:", "Needs:", "REQUIRED", "SUBCOMMAND",
                                "(1x)"):
                    self.assertNotIn(remnant, page, (command, lang))
                if lang == "zh":
                    self.assertNotIn(" TEXT ", page, command)
        self.assertIn("table|md|csv|json|jsonl", self.chaski("bench", "--help", "--lang", "en")[0])

    def test_a_misspelt_word_is_named_with_the_nearest_that_there_is(self):
        for words, near in ((("bnch",), "`chaski bench`"), (("evaluate", TINY), "`chaski eval`"),
                            (("run", TINY, "--temprature", "1"), "`--temperature`"),
                            (("eval", TINY, "--sute=review-zh"), "`--suite`"),
                            (("history", "--exprot", "x.csv"), "`--export`")):
            for lang in ("en", "zh"):
                _, err = self.chaski(*words, "--lang", lang, status=2)
                self.assertIn(near, err, words)
        _, err = self.chaski("xyzzyx", "--lang", "en", status=2)
        self.assertIn('unknown command "xyzzyx"', err)
        self.assertNotIn("did you mean", err)
        _, err = self.chaski("report", "a", "b", "--lang", "en", status=2)
        self.assertIn("more arguments than expected", err)

    def test_every_command_has_help(self):
        for command in ("run", "chat", "eval", "perplexity", "tokenize", "render", "show", "version", "help"):
            self.assertIn(f"chaski {command}", self.chaski(command, "--help")[0])
        self.assertIn("chaski", self.chaski("--version")[0])


if __name__ == "__main__":
    unittest.main()
