"""What bench/peers.py needs before it measures: llama.cpp built from PyPI's source package, Python rivals where pip has
them, and the models. All below the cache folder; what is there already is left alone."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

LLAMA_PACKAGE = "llama-cpp-python==0.3.36"
LLAMA_TOOLS = ["llama-bench", "llama-batched-bench", "llama-completion"]
LLAMA_COMMON = ["-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF",
                "-DLLAMA_BUILD_SERVER=OFF", "-DLLAMA_BUILD_TOOLS=ON", "-DGGML_CCACHE=OFF"]
AVX2 = ["-DGGML_NATIVE=OFF"] + [f"-DGGML_{isa}=ON" for isa in ("SSE42", "AVX", "AVX2", "FMA", "F16C", "BMI2")]
NO_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
OTHERS = ["ctranslate2", "openvino-genai", "onnxruntime-genai"]
FORMATS = ["q8_0", "q4_0", "q4_K_M"]
SHAPE = "llama-3.2-1b"
PARITY = pathlib.Path(__file__).resolve().parent.parent / "tests" / "parity"
# Llama 3's tokenizer.json from its ranks, as the parity tests make it.
LLAMA3_TOKENIZER = """
import base64, json, pathlib, sys
sys.path.insert(0, sys.argv[1])
import tokenizer_parity
pairs = (line.split() for line in pathlib.Path(sys.argv[2]).read_bytes().splitlines())
ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
folder = pathlib.Path(sys.argv[3])
(folder / "tokenizer.json").write_text(json.dumps(tokenizer_parity.json_from_ranks(ranks)), encoding="utf-8")
special = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}
(folder / "tokenizer_config.json").write_text(json.dumps(special), encoding="utf-8")
"""


def say(text):
    print(f"== {text}", flush=True)


def quietly(command, log, **more):
    """True where the command ended well; its words go to the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as out:
        out.write(f"\n$ {' '.join(map(str, command))}\n".encode())
        out.flush()
        return subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False,
                              **more).returncode == 0


def must(command, log, what):
    if not quietly(command, log):
        sys.stderr.write("\n".join(log.read_text(errors="replace").splitlines()[-30:]) + "\n")
        sys.exit(f"peers: {what} failed; the lines above are the end of {log}")


def machine_flags():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    return set(next((line.split(":", 1)[1].split() for line in text.splitlines() if line.startswith(("flags", "Features"))), []))


class Prepared:
    """What stands in the cache folder, kept in prepared.json."""

    def __init__(self, cache):
        self.cache, self.path = cache, cache / "prepared.json"
        self.facts = json.loads(self.path.read_text()) if self.path.exists() else {}

    def save(self, **facts):
        self.facts.update(facts)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.facts, indent=1, ensure_ascii=False))
        partial.replace(self.path)

    def llama_folder(self, isa):
        """Of the build for this code path; the machine's own where there is none."""
        return self.facts.get("llama", {}).get("avx2" if isa == "avx2" else "native")


def llama_source(cache, log):
    folder = cache / "llama-source"
    found = sorted(folder.glob("llama_cpp_python-*/vendor/llama.cpp"))
    if found:
        return found[0]
    say(f"getting {LLAMA_PACKAGE} (source)")
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.glob("*.tar.gz")):
        # pip asks a source package for its name by its build system, which the environment's pip then gets.
        must([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "llama-cpp-python", "-d", folder,
              LLAMA_PACKAGE], log, f"pip download {LLAMA_PACKAGE}")
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.glob("llama_cpp_python-*/vendor/llama.cpp"))


def build_llama(source, folder, options, log):
    """The folder of the tools."""
    if all((folder / "bin" / tool).exists() for tool in LLAMA_TOOLS):
        return folder / "bin"
    say(f"building llama.cpp in {folder}; this takes minutes")
    must(["cmake", "-S", source, "-B", folder, *LLAMA_COMMON, *options], log, "configuring llama.cpp")
    must(["ninja", "-C", folder, *LLAMA_TOOLS], log, "building llama.cpp")
    return folder / "bin"


