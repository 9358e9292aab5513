#!/usr/bin/env python3
"""chaski beside other engines on this machine: same files, same threads, by turns, the machine's limit measured beside
each figure. `./dev bench peers` starts it; the tables are peers_table.py's, the programs peers_programs.py's, what must
be there first peers_rivals.py's.

    peers.py --chaski PROGRAM --roofline PROGRAM [--prepare [--no-transformers]] [--isa avx2] [--threads N] [--rounds 6]
             [--quick] [--only CELL,…] [--fresh] [--rival NAME=PATH]… [--docs DIR]
    peers.py --render --docs DIR

--prepare  build and install what is compared, make the models; nothing is measured
--quality  perplexity, KL divergence and greedy tokens beside llama.cpp's instead of speed; with --prepare, what that needs too
--isa      avx2 holds both to AVX2; otherwise each takes the best it has
--rival    another program that takes llama-bench's options, or a folder of llama.cpp's tools
--quick    one round, fewer tokens: to see that all of it runs
--fresh    measure again what an earlier run, with the same programs, has measured
--docs     write the result of a whole run, and the pages of all results, there
Each figure is kept when it is measured, so that a run that was ended goes on where it stopped. A cell in which a program
failed is measured again.
"""
import argparse
import datetime
import hashlib
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

import peers_rivals
import peers_table
import peers_texts
import quality_table
from peers_programs import Chaski, Failed, LlamaCpp, Roofline, TIME_LIMIT_S, TookTooLong, Transformers, busy_neighbour, run

ROOT = pathlib.Path(__file__).resolve().parent.parent
RIVAL = "llama.cpp"
# What the arithmetic of a format may use; the best of them is its limit.
PEAKS = {"bf16": "int16_madd,bf16_dot", "q8": "int8", "q4": "int8,int8_deferred"}


def say(text):
    print(f"== {time.strftime('%H:%M:%S')} {text}", flush=True)


class Session:
    """Everything that cells need, and the figures so far."""

    def __init__(self, args, prepared):
        self.args, self.prepared = args, prepared
        self.rounds = 1 if args.quick else args.rounds
        self.home = pathlib.Path(args.home)
        self.chaski = Chaski(args.chaski, args.threads, args.isa, self.home)
        self.llama = LlamaCpp(RIVAL, args.llama or prepared.llama_folder(args.isa), args.threads)
        self.others = [LlamaCpp(*rival.split("=", 1), args.threads) for rival in args.rival]
        self.roofline = Roofline(args.roofline, args.threads, args.isa)
        self.models = pathlib.Path(args.models)
        self.smollm = next(iter(sorted((self.home / "models" / "default").glob("*.gguf"))), None)
        self.facts = {}
        self.store = args.cache / f"cells-{args.isa or 'best'}{'-quick' if args.quick else ''}.json"
        self.key = self.key_of_programs()
        kept = json.loads(self.store.read_text()) if self.store.exists() and not args.fresh else {}
        self.cells = kept.get("cells", {}) if kept.get("key") == self.key else {}

    def key_of_programs(self):
        """Another program of any side, another thread count: earlier figures no longer count."""
        programs = [self.chaski.path, self.roofline.path, *self.llama.programs()]
        programs += [path for rival in self.others for path in rival.programs()]
        settings = [self.args.threads, self.rounds, self.args.rival, self.prepared.facts.get("transformers")]
        digest = hashlib.sha256(json.dumps(settings).encode())
        for path in programs:
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def keep(self, cells):
        self.cells.update(cells)
        self.store.parent.mkdir(parents=True, exist_ok=True)
        partial = self.store.with_suffix(".partial")
        kept = {name: cell for name, cell in self.cells.items() if not cell.get("failed")}
        partial.write_text(json.dumps({"key": self.key, "cells": kept}, ensure_ascii=False))
        partial.replace(self.store)

    def model(self, style):
        return self.models / f"1b-{style}.gguf"

    def gb(self, model):
        """1e9 bytes of weights that a token needs."""
        return self.facts_of(model)["bytes"] / 1e9

    def gop(self, model, with_head):
        """1e9 multiplications and additions of a token."""
        facts = self.facts_of(model)
        head = 0 if with_head else facts["config"]["vocab"] * facts["config"]["hidden"]
        return 2 * (facts["parameters"] - head) / 1e9

    def facts_of(self, model):
        if model not in self.facts:
            self.facts[model] = self.chaski.facts(model)
        return self.facts[model]


