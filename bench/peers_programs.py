"""The programs that bench/peers.py compares, each started afresh for every figure: chaski, llama.cpp's own tools and
whoever takes their options, transformers, and the roofline. One that takes longer than TIME_LIMIT_S is killed."""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

TIME_LIMIT_S = 120.0
HERE = pathlib.Path(__file__).resolve().parent


class TookTooLong(Exception):
    pass


class Failed(Exception):
    pass


class Finished:
    """Output, seconds from start to exit, and the most memory that was resident."""

    def __init__(self, out, seconds, peak_rss_bytes):
        self.out, self.seconds, self.peak_rss_bytes = out, seconds, peak_rss_bytes


def run(command, env=None, limit_s=None):
    """Runs a command to its end. Throws TookTooLong, or Failed with the end of what it said."""
    command = [str(part) for part in command]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env={**os.environ, **(env or {})})
        is_late = threading.Event()

        def end():
            is_late.set()
            process.kill()

        timer = threading.Timer(limit_s or TIME_LIMIT_S, end)
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if is_late.is_set():
            raise TookTooLong(pathlib.Path(command[0]).name)
        out.seek(0)
        if process.returncode != 0:
            err.seek(0)
            said = err.read().decode(errors="replace").strip().splitlines()[-3:]
            raise Failed(f"{pathlib.Path(command[0]).name} ended with {process.returncode}: {' / '.join(said)}")
        return Finished(out.read().decode(errors="replace"), seconds, usage.ru_maxrss * 1024)


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


class Chaski:
    name = "chaski"

    def __init__(self, path, threads, isa, home):
        self.path, self.threads, self.home = pathlib.Path(path), threads, home
        self.options = ["-t", str(threads)] + (["--isa", isa] if isa else [])
        self.env = {"CHASKI_HOME": str(home), "LC_ALL": "C.UTF-8"}

    def call(self, *arguments, limit_s=None):
        return run([self.path, *arguments], self.env, limit_s)

    def bench(self, model, *arguments):
        """The record of one model, and how the process ended."""
        done = self.call("bench", model, *arguments, "--repeat", "1", "-o", "json", *self.options)
        return json.loads(done.out)[0], done

    def prefill(self, model, n, precision="fast"):
        return self.bench(model, "-p", n, "-n", 0, "--precision", precision)[0]["prefill_tokens_per_s"]["median"]

    def decode(self, model, n):
        return self.bench(model, "-p", 0, "-n", n)[0]["decode_tokens_per_s"]["median"]

    def batched(self, model, n_prompt, n_gen, sequences):
        record, _ = self.bench(model, "-p", 0, "-n", n_gen, "-d", n_prompt, "-b", ",".join(map(str, sequences)))
        return {entry["n_sequences"]: entry["decode_tokens_per_s"]["median"] for entry in record["batched"]}

    def first_token_s(self, model):
        return self.call("run", model, "-p", "Hello there", "--max-new-tokens", "1", "--temperature", "0", *self.options).seconds

    def answer(self, model, prompt, n, *arguments):
        done = self.call("run", model, "-p", prompt, "--max-new-tokens", str(n), "--temperature", "0", "--repetition-penalty", "1",
                         "--ignore-eos", "--json", *arguments, *self.options)
        return json.loads(done.out)

    def facts(self, model):
        return json.loads(self.call("show", model, "--json").out)

    def version(self):
        return json.loads(self.call("version", "--json").out)


class LlamaCpp:
    """The tools of llama.cpp in a folder; of another program at least llama-bench, which takes the same options."""

    def __init__(self, name, folder, threads):
        self.name, self.folder, self.threads = name, pathlib.Path(folder), threads

    def tool(self, name):
        return self.folder / name if self.folder.is_dir() else self.folder

    def programs(self):
        """The files that its figures depend on."""
        if not self.folder.is_dir():
            return [self.folder]
        return sorted(path for kind in ("llama-*", "lib*.so*") for path in self.folder.glob(kind) if path.is_file())

    def bench(self, model, *arguments):
        done = run([self.tool("llama-bench"), "-m", model, "-t", self.threads, "-r", "1", "-o", "json", *arguments])
        return json.loads(done.out)[0], done

    def prefill(self, model, n):
        return self.bench(model, "-p", n, "-n", "0")[0]["avg_ts"]

    def decode(self, model, n):
        return self.bench(model, "-p", "0", "-n", n)[0]["avg_ts"]

    def batched(self, model, n_prompt, n_gen, sequences):
        done = run([self.tool("llama-batched-bench"), "-m", model, "-t", self.threads, "-c", "4096", "-npp", n_prompt, "-ntg", n_gen,
                    "-npl", ",".join(map(str, sequences)), "--output-format", "jsonl"])
        return {entry["pl"]: entry["speed_tg"] for entry in json_lines(done.out)}

    def first_token_s(self, model):
        return self.complete(model, "Hello there", 1).seconds

    def complete(self, model, prompt, n):
        return run([self.tool("llama-completion"), "-m", model, "-t", self.threads, "-c", "1024", "-p", prompt, "-n", n, "--temp", "0",
                    "--no-warmup", "-no-cnv", "--no-display-prompt", "--ignore-eos"])

    def version(self, model):
        """The commit that it says it was built from."""
        return self.bench(model, "-p", "4", "-n", "0")[0].get("build_commit", "")


class Transformers:
    """A Python with torch and transformers; the same weights as a Hugging Face folder."""
    name = "transformers"

    def __init__(self, python, threads):
        self.python, self.threads = python, threads

    def rate(self, folder, what, n):
        done = run([self.python, HERE / "peers_transformers.py", folder, what, str(n), str(self.threads)])
        return json.loads(done.out.splitlines()[-1])

    def prefill(self, folder, n):
        return self.rate(folder, "prefill", n)["tokens_per_s"]

    def decode(self, folder, n):
        return self.rate(folder, "decode", n)["tokens_per_s"]


class Roofline:
    """What the machine reaches beside a run, in the same minute: the best of the forms that the code path may use."""

    def __init__(self, path, threads, isa):
        self.path, self.threads, self.isa = path, threads, isa

    def may_use(self, path):
        """A code path held to AVX2 is measured by what AVX2 can do."""
        return not self.isa or path.split("+")[0] in ("portable", self.isa)

    def measure(self, what):
        """The best of what `what`, names with commas, may be done by: its name and its rate, the best seen, for it is a limit."""
        done = run([self.path, "--threads", self.threads, "--mib", "1024", "--reps", "5", "--only", what])
        best = max((entry for entry in json.loads(done.out) if self.may_use(entry["path"])), key=lambda entry: entry["best"])
        return best["what"], best["best"]


@contextlib.contextmanager
def busy_neighbour():
    """One other process that never waits."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
