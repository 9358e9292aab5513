#!/usr/bin/env bash
# run.sh PYTHON BUILD: compares with the heavy peers, and makes the golden files anew to see whether they still hold.
# Called by ./dev test --peers; PYTHON has the packages of tools/peers-heavy.txt.
set -euo pipefail
python=$1 build=$2
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
gguf=$("$python" tools/peer_paths.py | sed -n 's/^-DCHASKI_PEERS_GGUF=//p')
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
"$python" tests/peers/make_goldens.py --gguf "$gguf" --out "$fresh"
"$python" tests/parity/logits_parity.py --n 20 --score-logits "$build/score_logits" --chaski "$build/chaski" \
  --goldens "$fresh" --gguf "$gguf"
"$python" tests/parity/sampling_parity.py --n 1000 --seed 1 --peer transformers --filter-logits "$build/filter_logits"
