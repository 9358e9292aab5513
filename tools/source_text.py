"""What the checks share: finding the files of the tree, and blanking comments and strings out of C++ source."""
import pathlib
import re

CPP_SUFFIXES = (".cpp", ".h", ".cu", ".cuh")
ROOT = pathlib.Path(__file__).resolve().parent.parent

# One alternative per thing that must be read whole. A raw string's closing is tied to its opening by the delimiter.
TOKEN = re.compile(
    r'(?P<raw>R"(?P<delimiter>[^()\\\s]{0,16})\(.*?\)(?P=delimiter)")'
    r'|(?P<string>"(?:\\.|[^"\\\n])*")'
    r"|(?P<digits>\b\d[\w.]*(?:'\w+)*)"
    r"|(?P<char>'(?:\\.|[^'\\\n])*')"
    r"|(?P<line>//[^\n]*)"
    r"|(?P<block>/\*.*?\*/)",
    re.DOTALL,
)


def cpp_files(root: pathlib.Path, *folders: str) -> list[pathlib.Path]:
    """The C++ files below `folders` of `root`, sorted."""
    found = []
    for folder in folders:
        found += [path for path in (root / folder).rglob("*") if path.suffix in CPP_SUFFIXES and path.is_file()]
    return sorted(found)


def read(path: pathlib.Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def code_only(text: str) -> str:
    """`text` with comments blank and strings empty, line for line, so that line numbers stay true."""

    def blank(match: re.Match) -> str:
        if match["digits"]:
            return match[0]
        newlines = "\n" * match[0].count("\n")
        return ('""' if match["string"] or match["raw"] else "''" if match["char"] else " ") + newlines

    return TOKEN.sub(blank, text)


def finish(name: str, problems: list[str], n_files: int) -> int:
    """Prints the problems, each `file:line: what`, or one line that all is well; returns the exit status."""
    for problem in problems:
        print(problem)
    print(f"{name}: {len(problems)} problems in {n_files} files" if problems else f"{name}: {n_files} files are fine")
    return 1 if problems else 0
