#!/usr/bin/env python3
"""Compare the containers GGUF and safetensors with the packages of those names, in both directions.

  containers_parity.py --container-files PROGRAM [--n MODELS] [--seed 1]

PROGRAM is container_files of tests/parity. What it writes, the packages read; small Llama models that the package
`gguf` writes, whole and split by tensors and by size, it reads back byte for byte.
"""
import argparse
import hashlib
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader, GGUFWriter, quants
from safetensors import safe_open

HIDDEN, FFN, VOCAB, HEAD_DIM = 256, 256, 64, 64
LAYER = {"attn_norm": ("input_layernorm", ()), "attn_v": ("self_attn.v_proj", (2 * HEAD_DIM, HIDDEN)),
         "attn_q": ("self_attn.q_proj", (4 * HEAD_DIM, HIDDEN)), "attn_k": ("self_attn.k_proj", (2 * HEAD_DIM, HIDDEN)),
         "attn_output": ("self_attn.o_proj", (HIDDEN, 4 * HEAD_DIM)), "ffn_norm": ("post_attention_layernorm", ()),
         "ffn_gate": ("mlp.gate_proj", (FFN, HIDDEN)), "ffn_up": ("mlp.up_proj", (FFN, HIDDEN)),
         "ffn_down": ("mlp.down_proj", (HIDDEN, FFN))}
TYPES = [Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q2_K, Type.Q3_K, Type.Q4_K,
         Type.Q5_K, Type.Q6_K, Type.IQ4_NL, Type.IQ4_XS]


def counted(n_bytes):
    return np.arange(n_bytes, dtype=np.int64) % 251


def check_written(program, folder):
    subprocess.run([program, "write", folder], check=True)
    reader = GGUFReader(folder / "all.gguf")
    values = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    expected = {"general.architecture": "llama", "u32": 7, "u64": 1 << 40, "i32": -5, "f32": 1.5, "yes": True,
                "strings": ["", "甲", "b"], "int32s": [-1, 0, 1], "float32s": [0.5, -2.0]}
    assert values == expected, values
    assert len(reader.tensors) == 2 + len(TYPES), [t.name for t in reader.tensors]
    for tensor in reader.tensors:
        assert tensor.name in ("vector", "f32") or tensor.tensor_type.name.lower() == tensor.name.lower(), tensor
        assert tensor.data_offset % 32 == 0
        data = np.ascontiguousarray(tensor.data).view(np.uint8).reshape(-1)
        assert (data == counted(tensor.n_bytes)).all() and len(data) == tensor.n_bytes, tensor.name
    with safe_open(folder / "all.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt", "名": "\n"}
        types = {name: file.get_slice(name).get_dtype() for name in file.keys()}
    assert types == {"vector": "F32", "f32": "F32", "f16": "F16", "bf16": "BF16"}, types


def half_split(rows):
    """Rows of q or k as GGUF has them, [rows, bytes], in the order of Hugging Face."""
    return rows.reshape(-1, HEAD_DIM // 2, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def write_model(random, path, **split):
    """A random model; the line for each tensor that the program must print."""
    writer = GGUFWriter(path, "llama", **split)
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"t{i}" for i in range(VOCAB)])
    writer.add_token_scores([-float(i) for i in range(VOCAB)])
    writer.add_token_types([1] * VOCAB)
    shapes = {"token_embd": ("model.embed_tokens", (VOCAB, HIDDEN)), "output_norm": ("model.norm", ())}
    for layer in range(2):
        shapes |= {f"blk.{layer}.{ours}": (f"model.layers.{layer}.{name}", shape)
                   for ours, (name, shape) in LAYER.items()}
    lines = []
    for ours, (name, shape) in shapes.items():
        kind = TYPES[random.integers(len(TYPES))] if shape else Type.F32
        shape = shape or (HIDDEN,)
        data = random.integers(0, 256, quants.quant_shape_to_byte_shape(shape, kind), dtype=np.uint8)
        writer.add_tensor(f"{ours}.weight", data, raw_shape=data.shape, raw_dtype=kind)
        if "attn_q" in ours or "attn_k" in ours:
            data = half_split(data)
        dtype = kind.name.lower().replace("_k", "_K") if kind.name.startswith("Q") else kind.name.lower()
        lines.append(f"{name}.weight {dtype} [{', '.join(map(str, shape))}] "
                     f"{hashlib.sha256(data.tobytes()).hexdigest()}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(lines)


def check_read(program, random, folder, split):
    folder.mkdir()
    expected = write_model(random, folder / "m.gguf", **split)
    n_files = len(list(folder.iterdir()))
    assert (n_files > 1) == bool(split), n_files
    found = subprocess.run([program, "read", folder], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    assert found == expected, next((pair for pair in zip(found, expected) if pair[0] != pair[1]), (found, expected))
    return n_files


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--container-files", required=True)
    parser.add_argument("--n", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    n_files = 0
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        check_written(options.container_files, root)
        for i in range(options.n):
            split = [{}, {"split_max_tensors": 7}, {"split_max_size": 200_000}][i % 3]
            n_files += check_read(options.container_files, random, root / str(i), split)
    print(f"containers: what was written is read by gguf and safetensors; {options.n} models in {n_files} files of gguf "
          "are read byte for byte")


if __name__ == "__main__":
    sys.exit(main())
