#!/usr/bin/env bash
# run.sh PYTHON BUILD: compares with the heavy peers, and makes the golden files anew to see whether they still hold.
# Called by ./dev test --peers; PYTHON has the packages of tools/peers-heavy.txt. llama.cpp's converter comes with the
# source package of llama-cpp-python; it and the texts of the small trained model are kept in .cache.
set -euo pipefail
python=$1 build=$2
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
gguf=$("$python" tools/peer_paths.py | sed -n 's/^-DCHASKI_PEERS_GGUF=//p')
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
status=0
compare() { "$python" "$@" || status=1; }  # so that one that fails does not hide the others
"$python" tests/peers/make_goldens.py --gguf "$gguf" --out "$fresh"
compare tests/parity/logits_parity.py --n 20 --score-logits "$build/score_logits" --chaski "$build/chaski" \
  --goldens "$fresh" --gguf "$gguf"
compare tests/parity/sampling_parity.py --n 1000 --seed 1 --peer transformers --filter-logits "$build/filter_logits"
compare tests/peers/sentencepiece_parity.py --chaski-tokenize "$build/tokenize_lines"

# unpacked NAME==VERSION: the folder of a source package, kept in .cache.
unpacked() {
  local sources=.cache/${1//==/-} package=${1%%==*}
  if [[ ! -d $sources ]]; then
    mkdir -p "$fresh/$1" "$sources.partial" &&
      "$python" -m pip download --quiet --no-deps --no-binary "$package" -d "$fresh/$1" "$1" >&2 &&
      tar -xzf "$fresh/$1/${package//-/_}"-*.tar.gz -C "$sources.partial" --strip-components=1 &&
      mv "$sources.partial" "$sources" || return
  fi
  echo "$sources"
}
sources=$(unpacked "$(grep '^llama-cpp-python==' tools/peers-heavy.txt)")
"$python" tools/train_tiny.py --packages .cache/texts --out "$fresh/trained" --steps 60
model_files=(--chaski "$build/chaski" --score-logits "$build/score_logits" --dequantize "$build/dequantize_blocks"
  --model "$fresh/trained" --convert "$sources/vendor/llama.cpp/convert_hf_to_gguf.py")
compare tests/peers/read_files_parity.py "${model_files[@]}"
compare tests/peers/written_files_parity.py "${model_files[@]}"
compare tests/peers/quantize_types_parity.py --chaski "$build/chaski"
compare tests/peers/lora_parity.py --chaski "$build/chaski"
HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 compare tests/peers/lm_eval_parity.py --chaski "$build/chaski" --gguf "$gguf"
# The version whose CANN backend has been held against the real headers.
witness=$(unpacked llama-cpp-python==0.3.16)
compare tests/conformance/witness_test.py --headers .cache/ascend --sources "$witness"
exit $status
