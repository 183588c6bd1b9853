#!/usr/bin/env bash
# Builds the libFuzzer targets and gives each one MINUTES; prints the executions of each; any finding fails the run.
#
#   bash tests/fuzz/run.sh MINUTES [TARGET…]      for instance: bash tests/fuzz/run.sh 10 png_fuzz jpeg_fuzz
#
# Seeds: tests/fuzz/seeds/TARGET/, and tests/vectors/ for the targets that read messages. What the fuzzer learns is kept in
# build-fuzz/corpus/TARGET (or below $TENSORD_FUZZ_DIR) and a finding in build-fuzz/findings/; a finding is replayed with
# build-fuzz/tests/fuzz/TARGET FINDING.
set -euo pipefail
cd "$(dirname "$0")/../.."

minutes=${1:-}
if ! [[ $minutes =~ ^[0-9]+([.][0-9]+)?$ ]]; then
  echo "usage: bash tests/fuzz/run.sh MINUTES [TARGET…]; MINUTES is a number, got \"$minutes\"" >&2
  exit 2
fi
shift
seconds=$(awk -v m="$minutes" 'BEGIN { printf "%d", m * 60 }')
build=${TENSORD_FUZZ_DIR:-build-fuzz}
jobs=$(nproc)

build_targets() {
  local launcher=()
  if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_COMPILER=clang++-14 \
    -DTENSORD_FUZZ=ON -DTENSORD_TESTS=OFF -DTENSORD_SANITIZE=address,undefined "${launcher[@]}" >/dev/null
  cmake --build "$build" --target "$@"
}

# Runs one target for its time; its log is $build/logs/TARGET.log.
fuzz_one() {
  local target=$1 corpus=$build/corpus/$1 seeds=() options=() max_len=20000 dict
  mkdir -p "$corpus" "$build/findings" "$build/logs"
  if [ -d "tests/fuzz/seeds/$target" ]; then seeds+=("tests/fuzz/seeds/$target"); fi
  case "$target" in
    base64_fuzz) max_len=600 ;; # it tries every split of its input, in square time
    message_fuzz | json_fuzz) seeds+=(tests/vectors) ;;
  esac
  for dict in "tests/fuzz/${target%_fuzz}.dict" tests/fuzz/json.dict; do
    if [ -f "$dict" ]; then
      options+=("-dict=$dict")
      break
    fi
  done
  "$build/tests/fuzz/$target" -max_total_time="$seconds" -max_len="$max_len" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$build/findings/$target-" "${options[@]}" "$corpus" "${seeds[@]}" \
    </dev/null >"$build/logs/$target.log" 2>&1
}

report() {
  local target=$1 status=$2 executions
  executions=$(awk '/stat::number_of_executed_units/ { print $2 }' "$build/logs/$target.log")
  if [ "$status" = 0 ]; then
    printf '%-24s %12s executions, nothing found\n' "$target" "${executions:-?}"
  else
    printf '%-24s FAILED (exit %s); the last lines of %s:\n' "$target" "$status" "$build/logs/$target.log"
    tail -n 60 "$build/logs/$target.log"
  fi
}

targets=("$@")
if [ ${#targets[@]} = 0 ]; then
  for source in tests/fuzz/*_fuzz.cpp; do targets+=("$(basename "$source" .cpp)"); done
fi
build_targets "${targets[@]}"

# As many at a time as there are processors; each wave is waited for.
failed=0
for ((first = 0; first < ${#targets[@]}; first += jobs)); do
  wave=("${targets[@]:first:jobs}")
  pids=()
  for target in "${wave[@]}"; do
    fuzz_one "$target" &
    pids+=($!)
  done
  for i in "${!wave[@]}"; do
    status=0
    wait "${pids[i]}" || status=$?
    report "${wave[i]}" "$status"
    if [ "$status" != 0 ]; then failed=1; fi
  done
done
exit $failed
