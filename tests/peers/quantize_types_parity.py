#!/usr/bin/env python3
"""The types that chaski quantize gives to the weights of a model, beside those of llama.cpp's quantiser: small models
of many shapes, every format, compared weight by weight.

    quantize_types_parity.py --chaski PROGRAM [--formats q4_K_M,…]

Needs numpy, gguf and llama-cpp-python in the Python that runs it.
"""
import argparse
import ctypes
import itertools
import pathlib
import subprocess
import sys
import tempfile

import gguf
import llama_cpp
import numpy as np

# llama.cpp's numbers of its file types.
FILE_TYPES = {"f32": 0, "f16": 1, "bf16": 32, "q8_0": 7, "q6_K": 18, "q5_K_M": 17, "q5_K_S": 16, "q5_1": 9, "q5_0": 8,
              "q4_K_M": 15, "q4_K_S": 14, "q4_1": 3, "q4_0": 2, "iq4_nl": 25, "iq4_xs": 30, "q3_K_L": 13, "q3_K_M": 12,
              "q3_K_S": 11, "q2_K": 10}
VOCAB = 64
# hidden, ffn, heads, heads of keys and values: blocks of 256 fit; fit the feed-forward alone; fit nothing but 32; not
# even that.
WIDTHS = {"256": (256, 512, 8, 2), "256, a value head for each": (256, 512, 8, 8), "192": (192, 512, 6, 2),
          "192 and 320": (192, 320, 6, 6), "48": (48, 80, 2, 1)}


def write_model(path, n_layers, widths, is_tied):
    hidden, ffn, heads, kv_heads = widths
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(n_layers)
    writer.add_context_length(128)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(hidden // heads)
    writer.add_vocab_size(VOCAB)
    kv = hidden // heads * kv_heads
    matrices = {"token_embd": (VOCAB, hidden)}
    if not is_tied:
        matrices["output"] = (VOCAB, hidden)
    norms = ["output_norm"]
    for i in range(n_layers):
        matrices.update({f"blk.{i}.attn_q": (hidden, hidden), f"blk.{i}.attn_k": (kv, hidden),
                         f"blk.{i}.attn_v": (kv, hidden), f"blk.{i}.attn_output": (hidden, hidden),
                         f"blk.{i}.ffn_gate": (ffn, hidden), f"blk.{i}.ffn_up": (ffn, hidden),
                         f"blk.{i}.ffn_down": (hidden, ffn)})
        norms += [f"blk.{i}.attn_norm", f"blk.{i}.ffn_norm"]
    for name, shape in matrices.items():
        writer.add_tensor(name + ".weight", random.standard_normal(shape, dtype=np.float32).astype(np.float16))
    for name in norms:
        writer.add_tensor(name + ".weight", np.ones(hidden, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantize_with_llama_cpp(source, target, style):
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = FILE_TYPES[style], 1
    status = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params))
    if status != 0:
        raise SystemExit(f"llama.cpp does not quantise {source.name} to {style}")


def facts_of(path):
    reader = gguf.GGUFReader(path)
    types = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    return types, int(reader.fields["general.file_type"].contents())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chaski", required=True)
    parser.add_argument("--formats", default=",".join(FILE_TYPES))
    args = parser.parse_args()
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    n_files = n_weights = n_wrong = 0
    shapes = [(n, "256", tied) for n in (1, 2, 3, 8, 16, 28, 30, 80) for tied in (False, True)]
    shapes += [(n, name, tied) for n, name, tied in itertools.product((2, 9, 16), list(WIDTHS)[1:], (False, True))]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        source, ours, theirs = folder / "in.gguf", folder / "ours.gguf", folder / "theirs.gguf"
        for n_layers, width, is_tied in shapes:
            write_model(source, n_layers, WIDTHS[width], is_tied)
            for style in args.formats.split(","):
                quantize_with_llama_cpp(source, theirs, style)
                subprocess.run([args.chaski, "quantize", str(source), str(ours), "--format", style, "--force", "-t", "1"],
                               check=True, stdout=subprocess.DEVNULL)
                (our_types, our_file), (their_types, their_file) = facts_of(ours), facts_of(theirs)
                where = f"{style}, {n_layers} layers of {width}{', tied' if is_tied else ''}"
                if our_file != their_file or our_types.keys() != their_types.keys():
                    print(f"{where}: other tensors or another file type: {our_file}, {their_file}")
                    n_wrong += 1
                for tensor in sorted(our_types.keys() & their_types.keys()):
                    n_weights += 1
                    if our_types[tensor] != their_types[tensor]:
                        print(f"{where}: {tensor}: {our_types[tensor]}, llama.cpp {their_types[tensor]}")
                        n_wrong += 1
                n_files += 1
    print(f"{n_files} files, {n_weights} weights, {n_wrong} with another type")
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
