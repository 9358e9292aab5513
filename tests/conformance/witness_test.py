#!/usr/bin/env python3
"""An outside witness of chaski's argument lists: writes headers named as CANN's own from chaski's tables, and compiles
llama.cpp's CANN backend, a program that runs on real cards, against them. Where the compiler is content, each list has
the number and kinds of arguments that its calls have; wrong ones planted in a copy must be noticed."""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

from declarations import FUNCTIONS, OPERATORS, Entry, entries

WITNESS_ONLY = pathlib.Path(__file__).with_name("witness_ops.def")
FILES = ["aclnn_ops.cpp", "acl_tensor.cpp"]
# Chaski's operators that the witness calls.
CALLED = {"Add", "FusedInferAttentionScoreV2", "IndexSelect", "InplaceCopy", "InplaceIndexCopy", "Mm", "RmsNorm",
          "RotaryPositionEmbedding", "WeightQuantBatchMatmulV2"}
DECLARED = {"RotaryPositionEmbedding"}  # by the witness itself, which does not include that header
OPTIONS = argparse.Namespace(compiler="c++")
GUARD = "#pragma once\n"
HANDLES = ["Tensor", "Scalar", "IntArray", "FloatArray", "BoolArray", "TensorList", "ScalarList", "OpExecutor"]
TYPES = {"DataType": "aclDataType", "Format": "aclFormat", "Status": "aclnnStatus", "Stream": "aclrtStream"}


def in_c(text: str) -> str:
    """Chaski's names of types as CANN's."""
    return re.sub(r"\b(" + "|".join(TYPES) + r")\b", lambda match: TYPES[match[1]], text)


def prototypes(entry: Entry) -> str:
    parameters = in_c(", ".join(entry.parameters))
    if entry.kind in ("ACL_FUNCTION", "WITNESS_FUNCTION"):
        return f"{in_c(entry.fields[-1])} {entry.name}({parameters});\n"
    return (f"aclnnStatus aclnn{entry.name}GetWorkspaceSize({parameters}, uint64_t*, aclOpExecutor**);\n"
            f"aclnnStatus aclnn{entry.name}(void*, uint64_t, aclOpExecutor*, aclrtStream);\n")


def write_headers(folder: pathlib.Path, named: set[str], operators: list[Entry]) -> None:
    """aclnn/acl_meta.h and aclnn_base.h, and each header of aclnnop/ in `named`, which declares all operators."""
    base = [entry for entry in entries(FUNCTIONS) if entry.fields[0] == "kNnBase"]
    meta = (GUARD + "#include <acl/acl_base.h>\n#include <acl/acl_rt.h>\n#include <stdint.h>\n" + 'extern "C" {\n' +
            "".join(f"typedef struct acl{name} acl{name};\n" for name in HANDLES) + "typedef int32_t aclnnStatus;\n" +
            "".join(map(prototypes, base)) + "}\n")
    everything = (GUARD + '#include <aclnn/acl_meta.h>\nextern "C" {\n' + "".join(map(prototypes, operators)) + "}\n")
    for place, text in {"aclnn/acl_meta.h": meta, "aclnn/aclnn_base.h": GUARD + "#include <aclnn/acl_meta.h>\n",
                        "aclnnop/all_of_them.h": everything}.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, encoding="utf-8")
    for header in named:
        (folder / header).write_text(GUARD + '#include "all_of_them.h"\n', encoding="utf-8")


def declared_in(text: str) -> dict[str, list[str]]:
    """First phases that the witness declares itself: name and types of all parameters."""
    return {name: kinds(parameters.split(",")) for name, parameters in
            re.findall(r"aclnnStatus aclnn(\w+)GetWorkspaceSize\(([^;{]+)\);", text)}


def kinds(parameters: list[str]) -> list[str]:
    """Types without names, and without const, which makes no difference to a call."""
    bare = [re.sub(r"\bconst\b|(?<=[ *])\w+$", "", in_c(parameter).strip()) for parameter in parameters]
    return [re.sub(r"\s", "", kind) for kind in bare]