def measure(session, cell_ids, programs, limits=None):
    """`programs`: (name, its cells, what gives {cell: figure}), each once a round, the order turned round every other
    time. One that took too long or failed is not asked again, and only its own cells say so. `limits`: {cell: (what of the
    roofline, work per token)}. Keeps all cells together."""
    if session.args.only and not set(cell_ids) & set(session.args.only.split(",")):
        return
    if all(cell in session.cells for cell in cell_ids):
        return
    limits = limits or {}
    cells = {cell: {"samples": {}, "bounds": {}, "date": now()} for cell in cell_ids}
    for cell, (what, work) in limits.items():
        cells[cell].update(limit={"values": []}, work=work)
    waiting = list(programs)
    for index in range(session.rounds):
        beside = {what: session.roofline.measure(what) for what in sorted({what for what, _ in limits.values()})}
        for cell, (what, _) in limits.items():
            cells[cell]["limit"]["what"], rate = beside[what]
            cells[cell]["limit"]["values"].append(rate)
        for program in waiting[:: -1 if index % 2 else 1]:
            name, its_cells, figures_of = program
            try:
                for cell, figure in figures_of().items():
                    cells[cell]["samples"].setdefault(name, []).append(figure)
            except TookTooLong:
                waiting = [other for other in waiting if other is not program]
                for cell in its_cells:
                    cells[cell]["samples"].pop(name, None)
                    cells[cell]["bounds"][name] = TIME_LIMIT_S
            except Failed as failure:
                waiting = [other for other in waiting if other is not program]
                for cell in its_cells:
                    cells[cell]["failed"] = True
                    cells[cell]["note"] = {"en": f"{name} failed: {failure}", "zh": f"{name} 失败：{failure}"}
        shown = {cell: {n: round(v[-1], 2) for n, v in cells[cell]["samples"].items()} for cell in cell_ids}
        say(f"round {index + 1}: {json.dumps(shown)}")
    session.keep(cells)


# ---- the cells ----

def decode_cells(session):
    n = 16 if session.args.quick else 48
    for style in ("bf16", "q8_0", "q4_0", "q4_K_M"):
        model, cell = session.model(style), f"decode_{style}"
        programs = [(p.name, [cell], lambda p=p: {cell: p.decode(model, n)})
                    for p in (session.llama, *session.others, session.chaski)]
        if style == "bf16" and (rival := transformers_of(session)):
            programs.insert(0, (rival.name, [cell], lambda: {cell: rival.decode(session.models / "1b-hf", n)}))
        measure(session, [cell], programs, {cell: ("read", session.gb(model))})


def transformers_of(session):
    if not session.prepared.facts.get("transformers") or session.args.no_transformers or session.args.quick:
        return None
    return Transformers(session.prepared.facts["python"], session.args.threads)


def prefill_cells(session):
    n = 64 if session.args.quick else 512
    for style, what in (("bf16", PEAKS["bf16"]), ("q8_0", PEAKS["q8"]), ("q4_0", PEAKS["q4"]), ("q4_K_M", PEAKS["q4"])):
        model, cell = session.model(style), f"prefill_{style}"
        exact, ids = "prefill_bf16_exact", [cell]
        limits = {cell: (what, session.gop(model, False))}
        ours = [("chaski", [cell], lambda: {cell: session.chaski.prefill(model, n)})]
        rivals = (session.llama, *session.others)
        if style == "bf16":
            ids.append(exact)
            limits[exact] = ("fma_f32", session.gop(model, False))
            ours.append(("chaski", [exact], lambda: {exact: session.chaski.prefill(model, n, "exact")}))
            if rival := transformers_of(session):
                ours.append((rival.name, [cell], lambda: {cell: rival.prefill(session.models / "1b-hf", n)}))
        theirs = [(p.name, ids, lambda p=p: dict.fromkeys(ids, p.prefill(model, n))) for p in rivals]
        measure(session, ids, theirs + ours, limits)


