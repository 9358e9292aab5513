#!/usr/bin/env python3
"""What each number format costs: size, perplexity, KL divergence and agreement of the best token, on a model whose
weights were never quantised; and chaski's quantiser beside llama.cpp's. The tables of docs/en/formats.md and precision.md.

    quality.py --chaski PROGRAM --score-logits PROGRAM --model FOLDER --convert convert_hf_to_gguf.py
               [--formats f16,…] [--json OUT.json] [--update-docs docs] [--from-json IN.json] [--ctx 256] [--stride 240]

FOLDER is what tools/train_tiny.py writes, heldout.txt with it. Perplexity: chaski perplexity at --precision exact, of
chaski's file and of llama.cpp's of the same format, and at fast. KL and best token: against the unquantised folder at
exact, over the first windows of the text; over these llama.cpp runs both files too. What rounding costs: KL of fast and
of llama.cpp to exact, all on our file.
Needs torch, transformers, gguf, llama-cpp-python; runs in minutes.
"""
import argparse
import datetime
import json
import pathlib
import sys
import tempfile

import gguf
import numpy as np
import torch

import quality_table

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/peers"))
import peer_models as peers  # noqa: E402

MAX_RATIO = 0.005
N_WINDOWS = 24


def perplexity(chaski, model, text, precision, args):
    out = json.loads(chaski("perplexity", model, text, "--precision", precision, "--ctx", args.ctx, "--stride", args.stride))
    return out["perplexity"], out["tokens"]


class Sample:
    """The first windows of the text, and what the unquantised model says at each of their positions."""

    def __init__(self, chaski, model, ids, context, vocab):
        self.chaski, self.context, self.vocab = chaski, context, vocab
        self.windows = [ids[i:i + context] for i in range(0, len(ids), context)][:N_WINDOWS]
        self.reference = chaski.logits(model, self.windows, vocab)

    def facts(self, logits):
        kl = peers.kl_divergence(self.reference, logits)
        targets, scored, begin = [], [], 0
        for window in self.windows:
            targets += window[1:]
            scored += range(begin, begin + len(window) - 1)
            begin += len(window)
        nll = torch.nn.functional.cross_entropy(torch.from_numpy(logits[scored]), torch.tensor(targets)).item()
        return {"kl": float(kl.mean()), "kl_p99": float(np.quantile(kl, 0.99)), "perplexity": float(np.exp(nll)),
                "top1": float((self.reference.argmax(-1) == logits.argmax(-1)).mean())}

    def by_chaski(self, model, precision):
        return self.chaski.logits(model, self.windows, self.vocab, precision)

    def by_llama_cpp(self, model):
        rival = peers.LlamaCpp(model, self.context)
        logits = np.concatenate([rival.logits(window) for window in self.windows])
        rival.close()
        return logits

    def of_file(self, ours, theirs):
        """Facts of either program on either file; and the KL to exact of what rounds, on our file."""
        exact, fast, rival = self.by_chaski(ours, "exact"), self.by_chaski(ours, "fast"), self.by_llama_cpp(ours)
        sample = {"exact": self.facts(exact), "fast": self.facts(fast), "rival": self.facts(rival),
                  "rivals_file": self.facts(self.by_chaski(theirs, "exact")),
                  "rival_on_its_file": self.facts(self.by_llama_cpp(theirs))}
        rounding = {name: float(peers.kl_divergence(exact, logits).mean()) for name, logits in (("fast", fast), ("rival", rival))}
        return {"sample": sample, "rounding": rounding}


def size_of(path):
    tensors = gguf.GGUFReader(path).tensors
    n_bytes, n = sum(int(t.n_bytes) for t in tensors), sum(int(t.n_elements) for t in tensors)
    return {"file_bytes": path.stat().st_size, "bits_per_weight": 8 * n_bytes / n,
            "types": {t.tensor_type.name for t in tensors if len(t.shape) > 1}}


