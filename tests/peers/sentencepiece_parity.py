#!/usr/bin/env python3
"""A SentencePiece BPE model trained here, in each of its kinds of files, read by chaski and by the program that the kind
belongs to: every id must be equal, and every text of ids of the model itself.

    sentencepiece_parity.py --chaski-tokenize build/tokenize_lines [--n 2000] [--seed 0]

tokenizer.model beside PyPI sentencepiece; the same as a GGUF vocabulary, without weights, beside llama.cpp; as
tokenizer.json beside PyPI tokenizers. Texts are those of tests/parity/tokenizer_parity.py. Needs sentencepiece,
tokenizers, gguf, llama-cpp-python. Exit status 1 on a difference.
"""
import argparse
import ctypes
import json
import pathlib
import random
import sys
import tempfile

import gguf
import llama_cpp
import sentencepiece
import tokenizers

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "parity"))
from tokenizer_parity import added, ask_chaski, every_character, make_text  # noqa: E402

SPACE = "\u2581"
EDGES = ["", "a", " a", "  a  b ", f"{SPACE}a", f"a{SPACE}b", "<s>a", "</s>", "<0x41>", "a" * 500, " " * 100]


def train(texts, prefix):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(prefix), vocab_size=4000, model_type="bpe", byte_fallback=True,
        character_coverage=0.98, normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, split_digits=True, num_threads=1, minloglevel=2)
    return sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model")


def vocabulary_of(model):
    """tokenizer.ggml.* as llama.cpp's converter fills it."""
    kinds = [(model.is_unknown, 2), (model.is_control, 3), (model.is_byte, 6)]
    ids = range(model.get_piece_size())
    return {"model": "llama", "pre": "default", "tokens": [model.id_to_piece(i) for i in ids],
            "scores": [model.get_score(i) for i in ids],
            "token_type": [next((kind for test, kind in kinds if test(i)), 1) for i in ids],
            "add_bos_token": False, "add_space_prefix": True}


def llama_cpp_of(vocabulary, path):
    """The ids that llama.cpp gives to a text, by a file without weights."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(vocabulary["model"])
    writer.add_tokenizer_pre(vocabulary["pre"])
    writer.add_token_list(vocabulary["tokens"])
    writer.add_token_scores(vocabulary["scores"])
    writer.add_token_types(vocabulary["token_type"])
    writer.add_add_bos_token(vocabulary["add_bos_token"])
    writer.add_add_space_prefix(vocabulary["add_space_prefix"])
    for number in (writer.add_block_count, writer.add_context_length, writer.add_embedding_length,
                   writer.add_feed_forward_length, writer.add_head_count):
        number(32)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    params = llama_cpp.llama_model_default_params()
    params.vocab_only, params.n_gpu_layers = True, 0
    handle = llama_cpp.llama_model_get_vocab(llama_cpp.llama_model_load_from_file(str(path).encode(), params))

    def encode(text):
        data = text.encode()
        ids = (llama_cpp.llama_token * (len(data) + 8))()
        return list(ids[:llama_cpp.llama_tokenize(handle, data, len(data), ids, len(ids), False, False)])
    return encode


def tokenizer_json(vocabulary, path):
    """Merges as transformers derives them: every pair that joins to a piece, the best score first."""
    ids = {token: i for i, token in enumerate(vocabulary["tokens"])}
    merges = sorted((-vocabulary["scores"][i], ids[t[:cut]], ids[t[cut:]]) for t, i in ids.items()
                    if vocabulary["token_type"][i] == 1
                    for cut in range(1, len(t)) if t[:cut] in ids and t[cut:] in ids)
    names = vocabulary["tokens"]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    path.write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [added(i, names[i]) for i in range(3)],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, replace]},
        "pre_tokenizer": None, "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": names[0], "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": ids, "merges": [[names[a], names[b]] for _, a, b in merges]}}), encoding="utf-8")
    peer = tokenizers.Tokenizer.from_file(str(path))
    peer.encode_special_tokens = True
    return lambda text: peer.encode(text, add_special_tokens=False).ids


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chaski-tokenize", required=True)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    rng = random.Random(args.seed)
    # The trainer takes lines without a character 0.
    training = [make_text(rng).replace("\n", " ").replace("\0", "")[:1000] for _ in range(6000)]
    texts = [*EDGES, *every_character(args.seed, False), *(make_text(rng) for _ in range(args.n))]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model = train(training, folder / "small")
        vocabulary = vocabulary_of(model)
        vocab_file, json_file = folder / "small.vocab.json", folder / "tokenizer.json"
        vocab_file.write_text(json.dumps(vocabulary), encoding="utf-8")
        peers = {"sentencepiece": (folder / "small.model", model.encode),
                 "llama.cpp": (vocab_file, llama_cpp_of(vocabulary, folder / "small.gguf")),
                 "tokenizers": (json_file, tokenizer_json(vocabulary, json_file))}
        n_differences = 0

        def compare(name, inputs, found, expected):
            nonlocal n_differences
            for given, ours, theirs in zip(inputs, found, expected, strict=True):
                if ours != theirs:
                    n_differences += 1
                    if n_differences <= 10:
                        print(f"{name}: {ours[:12]!r} expected {theirs[:12]!r}: {given[:200]!r}")

        for name, (file, encode) in peers.items():
            compare(name, texts, ask_chaski(args.chaski_tokenize, str(file), texts), map(encode, texts))
        ids = [model.encode(text) for text in texts]
        compare("text of ids", ids, ask_chaski(args.chaski_tokenize, str(folder / "small.model"), ids, "decode"),
                map(model.decode, ids))
    print(f"{len(texts)} texts, {n_differences} differences from {', '.join(peers)}")
    return 1 if n_differences else 0


if __name__ == "__main__":
    sys.exit(main())