def survives(tools, model, threads):
    done = subprocess.run([str(tools / "llama-bench"), "-m", str(model), "-t", str(threads), "-r", "1", "-p", "32", "-n", "4"],
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == 0


def prepare_llama(prepared, default_model, threads):
    """For this machine, and held to AVX2 where the machine has more. Where its AMX path crashes on a quantised model, as
    it did on virtual machines, it is built again without, and that is said."""
    cache, log = prepared.cache, prepared.cache / "llama.log"
    source, flags, notes = llama_source(cache, log), machine_flags(), []
    native = build_llama(source, cache / "llama-native", ["-DGGML_NATIVE=ON"], log)
    if not survives(native, default_model, threads):
        if "amx_int8" not in flags:
            sys.exit(f"peers: {native}/llama-bench fails on {default_model}; see its own words by running it")
        say("llama.cpp fails with AMX on a quantised model; building it without")
        native = build_llama(source, cache / "llama-native-no-amx",
                             ["-DGGML_NATIVE=ON", f"-DCMAKE_C_FLAGS={NO_AMX}", f"-DCMAKE_CXX_FLAGS={NO_AMX}"], log)
        if not survives(native, default_model, threads):
            sys.exit(f"peers: {native}/llama-bench fails on {default_model} even without AMX")
        notes.append({"en": "llama.cpp was built without AMX: with it, it crashes here on quantised weights.",
                      "zh": "llama.cpp 以不含 AMX 的方式构建：启用 AMX 时，它在本机上处理量化权重会崩溃。"})
    folders = {"native": str(native), "avx2": str(native)}
    if flags & {"avx512f", "avx_vnni"}:
        folders["avx2"] = str(build_llama(source, cache / "llama-avx2", AVX2, log))
    prepared.save(llama=folders, llama_package=LLAMA_PACKAGE, llama_notes=notes)


def make_venv(folder, log):
    if not (folder / "bin" / "python").exists():
        must([sys.executable, "-m", "venv", folder], log, f"making {folder}")
    return folder / "bin" / "python"


def installed(python, package):
    done = subprocess.run([str(python), "-c", f"import importlib.metadata as m; print(m.version({package!r}))"], capture_output=True,
                          text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def prepare_python(prepared, tools, wants_transformers):
    """tiktoken and the data packages, which the comparison needs; transformers and others, which it does without."""
    log = prepared.cache / "pip.log"
    python = make_venv(prepared.cache.parent / "venv-peers", log)
    pip = [python, "-m", "pip", "install", "-q"]
    say("installing tiktoken, gguf and the data packages")
    must(pip + ["-r", tools / "peers.txt"], log, "installing tools/peers.txt")
    must(pip + ["--no-deps", "-r", tools / "peers-nodeps.txt"], log, "installing tools/peers-nodeps.txt")
    notes = []
    if wants_transformers and not installed(python, "torch"):
        pins = [line for line in (tools / "peers-heavy.txt").read_text().splitlines() if line.startswith(("torch==", "transformers=="))]
        say(f"installing {' '.join(pins)} (gigabytes)")
        if not quietly(pip + pins, log):
            notes.append({"en": "transformers could not be installed.", "zh": "transformers 未能安装。"})
    others = make_venv(prepared.cache / "venv-others", log)
    for package in OTHERS:
        if not installed(others, package):
            say(f"installing {package}")
            quietly([others, "-m", "pip", "install", "-q", "--no-deps", package], log)
        if version := installed(others, package):
            notes.append({"en": f"{package} {version} installs here and was not compared: it reads only models that its own tools converted.",
                          "zh": f"{package} {version} 可安装，但未参与对比：它只能读取由其自带工具转换的模型。"})
        else:
            notes.append({"en": f"{package} could not be installed.", "zh": f"{package} 未能安装。"})
    prepared.save(python=str(python), python_notes=notes,
                  transformers=installed(python, "transformers") if installed(python, "torch") else "")


def prepare_quality(prepared, tools):
    """llama.cpp as a Python module, for its logits; with what else compares logits."""
    say("installing tools/peers-heavy.txt (gigabytes; llama.cpp is built once more)")
    must([prepared.facts["python"], "-m", "pip", "install", "-q", "-r", tools / "peers-heavy.txt"], prepared.cache / "pip.log",
         "installing tools/peers-heavy.txt")


def ranks_of(prepared):
    done = subprocess.run([prepared.facts["python"], "-c", "import importlib.util as u; print(u.find_spec('llama_models')"
                           ".submodule_search_locations[0])"], capture_output=True, text=True, check=True)
    return pathlib.Path(done.stdout.strip()) / "llama3" / "tokenizer.model"


def prepare_models(prepared, chaski, folder):
    """The 1B shape with Llama 3's vocabulary: as a Hugging Face folder, as GGUF, and quantised by chaski."""
    folder.mkdir(parents=True, exist_ok=True)
    log = prepared.cache / "models.log"
    env = {**os.environ, "CHASKI_HOME": str(chaski.home)}
    bf16, hf = folder / "1b-bf16.gguf", folder / "1b-hf"
    if not bf16.exists():
        say("making the 1B shape with random weights")
        shutil.rmtree(hf, ignore_errors=True)
        if not quietly([chaski.path, "convert", f"synthetic:{SHAPE}", hf], log, env=env):
            sys.exit(f"peers: making the model failed; see {log}")
        must([prepared.facts["python"], "-c", LLAMA3_TOKENIZER, PARITY, ranks_of(prepared), hf], log, "making its tokenizer")
        if not quietly([chaski.path, "convert", hf, bf16], log, env=env):
            sys.exit(f"peers: making {bf16} failed; see {log}")
    for style in FORMATS:
        target = folder / f"1b-{style}.gguf"
        if target.exists():
            continue
        say(f"quantising it to {style}")
        if not quietly([chaski.path, "quantize", bf16, target, "--format", style], log, env=env):
            sys.exit(f"peers: making {target} failed; see {log}")
    return folder


def prepare_default_model(home, tools, python):
    must([python, tools / "default_model.py", "--home", home], pathlib.Path(home) / "default_model.log", "getting the default model")
