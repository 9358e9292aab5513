#!/usr/bin/env python3
"""Trains a small real Llama whose weights were never quantised, on which the quality of number formats is measured.

    train_tiny.py --out FOLDER [--text FILE…] [--packages FOLDER] [--steps 1500] [--layers 4] [--threads 1]
                  [--max-shard-size 4MB] [--seed 1]

Without --text it learns from the manuals that Debian 12 packages in English and Chinese (PACKAGES below; free licences),
fetched by `apt-get download` into --packages. Writes a folder as transformers' save_pretrained does (bf16 safetensors,
tokenizer.json, config.json, generation_config.json, a chat template), heldout.txt with documents it was not trained
on, and train_tiny.json saying how it was made. Same seed, texts, threads and machine: the same weights.
Needs torch, transformers, tokenizers, safetensors (tools/peers-heavy.txt). Half an hour on one idle core.
"""
import argparse
import gzip
import hashlib
import html
import json
import math
import pathlib
import re
import subprocess
import time

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PACKAGES = ["debian-reference-en", "debian-faq", "fortunes", "perl-doc",
            "debian-reference-zh-cn", "debian-faq-zh-cn", "maint-guide-zh-cn", "fortunes-zh", "manpages-zh"]
SPECIALS = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
# Llama 3's rule of where words end.
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
         r"\s+(?!\S)|\s+")
CHAT_TEMPLATE = ("{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + "
                 "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
                 "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
LONGEST_DOCUMENT = 60_000  # characters: a few long manuals would drown the others
HELD_OUT_CHARACTERS = {"en": 60_000, "zh": 30_000}
WINDOW = 256


def plain_of_roff(text):
    lines = []
    text = text[max(0, text.find("\n.TH")):]  # before it there are macros only
    for line in text.split("\n"):
        if line.startswith((".\\\"", "'\\\"")):
            continue
        if line.startswith((".", "'")):
            parts = line[1:].split(None, 1)
            line = parts[1].replace('"', "") if len(parts) == 2 and parts[0] in {
                "SH", "SS", "B", "I", "BR", "BI", "IR", "IB", "RB", "RI", "IP", "TH"} else ""
        lines.append(line)
    text = "\n".join(lines)
    text = re.sub(r"\\f(\[\w*\]|\(..|.)|\\s[+-]?\d|\\[&|^%:/,]|\\\*\(..", "", text)
    text = re.sub(r"\\\((..)", lambda m: {"em": "—", "aq": "'", "lq": "“", "rq": "”", "bu": "·"}.get(m[1], ""), text)
    return text.replace("\\-", "-").replace("\\e", "\\").replace("\\ ", " ").replace("\\", "")


def plain_of_pod(text):
    for _ in range(3):  # nested formatting codes
        text = re.sub(r"[BCEFILSX]<<?\s?([^<>]*)\s?>?>", lambda m: m[1].split("|")[0], text)
    return re.sub(r"^=(head\d|item|over|back|cut|pod|begin|end|for|encoding)[ \t]*", "", text, flags=re.M)


def plain_of_html(text):
    text = re.sub(r"(?is)<(script|style|head)\b.*?</\1>", "", text)
    return html.unescape(re.sub(r"<[^>]+>", "", text))


def documents_of(path):
    """The texts in one file of a package; none where it holds no prose."""
    name = path.name
    if path.suffix == ".gz":
        data, name = gzip.decompress(path.read_bytes()), name[:-3]
    else:
        data = path.read_bytes()
    folder = path.as_posix()
    is_fortune = "/games/fortunes/" in folder and not name.endswith((".dat", ".u8"))
    is_roff = "/man/zh_CN/" in folder
    if not (is_fortune or is_roff or name.endswith((".html", ".pod"))):
        return []
    text = data.decode("utf-8", errors="ignore").replace("\r\n", "\n").replace("\t", "    ")
    if is_fortune:
        text = re.sub(r"\x1b\[[0-9;]*m", "", text)
        sayings = [s.strip() for s in re.split(r"^%+\n", text, flags=re.M)]
        return ["\n\n".join(sayings[i:i + 40]) for i in range(0, len(sayings), 40)]
    text = plain_of_roff(text) if is_roff else plain_of_pod(text) if name.endswith(".pod") else plain_of_html(text)
    return [text]


def documents_of_packages(folder):
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for package in PACKAGES:
        if not list(folder.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "download", package], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        tree = folder / package
        if not tree.exists():
            partial = folder / f"{package}.partial"
            subprocess.run(["dpkg-deb", "-x", sorted(folder.glob(f"{package}_*.deb"))[-1], partial], check=True)
            partial.rename(tree)
        for path in sorted(p for p in tree.rglob("*") if p.is_file() and not p.is_symlink()):
            found += documents_of(path)
    return found, [p.name for package in PACKAGES for p in sorted(folder.glob(f"{package}_*.deb"))[-1:]]


def split_documents(documents):
    """(training, held out): cleaned, of one order whatever the machine, the held-out ones chosen by their hashes."""
    cleaned = set()
    for text in documents:
        text = re.sub(r"\n{3,}", "\n\n", re.sub(r"[^\S\n]+$", "", text, flags=re.M)).strip()[:LONGEST_DOCUMENT]
        if len(text) > 400:
            cleaned.add(text)
    ordered = sorted(cleaned, key=lambda t: hashlib.sha256(t.encode()).digest())
    a_tenth = sum(map(len, ordered)) // 10
    training, held_out, left = [], [], {name: min(n, a_tenth) for name, n in HELD_OUT_CHARACTERS.items()}
    for text in ordered:
        language = "zh" if len(re.findall(r"[\u4e00-\u9fff]", text)) > len(text) / 8 else "en"
        if left[language] > 0 and len(text) < 12_000:
            left[language] -= len(text)
            held_out.append(text)
        else:
            training.append(text)
    return training, held_out


def train_tokenizer(texts, vocab, folder):
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab - len(SPECIALS), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(SPECIALS)
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin_of_text|> $A",
                                      special_tokens=[(SPECIALS[0], tokenizer.token_to_id(SPECIALS[0]))])])
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=SPECIALS[0], eos_token=SPECIALS[1],
                                      clean_up_tokenization_spaces=False, model_max_length=WINDOW)
    wrapped.chat_template = CHAT_TEMPLATE
    wrapped.save_pretrained(folder)
    return tokenizer


