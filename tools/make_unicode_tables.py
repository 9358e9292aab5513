#!/usr/bin/env python3
"""Write src/text/unicode_tables.cpp: the classes of characters that the split rules need.

  pip install unicodedata2==16.0.0
  make_unicode_tables.py src/text/unicode_tables.cpp

The version is that of the regex engines behind tiktoken 0.14.0 and Hugging Face tokenizers 0.23.3: with another one,
the ids of a few characters differ from theirs. tests/parity/tokenizer_parity.py compares every character.
"""
import sys
import unicodedata2

VERSION = "16.0.0"
# White_Space of PropList.txt; it has not changed since Unicode 6.3.
WHITE_SPACE = [*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
# Numbers that Unicode 17 added. The "Digits" rule of tokenizers 0.23.3 asks the Rust standard library, which knows
# them, while the patterns' \\p{N} does not: Tolong Siki digits and three signs of Chinese small numerals.
LATER_NUMBERS = [*range(0x11DE0, 0x11DEA), *range(0x16FF4, 0x16FF7)]


def class_of(code):
    if code in WHITE_SPACE:
        return "kSpace"
    if code in LATER_NUMBERS:
        return "kLaterNumber"
    category = unicodedata2.category(chr(code))
    cased = {"Lu": "kUpper", "Lt": "kUpper", "Ll": "kLower"}
    rest = {"L": "kLetter", "N": "kNumber", "M": "kMark", "P": "kPunctuation", "S": "kSymbol"}
    return cased.get(category) or rest.get(category[0])


def main():
    if unicodedata2.unidata_version != VERSION:
        sys.exit(f"needs Unicode {VERSION}, found {unicodedata2.unidata_version}")
    ranges = []
    for code in range(0x110000):
        name = class_of(code)
        if name is None:
            continue
        if ranges and ranges[-1][1] == code - 1 and ranges[-1][2] == name:
            ranges[-1][1] = code
        else:
            ranges.append([code, code, name])
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        out.write(f"// Made by tools/make_unicode_tables.py from Unicode {VERSION}; change the script, not this file.\n"
                  '#include "text/unicode_tables.h"\n\nnamespace chaski {\nnamespace {\n\n'
                  "using enum CharClass;\n\n// clang-format off\n"
                  f"constexpr CharRange kRanges[{len(ranges)}] = {{\n")
        line = "   "
        for first, last, name in ranges:
            item = f" {{0x{first:X}, 0x{last:X}, {name}}},"
            if len(line) + len(item) > 110:
                out.write(line + "\n")
                line = "   "
            line += item
        out.write(line + "\n};\n// clang-format on\n\n}  // namespace\n\n"
                  "std::span<const CharRange> char_ranges() { return kRanges; }\n\n}  // namespace chaski\n")


main()
