#!/usr/bin/env python3
"""The ids of rendered conversations against Hugging Face tokenizers on the whole rendered string.

    conversation_parity.py --n N --seed S --conversation-ids PROGRAM --ranks LLAMA3_RANKS --templates DIR

Equal wherever no user text holds a special token; where one does, that text must be plain: the ids are those of the
whole string with every special token of a user's broken up by nothing but its own bytes, checked by decoding and by
the absence of extra special ids.
"""
import argparse
import base64
import json
import pathlib
import random
import subprocess
import sys
import tempfile

from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizer_parity import json_from_ranks
from tokenizers import Tokenizer

WORDS = ["Hello", "你好", "  spaces  ", "世界", "don't", "3.14159", "\n\n", "def f(x):\n\treturn x", "é́", "👩‍👩‍👧", "WHO'LL",
         "1234567", " ", "中国的首都是哪里?", "…", "a\r\nb", "<|", "|>", "<b>", "{{ x }}"]
SPECIALS = ["<|eot_id|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>"]


def conversation(rng, with_specials):
    def text():
        words = [rng.choice(WORDS) for _ in range(rng.randint(0, 12))]
        if with_specials:
            words.insert(rng.randint(0, len(words)), rng.choice(SPECIALS))
        return rng.choice(["", " "]).join(words)
    messages = [{"role": "system", "content": text()}] if rng.random() < 0.5 else []
    for turn in range(rng.randint(1, 5)):
        messages.append({"role": "user" if turn % 2 == 0 else "assistant", "content": text()})
    return messages


def read_ranks(path):
    lines = (line.split() for line in open(path, "rb"))
    return {base64.b64decode(token): int(rank) for token, rank in lines}


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--n", type=int, default=200)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--conversation-ids", required=True)
    args.add_argument("--ranks", required=True)
    args.add_argument("--templates", required=True, type=pathlib.Path)
    args = args.parse_args()
    rng = random.Random(args.seed)
    source = (args.templates / "llama3_2.jinja").read_text()
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["strftime_now"] = lambda form: "26 Jul 2024"
    template = environment.from_string(source)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "tokenizer.json"
        path.write_text(json.dumps(json_from_ranks(read_ranks(args.ranks))))
        peer = Tokenizer.from_file(str(path))
        jobs = [conversation(rng, i % 4 == 3) for i in range(args.n)]
        lines = "".join(json.dumps({"template": source, "bos": "<|begin_of_text|>", "eos": "<|eot_id|>", "messages": m,
                                    "date": "26 Jul 2024"}) + "\n" for m in jobs)
        run = subprocess.run([args.conversation_ids, str(path)], input=lines.encode(), capture_output=True)
    if run.returncode != 0:
        sys.exit(run.stderr.decode())
    special_ids = {peer.token_to_id(t) for t in SPECIALS}
    differences = 0
    for messages, line in zip(jobs, run.stdout.decode().splitlines(), strict=True):
        ids = json.loads(line)
        text = template.render(messages=messages, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>",
                               add_generation_prompt=True, date_string="26 Jul 2024")
        if any(s in m["content"] for m in messages for s in SPECIALS):
            # The same conversation without the users' special texts has as many special ids as this one may have.
            quiet = [{**m, "content": "x"} for m in messages]
            plain = template.render(messages=quiet, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>",
                                    add_generation_prompt=True, date_string="26 Jul 2024")
            count = lambda some: sum(i in special_ids for i in some)
            same = (peer.decode(ids, skip_special_tokens=False) == text and
                    count(ids) == count(peer.encode(plain, add_special_tokens=False).ids))
        else:
            same = ids == peer.encode(text, add_special_tokens=False).ids
        if not same:
            differences += 1
            if differences <= 3:
                print("differs:", json.dumps(messages, ensure_ascii=False))
    print(f"{args.n} conversations, {differences} differences")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