def mean_loss(model, stream):
    """Nats per token over windows of the held-out ids."""
    windows = stream[:len(stream) // WINDOW * WINDOW].view(-1, WINDOW)
    with torch.no_grad():
        losses = [model(input_ids=w, labels=w).loss.item() for w in windows.split(16)]
    return sum(losses) / len(losses)


def train(model, stream, held_out, args):
    generator = torch.Generator().manual_seed(args.seed)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
                                  lr=args.rate, betas=(0.9, 0.95), fused=True)
    warmup, start = min(50, args.steps // 10 + 1), time.monotonic()
    for step in range(args.steps):
        part = min(1.0, (step + 1) / warmup)
        rate = args.rate * part * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / args.steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        begins = torch.randint(0, len(stream) - WINDOW - 1, (args.batch,), generator=generator).tolist()
        ids = torch.stack([stream[b:b + WINDOW + 1] for b in begins])
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model.model(input_ids=ids[:, :-1]).last_hidden_state
            logits = hidden @ model.lm_head.weight.T
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 50 == 49 or step + 1 == args.steps:
            held = f", held out {mean_loss(model, held_out[:WINDOW * 32]):.3f}" if step % 250 == 249 else ""
            print(f"step {step + 1}/{args.steps}: loss {loss.item():.3f}{held}, {time.monotonic() - start:.0f} s",
                  flush=True)
    return time.monotonic() - start


def unigram_loss(training, held_out, vocab):
    counts = torch.bincount(training, minlength=vocab).double() + 1
    return -torch.log(counts / counts.sum())[held_out].mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--text", nargs="+", type=pathlib.Path, help="UTF-8 files, cut into documents of 4000 characters")
    parser.add_argument("--packages", type=pathlib.Path, default=pathlib.Path("build/texts"))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=8, help=f"windows of {WINDOW} tokens in a step")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--vocab", type=int, default=4096)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--ffn", type=int, default=768)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-shard-size", default="50GB")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)

    if args.text:
        documents, sources = [], [p.name for p in args.text]
        for path in args.text:
            text = path.read_text(encoding="utf-8")
            documents += [text[i:i + 4000] for i in range(0, len(text), 4000)]
    else:
        documents, sources = documents_of_packages(args.packages)
    training, held_out = split_documents(documents)
    (args.out / "heldout.txt").write_text("\n\n".join(held_out) + "\n", encoding="utf-8")
    tokenizer = train_tokenizer(training, args.vocab, args.out)
    begin, end = (tokenizer.token_to_id(t) for t in SPECIALS[:2])
    streams = [torch.tensor([i for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)
                             for i in [begin, *encoding.ids, end]]) for texts in (training, held_out)]
    baseline = unigram_loss(*streams, args.vocab)
    print(f"{len(training)} documents of {len(streams[0])} tokens, held out {len(held_out)} of {len(streams[1])}; "
          f"unigram loss {baseline:.3f}", flush=True)

    config = LlamaConfig(
        vocab_size=args.vocab, hidden_size=args.hidden, intermediate_size=args.ffn, num_hidden_layers=args.layers,
        num_attention_heads=args.hidden // 64, num_key_value_heads=args.hidden // 128, head_dim=64,
        max_position_embeddings=WINDOW, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=True,
        bos_token_id=begin, eos_token_id=[end, tokenizer.token_to_id("<|eot_id|>")], use_cache=False)
    model = LlamaForCausalLM(config)
    seconds = train(model, *streams, args)
    model = model.to(torch.bfloat16)
    model.config.use_cache = True
    model.save_pretrained(args.out, max_shard_size=args.max_shard_size)
    loss = mean_loss(model.float().eval(), streams[1])
    made = {"sources": sources, "training_sha256": hashlib.sha256("".join(training).encode()).hexdigest(),
            "held_out_sha256": hashlib.sha256((args.out / "heldout.txt").read_bytes()).hexdigest(),
            "training_tokens": len(streams[0]), "held_out_tokens": len(streams[1]),
            "parameters": sum(p.numel() for p in model.parameters()), "seen_tokens": args.steps * args.batch * WINDOW,
            "steps": args.steps, "batch": args.batch, "window": WINDOW, "rate": args.rate, "seed": args.seed,
            "threads": args.threads, "seconds": round(seconds), "torch": torch.__version__,
            "unigram_perplexity": math.exp(baseline), "held_out_perplexity": math.exp(loss)}
    (args.out / "train_tiny.json").write_text(json.dumps(made, indent=1) + "\n")
    print(json.dumps(made))


if __name__ == "__main__":
    main()
