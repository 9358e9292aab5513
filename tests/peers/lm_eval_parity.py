#!/usr/bin/env python3
"""Multiple choice by log-likelihood against lm-evaluation-harness through transformers, on the same GGUF file.

    lm_eval_parity.py --chaski build/chaski --gguf MODEL.gguf [--sets tests/data/public_sets] [--tolerance 1e-3]

Needs lm-eval 0.4.13, transformers, torch and gguf. The questions are those of tests/data/public_sets, in the public
files' formats; lm-eval's tasks ceval-valid_*, cmmlu_* and mmlu_* are taken as they are, but read these files. For each
question the context must be the same text and each choice's log-likelihood the same number; for each subject and of all,
acc and its standard error. GSM8K: lm-eval's prompt with its published examples, byte by byte. Exit status 1 on a
difference.
"""
import argparse
import csv
import json
import pathlib
import subprocess
import sys
import tempfile

import lm_eval
import torch
import yaml
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM, AutoTokenizer

TASKS = pathlib.Path(lm_eval.__file__).parent / "tasks"


class AnyTag(yaml.SafeLoader):
    """Tasks name functions by tags; none of ours has one."""


AnyTag.add_multi_constructor("!", lambda loader, suffix, node: None)


def task_config(path):
    """A task's own YAML file over the one that it includes."""
    config = yaml.load(path.read_text(encoding="utf-8"), AnyTag)
    included = config.pop("include", None)
    base = task_config(path.parent / included) if included else {}
    base.update(config)
    for key in ("tag", "task_alias", "dataset_name", "group"):
        base.pop(key, None)
    return base


