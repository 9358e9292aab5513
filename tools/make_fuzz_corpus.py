#!/usr/bin/env python3
"""Write the first inputs of the fuzz targets that read model files: small right files and a few wrong ones.

  make_fuzz_corpus.py [tests/fuzz/corpus]

The same bytes every time. Findings are added to the folders by hand, under names that say what was found.
"""
import json
import pathlib
import random
import struct
import sys

HIDDEN, FFN, VOCAB, HEAD_DIM = 8, 16, 32, 4
CONFIG = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_act="silu", hidden_size=HIDDEN,
              intermediate_size=FFN, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
              head_dim=HEAD_DIM, vocab_size=VOCAB, max_position_embeddings=64, rms_norm_eps=1e-5, rope_theta=5e5,
              tie_word_embeddings=True, bos_token_id=1, eos_token_id=[2, 3],
              rope_scaling=dict(rope_type="llama3", factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                original_max_position_embeddings=8192))


def safetensors(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def safetensors_files():
    one = {"a": dict(dtype="F32", shape=[2, 2], data_offsets=[0, 16])}
    yield "empty", safetensors({}, b"")
    yield "one", safetensors(one, bytes(16))
    yield "metadata", safetensors({"__metadata__": {"format": "pt", "é": "\n"}, **one}, bytes(16))
    yield "reversed", safetensors({"b": dict(dtype="BF16", shape=[1], data_offsets=[4, 6]),
                                   "a": dict(dtype="I32", shape=[], data_offsets=[0, 4]),
                                   "z": dict(dtype="F4", shape=[0], data_offsets=[0, 0])}, bytes(6))
    yield "padded", safetensors(json.dumps(one).encode() + b"   ", bytes(16))
    yield "wraps", safetensors({"a": dict(dtype="F32", shape=[1 << 32, 1 << 32], data_offsets=[0, 0])}, b"")
    yield "pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"


def gguf_text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def gguf(tokens=True, scalar_type=0, version=3, split=()):
    keys = [gguf_text("general.architecture") + struct.pack("<I", 8) + gguf_text("llama")]
    for name, value in [("llama.block_count", 1), ("llama.context_length", 64), ("llama.embedding_length", HIDDEN),
                        ("llama.feed_forward_length", FFN), ("llama.attention.head_count", 2),
                        ("llama.attention.head_count_kv", 1), ("general.alignment", 32)]:
        keys.append(gguf_text(name) + struct.pack("<II", 4, value))
    keys.append(gguf_text("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, 1e-5))
    if tokens:
        keys.append(gguf_text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, VOCAB) +
                    b"".join(gguf_text(f"t{i}") for i in range(VOCAB)))
        keys.append(gguf_text("tokenizer.ggml.token_type") + struct.pack("<IIQ", 9, 5, VOCAB) +
                    struct.pack("<i", 1) * VOCAB)
        keys.append(gguf_text("tokenizer.ggml.scores") + struct.pack("<IIQ", 9, 6, VOCAB) +
                    struct.pack("<f", -1) * VOCAB)
        keys.append(gguf_text("tokenizer.ggml.add_bos_token") + struct.pack("<IB", 7, 1))
    for name, value in zip(("split.no", "split.count", "split.tensors.count"), split):
        keys.append(gguf_text(name) + struct.pack("<IH", 2, value))
    shapes = {"token_embd": (HIDDEN, VOCAB), "output_norm": (HIDDEN,), "blk.0.attn_norm": (HIDDEN,),
              "blk.0.ffn_norm": (HIDDEN,), "blk.0.attn_q": (HIDDEN, 8), "blk.0.attn_k": (HIDDEN, 4),
              "blk.0.attn_v": (HIDDEN, 4), "blk.0.attn_output": (8, HIDDEN), "blk.0.ffn_gate": (HIDDEN, FFN),
              "blk.0.ffn_up": (HIDDEN, FFN), "blk.0.ffn_down": (FFN, HIDDEN)}
    infos, data = [], b""
    for name, shape in shapes.items():
        infos.append(gguf_text(name + ".weight") + struct.pack("<I", len(shape)) +
                     b"".join(struct.pack("<Q", n) for n in shape) + struct.pack("<IQ", scalar_type, len(data)))
        size = 4 if scalar_type == 0 else 2
        for n in shape:
            size *= n
        data += bytes(size + -size % 32)
    head = b"GGUF" + struct.pack("<IQQ", version, len(infos), len(keys)) + b"".join(keys) + b"".join(infos)
    return head + bytes(-len(head) % 32) + data


def gguf_files():
    yield "f32", gguf()
    yield "f16_v2", gguf(scalar_type=1, version=2)
    yield "no_tokens", gguf(tokens=False, scalar_type=30)
    yield "whole_split", gguf(split=(0, 1, 11))
    yield "part_of_two", gguf(split=(0, 2, 22))
    yield "cut", gguf()[:700]
    yield "big_endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0)


def config_files():
    yield "llama", json.dumps(CONFIG).encode()
    yield "defaults", json.dumps({k: CONFIG[k] for k in list(CONFIG)[:7] + ["vocab_size"]}).encode()
    yield "rope_parameters", json.dumps({**CONFIG, "rope_scaling": None,
                                         "rope_parameters": {**CONFIG["rope_scaling"], "rope_theta": 1e4}}).encode()
    yield "generation", b'{"eos_token_id":[2],"temperature":0.6,"top_p":0.9,"top_k":50,"repetition_penalty":1.1}'
    yield "templates", b'{"chat_template":[{"name":"default","template":"\\u00e9\\ud83d\\ude00"}],"x":[NaN,-1.5e3]}'
    yield "auto_map", json.dumps(dict(architectures=["X"], auto_map={"AutoModel": "x.X"})).encode()


def index_files():
    yield "two", json.dumps({"metadata": {"total_size": 1.5},
                             "weight_map": {"a": "x-1.safetensors", "b": "sub/x-2.safetensors"}}).encode()
    yield "outside", b'{"weight_map":{"a":"../x.safetensors"}}'
    yield "values", b'{"a":[true,false,null,-0.5e-3,"\\n",{}],"weight_map":{}}'


def choices(seed):
    generator = random.Random(seed)
    for i in range(8):
        yield f"choices_{i}", bytes(generator.randrange(256) for _ in range(32 * i))


def pack_index(weights, n_chunks, file_bytes, order=0x01020304, version=1, layout=1, digest=b"0" * 64):
    """The beginning of a file of packed weights; its checksums are left to the fuzz target."""
    body = struct.pack("<I", len(weights))
    for name, dtype, rows, cols, offset, size in weights:
        for text in (name, dtype):
            body += struct.pack("<I", len(text)) + text.encode()
        body += struct.pack("<IqqQQ", 0, rows, cols, offset, size)
    body += bytes(8 * n_chunks)
    return b"chaskiPW" + struct.pack("<IIIIQ", order, version, layout, len(body), file_bytes) + digest + bytes(16) + body


def pack_index_files():
    chunk = 2 << 20
    one = ("w", "q8_0", 16, 32, chunk, 544)
    yield "none", pack_index([], 0, chunk)
    yield "one", pack_index([one], 1, chunk + 4096)
    yield "two", pack_index([one, ("v", "f32", 1, 8, chunk + 4096, 512)], 1, chunk + 8192)
    yield "twice", pack_index([one, one], 1, chunk + 4096)
    yield "outside", pack_index([("w", "q8_0", 16, 32, chunk, 1 << 63)], 1, chunk + 4096)
    yield "unknown_type", pack_index([("w", "q99", 16, 32, chunk, 544)], 1, chunk + 4096)
    yield "checksums_missing", pack_index([one], 1, 9 * chunk)
    yield "other_order", pack_index([one], 1, chunk + 4096, order=0x04030201)
    yield "cut", pack_index([one], 1, chunk + 4096)[:130]


FOLDERS = {"safetensors": safetensors_files, "gguf": gguf_files, "config": config_files, "shard_index": index_files,
           "safetensors_structured": lambda: choices(1), "gguf_structured": lambda: choices(2), "pack_index": pack_index_files}


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/fuzz/corpus")
    for folder, files in FOLDERS.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name, data in files():
            (root / folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
