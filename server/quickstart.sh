#!/usr/bin/env bash
# From a fresh Debian 12 to a running tensord that has answered C++ and Python: installs what is missing, builds, starts, sends.
#
#   bash server/quickstart.sh           leaves tensord running; a second run finds everything done and only sends again
#   bash server/quickstart.sh --once    ends it afterwards
#   bash server/quickstart.sh --stop    only ends the one that an earlier run left
set -euo pipefail
cd "$(dirname "$0")/.."
build=${TENSORD_BUILD_DIR:-build}
state=$build/quickstart  # port, pid, log, and what is sent and saved

say() { printf '\n== %s\n' "$*"; }

set_up() {
  say "system packages"
  bash docker/deps.sh build demo
  say "build"
  local options=(-DTENSORD_TESTS=OFF) # an earlier configuration, such as that of tests/run.sh, stays as it is
  if [ -f "$build/CMakeCache.txt" ]; then options=(); fi
  if command -v ccache >/dev/null; then options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  cmake -S . -B "$build" -G Ninja "${options[@]}"
  cmake --build "$build" --target tensord tensorctl example_client_send_tensor
}

# The program that the process an earlier run left executes ("… (deleted)" once it was built anew), or nothing.
running_program() { readlink "/proc/$(cat "$state/pid" 2>/dev/null)/exe" 2>/dev/null || true; }

# The pid of the tensord that an earlier run left, if it still is one.
running_pid() {
  local program
  program=$(running_program)
  [ "${program% (deleted)}" = "$(realpath "$build/server/tensord")" ] && cat "$state/pid"
}

start() {
  if [[ $(running_program) == *" (deleted)" ]]; then stop; fi
  if running_pid >/dev/null; then
    say "tensord is running already (pid $(cat "$state/pid"))"
    return
  fi
  local address=127.0.0.1:7733
  if (exec 3<>/dev/tcp/127.0.0.1/7733) 2>/dev/null; then address=127.0.0.1:0; fi # taken: any free port
  say "start tensord"
  mkdir -p "$state/saved"
  rm -f "$state/port"
  setsid "$build/server/tensord" --listen "$address" --port-file "$state/port" --save-dir "$state/saved" \
    </dev/null >"$state/log" 2>&1 &
  echo $! >"$state/pid"
  local try
  for ((try = 0; try < 200; ++try)); do
    if [ -s "$state/port" ]; then return; fi
    if ! running_pid >/dev/null && [ "$try" -gt 10 ]; then break; fi
    sleep 0.05
  done
  echo "tensord did not start; its log:" >&2
  cat "$state/log" >&2
  exit 1
}

stop() {
  local pid try
  pid=$(running_pid) || return 0
  kill -TERM "$pid"
  for ((try = 0; try < 300; ++try)); do
    if ! kill -0 "$pid" 2>/dev/null; then
      rm -f "$state/pid"
      return
    fi
    sleep 0.05
  done
  echo "tensord (pid $pid) has not ended within 15 s" >&2
  exit 1
}

send_everything() {
  local port=$1
  /usr/bin/python3 - "$state" <<'PYTHON'
import sys
import numpy as np
from PIL import Image

y, x = np.mgrid[0:48, 0:64]
picture = np.stack([x * 4, y * 5, (x + y) * 2], axis=-1).astype(np.uint8)
Image.fromarray(picture).save(f"{sys.argv[1]}/picture.png")
Image.fromarray(picture).save(f"{sys.argv[1]}/picture.jpg", quality=95)
PYTHON
  say "a tensor from C++ (client/examples/send_tensor.cpp)"
  "$build/client/example_client_send_tensor" "127.0.0.1:$port"
  say "a tensor from Python, with nothing but a socket (client/examples/send_tensor.py)"
  /usr/bin/python3 client/examples/send_tensor.py "$port"
  say "a PNG from Python (client/examples/send_image.py)"
  /usr/bin/python3 client/examples/send_image.py "$state/picture.png" "$port"
  say "a JPEG from Python (client/examples/send_image.py)"
  /usr/bin/python3 client/examples/send_image.py "$state/picture.jpg" "$port"
}

what_next() {
  local port=$1
  cat <<TEXT

tensord is running on 127.0.0.1:$port (pid $(cat "$state/pid"), log $state/log). Try:

  $build/client/tensorctl --connect 127.0.0.1:$port info
  $build/client/tensorctl --connect 127.0.0.1:$port call stats $state/picture.png
  echo '[[1, 2], [3, 4]]' | $build/client/tensorctl --connect 127.0.0.1:$port call stats -
  $build/client/tensorctl --connect 127.0.0.1:$port send $state/picture.* --handler save --param overwrite=true   # then: ls $state/saved
  /usr/bin/python3 client/examples/send_tensor.py $port                 # change it: any shape, any dtype
  $build/client/tensorctl --connect 127.0.0.1:$port call echo $state/picture.png -o pixels.npy

Write a handler of your own: README.md, "Handle in C++", and server/examples/.
End it with: bash server/quickstart.sh --stop
TEXT
}

mode=${1:-}
case "$mode" in
  "" | --once) ;;
  --stop)
    stop
    exit
    ;;
  *)
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
set_up
start
if [ "$mode" = --once ]; then trap stop EXIT; fi
port=$(sed 's/.*://' "$state/port")
send_everything "$port"
if [ "$mode" != --once ]; then what_next "$port"; fi
