#!/usr/bin/env python3
"""What a long context costs and whether it stays right: decode at some depths beside the bytes of keys and values that
each token reads, and the KL divergence of `fast` to `exact` at the end of long contexts, by type of the cache.

    long_context.py --chaski PROGRAM --model 1b-q4_0.gguf --gb-per-s 15.7 [--depths 0,8192,32768] [--kv-dtypes bf16,q8_0]
    long_context.py --score-logits PROGRAM --kl-model synthetic:tiny@bf16 --vocab 512 [--lengths 16384,32768]

--gb-per-s is the machine's read rate by bench/roofline. A decode at a depth first has a prompt of that length: minutes
at 32k on two cores. Random weights (synthetic:) are for speed and for arithmetic, not for quality.
"""
import argparse
import json
import subprocess

KV_BYTES = {"f32": 4, "f16": 2, "bf16": 2, "q8_0": 34 / 32}


def decode_rate(args, depth, kv_dtype):
    command = [args.chaski, "bench", args.model, "-p", "0", "-n", str(args.n_gen), "-d", str(depth), "--repeat",
               str(args.repeat), "-o", "json", "--kv-dtype", kv_dtype] + (["-t", str(args.threads)] if args.threads else [])
    run = subprocess.run(command, capture_output=True)
    if run.returncode != 0:
        raise SystemExit(run.stderr.decode())
    return json.loads(run.stdout)[0]["decode_tokens_per_s"]["median"]


def decode_table(args):
    print("| cache | depth | tokens/s | ms more than at 0 | GB of keys and values | GB/s they came at | of the read rate | "
          "slowdown over what bytes explain |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kv_dtype in args.kv_dtypes.split(","):
        base = None
        for depth in [int(d) for d in args.depths.split(",")]:
            rate = decode_rate(args, depth, kv_dtype)
            seconds, base = 1 / rate, base or 1 / rate
            gb = 2 * args.kv_width * args.layers * KV_BYTES[kv_dtype] * (depth + args.n_gen / 2) / 1e9
            more = seconds - base
            cells = ["", "", ""]
            if depth > 0 and more > 0:
                cells = [f"{gb / more:.1f}", f"{gb / more / args.gb_per_s:.2f}", f"{seconds / (base + gb / args.gb_per_s):.2f}"]
            print(f"| {kv_dtype} | {depth} | {rate:.2f} | {more * 1e3:.1f} | {gb:.3f} | " + " | ".join(cells) + " |", flush=True)


def log_softmax(x):
    import numpy as np

    x = x.astype(np.float64)
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def kl_table(args):
    import numpy as np

    def logits(ids, *options):
        command = [args.score_logits, args.kl_model, "--ctx", str(len(ids)), "--last", str(args.last), *options]
        run = subprocess.run(command, input=(json.dumps(ids) + "\n").encode(), capture_output=True)
        if run.returncode != 0:
            raise SystemExit(run.stderr.decode())
        return log_softmax(np.frombuffer(run.stdout, np.float32).reshape(-1, args.vocab))

    print(f"KL to exact over the last {args.last} positions, {args.kl_model}\n\n| context | cache | mean | largest | "
          "same best token |\n| ---: | --- | ---: | ---: | ---: |")
    for length in [int(n) for n in args.lengths.split(",")]:
        ids = np.random.default_rng(length).integers(args.first_id, args.last_id or args.vocab, length).tolist()
        exact = logits(ids, "--precision", "exact")
        for kv_dtype in args.kv_dtypes.split(","):
            fast = logits(ids, "--precision", "fast", "--kv-dtype", kv_dtype)
            kl = (np.exp(exact) * (exact - fast)).sum(-1)
            same = (exact.argmax(-1) == fast.argmax(-1)).mean()
            print(f"| {length} | {kv_dtype} | {kl.mean():.2g} | {kl.max():.2g} | {100 * same:.1f} % |", flush=True)


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--chaski")
    args.add_argument("--model", default="synthetic:llama-3.2-1b@q4_0")
    args.add_argument("--gb-per-s", type=float, default=0)
    args.add_argument("--depths", default="0,8192,32768")
    args.add_argument("--kv-dtypes", default="bf16,q8_0")
    args.add_argument("--layers", type=int, default=16)
    args.add_argument("--kv-width", type=int, default=512, help="kv heads times their dimensions")
    args.add_argument("--n-gen", type=int, default=32)
    args.add_argument("--repeat", type=int, default=1)
    args.add_argument("--threads", type=int, default=0)
    args.add_argument("--score-logits")
    args.add_argument("--kl-model", default="synthetic:tiny@bf16")
    args.add_argument("--vocab", type=int, default=512)
    args.add_argument("--first-id", type=int, default=0)
    args.add_argument("--last-id", type=int, default=0)
    args.add_argument("--lengths", default="16384,32768")
    args.add_argument("--last", type=int, default=256)
    args = args.parse_args()
    if args.chaski:
        if args.gb_per_s <= 0:
            raise SystemExit("--gb-per-s is needed: the read rate that bench/roofline measures")
        decode_table(args)
    if args.score_logits:
        kl_table(args)


if __name__ == "__main__":
    main()
