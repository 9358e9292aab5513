#!/usr/bin/env python3
"""The same runs timed twice: by `chaski bench`, and by a clock outside it. The bench's standard error is a terminal of this
program's, on which it says after each sample how far it is; between two such words lies one sample. Before a decode lies, untimed by
the bench, its prompt of one token: there the outside time is of one token more.

  outside_clock.py --chaski build/chaski MODEL [--prompt 512] [--gen 64] [--repeat 6] [--most 3] [-- OPTION…]

Prints every pair and ends with 1 where one is apart by more than --most percent. A test's first sample is left out: its warm-up
lies before it. Options after -- go to the bench, as -t 2."""
import argparse
import json
import os
import pty
import re
import subprocess
import sys
import time


def bench(args):
    """The bench's record, and when it said that each sample was done."""
    ours, theirs = pty.openpty()
    command = [args.chaski, "bench", args.model, "-p", str(args.prompt), "-n", str(args.gen), "--repeat", str(args.repeat), "-o", "json",
               "--lang", "en", *args.options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, stdin=subprocess.DEVNULL)
    os.close(theirs)
    marks, said = {}, b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        now = time.monotonic()
        said += piece
        for percent in re.findall(rb"measuring[^\r]*?(\d+)\s?%", said):
            marks.setdefault(int(percent), now)
    out, _ = process.communicate()
    if process.returncode != 0:
        sys.exit(said.decode(errors="replace"))
    return json.loads(out)[0], marks


def inside_seconds(record, test):
    """Of each sample of a test; of a decode with one token more, at its own rate."""
    metrics = record["metrics"]
    if test["kind"] == "prefill":
        return [test["n_prompt"] / rate for rate in metrics["prefill_tokens_per_s"]["samples"]]
    if test["kind"] == "decode":
        return [(test["n_gen"] + 1) / rate for rate in metrics["decode_tokens_per_s"]["samples"]]
    return metrics["e2e_s"]["samples"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--chaski", required=True)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--gen", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=6)
    parser.add_argument("--most", type=float, default=3.0, help="percent that the two may differ by")
    ours = sys.argv[1:]
    split = ours.index("--") if "--" in ours else len(ours)
    args = parser.parse_args(ours[:split])
    args.options = ours[split + 1:]
    record, marks = bench(args)
    tests = record["settings"]["tests"]
    n_all = len(tests) * args.repeat
    if n_all > 100:
        sys.exit("more than 100 samples: not each of them has a percent of its own")
    done = [marks.get(100 * (i + 1) // n_all) for i in range(n_all)]
    worst, n_pairs = 0.0, 0
    for t, test in enumerate(tests):
        seconds = inside_seconds(record, test)
        for r in range(1, args.repeat):
            i = t * args.repeat + r
            if done[i] is None or done[i - 1] is None:
                sys.exit(f"sample {i + 1} was not announced: {sorted(marks)}")
            outside = done[i] - done[i - 1]
            difference = 100 * (outside / seconds[r] - 1)
            worst, n_pairs = max(worst, abs(difference)), n_pairs + 1
            print(f"{test['kind']:8} {r + 1}: bench {seconds[r]:.4f} s, outside {outside:.4f} s, {difference:+.2f} %")
    print(f"{n_pairs} pairs, {worst:.2f} % apart at most; {args.most:g} % allowed")
    return 0 if worst <= args.most else 1


if __name__ == "__main__":
    sys.exit(main())
