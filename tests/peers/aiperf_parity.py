#!/usr/bin/env python3
"""chaski bench --url beside PyPI aiperf (0.13.0) against the same replay server: the same definitions, so figures that
agree within 5 %. Heavy (aiperf needs over a gigabyte) and timed, so it is run by hand:

    aiperf_parity.py CHASKI AIPERF [--repeat N] [--concurrency C]

CHASKI and AIPERF are the two programs. Ends with 1 where a figure differs by more."""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SERVER = pathlib.Path(__file__).resolve().parent.parent / "support" / "replay_server.py"
MOST = 0.05
# Five tokens in the first chunk, then uneven pauses and chunks of one to three.
PLAY = {"chunks": [[0.15, 5]] + [[0.03 + 0.02 * (i % 3), 1 + i % 3] for i in range(20)], "n_prompt": 64}
# chaski's name, aiperf's (tag in its export), what aiperf's unit is multiplied by.
FIGURES = [
    ("ttft_s", "time_to_first_token", 1e-3),
    ("tpot_s", "inter_token_latency", 1e-3),
    ("inter_chunk_s", "inter_chunk_latency", 1e-3),
    ("e2e_s", "request_latency", 1e-3),
    ("decode_tokens_per_s", "output_token_throughput_per_user", 1),
    ("overall_tokens_per_s", "e2e_output_token_throughput", 1),
    ("prefill_tokens_per_s", "prefill_throughput_per_user", 1),
    ("throughput_tokens_per_s", "output_token_throughput", 1),
    ("requests_per_s", "request_throughput", 1),
    ("answer_tokens", "output_sequence_length", 1),
]


def write_tokenizer(folder):
    """A tokenizer of single bytes, for aiperf's made-up prompts: the one that it has built in is downloaded."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    letters = {**{byte: chr(byte) for byte in visible}, **{byte: chr(256 + i) for i, byte in enumerate(hidden)}}
    vocab = {letters[byte]: byte for byte in range(256)}
    folder.mkdir()
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "added_tokens": [], "pre_tokenizer": byte_level, "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": []}}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))


def run_chaski(options, url, folder):
    home = {**os.environ, "CHASKI_HOME": str(folder / "home")}
    out = subprocess.run([options.chaski, "bench", "--url", url, "--per-chunk-usage", "--repeat", str(options.repeat),
                          "--concurrency", str(options.concurrency), "-p", "64", "-o", "json"],
                         check=True, stdout=subprocess.PIPE, env=home).stdout
    record = json.loads(out)[0]
    assert record["n_failed"] == 0, record["failures"]
    return {name: metric["median"] for name, metric in record["metrics"].items()}


def run_aiperf(options, url, folder):
    """Medians by tag, from the export of a run; a figure of the whole run has its one value."""
    n = options.repeat * options.concurrency
    write_tokenizer(folder / "tokenizer")
    log = folder / "aiperf.log"
    with log.open("wb") as out:
        done = subprocess.run(
            [options.aiperf, "profile", "--model", "replay", "--url", url, "--endpoint-type", "chat", "--streaming",
             "--tokenizer", str(folder / "tokenizer"), "--use-server-token-count", "--per-chunk-usage", "--isl", "64", "--osl", "64",
             "--concurrency", str(options.concurrency), "--request-count", str(n), "--warmup-request-count",
             str(options.concurrency), "--ui", "none", "--artifact-dir", str(folder / "artifacts")],
            cwd=folder, stdout=out, stderr=subprocess.STDOUT, check=False)
    exports = [path for path in (folder / "artifacts").rglob("profile_export_aiperf.json")]
    if done.returncode != 0 or not exports:
        sys.exit(log.read_text(errors="replace")[-4000:] + f"\naiperf ended with {done.returncode}")
    export = json.loads(exports[0].read_text())
    return {tag: value.get("p50") or value["avg"] for tag, value in export.items() if isinstance(value, dict) and "avg" in value}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chaski")
    parser.add_argument("aiperf")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--concurrency", type=int, default=1)
    options = parser.parse_args()
    n_bad = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "plays.json").write_text(json.dumps({"plays": [PLAY]}))
        server = subprocess.Popen([sys.executable, str(SERVER), str(folder / "plays.json")], stdout=subprocess.PIPE,
                                  text=True)
        try:
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            ours = run_chaski(options, url, folder)
            theirs = run_aiperf(options, url, folder)
        finally:
            server.kill()
            server.wait()
    print(f"{'median':26} {'chaski':>12} {'aiperf':>12} {'apart':>8}")
    for name, tag, factor in FIGURES:
        if tag not in theirs:
            print(f"{name:26} {ours[name]:12.6g} {'none':>12}")
            continue
        a, b = ours[name], theirs[tag] * factor
        apart = abs(a - b) / b
        n_bad += apart > MOST
        print(f"{name:26} {a:12.6g} {b:12.6g} {100 * apart:7.2f} %{'  over 5 %' if apart > MOST else ''}")
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
