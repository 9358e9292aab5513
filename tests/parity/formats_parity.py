#!/usr/bin/env python3
"""Compare the block formats with the `gguf` package, bit for bit, on random blocks and random numbers.

  formats_parity.py --dequantize PROGRAM [--n BLOCKS] [--seed 1]

PROGRAM is dequantize_blocks of tests/parity. Dequantisation is compared for every format; quantisation where the
package has it. NaN counts as equal to NaN: the payload of a NaN is nobody's promise.
"""
import argparse
import subprocess
import sys

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import quants

FORMATS = {  # ours: (theirs, bytes per block, numbers per block, offsets of f16 scales in a block)
    "f32": (Type.F32, 4, 1, []),
    "f16": (Type.F16, 2, 1, []),
    "bf16": (Type.BF16, 2, 1, []),
    "q8_0": (Type.Q8_0, 34, 32, [0]),
    "q4_0": (Type.Q4_0, 18, 32, [0]),
    "q4_1": (Type.Q4_1, 20, 32, [0, 2]),
    "q6_K": (Type.Q6_K, 210, 256, [208]),
    "q5_0": (Type.Q5_0, 22, 32, [0]),
    "q5_1": (Type.Q5_1, 24, 32, [0, 2]),
    "q2_K": (Type.Q2_K, 84, 256, [80, 82]),
    "q3_K": (Type.Q3_K, 110, 256, [108]),
    "q4_K": (Type.Q4_K, 144, 256, [0, 2]),
    "q5_K": (Type.Q5_K, 176, 256, [0, 2]),
    "iq4_nl": (Type.IQ4_NL, 18, 32, [0]),
    "iq4_xs": (Type.IQ4_XS, 136, 256, [0]),
}


def ask(program, arguments, data):
    return subprocess.run([program, *arguments], input=data.tobytes(), stdout=subprocess.PIPE, check=True).stdout


def random_blocks(random, n, n_bytes, scales):
    """Random bytes; every f16 scale any finite number, subnormal ones included."""
    blocks = random.integers(0, 256, (n, n_bytes), dtype=np.uint8)
    for at in scales:
        bits = random.integers(0, 0x7C00, n).astype(np.uint16) | (random.integers(0, 2, n).astype(np.uint16) << 15)
        blocks[:, at:at + 2] = bits.view(np.uint8).reshape(n, 2)
    return blocks


def random_numbers(random, n, n_each):
    """Rows of very different size: ordinary weights, tiny, huge, zeros, ties of magnitude."""
    rows = random.standard_normal((n, n_each)).astype(np.float32)
    rows *= np.float32(10) ** random.integers(-6, 4, (n, 1)).astype(np.float32)
    rows[:: 17] = 0
    rows[1:: 17] = np.sign(rows[1:: 17])
    return rows


def check_dequantize(program, name, blocks):
    theirs = quants.dequantize(blocks, FORMATS[name][0]).astype(np.float32).reshape(-1)
    ours = np.frombuffer(ask(program, [name], blocks), np.float32)
    same = (ours.view(np.uint32) == theirs.view(np.uint32)) | (np.isnan(ours) & np.isnan(theirs))
    return len(ours) == len(theirs) and bool(same.all()), len(theirs)


def check_quantize(program, name, rows):
    try:
        theirs = quants.quantize(rows, FORMATS[name][0]).tobytes()
    except NotImplementedError:
        return None
    return ask(program, [name, "quantize"], rows) == theirs


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dequantize", required=True)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    failed = False
    for name, (_, n_bytes, n_each, scales) in FORMATS.items():
        if name == "f16" or name == "bf16":  # every bit pattern there is
            blocks = np.arange(65536, dtype=np.uint16).view(np.uint8).reshape(1, -1)
        else:
            blocks = random_blocks(random, options.n, n_bytes, scales)
        same, n = check_dequantize(options.dequantize, name, blocks)
        rows = random_numbers(random, options.n, max(n_each, 32))
        quantized = check_quantize(options.dequantize, name, rows)
        said = {True: "equal", False: "DIFFERENT", None: "not in the package"}
        print(f"{name}: {n} numbers dequantized: {said[same]}; {rows.size} quantized: {said[quantized]}")
        failed |= not same or quantized is False
    sys.exit(failed)


if __name__ == "__main__":
    main()
