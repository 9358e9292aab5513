#!/usr/bin/env python3
"""chaski compare and chaski report, as users meet them: every format, hostile records, names that are no run."""
import base64
import csv
import hashlib
import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

CHASKI = os.environ["CHASKI"]
HOSTILE = "</script></style><script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>\"'&-->"
SUITE = """name: toy
title: {zh: 玩具题集, en: Toy questions}
types: {code: {zh: 代码生成, en: code}, sums: {zh: 数学计算, en: sums}}
settings: {max_new_tokens: 8, temperature: 0}
"""
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(html.parser.HTMLParser):
    """What a browser would be asked to load or run, and whether tags are closed."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.open, self.text, self.style, self.policy = [], [], [], [], "", ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open[-5:])
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text.append(data)


def chaski(*args, status=0, env=None):
    done = subprocess.run([CHASKI, *map(str, args)], capture_output=True, timeout=300, check=False,
                          stdin=subprocess.DEVNULL,
                          env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "CHASKI_HOME": CompareTest.home,
                               **(env or {})})
    assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
    return done.stdout.decode(), done.stderr.decode()


class CompareTest(unittest.TestCase):
    home = ""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.home = str(cls.folder / "home")
        suite = cls.folder / "toy"
        suite.mkdir()
        (suite / "suite.yaml").write_text(SUITE, encoding="utf-8")
        items = [{"id": str(i), "type": "code" if i % 2 else "sums", "prompt": f"问题 {i}"} for i in range(1, 9)]
        (suite / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
        for name, template in (("a", "model"), ("b", "raw:<s>[INST] {prompt} [/INST]")):
            chaski("eval", "synthetic:tiny", "--suite", suite, "--batch", "1", "--out", cls.folder / name, "--template", template)
        record = json.loads((cls.folder / "a" / "run.json").read_text(encoding="utf-8"))
        record["model"]["id"] = record["settings"]["suite"]["title"]["en"] = HOSTILE
        for item in record["items"]:
            item["answer"] = HOSTILE + "\u202e\u200b\x00"
            item["prompt"] = HOSTILE
        record["warnings"].append({"code": "unknown", "message": HOSTILE})
        (cls.folder / "hostile").mkdir()
        (cls.folder / "hostile" / "run.json").write_text(json.dumps(record), encoding="utf-8")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def made(self, name, *command):
        path = self.folder / name
        chaski(*command, "--out", path)
        return path

    def check_page(self, text):
        page = Page(text)
        self.assertEqual(page.open, [])
        self.assertFalse({"script", "img", "iframe", "link", "object", "embed", "form", "base"} & set(page.tags))
        for name, value in page.attributes:
            self.assertFalse(name.startswith("on") or name in ("src", "href", "style", "srcset", "action"), name)
            self.assertNotIn("javascript:", value or "")
        self.assertNotIn("url(", page.style)
        self.assertNotIn("@import", page.style)
        digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
        self.assertEqual(page.policy.split("; ")[:2], ["default-src 'none'", f"style-src 'sha256-{digest}'"])
        return page

    def test_a_page_is_well_formed_and_asks_for_nothing_in_both_languages(self):
        for lang, words in (("en", ["Verdict", "undecided"]), ("zh", ["结论", "无法判定"])):
            text = self.made("page.html", "compare", self.folder / "a", self.folder / "b", "--lang", lang).read_text(
                encoding="utf-8")
            page = self.check_page(text)
            for word in words:
                self.assertIn(word, "".join(page.text))
            self.assertNotIn("http://", text)
            self.assertNotIn("https://", text)
            self.check_page(self.made("run.html", "report", self.folder / "a", "--lang", lang).read_text(
                encoding="utf-8"))

    def test_hostile_text_is_shown_and_does_nothing(self):
        for command in (("compare", self.folder / "hostile", self.folder / "a"), ("report", self.folder / "hostile")):
            page = self.check_page(self.made("hostile.html", *command, "--lang", "en").read_text(encoding="utf-8"))
            shown = "".join(page.text)
            self.assertIn(HOSTILE, shown)
            self.assertIn("‹U+202E›‹U+200B›‹U+0000›", shown)
        out, _ = chaski("compare", self.folder / "hostile", self.folder / "a", "--lang", "en")
        self.assertNotIn("\x00", out)

    def test_every_format_can_be_read_back(self):
        runs = (self.folder / "a", self.folder / "b")
        data = json.loads(self.made("c.json", "compare", *runs).read_text(encoding="utf-8"))
        self.assertEqual(data["schema"], "chaski.comparison/1")
        self.assertEqual(len(data["questions"]), 8)
        self.assertEqual({d["kind"] for d in data["differences"]}, {"template"})
        self.assertTrue(all(c["verdict"] in ("supported", "not_supported", "undecided") for c in data["claims"]))
        with open(self.made("c.csv", "compare", *runs), encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(sum(row["kind"] == "seconds" for row in rows), 8)
        self.assertTrue(all(None not in row for row in rows))
        self.assertIn("## Claims", self.made("c.md", "compare", *runs, "--lang", "en").read_text(encoding="utf-8"))
        svg = xml.etree.ElementTree.parse(self.made("c.svg", "compare", *runs)).getroot()
        self.assertTrue(svg.tag.endswith("svg"))
        with open(self.made("r.csv", "report", runs[0]), encoding="utf-8", newline="") as file:
            self.assertEqual([row["id"] for row in csv.DictReader(file)], [str(i) for i in range(1, 9)])
        self.assertEqual(json.loads(self.made("r.json", "report", runs[0]).read_text(encoding="utf-8"))["kind"], "eval")
        self.assertIn("# Toy questions", self.made("r.md", "report", runs[0], "--lang", "en").read_text(encoding="utf-8"))
        xml.etree.ElementTree.parse(self.made("r.svg", "report", runs[0]))

    def test_the_same_records_give_the_same_bytes(self):
        for name in ("same.html", "same.svg", "same.json"):
            first = self.made(name, "compare", self.folder / "a", self.folder / "b").read_bytes()
            self.assertEqual(first, self.made(name, "compare", self.folder / "a", self.folder / "b").read_bytes())

    def test_a_picture_is_a_png_or_the_missing_tool_is_named(self):
        if shutil.which("rsvg-convert"):
            path = self.made("c.png", "compare", self.folder / "a", self.folder / "b")
            self.assertEqual(path.read_bytes()[:8], b"\x89PNG\r\n\x1a\n")
        _, err = chaski("report", self.folder / "a", "--out", self.folder / "n.png", "--lang", "en", status=5,
                        env={"PATH": "/nonexistent"})
        self.assertIn("librsvg2-bin", err)
        self.assertEqual(list(self.folder.glob("n.png*")), [])

    def test_on_a_terminal_the_verdicts_stand_with_their_tests(self):
        out, _ = chaski("compare", self.folder / "a", self.folder / "b", "--lang", "en")
        for part in ("B is faster per token", "Paired sign-flip permutation test, 8 questions", "Holm", "Speed and latency"):
            self.assertIn(part, out)
        self.assertIn("每词元用时更短", chaski("compare", self.folder / "a", self.folder / "b", "--lang", "zh")[0])

    def test_a_folder_of_two_runs_is_compared_as_its_index_orders_them(self):
        review = self.folder / "review"
        review.mkdir()
        for name, run in (("zz", "a"), ("aa", "b")):
            shutil.copytree(self.folder / run, review / name)
        first = [json.loads(self.made("by-name.json", "compare", review).read_text(encoding="utf-8"))["runs"][side]["source"]
                 for side in "ab"]
        self.assertEqual([pathlib.Path(source).name for source in first], ["aa", "zz"])
        (review / "index.md").write_text("- [zz/run.json](zz/run.json): record\n- [aa/run.json](aa/run.json): record\n",
                                         encoding="utf-8")
        out = json.loads(self.made("by-index.json", "compare", review).read_text(encoding="utf-8"))
        self.assertEqual([pathlib.Path(out["runs"][side]["source"]).name for side in "ab"], ["zz", "aa"])
        _, err = chaski("report", review, "--lang", "en", status=2)
        self.assertIn("a folder of runs", err)
        self.assertIn(str(review / "zz"), err)
        _, err = chaski("compare", self.folder / "a", "--lang", "en", status=2)
        self.assertIn("expected two runs", err)

    def test_what_is_no_run_and_what_is_no_format_is_said_before_anything_is_written(self):
        _, err = chaski("compare", self.folder / "a", "no-such-run", "--lang", "en", status=3)
        self.assertIn("no-such-run", err)
        _, err = chaski("compare", self.folder / "a", self.folder / "b", "--out", self.folder / "x.doc", status=2)
        self.assertIn(".html", err)
        self.assertFalse((self.folder / "x.doc").exists())

    def test_the_published_figures_stand_in_the_program(self):
        record = json.loads((self.folder / "a" / "run.json").read_text(encoding="utf-8"))
        record["settings"]["suite"]["name"] = "review-zh"
        (self.folder / "zh").mkdir(exist_ok=True)
        (self.folder / "zh" / "run.json").write_text(json.dumps(record), encoding="utf-8")
        text = self.made("zh.html", "report", self.folder / "zh", "--lang", "zh").read_text(encoding="utf-8")
        for part in ("已发表数据：Llama-3.2-1B-Instruct", "11.54", "30.75", "未给出"):
            self.assertIn(part, text)
        self.assertTrue(re.search(r"<html lang=\"zh-CN\">", text))


if __name__ == "__main__":
    unittest.main()
