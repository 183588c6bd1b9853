#!/usr/bin/env bash
# Builds the image and proves it with a real engine: healthy, answers, keeps what it saves, drains on `docker stop`.
#
#   docker/test.sh      exits 0 when all of that held, 77 (and says so) when there is no Docker engine to ask
#
# DOCKER_BUILD_OPTIONS and DOCKER_RUN_OPTIONS are passed on (an engine without a bridge needs "--network host" in both; the port
# on this machine is then $TENSORD_TEST_PORT itself).
set -euo pipefail
cd "$(dirname "$0")/.."
port=${TENSORD_TEST_PORT:-17733}
image=tensord-test
container=tensord-test-$$
read -r -a build_options <<<"${DOCKER_BUILD_OPTIONS:-}"
read -r -a run_options <<<"${DOCKER_RUN_OPTIONS:--p 127.0.0.1:$port:$port}"

if ! command -v docker >/dev/null; then
  echo "docker/test.sh: skipped: no docker command here"
  exit 77
fi
if ! docker info >/dev/null 2>&1; then
  echo "docker/test.sh: skipped: the docker command is here, but no engine answers it (docker info fails)"
  exit 77
fi

step() { printf '\n== %s\n' "$*"; }
cleanup() { docker rm --force --volumes "$container" >/dev/null 2>&1 || true; }
trap cleanup EXIT

step "build"
docker build "${build_options[@]}" -f docker/Dockerfile -t "$image" .
size_of() { docker image inspect -f '{{.Size}}' "$1"; }
printf 'image size: %s bytes, %s of them the base image\n' "$(size_of "$image")" \
  "$(size_of debian:bookworm-slim 2>/dev/null || echo '?')"

step "run until healthy"
docker run --detach --name "$container" --read-only --cap-drop ALL --security-opt no-new-privileges "${run_options[@]}" \
  --health-cmd "tensorctl ping --connect 127.0.0.1:$port --timeout 3" --health-interval 1s "$image" \
  --listen "0.0.0.0:$port" --save-dir /data --allow-unauthenticated-remote
for ((try = 0; try < 60; ++try)); do
  health=$(docker inspect -f '{{.State.Health.Status}}' "$container")
  [ "$health" = starting ] || break
  sleep 0.5
done
if [ "$health" != healthy ]; then
  echo "docker/test.sh: the container is $health after 30 s; its log:" >&2
  docker logs "$container" >&2
  exit 1
fi
echo "healthy; runs as $(docker exec "$container" id -un)"
[ "$(docker exec "$container" id -u)" != 0 ]

step "a tensor there and back, and one that is kept"
/usr/bin/env python3 - "$port" <<'PYTHON'
import base64, json, socket, struct, sys


def call(sock, message):
    body = json.dumps(message).encode()
    sock.sendall(struct.pack(">I", len(body)) + body)
    reply = sock.makefile("rb")
    return json.loads(reply.read(struct.unpack(">I", reply.read(4))[0]))


payload = base64.b64encode(struct.pack("<4f", 1, 2, 3, 4)).decode()
one = {"name": "x", "dtype": "float32", "shape": [2, 2], "tensor": payload}
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30) as sock:
    echo = call(sock, {"id": 1, "handler": "echo", "tensors": [one]})
    assert echo["tensors"] == [one], echo
    saved = call(sock, {"id": 2, "handler": "save", "tensors": [one]})
    assert saved["status"] == "ok", saved
print("echo and save answered")
PYTHON
docker exec "$container" sh -c 'ls -l /data/*.npy'

step "docker stop drains"
begin=$SECONDS
docker stop --time 15 "$container" >/dev/null
code=$(docker inspect -f '{{.State.ExitCode}}' "$container")
docker logs "$container" 2>&1 | tail -n 3
echo "stopped after $((SECONDS - begin)) s with exit code $code"
[ "$code" = 0 ]
echo "docker/test.sh: all held"
