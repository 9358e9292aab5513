#!/usr/bin/env python3
"""chaski pull beside the hubs' own clients: by turns, each fetches the same repository, with one large sparse file, from
the hub of the tests on this machine onto the same disk. Beside them stand sha256sum and dd alone, on the same bytes. The
end says MB/s and peaks of memory, and how many times as fast chaski was in the same round. Runs in a Python that has
modelscope-hub, huggingface-hub and openmind-hub (./dev test makes one, .cache/venv); who is not installed is left out.
openmind-hub insists on https, so it and the chaski beside it have TLS. --samples FILE adds this run's rounds to earlier ones'."""
import argparse
import json
import os
import pathlib
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/hub"))
import hub_server  # noqa: E402
import official_clients as clients  # noqa: E402

REPO = clients.REPO
PAIRS = (("modelscope-hub", "chaski, ModelScope"), ("huggingface-hub", "chaski, Hugging Face"),
         ("git-lfs", "chaski, git and LFS"), ("openmind-hub (TLS)", "chaski, openMind (TLS)"))


def make_git_repository(root):
    """REPO as git has it: the large file and the weights by pointers to what the hub gives out."""
    work, bare = root.parent / "work", root / f"{REPO}.git"
    names = [name for name in clients.FILES if name.endswith(".safetensors")]
    shutil.copytree(root / REPO, work, ignore=shutil.ignore_patterns("*.safetensors"))
    for name in names:
        path = root / REPO / name
        (work / name).write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{hub_server.hashes_of(path)[0]}\n"
                                 f"size {path.stat().st_size}\n")
    (work / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
    env = os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "t",
                        "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t"}
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "all"],
                    ["clone", "-q", "--bare", work, bare]):
        subprocess.run(["git", *command], cwd=work, env=env, check=True)


class Race(clients.Bench):
    def programs(self, tls_url):
        """Name, command without its folder, environment; of those that are here."""
        pull = [self.chaski, "pull", REPO, "--include", "*", "--json"]
        config = self.home / "gitconfig"
        config.write_text('[filter "lfs"]\n\tclean = git-lfs clean -- %f\n\tsmudge = git-lfs smudge -- %f\n'
                          '\tprocess = git-lfs filter-process\n\trequired = true\n')
        listed = [("chaski, ModelScope", [*pull, "--local-dir"], {}),
                  ("chaski, Hugging Face", [*pull, "--from", "huggingface", "--local-dir"], {}),
                  ("chaski, git and LFS", [self.chaski, "pull", f"{self.hub.url}/{REPO}.git", *pull[3:], "--local-dir"], {})]
        if self.has("modelscope"):
            listed.append(("modelscope-hub", ["modelscope", "download", REPO, "--local-dir"], {}))
        if self.has("hf"):
            listed.append(("huggingface-hub", ["hf", "download", REPO, "--local-dir"], {}))
        if self.has("git-lfs"):
            listed.append(("git-lfs", ["git", "clone", "-q", f"{self.hub.url}/{REPO}.git"],
                           {"GIT_CONFIG_GLOBAL": str(config)}))
        if tls_url:
            script = ("import sys, openmind_hub; openmind_hub.snapshot_download(sys.argv[1], local_dir=sys.argv[2], "
                      "local_dir_use_symlinks=False)")
            env = {"OPENMIND_HUB_ENDPOINT": tls_url, "REQUESTS_CA_BUNDLE": str(self.home / "ca.pem"),
                   "SSL_CERT_FILE": str(self.home / "ca.pem")}
            listed += [("chaski, openMind (TLS)", [*pull, "--from", "openmind", "--local-dir"], env),
                       ("openmind-hub (TLS)", [sys.executable, "-B", "-c", script, REPO], env)]
        return listed

    def round(self, number, programs):
        """Seconds and MiB by name."""
        large, out = self.hub.root / REPO / "large.safetensors", self.home / "out"
        turns = [("sha256sum", ["sha256sum", large], {}), ("dd", ["dd", f"if={large}", "bs=1M", "conv=fsync"], {}), *programs]
        taken = {}
        # A virtual machine may have to be given memory for so many pages: nobody's time, so it is done beforehand.
        self.run("dd", *turns[1][1], f"of={out}")
        for name, command, env in turns[number % len(turns):] + turns[:number % len(turns)]:
            out.unlink(missing_ok=True)
            os.sync()  # what was written before is not this one's to wait for
            arguments = [f"of={out}"] if name == "dd" else [] if name == "sha256sum" else [out]
            if self.run(name, *command, *arguments, **env) is not None:
                taken[name] = {"seconds": self.seconds[name], "mib": self.peak_mib[name]}
            if out.is_dir():
                same = hub_server.hashes_of(out / "large.safetensors")[0] == self.expected["large.safetensors"]
                if not same:
                    self.failures.append(f"{name}: the bytes are not the same")
                shutil.rmtree(out)
            print(f"round {number + 1}: {name}: {self.seconds[name]:.2f} s, {self.peak_mib[name]:.0f} MiB", flush=True)
        return taken


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def summary(rounds, n_bytes):
    names = sorted({name for taken in rounds for name in taken})
    print(f"\n{len(rounds)} rounds of {n_bytes / 1e9:g} GB\n\n| program | MB/s: median, range | peak MiB |\n| --- | --- | --- |")
    for name in names:
        speeds = sorted(n_bytes / 1e6 / taken[name]["seconds"] for taken in rounds if name in taken)
        print(f"| {name} | {statistics.median(speeds):.0f}, {speeds[0]:.0f} to {speeds[-1]:.0f} | "
              f"{max(taken[name]['mib'] for taken in rounds if name in taken):.0f} |")
    print("\nTimes as fast, in the same round: median (range)")
    for chaski in (name for name in names if name.startswith("chaski")):
        ratios = [max(taken["sha256sum"]["seconds"], taken["dd"]["seconds"]) / taken[chaski]["seconds"]
                  for taken in rounds if {chaski, "dd", "sha256sum"} <= set(taken)]
        print(f"{chaski} / the slower of sha256sum and dd: {spread(ratios)}")
    for other, chaski in PAIRS:
        ratios = [taken[other]["seconds"] / taken[chaski]["seconds"] for taken in rounds if {other, chaski} <= set(taken)]
        if ratios:
            print(f"{chaski} / {other}: {spread(ratios)}")


