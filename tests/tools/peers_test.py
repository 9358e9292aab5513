#!/usr/bin/env python3
"""How bench/peers.py goes on when a program fails or takes too long, with programs made up here."""
import contextlib
import io
import json
import pathlib
import sys
import tempfile
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "bench"))
import peers
from peers_programs import Failed, TIME_LIMIT_S, TookTooLong


def session_in(folder):
    session = object.__new__(peers.Session)
    session.args, session.rounds, session.cells, session.key = types.SimpleNamespace(only=""), 3, {}, "key"
    session.store = pathlib.Path(folder) / "cells.json"
    return session


def never(error):
    def figures():
        raise error
    return figures


class Measure(unittest.TestCase):
    def measured(self, *programs):
        with tempfile.TemporaryDirectory() as folder:
            session = session_in(folder)
            with contextlib.redirect_stdout(io.StringIO()):
                peers.measure(session, ["a", "b"], programs)
            return session.cells, json.loads(session.store.read_text())["cells"]

    def test_what_takes_too_long_takes_no_samples_from_the_other_cells(self):
        cells, kept = self.measured(("chaski", ["a"], lambda: {"a": 1.0}), ("chaski", ["b"], never(TookTooLong())),
                                    ("rival", ["a", "b"], lambda: {"a": 2.0, "b": 3.0}))
        self.assertEqual(cells["a"]["samples"], {"chaski": [1.0] * 3, "rival": [2.0] * 3})
        self.assertEqual(cells["b"]["samples"], {"rival": [3.0] * 3})
        self.assertEqual((cells["a"]["bounds"], cells["b"]["bounds"]), ({}, {"chaski": TIME_LIMIT_S}))
        self.assertEqual(set(kept), {"a", "b"})

    def test_a_cell_with_a_failure_is_shown_and_not_kept(self):
        cells, kept = self.measured(("chaski", ["a"], lambda: {"a": 1.0}), ("rival", ["b"], never(Failed("no such file"))))
        self.assertIn("rival failed: no such file", cells["b"]["note"]["en"])
        self.assertEqual(set(kept), {"a"})


class Key(unittest.TestCase):
    def test_another_build_of_a_rival_makes_earlier_figures_void(self):
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder) / "program"
            program.write_bytes(b"one")
            session = session_in(folder)
            session.args = types.SimpleNamespace(threads=2, rival=[])
            session.prepared = types.SimpleNamespace(facts={})
            session.chaski = session.roofline = types.SimpleNamespace(path=__file__)
            session.llama, session.others = peers.LlamaCpp("rival", program, 2), []
            before = session.key_of_programs()
            self.assertEqual(session.key_of_programs(), before)
            program.write_bytes(b"two")
            self.assertNotEqual(session.key_of_programs(), before)


if __name__ == "__main__":
    unittest.main()
