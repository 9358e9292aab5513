"""chaski pull, list, verify, rm against a hub of the tests: every protocol, faults, lies, kills."""
import hashlib
import json
import os
import pathlib
import pty
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

from chaski_cli import CHASKI, TINY, ChaskiTest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "hub"))
import hub_server  # noqa: E402

FULL = os.environ.get("CHASKI_FULL") == "ON"
PART = 16 << 20
REPO = "Org/Tiny-1.0"


# In a mount namespace of its own: pulls onto disks of all sizes, each then with room, and onto one that is filled while
# the download runs. Prints the exit statuses on the disks that were too small or not.
FULL_DISK = """
import filecmp, json, pathlib, subprocess, sys, time
chaski, repo, source, disk = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4])
names = ["config.json", "tokenizer.json", "README.md", "model.safetensors"]
def mount(options, *kind):
    subprocess.run(["mount", *kind, "-o", options, "none" if kind else str(disk), *([str(disk)] if kind else [])], check=True)
def pull():
    return subprocess.run([chaski, "pull", repo, "--local-dir", disk], capture_output=True, text=True)
def check_whole(done):
    assert done.returncode == 0, done.stderr
    assert all(filecmp.cmp(source / name, disk / name, shallow=False) for name in names)
    assert (disk / ".chaski/complete.json").is_file()
def check_failed(done):
    assert done.returncode == 9, (done.returncode, done.stderr)
    assert "GB" in done.stderr or "No space left" in done.stderr, done.stderr
    assert not (disk / ".chaski/complete.json").exists()
    assert all(filecmp.cmp(source / name, disk / name, shallow=False) for name in names if (disk / name).exists())
statuses = []
for kib in range(4, 430, int(sys.argv[5])):
    mount(f"size={kib}k", "-t", "tmpfs")
    done = pull()
    statuses.append(done.returncode)
    (check_whole if done.returncode == 0 else check_failed)(done)
    mount("remount,size=2m")
    check_whole(pull())
    subprocess.run(["umount", disk], check=True)
mount("size=2m", "-t", "tmpfs")
running = subprocess.Popen([chaski, "pull", repo, "--local-dir", disk], stderr=subprocess.PIPE, text=True)
while not list(disk.glob(".chaski/*.journal")) and running.poll() is None:
    time.sleep(0.002)
try:
    with open(disk / "ballast", "wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()
except OSError:
    pass
_, said = running.communicate()
if running.returncode != 0:
    check_failed(subprocess.CompletedProcess([], running.returncode, "", said))
statuses.append(running.returncode)
(disk / "ballast").unlink(missing_ok=True)
check_whole(pull())
mount("remount,ro")
(source / "config.json").write_text("{}")
done = pull()
assert done.returncode == 9 and "Read-only" in done.stderr, done.stderr
print(json.dumps(statuses))
"""


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class PullTest(ChaskiTest):
    def setUp(self):
        super().setUp()
        self.root = self.home / "hub"
        self.repo = self.root / REPO
        random.seed(7)
        for name, size in (("config.json", 300), ("tokenizer.json", 5000), ("README.md", 50), ("sub/notes.json", 80),
                           ("pytorch_model.bin", 1000), ("model.safetensors", 300_000)):
            (self.repo / name).parent.mkdir(parents=True, exist_ok=True)
            (self.repo / name).write_bytes(random.randbytes(size))
        self.hub = hub_server.Hub(self.root)
        self.addCleanup(self.hub.__exit__)
        self.env |= {"HOME": str(self.home), "MODELSCOPE_ENDPOINT": self.hub.url, "HF_ENDPOINT": self.hub.url,
                     "OPENMIND_HUB_ENDPOINT": self.hub.url}

    def pull(self, *args, status=0):
        """The events of a pull."""
        out, err = self.chaski("pull", *args, "--json", status=status)
        self.last_err = err
        return [json.loads(line) for line in out.splitlines()]

    def assert_pulled(self, folder, names=("config.json", "tokenizer.json", "README.md", "model.safetensors")):
        folder = pathlib.Path(folder)
        found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        self.assertEqual({name for name in found if not name.startswith(".chaski/")}, set(names))
        for name in names:
            self.assertEqual(sha256_of(folder / name), sha256_of(self.repo / name), name)
        self.assertTrue((folder / ".chaski/complete.json").is_file())
        self.assertFalse([name for name in found if name.endswith((".partial", ".journal"))])

    def assert_nothing_published(self):
        for path in (self.home / "home").rglob("*"):
            self.assertFalse(path.is_file() and path.name not in ("lock",) and ".chaski" not in path.parts, path)
        self.assertFalse(list(self.home.glob("home/**/complete.json")))

    # ---- protocols ----
    def test_the_same_repository_comes_from_every_hub(self):
        for hub in ("modelscope", "huggingface", "openmind"):
            with self.subTest(hub):
                done = self.pull(REPO, "--from", hub)[-1]
                self.assertEqual(done["where"], "fetched")
                self.assertEqual(done["unchecked"], [])
                self.assert_pulled(done["path"])
                self.assertIn(hub, done["path"])

    def test_a_listing_in_pages_is_read_to_its_end(self):
        self.hub.page_size = 2
        self.assert_pulled(self.pull(REPO, "--from", "huggingface")[-1]["path"])

    def test_ollamas_model_is_its_gguf_layer(self):
        folder = self.root / "library/tiny/1b"
        folder.mkdir(parents=True)
        (folder / "model.gguf").write_bytes(random.randbytes(200_000))
        (folder / "license.txt").write_text("free")
        done = self.pull("tiny:1b", "--from", "ollama", "--endpoint", self.hub.url)[-1]
        self.assertEqual(sha256_of(pathlib.Path(done["path"]) / "model.gguf"), sha256_of(folder / "model.gguf"))

    def test_a_plain_url_is_one_file_whose_size_alone_is_checked(self):
        (self.root / "m.gguf").write_bytes(random.randbytes(100_000))
        done = self.pull(f"{self.hub.url}/files/m.gguf")[-1]
        self.assertEqual(done["unchecked"], ["m.gguf"])
        self.assertEqual(sha256_of(pathlib.Path(done["path"]) / "m.gguf"), sha256_of(self.root / "m.gguf"))

    def test_a_plain_url_is_fetched_again_when_its_etag_changed(self):
        path = self.root / "m.gguf"
        path.write_bytes(random.randbytes(100_000))
        url = f"{self.hub.url}/files/m.gguf"
        self.assertEqual(self.pull(url)[-1]["fetched"], 100_000)
        self.assertEqual(self.pull(url)[-1]["where"], "was_there")
        path.write_bytes(random.randbytes(100_000))
        done = self.pull(url)[-1]
        self.assertEqual(done["fetched"], 100_000)
        self.assertEqual(sha256_of(pathlib.Path(done["path"]) / "m.gguf"), sha256_of(path))

    @unittest.skipUnless(shutil.which("git"), "no git here")
    def test_a_git_repository_gives_small_files_and_lfs_the_large_ones(self):
        git = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "HOME": str(self.home),
               "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t", "PATH": os.environ["PATH"]}
        work = self.home / "work"
        shutil.copytree(self.repo, work)
        large = work / "model.safetensors"
        large.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256_of(large)}\n"
                         f"size {large.stat().st_size}\n")
        for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "all"],
                        ["clone", "-q", "--bare", str(work), str(self.root / f"{REPO}.git")]):
            subprocess.run(["git", *command], cwd=work, env=git, check=True)
        self.assert_pulled(self.pull(f"{self.hub.url}/{REPO}.git")[-1]["path"])

    # ---- what is fetched ----
    def test_a_dry_run_says_sizes_and_reasons_and_fetches_nothing(self):
        events = self.pull(REPO, "--dry-run")
        plan = events[0]
        self.assertEqual({f["name"]: f["size"] for f in plan["files"]}["model.safetensors"], 300_000)
        self.assertEqual({f["name"]: f["reason"] for f in plan["skipped"]},
                         {"pytorch_model.bin": "pickle", "sub/notes.json": "not_needed"})
        self.assertEqual(events[-1]["where"], "plan_only")
        self.assertFalse((self.home / "home/models").exists())
        for lang, words in (("en", "pickle, never loaded"), ("zh", "从不加载")):
            self.assertIn(words, self.chaski("pull", REPO, "--dry-run", "--lang", lang)[0])

    def test_a_limit_that_is_too_low_leaves_no_trace(self):
        self.assertIn("--max-size allows 1000", self.chaski("pull", REPO, "--max-size", "1kB", status=2)[1])
        self.assertEqual(json.loads(self.chaski("list", "--json")[0])["models"], [])

    def test_the_end_names_what_can_be_run_and_nothing_where_nothing_can(self):
        self.assertIn(f"chaski run {REPO} -p", self.chaski("pull", REPO)[1])
        self.assertIn(f"chaski run {REPO}@v1 -p", self.chaski("pull", REPO, "--revision", "v1")[1])
        self.assertNotIn("chaski run", self.chaski("pull", REPO, "--skip-lfs", "--local-dir", self.home / "x")[1])

    def test_patterns_names_and_skip_lfs_choose_the_files(self):
        here = self.home / "x"
        self.pull(REPO, "sub/notes.json", "--local-dir", here)
        self.assert_pulled(here, ["sub/notes.json"])
        self.pull(REPO, "--include", "*.json", "--exclude", "sub/", "--local-dir", here)
        self.assert_pulled(here, ["sub/notes.json", "config.json", "tokenizer.json"])
        self.pull(REPO, "--skip-lfs", "--local-dir", self.home / "y")
        self.assert_pulled(self.home / "y", ["config.json", "tokenizer.json", "README.md"])

    def test_what_is_here_is_not_fetched_again_and_what_changed_is(self):
        path = pathlib.Path(self.pull(REPO)[-1]["path"])
        self.hub.log.clear()
        self.assertEqual(self.pull(REPO)[-1]["where"], "was_there")
        self.assertEqual(len(self.hub.log), 1)  # the listing
        (self.repo / "config.json").write_text("{}")
        self.assertEqual(self.pull(REPO)[-1]["fetched"], 2)
        self.assert_pulled(path)
        self.assertEqual(self.pull(REPO, "--offline")[-1]["where"], "was_there")
        self.pull("Org/Other", "--offline", status=3)

    # ---- other programs' caches ----
    def test_what_another_program_has_is_used_in_place(self):
        cache = self.home / ".cache/modelscope/hub/models/Org/Tiny-1___0"
        shutil.copytree(self.repo, cache)
        done = self.pull(REPO)[-1]
        self.assertEqual((done["where"], done["path"], done["fetched"]), ("cache", str(cache), 0))
        self.assertEqual(self.pull(REPO, "--offline")[-1]["path"], str(cache))
        (cache / "model.safetensors").write_bytes(b"cut")
        self.assertEqual(self.pull(REPO)[-1]["where"], "fetched")

    def test_a_pulled_gguf_runs_by_its_hubs_name(self):
        made = self.root / "Org/Gguf"
        made.mkdir(parents=True)
        self.chaski("quantize", TINY, made / "tiny-q8_0.gguf", "--format", "q8_0")
        self.pull("Org/Gguf")
        self.assertIn("llama", self.chaski("show", "Org/Gguf")[0].lower())
        self.chaski("show", "Org/Missing", status=3)

    def test_run_asks_on_a_terminal_and_a_no_fetches_nothing(self):
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        process = subprocess.Popen([CHASKI, "run", REPO, "-p", "hello", "--lang", "en"], env=self.env, stdin=slave,
                                   stdout=subprocess.DEVNULL, stderr=slave)
        os.close(slave)
        said = b""
        while b"[y/N]" not in said:
            said += os.read(master, 1000)
        self.assertIn(REPO.encode(), said)
        os.write(master, b"n\n")
        self.assertEqual(process.wait(60), 3)
        self.assertFalse(self.hub.log)

    # ---- the list ----
    def test_list_verify_and_rm_know_what_was_pulled(self):
        path = pathlib.Path(self.pull(REPO)[-1]["path"])
        listed = json.loads(self.chaski("list", "--json")[0])["models"]
        self.assertEqual([(m["name"], m["complete"]) for m in listed], [(REPO, True)])
        self.assertTrue(json.loads(self.chaski("verify", REPO, "--json")[0])["ok"])
        with (path / "model.safetensors").open("r+b") as file:
            file.seek(1000)
            file.write(bytes([file.read(1)[0] ^ 1]))
        _, err = self.chaski("verify", REPO, status=4)
        self.assertIn("model.safetensors", err)
        self.chaski("rm", REPO)
        self.assertFalse(path.exists())
        self.chaski("rm", REPO, status=3)

    # ---- tokens ----
    def test_the_token_goes_to_the_hub_and_never_to_where_it_sends_us(self):
        self.hub.token = "hub-secret"
        self.pull(REPO, "--from", "huggingface", status=3)
        self.assertIn("HF_TOKEN", self.last_err)
        self.env["HF_TOKEN"] = "hub-secret"
        self.assert_pulled(self.pull(REPO, "--from", "huggingface")[-1]["path"])
        cdn = [seen for seen in self.hub.log if seen.is_cdn]
        self.assertTrue(cdn)
        self.assertFalse([seen for seen in cdn if "authorization" in seen.headers or "cookie" in seen.headers])
        self.env["MODELSCOPE_API_TOKEN"] = "hub-secret"
        self.assert_pulled(self.pull(REPO)[-1]["path"])

    def test_a_gated_repository_names_the_page_and_another_hub(self):
        self.hub.gated = True
        self.pull(REPO, "--from", "huggingface", status=8)
        self.assertIn(f"{self.hub.url}/{REPO}", self.last_err)
        self.assertIn("modelscope", self.last_err)

    # ---- faults ----
    def test_faults_that_pass_are_survived(self):
        for fault in ({"kind": "reset", "after": 100_000}, {"kind": "short", "after": 5}, {"kind": "status", "status": 503},
                      {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}}, {"kind": "expired"},
                      {"kind": "ignore_range"}, {"kind": "wrong_start"}, {"kind": "flip", "after": 1000},
                      {"kind": "longer"}):
            with self.subTest(**fault):
                self.hub.fault("/signed/", **fault)
                here = self.home / f"to-{fault['kind']}-{fault.get('status', 0)}"
                self.pull(REPO, "--local-dir", here)
                self.assert_pulled(here)

    def test_a_file_that_changes_on_its_way_is_begun_again(self):
        (self.repo / "model.safetensors").write_bytes(random.randbytes(2 * PART + 5))
        self.hub.fault("/signed/", "etag")
        events = self.pull(REPO)
        self.assertTrue([e for e in events if e["event"] == "retry" and "changed" in str(e)])
        self.assert_pulled(events[-1]["path"])

    @unittest.skipUnless(FULL, "it waits for 30 s")
    def test_a_connection_that_stalls_is_given_up(self):
        (self.repo / "model.safetensors").write_bytes(random.randbytes(2 * PART + 5))
        self.hub.fault("/signed/", "stall", after=1_000_000, seconds=100)
        start = time.monotonic()
        events = self.pull(REPO)
        self.assertTrue([e for e in events if e["event"] == "retry" and "nothing for 30 s" in str(e)])
        self.assertLess(time.monotonic() - start, 60)
        self.assert_pulled(events[-1]["path"])

    def test_faults_of_the_listing_are_survived_or_said(self):
        self.hub.fault("/repo/files", "status", status=500)
        self.assert_pulled(self.pull(REPO)[-1]["path"])
        self.chaski("rm", REPO)
        self.hub.fault("/repo/files", "gzip")
        self.pull(REPO, status=4)
        self.assert_nothing_published()

    def test_a_listing_that_lies_ends_in_an_error_and_no_file(self):
        lies = ({"model.safetensors": {"size": 299_999}}, {"model.safetensors": {"size": 300_001}},
                {"model.safetensors": {"sha256": "0" * 64}}, {"model.safetensors": {"sha256": "xyz"}},
                {"model.safetensors": {"path": "../../evil.safetensors"}}, {"config.json": {"path": "TOKENIZER.json"}},
                {"config.json": {"path": "CON"}})
        for lie in lies:
            with self.subTest(str(lie)):
                self.hub.lies = lie
                self.pull(REPO, status=4)
                self.assertFalse(list(self.home.glob("home/**/complete.json")))
                self.assertFalse(list(self.home.rglob("evil*")))
                self.assertFalse(list(self.home.glob("home/**/model.safetensors")))
                shutil.rmtree(self.home / "home", ignore_errors=True)

    def test_pages_in_a_circle_and_endless_listings_end(self):
        self.hub.next_link = f"{self.hub.url}/api/models/{REPO}/tree/x?cursor=0"
        self.pull(REPO, "--from", "huggingface", status=4)
        self.hub.next_link = None
        self.hub.extra = [{"path": f"f{i}", "size": 1, "sha256": "", "git": ""} for i in range(10_001)]
        self.pull(REPO, "--from", "huggingface", status=4)
        self.assert_nothing_published()

    def test_a_truncated_listing_of_modelscope_is_walked(self):
        self.hub.extra = [{"path": f"d{i % 3}/f{i}", "size": 1, "sha256": "", "git": ""} for i in range(3500)]
        plan = self.pull(REPO, "--dry-run")[0]
        self.assertEqual(len(plan["files"]) + len(plan["skipped"]), 3506)

    # ---- the disk ----
    def test_links_that_lie_in_the_target_are_not_followed(self):
        here, outside = self.home / "here", self.home / "outside"
        here.mkdir()
        outside.write_text("mine")
        (here / "config.json").symlink_to(outside)
        self.pull(REPO, "--local-dir", here, status=2)
        self.assertEqual(outside.read_text(), "mine")

    def test_folders_that_are_links_are_not_followed(self):
        outside = self.home / "outside"
        outside.mkdir()
        for name in ("sub", ".chaski"):
            with self.subTest(name):
                here = self.home / f"with{name}"
                here.mkdir()
                (here / name).symlink_to(outside)
                self.pull(REPO, "--include", "*", "--local-dir", here, status=2)
                self.assertFalse(list(outside.iterdir()))
        (self.home / "link").symlink_to(self.home / "real")  # the user's own way to a folder is followed
        (self.home / "real").mkdir()
        self.pull(REPO, "--local-dir", self.home / "link")
        self.assert_pulled(self.home / "real")

    def test_a_full_disk_says_so_wherever_it_happens_and_a_later_run_completes(self):
        if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", self.home], capture_output=True,
                          check=False).returncode != 0:
            self.skipTest("no namespaces here")
        disk = self.home / "disk"
        disk.mkdir()
        self.hub.seconds_per_mib = 0.5
        done = subprocess.run(["unshare", "-rm", sys.executable, "-c", FULL_DISK, CHASKI, REPO, self.repo, disk,
                               "4" if FULL else "30"], env=self.env, capture_output=True, check=False, timeout=900)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertEqual(set(json.loads(done.stdout)), {0, 9})

    # ---- processes ----
    def start(self, *args):
        return subprocess.Popen([CHASKI, "pull", *map(str, args)], env=self.env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def test_two_pulls_at_once_fetch_it_once(self):
        self.hub.seconds_per_mib = 2
        both = [self.start(REPO), self.start(REPO)]
        for process in both:
            self.assertEqual(process.wait(120), 0, process.stderr.read().decode())
            process.stderr.close()
        self.assertEqual(sum(seen.n_sent for seen in self.hub.log if seen.is_cdn), 300_000)
        self.assert_pulled(self.home / "home/models/modelscope" / REPO)

    def test_what_a_kill_at_the_last_moment_leaves_is_removed(self):
        path = pathlib.Path(self.pull(REPO)[-1]["path"])
        leftover = path / ".chaski" / (hashlib.sha256(b"model.safetensors").hexdigest()[:24] + ".partial.journal")
        leftover.write_text("of a file that has its name already")
        self.assertEqual(self.pull(REPO)[-1]["where"], "was_there")
        self.assertFalse(leftover.exists())

    def test_kills_at_random_moments_cost_at_most_a_part_each(self):
        size = 3 * PART + 12345
        (self.repo / "model.safetensors").write_bytes(random.randbytes(size))
        hub_server.hashes_of(self.repo / "model.safetensors")
        self.hub.seconds_per_mib = 0.08
        n_kills, wanted = 0, 200 if FULL else 20
        while n_kills < wanted:
            shutil.rmtree(self.home / "home", ignore_errors=True)
            self.hub.log.clear()
            n_here = 0
            while True:
                process = self.start(REPO)
                try:
                    process.wait(random.uniform(0.05, 0.6))
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    n_here += 1
                status = process.wait(60)
                message = process.stderr.read().decode()
                process.stderr.close()
                if status == 0:
                    break
                self.assertEqual(status, -signal.SIGKILL, message)
                for complete in self.home.glob("home/**/complete.json"):  # killed between its last write and its end
                    for file in json.loads(complete.read_text())["files"]:
                        self.assertEqual(sha256_of(complete.parent.parent / file["name"]), file["sha256"])
            time.sleep(0.2)  # the server notices that its clients are gone
            self.assert_pulled(self.home / "home/models/modelscope" / REPO)
            n_sent = sum(seen.n_sent for seen in self.hub.log if seen.is_cdn)
            self.assertLessEqual(n_sent, size + n_here * PART, n_here)
            n_kills += n_here


if __name__ == "__main__":
    unittest.main()
