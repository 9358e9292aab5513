#!/usr/bin/env python3
"""The statistics and tables of bench/peers.py, on figures made up here."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "bench"))
import peers_table as peers


def result(**cells):
    return {"rival": "llama.cpp", "isa": "avx2", "date": "2026-01-02T03:04:05Z", "threads": 2, "rounds": 5, "chaski_isa": "avx2",
            "machine": {"cpu": "A|B", "cores": 2, "memory_gib": 8.0, "os": "Debian", "kernel": "Linux"},
            "versions": {"chaski": "0.1.0"}, "notes": [{"en": "said", "zh": "说明"}], "cells": cells}


def cell(ours, theirs, **more):
    return {"samples": {"chaski": ours, "llama.cpp": theirs}, **more}


class Statistics(unittest.TestCase):
    def test_the_interval_is_that_of_order_statistics(self):
        self.assertEqual(peers.interval([3, 1, 2, 5, 4]), (1, 5))
        self.assertEqual(peers.interval(range(1, 10)), (2, 8))
        self.assertEqual(peers.interval(range(1, 21)), (6, 15))
        self.assertEqual(peers.interval(range(1, 101)), (40, 61))

    def test_a_ratio_is_that_of_the_same_round(self):
        # The machine slows by half from round to round: the ratio does not.
        ratio = peers.ratio_of([16, 8, 4], [8, 4, 2])
        self.assertEqual((ratio["median"], ratio["low"], ratio["high"]), (2, 2, 2))

    def verdict(self, values, *goals):
        return peers.verdict(peers.summary(values), *goals)

    def test_goals_are_met_from_above_or_below(self):
        self.assertEqual(self.verdict([1.5] * 6, "ratio", 1.25, 1.45), "aim")
        self.assertEqual(self.verdict([1.3] * 6, "ratio", 1.25, 1.45), "reach")
        self.assertEqual(self.verdict([1.2] * 6, "ratio", 1.25, 1.45), "no")
        self.assertEqual(self.verdict([0.1] * 6, "least", 0.35, 0.15), "aim")
        self.assertEqual(self.verdict([0.4] * 6, "least", 0.35, 0.15), "no")
        self.assertEqual(peers.verdict(None, "ratio", 1, 2), "")

    def test_a_goal_that_the_median_alone_reaches_is_not_simply_met(self):
        self.assertEqual(self.verdict([1.2, *[1.3] * 5], "ratio", 1.25, 1.45), "reach_median")
        self.assertEqual(self.verdict([1.2, *[1.5] * 5], "ratio", 1.25, 1.45), "aim_median")
        self.assertEqual(self.verdict([1.3, *[1.5] * 5], "ratio", 1.25, 1.45), "reach")
        self.assertEqual(self.verdict([*[0.1] * 5, 0.4], "least", 0.35, 0.15), "aim_median")
        self.assertEqual(self.verdict([*[0.1] * 5, 0.2], "least", 0.35, 0.15), "reach")
        self.assertEqual(self.verdict([1.5] * 5, "ratio", 1.25, 1.45), "aim_median")  # too few for an interval
        for lang, text in (("en", "| reach (median only) |"), ("zh", "| 须达（仅中位数） |")):
            self.assertIn(text, peers.table(result(decode_bf16=cell([12, *[13] * 5], [10] * 6)), lang))


class Table(unittest.TestCase):
    def row(self, made, row_id):
        return next(row for row in peers.rows_of(made) if row["id"] == row_id)

    def test_the_share_of_the_limit_is_work_done_by_work_possible(self):
        made = result(decode_bf16=cell([10, 10, 10], [8, 8, 8], work=2.5, limit={"what": "read", "values": [50]}))
        self.assertEqual(self.row(made, "decode_bf16")["share"], 0.5)
        self.assertIn("0.50 of read bandwidth", peers.table(made, "en"))

    def test_every_row_is_there_measured_or_not(self):
        lines = peers.table(result(), "en").splitlines()
        self.assertEqual(len(lines), len(peers.ROWS) + 2)
        self.assertTrue(all(line.count("|") == 9 for line in lines))

    def test_a_row_that_judges_chaski_alone_needs_no_rival(self):
        made = result(start={"samples": {"chaski": [0.2] * 6}})
        self.assertEqual(self.row(made, "start")["met"], "reach")

    def test_a_bound_stands_for_what_was_ended(self):
        made = result(prefill_bf16={"samples": {"chaski": [100.0], "llama.cpp": []}, "bounds": {"llama.cpp": 120.0}})
        self.assertIn("| killed after 120 s |", peers.table(made, "en"))
        self.assertIn("| 120 秒后终止 |", peers.table(made, "zh"))
        self.assertEqual(self.row(made, "prefill_bf16")["met"], "")

    def test_other_rivals_have_a_table_of_their_own(self):
        made = result(decode_q4_0={"samples": {"chaski": [30.0], "llama.cpp": [20.0], "ik": [24.0]}, "bounds": {"slow": 120.0}})
        others = peers.others_table(made, "en")
        self.assertIn("| ik | 24.00 tok/s | 1.25× (range 1.25 – 1.25) |", others)
        self.assertIn("| slow | killed after 120 s | – |", others)
        self.assertEqual(peers.others_table(result(), "en"), "")

    def test_both_languages_say_the_same_figures(self):
        made = result(decode_q8_0=cell([20.0] * 6, [10.0] * 6, note={"en": "why", "zh": "原因"}))
        english, chinese = peers.section(made, "en"), peers.section(made, "zh")
        for page in (english, chinese):
            self.assertIn("2.00× (2.00 – 2.00)", page)
        self.assertIn("decode, q8_0: why", english)
        self.assertIn("解码，q8_0：原因", chinese)

    def test_fewer_than_six_rounds_give_a_range_that_is_called_so(self):
        made = result(decode_q8_0=cell([20.0] * 5, [10.0] * 5))
        self.assertIn("2.00× (range 2.00 – 2.00)", peers.table(made, "en"))

    def test_the_figures_say_from_when_they_are(self):
        made = result(rss=cell([1.0], [1.0], date="2026-01-03T00:00:00Z"), start=cell([1.0], [1.0], date="2026-01-02T00:00:00Z"))
        self.assertIn("measured 2026-01-02T00:00:00Z – 2026-01-03T00:00:00Z", peers.section(made, "en"))

    def test_the_page_has_the_newest_first(self):
        old, new = result(), {**result(), "date": "2027-01-01T00:00:00Z"}
        page = peers.page([old, new], "en")
        self.assertLess(page.index("2027-01-01"), page.index("2026-01-02"))


if __name__ == "__main__":
    unittest.main()
