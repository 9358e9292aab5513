"""peers_transformers.py FOLDER prefill|decode N THREADS: one figure of transformers on bf16 weights, as JSON. Started by
bench/peers.py with a Python that has torch and transformers."""
import json
import sys
import time

import torch
import transformers


def main():
    folder, what, n, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(threads)
    start = time.monotonic()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    load_s = time.monotonic() - start
    ids = torch.randint(1000, 100_000, (1, n if what == "prefill" else 21), generator=torch.Generator().manual_seed(0))
    ids %= model.config.vocab_size
    with torch.inference_mode():
        if what == "prefill":
            model(input_ids=ids, logits_to_keep=1)  # the first forward of a shape also sets its kernels up
            start = time.monotonic()
            model(input_ids=ids, logits_to_keep=1)
            seconds, n_done = time.monotonic() - start, n
        else:
            state = model(input_ids=ids, use_cache=True, logits_to_keep=1)
            start = time.monotonic()
            for _ in range(n):
                token = state.logits[:, -1].argmax(-1, keepdim=True)
                state = model(input_ids=token, past_key_values=state.past_key_values, use_cache=True)
            seconds, n_done = time.monotonic() - start, n
    print(json.dumps({"tokens_per_s": n_done / seconds, "load_s": load_s, "torch": torch.__version__,
                      "transformers": transformers.__version__}))


if __name__ == "__main__":
    main()
