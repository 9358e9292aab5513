#!/usr/bin/env python3
"""How far `fast` is from `exact`, per weight format of a real small model: mean and largest KL divergence, and how often
the best token is the same; with --llama-cpp also for llama.cpp reading the same file. A table of docs/en/precision.md.

    precision_kl.py --score-logits PROGRAM --chaski PROGRAM --gguf SMOLLM2.gguf [--llama-cpp] [--isa PATH]
                    [--positions 512] [--update-docs docs]

SmolLM2's weights (dequantised) are written anew in each format by PyPI gguf. Its rows of 576 do not fit the formats with
blocks of 256: bench/quality.py measures those, on a model that was never quantised.
"""
import argparse
import datetime
import json
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np

import quality_table

ROOT = pathlib.Path(__file__).resolve().parent.parent
FORMATS = ["BF16", "F16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0"]


def log_softmax(x):
    x = x.astype(np.float64)
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def rewrite(source, target, name):
    """The GGUF `source` with all matrices in the format `name`."""
    reader = gguf.GGUFReader(source)
    kind = gguf.GGMLQuantizationType[name]
    writer = gguf.GGUFWriter(target, "llama")
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        value, sub = field.contents(), field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(key, value, field.types[0], sub_type=sub)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(tuple(reversed(tensor.shape.tolist())))
        if values.ndim == 1:
            writer.add_tensor(tensor.name, values.astype(np.float32))
        else:
            writer.add_tensor(tensor.name, gguf.quants.quantize(values.astype(np.float32), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def by_chaski(args, model, windows, precision):
    command = [args.score_logits, str(model), "--precision", precision] + (["--isa", args.isa] if args.isa else [])
    run = subprocess.run(command, input="\n".join(map(json.dumps, windows)).encode(), capture_output=True)
    if run.returncode != 0:
        raise SystemExit(run.stderr.decode())
    return log_softmax(np.frombuffer(run.stdout, np.float32).reshape(sum(map(len, windows)), -1))


def by_llama_cpp(model, windows):
    sys.path.insert(0, str(ROOT / "tests/peers"))
    import peer_models

    rival = peer_models.LlamaCpp(model, max(map(len, windows)))
    logits = log_softmax(np.concatenate([rival.logits(ids) for ids in windows]))
    rival.close()
    return logits


def isa_of(args):
    command = [args.chaski, "bench", "synthetic:tiny", "-p", "4", "-n", "0", "--repeat", "1", "-o", "json"]
    command += ["--isa", args.isa] if args.isa else []
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]["isa"]


def windows_of(args):
    """The text's beginning and its end, which is in another language."""
    run = subprocess.run([args.chaski, "tokenize", args.gguf], input=args.text.read_bytes(), capture_output=True, check=True)
    ids = json.loads(run.stdout)
    half = args.positions // 2
    return [ids[:half], ids[-half:]]


HEADS = {
    "en": ["format", "mean KL: fast", "llama.cpp", "fast ÷ llama.cpp", "largest KL: fast", "llama.cpp",
           "same best token: fast", "llama.cpp"],
    "zh": ["格式", "平均 KL：fast", "llama.cpp", "fast ÷ llama.cpp", "最大 KL：fast", "llama.cpp", "首选词元一致：fast", "llama.cpp"],
}
FACTS = {"en": "{date}, {machine}, path {isa}, 2 threads, {n} positions of bench/quality_text.txt:",
         "zh": "{date}，{machine}，代码路径 {isa}，2 线程，bench/quality_text.txt 的 {n} 个位置："}


def row_of(name, exact, fast, rival):
    def facts(other):
        if other is None:
            return ["–"] * 3, 0
        kl = (np.exp(exact) * (exact - other)).sum(-1)
        same = (exact.argmax(-1) == other.argmax(-1)).mean()
        return [f"{kl.mean():.2g}", f"{kl.max():.2g}", f"{100 * same:.1f} %"], kl.mean()

    (ours, our_kl), (theirs, their_kl) = facts(fast), facts(rival)
    ratio = f"{our_kl / their_kl:.2f}" if their_kl > 0 else "–"
    return [name, ours[0], theirs[0], ratio, ours[1], theirs[1], ours[2], theirs[2]]


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--score-logits", required=True)
    args.add_argument("--chaski", required=True)
    args.add_argument("--gguf", required=True)
    args.add_argument("--llama-cpp", action="store_true")
    args.add_argument("--isa", default="")
    args.add_argument("--positions", type=int, default=512)
    args.add_argument("--text", type=pathlib.Path, default=ROOT / "bench" / "quality_text.txt")
    args.add_argument("--update-docs", type=pathlib.Path, help="the docs folder")
    args = args.parse_args()
    windows, rows = windows_of(args), []
    print(" | ".join(HEADS["en"]), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in FORMATS:
            model = pathlib.Path(folder) / "m.gguf"
            model.unlink(missing_ok=True)
            rewrite(args.gguf, str(model), name)
            rows.append(row_of(name, by_chaski(args, model, windows, "exact"), by_chaski(args, model, windows, "fast"),
                               by_llama_cpp(model, windows) if args.llama_cpp else None))
            print(" | ".join(rows[-1]), flush=True)
    for lang in ("en", "zh") if args.update_docs else ():
        facts = FACTS[lang].format(date=datetime.date.today().isoformat(), machine=quality_table.machine(),
                                   isa=isa_of(args), n=sum(map(len, windows)))
        quality_table.replace(args.update_docs / lang / "precision.md",
                              {"kl": f"{facts}\n\n{quality_table.markdown(HEADS[lang], rows)}"})


if __name__ == "__main__":
    main()
