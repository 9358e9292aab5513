#!/usr/bin/env python3
"""How far `fast` is from `exact`, per weight format: mean and largest KL divergence, and how often the best token is the
same. The numbers of docs/en/precision.md.

    precision_kl.py --score-logits PROGRAM --gguf SMOLLM2.gguf [--isa PATH] [--work DIR]

SmolLM2's weights (dequantised) are written anew in each format by PyPI gguf; Q6_K, which does not fit its rows of 576,
is measured on synthetic weights.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

import gguf
import numpy as np

TEXT = ("The process of making bread begins with flour, water, salt and yeast. Machine learning is a branch of computer "
        "science in which programs improve with data. 机器学习让计算机从数据中学习规律。 def add(a, b):\n    return a + b\n")


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


def logits(program, model, ids, precision, isa, vocab):
    command = [program, str(model), "--precision", precision] + (["--isa", isa] if isa else [])
    run = subprocess.run(command, input=(json.dumps(ids) + "\n").encode(), capture_output=True)
    if run.returncode != 0:
        raise SystemExit(run.stderr.decode())
    return np.frombuffer(run.stdout, np.float32).reshape(-1, vocab)


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--score-logits", required=True)
    args.add_argument("--tokenize", help="the chaski program; without it the ids are drawn at random")
    args.add_argument("--gguf", required=True)
    args.add_argument("--isa", default="")
    args = args.parse_args()
    ids = json.loads(subprocess.run([args.tokenize, "tokenize", args.gguf], input=TEXT.encode(), capture_output=True,
                                    check=True).stdout) if args.tokenize else np.random.default_rng(0).integers(
                                        3, 49152, 96).tolist()
    print("| weights | format | positions | mean KL | largest KL | same best token |\n| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        jobs = [("SmolLM2-135M", name, pathlib.Path(folder) / "m.gguf") for name in ["BF16", "F16", "Q8_0", "Q4_0", "Q4_1"]]
        jobs.append(("synthetic:tiny", "Q6_K", "synthetic:tiny@q6_k"))
        for weights, name, model in jobs:
            vocab, some = 49152, ids
            if isinstance(model, str):
                vocab, some = 512, [i % 256 for i in ids]
            else:
                model.unlink(missing_ok=True)
                rewrite(args.gguf, str(model), name)
            exact = log_softmax(logits(args.score_logits, model, some, "exact", args.isa, vocab))
            fast = log_softmax(logits(args.score_logits, model, some, "fast", args.isa, vocab))
            kl = (np.exp(exact) * (exact - fast)).sum(-1)
            same = (exact.argmax(-1) == fast.argmax(-1)).mean()
            print(f"| {weights} | {name} | {len(some)} | {kl.mean():.2g} | {kl.max():.2g} | {100 * same:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