def batch_cells(session):
    counts, n_gen = (8, 32), 4 if session.args.quick else 24
    for style, what in (("bf16", PEAKS["bf16"]), ("q8_0", PEAKS["q8"]), ("q4_0", PEAKS["q4"])):
        model = session.model(style)
        ids = [f"batch{count}_{style}" for count in counts]

        def figures(program):
            rates = program.batched(model, 16, n_gen, counts)
            return {f"batch{count}_{style}": rates[count] for count in counts}

        limits = {ids[0]: ("read", session.gb(model) / counts[0]), ids[1]: (what, session.gop(model, True))}
        measure(session, ids, [(p.name, ids, lambda p=p: figures(p)) for p in (session.llama, session.chaski)], limits)


def start_cells(session):
    model = session.model("q4_0")
    if "start" not in session.cells:
        for program in (session.llama, session.chaski):  # from here on it is warm
            program.first_token_s(model)
    measure(session, ["start"],
            [(p.name, ["start"], lambda p=p: {"start": p.first_token_s(model)}) for p in (session.llama, session.chaski)])


def rss_cells(session):
    model, n_prompt, n_gen = session.model("q4_0"), 512, 48
    facts = session.facts_of(model)
    config = facts["config"]

    def ours():
        record, done = session.chaski.bench(model, "-p", n_prompt, "-n", n_gen)
        return {"rss": done.peak_rss_bytes / (facts["bytes"] + record["kv_bytes"])}

    def theirs():
        _, done = session.llama.bench(model, "-p", n_prompt, "-n", n_gen)
        kv_bytes = 2 * 2 * config["n_layers"] * config["n_kv_heads"] * config["head_dim"] * n_prompt
        return {"rss": done.peak_rss_bytes / (facts["bytes"] + kv_bytes)}

    measure(session, ["rss"], [(RIVAL, ["rss"], theirs), ("chaski", ["rss"], ours)])


def neighbour_cells(session):
    model, n = session.model("q4_0"), 32

    def kept(program):
        quiet = program.decode(model, n)
        with busy_neighbour():
            return {"neighbour": program.decode(model, n) / quiet}

    measure(session, ["neighbour"], [(p.name, ["neighbour"], lambda p=p: kept(p)) for p in (session.llama, session.chaski)])


def smollm_cells(session):
    n, n_prompt = 128, 512
    for cell, figure in (("smollm_decode", lambda p: p.decode(session.smollm, n)),
                         ("smollm_prefill", lambda p: p.prefill(session.smollm, n_prompt))):
        programs = [(p.name, [cell], lambda p=p: {cell: figure(p)}) for p in (session.llama, *session.others, session.chaski)]
        measure(session, [cell], programs)


def tokenizer_cells(session):
    """By bench/tokenizer_peers.py, which also compares the ids."""
    names = {"English": "tokenizer_en", "Chinese": "tokenizer_zh"}
    if all(cell in session.cells for cell in names.values()):
        return
    script = ROOT / "bench" / "tokenizer_peers.py"
    program = pathlib.Path(session.args.chaski).parent / "bench_tokenizer"
    if not script.exists() or not program.exists() or "python" not in session.prepared.facts:
        return
    ranks = peers_rivals.ranks_of(session.prepared)
    done = run([session.prepared.facts["python"], script, "--bench", program, "--ranks", ranks, "--rounds", session.rounds,
                "--json"], limit_s=600)
    cells = {}
    for text in json.loads(done.out)["texts"]:
        if text["name"] not in names:
            continue
        cell = {"samples": {"chaski": text["chaski"], "tiktoken": text["tiktoken"]}, "bounds": {}, "date": now()}
        if not text["same_ids"]:
            cell["note"] = {"en": "the ids are NOT those of tiktoken", "zh": "词元编号与 tiktoken 不一致"}
        cells[names[text["name"]]] = cell
    session.keep(cells)


