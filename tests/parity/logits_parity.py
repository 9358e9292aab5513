#!/usr/bin/env python3
"""Logits and greedy answers against transformers' in f32, kept in tests/data/goldens by tests/peers/make_goldens.py.

    logits_parity.py --n PROMPTS --score-logits PROGRAM --chaski PROGRAM --goldens DIR --gguf SMOLLM2.gguf

Logits at --precision exact: mean KL to the golden ones at most 1e-6 and the same best token. Greedy: the first N
prompts, identical up to a step at which transformers' best two logits are closer than 1e-4; such steps are listed.
"""
import argparse
import json
import pathlib
import subprocess
import sys

import numpy as np

MAX_MEAN_KL = 1e-6


def log_softmax(x):
    x = x.astype(np.float64)
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def kl(reference, ours):
    p, q = log_softmax(reference), log_softmax(ours)
    return (np.exp(p) * (p - q)).sum(-1)


def score(program, model, ids, vocab):
    out = subprocess.run([program, str(model), "--precision", "exact"], input=(json.dumps(ids) + "\n").encode(),
                         capture_output=True)
    if out.returncode != 0:
        sys.exit(f"{program} failed: {out.stderr.decode()}")
    return np.frombuffer(out.stdout, np.float32).reshape(-1, vocab)


def compare(name, reference, ours):
    divergence = kl(reference, ours)
    same = (reference.argmax(-1) == ours.argmax(-1)).all()
    worst = np.abs(reference - ours).max()
    print(f"{name}: {len(reference)} positions, mean KL {divergence.mean():.3g}, largest {divergence.max():.3g}, "
          f"largest difference of a logit {worst:.3g}, best token {'the same' if same else 'DIFFERS'}")
    return same and divergence.mean() <= MAX_MEAN_KL


def greedy(chaski, gguf, golden, n):
    ok, ties = True, 0
    for answer in golden["answers"][:n]:
        out = subprocess.run(
            [chaski, "run", str(gguf), "--precision", "exact", "--temperature", "0", "--repetition-penalty", "1",
             "--template", "raw:{prompt}", "-p", answer["prompt"], "--max-new-tokens", str(len(answer["ids"])),
             "--ignore-eos", "--json"], capture_output=True, stdin=subprocess.DEVNULL)
        if out.returncode != 0:
            sys.exit(f"{chaski} failed: {out.stderr.decode()}")
        result = json.loads(out.stdout)
        if result["prompt_ids"] != answer["prompt_ids"]:
            print(f"prompt ids differ: {answer['prompt']!r}: {result['prompt_ids']} for {answer['prompt_ids']}")
            ok = False
            continue
        pairs = list(zip(answer["ids"], result["ids"]))
        differs = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if differs is None and len(result["ids"]) == len(answer["ids"]):
            continue
        tie = next((t for t in answer["near_ties"] if t["step"] == differs), None)
        if tie is None:
            print(f"greedy differs: {answer['prompt']!r} at step {differs}, {len(result['ids'])} tokens, no near tie there")
            ok = False
        else:
            print(f"near tie: {answer['prompt']!r} at step {differs}, the best two {tie['gap']:.2g} apart")
            ties += 1
    print(f"greedy: {min(n, len(golden['answers']))} prompts, {ties} parted at a near tie, "
          f"{'none' if ok else 'SOME'} elsewhere")
    return ok


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--n", type=int, default=3)
    args.add_argument("--seed", type=int, default=0, help="not used; every parity test takes one")
    args.add_argument("--score-logits", required=True)
    args.add_argument("--chaski", required=True)
    args.add_argument("--goldens", required=True, type=pathlib.Path)
    args.add_argument("--gguf", required=True)
    args = args.parse_args()
    tiny = np.load(args.goldens / "tiny_logits.npz")
    model = args.goldens / "tiny-llama-3.2"
    ok = compare("tiny, short", tiny["short"], score(args.score_logits, model, tiny["short_ids"].tolist(), 384))
    ok &= compare("tiny, past position 8192", tiny["long"],
                  score(args.score_logits, model, tiny["long_ids"].tolist(), 384)[-4:])
    real = np.load(args.goldens / "smollm2_logits.npz")
    ours = score(args.score_logits, args.gguf, real["ids"].tolist(), real["logits"].shape[1])
    ok &= compare("SmolLM2", real["logits"], ours[real["positions"]])
    golden = json.loads((args.goldens / "smollm2_greedy.json").read_text())
    ok &= greedy(args.chaski, args.gguf, golden, args.n)
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
