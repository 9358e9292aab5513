#!/usr/bin/env python3
"""The two programs of the sandbox (src/lab/harness/), taken apart: what goes through the pipe between them arrives as
what it was, and what the worker makes up does not arrive at all. Neither runs here; whole, in the sandbox: test_lab."""
import decimal
import pathlib
import unittest

HARNESS = pathlib.Path(__file__).resolve().parents[2] / "src" / "lab" / "harness"


def program(name: str) -> dict:
    """Its names, as the sandbox has them, without starting it."""
    names = {"__name__": name}
    text = (HARNESS / "values.py").read_text() + (HARNESS / f"{name}.py").read_text()
    exec(compile(text, f"{name}.py", "exec"), names)
    return names


WORKER, JUDGE = program("worker"), program("judge")


class HarnessTest(unittest.TestCase):
    def setUp(self):
        self.worker, self.judge = WORKER["Worker"](None), JUDGE["Judge"](None)

    def test_each_program_compiles_by_itself_and_is_text_that_any_locale_reads(self):
        for script in sorted(HARNESS.glob("*.py")):
            text = script.read_text()
            compile(text, script.name, "exec")
            self.assertTrue(text.isascii(), script.name)

    def test_values_arrive_as_what_they_are(self):
        for value in (None, True, 0, -(10**40), 2**53, 1.5, float("inf"), 2 + 3j, "", "\ud800 \0 中", b"\xff",
                      bytearray(b"ab"), [1, [2.0, "x"]], (1, (2,)), {1: "a", (2, 3): [4]}, {1, 2}, frozenset({3}),
                      range(1, 9, 2), int, dict, type(None), decimal.Decimal("1.10")):
            with self.subTest(value=value):
                arrived = self.judge.decode(self.worker.encode(value))
                self.assertEqual(arrived, value)
                self.assertIs(type(arrived), type(value))

    def test_an_object_of_the_programs_own_is_a_handle_that_equals_no_plain_value(self):
        yes = type("Yes", (), {"__module__": "program", "__eq__": lambda *_: True, "__hash__": None})()
        arrived = self.judge.decode(self.worker.encode(yes))
        self.assertIs(type(arrived), JUDGE["Remote"])
        self.assertFalse(arrived == 7)
        self.assertTrue(arrived != 7)

    def test_what_is_no_value_is_refused(self):
        for made_up in ({"z": 1}, {"h": "1"}, {"y": "eval"}, {"o": -1}, {"o": 5}, {"r": [1, 2, 3, 4]}, {"i": "x"}, {}):
            with self.subTest(made_up=made_up), self.assertRaises(Exception):
                self.judge.decode(made_up)

    def test_exceptions_that_end_loops_or_programs_arrive_as_runtime_errors(self):
        for kind in ("StopIteration", "StopAsyncIteration", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "open",
                     "no"):
            with self.subTest(kind=kind):
                self.assertTrue(issubclass(self.judge.exception_class("Own", kind), RuntimeError))
        self.assertIs(self.judge.exception_class("KeyError", "KeyError"), KeyError)


if __name__ == "__main__":
    unittest.main()
