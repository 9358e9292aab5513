#!/usr/bin/env python3
"""Checks the text files of the tree: no trailing blanks, no tabs in C++, no conflict markers, no paths of one person's
machine, and that the Python scripts compile. Files under test data are taken as they are. Usage: check_tree.py [ROOT]"""
import pathlib
import re
import subprocess
import sys

import source_text

AS_IT_IS = ("tests/data/", "tests/fuzz/corpus/", "LICENSE")
CONFLICT = re.compile(r"^(<{7} |>{7} |={7}$)")
# Absolute paths that only one machine has.
MACHINE_PATH = re.compile(r"(?<![\w./~$}-])/(?:work|root|home/\w+|Users/\w+)/\w")


def files_of(root: pathlib.Path) -> list[str]:
    """What git has or would take in."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    return sorted({name for name in listed.split("\0") if name and (root / name).is_file()})


def complaints(relative: str, text: str):
    for number, line in enumerate(text.split("\n"), 1):
        if CONFLICT.match(line):
            yield number, "a conflict marker"
        if line.endswith((" ", "\t", "\r")):
            yield number, "blanks at the end of the line"
        if "\t" in line and relative.endswith(source_text.CPP_SUFFIXES):
            yield number, "a tab"
        match = MACHINE_PATH.search(line)
        if match:
            yield number, f"a path of one machine: {match[0]}"
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end of the file"
    if relative.endswith(".py"):
        try:
            compile(text, relative, "exec")
        except SyntaxError as error:
            yield error.lineno or 1, f"does not compile: {error.msg}"


def main() -> int:
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else source_text.ROOT
    problems = []
    files = files_of(root)
    for relative in files:
        data = (root / relative).read_bytes()
        if relative.startswith(AS_IT_IS) or b"\0" in data:
            continue
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            problems.append(f"{relative}:1: is not UTF-8 at byte {error.start}")
            continue
        problems += [f"{relative}:{number}: {what}" for number, what in complaints(relative, text)]
    return source_text.finish("tree", problems, len(files))


if __name__ == "__main__":
    sys.exit(main())
