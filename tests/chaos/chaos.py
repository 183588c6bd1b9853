#!/usr/bin/env python3
"""Random good traffic with checksums beside senders that do everything wrong, against a real tensord.

    PYTHONPATH=client/python:tests python3 tests/chaos/chaos.py --seconds 1800 [--connections 20] [--seed N]

Every good reply must be right, and in the end the daemon must hold as many descriptors and as much memory as in the
beginning. A long run has a pause every five minutes, in which all connections end and the daemon gives back what it
does not need: the resident memory of these moments is what its slope is fitted to. Prints one line a minute and a
summary; exit code 0 when nothing was wrong. TENSORD_BIN names the daemon.
"""

import argparse
import contextlib
import json
import pathlib
import random
import resource
import select
import signal
import socket
import struct
import sys
import threading
import time
import zlib

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import DTYPES, Daemon, framed, is_sanitized, numpy_dtype  # noqa: E402
from harness import recv_frame, tensor, to_array, wait_until  # noqa: E402

# What a good sender may be told although its request was right: the daemon was busy with all the bad ones.
EXCUSES = ("overloaded", "timeout")
BAD_SECONDS = 0.3  # the longest that one misbehaviour lasts
MIB = 1 << 20


class Failure(Exception):
    """A promise that was broken."""


class Refused(Exception):
    """A connection over the daemon's limit: told so, and closed."""


class Chaos:
    def __init__(self, daemon, seed):
        self.daemon = daemon
        self.seed = seed
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.failures = []
        self.good = self.bad = self.excused = 0

    def run(self, connections, seconds, report=60):
        workers = [self.worker(Chaos.send_good, i) for i in range(connections)]
        workers += [self.worker(misbehave, i) for i, misbehave in enumerate(MISBEHAVIOURS)]
        workers.append(self.worker(stop_and_continue, 0))
        for worker in workers:
            worker.start()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.failures and self.daemon.alive():
            time.sleep(min(left, report))
            print(f"{self.line()}, RSS {self.daemon.rss() / MIB:.1f} MiB, descriptors {self.daemon.fds()}", flush=True)
        self.stop.set()
        with contextlib.suppress(OSError):
            self.daemon.signal(signal.SIGCONT)
        for worker in workers:
            worker.join()

    def worker(self, work, number):
        """A thread that does it again and again, each time with its own generator, until the end."""

        def run():
            rng = random.Random(f"{self.seed}.{work.__name__}.{number}")
            while not self.stop.is_set():
                try:
                    work(self, rng)
                except Failure as failure:
                    self.failures.append(str(failure))
                    self.stop.set()
                except OSError:  # cut by the daemon, as it may
                    pass
                with self.lock:
                    self.bad += work in MISBEHAVIOURS

        return threading.Thread(target=run, daemon=True)

    def line(self):
        return f"good replies {self.good}, excused {self.excused}, misbehaviours {self.bad}"

    def send_good(self, rng):
        """One connection, in either dialect, with a few pipelined bursts; every reply is compared."""
        try:
            self.talk(rng, raw=rng.random() < 0.3)
        except Refused:
            pass
        except (OSError, EOFError, ValueError) as error:
            raise Failure(f"seed {self.seed}: a good connection was cut or told nonsense: {error!r}") from error

    def talk(self, rng, raw):
        with self.daemon.connect() as sock:
            reader = sock.makefile("rb")
            for _ in range(rng.randrange(1, 10)):
                burst = [good_request(rng) for _ in range(rng.choice((1, 1, 2, 8)))]
                encode = (lambda r: json.dumps(r).encode()) if raw else framed
                sender = threading.Thread(target=send_quietly, args=(sock, b"".join(encode(r) for r, _ in burst)))
                sender.start()
                for request, arrays in burst:
                    self.judge(request, arrays, json.loads(line_of(reader)) if raw else recv_frame(sock))
                sender.join()
                if self.stop.is_set():
                    return

    def judge(self, request, arrays, reply):
        what = f"seed {self.seed}: request {json.dumps(request)[:300]}: reply {json.dumps(reply)[:300]}"
        if "id" not in reply and reply["status"] == "error" and reply["error"]["code"] == "overloaded":
            with self.lock:
                self.excused += 1
            raise Refused
        if reply.get("id") != request["id"]:
            raise Failure(f"the wrong id: {what}")
        if reply["status"] != "ok":
            if reply["error"]["code"] not in EXCUSES:
                raise Failure(f"a good request was refused: {what}")
            with self.lock:
                self.excused += 1
            return
        check(request, arrays, reply, what)
        with self.lock:
            self.good += 1


