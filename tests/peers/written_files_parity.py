#!/usr/bin/env python3
"""Model files made by chaski, read by others.

    written_files_parity.py --chaski PROGRAM --score-logits PROGRAM --dequantize PROGRAM --model FOLDER
                            --convert convert_hf_to_gguf.py [--formats q4_K_M,…] [--tokens 64]

chaski quantize, every format: PyPI gguf reads the file, transformers in f32 on the values it reads answers as chaski
--precision exact does; llama.cpp loads it, has the same prompt ids, and its distance to exact and fast is shown: mean KL,
same best token, same greedy answers (its sums are of 8-bit activations, so identity is not to be had).
chaski convert, GGUF to folder to GGUF: transformers loads the folder with the same weights, ids and chat prompts, and
answers the same; llama.cpp loads the second GGUF, and no key of the first is missing or has another value.
"""
import argparse
import pathlib
import sys
import tempfile

import gguf
import numpy as np
import peer_models as peers
from read_files_parity import PROMPTS, TEXT, Comparison, make_random_model
from transformers import AutoTokenizer

MAX_RIVAL_KL = 0.02  # nats; a file that llama.cpp understands otherwise is whole nats away
MESSAGES = [{"role": "system", "content": "Be short."}, {"role": "user", "content": " 你好 "}]
# What a second GGUF need not repeat: the name of the file's type.
MAY_DIFFER = {"general.file_type"}


def check_rival(comparison, path, n_tokens):
    """llama.cpp beside chaski on one file: what is wrong, what was seen."""
    tokenizer, chaski = comparison.tokenizer, comparison.chaski
    rival = peers.LlamaCpp(path)
    ids = tokenizer.encode(TEXT)
    theirs, seen, wrong = rival.logits(ids), [], []
    answers = {"exact": 0, "fast": 0}
    for precision in answers:
        ours = chaski.logits(path, [ids], comparison.config.vocab_size, precision)
        kl = peers.kl_divergence(ours, theirs).mean()
        same = (ours.argmax(-1) == theirs.argmax(-1)).mean()
        if kl > MAX_RIVAL_KL:
            wrong.append(f"llama.cpp is {kl:.2g} nats from {precision}")
        for prompt in PROMPTS:
            prompt_ids, answer = chaski.greedy(path, prompt, n_tokens, precision)
            if rival.tokenize(prompt) != prompt_ids:
                wrong.append(f"{prompt!r}: other ids")
            answers[precision] += rival.greedy(prompt_ids, n_tokens) == answer
        seen.append(f"{precision} KL {kl:.1e}, best token {100 * same:.1f} %, answers {answers[precision]}/{len(PROMPTS)}")
    rival.close()
    return wrong, "; ".join(seen)


def values_of(path):
    values = {}
    for key, field in gguf.GGUFReader(path).fields.items():
        if not key.startswith("GGUF."):
            values[key] = field.contents()
    return values


def check_formats(comparison, folder, formats, work, n_tokens):
    for style in formats:
        path = work / f"{style}.gguf"
        comparison.chaski.quantize(folder, path, style)
        comparison.check_gguf(f"chaski quantize {style}", path)
        wrong, seen = check_rival(comparison, path, n_tokens)
        comparison.n_wrong += bool(wrong)
        print(f"  llama.cpp beside it: {seen}{': WRONG: ' + '; '.join(wrong) if wrong else ''}", flush=True)
        path.unlink()


def check_round_trip(comparison, name, folder, converter, outtype, work):
    first, there, second = work / f"{name}.gguf", work / name, work / f"{name}-again.gguf"
    peers.convert_with_llama_cpp(converter, folder, first, outtype)
    comparison.chaski("convert", first, there)
    comparison.chaski("convert", there, second)
    reference = peers.transformers_of_folder(there)
    same = peers.transformers_of_gguf([first], comparison.config).state_dict()
    wrong = [f"{key} differs" for key, value in reference.state_dict().items() if not (value == same[key]).all()]
    tokenizer = AutoTokenizer.from_pretrained(there)
    if tokenizer.encode(TEXT) != comparison.tokenizer.encode(TEXT):
        wrong.append("other ids")
    prompt = lambda t: t.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    if prompt(tokenizer) != prompt(comparison.tokenizer):
        wrong.append("another chat prompt")
    before, after = values_of(first), values_of(second)
    for key in sorted(before.keys() - MAY_DIFFER):
        if key not in after:
            wrong.append(f"{key} is lost")
        elif not np.all(after[key] == before[key]):
            wrong.append(f"{key} differs: {str(before[key])[:60]}, {str(after[key])[:60]}")
    comparison.n_wrong += bool(wrong)
    print(f"convert, {name} {outtype}: {'as it was' if not wrong else 'WRONG: ' + '; '.join(wrong)}")
    comparison.check(f"convert, {name} {outtype}: the folder", there, peers.Reference(reference, comparison.n_tokens))
    comparison.check_gguf(f"convert, {name} {outtype}: the second GGUF", second)
    wrong, seen = check_rival(comparison, second, comparison.n_tokens)
    comparison.n_wrong += bool(wrong)
    print(f"  llama.cpp beside it: {seen}{': WRONG: ' + '; '.join(wrong) if wrong else ''}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("chaski", "score-logits", "dequantize", "convert"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--formats", default=",".join(peers.FILE_TYPES))
    parser.add_argument("--tokens", type=int, default=64)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        comparison = Comparison(args, *peers.tokenizer_and_config(args.model))
        check_formats(comparison, args.model, [s for s in args.formats.split(",") if s], work, args.tokens)
        check_round_trip(comparison, "trained", args.model, args.convert, "bf16", work)
        make_random_model(args.model, work / "random-model")
        on_random = Comparison(args, *peers.tokenizer_and_config(work / "random-model"))
        check_round_trip(on_random, "random", work / "random-model", args.convert, "f16", work)
    n_wrong = comparison.n_wrong + on_random.n_wrong
    print(f"{comparison.n_files + on_random.n_files} files, {n_wrong} findings")
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
