#!/usr/bin/env python3
"""Checks the C++ files of src/, tests/ and bench/ against .clang-format. Usage: check_format.py [ROOT] [--fix]"""
import os
import pathlib
import shutil
import subprocess
import sys

import source_text

CLANG_FORMAT = "clang-format-14"  # one version, since versions differ in what they find well formatted


def main() -> int:
    arguments = [a for a in sys.argv[1:] if a != "--fix"]
    root = pathlib.Path(arguments[0]) if arguments else source_text.ROOT
    mode = ["-i"] if "--fix" in sys.argv else ["--dry-run", "-Werror", "--ferror-limit=3"]
    if shutil.which(CLANG_FORMAT) is None:
        sys.exit(f"format: {CLANG_FORMAT} is not installed; ./dev check installs it")
    files = [path.relative_to(root).as_posix() for path in source_text.cpp_files(root, "src", "tests", "bench")]
    failed = []
    for start in range(0, len(files), 50):  # in pieces, for the length of a command line
        run = subprocess.run([CLANG_FORMAT, "--style=file", *mode, *files[start : start + 50]], cwd=root,
                             capture_output=True, text=True, check=False, env={**os.environ, "LANG": "C.UTF-8"})
        if run.returncode != 0:
            failed += [line for line in run.stderr.splitlines() if "error:" in line or "warning:" in line]
    return source_text.finish("format", failed, len(files))


if __name__ == "__main__":
    sys.exit(main())
