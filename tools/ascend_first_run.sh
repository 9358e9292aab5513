#!/usr/bin/env bash
# The first run on a machine with an Ascend NPU: doctor, every op against its definition, bench with steps launched one
# by one and captured, the review's five questions; everything into one archive to send back. It installs and downloads
# nothing, writes into the output folder (and chaski its own history and cache), and may be run again: each run has a
# folder of its own.
set -uo pipefail

usage() {
  cat <<'TEXT'
usage: tools/ascend_first_run.sh [OPTION…]
  --chaski PATH     the program; without: build/chaski beside this script's folder, then chaski on $PATH
  --model MODEL     what to measure; without: default if it is there, else synthetic:llama-3.2-1b (random weights)
  --device DEVICE   ascend, or ascend:N; without: ascend
  --out DIR         where to put the results; without: the current folder
  --short           a few tokens of everything, to see that all of it runs
  --msprof          one bench more under msprof, CANN's profiler, where it is there
It writes DIR/chaski-ascend-TIME/ and DIR/chaski-ascend-TIME.tar.gz. Read them before you send them: they hold what doctor
prints, the program's records, and a few variables of the environment, listed in environment.txt.
TEXT
}

die() {
  printf 'ascend_first_run: %s\n' "$*" >&2
  exit 2
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
chaski="" model="" device=ascend out=. is_short=0 wants_msprof=0
while (($#)); do
  case $1 in
    --chaski | --model | --device | --out)
      (($# > 1)) || die "$1: expected a value"
      case $1 in
        --chaski) chaski=$2 ;;
        --model) model=$2 ;;
        --device) device=$2 ;;
        --out) out=$2 ;;
      esac
      shift 2
      ;;
    --short) is_short=1 && shift ;;
    --msprof) wants_msprof=1 && shift ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && die "$1: no such option" ;;
  esac
done

[[ $device =~ ^ascend(:[0-9]+)?$ ]] || die "--device $device: expected ascend or ascend:N"
if [[ -z $chaski ]]; then
  chaski=$here/../build/chaski
  [[ -x $chaski ]] || chaski=$(command -v chaski) || die "there is no build/chaski; say where it is by --chaski"
fi
"$chaski" --version >/dev/null 2>&1 || die "$chaski does not run here; docs/en/ascend.md says what older images need"
if [[ -z $model ]]; then
  model=synthetic:llama-3.2-1b
  "$chaski" show default >/dev/null 2>&1 && model=default
fi

mkdir -p "$out" || die "$out cannot be made"
name=chaski-ascend-$(date -u +%Y%m%dT%H%M%SZ)
while ! mkdir "$out/$name" 2>/dev/null; do  # a run of the same second has it
  [[ -w $out ]] || die "$out cannot be written to"
  name=$name-2
done
results=$out/$name
failures=0
readonly kUnsupported=5  # an exit status of chaski

say() { printf '== %4d s  %s\n' "$SECONDS" "$*"; }

# step NAME COMMAND…: its output into NAME.txt, its errors into NAME.errors.txt, its status into status.txt.
step() {
  local name=$1
  shift
  say "$name"
  printf '%s\n' "$*" >"$results/$name.command.txt"
  "$@" >"$results/$name.txt" 2>"$results/$name.errors.txt" </dev/null
  local status=$?
  printf '%s %d\n' "$name" "$status" >>"$results/status.txt"
  [[ -s $results/$name.errors.txt ]] || rm -f "$results/$name.errors.txt"
  ((status == 0)) && return
  if ((status == kUnsupported)) && [[ $name == bench-captured ]]; then
    say "  steps cannot be captured here; bench-captured.errors.txt says why"
    return
  fi
  failures=$((failures + 1))
  say "  $name ended with status $status; the run goes on"
  tail -n 3 "$results/$name.errors.txt" 2>/dev/null | cut -c1-200
}

# What decides how CANN and chaski run. Nothing else of the environment is kept: no keys, tokens, names or addresses.
for variable in ASCEND_HOME_PATH ASCEND_TOOLKIT_HOME ASCEND_OPP_PATH ASCEND_CUSTOM_OPP_PATH ASCEND_AICPU_PATH \
  ASCEND_RT_VISIBLE_DEVICES ASCEND_GLOBAL_LOG_LEVEL ASCEND_SLOG_PRINT_TO_STDOUT ASCEND_LAUNCH_BLOCKING ACLNN_CACHE_LIMIT \
  TASK_QUEUE_ENABLE LD_LIBRARY_PATH OMP_NUM_THREADS CHASKI_ASCEND_WITHOUT LANG LC_ALL; do
  [[ -v $variable ]] && printf '%s=%s\n' "$variable" "${!variable}"
done >"$results/environment.txt"

# The records stay in the archive; models and packed weights stay where they are.
if ((is_short)); then
  lengths=(-p 16 -n 4 --repeat 2) answers=(--max-new-tokens 8)
else
  lengths=(-p "128,512" -n 128 -d "0,2048" --repeat 6 -b 8) answers=()
fi
where=(--device "$device")

printf 'chaski first run on an Ascend NPU\nprogram %s\nmodel %s\ndevice %s\nbegan %s\n' \
  "$("$chaski" --version 2>&1 | head -n 1)" "$model" "$device" "$(date -u +%FT%TZ)" >"$results/about.txt"

step doctor "$chaski" doctor "${where[@]}" --model "$model" --lang en
step doctor-json "$chaski" doctor "${where[@]}" --model "$model" --json
step self-test "$chaski" doctor "${where[@]}" --self-test --json
step model-of-time "$chaski" bench --device ascend-model:910b3 "$model" "${lengths[@]}" -o json
step bench-eager "$chaski" bench "${where[@]}" --isa eager "$model" "${lengths[@]}" -o json
step bench-captured "$chaski" bench "${where[@]}" --isa captured "$model" "${lengths[@]}" -o json
step bench-ops "$chaski" bench "${where[@]}" "$model" -p 64 -n 16 --repeat 2 --profile -o json
step eval "$chaski" eval "${where[@]}" "$model" --suite review-zh "${answers[@]}" --out "$results/review-zh"
step eval-strict "$chaski" run "${where[@]}" --strict "$model" -p "1+2+3+4+5等于多少？" --temperature 0 --max-new-tokens 8 --json
if command -v npu-smi >/dev/null; then step npu-smi npu-smi info; fi
if ((wants_msprof)); then
  if command -v msprof >/dev/null; then
    step msprof msprof --output="$results/msprof" --application="$chaski bench --device $device $model -p 64 -n 16 --repeat 1"
  else
    say "msprof is not on \$PATH: source CANN's set_env.sh for it"
  fi
fi

printf 'ended %s\nsteps that failed %d\n' "$(date -u +%FT%TZ)" "$failures" >>"$results/about.txt"
archive=$out/$name.tar.gz
tar -C "$out" -czf "$archive" "$name" || die "$archive cannot be written"
say "done; steps that failed: $failures"
printf '\n%s\n' "$archive"
((failures == 0)) || exit 1
