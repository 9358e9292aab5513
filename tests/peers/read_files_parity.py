#!/usr/bin/env python3
"""Model files made by others, read by chaski: every answer is the one of transformers in f32 on the same weights.

    read_files_parity.py --chaski PROGRAM --score-logits PROGRAM --dequantize PROGRAM --model FOLDER
                         --convert convert_hf_to_gguf.py [--only trained|random] [--tokens 64]

Made by llama.cpp: its converter's f32, f16, bf16 and q8_0, and its quantiser's every format, one of them split. By PyPI
gguf: what it quantises, in one file and in several. By transformers: save_pretrained in three types, sharded. From two
models: the trained one of tools/train_tiny.py, and one of random weights with llama3 rope scaling, an output matrix of
its own and large logits. For each file: the numbers that chaski's scalar definitions make of its blocks are PyPI gguf's
bit for bit; the prompts' ids are the tokenizer's; the logits of a text are at most 1e-6 nats from the reference's; and
each id of the greedy answers at --precision exact is the reference's best one after the same ids, or within 1e-4 of it.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import peer_models as peers
import torch
from transformers import LlamaConfig, LlamaForCausalLM

PROMPTS = ["The ", "To install a package, use ", "NAME\n  perl", "If the option is given, the file is ", "本手册页",
           "如果指定了", "春眠不觉晓，", "$ apt-get install "]
TEXT = ("The package system keeps a list of the files of each package. 如果文件不存在，则返回错误。 sub f { my ($x) = @_; "
        "return $x + 1; }\n\n  -v, --verbose\n    显示详细信息。 Do not use this option unless you know what it does.\n")
MAX_MEAN_KL, NEAR_TIE = 1e-6, 1e-4
# GGML's names of types as chaski spells them.
OURS = {name: name.lower().replace("_k", "_K") for name in
        ["F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q5_1", "Q5_0", "Q4_K", "Q4_1", "Q4_0", "IQ4_NL", "IQ4_XS", "Q3_K",
         "Q2_K"]}


def make_random_model(trained, folder):
    """Rows of 256 in all matrices but one, so that each format is used; ids of the trained model's tokenizer."""
    tokenizer, config = peers.tokenizer_and_config(trained)
    torch.manual_seed(7)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=config.vocab_size, hidden_size=256, intermediate_size=512, num_hidden_layers=3, num_attention_heads=8,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=131072, rms_norm_eps=1e-6, rope_theta=500000.0,
        rope_scaling=dict(rope_type="llama3", factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
                          original_max_position_embeddings=8192),
        tie_word_embeddings=False, bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id,
        initializer_range=0.15))
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data.uniform_(0.5, 1.5)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def rewrite_with_gguf(source, target, kind, split_max_tensors):
    """The GGUF `source` by PyPI gguf's writer, its matrices as it quantises them; the first file of what it wrote."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, "llama", split_max_tensors=split_max_tensors)
    for key, field in reader.fields.items():
        if not key.startswith(("GGUF.", "split.")) and key not in ("general.architecture", "general.file_type"):
            sub = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), field.types[0], sub_type=sub)
    for tensor in reader.tensors:
        shape = tuple(reversed(tensor.shape.tolist()))
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)
        if values.ndim == 1:
            writer.add_tensor(tensor.name, values)
        else:
            writer.add_tensor(tensor.name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target if target.exists() else min(target.parent.glob(f"{target.stem}-00001-of-*.gguf"))


class Comparison:
    def __init__(self, args, tokenizer, config):
        self.chaski, self.dequantize = peers.Chaski(args.chaski, args.score_logits), args.dequantize
        self.tokenizer, self.config, self.n_tokens = tokenizer, config, args.tokens
        self.n_files = self.n_wrong = 0
        self.types = set()

    def check_values(self, paths):
        for path in paths:
            for tensor in gguf.GGUFReader(path).tensors:
                theirs = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(-1)
                run = subprocess.run([self.dequantize, OURS[tensor.tensor_type.name]], input=tensor.data.tobytes(),
                                     stdout=subprocess.PIPE, check=True)
                self.types.add(tensor.tensor_type.name)
                if run.stdout != theirs.tobytes():
                    return f"{tensor.name} ({tensor.tensor_type.name}) has other values"
        return ""

    def check_answers(self, model, reference):
        """(what is wrong or "", what was seen)."""
        text_ids = self.tokenizer.encode(TEXT)
        divergence = peers.kl_divergence(reference.logits(text_ids),
                                         self.chaski.logits(model, [text_ids], self.config.vocab_size)).mean()
        wrong, n_ties = [], 0
        if divergence > MAX_MEAN_KL:
            wrong.append(f"mean KL {divergence:.2g}")
        for prompt in PROMPTS:
            prompt_ids, answer = self.chaski.greedy(model, prompt, self.n_tokens)
            if prompt_ids != self.tokenizer.encode(prompt) or len(answer) != self.n_tokens:
                wrong.append(f"{prompt!r}: other prompt ids or length")
                continue
            rows = reference.logits(prompt_ids + answer)[len(prompt_ids) - 1:-1]
            gaps = rows.max(-1) - rows[np.arange(len(answer)), answer]
            n_ties += int(((gaps > 0) & (gaps < NEAR_TIE)).sum())
            if gaps.max() >= NEAR_TIE:
                wrong.append(f"{prompt!r}: step {gaps.argmax()} is {gaps.max():.2g} below the best")
        return "; ".join(wrong), f"mean KL {divergence:.1e}, {len(PROMPTS)} answers, {n_ties} ids at near ties"

    def check(self, name, model, reference, gguf_files=()):
        wrong, seen = self.check_answers(model, reference)
        wrong = "; ".join(w for w in (self.check_values(gguf_files), wrong) if w)
        self.n_files += 1
        self.n_wrong += bool(wrong)
        print(f"{name}: {seen}{': WRONG: ' + wrong if wrong else ''}", flush=True)

    def check_gguf(self, name, path):
        files = peers.files_of(path)
        model = peers.transformers_of_gguf(files, self.config)
        self.check(f"{name}{f', {len(files)} files' if len(files) > 1 else ''}", path, peers.Reference(model, self.n_tokens),
                   files)


def check_model(args, name, folder, work):
    tokenizer, config = peers.tokenizer_and_config(folder)
    comparison = Comparison(args, tokenizer, config)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        target = work / f"hf-{name}-{dtype}".replace("torch.", "")
        model = LlamaForCausalLM.from_pretrained(folder, dtype=dtype)
        model.save_pretrained(target, max_shard_size="1MB")
        tokenizer.save_pretrained(target)
        n_shards = len(list(target.glob("*.safetensors")))
        comparison.check(f"{name}: transformers {dtype}, {n_shards} shards", target,
                         peers.Reference(peers.transformers_of_folder(target), args.tokens))
    full = work / f"{name}-bf16.gguf"
    for outtype in ("bf16", "f32", "f16", "q8_0"):
        path = work / f"{name}-{outtype}.gguf"
        peers.convert_with_llama_cpp(args.convert, folder, path, outtype)
        comparison.check_gguf(f"{name}: llama.cpp's converter, {outtype}", path)
    for style in [s for s in peers.FILE_TYPES if s not in ("f32", "bf16")]:
        path = work / "quantised.gguf"
        peers.quantize_with_llama_cpp(full, path, style)
        comparison.check_gguf(f"{name}: llama.cpp's quantiser, {style}", path)
    for kind in ("F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0"):
        for n_tensors in (0, 9):
            target = work / f"{name}-gguf-{kind}-{n_tensors}.gguf"
            path = rewrite_with_gguf(full, target, gguf.GGMLQuantizationType[kind], n_tensors)
            comparison.check_gguf(f"{name}: PyPI gguf, {kind}", path)
    return comparison


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("chaski", "score-logits", "dequantize", "convert"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--only", choices=["trained", "random"])
    parser.add_argument("--tokens", type=int, default=64)
    args = parser.parse_args()
    n_files = n_wrong = 0
    types = set()
    for name in [args.only] if args.only else ["trained", "random"]:
        with tempfile.TemporaryDirectory() as work:
            work, folder = pathlib.Path(work), args.model
            if name == "random":
                folder = work / "random"
                make_random_model(args.model, folder)
            comparison = check_model(args, name, folder, work)
            n_files, n_wrong, types = n_files + comparison.n_files, n_wrong + comparison.n_wrong, types | comparison.types
    print(f"{n_files} files, {n_wrong} with another answer; block formats seen in real files: {', '.join(sorted(types))}")
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
