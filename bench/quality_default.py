#!/usr/bin/env python3
"""The default model, SmolLM2, in chaski and in llama.cpp, which read the same file: perplexity of one text over the same
windows, KL divergence to the exact path, and greedy answers.

    quality_default.py --chaski PROGRAM --score-logits PROGRAM --gguf SMOLLM2.gguf [--isa PATH] [--text FILE] [--ctx 512]
                       [--tokens 48] [--json OUT.json] [--update-docs docs] [--from-json IN.json]

What must hold: perplexity within 0.5 % of llama.cpp's, at exact and at fast; the KL of fast to exact at most 1.1 times
llama.cpp's; and chaski and llama.cpp choose the same token wherever exact's gap between the two is larger than what
llama.cpp's own rounding moves such gaps by. The exact path stands for f32: parity.logits holds it to transformers.
Needs the packages of tools/peers.txt and peers-heavy.txt; runs in minutes.
"""
import argparse
import datetime
import json
import pathlib
import sys

import numpy as np

import peers_texts
import quality_table

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/peers"))
import peer_models as peers  # noqa: E402

KINDS = ("exact", "fast", "llama.cpp")


class Programs:
    """Logits and greedy ids of the same file by chaski's two precisions and by llama.cpp."""

    def __init__(self, args):
        self.args, self.chaski = args, peers.Chaski(args.chaski, args.score_logits)
        self.path = ["--isa", args.isa] if args.isa else []
        self.rival = peers.LlamaCpp(args.gguf, args.ctx, args.threads)

    def logits(self, kind, ids):
        if kind == "llama.cpp":
            return self.rival.logits(ids)
        return self.chaski.logits(self.args.gguf, [ids], self.rival.vocab, kind, *self.path)

    def isa(self):
        """The code path that is used."""
        return json.loads(self.chaski("bench", "synthetic:tiny", "-p", 4, "-n", 0, "--repeat", 1, "-o", "json", *self.path))[0]["isa"]

    def perplexity(self, precision):
        """By the program's own command: the windows of `windows_of`."""
        out = json.loads(self.chaski("perplexity", self.args.gguf, self.args.text, "--precision", precision, "--ctx",
                                     self.args.ctx, "--stride", self.args.ctx - 1, *self.path))
        return out["perplexity"], out["tokens"]


def windows_of(ids, context):
    """Each begins with the last token of the one before: every token but the first is scored once."""
    return [ids[begin:begin + context] for begin in range(0, len(ids) - 1, context - 1)]


def measure_text(programs):
    args = programs.args
    ids = programs.rival.tokenize(args.text.read_text(encoding="utf-8"))
    nll, kl = {kind: [] for kind in KINDS}, {kind: [] for kind in KINDS[1:]}
    same = {kind: [] for kind in KINDS[1:]}
    for window in windows_of(ids, args.ctx):
        rows = {kind: peers.log_softmax(programs.logits(kind, window)) for kind in KINDS}
        for kind in KINDS:
            nll[kind].append(-rows[kind][range(len(window) - 1), window[1:]])
            if kind != "exact":
                kl[kind].append((np.exp(rows["exact"]) * (rows["exact"] - rows[kind])).sum(-1))
                same[kind].append(rows["exact"].argmax(-1) == rows[kind].argmax(-1))
    out = {"text": args.text.name, "tokens": len(ids) - 1, "ctx": args.ctx}
    for kind in KINDS:
        values = np.concatenate(nll[kind])
        # How far the mean may be off by the luck of these tokens, against llama.cpp's on the very same ones.
        differences = values - np.concatenate(nll["llama.cpp"])
        out[kind] = {"perplexity": float(np.exp(values.mean())), "ratio": float(np.exp(differences.mean())),
                     "ratio_se": float(differences.std() / len(differences) ** 0.5)}
        if kind != "exact":
            values = np.concatenate(kl[kind])
            out[kind].update(kl=float(values.mean()), kl_p99=float(np.quantile(values, 0.99)), kl_max=float(values.max()),
                             top1=float(np.concatenate(same[kind]).mean()))
    for precision in ("exact", "fast"):
        said, n = programs.perplexity(precision)
        if n != len(ids) - 1 or abs(said / out[precision]["perplexity"] - 1) > 1e-5:
            raise SystemExit(f"chaski perplexity at {precision}: {said} of {n} tokens, by its logits "
                             f"{out[precision]['perplexity']} of {len(ids) - 1}")
    return out