def in_namespace():
    """Starts anew where the name of openMind's that clients.HOST is means this machine; returns where that cannot be."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".hosts", delete=False) as hosts:
        hosts.write(f"127.0.0.1 {clients.HOST} localhost\n")
    sys.stdout.flush()
    done = subprocess.run(["unshare", "-rm", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts.name,
                           sys.executable, "-B", *sys.argv, "--inside"], check=False)
    os.unlink(hosts.name)
    sys.exit(done.returncode)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chaski", type=pathlib.Path, default=pathlib.Path("build/chaski"))
    parser.add_argument("--size", type=float, default=3e9, help="bytes of the large file; up to twice as many are on the disk at once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=pathlib.Path, help="on the disk to be used; by default the system's for such files")
    parser.add_argument("--samples", type=pathlib.Path, help="JSON of rounds, read and added to")
    parser.add_argument("--only", help="the clients, as modelscope-hub,git-lfs, that chaski is compared with")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        in_namespace()
    rounds = json.loads(options.samples.read_text()) if options.samples and options.samples.exists() else []
    with tempfile.TemporaryDirectory(prefix="chaski-pull-", dir=options.folder) as folder:
        home = pathlib.Path(folder)
        clients.make_repository(home / "root", int(options.size))
        make_git_repository(home / "root")
        tls_url = None
        if options.inside:
            clients.make_certificates(home)
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(home / "server.pem", home / "server.key")
            tls_url = hub_server.Hub(home / "root", tls=tls, public=clients.HOST).url
        with hub_server.Hub(home / "root") as hub:
            race = Race(options.chaski.resolve(), home, hub, int(options.size))
            wanted = {name for pair in PAIRS if not options.only or pair[0] in options.only.split(",") for name in pair}
            programs = [p for p in race.programs(tls_url) if p[0] in wanted]
            for number in range(len(rounds), len(rounds) + options.rounds):
                rounds.append(race.round(number, programs))
    if options.samples:
        options.samples.write_text(json.dumps(rounds))
    summary(rounds, options.size)
    for text in [f"not here: {name}" for name in race.missing] + race.failures:
        print(text)
    sys.exit(1 if race.failures else 0)


if __name__ == "__main__":
    main()
