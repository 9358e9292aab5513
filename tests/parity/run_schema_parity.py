#!/usr/bin/env python3
"""Records that the program writes, against docs/run.schema.json by the package jsonschema.

    run_schema_parity.py --chaski build/chaski --schema docs/run.schema.json [--n 200] [--seed 0]

An eval and a bench of the tiny synthetic model are run; their records must be valid, and have no key that the schema
does not say. Then `n` of their values are replaced by others, and the program's reader must accept and refuse what the
schema does; what it refuses, it must refuse with the exit status of a damaged file. Exit status 1 on a difference.
"""
import argparse
import copy
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import jsonschema

CORRUPT = 4
VALUES = (None, True, -1, 0, 1, 2.5, 1e300, -1e300, 2**31, 2**63, "", "x", [], [1], ["x"], {}, {"x": 1}, {"x": {}})


def tight(schema):
    """The schema without room for keys that it does not name."""
    if isinstance(schema, list):
        return [tight(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: tight(value) for key, value in schema.items()}
    if "properties" in schema and isinstance(schema["properties"], dict):
        out.setdefault("additionalProperties", False)
    return out


def places(value, path=()):
    """The paths of all values below it; of a list's entries the first two."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from places(part, path + (key,))
    elif isinstance(value, list):
        for index, part in enumerate(value[:2]):
            yield from places(part, path + (index,))


def with_value(record, path, value):
    changed = copy.deepcopy(record)
    at = changed
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return changed


class Program:
    def __init__(self, chaski, home):
        self.chaski = chaski
        self.home = home

    def run(self, *arguments):
        return subprocess.run([self.chaski, *map(str, arguments)], capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=600,
                              env={"PATH": os.environ["PATH"], "CHASKI_HOME": str(self.home), "LC_ALL": "C.UTF-8"})

    def records(self):
        for arguments in (["eval", "synthetic:tiny", "--suite", "review-zh", "--max-new-tokens", "6", "--samples", "2"],
                          ["bench", "synthetic:tiny", "-p", "8", "-n", "4", "--repeat", "6"]):
            done = self.run(*arguments)
            if done.returncode != 0:
                sys.exit(f"{' '.join(arguments)}: {done.stderr}")
        file = self.home / "all.json"
        done = self.run("history", "--export", file)
        if done.returncode != 0:
            sys.exit(done.stderr)
        return json.loads(file.read_text())

    def reads(self, record):
        file = self.home / "changed.json"
        file.write_text(json.dumps(record))
        done = self.run("history", "--export", self.home / "out.json", file)
        if done.returncode not in (0, CORRUPT):
            sys.exit(f"exit status {done.returncode}: {done.stderr}")
        return done.returncode == 0, done.stderr.strip()


def is_lenient(record, path, value):
    """Where the reader takes more than the schema promises: null and a key that is not there are absent to it, and
    what others say again (a count of what is listed, a deviation of the samples) is not read. Where it takes less: one
    answer must not stand twice, nor an interval be reversed."""
    was = record
    for step in path:
        was = was[step]
    return value is None or path[-1] in ("n", "n_tokens", "id", "sample", "items") or "ci95" in path or (
        isinstance(value, dict) and (was is None or isinstance(was, dict)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--chaski", required=True)
    parser.add_argument("--schema", required=True)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    schema = json.loads(pathlib.Path(args.schema).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    exact = jsonschema.Draft202012Validator(tight(schema))
    validator = jsonschema.Draft202012Validator(schema)
    rng = random.Random(args.seed)
    differences = []
    with tempfile.TemporaryDirectory() as home:
        program = Program(args.chaski, pathlib.Path(home))
        records = program.records()
        kinds = sorted({record["kind"] for record in records})
        if kinds != ["bench", "eval"]:
            differences.append(f"the history has records of {kinds}")
        for record in records:
            differences += [f"{record['kind']}: {list(e.path)}: {e.message[:200]}" for e in exact.iter_errors(record)]
        n_refused = 0
        for _ in range(args.n):
            record = rng.choice(records)
            path = rng.choice(list(places(record)))
            value = rng.choice(VALUES)
            if is_lenient(record, path, value):
                continue
            changed = with_value(record, path, value)
            is_valid = validator.is_valid(changed)
            is_read, why = program.reads(changed)
            n_refused += not is_read
            if is_valid != is_read:
                differences.append(f"{path} = {value!r}: valid {is_valid}, read {is_read} {why}")
    for difference in differences[:20]:
        print("DIFFERS:", difference)
    print(f"{len(records)} records of {kinds}; {args.n} changed, {n_refused} refused; {len(differences)} differ")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
