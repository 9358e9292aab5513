#!/usr/bin/env python3
"""A LoRA adapter made and applied by PEFT, and the same applied by chaski: the same greedy ids.

    lora_parity.py --chaski PROGRAM [--out FOLDER]

Random Llama models, head tied and not; all seven linear layers adapted (and the head, where it has a weight of its
own), with patterns and rslora in turn. The base is read as it was saved, and as the GGUF file that chaski makes of it.
Needs torch, transformers, tokenizers, peft (tools/peers-heavy.txt).
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PROMPTS = ["The capital of France is", "1 + 2 + 3", "机器学习是"]
N_TOKENS = 48
CASES = {
    "plain": dict(r=8, lora_alpha=16),
    "rslora": dict(r=4, lora_alpha=8, use_rslora=True),
    "patterns": dict(r=8, lora_alpha=16, rank_pattern={"q_proj": 3, "model.layers.1.mlp.down_proj": 5},
                     alpha_pattern={"layers.0.self_attn.v_proj": 40, "up_proj": 3}),
}


def make_tokenizer(folder):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: i for i, piece in enumerate([*alphabet, "th"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[("t", "h")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)


def make_base(folder, tied, seed):
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=257, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=2048, rms_norm_eps=1e-5, rope_theta=500000.0,
        rope_scaling=dict(rope_type="llama3", factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
                          original_max_position_embeddings=512),
        tie_word_embeddings=tied, bos_token_id=None, eos_token_id=None, initializer_range=0.15)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    make_tokenizer(folder)


def make_adapter(base, folder, tied, options):
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    targets = LINEAR + ([] if tied else ["lm_head"])
    model = get_peft_model(model, LoraConfig(target_modules=targets, task_type="CAUSAL_LM", **options))
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder)


def chaski(program, model, adapter, prompt):
    command = [program, "run", str(model), "--lora", str(adapter), "-p", prompt, "--template", "raw:{prompt}", "--json",
               "--precision", "exact", "--temperature", "0", "--max-new-tokens", str(N_TOKENS), "--ignore-eos"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def peft_ids(model, prompt_ids):
    ids = torch.tensor([prompt_ids])
    with torch.no_grad():
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False,
                             max_new_tokens=N_TOKENS, eos_token_id=None, pad_token_id=0)
    return out[0, len(prompt_ids):].tolist()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--chaski", required=True)
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    out = args.out or pathlib.Path(tempfile.mkdtemp())
    n, n_different, n_adapted = 0, 0, 0
    for tied in (True, False):
        for number, (case, options) in enumerate(CASES.items()):
            base, adapter = out / f"base-{tied}-{case}", out / f"adapter-{tied}-{case}"
            make_base(base, tied, seed=number)
            make_adapter(base, adapter, tied, options)
            bases = [base, base.with_suffix(".gguf")]
            subprocess.run([args.chaski, "convert", str(base), str(bases[1])], check=True, capture_output=True)
            plain = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
            before = [peft_ids(plain, chaski(args.chaski, base, adapter, p)["prompt_ids"]) for p in PROMPTS]
            model = PeftModel.from_pretrained(plain, adapter).eval()
            for path in bases:
                for prompt, without in zip(PROMPTS, before):
                    answer = chaski(args.chaski, path, adapter, prompt)
                    expected = peft_ids(model, answer["prompt_ids"])
                    n += 1
                    n_adapted += expected != without
                    if answer["ids"] != expected:
                        n_different += 1
                        print(f"{path.name} {prompt!r}\n  peft   {expected}\n  chaski {answer['ids']}")
    print(f"lora_parity: {n} answers of {N_TOKENS} ids, {n_different} differ; the adapter changed {n_adapted}")
    if not args.out:
        shutil.rmtree(out)
    sys.exit(1 if n_different or n_adapted < n else 0)


if __name__ == "__main__":
    main()
