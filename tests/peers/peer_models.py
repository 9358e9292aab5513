"""The peers' side of the comparisons of model files: llama.cpp's converter, quantiser and logits, transformers on the
very weights of a GGUF file, and chaski's answers beside them. No comparison is made here.

Needs torch, transformers, gguf and llama-cpp-python; the converter is a file of llama.cpp's sources.
"""
import ctypes
import json
import pathlib
import subprocess
import sys

import gguf
import llama_cpp
import numpy as np
import torch
from transformers import AutoConfig, AutoTokenizer, LlamaForCausalLM

# llama.cpp's numbers of its file types, for all formats that both quantisers offer.
FILE_TYPES = {"f32": 0, "f16": 1, "bf16": 32, "q8_0": 7, "q6_K": 18, "q5_K_M": 17, "q5_K_S": 16, "q5_1": 9, "q5_0": 8,
              "q4_K_M": 15, "q4_K_S": 14, "q4_1": 3, "q4_0": 2, "iq4_nl": 25, "iq4_xs": 30, "q3_K_L": 13, "q3_K_M": 12,
              "q3_K_S": 11, "q2_K": 10}
# The converter knows tokenizers by the ids of one text; one that was trained a minute ago it cannot know.
CONVERT = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1]).parent
sys.path[:0] = [str(folder), str(folder / "gguf-py")]
import convert_hf_to_gguf
from conversion.base import TextModel
TextModel.get_vocab_base_pre = lambda self, tokenizer: "llama-bpe"
sys.argv = sys.argv[1:]
convert_hf_to_gguf.main()
"""
NAMES = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
         "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
_quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
llama_cpp.llama_log_set(_quiet, ctypes.c_void_p(0))


def check_output(command, **options):
    run = subprocess.run([str(word) for word in command], capture_output=True, **options)
    if run.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command[:4]))} … failed: {run.stderr.decode(errors='replace')[-2000:]}")
    return run.stdout


def convert_with_llama_cpp(converter, folder, target, outtype, *more):
    check_output([sys.executable, "-c", CONVERT, converter, folder, "--outfile", target, "--outtype", outtype, *more])


def quantize_with_llama_cpp(source, target, style, threads=1):
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = FILE_TYPES[style], threads
    status = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params))
    if status != 0:
        raise SystemExit(f"llama.cpp does not quantise {source} to {style}")


class LlamaCpp:
    """A model in llama.cpp. Logits of all positions by its low-level interface."""

    def __init__(self, path, context=256, threads=1):
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = 0
        params.use_extra_bufts = False  # its AMX code faults on machines that show AMX but do not lend it
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        if not self.model:
            raise SystemExit(f"llama.cpp does not load {path}")
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = context
        params.n_threads = params.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.vocab_handle = llama_cpp.llama_model_get_vocab(self.model)
        self.vocab = llama_cpp.llama_vocab_n_tokens(self.vocab_handle)
        self.batch = llama_cpp.llama_batch_init(context, 0, 1)

    def close(self):
        llama_cpp.llama_batch_free(self.batch)
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self.model)

    def tokenize(self, text):
        data = text.encode()
        ids = (llama_cpp.llama_token * (len(data) + 8))()
        n = llama_cpp.llama_tokenize(self.vocab_handle, data, len(data), ids, len(ids), True, False)
        return list(ids[:n])

    def _decode(self, ids, begin):
        self.batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            self.batch.token[i], self.batch.pos[i] = token, begin + i
            self.batch.n_seq_id[i], self.batch.seq_id[i][0], self.batch.logits[i] = 1, 0, 1
        if llama_cpp.llama_decode(self.context, self.batch) != 0:
            raise SystemExit("llama.cpp: llama_decode failed")
        rows = llama_cpp.llama_get_logits(self.context)
        return np.ctypeslib.as_array(rows, (len(ids), self.vocab)).copy()

    def _clear(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def logits(self, ids):
        self._clear()
        return self._decode(ids, 0)

    def greedy(self, ids, n):
        self._clear()
        new, at, rows = [], len(ids), self._decode(ids, 0)
        while len(new) < n:
            new.append(int(rows[-1].argmax()))
            rows = self._decode(new[-1:], at)
            at += 1
        return new


def _unrotated(rows, n_heads):
    """Rows of q or k from GGUF's order of a head's dimensions, pairs beside each other, to Hugging Face's, halves."""
    return rows.reshape(n_heads, -1, 2, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape)


