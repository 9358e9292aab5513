"""Reads the .def files that declare what is called of CANN: one entry a line, PREFIX(fields, (parameters))."""
import dataclasses
import pathlib
import re

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "src"
ASCEND = SOURCES / "backend" / "ascend"
FUNCTIONS = ASCEND / "acl_functions.def"
OPERATORS = ASCEND / "aclnn_ops.def"
TYPES = ASCEND / "acl_types.h"
ERRORS = ASCEND / "acl_error.cpp"


@dataclasses.dataclass
class Entry:
    kind: str  # ACL_FUNCTION, ACLNN_OP, …
    fields: list[str]  # what stands before the name
    name: str
    parameters: list[str]  # each with its name

    def line(self) -> str:
        return f"{self.kind}({', '.join([*self.fields, self.name])}, ({', '.join(self.parameters)}))"


def entries(path: pathlib.Path) -> list[Entry]:
    """The entries of a file; exits where a line is neither an entry nor a comment nor empty."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("//"):
            continue
        match = re.fullmatch(r"(\w+)\((.+?), \((.*)\)\)", line)
        if not match:
            raise SystemExit(f"{path}:{number}: not one entry on one line")
        *fields, name = [field.strip() for field in match[2].split(",")]
        found.append(Entry(match[1], fields, name, [p.strip() for p in match[3].split(",")] if match[3] else []))
    return found


def since(entry: Entry) -> tuple[int, ...]:
    return version(entry.fields[1 if entry.kind == "ACL_FUNCTION" else 0].strip('"'))


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
