#!/usr/bin/env python3
"""Checks the text files of the tree: no trailing blanks, no tabs in C++, no conflict markers, no paths of one person's
machine, and that the Python scripts compile. Files under test data are taken as they are. Usage: check_tree.py [ROOT]"""
import os
import pathlib
import re
import sys

import source_text

SKIPPED_FOLDERS = {".git", ".cache", "__pycache__", "node_modules"}
AS_IT_IS = ("tests/data/", "tests/fuzz/corpus/", "LICENSE")
CONFLICT = re.compile(r"^(<{7} |>{7} |={7}$)")
# Absolute paths that only one machine has.
MACHINE_PATH = re.compile(r"(?<![\w./~$}-])/(?:work|root|home/\w+|Users/\w+)/\w")


def text_files(root: pathlib.Path) -> list[str]:
    found = []
    for folder, below, names in os.walk(root):
        below[:] = [b for b in below if b not in SKIPPED_FOLDERS
                    and not (folder == str(root) and b.startswith(("build", ".venv")))]
        found += [(pathlib.Path(folder) / name).relative_to(root).as_posix() for name in names]
    return sorted(found)


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
    files = text_files(root)
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