def gap_shifts(exact, other):
    """At each position, how far `other` moves the gap between exact's two best tokens; and that gap."""
    order = np.argpartition(-exact, 1, axis=-1)[:, :2]
    gap, moved = (np.take_along_axis(rows, order, -1) @ np.array([1.0, -1.0]) for rows in (exact, other))
    return np.abs(moved - gap), np.abs(gap)


def measure_greedy(programs):
    """Along exact's own answers all three see the same text, which gives what rounding does; then each goes alone."""
    args, n = programs.args, programs.args.tokens
    shifts, answers = {kind: [] for kind in KINDS[1:]}, []
    wrong = {kind: [] for kind in KINDS[1:]}  # exact's gap where another token is best
    for name, prompt in peers_texts.PLAIN:
        ids, best = programs.chaski.greedy(args.gguf, prompt, n, "exact", *programs.path)
        if ids != programs.rival.tokenize(prompt):
            raise SystemExit(f"{name}: chaski's prompt has the ids {ids}, llama.cpp's {programs.rival.tokenize(prompt)}")
        rows = {kind: programs.logits(kind, ids + best[:-1])[len(ids) - 1:] for kind in KINDS}
        for kind in KINDS[1:]:
            moved, gap = gap_shifts(rows["exact"], rows[kind])
            shifts[kind] += moved.tolist()
            wrong[kind] += gap[rows[kind].argmax(-1) != rows["exact"].argmax(-1)].tolist()
        answers.append((name, ids, programs.chaski.greedy(args.gguf, prompt, n, "fast", *programs.path)[1],
                        programs.rival.greedy(ids, n)))
    bound, items = max(shifts["llama.cpp"]), []
    for name, ids, ours, theirs in answers:
        same = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), n)
        item = {"prompt": name, "same": same}
        if same < n:
            exact = programs.logits("exact", ids + ours[:same])[-1]
            item.update(ours=ours[same], theirs=theirs[same], exact_best=int(exact.argmax()),
                        gap=float(exact[ours[same]] - exact[theirs[same]]))
        items.append(item)
    return {"n": n, "positions": len(shifts["fast"]), "bound": bound, "prompts": items,
            **{kind: {"shift_rms": float(np.square(shifts[kind]).mean() ** 0.5), "shift_max": max(shifts[kind]),
                      "other_best": len(wrong[kind]), "widest_gap": max(wrong[kind], default=0.0)} for kind in KINDS[1:]}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("chaski", "score-logits", "gguf"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--isa", default="")
    parser.add_argument("--text", type=pathlib.Path, default=ROOT / "bench" / "quality_text.txt")
    parser.add_argument("--ctx", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--from-json", type=pathlib.Path, help="measure nothing: tables of an earlier run")
    parser.add_argument("--update-docs", type=pathlib.Path, help="the docs folder")
    args = parser.parse_args()
    if args.from_json:
        result = json.loads(args.from_json.read_text(encoding="utf-8"))
    else:
        programs = Programs(args)
        result = {"date": datetime.date.today().isoformat(), "machine": quality_table.machine(), "isa": programs.isa(),
                  "model": pathlib.Path(args.gguf).name, "text": measure_text(programs), "greedy": measure_greedy(programs)}
        result = quality_table.rounded(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.update_docs:
        for lang in ("en", "zh"):
            quality_table.replace(args.update_docs / lang / "precision.md",
                                  {"default model": quality_table.default_model(result, lang)})
    print(quality_table.default_model(result, "en"))
    failures = quality_table.default_failures(result)
    print("\n".join(failures) or "all within their bounds")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
