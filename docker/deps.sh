#!/usr/bin/env bash
# Installs the Debian 12 packages that tensord needs: the one list, in groups, that every other script asks.
#
#   docker/deps.sh build test     install what these groups still lack (as root, or through sudo)
#   docker/deps.sh --list run     only print the packages of a group
#
# Groups: build  compile the daemon, the libraries and tensorctl
#         run    run the compiled programs (the shared libraries they load)
#         demo   what server/quickstart.sh sends from: Python with numpy and Pillow
#         test   build and run the tests
#         bench  the peers that the benchmarks compare with
#         ci     formatting, static analysis, fuzzing, 64-bit ARM, and real torch tensors (several hundred MB)
set -euo pipefail

# libturbojpeg0-dev brings the CMake package of libjpeg-turbo, libjpeg62-turbo-dev the headers it leads to.
# libboost1.81-dev cannot stand beside Debian's default libboost1.74-dev: apt takes that one away.
packages_of() {
  case "$1" in
    build) echo g++ cmake ninja-build libboost1.81-dev rapidjson-dev libpng-dev libturbojpeg0-dev \
      libjpeg62-turbo-dev libspdlog-dev libcli11-dev ;;
    run) echo libstdc++6 libpng16-16 libjpeg62-turbo libspdlog1.10 libfmt9 ;;
    demo) echo python3 python3-numpy python3-pil ;;
    test) echo "$(packages_of demo)" python3-pytest libgtest-dev libgmock-dev \
      libjpeg-turbo-progs netpbm libpng-tools procps ;;
    bench) echo "$(packages_of demo)" libbenchmark-dev libzmq3-dev cppzmq-dev libgrpc++-dev libprotobuf-dev \
      protobuf-compiler protobuf-compiler-grpc redis-server redis-tools ;;
    ci) echo git clang-14 clang-format-14 clang-tidy-14 clang-tools-14 libclang-rt-14-dev llvm-14 shellcheck \
      g++-aarch64-linux-gnu qemu-user python3-torch ;;
    *)
      echo "docker/deps.sh: there is no group \"$1\"; the groups are build, run, demo, test, bench and ci" >&2
      return 2
      ;;
  esac
}

missing_of() {
  local package
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "docker/deps.sh: installing packages needs root, and there is no sudo; run as root: $*" >&2
    return 1
  fi
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q "$@" </dev/null
}

install_packages() {
  local have_lists
  have_lists=$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -print -quit 2>/dev/null || true)
  if [ -n "$have_lists" ] && apt_get install -y --no-install-recommends "$@"; then return; fi
  apt_get update
  apt_get install -y --no-install-recommends "$@"
}

main() {
  local list_only=no group packages=() missing
  if [ "${1:-}" = --list ]; then
    list_only=yes
    shift
  fi
  [ $# -gt 0 ] || { sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2; }
  for group in "$@"; do
    read -r -a found <<<"$(packages_of "$group")"
    [ "${#found[@]}" -gt 0 ] || exit 2
    packages+=("${found[@]}")
  done
  if [ "$list_only" = yes ]; then
    printf '%s\n' "${packages[@]}" | sort -u
    return
  fi
  if ! command -v apt-get >/dev/null; then
    echo "docker/deps.sh: apt-get is missing: this is for Debian 12. Needed here, under whatever name your system has:" >&2
    printf '  %s\n' "${packages[@]}" >&2
    exit 1
  fi
  missing=$(missing_of "${packages[@]}" | sort -u)
  [ -n "$missing" ] || return 0
  echo "installing: ${missing//$'\n'/ }"
  if [[ $missing == *libboost1.81-dev* ]] && [ -z "$(missing_of libboost1.74-dev)" ]; then
    echo "note: Debian lets only one Boost be installed for building: libboost1.81-dev replaces libboost1.74-dev"
  fi
  # shellcheck disable=SC2086  # a list of package names: to be split
  install_packages $missing
}

main "$@"
