#!/usr/bin/env python3
"""Gets AscendCL's real headers for the tests: downloads two torch-npu wheels with this environment's pip, checks their
SHA-256 and unpacks, for each CANN, FOLDER/VERSION/include and FOLDER/VERSION/names.txt, the C names of CANN that the wheel's
library knows. Nothing is installed or run, and the wheels are not kept."""
import argparse
import hashlib
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

# CANN: the version of torch-npu that is built for it, SHA-256 of its wheel for Python 3.10 on x86-64. The headers are
# the same bytes in the wheel for aarch64.
WHEELS = {
    "8.0": ("2.4.0.post2", "8cd49596fee0dba1d8c79627afb34516362ca94e8f629430536a4cf38c6d4a21"),
    "8.5": ("2.9.0", "3d436f74af70089b4320e6dae374641ddfb76712cdd593e67763ded33cf31a2a"),
}
HEADERS = "torch_npu/include/third_party/acl/inc/"
LIBRARY = "torch_npu/lib/libtorch_npu.so"
PLATFORMS = ["manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64"]


def download(version: str, sha256: str, folder: pathlib.Path) -> pathlib.Path:
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--python-version", "310",
           "-d", str(folder), f"torch-npu=={version}"]
    for platform in PLATFORMS:
        pip += ["--platform", platform]
    if subprocess.run(pip, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        sys.exit(f"ascend_headers: pip could not get torch-npu {version}; its words are above")
    wheel = next(folder.glob("*.whl"))
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        sys.exit(f"ascend_headers: {wheel.name}: expected SHA-256 {sha256}, found {found}")
    return wheel


def names_in(library: bytes) -> list[str]:
    """All whole C strings that are names of CANN's: those looked up at run time and those linked."""
    return sorted({match.decode() for match in re.findall(rb"(?<=\0)acl[A-Za-z0-9_]{2,120}(?=\0)", library)})


def unpack(wheel: pathlib.Path, folder: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            inside = member.removeprefix(HEADERS)
            if inside.startswith(("acl/", "ge/")) and inside.endswith(".h") and ".." not in inside:
                target = folder / "include" / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(member))
        names = names_in(archive.read(LIBRARY))
    (folder / "names.txt").write_text("\n".join(names) + "\n", encoding="ascii")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=pathlib.Path, required=True, metavar="FOLDER")
    into = parser.parse_args().into
    into.mkdir(parents=True, exist_ok=True)
    for cann, (version, sha256) in WHEELS.items():
        stamp, folder = into / cann / "sha256.txt", into / cann
        if stamp.is_file() and stamp.read_text(encoding="ascii") == sha256:
            continue
        print(f"== getting the headers of CANN {cann} out of torch-npu {version}", flush=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=into) as scratch:
            fresh = pathlib.Path(scratch) / cann
            unpack(download(version, sha256, pathlib.Path(scratch)), fresh)
            (fresh / stamp.name).write_text(sha256, encoding="ascii")
            shutil.rmtree(folder, ignore_errors=True)
            fresh.rename(folder)


if __name__ == "__main__":
    main()
