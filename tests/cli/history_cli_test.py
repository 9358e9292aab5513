#!/usr/bin/env python3
"""chaski history: what was run is listed, found and exported; a store in the way costs no run."""
import csv
import io
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

CHASKI = os.environ["CHASKI"]
TINY = "synthetic:tiny"
EVAL = ["--suite", "review-zh", "--max-new-tokens", "4"]


class HistoryTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kept = tempfile.TemporaryDirectory()
        cls.template = pathlib.Path(cls.kept.name) / "home"
        cls.template.mkdir()
        cls.home = cls.template
        cls.chaski("eval", TINY, *EVAL, "--out", cls.template / "first")
        cls.chaski("eval", TINY + "@q8_0", *EVAL, "--out", cls.template / "second")

    @classmethod
    def tearDownClass(cls):
        cls.kept.cleanup()

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        type(self).home = pathlib.Path(self.folder.name) / "home"
        shutil.copytree(self.template, self.home)

    @classmethod
    def chaski(cls, *args, status=0, shell=None):
        command = [CHASKI, *map(str, args)]
        done = subprocess.run(["bash", "-c", shell + ' "$@"', "bash", *command] if shell else command,
                              capture_output=True, timeout=300, check=False, stdin=subprocess.DEVNULL,
                              env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "CHASKI_HOME": str(cls.home)})
        assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
        return done.stdout.decode(), done.stderr.decode()

    def listed(self, *args):
        return json.loads(self.chaski("history", "--json", *args)[0])

    def export(self, name, *runs, status=0):
        file = self.home / name
        _, err = self.chaski("history", "--export", file, *runs, status=status)
        return file.read_text(encoding="utf-8") if status == 0 else err

    def test_runs_are_listed_newest_first(self):
        runs = self.listed()
        self.assertEqual([run["model"] for run in runs], [TINY + "@q8_0", TINY])
        self.assertEqual([(run["kind"], run["suite"]) for run in runs], [("eval", "review-zh")] * 2)
        self.assertEqual(runs[1]["folder"], str(self.template / "first"))
        table, _ = self.chaski("history", "--lang", "en")
        self.assertIn("synthetic:tiny@q8_0", table)
        self.assertIn("模型", self.chaski("history", "--lang", "zh")[0])

    def test_filters_choose_by_kind_model_suite_and_number(self):
        self.assertEqual(len(self.listed("--model", "Q8_0")), 1)
        self.assertEqual(len(self.listed("--suite", "review")), 2)
        self.assertEqual(self.listed("--kind", "bench"), [])
        self.assertEqual([run["id"] for run in self.listed("--limit", "1")], [2])
        self.assertIn("No run is like that", self.chaski("history", "--model", "none", "--lang", "en")[0])
        self.chaski("history", "--limit", "-1", status=2)

    def test_a_kind_that_there_is_not_is_an_error_naming_those_that_there_are(self):
        _, err = self.chaski("history", "--kind", "evil", status=2)
        self.assertIn("eval or bench", err)

    def test_runs_that_differ_in_a_setting_are_told_apart_in_the_list(self):
        table, _ = self.chaski("history", "--lang", "en")
        self.assertNotIn("differs in", table)  # the models say it
        self.chaski("eval", TINY, *EVAL, "--template", "raw:Q: {prompt} A:", "--temperature", "0", "--out",
                    self.home / "third")
        table, _ = self.chaski("history", "--lang", "en")
        self.assertIn("differs in", table)
        rows = {line.split()[0]: line for line in table.splitlines() if line.strip()[:1].isdigit()}
        self.assertIn("template raw:Q: {prompt}", rows["3"])
        self.assertIn("template model", rows["1"])
        self.assertNotIn("template", rows["2"])
        self.assertIn("对话模板 模型自带", self.chaski("history", "--lang", "zh")[0])

    def test_a_run_is_removed_where_that_is_confirmed_and_its_folder_stays(self):
        _, err = self.chaski("history", "rm", "1", "--lang", "en", status=2)  # nobody to ask
        self.assertIn("--yes", err)
        _, err = self.chaski("history", "rm", "1", "9", "--yes", "--lang", "en", status=3)
        self.assertIn("no run 9", err)
        _, err = self.chaski("history", "rm", "first", "--yes", status=2)
        self.assertIn("first", err)
        self.assertEqual(len(self.listed()), 2)
        out, _ = self.chaski("history", "rm", "1", "--yes", "--lang", "en")
        self.assertIn("removed run 1", out)
        self.assertIn(f"its files stay in {self.template / 'first'}", out)
        self.assertEqual([run["id"] for run in self.listed()], [2])
        self.assertTrue((self.template / "first" / "run.json").exists())

    def test_on_a_terminal_a_removal_asks(self):
        for answer, left in ((b"n\n", 2), (b"y\n", 1)):
            leader, follower = os.openpty()
            with subprocess.Popen([CHASKI, "history", "rm", "1", "--lang", "en"], stdin=follower,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  env={"PATH": os.environ["PATH"], "CHASKI_HOME": str(self.home)}) as process:
                os.write(leader, answer)
                _, err = process.communicate(timeout=60)
            os.close(leader)
            os.close(follower)
            self.assertEqual(process.returncode, 0, err)
            self.assertIn(b"[y/N]", err)
            self.assertEqual(len(self.listed()), left)

    def test_one_damaged_record_keeps_no_other_from_being_exported(self):
        db = sqlite3.connect(self.home / "runs.db")
        db.execute("UPDATE runs SET record = replace(record, 'total_s', 'total_x') WHERE id = 1")
        db.commit()
        db.close()
        file = self.home / "all.json"
        _, err = self.chaski("history", "--export", file, "--lang", "en", status=4)
        self.assertIn("run 1 is left out", err)
        self.assertIn("1 of 2 runs could not be read", err)
        self.assertIn("history rm", err)
        self.assertEqual([run["model"]["id"] for run in json.loads(file.read_text(encoding="utf-8"))], [TINY + "@q8_0"])
        self.chaski("history", "--export", self.home / "none.json", "1", status=4)
        self.assertFalse((self.home / "none.json").exists())
        self.assertEqual(len(self.listed()), 2)  # the list needs no record whole
        self.chaski("history")
        self.chaski("history", "rm", "1", "--yes")
        self.export("rest.json")

    def test_without_a_run_the_history_says_so_and_makes_no_file(self):
        (self.home / "runs.db").unlink()
        self.assertEqual(self.listed(), [])
        self.assertIn("No runs are kept yet", self.chaski("history", "--lang", "en")[0])
        self.assertFalse((self.home / "runs.db").exists())
        self.assertIn("no run to export", self.export("x.csv", status=3))

    def test_a_run_is_found_by_id_folder_and_file_and_is_the_same(self):
        by_id = json.loads(self.export("a.json", "1"))
        self.assertEqual(len(by_id), 1)
        self.assertEqual(by_id, json.loads(self.export("b.json", self.home / "first")))
        self.assertEqual(by_id, json.loads(self.export("c.json", self.home / "first" / "run.json")))
        self.assertEqual(by_id[0], json.loads((self.home / "first" / "run.json").read_text(encoding="utf-8")))
        self.assertIn("no run of that id", self.export("d.json", "7", status=3))
        self.assertIn("no-such", self.export("d.json", "no-such", status=3))

    def test_csv_is_read_by_pythons_reader_with_a_row_per_figure(self):
        rows = list(csv.DictReader(io.StringIO(self.export("all.csv"))))
        self.assertEqual({row["run"] for row in rows}, {"1", "2"})
        record = json.loads(self.export("1.json", "1"))[0]
        total = [row for row in rows if (row["run"], row["name"]) == ("1", "total_s")]
        self.assertEqual([float(row["value"]) for row in total], [record["summary"]["total_s"]])
        seconds = [row for row in rows if (row["run"], row["section"], row["name"]) == ("1", "item", "seconds")]
        self.assertEqual([(row["item"], float(row["value"])) for row in seconds],
                         [(item["id"], item["seconds"]) for item in record["items"]])

    def test_sqlite_reads_the_dump_and_the_answers_are_byte_for_byte(self):
        db = sqlite3.connect(":memory:")
        self.addCleanup(db.close)
        db.executescript(self.export("all.sql"))
        answers = db.execute("SELECT run, item, answer FROM answers ORDER BY run, rowid").fetchall()
        records = [json.loads(self.export(f"{run}.json", run))[0] for run in ("1", "2")]
        expected = [(str(run), item["id"], item["answer"]) for run, record in enumerate(records, 1)
                    for item in record["items"]]
        self.assertEqual(answers, expected)
        stored = json.loads(db.execute("SELECT record FROM runs WHERE run = '1'").fetchone()[0])
        self.assertEqual(stored, records[0])

    def test_h116_a_hostile_name_is_text_in_every_export(self):
        file = self.home / "hostile.json"
        record = json.loads((self.home / "first" / "run.json").read_text(encoding="utf-8"))
        record["model"]["id"] = hostile = "=cmd|'/C calc'!A0\"; DROP TABLE runs; --"
        record["items"][0]["answer"] = nasty = "\x00\r\n'); DROP TABLE answers; --\n.quit\n;\n\u2028中"
        file.write_text(json.dumps(record), encoding="utf-8")
        rows = list(csv.DictReader(io.StringIO(self.export("h.csv", file), newline="")))
        self.assertEqual({row["model"] for row in rows}, {"'" + hostile})
        db = sqlite3.connect(":memory:")
        self.addCleanup(db.close)
        db.executescript(self.export("h.sql", file))
        self.assertEqual(db.execute("SELECT model FROM runs").fetchall(), [(hostile,)])
        self.assertEqual(db.execute("SELECT answer FROM answers").fetchone(), (nasty,))
        if shutil.which("sqlite3"):
            out = subprocess.run(["sqlite3", ":memory:", ".read " + str(self.home / "h.sql"),
                                  "SELECT hex(answer) FROM answers LIMIT 1"], capture_output=True, text=True, check=True)
            self.assertEqual(bytes.fromhex(out.stdout.strip()).decode(), nasty)

    def test_another_extension_or_a_run_without_export_is_a_usage_error(self):
        self.assertIn(".json, .csv or .sql", self.export("x.xml", status=2))
        self.chaski("history", "1", status=2)

    def test_h117_a_store_that_is_none_is_refused_and_left_alone(self):
        store = self.home / "runs.db"
        store.write_bytes(b"not a database, " * 64)
        _, err = self.chaski("history", status=4)
        self.assertIn("runs.db", err)
        self.assertIn("move the file away", err)
        self.assertEqual(store.read_bytes(), b"not a database, " * 64)

    def test_f4_a_store_in_the_way_is_a_note_and_the_run_is_written(self):
        (self.home / "runs.db").write_bytes(b"not a database, " * 64)
        _, err = self.chaski("eval", TINY, *EVAL, "--out", self.home / "third", "--lang", "en")
        self.assertIn("not in the history", err)
        self.assertTrue((self.home / "third" / "run.json").exists())

    def test_f4_a_full_disk_for_the_store_is_a_note_and_what_was_stored_stays(self):
        n_blocks = (self.home / "runs.db").stat().st_size // 1024
        with open(self.home / "first" / "run.json", encoding="utf-8") as file:
            self.assertTrue(json.load(file))
        _, err = self.chaski("eval", TINY, *EVAL, "--out", self.home / "third", "--lang", "en",
                             shell=f"ulimit -f {n_blocks};")
        self.assertIn("the 2 runs stored before are kept", err)
        self.assertEqual(len(self.listed()), 2)
        db = sqlite3.connect(self.home / "runs.db")
        self.addCleanup(db.close)
        self.assertEqual(db.execute("PRAGMA integrity_check").fetchone(), ("ok",))

    def test_f24_several_programs_at_once_all_keep_their_runs(self):
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "CHASKI_HOME": str(self.home)}
        running = [subprocess.Popen([CHASKI, "eval", TINY, *EVAL, "--seed", str(seed), "--out",
                                     str(self.home / f"run{seed}")], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment)
                   for seed in range(4)]
        for process in running:
            _, err = process.communicate(timeout=300)
            self.assertEqual(process.returncode, 0, err)
        self.assertEqual(len(self.listed()), 6)


if __name__ == "__main__":
    unittest.main()
