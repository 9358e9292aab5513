#!/usr/bin/env python3
"""Models on an emulated Ascend NPU, as their users run them: the text and what is said of it, operators that are
missing, faults of the device. With $CHASKI_GGUF, SmolLM2's answers against f32 arithmetic too."""
import array
import json
import os
import pathlib
import subprocess
import unittest

from chaski_cli import CHASKI, TINY, ChaskiTest

BIN = pathlib.Path(CHASKI).parent
PROFILES = ("8.0", "8.1", "8.3")
QUESTIONS = ("请介绍一下你自己", "写一个Python函数计算斐波那契数列", "中国的首都是哪里?", "请解释一下机器学习是什么",
             "1+2+3+4+5等于多少?")
# Rounding of logits: the first two choices are clear where they are further apart.
ROUNDING = {"f16": 0.1, "bf16": 0.8}


class AscendTest(ChaskiTest):
    def card(self, profile="8.3", **emulator):
        self.env["LD_LIBRARY_PATH"] = str(BIN / "ascend_emulator" / profile)
        for name in list(self.env):
            if name.startswith("CHASKI_EMULATOR_"):
                del self.env[name]
        self.env.update({f"CHASKI_EMULATOR_{name.upper()}": value for name, value in emulator.items()})

    def answer(self, model, question, *options, device="ascend", tokens=8):
        out, err = self.chaski("run", model, "-p", question, "--json", "--temperature", 0, "--max-new-tokens", tokens,
                               "--device", device, *options)
        return json.loads(out), err

    def test_every_cann_gives_the_same_answers_captured_or_not(self):
        for activations in ("f16", "bf16"):
            found = {}
            for profile in PROFILES:
                self.card(profile)
                answers = [self.answer(TINY, question, "--activations", activations)[0] for question in QUESTIONS[:2]]
                self.assertEqual({answer["device_kind"] for answer in answers}, {"emulated"})
                found[profile] = [answer["ids"] for answer in answers]
            self.card("8.3")
            found["eager"] = [self.answer(TINY, question, "--activations", activations, "--isa", "eager")[0]["ids"]
                              for question in QUESTIONS[:2]]
            self.assertEqual([ids for ids in found.values() if ids != found["8.0"]], [], found)

    def test_auto_never_takes_an_emulated_card(self):
        self.card()
        self.assertEqual(self.answer(TINY, "hi", device="auto")[0]["device_kind"], "cpu")

    def test_weights_that_are_converted_are_said_and_are_no_fallback(self):
        self.card()
        _, err = self.answer("synthetic:tiny@q4_K", "hi", "--strict")
        self.assertIn("weights of q4_K are held as f16", err)

    def test_without_an_operator_the_text_is_the_same_and_strict_refuses(self):
        self.card("8.0")
        plain = self.answer(TINY, QUESTIONS[4], "--activations", "f16")[0]["ids"]
        for emulator in ({"hide": "SwiGlu"}, {"refuse": "SwiGlu:f16"}, {"hide": "FusedInferAttentionScoreV2"}):
            self.card("8.0", **emulator)
            self.assertEqual(self.answer(TINY, QUESTIONS[4], "--activations", "f16")[0]["ids"], plain, emulator)
            _, err = self.chaski("run", TINY, "-p", "hi", "--max-new-tokens", 2, "--device", "ascend", "--strict",
                                 "--activations", "f16", status=5)
            self.assertIn("aclnn" + next(iter(emulator.values())).split(":")[0], err)

    def test_a_record_says_what_ran_where_and_what_it_counted(self):
        self.card(hide="SwiGlu")
        self.chaski("eval", TINY, "--suite", "review-zh", "--device", "ascend", "--activations", "f16", "--max-new-tokens",
                    4, "--out", self.out)
        record = self.record()
        self.assertEqual(record["device"]["device_kind"], "emulated")
        self.assertEqual(record["settings"]["activations"], "f16")
        self.assertEqual(record["settings"]["kv_dtype"], "f16")
        (fallback,) = record["fallbacks"]
        self.assertEqual(fallback["op"], "swiglu")
        self.assertIn("aclnnSwiGlu", fallback["reason"])
        self.assertGreater(fallback["calls"], 0)
        self.assertGreater(record["fallback_rate"]["by_calls"], 0)

    def test_a_fault_of_the_device_ends_with_its_reason_and_status(self):
        for fault, says, status in (("sync:4:507015", "507015", 7), ("aclrtMalloc:5:207001", "MiB", 6),
                                    ("aclrtSetDevice:1:507033", "507033", 7), ("launch:30:361001", "361001", 7)):
            self.card(fault=fault)
            _, err = self.chaski("run", TINY, "-p", "hi", "--max-new-tokens", 4, "--device", "ascend", status=status)
            self.assertIn(says, err, fault)

    def test_without_cann_it_is_said_what_to_do(self):
        self.env["LD_LIBRARY_PATH"] = str(self.home)
        _, err = self.chaski("run", TINY, "-p", "hi", "--device", "ascend", status=7)
        self.assertIn("libascendcl", err)
        self.assertIn("set_env.sh", err)

    def test_precision_exact_is_refused(self):
        self.card()
        _, err = self.chaski("run", TINY, "-p", "hi", "--device", "ascend", "--precision", "exact", status=5)
        self.assertIn("--device cpu --precision exact", err)

    def test_the_self_test_runs_on_the_card(self):
        self.card("8.0")
        done = subprocess.run([CHASKI, "doctor", "--device", "ascend", "--self-test", "--json"], env=self.env,
                              capture_output=True, check=False, timeout=600)  # which finds no driver here
        found = {finding["id"]: finding for finding in json.loads(done.stdout)["findings"]}
        for activations in ("f16", "bf16"):
            self.assertEqual(found[f"selftest.ascend-{activations}-emulated"]["status"], "ok",
                             found[f"selftest.ascend-{activations}-emulated"])

    # ---- SmolLM2

    def exact_rows(self, model, ids, n):
        """Logits of the last n positions in f32 arithmetic."""
        done = subprocess.run([BIN / "score_logits", model, "--last", str(n)], input=json.dumps(ids).encode() + b"\n",
                              capture_output=True, check=True, timeout=600)
        logits = array.array("f", done.stdout)
        width = len(logits) // n
        return [logits[i * width:(i + 1) * width] for i in range(n)]

    def test_smollm2_answers_as_f32_arithmetic_would_wherever_that_is_clear(self):
        model = os.environ.get("CHASKI_GGUF")
        if not model:
            self.skipTest("no SmolLM2 here")
        n_clear = n_all = 0
        for activations, profile in (("f16", "8.0"), ("bf16", "8.3")):
            for question in QUESTIONS:
                self.card(profile)
                found, err = self.answer(model, question, "--activations", activations, "--strict", tokens=12)
                self.assertTrue(found["ids"], err)
                ids = found["prompt_ids"] + found["ids"]
                rows = self.exact_rows(model, ids[:-1], len(found["ids"]))
                for row, chosen in zip(rows, found["ids"]):
                    first, second = sorted(row)[:-3:-1]
                    n_all += 1
                    if first - second > ROUNDING[activations]:
                        n_clear += 1
                        self.assertEqual(row.index(first), chosen, (activations, question, found))
        self.assertGreater(n_clear, 0.6 * n_all)


if __name__ == "__main__":
    unittest.main()
