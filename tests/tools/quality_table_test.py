#!/usr/bin/env python3
"""What bench/quality_table.py lets pass, on figures made up here."""
import copy
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "bench"))
import quality_table

ROUNDING = {"kl": 0.01, "kl_p99": 0.1, "kl_max": 0.2, "top1": 0.9, "perplexity": 20.0, "ratio": 1.001, "ratio_se": 0.001}
SHIFTS = {"shift_rms": 0.1, "shift_max": 0.3, "other_best": 1, "widest_gap": 0.05}
GOOD = {"date": "2026-01-02", "machine": "A", "isa": "best", "model": "m.gguf",
        "text": {"text": "t.txt", "tokens": 1000, "ctx": 512, "exact": {"perplexity": 20.0, "ratio": 0.999, "ratio_se": 0.001},
                 "fast": ROUNDING, "llama.cpp": {**ROUNDING, "ratio": 1.0}},
        "greedy": {"n": 48, "positions": 192, "bound": 0.3, "fast": SHIFTS, "llama.cpp": SHIFTS,
                   "prompts": [{"prompt": "bread", "same": 48},
                               {"prompt": "river", "same": 2, "ours": 5, "theirs": 6, "exact_best": 5, "gap": -0.02}]}}


def changed(path, value):
    result = copy.deepcopy(GOOD)
    inner = result
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return result


class DefaultModel(unittest.TestCase):
    def test_what_is_within_its_bounds_passes(self):
        self.assertEqual(quality_table.default_failures(GOOD), [])

    def test_what_is_beyond_a_bound_is_named(self):
        for path, value, said in ((("text", "fast", "ratio"), 1.006, "perplexity at fast"),
                                  (("text", "exact", "ratio"), 0.994, "perplexity at exact"),
                                  (("text", "fast", "kl"), 0.012, "KL of fast"),
                                  (("greedy", "fast", "widest_gap"), 0.31, "fast chooses another token"),
                                  (("greedy", "prompts", 1, "gap"), 0.31, "river: other tokens after 2"),
                                  (("greedy", "prompts", 1, "gap"), -0.31, "river: other tokens after 2")):
            failures = quality_table.default_failures(changed(path, value))
            self.assertEqual(len(failures), 1, (path, failures))
            self.assertIn(said, failures[0])

    def test_both_languages_say_where_answers_part_and_who_is_before(self):
        self.assertIn("After 2 tokens of “river” the two part: in exact the two tokens are 0.020 apart, with llama.cpp before",
                      quality_table.default_model(GOOD, "en"))
        self.assertIn("“river”在 2 个词元之后分叉", quality_table.default_model(GOOD, "zh"))


class Formats(unittest.TestCase):
    def test_a_format_above_the_bound_is_named(self):
        rows = [{"format": name, "rounding": {"fast": 1e-5, "rival": 2e-5},
                 "sample": {"fast": {"kl": kl}, "rival": {"kl": 1e-4}}} for name, kl in (("q8_0", 1.09e-4), ("q4_0", 1.2e-4))]
        self.assertEqual(quality_table.rounding_failures({"rows": rows}), ["q4_0"])
        self.assertIn("| q4_0 | 1.00e-05 | 2.00e-05 | 0.50 | 1.20e-04 | 1.00e-04 | 1.20 |",
                      quality_table.rounding({"rows": rows}, "en"))


class Pages(unittest.TestCase):
    def test_a_page_without_the_place_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder) / "page.md"
            page.write_text("a\n<!-- x -->\nold\n<!-- end x -->\nb\n", encoding="utf-8")
            quality_table.replace(page, {"x": "new\\1"})
            self.assertEqual(page.read_text(encoding="utf-8"), "a\n<!-- x -->\nnew\\1\n<!-- end x -->\nb\n")
            with self.assertRaises(SystemExit):
                quality_table.replace(page, {"y": "new"})


if __name__ == "__main__":
    unittest.main()