class Witness(unittest.TestCase):
    def compile_with(self, ours: list[Entry], files: list[str]) -> str:
        """What the compiler says of the witness's files, where chaski's operators are `ours`."""
        ggml = OPTIONS.sources / "vendor" / "llama.cpp" / "ggml"
        cann = ggml / "src" / "ggml-cann"
        named = set()
        for file in cann.iterdir():
            if file.suffix in (".h", ".cpp"):
                named.update(re.findall(r"#include <(aclnnop/\w+\.h)>", file.read_text("utf-8")))
        self.assertGreater(len(named), 50)
        own = declared_in("".join((cann / file).read_text("utf-8") for file in files))
        self.assertEqual(set(own), DECLARED)
        tail = ["uint64_t*", "aclOpExecutor**"]
        said = "".join(f"aclnn{entry.name}GetWorkspaceSize: the witness declares {own[entry.name]}\n" for entry in ours
                       if entry.name in own and own[entry.name] != [*kinds(entry.parameters), *tail])
        ours = [entry for entry in ours if entry.name not in own]
        with tempfile.TemporaryDirectory() as folder:
            write_headers(pathlib.Path(folder), named, [*ours, *entries(WITNESS_ONLY)])
            for file in files:
                command = [OPTIONS.compiler, "-std=c++17", "-fsyntax-only", "-w", "-DASCEND_910B",
                           f"-I{folder}", f"-I{OPTIONS.headers / '8.0' / 'include'}", f"-I{ggml / 'include'}",
                           f"-I{ggml / 'src'}", f"-I{cann}", str(cann / file)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                said += done.stderr + ("" if done.returncode == 0 else f"\n{file}: {done.returncode}\n")
        return said

    def planted(self, wrong: dict[str, list[str]]) -> None:
        """Gives operators other parameters, and expects a complaint about each."""
        ours = [Entry(e.kind, e.fields, e.name, wrong.get(e.name, e.parameters)) for e in entries(OPERATORS)]
        said = self.compile_with(ours, FILES[:1])
        for name in wrong:
            self.assertRegex(said, rf"\baclnn{name}GetWorkspaceSize\b")

    def called(self) -> list[Entry]:
        ours = [entry for entry in entries(OPERATORS) if entry.name in CALLED]
        self.assertEqual(len(ours), len(CALLED))
        return ours

    def test_the_witness_compiles_against_our_argument_lists(self):
        said = self.compile_with(entries(OPERATORS), FILES)
        self.assertFalse(said, said)

    def test_one_argument_less_or_more_is_noticed_in_every_operator(self):
        self.planted({entry.name: entry.parameters[:-1] for entry in self.called()})
        self.planted({entry.name: [*entry.parameters, "int64_t one_more"] for entry in self.called()})

    def test_a_wrong_type_of_an_argument_is_noticed(self):
        # Of the operator with 39 arguments: some of those that are not handles, and the last.
        for index in [*range(9), 24, 25, 28, 38]:
            wrong = {}
            for entry in self.called():
                if index < len(entry.parameters):
                    other = "double wrong" if "*" in entry.parameters[index] else "struct another wrong"
                    wrong[entry.name] = [*entry.parameters[:index], other, *entry.parameters[index + 1:]]
            with self.subTest(index=index):
                self.planted(wrong)

    def test_an_operator_that_is_not_declared_is_noticed(self):
        said = self.compile_with([entry for entry in entries(OPERATORS) if entry.name not in CALLED], FILES[:1])
        for name in CALLED - DECLARED:
            self.assertIn(f"aclnn{name}GetWorkspaceSize", said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiler", default=OPTIONS.compiler)
    parser.add_argument("--headers", type=pathlib.Path, required=True, help="the folder of tools/ascend_headers.py")
    parser.add_argument("--sources", type=pathlib.Path, required=True, help="llama-cpp-python's sources, unpacked")
    _, tests = parser.parse_known_args(namespace=OPTIONS)  # the rest names tests
    unittest.main(argv=[sys.argv[0], *tests])


if __name__ == "__main__":
    main()
