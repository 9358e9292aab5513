#!/usr/bin/env python3
"""Checks src/ for calls that this code base does not make: what ends the process, prints to stdout from a library
folder, std::regex, std::random_device, assert. Comments and strings do not count. Usage: check_forbidden.py [ROOT]"""
import pathlib
import re
import sys

import source_text

# A call by its plain name or std::name, not a member of the same name.
CALL = r"(?<![\w.>:])(?:std::|::)?"

EVERYWHERE = [
    (re.compile(CALL + r"assert\s*\("), "assert(): use CHECK, which throws and stays in release builds"),
    (re.compile(r"std::(?:w?c?s?regex|w?[cs]match|basic_regex|regex_\w+)\b|#\s*include\s*<regex>"),
     "std::regex: it overflows the stack on long input; write a scanner"),
    (re.compile(r"std::random_device\b"), "std::random_device: draw_seed() asks the system, also one of an older libc"),
]
LIBRARIES = [
    (re.compile(CALL + r"(?:exit|_exit|_Exit)\s*\(|" + CALL + r"(?:abort|quick_exit|__builtin_trap)\b(?:\s*\()?"),
     "ends the process: a library throws chaski::Error"),
    (re.compile(r"std::terminate\b|(?<![\w.>:])terminate\s*\("), "std::terminate: a library throws chaski::Error"),
    (re.compile(CALL + r"(?:printf|vprintf|puts|putchar)\s*\(|std::w?cout\b|(?<![\w:])cout\s*<<"
                r"|fmt::print\s*\(\s*(?:stdout\b|\"|FMT_)|(?:fprintf|fputs|fputc|fwrite)\s*\([^;]*\bstdout\b"),
     "prints to stdout: only src/cli does"),
]


def main() -> int:
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else source_text.ROOT
    problems = []
    files = source_text.cpp_files(root, "src")
    for path in files:
        relative = path.relative_to(root).as_posix()
        rules = EVERYWHERE if relative.startswith("src/cli/") else EVERYWHERE + LIBRARIES
        for number, line in enumerate(source_text.code_only(source_text.read(path)).splitlines(), 1):
            for pattern, why in rules:
                match = pattern.search(line)
                if match:
                    problems.append(f"{relative}:{number}: {match[0].strip()} {why}")
    return source_text.finish("forbidden calls", problems, len(files))


if __name__ == "__main__":
    sys.exit(main())
