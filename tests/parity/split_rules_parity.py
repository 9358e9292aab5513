#!/usr/bin/env python3
"""Compare chaski's split rules and SentencePiece-style BPE with Hugging Face tokenizers: every id must be equal.

  split_rules_parity.py --chaski-tokenize build/tokenize_lines --gguf SmolLM2.gguf [--n 300] [--seed 0]

For each rule, a tokenizer.json with the pre_tokenizer that the rule's models have and the GGUF's vocabulary, and one
with a vocabulary whose ids tell where the cuts are; then a small vocabulary of characters with byte fallback, trained
here, with each form of SentencePiece's space. Texts are those of tokenizer_parity.py. Needs tokenizers and gguf. Exit
status 1 on a difference.
"""
import argparse
import json
import os
import random
import sys
import tempfile

import gguf
import tokenizers

from tokenizer_parity import LLAMA3, added, ask_chaski, byte_alphabet, every_character, make_text, tokenizer_json

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+")
SEED_CODER = (CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
LEAD, TAIL = r"[^\r\n\p{L}\p{N}]?", r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = f"{LEAD}{UPPER}*{LOWER}+|{LEAD}{UPPER}+{LOWER}*|" + r"\p{N}" + TAIL
GPT4O = f"{LEAD}{UPPER}*{LOWER}+{CONTRACTIONS}?|{LEAD}{UPPER}+{LOWER}*{CONTRACTIONS}?|" + r"\p{N}{1,3}" + TAIL
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"
PORO = BLOOM.replace("[.", ".").replace("])", ")")
CASED = ("A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ"
         "-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰"
         "-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃")
WIDE_MARKS = "!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002"
HAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
             r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""")
DIGITS = {"type": "Digits", "individual_digits": True}
RULES = {"llama3": [LLAMA3], "gpt-2": [GPT2], "smollm": [DIGITS, GPT2], "qwen2": [f"{CONTRACTIONS}|" + WORDS % r"\p{N}"],
         "minicpm5": [r"\p{N}{1,3}", f"{CONTRACTIONS}|" + WORDS % r"\p{N}+"], "ufakzeka": [WORDS % r"\p{N}"],
         "seed-coder": [SEED_CODER], "tekken": [TEKKEN], "gpt-4o": [GPT4O], "bloom": [BLOOM], "viking": [PORO, DIGITS],
         "poro-chat": [PORO], "cl100k": [CL100K], "bailingmoe": [CL100K.replace("{1,3}", "")],
         "deepseek-llm": ["[\r\n]", rf"\s?[{CASED}]+", rf"\s?[{WIDE_MARKS}]+", r"\s+$", HAN, DIGITS],
         "deepseek-coder": ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", HAN, DIGITS],
         "deepseek-v3": [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", DEEPSEEK3],
         "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]}


def as_step(step):
    return step if isinstance(step, dict) else {"type": "Split", "pattern": {"Regex": step}, "behavior": "Isolated",
                                                "invert": False}


def rule_files(path):
    fields = gguf.GGUFReader(path).fields
    tokens, types = (fields[f"tokenizer.ggml.{key}"].contents() for key in ("tokens", "token_type"))
    merges = fields["tokenizer.ggml.merges"].contents()
    specials = {i: t for i, t in enumerate(tokens) if types[i] == 3}
    seams = seam_merges()
    characters = [*byte_alphabet().values(), *(a + b for a, b in seams)]
    vocabularies = {"": (tokens, merges, specials), ", seams": (characters, seams, {})}
    for name, steps in RULES.items():
        for kind, (pieces, joins, controls) in vocabularies.items():
            content = tokenizer_json({t: i for i, t in enumerate(pieces)}, joins, controls, None, False, False, None)
            content["pre_tokenizer"]["pretokenizers"][:1] = [as_step(step) for step in steps]
            yield name + kind, content


def seam_merges():
    """What stands at either side of a cut between an ASCII character and any other joins before all else, so that the
    ids of such texts tell where each cut is."""
    alphabet = byte_alphabet()
    pairs = [(a, b) for a in range(0x80, 0xC0) for b in range(128)]  # first, as many rules cut before a space
    pairs += [(a, b) for a in range(128) for b in range(0xC2, 0xF5)]
    pairs += [(a, b) for a in range(128) for b in range(128)]
    return [[alphabet[a], alphabet[b]] for a, b in pairs]


def character_files(rng):
    """The vocabulary: special tokens, bytes, then what is trained; SentencePiece's space is U+2581."""
    trained = tokenizers.Tokenizer(tokenizers.models.BPE())
    trained.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(split=True)
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=3000, limit_alphabet=600, show_progress=False)
    trained.train_from_iterator([make_text(rng) for _ in range(1500)], trainer)
    learned = json.loads(trained.to_str())["model"]
    first = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    names = first + [t for t in sorted(learned["vocab"], key=learned["vocab"].get) if t != " "]
    vocab = {t: i for i, t in enumerate(dict.fromkeys(names + ["\u2581", "\u2581\u2581", "\u2581\u2581\u2581\u2581"]))}
    merges = [["\u2581", "\u2581"], ["\u2581\u2581", "\u2581\u2581"]]
    merges += [m for m in learned["merges"] if all(x in vocab for x in (*m, "".join(m)))]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    prepend = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, replace]}
    forms = {"prepend": (prepend, None), "replace": (replace, None)}
    for scheme in ("first", "always", "never"):
        for split in (False, True):
            forms[f"{scheme}, split {split}"] = (None, {"type": "Metaspace", "replacement": "\u2581",
                                                        "prepend_scheme": scheme, "split": split})
    decoders = [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
                {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]
    for name, (normalizer, pre_tokenizer) in forms.items():
        yield f"characters, {name}", {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": [added(i, first[i]) for i in range(3)],
            "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": None,
            "decoder": {"type": "Sequence", "decoders": decoders},
            "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                      "vocab": vocab, "merges": merges}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chaski-tokenize", required=True)
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    texts = list(every_character(args.seed, args.n >= 20000)) + [make_text(rng) for _ in range(args.n)]
    path = os.path.join(tempfile.mkdtemp(), "tokenizer.json")
    n_rules = n_differences = 0
    for name, content in [*rule_files(args.gguf), *character_files(rng)]:
        n_rules += 1
        with open(path, "w", encoding="utf-8") as out:
            json.dump(content, out, ensure_ascii=False)
        peer = tokenizers.Tokenizer.from_file(path)
        peer.encode_special_tokens = True
        expected = [e.ids for e in peer.encode_batch_fast(texts, add_special_tokens=False)]
        for text, ours, theirs in zip(texts, ask_chaski(args.chaski_tokenize, path, texts), expected, strict=True):
            if ours != theirs:
                n_differences += 1
                if n_differences <= 10:
                    print(f"{name}: {ours[:12]} expected {theirs[:12]}: {text[:200]!r}")
    print(f"{n_rules} rules, {len(texts)} texts each: {n_differences} differences")
    return 1 if n_differences else 0


if __name__ == "__main__":
    sys.exit(main())