def ngram_cells(session):
    """Speculation beside plain decoding on the real small model, prompt by prompt; the text must be the same."""
    if "--draft" not in session.chaski.call("run", "--help").out or session.smollm is None:
        return
    for cell, prompts, n in (("ngram_copy", peers_texts.COPYING, 160), ("ngram_named", peers_texts.NAMED, 64)):
        if cell in session.cells or (session.args.only and cell not in session.args.only.split(",")):
            continue
        ratios, different = {}, []
        for name, prompt in prompts:
            for index in range(session.rounds if session.args.quick else max(6, session.rounds)):  # six make a 95 % interval
                order = [[], ["--draft", "none"]]
                answers = [session.chaski.answer(session.smollm, prompt, n, *order[i])
                           for i in ((0, 1) if index % 2 == 0 else (1, 0))]
                speculated, plain = answers if index % 2 == 0 else answers[::-1]
                ratios.setdefault(name, []).append(
                    speculated["timings"]["decode_tokens_per_s"] / plain["timings"]["decode_tokens_per_s"])
                if speculated["ids"] != plain["ids"] and name not in different:
                    different.append(name)
            say(f"{cell} {name}: {peers_table.summary(ratios[name])}")
        session.keep({cell: ngram_cell(cell, ratios, different)})


def ngram_cell(cell, ratios, different):
    medians = {name: statistics.median(values) for name, values in ratios.items()}
    below = [name for name, values in ratios.items() if peers_table.interval(values)[1] < 1]
    figures = sorted(medians.values()) if cell == "ngram_copy" else [len(below)]
    spread = f"{min(medians.values()):.2f} – {max(medians.values()):.2f}"
    note = {"en": f"medians of the prompts {spread}×; wholly below 1.0: {', '.join(below) or 'none'}",
            "zh": f"各提示的中位数 {spread}×；整个区间低于 1.0 的：{'、'.join(below) or '无'}"}
    if different:
        note["en"] += f"; TEXT NOT THE SAME: {', '.join(different)}"
        note["zh"] += f"；文字不一致：{'、'.join(different)}"
    return {"samples": {"chaski": figures}, "bounds": {}, "note": note, "prompts": ratios, "date": now()}


CELLS = [start_cells, decode_cells, smollm_cells, ngram_cells, neighbour_cells, rss_cells, tokenizer_cells, prefill_cells, batch_cells]


# ---- the result ----

def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def machine_facts():
    def value(path, key, separator):
        try:
            lines = pathlib.Path(path).read_text().splitlines()
        except OSError:
            return ""
        return next((line.split(separator, 1)[1].strip().strip('"') for line in lines if line.startswith(key)), "")

    memory = int((value("/proc/meminfo", "MemTotal", ":").split() or ["0"])[0])
    return {"cpu": value("/proc/cpuinfo", "model name", ":") or platform.machine(), "cores": len(os.sched_getaffinity(0)),
            "memory_gib": memory / 2**20, "os": value("/etc/os-release", "PRETTY_NAME", "="),
            "kernel": f"{platform.system()} {platform.release()}"}


def result_of(session):
    facts = session.prepared.facts
    build = session.chaski.version()
    versions = {"chaski": f"{build['version']} ({build['compiler']})",
                RIVAL: f"{peers_rivals.LLAMA_PACKAGE} {session.llama.version(session.smollm)}".strip()}
    if facts.get("transformers"):
        versions["transformers"] = facts["transformers"]
    notes = facts.get("llama_notes", []) + facts.get("python_notes", [])
    notes = notes + [{"en": f"Whether chaski and {RIVAL} choose the same tokens: `./dev bench peers --quality`.",
                      "zh": f"chaski 与 {RIVAL} 选择的词元是否一致，见 `./dev bench peers --quality`。"}]
    if any(cell not in session.cells for cell, *_ in peers_table.ROWS):
        notes = notes + [{"en": "Rows without figures were not measured in this run.", "zh": "没有数字的行本次未测量。"}]
    return {"schema": "chaski.peers/1", "date": now(), "machine": machine_facts(), "threads": session.args.threads,
            "isa": session.args.isa or "best", "chaski_isa": session.chaski.bench("synthetic:tiny", "-p", 4, "-n", 0)[0]["isa"],
            "rounds": session.rounds, "rival": RIVAL, "versions": versions, "notes": notes, "cells": session.cells}


def slug(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower().replace("(r)", "")).strip("-")


