#!/usr/bin/env python3
"""What a program needs of the machine that starts it, from its ELF file alone: the shared libraries, and the newest
version of glibc, with the symbols that ask for it. Fails where a library is not libc's own or the version is newer
than allowed. Usage: check_glibc.py [--at-most 2.34] PROGRAM…"""
import argparse
import dataclasses
import pathlib
import re
import struct
import sys

MACHINES = {62: "x86-64", 183: "AArch64"}
OF_LIBC = re.compile(r"(lib(c|m)\.so\.6|lib(dl|rt|util)\.so\.[12]|libpthread\.so\.0|ld-linux-x86-64\.so\.2|ld-linux-aarch64\.so\.1)")
VERSION = re.compile(r"GLIBC_(\d+(?:\.\d+)*)")
PT_LOAD, PT_DYNAMIC, SHT_DYNSYM = 1, 2, 11
DT_NEEDED, DT_STRTAB, DT_RUNPATH, DT_RPATH = 1, 5, 29, 15
DT_VERSYM, DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFF0, 0x6FFFFFFE, 0x6FFFFFFF
# Not versions of symbols: what the loader itself must know, and the glibc that first did.
ABI_VERSIONS = {"GLIBC_ABI_DT_RELR": (2, 36)}


class NotElf(Exception):
    pass


@dataclasses.dataclass
class Needs:
    machine: str
    libraries: list[str]
    versions: dict[str, list[str]]  # of glibc's libraries; with the symbols that need each
    run_path: str | None


class Elf:
    """A dynamic ELF file of 64 bits, little-endian, by what the loader reads of it. Only to name the symbols, whose
    table tells the loader no length, are section headers read."""

    def __init__(self, data: bytes):
        self.data = data
        if data[:7] != b"\x7fELF\x02\x01\x01":
            raise NotElf("is no 64-bit little-endian ELF file")
        kind, machine = self.read("<HH", 16)
        if kind not in (2, 3):
            raise NotElf("is no program")
        if machine not in MACHINES:
            raise NotElf(f"is for machine {machine}, which is neither of {', '.join(MACHINES.values())}")
        self.machine = MACHINES[machine]
        offset, = self.read("<Q", 32)
        size, count = self.read("<HH", 54)
        self.parts = []
        for i in range(count):
            part, _, at, address, _, in_file = self.read("<IIQQQQ", offset + i * size)
            self.parts.append((part, at, address, in_file))
        self.dynamic = self.read_dynamic()

    def read(self, form: str, at: int) -> tuple:
        try:
            return struct.unpack_from(form, self.data, at)
        except struct.error:
            raise NotElf(f"is cut off: it points to byte {at} of {len(self.data)}") from None

    def read_dynamic(self) -> list[tuple[int, int]]:
        entries = []
        for part, at, _, in_file in self.parts:
            if part == PT_DYNAMIC:
                for i in range(in_file // 16):
                    tag, value = self.read("<qQ", at + 16 * i)
                    if tag == 0:
                        break
                    entries.append((tag, value))
        return entries

    def all_of(self, tag: int) -> list[int]:
        return [value for found, value in self.dynamic if found == tag]

    def file_offset(self, tag: int) -> int | None:
        """Where in the file lies what the tag points to."""
        for address in self.all_of(tag):
            for part, at, begin, in_file in self.parts:
                if part == PT_LOAD and begin <= address < begin + in_file:
                    return at + address - begin
            raise NotElf(f"points to address {address:#x}, which it does not have")
        return None

    def text(self, offset: int) -> str:
        table = self.file_offset(DT_STRTAB)
        if table is None or table + offset >= len(self.data):
            raise NotElf("names something outside its table of names")
        end = self.data.find(b"\0", table + offset)
        return self.data[table + offset:end].decode("utf-8", "replace")

    def needed_versions(self) -> dict[int, tuple[str, str]]:
        """From the number of a version to (library, version)."""
        found = {}
        entry, count = self.file_offset(DT_VERNEED), (self.all_of(DT_VERNEEDNUM) or [0])[0]
        for _ in range(count if entry is not None else 0):
            _, n_versions, library, first, following = self.read("<HHIII", entry)
            version = entry + first
            for _ in range(n_versions):
                _, _, number, name, after = self.read("<IHHII", version)
                found[number] = (self.text(library), self.text(name))
                version += after
                if after == 0:
                    break
            entry += following
            if following == 0:
                break
        return found

    def imports(self):
        """(symbol, number of its version) of each symbol that is looked up elsewhere; none where the file is stripped
        of its section headers."""
        versions = self.file_offset(DT_VERSYM)
        offset, = self.read("<Q", 40)
        size, count = self.read("<HH", 58)
        for i in range(count if versions is not None else 0):
            _, kind, _, _, symbols, n_bytes = self.read("<IIQQQQ", offset + i * size)
            for at in range(1, n_bytes // 24 if kind == SHT_DYNSYM else 0):
                name, _, _, section = self.read("<IBBH", symbols + 24 * at)
                number, = self.read("<H", versions + 2 * at)
                if section == 0:
                    yield self.text(name), number & 0x7FFF


def needs_of(data: bytes) -> Needs:
    elf = Elf(data)
    versions = elf.needed_versions()
    wanted: dict[str, list[str]] = {name: [] for library, name in versions.values() if OF_LIBC.fullmatch(library)}
    for symbol, number in elf.imports():
        if number in versions and versions[number][1] in wanted:
            wanted[versions[number][1]].append(symbol)
    paths = [elf.text(value) for tag in (DT_RUNPATH, DT_RPATH) for value in elf.all_of(tag)]
    return Needs(elf.machine, [elf.text(value) for value in elf.all_of(DT_NEEDED)], wanted, ":".join(paths) or None)


def number_of(version: str) -> tuple[int, ...]:
    if version in ABI_VERSIONS:
        return ABI_VERSIONS[version]
    match = VERSION.fullmatch(version)
    if match is None:
        raise NotElf(f"needs {version} of libc, which no other libc has to have")
    return tuple(int(part) for part in match[1].split("."))


def check(path: pathlib.Path, at_most: tuple[int, ...]) -> list[str]:
    """Prints a line on the program and returns what is wrong with it."""
    needs = needs_of(path.read_bytes())
    newest = max(needs.versions, key=number_of, default=None)
    of_newest = f" ({', '.join(sorted(needs.versions[newest]))})" if newest else ""
    print(f"{path}: {needs.machine}; newest version {newest or 'none'}{of_newest}; "
          f"libraries: {' '.join(needs.libraries) or 'none'}")
    problems = [f"needs the library {name}, which is not libc's" for name in needs.libraries if not OF_LIBC.fullmatch(name)]
    for version, symbols in sorted(needs.versions.items()):
        if number_of(version) > at_most:
            problems.append(f"needs {version} for {', '.join(sorted(symbols)) or 'how it is linked'}")
    if needs.run_path is not None:
        problems.append(f"looks for libraries in {needs.run_path}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-most", default="2.34", metavar="VERSION", help="the newest glibc allowed (2.34)")
    parser.add_argument("programs", nargs="+", type=pathlib.Path, metavar="PROGRAM")
    options = parser.parse_args()
    at_most = number_of("GLIBC_" + options.at_most)
    status = 0
    for path in options.programs:
        try:
            problems = check(path, at_most)
        except (NotElf, OSError) as error:
            problems = [str(error)]
        for problem in problems:
            print(f"{path}: {problem}", file=sys.stderr)
        status = 1 if problems else status
    return status


if __name__ == "__main__":
    sys.exit(main())
