"""Measures 1080p JPEG frames per second through tensord, with one and two connections, beside djpeg's own rate.

    TENSORD_BIN=build/server/tensord /usr/bin/python3 tests/bench/jpeg_frames.py [SECONDS]

Every frame crosses the socket as base64 in JSON and is decoded to pixels by the handler `discard`. djpeg is started
anew for each frame, as it has to be, and writes its pixels to /dev/null.
"""

import base64
import contextlib
import io
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import harness  # noqa: E402  (found by the line above)

WIDTH, HEIGHT = 1920, 1080
WINDOW = 8  # frames on their way at once, per connection


def frame(seed):
    """A JPEG with about as many bytes per pixel as a camera's."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = [(x * c / 9 + y / c / 7 + 40 * np.sin(x / 37 + c) * np.cos(y / 23)) % 230 for c in (1, 2, 3)]
    noise = np.random.default_rng(seed).integers(0, 14, (HEIGHT, WIDTH, 3))
    stream = io.BytesIO()
    Image.fromarray((np.stack(planes, axis=2) + noise).astype(np.uint8)).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def stream_frames(daemon, bodies, seconds, counts, index):
    """Keeps WINDOW frames on their way for that long, and counts the replies."""
    room = threading.Semaphore(WINDOW)
    with daemon.connect() as sock:

        def send():
            deadline, sent = time.monotonic() + seconds, 0
            while time.monotonic() < deadline:
                room.acquire()
                sock.sendall(bodies[sent % len(bodies)])
                sent += 1
            sock.shutdown(socket.SHUT_WR)  # the daemon answers what it has, and closes

        sender = threading.Thread(target=send)
        sender.start()
        with contextlib.suppress(EOFError):
            while True:
                reply = harness.recv_frame(sock)
                assert reply["status"] == "ok" and reply["result"]["nbytes"] == WIDTH * HEIGHT * 3, reply
                counts[index] += 1
                room.release()
        sender.join()


def through_tensord(bodies, connections, seconds):
    """Frames per second, and the daemon's CPU seconds per frame."""
    with harness.Daemon(log_level="warn") as daemon:
        stream_frames(daemon, bodies, 0.5, [0], 0)  # warms the daemon's buffers
        counts = [0] * connections
        threads = [threading.Thread(target=stream_frames, args=(daemon, bodies, seconds, counts, i))
                   for i in range(connections)]
        started, used = time.monotonic(), daemon.cpu_seconds()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed, cpu = time.monotonic() - started, daemon.cpu_seconds() - used
    return sum(counts) / elapsed, cpu / sum(counts)


def by_djpeg(files, seconds):
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, file in enumerate(files):
            paths.append(pathlib.Path(folder) / f"{number}.jpg")
            paths[-1].write_bytes(file)
        count, started = 0, time.monotonic()
        while time.monotonic() - started < seconds:
            subprocess.run(["djpeg", "-pnm", "-outfile", "/dev/null", str(paths[count % len(paths)])], check=True)
            count += 1
        return count / (time.monotonic() - started)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    files = [frame(seed) for seed in range(4)]
    bodies = [harness.framed({"handler": "discard", "image": base64.b64encode(f).decode()}) for f in files]
    print(f"1080p JPEG frames of {len(files[0]) // 1000} kB, {seconds:g} s each")
    print(f"djpeg, one process per frame {by_djpeg(files, seconds):8.1f} frames/s")
    for connections in (1, 2):
        rate, cpu = through_tensord(bodies, connections, seconds)
        print(f"tensord, {connections} connection{'s' * (connections > 1)} {'':<10}{rate:8.1f} frames/s,"
              f" {cpu * 1e3:.1f} ms of CPU a frame: {30 * cpu:.0%} of one CPU at 30 frames/s")


if __name__ == "__main__":
    main()
