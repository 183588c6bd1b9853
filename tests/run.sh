#!/usr/bin/env bash
# Sets up, builds and runs every test. A second run only builds and installs what has changed.
#
#   bash tests/run.sh [CTEST ARGUMENTS]     for instance: bash tests/run.sh -R e2e
#
# The build goes to build/ (or $TENSORD_BUILD_DIR).
set -euo pipefail
cd "$(dirname "$0")/.."
build=${TENSORD_BUILD_DIR:-build}

bash docker/deps.sh build test
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
cmake -S . -B "$build" -G Ninja -DTENSORD_TESTS=ON "${launcher[@]}"
cmake --build "$build"
ctest --test-dir "$build" -j2 --output-on-failure --no-tests=error "$@"