def hf_name_of(name):
    """Hugging Face's name of a GGUF weight; None for what it has no weight for."""
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{NAMES[parts[2]]}.weight"
    return {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
            "output.weight": "lm_head.weight"}.get(name)


def transformers_of_gguf(paths, config):
    """transformers' model in f32 with the weights of GGUF files as PyPI gguf dequantises them."""
    state = {}
    for path in paths:
        for tensor in gguf.GGUFReader(path).tensors:
            name, shape = hf_name_of(tensor.name), tuple(reversed(tensor.shape.tolist()))
            if name is None:
                continue
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)
            if ".q_proj" in name or ".k_proj" in name:
                heads = config.num_attention_heads if ".q_proj" in name else config.num_key_value_heads
                values = _unrotated(values, heads)
            state[name] = torch.from_numpy(np.ascontiguousarray(values))
    model = LlamaForCausalLM(config).float().eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or [m for m in missing if not (m == "lm_head.weight" and config.tie_word_embeddings)]:
        raise SystemExit(f"{paths[0]}: weights missing: {missing}, unexpected: {unexpected}")
    return model


def transformers_of_folder(folder):
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


class Reference:
    """What transformers in f32 answers: greedy ids, where its best two logits are close, and logits."""

    def __init__(self, model, n_new):
        self.model, self.n_new = model, n_new

    def logits(self, ids):
        with torch.no_grad():
            return self.model(torch.tensor([ids])).logits[0].numpy()

    def greedy(self, ids):
        """(ids, gap between the best two logits at each step)."""
        with torch.no_grad():
            out = self.model.generate(torch.tensor([ids]), max_new_tokens=self.n_new, do_sample=False,
                                      eos_token_id=None, pad_token_id=0, repetition_penalty=1.0,
                                      return_dict_in_generate=True, output_logits=True)
        best = [torch.topk(rows[0], 2).values for rows in out.logits]
        return out.sequences[0, len(ids):].tolist(), [float(b[0] - b[1]) for b in best]


class Chaski:
    def __init__(self, program, score_logits):
        self.program, self.score = str(program), str(score_logits)

    def __call__(self, *words):
        return check_output([self.program, *words], stdin=subprocess.DEVNULL)

    def greedy(self, model, prompt, n, precision="exact", *more):
        """(prompt's ids, the answer's)."""
        out = json.loads(self("run", model, "--precision", precision, "--temperature", "0", "--repetition-penalty", "1",
                              "--template", "raw:{prompt}", "-p", prompt, "--max-new-tokens", n, "--ignore-eos", "--json",
                              "--seed", "1", *more))
        return out["prompt_ids"], out["ids"]

    def logits(self, model, windows, vocab, precision="exact"):
        """[sum of lengths, vocab] for lists of ids, each taken by itself."""
        lines = "".join(json.dumps(ids) + "\n" for ids in windows)
        out = check_output([self.score, model, "--precision", precision], input=lines.encode())
        return np.frombuffer(out, np.float32).reshape(-1, vocab)

    def quantize(self, source, target, style, threads=1):
        self("quantize", source, target, "--format", style, "--force", "-t", threads)


def log_softmax(x):
    x = x.astype(np.float64)
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def kl_divergence(reference, other):
    """Per position, in nats, of two arrays of logits."""
    p, q = log_softmax(reference), log_softmax(other)
    return (np.exp(p) * (p - q)).sum(-1)


def tokenizer_and_config(folder):
    return AutoTokenizer.from_pretrained(folder), AutoConfig.from_pretrained(folder)


def files_of(path):
    """All files of a GGUF model, the parts of one that was split included."""
    path = pathlib.Path(path)
    stem = path.stem.rsplit("-00001-of-", 1)[0]
    return sorted(path.parent.glob(f"{stem}-*-of-*.gguf")) if "-00001-of-" in path.stem else [path]