def same_blocks(path, other):
    """The part of the weights' bytes that two files of the same types have in common."""
    theirs = {t.name: t for t in gguf.GGUFReader(other).tensors}
    same = total = 0
    for tensor in gguf.GGUFReader(path).tensors:
        a, b = np.asarray(tensor.data).reshape(-1).view(np.uint8), np.asarray(theirs[tensor.name].data).reshape(-1)
        b = b.view(np.uint8)
        total += len(a)
        same += int((a == b).sum()) if len(a) == len(b) else 0
    return same / total


def measure(args):
    chaski = peers.Chaski(args.chaski, args.score_logits)
    tokenizer, config = peers.tokenizer_and_config(args.model)
    torch.set_num_threads(1)
    text = args.model / "heldout.txt"
    ids = tokenizer.encode(text.read_text(encoding="utf-8"), verbose=False)
    sample = Sample(chaski, args.model, ids, args.ctx, config.vocab_size)
    plain, n_tokens = perplexity(chaski, args.model, text, "exact", args)
    if n_tokens != len(ids) - 1:
        raise SystemExit(f"chaski scores {n_tokens} tokens, the tokenizer has {len(ids)}")
    rows = []
    with tempfile.TemporaryDirectory() as work:
        full, ours, theirs = (pathlib.Path(work) / f"{name}.gguf" for name in ("full", "ours", "theirs"))
        peers.convert_with_llama_cpp(args.convert, args.model, full, "bf16")
        unquantised = {"exact": sample.facts(sample.by_chaski(args.model, "exact")), "rival": sample.facts(sample.by_llama_cpp(full))}
        print(f"unquantised: perplexity {plain:.4f}; sample: {json.dumps(unquantised)}", flush=True)
        for style in args.formats.split(","):
            chaski.quantize(args.model, ours, style)
            peers.quantize_with_llama_cpp(full, theirs, style)
            row = {"format": style, **size_of(ours)}
            row["same_types"] = row.pop("types") == size_of(theirs)["types"]
            row["same_bytes"] = same_blocks(ours, theirs)
            row["perplexity"], _ = perplexity(chaski, ours, text, "exact", args)
            row["perplexity_of_rivals_file"], _ = perplexity(chaski, theirs, text, "exact", args)
            row["perplexity_fast"], _ = perplexity(chaski, ours, text, "fast", args)
            row["ratio"] = row["perplexity"] / row["perplexity_of_rivals_file"]
            row.update(sample.of_file(ours, theirs))
            rows.append(row)
            print(json.dumps(row), flush=True)
    made = json.loads((args.model / "train_tiny.json").read_text())
    return {"date": datetime.date.today().isoformat(), "machine": quality_table.machine(), "model": made, "ctx": args.ctx,
            "stride": args.stride, "tokens": n_tokens, "positions": sum(map(len, sample.windows)), "perplexity": plain,
            "unquantised": unquantised, "rows": rows}


def tables(result, lang):
    heads = {
        "en": ("| format | bits per weight | file | perplexity | against unquantised | KL | KL, 99 % of positions below | "
               "same best token | fast: perplexity | fast: KL |",
               "| format | our file | llama.cpp's file | ratio | KL: our file | its file | bytes alike | "
               "llama.cpp runs ours: perplexity | its own |"),
        "zh": ("| 格式 | 每权重位数 | 文件 | 困惑度 | 相对未量化 | KL | 99 % 位置的 KL 低于 | 首选词元一致 | fast：困惑度 | "
               "fast：KL |",
               "| 格式 | chaski 的文件 | llama.cpp 的文件 | 比值 | KL：前者 | 后者 | 相同字节 | llama.cpp 运行前者：困惑度 | "
               "运行后者 |")}[lang]
    first, second = ([head, "| --- " * (head.count("|") - 1) + "|"] for head in heads)
    for r in result["rows"]:
        exact, fast, sample = r["sample"]["exact"], r["sample"]["fast"], r["sample"]
        first.append(f"| {r['format']} | {r['bits_per_weight']:.2f} | {r['file_bytes'] / 1e6:.2f} MB | {r['perplexity']:.2f} | "
                     f"{100 * (r['perplexity'] / result['perplexity'] - 1):+.2f} % | {exact['kl']:.1e} | "
                     f"{exact['kl_p99']:.1e} | {100 * exact['top1']:.1f} % | {r['perplexity_fast']:.2f} | {fast['kl']:.1e} |")
        second.append(f"| {r['format']} | {r['perplexity']:.3f} | {r['perplexity_of_rivals_file']:.3f} | {r['ratio']:.5f} | "
                      f"{exact['kl']:.2e} | {sample['rivals_file']['kl']:.2e} | {100 * r['same_bytes']:.1f} % | "
                      f"{sample['rival']['perplexity']:.2f} | {sample['rival_on_its_file']['perplexity']:.2f} |")
    return "\n".join(first), "\n".join(second)