def write_docs(folder, result=None):
    """The result as JSON, and the pages from all results there."""
    folder.mkdir(parents=True, exist_ok=True)
    if result:
        name = f"cpu-{slug(result['machine']['cpu'])}-{result['chaski_isa']}-{result['date'][:10]}.json"
        (folder / name).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("cpu-*.json"))]
    quality = folder / "quality-tiny.json"
    for lang, name in (("en", "cpu.md"), ("zh", "cpu.zh.md")):
        text = peers_table.page(results, lang)
        if quality.exists():
            text += "\n" + peers_table.quality_section(json.loads(quality.read_text(encoding="utf-8")), lang) + "\n"
        (folder / name).write_text(text, encoding="utf-8")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chaski", default=ROOT / "build" / "chaski")
    parser.add_argument("--roofline", default=ROOT / "build" / "roofline")
    parser.add_argument("--cache", type=pathlib.Path, default=ROOT / ".cache" / "peers")
    parser.add_argument("--models", help="folder of the 1B files; by default below --cache")
    parser.add_argument("--home", help="CHASKI_HOME of the comparison; by default below --cache")
    parser.add_argument("--llama", help="folder of llama.cpp's tools, instead of what --prepare built")
    parser.add_argument("--isa", default="", choices=["", "avx2"])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--rival", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--only", default="")
    parser.add_argument("--lang", choices=["en", "zh"], default="zh" if os.environ.get("LANG", "").startswith("zh") else "en")
    parser.add_argument("--docs", type=pathlib.Path)
    for flag in ("prepare", "no-transformers", "quick", "fresh", "render", "quality"):
        parser.add_argument(f"--{flag}", action="store_true")
    args = parser.parse_args()
    args.models = args.models or args.cache / "models"
    args.home = args.home or args.cache / "home"
    if bad := [rival for rival in args.rival if "=" not in rival]:
        parser.error(f"--rival {bad[0]}: expected NAME=PATH")
    return args


def prepare(args, prepared):
    tools = ROOT / "tools"
    peers_rivals.prepare_python(prepared, tools, not args.no_transformers)
    peers_rivals.prepare_default_model(args.home, tools, prepared.facts["python"])
    chaski = Chaski(args.chaski, args.threads, args.isa, args.home)
    peers_rivals.prepare_models(prepared, chaski, pathlib.Path(args.models))
    default_model = next(iter((pathlib.Path(args.home) / "models" / "default").glob("*.gguf")))
    peers_rivals.prepare_llama(prepared, default_model, args.threads)
    if args.quality:
        peers_rivals.prepare_quality(prepared, tools)
    say("all is there; now `./dev bench peers`")


def quality(args, prepared):
    """Of the model that was never quantised what was kept; the default model beside llama.cpp is measured where it can be."""
    kept = ROOT / "docs" / "benchmarks"
    print(peers_table.quality_section(json.loads((kept / "quality-tiny.json").read_text(encoding="utf-8")), args.lang))
    python, default = prepared.facts.get("python"), kept / "quality-default.json"
    if not python or not peers_rivals.installed(python, "llama-cpp-python"):
        print(f"\n{quality_table.default_model(json.loads(default.read_text(encoding='utf-8')), args.lang)}\n")
        return say("kept figures; to measure the default model here, first run `./dev bench peers --prepare --quality`")
    model = next(iter(sorted((pathlib.Path(args.home) / "models" / "default").glob("*.gguf"))))
    command = [python, ROOT / "bench" / "quality_default.py", "--chaski", args.chaski, "--score-logits",
               pathlib.Path(args.chaski).parent / "score_logits", "--gguf", model, "--isa", args.isa, "--threads", args.threads,
               "--json", default, "--update-docs", ROOT / "docs"]
    return subprocess.run([str(part) for part in command], check=False).returncode


def main():
    args = parse()
    prepared = peers_rivals.Prepared(args.cache)
    if args.render:
        return write_docs(args.docs or ROOT / "docs" / "benchmarks")
    if args.prepare:
        return prepare(args, prepared)
    if args.quality:
        return quality(args, prepared)
    if not args.llama and not prepared.llama_folder(args.isa):
        sys.exit("peers: nothing to compare with is built yet; run `./dev bench peers --prepare` first")
    session = Session(args, prepared)
    start = time.monotonic()
    for cells in CELLS:
        try:
            cells(session)
        except (Failed, TookTooLong) as failure:  # of the roofline, or of a cell's own set-up
            say(f"{cells.__name__}: {failure}")
    result = result_of(session)
    say(f"measured in {(time.monotonic() - start) / 60:.0f} minutes")
    print(peers_table.section(result, args.lang))
    if args.docs and not args.quick and not args.only:
        write_docs(args.docs, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
