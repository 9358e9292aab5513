#!/usr/bin/env python3
"""The hubs' own clients against the hub of the tests: each downloads the same repository as chaski does, which is why
that hub can be trusted to speak as the real ones do; and what one has fetched, the other uses in place. Runs in a Python
that has modelscope-hub, huggingface-hub and openmind-hub; git-lfs comes from Debian. Clients that are not installed are
named; with --all that is a failure. --large SIZE adds a sparse file of so many bytes and prints seconds and speeds."""
import argparse
import json
import os
import pathlib
import random
import shutil
import ssl
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import hub_server  # noqa: E402

REPO = "Org/Tiny-1.0"
FILES = {"config.json": 700, "tokenizer.json": 5000, "README.md": 50, "model.safetensors": 3_000_000, "sub/notes.json": 80}
BIN = pathlib.Path(sys.executable).parent
HOST = "modelers.cn"  # one that openmind-hub's list has


def hashes_in(folder):
    """Of the repository's files in a folder, wherever links lead."""
    return {name: hub_server.hashes_of((folder / name).resolve())[0] for name in FILES if (folder / name).is_file()}


def peak_mib_of(pid):
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except (OSError, ProcessLookupError):
        pass
    return 0


class Bench:
    def __init__(self, chaski, home, hub, large):
        self.chaski, self.home, self.hub, self.large = chaski, home, hub, large
        self.expected = hashes_in(hub.root / REPO)
        self.failures, self.missing, self.seconds, self.peak_mib = [], [], {}, {}
        self.env = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(home), "CHASKI_HOME": str(home / "chaski"),
                    "MODELSCOPE_ENDPOINT": hub.url, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1",
                    "HF_HUB_DISABLE_PROGRESS_BARS": "1", "GIT_CONFIG_NOSYSTEM": "1"}

    def run(self, what, *command, **env):
        """What it prints, after it ended well; its seconds and its peak of memory are kept."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            start = time.monotonic()
            process = subprocess.Popen([str(word) for word in command], env=self.env | env, stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=err)
            self.peak_mib[what] = 0
            while process.poll() is None:  # what wait4 says of memory is this process's own as well
                self.peak_mib[what] = max(self.peak_mib[what], peak_mib_of(process.pid))
                time.sleep(0.005)
            self.seconds[what] = time.monotonic() - start
            out.seek(0)
            err.seek(0)
            text, words = out.read().decode(errors="replace"), err.read().decode(errors="replace")
        if process.returncode != 0:
            self.failures.append(f"{what}: exit status {process.returncode}: {text[-500:]} {words[-1500:]}")
            return None
        return text

    def check(self, what, folder, names=None):
        expected = {name: self.expected[name] for name in names or self.expected}
        found = {name: value for name, value in hashes_in(pathlib.Path(folder)).items() if name in expected}
        if found != expected:
            wrong = [name for name in expected if found.get(name) != expected[name]]
            self.failures.append(f"{what}: not as on the hub: {wrong}")
        elif what in self.seconds:
            speed = f", {self.large / 1e6 / self.seconds[what]:.0f} MB/s" if self.large else ""
            print(f"{what}: same bytes, {self.seconds[what]:.2f} s{speed}, {self.peak_mib[what]:.0f} MiB", flush=True)

    def pull(self, what, *arguments, **env):
        """Where chaski says the model is."""
        out = self.run(what, self.chaski, "pull", *arguments, "--include", "*", "--json", **env)
        return json.loads(out.splitlines()[-1]) if out else {"path": "/nonexistent", "where": "failed"}

    def has(self, program):
        if (BIN / program).exists() or shutil.which(program):
            return True
        self.missing.append(program)
        return False

    def uses(self, what, folder, *command):
        """The client takes what chaski put into `folder` for its own: no weights come again."""
        self.hub.log.clear()
        if self.run(what, *command) is None:
            return
        self.check(what, folder)
        again = {seen.path for seen in self.hub.log if seen.is_cdn and seen.n_sent}
        if again:
            self.failures.append(f"{what}: fetched again: {again}")

    def anchors(self):
        """What hashing and writing so many bytes take alone, here and now."""
        large = self.hub.root / REPO / "large.safetensors"
        self.run("sha256sum", "sha256sum", large)
        self.run("dd", "dd", f"if={large}", f"of={self.home}/dd", "bs=1M", "conv=fsync")
        (self.home / "dd").unlink()
        for what in ("sha256sum", "dd"):
            print(f"{what}: {self.seconds[what]:.2f} s, {self.large / 1e6 / self.seconds[what]:.0f} MB/s", flush=True)

    def modelscope(self):
        self.check("chaski, ModelScope", self.pull("chaski, ModelScope", REPO, "--local-dir", self.home / "a")["path"])
        if not self.has("modelscope"):
            return
        if self.run("modelscope", "modelscope", "download", REPO) is None:
            return
        cache = self.home / f".cache/modelscope/models/{REPO.replace('/', '--')}/snapshots/master"
        self.check("modelscope", cache)
        used = self.pull("chaski in modelscope's cache", REPO)
        if (used["where"], used["path"]) != ("cache", str(cache)):
            self.failures.append(f"modelscope's cache is not used in place: {used}")
        self.uses("modelscope in a folder of chaski's", self.home / "a", "modelscope", "download", REPO, "--local-dir",
                  self.home / "a")
        shutil.rmtree(cache)
        self.pull("chaski into modelscope's cache", REPO, "--local-dir", cache)
        self.uses("modelscope in a cache of chaski's", cache, "modelscope", "download", REPO)
        self.run("modelscope, old layout", "modelscope", "download", "--model", REPO, "--local_dir", self.home / "b")
        self.check("modelscope, old layout", self.home / "b")

    def huggingface(self):
        where = self.pull("chaski, Hugging Face", REPO, "--from", "huggingface", "--local-dir", self.home / "c")["path"]
        self.check("chaski, Hugging Face", where)
        if not self.has("hf"):
            return
        out = self.run("hf", "hf", "download", REPO)
        if out is None:
            return
        cache = next((self.home / ".cache/huggingface/hub").glob("models--*/snapshots/*"))
        self.check("hf", cache)
        used = self.pull("chaski in hf's cache", REPO, "--from", "huggingface")
        if (used["where"], used["path"]) != ("cache", str(cache)):
            self.failures.append(f"hf's cache is not used in place: {used}")
        self.uses("hf in a folder of chaski's", self.home / "c", "hf", "download", REPO, "--local-dir", self.home / "c")

    def git_lfs(self):
        if not self.has("git") or not self.has("git-lfs"):
            return
        git = {"GIT_CONFIG_GLOBAL": str(self.home / "gitconfig"), "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t",
               "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t"}
        work, bare = self.home / "work", self.hub.root / f"{REPO}.git"
        shutil.copytree(self.hub.root / REPO, work)
        for command in (["init", "-q", "-b", "main", "."], ["lfs", "install", "--local"], ["lfs", "track", "*.safetensors"],
                        ["add", "-A"], ["commit", "-q", "-m", "all"]):
            self.run("git", "git", "-C", work, *command, **git)
        self.run("git", "git", "clone", "-q", "--bare", work, bare, GIT_LFS_SKIP_SMUDGE="1", **git)
        self.run("git", "git", "lfs", "install", "--skip-repo", **git)
        self.run("git-lfs", "git", "clone", "-q", f"{self.hub.url}/{REPO}.git", self.home / "clone", **git)
        self.check("git-lfs", self.home / "clone")
        self.check("chaski, git", self.pull("chaski, git", f"{self.hub.url}/{REPO}.git")["path"])
        self.run("git without LFS", "git", "clone", "-q", f"{self.hub.url}/{REPO}.git", self.home / "pointers",
                 GIT_LFS_SKIP_SMUDGE="1", **git)
        done = subprocess.run([self.chaski, "show", self.home / "pointers"], env=self.env, capture_output=True, text=True,
                              check=False)
        if "git lfs pull" not in done.stderr:
            self.failures.append(f"a clone without LFS is not named: {done.stderr}")

    def openmind(self):
        """In a mount namespace where a name of openMind's is this machine, with a certificate for it."""
        try:
            import openmind_hub  # noqa: F401 pylint: disable=import-outside-toplevel,unused-import
        except ImportError:
            self.missing.append("openmind-hub")
            return
        if not shutil.which("openssl") or subprocess.run(["unshare", "-rm", "true"], capture_output=True,
                                                         check=False).returncode != 0:
            self.missing.append("openssl, or a mount namespace, for openmind-hub")
            return
        authority = make_certificates(self.home)
        (self.home / "hosts").write_text(f"127.0.0.1 {HOST} localhost\n")
        self.run("openmind-hub", "unshare", "-rm", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"',
                 self.home / "hosts", sys.executable, "-B", __file__, "--chaski", self.chaski, "--openmind", self.home,
                 "--root", self.hub.root, REQUESTS_CA_BUNDLE=str(authority), SSL_CERT_FILE=str(authority))
        self.check("openmind-hub", self.home / "om-theirs")
        self.check("openmind-hub", self.home / "om-ours")