def read_rows(path, columns=None):
    """Without what only the worked examples have: all splits of a data set must have the same columns."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        return [{key: value for key, value in row.items() if key not in ("", "explanation")}
                for row in csv.DictReader(file, columns)]


def mmlu_docs(path):
    rows = read_rows(path, ["question", "A", "B", "C", "D", "answer"])
    return [{"question": r["question"], "choices": [r[c] for c in "ABCD"], "answer": "ABCD".index(r["answer"])}
            for r in rows]


def jsonl(path, docs):
    path.write_text("".join(json.dumps(doc, ensure_ascii=False) + "\n" for doc in docs), encoding="utf-8")
    return str(path)


def choice_tasks(sets, folder):
    """(our suite, subject, lm-eval's task reading our file)"""
    layouts = {"ceval": ("val", "_val.csv", "_dev.csv", "ceval/ceval-valid_{}.yaml", read_rows),
               "cmmlu": ("test", ".csv", ".csv", "cmmlu/cmmlu_{}.yaml", read_rows),
               "mmlu": ("test", "_test.csv", "_dev.csv", "mmlu/default/mmlu_{}.yaml", mmlu_docs)}
    for name, (split, suffix, dev_suffix, task_file, read) in layouts.items():
        for path in sorted((sets / name / split).glob("*" + suffix)):
            subject = path.name[:-len(suffix)]
            config = task_config(TASKS / task_file.format(subject))
            files = {split: jsonl(folder / f"{name}-{subject}-{split}.jsonl", read(path)),
                     "dev": jsonl(folder / f"{name}-{subject}-dev.jsonl",
                                  read(sets / name / "dev" / (subject + dev_suffix)))}
            config.update(dataset_path="json", dataset_kwargs={"data_files": files}, num_fewshot=5)
            yield name, subject, config


def run_chaski(arguments, suite, folder):
    out = folder / "out"
    subprocess.run([arguments.chaski, "eval", arguments.gguf, "--suite", suite, "--precision", "exact", "--out", str(out),
                    "--json", *([] if not suite.startswith("gsm8k") else ["--max-new-tokens", "8"])],
                   check=True, stdout=subprocess.DEVNULL)
    return json.loads((out / "run.json").read_text())


def check_choices(name, ours, theirs, tolerance):
    """Largest difference of a log-likelihood; text of the first thing that differs."""
    largest = 0.0
    items = {item["id"]: item for item in ours["items"]}
    shares = {(r["task"], r["metric"]): r for r in ours["results"]}
    n = 0
    for task, samples in theirs["samples"].items():
        subject = task.split("|")[1]
        for sample in samples:
            item = items.pop(f"{subject}/{sample['doc_id']}")
            context = sample["arguments"]["gen_args_0"]["arg_0"] if isinstance(sample["arguments"], dict) \
                else sample["arguments"][0][0]
            if not context.endswith(item["prompt"]):
                return largest, n, f"{task} {item['id']}: lm-eval asks {context[-200:]!r}, chaski {item['prompt']!r}"
            scores = [float(r[0][0]) for r in sample["resps"]]
            greedy = [str(r[0][1]) == "True" for r in sample["resps"]]
            for choice, score, is_greedy in zip(item["choices"], scores, greedy, strict=True):
                n += 1
                difference = abs(choice["loglikelihood"] - score)
                largest = max(largest, difference)
                if difference > tolerance or choice["is_greedy"] != is_greedy:
                    return largest, n, f"{task} {item['id']} {choice}: lm-eval has {score}, {is_greedy}"
        for metric in ("acc", "acc_norm"):
            if f"{metric},none" not in theirs["results"][task]:
                continue
            share = shares[f"{name}/{subject}", metric]
            for mine, peer in ((share["value"], theirs["results"][task][f"{metric},none"]),
                               (share["standard_error"], theirs["results"][task][f"{metric}_stderr,none"])):
                if abs(mine - peer) > 1e-9:
                    return largest, n, f"{task} {metric}: chaski {mine}, lm-eval {peer}"
    return largest, n, f"chaski asks more: {list(items)}" if items else ""


def check_gsm8k(arguments, folder):
    config = task_config(TASKS / "gsm8k/gsm8k-cot.yaml")
    published = [{"question": s["question"], "answer": s["target"]} for s in config["fewshot_config"]["samples"]]
    examples = jsonl(folder / "examples.jsonl", published)
    file = arguments.sets / "gsm8k.jsonl"
    config.update(dataset_path="json", dataset_kwargs={"data_files": {"test": str(file)}})
    task = TaskManager(include_defaults=False).load([config])["tasks"]["gsm8k_cot"]
    record = run_chaski(arguments, f"gsm8k:{file}:{examples}", folder)
    template = record["settings"]["template"].removeprefix("raw:")
    for item, doc in zip(record["items"], task.test_docs(), strict=True):
        peer = task.fewshot_context(doc, num_fewshot=8)
        if template.replace("{prompt}", item["prompt"]) != peer:
            return f"gsm8k {item['id']}: the prompts differ"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chaski", required=True)
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--sets", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parents[1] / "data" / "public_sets")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    arguments = parser.parse_args()
    arguments.chaski = str(pathlib.Path(arguments.chaski).resolve())
    arguments.sets = arguments.sets.resolve()
    gguf = pathlib.Path(arguments.gguf)
    model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    peer = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1)
    faults = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        by_suite = {}
        for suite, subject, config in choice_tasks(arguments.sets, folder):
            config["task"] = f"{suite}|{subject}"
            by_suite.setdefault(suite, []).append(config)
        for suite, configs in by_suite.items():
            theirs = lm_eval.simple_evaluate(model=peer, tasks=configs, log_samples=True,
                                             task_manager=TaskManager(include_defaults=False))
            place = folder / suite
            place.mkdir()
            ours = run_chaski(arguments, f"{suite}:{arguments.sets / suite}", place)
            largest, n, fault = check_choices(suite, ours, theirs, arguments.tolerance)
            print(f"{suite}: {n} log-likelihoods, largest difference {largest:.2e}{'; ' + fault if fault else ''}")
            faults += [fault] if fault else []
        fault = check_gsm8k(arguments, folder)
        print(f"gsm8k: {fault or 'the prompts are the same'}")
        faults += [fault] if fault else []
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
