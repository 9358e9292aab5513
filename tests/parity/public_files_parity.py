#!/usr/bin/env python3
"""CSV against Python's csv module, and the final answers of GSM8K against lm-evaluation-harness' own filters.

    public_files_parity.py --public-file-lines build/public_file_lines [--n 500] [--seed 0]

N answers and as many texts of CSV, made at random from pieces that are hard. Needs lm-eval 0.4.13, of which only the
filters, the metric and the task's file are used. Prints figures; exit status 1 on a difference.
"""
import argparse
import csv
import importlib.util
import io
import json
import pathlib
import random
import subprocess
import sys
import types

LM_EVAL = pathlib.Path(importlib.util.find_spec("lm_eval").origin).parent
TASK = LM_EVAL / "tasks" / "gsm8k" / "gsm8k-cot.yaml"


def import_peer():
    """The filter and the metric. The metrics' file imports a package for scores of translations, which are not used."""
    try:
        import sacrebleu  # noqa: F401
    except ImportError:
        sys.modules["sacrebleu"] = types.ModuleType("sacrebleu")
    from lm_eval.api.metrics import exact_match_hf_evaluate
    from lm_eval.filters.extraction import RegexFilter
    return RegexFilter, exact_match_hf_evaluate


# As the task's file has them; check_patterns makes sure of it.
STRICT = r"The answer is (\-?[0-9\.\,]+)."
FLEXIBLE = r"(-?[$0-9.,]{2,})|(-?[0-9]+)"
IGNORED = [",", r"\$", "(?s).*#### ", r"\.$"]


def check_patterns():
    text = TASK.read_text(encoding="utf-8")
    for pattern in (STRICT, FLEXIBLE):
        if f"regex_pattern: {pattern}\n" not in text:
            sys.exit(f"{TASK}: has another pattern than {pattern}")
    for pattern in (r"- ','", r"- \$", "- '(?s).*#### '", r"- \.$"):
        if pattern not in text:
            sys.exit(f"{TASK}: does not ignore {pattern}")


def random_number(rng):
    digits = str(rng.choice([rng.randrange(10), rng.randrange(1000), rng.randrange(10 ** 7)]))
    return rng.choice([digits, f"{int(digits):,}", f"${digits}", f"-{digits}", f"$-{digits}", f"-${digits}", f"{digits}.00",
                       f"{digits}.", f".{digits}", f"{digits}%", f"{digits}/2", f"1{digits}e5", f"{digits},", "--" + digits])


def random_answer(rng):
    pieces = ["So ", "the total is ", "The answer is ", "The answer is ", "The answer is: ", "the answer is ", "\n", " ",
              ".", ",", "$", "-", "#### ", "Q: ", " apples", "答案是", "，", "元", "…", "\u00a0", "١٢", "７", "\t", "\r\n", ". "]
    return "".join(rng.choice([rng.choice(pieces), random_number(rng)]) for _ in range(rng.randrange(0, 14)))


def random_reference(rng, answer):
    number = rng.choice([random_number(rng), "".join(c for c in answer[-8:] if c in "0123456789.,-$") or "3"])
    return rng.choice([f"work\n#### {number}", number, f"a #### 4\n#### {number}\n", f" {number} "])


def random_csv(rng):
    pieces = ['"', '""', ",", ",", "\n", "\r\n", "a", "题", " ", "\n\n", '","', '"x"', '"a,b"', '"a\nb"', "'"]
    return "".join(rng.choice(pieces) for _ in range(rng.randrange(0, 20)))


def written_csv(rng):
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=rng.choice(["\n", "\r\n"]))
    for _ in range(rng.randrange(1, 6)):
        writer.writerow([random_csv(rng) for _ in range(rng.randrange(2, 7))])
    return text.getvalue()


def peer_rows(text):
    """Nothing where a quoted field is never closed, which ours refuses and the module does not."""
    if list(csv.reader(io.StringIO(text + "\nthe end", newline="")))[-1] != ["the end"]:
        return None
    return [row for row in csv.reader(io.StringIO(text, newline="")) if row]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--public-file-lines", required=True)
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    RegexFilter, exact_match = import_peer()
    check_patterns()
    rng = random.Random(arguments.seed)
    answers = []
    for _ in range(arguments.n):
        answer = random_answer(rng)
        answers.append({"answer": answer, "reference": random_reference(rng, answer)})
    texts = [{"csv": rng.choice([random_csv, written_csv])(rng)} for _ in range(arguments.n)]
    lines = "".join(json.dumps(line) + "\n" for line in answers + texts)
    replies = [json.loads(line) for line in subprocess.run(
        [arguments.public_file_lines], input=lines.encode(), stdout=subprocess.PIPE, check=True).stdout.splitlines()]
    assert len(replies) == 2 * arguments.n

    filters = {"strict-match": RegexFilter(STRICT), "flexible-extract": RegexFilter(FLEXIBLE, group_select=-1)}
    n_found = n_match = n_rows = 0
    for asked, reply in zip(answers, replies):
        gold = asked["reference"].split("####")[-1].strip()
        for name, peer in filters.items():
            found = peer.apply([[asked["answer"]]], [{}])[0][0]
            is_match = bool(exact_match([found], [gold], regexes_to_ignore=IGNORED, ignore_case=True)["exact_match"])
            expected = {"found": None if found == "[invalid]" else found, "is_match": is_match}
            if reply[name] != expected:
                sys.exit(f"{name} of {asked}: lm-eval {expected}, chaski {reply[name]}")
            n_found += expected["found"] is not None
            n_match += is_match
    n_refused = 0
    for asked, reply in zip(texts, replies[arguments.n:]):
        expected = peer_rows(asked["csv"])
        if expected is None:
            n_refused += 1
            if "never closed" not in reply.get("error", ""):
                sys.exit(f"{asked!r}: expected a refusal, chaski {reply}")
            continue
        n_rows += len(expected)
        if reply.get("rows") != expected:
            sys.exit(f"{asked!r}: Python {expected}, chaski {reply}")
    print(f"{arguments.n} answers, two filters each: {n_found} found, {n_match} right, all alike; "
          f"{arguments.n} texts of CSV: {n_rows} rows alike, {n_refused} refused for an open quote")


if __name__ == "__main__":
    main()
