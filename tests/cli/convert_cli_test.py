#!/usr/bin/env python3
"""chaski quantize and chaski convert as users meet them, on the tiny synthetic model."""
import json
import os
import pathlib
import resource
import signal
import struct
import subprocess
import tempfile
import time
import unittest

CHASKI = os.environ["CHASKI"]
TINY = "synthetic:tiny"


class ConvertTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.env = {"PATH": os.environ["PATH"], "CHASKI_HOME": str(self.home), "LC_ALL": "C.UTF-8"}

    def chaski(self, *args, status=0, **more):
        done = subprocess.run([CHASKI, *map(str, args)], capture_output=True, env=self.env, timeout=300, check=False,
                              stdin=subprocess.DEVNULL, **more)
        self.assertEqual(done.returncode, status, (args, done.stdout, done.stderr))
        return done.stdout.decode(), done.stderr.decode()

    def greedy_ids(self, model):
        out, _ = self.chaski("run", model, "-p", "hello", "--json", "--temperature", "0", "--max-new-tokens", "8",
                             "--precision", "exact", "-t", "1")
        return json.loads(out)["ids"]

    def shown(self, model):
        return json.loads(self.chaski("show", model, "--json")[0])

    # ---- quantize

    def test_the_summary_says_types_sizes_and_times(self):
        target = self.home / "a.gguf"
        out, err = self.chaski("quantize", TINY, target, "--format", "Q4_K_M")
        for part in ("q4_K", "q6_K", "f32", "bits per weight", "written in", "synced in", str(target)):
            self.assertIn(part, out)
        self.assertIn("random weights", err)
        zh, _ = self.chaski("quantize", TINY, target, "--format", "q8_0", "--force", "--lang", "zh")
        self.assertIn("每权重", zh)
        self.assertEqual(sorted(p.name for p in self.home.iterdir()), ["a.gguf"])

    def test_json_facts_agree_with_the_file(self):
        target = self.home / "a.gguf"
        facts = json.loads(self.chaski("quantize", TINY, target, "--format", "q8_0", "--json")[0])
        self.assertEqual(facts["file_bytes"], target.stat().st_size)
        self.assertEqual(facts["format"], "q8_0")
        self.assertTrue(facts["is_synthetic"])
        self.assertGreaterEqual(facts["sync_s"], 0)
        self.assertEqual({name: one["weights"] for name, one in facts["types"].items()}, self.shown(target)["formats"])

    def test_a_quantised_model_answers_and_gguf_again_gives_the_same_bytes(self):
        first, second = self.home / "a.gguf", self.home / "b.gguf"
        self.chaski("quantize", TINY, first, "--format", "bf16")
        self.assertEqual(self.greedy_ids(first), self.greedy_ids(TINY))
        self.chaski("quantize", first, second, "--format", "bf16")
        self.assertEqual(first.read_bytes(), second.read_bytes())
        self.chaski("quantize", first, self.home / "c.gguf", "--format", "q4_0")
        self.assertEqual(len(self.greedy_ids(self.home / "c.gguf")), 8)

    def test_unknown_formats_and_targets_that_are_there_are_refused(self):
        target = self.home / "a.gguf"
        _, err = self.chaski("quantize", TINY, target, "--format", "q4_9", status=2)
        self.assertIn("q4_K_M", err)
        target.write_text("mine")
        _, err = self.chaski("quantize", TINY, target, "--format", "q8_0", status=2)
        self.assertIn("--force", err)
        self.assertEqual(target.read_text(), "mine")
        self.chaski("quantize", TINY, target, "--format", "q8_0", "--force")
        self.chaski("quantize", target, target, "--format", "q4_0", "--force", status=2)
        self.assertGreater(target.stat().st_size, 4)

    def test_a_missing_folder_is_named(self):
        _, err = self.chaski("quantize", TINY, self.home / "none" / "a.gguf", "--format", "q8_0", status=3)
        self.assertIn("none", err)

    def test_a_full_disk_keeps_what_is_done_and_the_same_command_goes_on(self):
        target = self.home / "a.gguf"

        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (800_000, 800_000))

        command = ["quantize", TINY, target, "--format", "bf16", "-t", "1"]
        done = subprocess.run([CHASKI, *map(str, command)], capture_output=True, env=self.env, preexec_fn=small_files,
                              timeout=300, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"a.gguf", done.stderr)
        self.assertFalse(target.exists())
        self.chaski(*command)
        whole = self.home / "b.gguf"
        self.chaski("quantize", TINY, whole, "--format", "bf16")
        self.assertEqual(target.read_bytes(), whole.read_bytes())

    def test_ctrl_c_keeps_the_part_that_is_done_and_says_how_to_go_on(self):
        target = self.home / "a.gguf"
        command = [CHASKI, "quantize", "synthetic:llama-3.2-1b", str(target), "--format", "q8_0", "-t", "1"]
        running = subprocess.Popen(command, env=self.env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (self.home / "a.gguf.journal").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=120)
        self.assertEqual(running.returncode, 130, err)
        self.assertIn(b"a.gguf.partial", err)
        self.assertIn(b"same command", err)
        self.assertFalse(target.exists())
        self.assertTrue((self.home / "a.gguf.partial").exists())

    # ---- convert

    def test_gguf_to_a_folder_and_back_answers_the_same(self):
        first, folder, second = self.home / "a.gguf", self.home / "folder", self.home / "b.gguf"
        self.chaski("convert", TINY, first)
        self.chaski("convert", first, folder)
        self.assertEqual(json.loads((folder / "config.json").read_text())["architectures"], ["LlamaForCausalLM"])
        self.chaski("convert", folder, second)
        self.assertEqual(self.greedy_ids(first), self.greedy_ids(folder))
        self.assertEqual(self.greedy_ids(first), self.greedy_ids(second))
        for fact in ("config", "formats", "chat_template"):
            self.assertEqual(self.shown(first)[fact], self.shown(second)[fact])
        text = "Ünï <|eot_id|> 12345  don't\n"
        ids = [subprocess.run([CHASKI, "tokenize", str(model)], input=text.encode(), capture_output=True, env=self.env,
                              check=True).stdout for model in (first, folder, second)]
        self.assertEqual(ids[0], ids[1])
        self.assertEqual(ids[0], ids[2])

    def test_dtype_says_how_numbers_are_kept(self):
        self.chaski("quantize", TINY, self.home / "a.gguf", "--format", "q8_0")
        self.chaski("convert", self.home / "a.gguf", self.home / "folder")
        self.assertIn("bf16", self.shown(self.home / "folder")["formats"])
        self.chaski("convert", self.home / "a.gguf", self.home / "wide", "--dtype", "f32")
        self.assertEqual(list(self.shown(self.home / "wide")["formats"]), ["f32"])
        self.assertEqual(self.greedy_ids(self.home / "wide"), self.greedy_ids(self.home / "a.gguf"))
        self.chaski("convert", self.home / "a.gguf", self.home / "c", "--dtype", "q8_0", status=2)

    def test_what_convert_does_not_do_is_told(self):
        self.chaski("convert", TINY, self.home / "a.gguf")
        _, err = self.chaski("convert", self.home / "a.gguf", self.home / "b.gguf", status=2)
        self.assertIn("quantize", err)
        self.chaski("convert", self.home / "a.gguf", self.home / "folder")
        self.chaski("convert", self.home / "folder", self.home / "other", status=2)
        _, err = self.chaski("convert", self.home / "a.gguf", self.home / "folder", "--force", status=2)
        self.assertIn("not empty", err)

    # ---- hostile input

    def test_h39_a_tensor_larger_than_the_file_is_refused_and_nothing_is_written(self):
        self.chaski("convert", TINY, self.home / "a.gguf")
        data = (self.home / "a.gguf").read_bytes()
        (self.home / "cut.gguf").write_bytes(data[:-100_000])
        self.chaski("quantize", self.home / "cut.gguf", self.home / "b.gguf", "--format", "q8_0", status=4)
        self.chaski("convert", self.home / "a.gguf", self.home / "folder")
        weights = self.home / "folder" / "model.safetensors"
        raw = weights.read_bytes()
        (length,) = struct.unpack("<Q", raw[:8])
        header = json.loads(raw[8:8 + length])
        header["model.norm.weight"]["data_offsets"][1] += 1 << 40
        text = json.dumps(header).encode()
        weights.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length:])
        self.chaski("convert", self.home / "folder", self.home / "b.gguf", status=4)
        self.assertEqual([p.name for p in self.home.iterdir() if p.name.startswith("b.gguf")], [])

    def test_a_number_that_is_nan_is_named_and_may_be_allowed(self):
        self.chaski("convert", TINY, self.home / "a.gguf", "--dtype", "f32")
        data = bytearray((self.home / "a.gguf").read_bytes())
        data[-4096:-4092] = struct.pack("<f", float("nan"))  # before the norm and the rotary factors
        (self.home / "nan.gguf").write_bytes(data)
        command = ["quantize", self.home / "nan.gguf", self.home / "b.gguf", "--format", "q8_0"]
        _, err = self.chaski(*command, status=4)
        self.assertIn("NaN", err)
        self.assertFalse((self.home / "b.gguf.partial").exists())
        self.chaski(*command, "--allow-nonfinite")


if __name__ == "__main__":
    unittest.main()
