#!/usr/bin/env python3
"""chaski doctor: this machine and trees of other machines' files, its exit status, whether a model fits."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

CHASKI = os.environ["CHASKI"]
IS_FULL = os.environ.get("CHASKI_FULL") == "ON"
MACHINES = pathlib.Path(__file__).resolve().parent.parent / "data" / "machines"
CLOSE = 0.05  # the plan may be off by so much from the memory that was taken


def unpack(name, root, settings):
    """The tree that tests/support/machine_tree.h describes."""
    file = None
    for line in (MACHINES / name / "machine.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("@"):
            if file is not None:
                with file.open("a", encoding="utf-8") as out:
                    out.write(line + "\n")
            continue
        directive, path, *target = line.split(" ", 2)
        file = None
        if directive == "@base":
            unpack(path, root, settings)
        elif directive == "@set":
            variable, value = line[len("@set "):].split("=", 1)
            settings[variable] = value
        elif directive == "@unset":
            settings.pop(path, None)
        elif directive == "@remove":
            shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()
        else:
            place = root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            if directive == "@link":
                place.symlink_to(target[0])
            else:
                place.touch()
                file = place


class DoctorTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.env = {"PATH": os.environ["PATH"], "HOME": folder.name, "LC_ALL": "C.UTF-8"}

    def chaski(self, *args, status=0):
        done = subprocess.run([CHASKI, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, env=self.env,
                              timeout=600, check=False)
        if status is not None:
            self.assertEqual(done.returncode, status, (args, done.stdout.decode(), done.stderr.decode()))
        return done.stdout.decode(), done.stderr.decode(), done.returncode

    def machine(self, name):
        root = self.folder / name
        root.mkdir()
        settings = {}
        unpack(name, root, settings)
        (root / "environment").write_text("".join(f"{k}={v}\n" for k, v in settings.items()), encoding="utf-8")
        return root

    def findings(self, *args, status=0):
        report = json.loads(self.chaski("doctor", "--json", *args, status=status)[0])
        return {finding["id"]: finding for finding in report["findings"]}

    def test_this_machine_is_examined_and_json_and_exit_status_agree(self):
        out, _, status = self.chaski("doctor", "--json", status=None)
        report = json.loads(out)
        self.assertEqual((report["schema"], report["kind"], report["exit_status"]), (1, "doctor", status))
        ids = [finding["id"] for finding in report["findings"]]
        for expected in ("cpu.path", "cpu.memory", "disk.home", "network.proxy", "energy.meters", "sandbox.tier"):
            self.assertIn(expected, ids)
        for finding in report["findings"]:
            self.assertIn(finding["status"], ("ok", "warning", "failure", "not_applicable"))
            self.assertEqual(sorted(finding["what"]), ["en", "zh"])
            self.assertTrue(finding["status"] != "failure" or finding["fix"])
        bench = json.loads(self.chaski("bench", "synthetic:tiny", "-p", "8", "-n", "4", "--repeat", "1", "-o", "json")[0])
        path = next(finding for finding in report["findings"] if finding["id"] == "cpu.path")
        self.assertIn(path["facts"]["path"], json.dumps(bench), "the code path is the one that runs")

    def test_the_page_speaks_the_readers_language(self):
        self.assertIn("Processor and memory", self.chaski("doctor", "--lang", "en", status=None)[0])
        self.assertIn("处理器与内存", self.chaski("doctor", "--lang", "zh", status=None)[0])

    def test_another_machines_files_give_its_page_and_status(self):
        for name, status in (("good-910b", 0), ("no-group", 7), ("first-910", 5), ("low-memory", 6), ("proxy-broken", 8),
                             ("read-only-home", 9)):
            root = self.machine(name)
            for lang in ("en", "zh"):
                out, err, _ = self.chaski("doctor", "--root", root, "--lang", lang, status=status)
                self.assertEqual(out, (MACHINES / name / f"doctor.{lang}.txt").read_text(encoding="utf-8"))
                self.assertEqual(err != "", status != 0)

    def test_only_the_wanted_device_counts(self):
        root = self.machine("no-group")
        self.chaski("doctor", "--root", root, "--device", "cpu")
        self.chaski("doctor", "--root", root, "--device", "ascend", status=7)
        self.assertEqual(self.findings("--root", root, "--device", "cuda", status=7)["nvidia.card"]["status"], "failure")

    def test_pipes_and_garbage_in_place_of_files_neither_hang_nor_crash(self):
        root = self.machine("good-910b")
        for name in ("proc/cpuinfo", "proc/meminfo", "environment", "usr/local/Ascend/driver/version.info"):
            (root / name).unlink()
            os.mkfifo(root / name)
        (root / "dcmi.json").write_bytes(bytes(range(256)) * 100)
        self.chaski("doctor", "--root", root, status=None)

    def test_the_self_test_runs_every_code_path(self):
        findings = self.findings("--self-test", status=None)
        tests = {key: finding for key, finding in findings.items() if key.startswith("selftest.")}
        self.assertIn("selftest.scalar-exact", tests)
        self.assertIn("selftest.scalar-fast", tests)
        self.assertIn(f"selftest.{findings['cpu.path']['facts']['path']}-fast", tests)
        for key, finding in tests.items():
            self.assertEqual(finding["status"], "ok", (key, finding["what"]["en"]))
            self.assertGreater(finding["facts"]["ops"], 50)

    def test_a_model_that_does_not_fit_is_told_before_anything_is_loaded(self):
        root = self.machine("low-memory")
        findings = self.findings("--root", root, "--model", "synthetic:llama-3.2-3b", status=6)
        self.assertEqual(findings["model.fit"]["status"], "failure")
        self.assertNotIn("model.speed", findings)
        findings = self.findings("--root", self.machine("no-accelerator"), "--model", "synthetic:llama-3.2-3b")
        self.assertEqual(findings["model.fit"]["status"], "ok")
        longer = self.findings("--root", self.machine("good-910b"), "--model", "synthetic:llama-3.2-3b", "--ctx", 131072)
        self.assertGreater(longer["model.fit"]["facts"]["kv_bytes"], 30 * findings["model.fit"]["facts"]["kv_bytes"])

    def test_a_model_of_this_machine_gets_a_speed_limit(self):
        findings = self.findings("--model", "synthetic:llama-3.2-1b@q4_0", status=None)
        self.assertGreater(findings["model.speed"]["facts"]["most_tokens_per_s"], 0.5)

    def test_what_cannot_be_asked_is_a_usage_error(self):
        self.chaski("doctor", "--device", "tpu", status=2)
        self.chaski("doctor", "--ctx", 0, "--model", "synthetic:tiny", status=2)
        self.chaski("doctor", "--root", self.folder, "--self-test", status=2)
        self.chaski("doctor", "--root", self.folder / "nowhere", status=3)
        self.chaski("doctor", "--model", "no-such-model", status=3)

    @unittest.skipUnless(IS_FULL, "loads models of several GB")
    def test_the_plan_is_close_to_the_memory_that_a_run_takes(self):
        for model in ("llama-3.2-1b@q8_0", "llama-3.2-1b@q4_0", "llama-3.2-1b", "llama-3.2-3b@q4_K", "llama-3.2-3b"):
            name = "synthetic:" + model
            plan = self.findings("--model", name, "--ctx", 640, status=None)["model.fit"]["facts"]
            if plan["total_bytes"] > plan["free_bytes"]:
                continue
            bench = self.chaski("bench", name, "-p", 512, "-n", 128, "--repeat", 1, "-o", "json")[0]
            taken = json.loads(bench)[0]["peak_rss_bytes"]
            self.assertLess(abs(plan["total_bytes"] - taken), CLOSE * taken, (name, plan, taken))


if __name__ == "__main__":
    unittest.main()
