#!/usr/bin/env bash
# Installs a build into a folder of its own and builds, links and runs the consumer project from there alone.
#
#   tests/consumer/run.sh BUILD_DIR
set -euo pipefail
source=$(cd "$(dirname "$0")" && pwd)
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >/dev/null
for component in client server wire; do  # each alone, as find_package(tensord COMPONENTS …) offers
  sed "s/REQUIRED/REQUIRED COMPONENTS $component/; /^add_executable/,\$d" "$source/CMakeLists.txt" >"$work/CMakeLists.txt"
  cmake -S "$work" -B "$work/$component" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
done
cmake -S "$source" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/build"
"$work/build/consumer"
"$work/prefix/bin/tensord" --version
"$work/prefix/bin/tensorctl" --version
grep -q "ExecStart=.*/bin/tensord$" "$work/prefix/lib/systemd/system/tensord.service"
