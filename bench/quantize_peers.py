#!/usr/bin/env python3
"""chaski quantize beside llama.cpp's quantiser: the same input (in the page cache), the same format and threads, by
turns in one run. Prints seconds of both with their spread, the ratio, peak memory, and the disk's share.

    quantize_peers.py --chaski PROGRAM --gguf IN.gguf [--formats q8_0,q4_0,q4_K_M] [--rounds 5] [--threads 2] [--work DIR]

Needs llama-cpp-python in the Python that runs it. Each program's clock runs from its start to its output being
written; llama.cpp never waits for the disk, so chaski's wait for it (fsync) is measured and shown apart. With --work on
a memory file system the disk has no share at all.
"""
import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

# llama.cpp's numbers of its file types.
FILE_TYPES = {"f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q4_K_S": 14, "q4_K_M": 15, "q5_K_S": 16,
              "q5_K_M": 17, "q6_K": 18, "bf16": 32}
RIVAL = """
import ctypes, sys, time
import llama_cpp
source, target, file_type, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
params = llama_cpp.llama_model_quantize_default_params()
params.ftype, params.nthread = file_type, threads
start = time.monotonic()
status = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params))
print(time.monotonic() - start)
sys.exit(status)
"""


def measured(command, folder):
    """Output, seconds and peak resident MiB of a command."""
    with open(folder / "out", "w+b") as out:
        start = time.monotonic()
        pid = os.posix_spawnp(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1)])
        _, status, usage = os.wait4(pid, 0)
        seconds = time.monotonic() - start
        if status != 0:
            raise SystemExit(f"{' '.join(command[:3])} … ended with {os.waitstatus_to_exitcode(status)}")
        out.seek(0)
        return out.read().decode(), seconds, usage.ru_maxrss / 1024


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chaski", required=True)
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--formats", default="q8_0,q4_0,q4_K_M")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", default=None, help="folder for the outputs")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.work) as name, open(args.gguf, "rb") as source:
        folder = pathlib.Path(name)
        print("| format | chaski s | of it waiting for the disk | peak MiB | llama.cpp s | peak MiB | ratio, disk wait "
              "left out | ratio, all |\n| --- | --- | --- | --- | --- | --- | --- | --- |")
        for style in args.formats.split(","):
            ours, synced, theirs, our_peak, their_peak = [], [], [], 0, 0
            for _ in range(args.rounds):
                source.seek(0)
                while source.read(1 << 24):  # keeps the input in the page cache
                    pass
                target = folder / "ours.gguf"
                out, seconds, peak = measured([args.chaski, "quantize", args.gguf, str(target), "--format", style, "-t",
                                               str(args.threads), "--json"], folder)
                ours.append(seconds)
                synced.append(json.loads(out)["sync_s"])
                our_peak = max(our_peak, peak)
                target.unlink()
                os.sync()
                target = folder / "theirs.gguf"
                out, _, peak = measured([sys.executable, "-c", RIVAL, args.gguf, str(target), str(FILE_TYPES[style]),
                                         str(args.threads)], folder)
                theirs.append(float(out.split()[-1]))
                their_peak = max(their_peak, peak)
                target.unlink()
                os.sync()
            bare = [t / (o - s) for t, o, s in zip(theirs, ours, synced)]
            whole = [t / o for t, o in zip(theirs, ours)]
            print(f"| {style} | {spread(ours)} | {spread(synced)} | {our_peak:.0f} | {spread(theirs)} | {their_peak:.0f} | "
                  f"{spread(bare)} | {spread(whole)} |", flush=True)


if __name__ == "__main__":
    main()
