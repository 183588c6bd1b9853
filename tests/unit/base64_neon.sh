#!/bin/sh
# Builds the base64 tests for 64-bit ARM and runs them under qemu, so that the NEON kernel is tested on any machine.
#
# Usage: tests/unit/base64_neon.sh [build directory]
# Needs on Debian: g++-aarch64-linux-gnu, qemu-user and the sources of GoogleTest (libgtest-dev; GTEST_SOURCE names
# another place). Exits with 77, the usual sign for a skipped test, where one of them is missing.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-"$root/build/base64-neon"}
gtest=${GTEST_SOURCE:-/usr/src/googletest/googletest}
compiler=aarch64-linux-gnu-g++

skip() {
  echo "base64_neon: skipped, $1 is missing" >&2
  exit 77
}

command -v "$compiler" >/dev/null || skip "the cross compiler $compiler (g++-aarch64-linux-gnu)"
command -v qemu-aarch64 >/dev/null || skip "the emulator qemu-aarch64 (qemu-user)"
[ -f "$gtest/src/gtest-all.cc" ] || skip "the source of GoogleTest in $gtest (libgtest-dev)"

mkdir -p "$build"
if [ ! -f "$build/gtest.o" ]; then
  "$compiler" -std=c++20 -O1 -I"$gtest/include" -I"$gtest" -c "$gtest/src/gtest-all.cc" -o "$build/gtest.o"
fi
# -isystem keeps GoogleTest's own headers out of the warnings that are errors here.
"$compiler" -std=c++20 -O3 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror \
  -I"$root/common/include" -I"$root/common/src" -isystem "$gtest/include" \
  "$root/tests/unit/base64_test.cpp" "$root"/common/src/base64*.cpp \
  "$build/gtest.o" "$gtest/src/gtest_main.cc" -pthread -static -o "$build/base64_test"
qemu-aarch64 "$build/base64_test" --gtest_brief=1
qemu-aarch64 "$build/base64_test" --gtest_list_tests | grep -q '/neon' || {
  echo "base64_neon: the NEON kernel was not among those tested" >&2
  exit 1
}
echo "base64_neon: passed"
