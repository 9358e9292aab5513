#!/usr/bin/env python3
"""Our own suites and the answers to check a rubric against, as data: fields, no two alike, every reference solution passes
the tests of its item, every answer of arithmetic computed again. What suite.cpp reads is tested in lab_suite_test.cpp."""
import ast
import collections
import difflib
import json
import operator
import pathlib
import re
import unittest
from fractions import Fraction

SUITES = pathlib.Path(__file__).resolve().parent.parent.parent / "suites"
OURS = ("chaski-zh", "chaski-en")
TYPES = ("self-introduction", "code", "commonsense", "concept", "arithmetic")
COMMON = {"id", "type", "prompt", "reference"}
REQUIRED = {"self-introduction": set(), "code": {"tests"}, "commonsense": {"accepts", "rejects"},
            "concept": {"keywords", "relations", "false_statements"}, "arithmetic": {"answer", "check"}}
OPTIONAL = {"self-introduction": {"true_identity"}, "code": {"entry_point"}, "arithmetic": {"unit"}}
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
             ast.FloorDiv: operator.floordiv, ast.Pow: operator.pow, ast.USub: operator.neg}


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def value_of(expression):
    """Arithmetic on exact fractions, so that 0.85 means 85/100."""
    def value(node):
        if isinstance(node, ast.Constant):
            return Fraction(str(node.value))
        if isinstance(node, ast.UnaryOp):
            return OPERATORS[type(node.op)](value(node.operand))
        return OPERATORS[type(node.op)](value(node.left), value(node.right))
    return value(ast.parse(expression, mode="eval").body)


def passes(function, test):
    try:
        exec(test, {"candidate": function})
    except Exception:
        return False
    return True


def has(text, words):
    return any(word.casefold() in text.casefold() for word in words)


def squeezed(prompt):
    return re.sub(r"\W", "", prompt.casefold())


class Items(unittest.TestCase):
    """What holds for the items of our suites and for the questions of the scored answers alike."""

    def setUp(self):
        self.items = [(f"{name} {item['id']}", item) for name in OURS for item in lines(SUITES / name / "items.jsonl")]
        for row in lines(SUITES / "agreement/answers.jsonl"):
            asked = {key: row[key] for key in ("id", "type", "prompt")}
            self.items.append((f"agreement {row['id']}", {**asked, **row["item"]}))

    def of_type(self, kind):
        return [(name, item) for name, item in self.items if item["type"] == kind]

    def test_each_type_has_its_fields_and_no_others(self):
        for name, item in self.items:
            with self.subTest(name):
                required = COMMON | REQUIRED[item["type"]]
                self.assertEqual(required - item.keys(), set())
                self.assertEqual(item.keys() - required - OPTIONAL.get(item["type"], set()), set())
                for key, value in item.items():
                    self.assertTrue(value, f"{key} is empty")

    def test_every_reference_solution_passes_the_tests_of_its_item(self):
        for name, item in self.of_type("code"):
            with self.subTest(name):
                scope = {}
                exec(item["reference"], scope)
                function = scope[item.get("entry_point") or list(scope)[-1]]
                failed = [test for test in item["tests"] if not passes(function, test)]
                self.assertEqual(failed, [])

    def test_no_test_of_code_is_passed_by_doing_nothing(self):
        for name, item in self.of_type("code"):
            with self.subTest(name):
                failed = sum(not passes(lambda *arguments: None, test) for test in item["tests"])
                self.assertGreaterEqual(2 * failed, len(item["tests"]))

    def test_every_answer_of_arithmetic_is_what_its_check_computes(self):
        for name, item in self.of_type("arithmetic"):
            with self.subTest(name):
                self.assertEqual(value_of(item["check"]), Fraction(item["answer"]))
                self.assertIn(item["answer"], re.findall(r"\d+(?:\.\d+)?", item["reference"].rstrip(".")))
                self.assertNotEqual(item["check"], item["answer"])

    def test_a_reference_of_common_sense_is_accepted_and_not_rejected(self):
        for name, item in self.of_type("commonsense"):
            with self.subTest(name):
                self.assertTrue(has(item["reference"], item["accepts"]))
                self.assertFalse(has(item["prompt"], item["rejects"]))
                for right in [item["reference"], *item["accepts"]]:
                    self.assertEqual([wrong for wrong in item["rejects"] if has(right, [wrong])], [])

    def test_a_reference_of_a_concept_holds_its_keywords_and_relations_and_no_false_statement(self):
        for name, item in self.of_type("concept"):
            with self.subTest(name):
                text = item["reference"]
                self.assertIn(len(item["keywords"]), range(4, 7))
                self.assertIn(len(item["relations"]), range(1, 3))
                self.assertEqual([group for group in item["keywords"] if not has(text, group)], [])
                sentences = re.split(r"[。！？!?]|\.(?:\s|$)", text)
                for relation in item["relations"]:
                    self.assertTrue(any(all(has(sentence, group) for group in relation) for sentence in sentences), relation)
                self.assertFalse(has(text, item["false_statements"]))


