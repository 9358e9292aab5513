#!/usr/bin/env python3
"""Checks every #include "…" of src/ against tools/include_table.txt, and that the device-free folders name no device.
Usage: check_includes.py [ROOT]"""
import pathlib
import re
import sys

import source_text

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
DEVICE_NAME = re.compile(r"(?<![a-zA-Z])(cpu|gpu|npu|cuda|nvidia|ascend|acl|avx\w*|neon)(?![a-z])", re.IGNORECASE)


def read_table(path: pathlib.Path) -> dict[str, list[str]]:
    table = {}
    for line in source_text.read(path).splitlines():
        line = line.split("#")[0].strip()
        if line:
            name, allowed = line.split(":")
            table[name.strip()] = allowed.split()
    return table


def unit_of(file: str, table: dict[str, list[str]]) -> str | None:
    """The longest name of the table that is `file`, or a folder that holds it at any depth."""
    parts = file.split("/")
    names = ["/".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((name for name in names if name in table), None)


def check_include(table, unit: str, root: pathlib.Path, included: str) -> str | None:
    if "/" not in included:
        return f'include "{included}" names no folder; write the path from src/'
    if not (root / "src" / included).is_file():
        return f'include "{included}": src/{included} does not exist'
    target = unit_of(included, table)
    if target == unit or target in table[unit]:
        return None
    allowed = " ".join(table[unit]) or "nothing"
    return f'{unit} may not include "{included}"; it may include: {allowed}'


def main() -> int:
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else source_text.ROOT
    table = read_table(root / "tools" / "include_table.txt")
    device_free = table.pop("no-device-names", [])
    problems = []
    files = source_text.cpp_files(root, "src")
    for path in files:
        relative = path.relative_to(root / "src").as_posix()
        unit = unit_of(relative, table)
        if unit is None:
            problems.append(f"src/{relative}:1: its folder is not in tools/include_table.txt")
            continue
        text = source_text.read(path)
        for number, line in enumerate(text.splitlines(), 1):
            match = INCLUDE.match(line)
            complaint = check_include(table, unit, root, match[1]) if match else None
            if complaint:
                problems.append(f"src/{relative}:{number}: {complaint}")
        if unit in device_free:
            for number, line in enumerate(source_text.code_only(text).splitlines(), 1):
                match = DEVICE_NAME.search(line)
                if match:
                    problems.append(f"src/{relative}:{number}: {unit} names no device, found {match[0]}")
    return source_text.finish("include table", problems, len(files))


if __name__ == "__main__":
    sys.exit(main())
