#!/usr/bin/env python3
"""Write the tables of src/text/jinja_unicode.cpp anew: case mapping and printability as this Python has them.

  make_case_tables.py src/text/jinja_unicode.cpp

The version is Python 3.11's, whose Jinja2 is the peer of chaski's chat templates.
"""
import sys
import unicodedata

VERSION = "14.0.0"
CODES = [code for code in range(0x80, 0x110000) if not 0xD800 <= code < 0xE000]


def case_ranges(mapping):
    """Ranges (first, last, stride, difference) of single mappings, and the mappings to several characters."""
    simple, expansions = [], []
    for code in CODES:
        mapped = mapping(chr(code))
        if mapped == chr(code):
            continue
        if len(mapped) == 1:
            simple.append((code, ord(mapped) - code))
        else:
            expansions.append((code, [ord(c) for c in mapped]))
    ranges, i = [], 0
    while i < len(simple):
        length, stride = 1, 1
        for candidate in (1, 2):
            j = i
            while j + 1 < len(simple) and simple[j + 1] == (simple[j][0] + candidate, simple[i][1]):
                j += 1
            if j - i + 1 > length:
                length, stride = j - i + 1, candidate
        ranges.append((simple[i][0], simple[i + length - 1][0], stride, simple[i][1]))
        i += length
    return ranges, expansions


def not_printable():
    ranges, first = [], None
    for code in range(0x80, 0x110000):
        is_surrogate = 0xD800 <= code < 0xE000
        if not is_surrogate and not chr(code).isprintable() or is_surrogate and first is not None:
            first = code if first is None else first
        elif first is not None:
            ranges.append((first, code - 1))
            first = None
    return ranges + ([(first, 0x10FFFF)] if first is not None else [])


def table(declaration, rows):
    text, line = f"constexpr {declaration}[] = {{\n", "   "
    for row in rows:
        if len(line) + len(row) + 1 > 108:
            text += line + "\n"
            line = "   "
        line += " " + row
    return text + line + "\n};\n\n"


def main():
    if unicodedata.unidata_version != VERSION:
        sys.exit(f"this Python has Unicode {unicodedata.unidata_version}, expected {VERSION}")
    text = ""
    for name, mapping in (("Lower", str.lower), ("Upper", str.upper), ("Title", str.title)):
        ranges, expansions = case_ranges(mapping)
        text += table(f"CaseRange k{name}", ["{%d,%d,%d,%d}," % r for r in ranges])
        text += table(f"CaseExpansion k{name}Expansions",
                      ["{%d,{%d,%d,%d}}," % (code, *(mapped + [0, 0])[:3]) for code, mapped in expansions])
    text += table("CharacterRange kNotPrintable", ["{%d,%d}," % r for r in not_printable()])
    with open(sys.argv[1], encoding="utf-8") as file:
        source = file.read()
    begin = source.index("// clang-format off\n") + len("// clang-format off\n")
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(source[:begin] + text + source[source.index("// clang-format on"):])


if __name__ == "__main__":
    main()