def line_of(reader):
    line = reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError(f"the connection ended after {len(line)} bytes of a line")
    return line


def send_quietly(sock, data):
    with contextlib.suppress(OSError):
        sock.sendall(data)


def good_request(rng):
    """A request and the arrays in it."""
    arrays = [random_array(rng) for _ in range(rng.choice((1, 1, 1, 2, 5)))]
    request = {"id": rng.getrandbits(53), "handler": rng.choice(("echo", "echo", "discard", "stats"))}
    request["tensors"] = [tensor(array, f"t{i}", name) for i, (name, array) in enumerate(arrays)]
    return request, arrays


def random_array(rng):
    name = rng.choice(DTYPES)
    count = min(int(rng.lognormvariate(6, 3)), 1 << 20)
    data = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, count * numpy_dtype(name).itemsize, np.uint8)
    if name == "bool":
        data &= 1
    array = data.view(numpy_dtype(name))
    return name, array.reshape(rng.choice(((count,), (1, count), (count, 1))))


def check(request, arrays, reply, what):
    if request["handler"] == "discard":
        if reply["result"]["nbytes"] != sum(array.nbytes for _, array in arrays):
            raise Failure(f"the wrong number of bytes: {what}")
        return
    rows = reply["tensors"] if request["handler"] == "echo" else reply["result"]["tensors"]
    if [(r["name"], r["dtype"], r["shape"]) for r in rows] != [
        (f"t{i}", name, list(array.shape)) for i, (name, array) in enumerate(arrays)
    ]:
        raise Failure(f"the wrong names, dtypes or shapes: {what}")
    for row, (_, array) in zip(rows, arrays):
        if request["handler"] == "echo" and zlib.crc32(to_array(row)) != zlib.crc32(array):
            raise Failure(f"the wrong bytes: {what}")


# Everything that a sender can do wrong. Each takes one connection of its own.


def message_of(rng):
    return framed(good_request(rng)[0])


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def wait(rng, chaos):
    chaos.stop.wait(rng.random() * BAD_SECONDS)


def truncate(chaos, rng):
    message = message_of(rng)
    with chaos.daemon.connect() as sock:
        sock.sendall(message[: rng.randrange(len(message))])
        if rng.random() < 0.5:
            reset(sock)


def flip(chaos, rng):
    message = bytearray(message_of(rng))
    for _ in range(rng.choice((1, 3, 50))):
        message[rng.randrange(len(message))] ^= 1 << rng.randrange(8)
    with chaos.daemon.connect() as sock:
        sock.sendall(message)
        sock.shutdown(socket.SHUT_WR)
        read_some(sock, rng)


def stall(chaos, rng):
    message = message_of(rng)
    with chaos.daemon.connect() as sock:
        sock.sendall(message[: rng.randrange(len(message))])
        wait(rng, chaos)


def stall_for_long(chaos, rng):
    """Until the daemon cuts it."""
    with chaos.daemon.connect() as sock:
        sock.sendall(message_of(rng)[:-1])
        while not chaos.stop.is_set():
            if select.select([sock], [], [], 0.1)[0] and not sock.recv(1 << 16):
                return


def half_close(chaos, rng):
    with chaos.daemon.connect() as sock:
        sock.sendall(message_of(rng))
        sock.shutdown(socket.SHUT_WR)
        wait(rng, chaos)


def flood(chaos, rng):
    """Many requests whose replies nobody reads."""
    with chaos.daemon.connect() as sock:
        message = message_of(rng)
        sock.settimeout(BAD_SECONDS)
        for _ in range(rng.randrange(200)):
            sock.sendall(message)


def announce(chaos, rng):
    with chaos.daemon.connect() as sock:
        sock.sendall(
            struct.pack(">I", rng.randrange(1 << 28))
            + b'{"dtype":"uint8","shape":[99999],"tensor":"AAAA'[: rng.randrange(48)]
        )
        wait(rng, chaos)


def garbage(chaos, rng):
    with chaos.daemon.connect() as sock:
        sock.sendall(rng.choice((b"", b"{", b"\0\0\1\0", b"GET ")) + rng.randbytes(rng.randrange(5000)))
        read_some(sock, rng)


def trickle(chaos, rng):
    message = message_of(rng)
    with chaos.daemon.connect() as sock:
        for at in range(min(len(message), 100)):
            sock.sendall(message[at : at + 1])
            if chaos.stop.wait(0.003):
                return


def connect_and_leave(chaos, rng):
    socks = [chaos.daemon.connect() for _ in range(rng.randrange(1, 50))]
    for sock in socks:
        reset(sock) if rng.random() < 0.5 else sock.close()


