#!/usr/bin/env python3
"""One and the same decode, timed by `chaski bench` and by a clock outside it. The outside clock is the time between pieces of text
of `chaski run`, as they arrive in a pipe that this program reads: the prompt is short, the answer long, and from the arrival of an
early piece to that of a late one a known number of tokens was made. The inside figure is that of a bench whose depth and length are
the same. Both are taken by turns, and their medians compared.

  outside_clock.py --chaski build/chaski MODEL [--tokens 200] [--rounds 5] [--most 3] [-- OPTION…]

Ends with 1 where the two differ by more than --most percent. Options after -- go to both, as -t 2."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

PROMPT = "Tell a long story about a ferry, an island and two heavy trunks."


def answer_times(args):
    """When each piece of an answer of args.tokens tokens arrived, in seconds, with its text; and the tokens of the prompt. The ids
    are asked for in a run of their own, for standard output has the text alone."""
    common = ["-p", PROMPT, "--max-new-tokens", str(args.tokens), "--temperature", "0", "--ignore-eos", "--draft", "none",
              "--repetition-penalty", "1", *args.options]
    if not hasattr(args, "n_prompt"):
        done = subprocess.run([args.chaski, "run", args.model, *common, "--json"], check=True, capture_output=True,
                              stdin=subprocess.DEVNULL)
        args.n_prompt = len(json.loads(done.stdout)["prompt_ids"])
    process = subprocess.Popen([args.chaski, "run", args.model, *common], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               stdin=subprocess.DEVNULL)
    times = []
    while piece := os.read(process.stdout.fileno(), 65536):
        times.append((time.monotonic(), piece))
    if process.wait() != 0:
        sys.exit("chaski run failed")
    return times


def outside_rate(args):
    """Tokens a second by the pieces' arrival. A token whose text is held back (part of a character) arrives with a later one, and the
    last piece is the end of the line: so that the first and the last token's arrival are known, pieces are counted, not guessed."""
    times = answer_times(args)
    if times[-1][1] == b"\n":
        times.pop()
    if len(times) != args.tokens:  # pieces that came together or were held back
        print(f"  {len(times)} pieces for {args.tokens} tokens: this text gives no token-by-token arrival", file=sys.stderr)
    return (args.tokens - 1) / (times[-1][0] - times[0][0])


def inside_rate(args):
    done = subprocess.run([args.chaski, "bench", args.model, "-p", "0", "-n", str(args.tokens - 1), "-d", str(args.n_prompt),
                           "--repeat", "1", "-o", "json", *args.options], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return json.loads(done.stdout)[0]["decode_tokens_per_s"]["samples"][0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--chaski", required=True)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=float, default=3.0, help="percent that the two may differ by")
    parser.add_argument("options", nargs="*")
    args = parser.parse_args()
    outside, inside = [], []
    for round_ in range(args.rounds):
        outside.append(outside_rate(args))
        inside.append(inside_rate(args))
        print(f"round {round_ + 1}: outside {outside[-1]:.2f}, bench {inside[-1]:.2f} tokens/s, "
              f"{100 * (inside[-1] / outside[-1] - 1):+.2f} %", flush=True)
    difference = 100 * (statistics.median(inside) / statistics.median(outside) - 1)
    print(f"medians of {args.rounds}: outside {statistics.median(outside):.2f}, bench {statistics.median(inside):.2f} tokens/s, "
          f"{difference:+.2f} %, at most {args.most:g} % allowed")
    return 0 if abs(difference) <= args.most else 1


if __name__ == "__main__":
    sys.exit(main())