def make_certificates(home):
    """An authority, and a certificate of HOST by it."""
    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
    key, authority = home / "ca.key", home / "ca.pem"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", authority, "-days", "2",
            "-subj", "/CN=the tests' authority")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", home / "server.key", "-out", home / "server.csr",
            "-subj", f"/CN={HOST}")
    (home / "names").write_text(f"subjectAltName=DNS:{HOST}\n")
    openssl("x509", "-req", "-in", home / "server.csr", "-CA", authority, "-CAkey", key, "-CAcreateserial", "-days", "2",
            "-extfile", home / "names", "-out", home / "server.pem")
    return authority


def inside_namespace(chaski, home, root):
    """The part of `openmind` that runs where HOST is this machine."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(home / "server.pem", home / "server.key")
    with hub_server.Hub(root, tls=tls, public=HOST) as hub:
        env = os.environ | {"OPENMIND_HUB_ENDPOINT": hub.url, "CHASKI_HOME": str(home / "chaski-om")}
        script = ("import sys, openmind_hub; openmind_hub.snapshot_download(sys.argv[1], local_dir=sys.argv[2], "
                  "local_dir_use_symlinks=False)")
        subprocess.run([sys.executable, "-B", "-c", script, REPO, home / "om-theirs"], env=env, check=True)
        pull = [chaski, "pull", REPO, "--from", "openmind", "--include", "*", "--local-dir"]
        subprocess.run([*pull, home / "om-ours"], env=env, check=True)
        # Without the authority the certificate is nobody's.
        env.pop("SSL_CERT_FILE"), env.pop("REQUESTS_CA_BUNDLE")
        start = time.monotonic()
        done = subprocess.run([*pull, home / "om-untrusted"], env=env, capture_output=True, text=True, check=False)
        if done.returncode != 8 or "certificate" not in done.stderr.lower():
            sys.exit(f"a certificate of nobody's was taken: {done.returncode} {done.stderr}")
        if time.monotonic() - start > 5:
            sys.exit("a server whose certificate is nobody's was asked again")


def make_repository(root, large):
    folder = root / REPO
    random.seed(11)
    for name, size in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(random.randbytes(size))
    if large:
        with open(folder / "large.safetensors", "wb") as file:
            file.truncate(large)
            for at in range(0, large - 4096, max(large // 64, 4096)):
                file.seek(at)
                file.write(random.randbytes(4096))
        FILES["large.safetensors"] = large
        hub_server.hashes_of(folder / "large.safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chaski", type=pathlib.Path, required=True)
    parser.add_argument("--all", action="store_true", help="fail where a client is not installed")
    parser.add_argument("--large", type=int, default=0, metavar="SIZE")
    parser.add_argument("--openmind", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.openmind:
        return inside_namespace(options.chaski.resolve(), options.openmind, options.root)
    with tempfile.TemporaryDirectory(prefix="chaski-hub-") as folder:
        home = pathlib.Path(folder)
        make_repository(home / "root", options.large)
        with hub_server.Hub(home / "root") as hub:
            bench = Bench(options.chaski.resolve(), home, hub, options.large)
            if options.large:
                bench.anchors()
            for client in (bench.modelscope, bench.huggingface, bench.git_lfs, bench.openmind):
                client()
    for what in bench.missing:
        print(f"not here, not tried: {what}")
    for failure in bench.failures:
        print(f"FAILED {failure}")
    sys.exit(1 if bench.failures or (options.all and bench.missing) else 0)


if __name__ == "__main__":
    main()
