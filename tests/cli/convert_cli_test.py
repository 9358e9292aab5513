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

    # ---- interrupted

    def interrupted(self, interrupt):
        """Quantises a model of some size, calls `interrupt` with the process once its journal is there, and gives exit
        status and errors."""
        command = [CHASKI, "quantize", "synthetic:llama-3.2-1b", str(self.home / "a.gguf"), "--format", "q8_0",
                   "-t", "1"]
        running = subprocess.Popen(command, env=self.env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN))
        deadline = time.monotonic() + 120
        while not (self.home / "a.gguf.journal").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        interrupt(running)
        _, err = running.communicate(timeout=120)
        return running.returncode, err

    def expect_to_go_on(self, err):
        self.assertIn(b"a.gguf.partial", err)
        self.assertIn(b"same command", err)
        target = self.home / "a.gguf"
        self.assertFalse(target.exists())
        out, _ = self.chaski("quantize", "synthetic:llama-3.2-1b", target, "--format", "q8_0", "--json")
        facts = json.loads(out)
        self.assertGreater(facts["weights_continued"], 0)
        self.assertLess(facts["weights_continued"], facts["weights"])
        self.assertEqual([p.name for p in self.home.iterdir()], ["a.gguf"])
        self.assertEqual(target.stat().st_size, facts["file_bytes"])

    def test_a_disk_that_is_full_midway_keeps_what_is_done_and_the_same_command_goes_on(self):
        # No file may grow beyond its first bytes from here on, small ones such as the journal apart.
        limit = (100_000, resource.RLIM_INFINITY)
        status, err = self.interrupted(lambda running: resource.prlimit(running.pid, resource.RLIMIT_FSIZE, limit))
        self.assertNotIn(status, (0, 130))
        self.expect_to_go_on(err)

    def test_ctrl_c_keeps_the_part_that_is_done_and_the_same_command_goes_on(self):
        status, err = self.interrupted(lambda running: running.send_signal(signal.SIGINT))
        self.assertEqual(status, 130, err)
        self.expect_to_go_on(err)

    def test_a_file_that_can_never_be_so_large_is_refused_and_nothing_is_left(self):
        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (800_000, 800_000))

        done = subprocess.run([CHASKI, "quantize", TINY, str(self.home / "a.gguf"), "--format", "bf16"],
                              capture_output=True, env=self.env, preexec_fn=small_files, timeout=300, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"a.gguf", done.stderr)
        self.assertEqual(list(self.home.iterdir()), [])

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

    def test_a_folder_that_is_in_the_way_and_not_ours_is_left_alone(self):
        self.chaski("convert", TINY, self.home / "a.gguf")
        mine = self.home / "out.partial" / "mine.txt"
        mine.parent.mkdir()
        mine.write_text("mine")
        _, err = self.chaski("convert", self.home / "a.gguf", self.home / "out", status=2)
        self.assertIn("out.partial", err)
        self.assertEqual(mine.read_text(), "mine")

    def write_adapter(self):
        """Of the query matrix of the tiny model's first layer, large enough to change what it says."""
        folder = self.home / "adapter"
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1, "lora_alpha": 1}))
        name = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
        header = json.dumps({name + "A.weight": {"dtype": "F32", "shape": [1, 256], "data_offsets": [0, 1024]},
                             name + "B.weight": {"dtype": "F32", "shape": [256, 1], "data_offsets": [1024, 2048]}})
        numbers = struct.pack("<512f", *(0.5 * (-1) ** (i // 3) for i in range(512)))
        (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode() + numbers)
        return folder

    def test_an_adapter_merges_into_a_new_folder_that_keeps_the_tokenizer_s_files(self):
        base, merged, gguf, adapter = (self.home / "base", self.home / "merged", self.home / "merged.gguf",
                                       self.write_adapter())
        self.chaski("convert", TINY, self.home / "a.gguf")
        self.chaski("convert", self.home / "a.gguf", base)
        (base / "special_tokens_map.json").write_text("{}")
        self.chaski("convert", base, merged, "--lora", adapter)
        self.chaski("convert", base, gguf, "--lora", adapter)
        self.assertEqual({p.name for p in merged.iterdir()}, {p.name for p in base.iterdir()})
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            self.assertEqual((merged / name).read_bytes(), (base / name).read_bytes())
        self.assertNotEqual((merged / "model.safetensors").read_bytes(), (base / "model.safetensors").read_bytes())
        self.assertEqual(self.greedy_ids(merged), self.greedy_ids(gguf))
        self.assertEqual(self.shown(merged)["formats"], self.shown(base)["formats"])
        _, err = self.chaski("convert", base, self.home / "other", status=2)
        self.assertIn("--lora", err)

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