class OurSuites(unittest.TestCase):
    def test_each_has_at_least_twenty_questions_of_each_type(self):
        for name in OURS:
            counts = collections.Counter(item["type"] for item in lines(SUITES / name / "items.jsonl"))
            self.assertEqual(set(counts), set(TYPES))
            self.assertGreaterEqual(min(counts.values()), 20)

    def test_ids_stand_once_and_no_two_prompts_are_nearly_alike(self):
        review = [(f"review-zh {item['id']}", squeezed(item["prompt"])) for item in lines(SUITES / "review-zh/items.jsonl")]
        for name in OURS:
            items = lines(SUITES / name / "items.jsonl")
            self.assertEqual(len({item["id"] for item in items}), len(items))
            prompts = [(item["id"], squeezed(item["prompt"])) for item in items]
            alike = [(a, b) for i, (a, one) in enumerate(prompts) for b, other in prompts[i + 1:] + review
                     if difflib.SequenceMatcher(None, one, other).quick_ratio() > 0.8
                     and difflib.SequenceMatcher(None, one, other).ratio() > 0.8]
            self.assertEqual(alike, [])

    def test_prompts_are_in_the_suites_language(self):
        for name, is_chinese in (("chaski-zh", True), ("chaski-en", False)):
            for item in lines(SUITES / name / "items.jsonl"):
                with self.subTest(f"{name} {item['id']}"):
                    self.assertEqual(bool(re.search(r"[\u4e00-\u9fff]", item["prompt"])), is_chinese)

    def test_code_is_asked_for_by_name_and_tested_in_four_to_eight_ways(self):
        for name in OURS:
            for item in lines(SUITES / name / "items.jsonl"):
                if item["type"] == "code":
                    with self.subTest(f"{name} {item['id']}"):
                        self.assertIn(item["entry_point"] + "(", item["prompt"])
                        self.assertIn(len(item["tests"]), range(4, 9))


class ScoredAnswers(unittest.TestCase):
    def setUp(self):
        self.answers = lines(SUITES / "agreement/answers.jsonl")
        self.scores = lines(SUITES / "agreement/scores.jsonl")

    def test_each_has_the_question_its_fields_and_the_answer_as_it_came(self):
        for row in self.answers:
            with self.subTest(row["id"]):
                self.assertEqual(set(row), {"id", "type", "prompt", "answer", "finish_reason", "origin", "how_made", "item"})
                self.assertTrue(row["how_made"])

    def test_there_are_sixty_of_three_origins_and_five_types(self):
        self.assertEqual(collections.Counter(row["origin"] for row in self.answers),
                         {"model": 20, "in_the_manner": 20, "by_hand": 20})
        self.assertEqual(collections.Counter(row["type"] for row in self.answers), {kind: 12 for kind in TYPES})
        self.assertLessEqual({row["finish_reason"] for row in self.answers}, {"stop", "length"})

    def test_each_has_one_score_with_a_reason_and_every_score_occurs(self):
        self.assertEqual([row["id"] for row in self.scores], [row["id"] for row in self.answers])
        self.assertEqual(len({row["id"] for row in self.scores}), len(self.scores))
        self.assertEqual({row["score"] for row in self.scores}, {1, 2, 3, 4, 5})
        self.assertEqual([row["id"] for row in self.scores if len(row["reason"]) < 20], [])


if __name__ == "__main__":
    unittest.main()
