#!/usr/bin/env python3
"""Makes the golden files of tests/data/goldens with transformers, so that the normal tests have its answers without it.

    make_goldens.py --gguf SMOLLM2.gguf --out tests/data/goldens [--only tiny|smollm2]

Writes
  tiny-llama-3.2/        a random checkpoint of Llama 3.2's form (grouped heads, llama3 rope scaling, tied embeddings,
                         several eos ids), bf16, by save_pretrained
  tiny_logits.npz        its f32 logits: all positions of a short text, the last of one that passes position 8192
  smollm2_logits.npz     SmolLM2's f32 logits (dequantised by transformers' own GGUF reader) at two positions
  smollm2_greedy.json    its greedy answers to 20 prompts, 128 tokens each, and every step at which the best two logits
                         are closer than 1e-4
Needs torch, transformers, gguf, numpy (tools/peers-heavy.txt).
"""
import argparse
import json
import pathlib

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

NEAR_TIE = 1e-4
PROMPTS = [
    "The capital of France is", "Once upon a time, there was a little robot who", "def fibonacci(n):\n",
    "Machine learning is", "The three primary colours are", "1 + 2 + 3 + 4 + 5 =", "To make a cup of tea, first",
    "In 1969, the first humans", "A triangle has three", "The largest planet in the solar system is",
    "请介绍一下你自己", "中国的首都是", "机器学习是", "for i in range(10):\n    ", "import numpy as np\n",
    "Water boils at", "My favourite book is", "Dear Sir or Madam,\n", "Q: What is the speed of light?\nA:",
    "The quick brown fox",
]


def tiny_model():
    torch.manual_seed(20241123)
    config = LlamaConfig(
        vocab_size=384, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=131072, rms_norm_eps=1e-5, rope_theta=500000.0,
        rope_scaling=dict(rope_type="llama3", factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
                          original_max_position_embeddings=8192),
        tie_word_embeddings=True, bos_token_id=380, eos_token_id=[381, 382, 383], initializer_range=0.2)
    model = LlamaForCausalLM(config)
    for name, parameter in model.named_parameters():
        if "norm" in name:  # gains of exactly one would hide a missing one
            parameter.data.uniform_(0.5, 1.5)
    return model.to(torch.bfloat16)


def logits_of(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().numpy()


def make_tiny(out):
    tiny_model().save_pretrained(out / "tiny-llama-3.2")
    # Read anew: casting the model would have rounded its rotary frequencies too.
    model = AutoModelForCausalLM.from_pretrained(out / "tiny-llama-3.2", dtype=torch.float32).eval()
    rng = np.random.default_rng(1)
    short = rng.integers(0, 380, 96).tolist()
    long = rng.integers(0, 380, 8300).tolist()
    np.savez_compressed(out / "tiny_logits.npz", short_ids=np.array(short, np.int32), short=logits_of(model, short),
                        long_ids=np.array(long, np.int32), long=logits_of(model, long)[-4:])
    print("tiny: logits of", len(short), "and", len(long), "tokens")


def make_smollm2(out, gguf):
    gguf = pathlib.Path(gguf)
    model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32).eval()
    from tokenizer_of_gguf import tokenizer_of_gguf
    tokenizer = tokenizer_of_gguf(gguf)
    encoded = [tokenizer.encode(p).ids for p in PROMPTS]
    ids = encoded[1] + encoded[10] + encoded[2]
    np.savez_compressed(out / "smollm2_logits.npz", ids=np.array(ids, np.int32),
                        positions=np.array([3, len(ids) - 1], np.int32), logits=logits_of(model, ids)[[3, -1]])
    answers = []
    for prompt, prompt_ids in zip(PROMPTS, encoded):
        with torch.no_grad():
            result = model.generate(torch.tensor([prompt_ids]), max_new_tokens=128, do_sample=False, eos_token_id=None,
                                    repetition_penalty=1.0, return_dict_in_generate=True, output_logits=True)
        new = result.sequences[0, len(prompt_ids):].tolist()
        near_ties = []
        for step, logits in enumerate(result.logits):
            best = torch.topk(logits[0], 2)
            gap = float(best.values[0] - best.values[1])
            if gap < NEAR_TIE:
                near_ties.append({"step": step, "gap": gap, "ids": best.indices.tolist()})
        answers.append({"prompt": prompt, "prompt_ids": prompt_ids, "ids": new, "near_ties": near_ties})
        print(f"smollm2: {prompt!r} -> {len(new)} tokens, {len(near_ties)} near ties", flush=True)
    text = json.dumps({"near_tie": NEAR_TIE, "answers": answers}, ensure_ascii=False, indent=None)
    (out / "smollm2_greedy.json").write_text(text.replace('{"prompt"', '\n{"prompt"') + "\n")


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--gguf", required=True)
    args.add_argument("--out", required=True, type=pathlib.Path)
    args.add_argument("--only", choices=["tiny", "smollm2"])
    args = args.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.only != "smollm2":
        make_tiny(args.out)
    if args.only != "tiny":
        make_smollm2(args.out, args.gguf)


if __name__ == "__main__":
    main()