def read_some(sock, rng):
    sock.settimeout(BAD_SECONDS)
    with contextlib.suppress(OSError):
        for _ in range(rng.randrange(3)):
            sock.recv(rng.randrange(1, 100000))


def stop_and_continue(chaos, rng):
    """The daemon itself is stopped for a moment now and then."""
    chaos.stop.wait(1 + 2 * rng.random())
    chaos.daemon.signal(signal.SIGSTOP)
    select.select([], [], [], 0.3 * rng.random())
    chaos.daemon.signal(signal.SIGCONT)


MISBEHAVIOURS = (
    truncate,
    flip,
    stall,
    stall_for_long,
    half_close,
    flood,
    announce,
    garbage,
    trickle,
    connect_and_leave,
)


PART_SECONDS = 300  # of traffic between two looks at the memory
QUIET_SECONDS = 70  # in which the daemon twice gives back what nobody has used for half a minute


def settle(daemon, descriptors, quiet):
    """Waits until all is closed, and tells the memory then. Fails when descriptors stay open."""
    wait_until(lambda: daemon.counters()["open"] == 1, 120, "all connections closed")
    wait_until(lambda: daemon.fds() <= descriptors, what=f"no more than the {descriptors} descriptors of the beginning")
    time.sleep(quiet)
    return daemon.rss()


def crowd(daemon, most=10500):
    """Opens many connections at once, as a burst can: the event loop keeps records for the most there ever were."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    socks = [daemon.connect() for _ in range(min(most, hard - 1000))]
    for sock in socks:
        sock.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def slope(points):
    """MiB an hour, by least squares, of (seconds, bytes)."""
    seconds, sizes = np.array(points, float).T
    return float(np.polyfit(seconds / 3600, sizes / MIB, 1)[0])


def chaos(seconds, connections=20, seed=None, warm_up=None):
    """Runs it all and returns what was wrong, as a list of sentences."""
    seed = seed if seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    parts = max(1, round(seconds / PART_SECONDS))
    quiet = QUIET_SECONDS if parts > 1 else 0
    # This process has many threads; where the machine is busy too, a good one may wait long in the middle of a message.
    with Daemon("--memory", "512MiB", "--read-timeout", "30s", log_level="error") as daemon:
        descriptors = daemon.fds()
        # The first part fills the pools that the daemon keeps warm; what it holds then is the beginning.
        if parts > 1:
            crowd(daemon)
        runs = [Chaos(daemon, f"{seed}.warm-up")]
        runs[0].run(connections, warm_up if warm_up is not None else min(60, seconds / 3))
        begin = time.monotonic()
        points = [(0.0, settle(daemon, descriptors, quiet))]
        print(f"warm: quiet RSS {points[0][1] / MIB:.2f} MiB", flush=True)
        for part in range(parts):
            runs.append(Chaos(daemon, f"{seed}.{part}"))
            runs[-1].run(connections, seconds / parts)
            points.append((time.monotonic() - begin, settle(daemon, descriptors, quiet)))
            print(f"after {points[-1][0]:.0f} s: quiet RSS {points[-1][1] / MIB:.2f} MiB", flush=True)
            if runs[-1].failures:
                break
        counters = daemon.counters()
    good, excused, bad = (sum(getattr(run, what) for run in runs[1:]) for what in ("good", "excused", "bad"))
    print(
        f"{seconds:.0f} s of traffic, seed {seed}: good replies {good}, excused {excused}, misbehaviours {bad}, "
        f"wrong replies {sum(len(run.failures) for run in runs)}; "
        f"descriptors {descriptors} in the beginning and the end; "
        f"quiet RSS {points[0][1] / MIB:.2f} -> {points[-1][1] / MIB:.2f} MiB"
        + (f", slope {slope(points):.2f} MiB/h" if len(points) > 2 else "")
    )
    print("counters", json.dumps(counters))
    return verdict(runs, good and bad, counters, points)


def verdict(runs, busy, counters, points):
    wrong = [failure for run in runs for failure in run.failures]
    growth = points[-1][1] - points[0][1]
    # A short run ends with warm pools. In a long one, a mebibyte is as exact as a look at the memory is.
    long = len(points) > 2
    if not is_sanitized() and (growth > MIB and slope(points) > 1 if long else growth > 64 * MIB):
        wrong.append(f"memory grew by {growth / MIB:.1f} MiB")
    if counters["errors"]["internal"]:
        wrong.append(f"{counters['errors']['internal']} internal errors")
    if not busy:
        wrong.append("nothing happened")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    wrong = chaos(options.seconds, options.connections, options.seed)
    print("\n".join(wrong) if wrong else "nothing was wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