def facts(result, lang):
    model = result["model"]
    text = {"en": "Measured on {date} on {machine}. The model has {parameters:,} parameters and saw {seen:,} tokens. Held-out text: "
                  "{tokens:,} tokens in windows of {ctx} that advance by {stride}; KL, and llama.cpp's perplexities, over its "
                  "first {positions:,} positions. Unquantised (bf16): perplexity {ours:.2f}, of those positions {some:.2f}, "
                  "{rival:.2f} in llama.cpp; guessing by how often each token occurs: {unigram:.0f}.",
            "zh": "{date} 测于 {machine}。模型有 {parameters:,} 个参数，训练见过 {seen:,} 个词元。测试文本 {tokens:,} 个词元，窗口 {ctx}，"
                  "步长 {stride}；KL 和 llama.cpp 的困惑度取自其前 {positions:,} 个位置。未量化（bf16）的困惑度为 {ours:.2f}，在这些位置上为 "
                  "{some:.2f}，在 llama.cpp 中为 {rival:.2f}；只按词频猜测则为 {unigram:.0f}。"}[lang]
    return text.format(date=result["date"], machine=result["machine"], parameters=model["parameters"],
                       seen=model["seen_tokens"], tokens=result["tokens"], ctx=result["ctx"], stride=result["stride"],
                       positions=result["positions"], ours=result["perplexity"],
                       some=result["unquantised"]["exact"]["perplexity"], rival=result["unquantised"]["rival"]["perplexity"],
                       unigram=model["unigram_perplexity"])


def update_docs(result, folder):
    for lang in ("en", "zh"):
        quality, quantisers = tables(result, lang)
        quality_table.replace(folder / lang / "formats.md",
                              {"quality": quality, "quantisers": quantisers, "facts": facts(result, lang)})
        quality_table.replace(folder / lang / "precision.md", {"rounding": quality_table.rounding(result, lang)})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("chaski", "score-logits", "convert"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--formats", default="f16,bf16,q8_0,q6_K,q5_K_M,q5_K_S,q5_1,q5_0,q4_K_M,q4_K_S,q4_1,q4_0,"
                        "iq4_nl,iq4_xs,q3_K_L,q3_K_M,q3_K_S,q2_K")
    parser.add_argument("--ctx", type=int, default=256)
    parser.add_argument("--stride", type=int, default=240)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--from-json", type=pathlib.Path, help="measure nothing: tables of an earlier run")
    parser.add_argument("--update-docs", type=pathlib.Path, help="the docs folder")
    args = parser.parse_args()
    result = json.loads(args.from_json.read_text()) if args.from_json else measure(args)
    if args.json:
        args.json.write_text(json.dumps(quality_table.rounded(result)).replace(' {"format"', '\n{"format"') + "\n")
    if args.update_docs:
        update_docs(result, args.update_docs)
    print("\n\n".join(tables(result, "en")))
    far = [r["format"] for r in result["rows"] if abs(r["ratio"] - 1) > MAX_RATIO]
    print(f"perplexity of our file against llama.cpp's: {'all within' if not far else ' '.join(far) + ' NOT within'} "
          f"{100 * MAX_RATIO} %")
    worse = quality_table.rounding_failures(result)
    print(f"KL of fast, llama.cpp reading the same file: {'all within' if not worse else ' '.join(worse) + ' NOT within'} "
          f"{quality_table.MAX_KL_RATIO} times")
    return 1 if far or worse else 0


if __name__ == "__main__":
    sys.exit(main())
