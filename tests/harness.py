"""Starts a real tensord on a free port for a test, and speaks to it with bare sockets."""

import base64
import contextlib
import functools
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
STARTUP_SECONDS = 60  # a sanitizer build on a busy machine needs a few of them
REPLY_SECONDS = 120  # a reply that has not come by then never will

# Names whose bits numpy carries in another dtype.
NUMPY_NAMES = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}
# Every dtype with a fixed item size.
DTYPES = (
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 "
    "float8_e4m3fn float8_e5m2 complex64 complex128"
).split()


def numpy_dtype(name):
    """The numpy dtype that holds the bits of a wire dtype."""
    return np.dtype(NUMPY_NAMES.get(name, name))


def build_file(variable, relative):
    """The program that an environment variable names, or the newest one found in a build folder of the repository."""
    if os.environ.get(variable):
        return os.environ[variable]
    folders = [pathlib.Path(os.environ["TENSORD_BUILD_DIR"])] if os.environ.get("TENSORD_BUILD_DIR") else []
    found = [f / relative for f in [*folders, *ROOT.glob("build*"), *ROOT.glob("build*/*")] if (f / relative).is_file()]
    if not found:
        raise FileNotFoundError(f"{relative} is not built below {ROOT}/build*: build it, or set {variable}")
    return str(max(found, key=lambda f: f.stat().st_mtime))


def tensord_binary():
    return build_file("TENSORD_BIN", "server/tensord")


@functools.lru_cache(None)
def is_sanitized():
    """Whether the daemon is built with a sanitizer, whose own memory hides how much the daemon takes."""
    program = pathlib.Path(tensord_binary()).read_bytes()
    return b"__asan_init" in program or b"__tsan_init" in program


def tensorctl_binary():
    return build_file("TENSORCTL_BIN", "client/tensorctl")


def wait_until(condition, seconds=30, what="the condition", step=0.005):
    """Polls until condition() is true and returns its value; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {seconds} s")
        time.sleep(step)


class Daemon:
    """One tensord process on a free loopback port; a context manager that stops it by its own pid.

    Extra arguments are passed on; `env` adds environment variables; `preexec_fn` runs in the child (rlimits).
    """

    def __init__(self, *args, log_level="debug", env=None, program=None, preexec_fn=None):
        self.awaited = False
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tensord-test-"))
        self.log_path = self.folder / "log"
        self.port_file = self.folder / "port"
        command = [program or tensord_binary(), "--listen", "127.0.0.1:0", "--port-file", str(self.port_file)]
        command += ["--log-level", log_level, *map(str, args)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TENSORD_") or k == "TENSORD_CPU"}
        environment.update(env or {})
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                preexec_fn=preexec_fn,
            )
        try:
            self.port = wait_until(self._read_port, STARTUP_SECONDS, "tensord listening")
        except BaseException:
            self.kill()
            raise

    def _read_port(self):
        if self.process.poll() is not None:
            raise AssertionError(f"tensord ended with {self.process.returncode} before it listened:\n{self.log()}")
        text = self.port_file.read_text().strip() if self.port_file.exists() else ""
        return int(text.rsplit(":", 1)[-1]) if text else None

    @property
    def pid(self):
        return self.process.pid

    def connect(self, timeout=REPLY_SECONDS):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_for_log(self, text, seconds=30):
        return wait_until(lambda: text in self.log() and self.log(), seconds, f"{text!r} in the log")

    def alive(self):
        return self.process.poll() is None

    def memory(self, field):
        """A field of /proc/PID/status such as VmRSS or VmHWM, in bytes."""
        for line in open(f"/proc/{self.pid}/status"):
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        raise KeyError(field)

    def rss(self):
        return self.memory("VmRSS")

    def peak(self):
        return self.memory("VmHWM")

    def reset_peak(self):
        """Makes peak() count from now on."""
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def info(self):
        with self.connect() as sock:
            return call(sock, {"handler": "info"})["result"]

    def counters(self):
        return self.info()["counters"]

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=60):
        """Waits for the process to end by itself and returns its exit code, which is the caller's to judge then."""
        self.awaited = True
        return self.process.wait(seconds)

    def stop(self, seconds=60):
        """SIGTERM, and SIGKILL only when that does not end it; returns the exit code."""
        if self.alive():
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def kill(self):
        if self.alive():
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        code = self.stop()
        if kind is not None:
            print(f"--- log of tensord (last lines) ---\n{self.log()[-4000:]}", file=sys.stderr)
        if kind is None and code != 0 and not self.awaited:
            raise AssertionError(f"tensord ended with {code}:\n{self.log()[-4000:]}")
        with contextlib.suppress(OSError):
            for file in self.folder.iterdir():
                file.unlink()
            self.folder.rmdir()


def framed(message):
    """The bytes of one frame; message is an object to be written as JSON, or the JSON itself."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack(">I", len(body)) + body


def send_frame(sock, message):
    sock.sendall(framed(message))


def recv_exactly(sock, count):
    """Exactly count bytes, or EOFError."""
    data = bytearray(count)
    view, have = memoryview(data), 0
    while have < count:
        got = sock.recv_into(view[have:])
        if got == 0:
            raise EOFError(f"the connection ended after {have} of {count} bytes")
        have += got
    return bytes(data) if count < 1 << 16 else data


def recv_body(sock):
    """The JSON text of one frame."""
    return recv_exactly(sock, struct.unpack(">I", recv_exactly(sock, 4))[0])


def refuse_constant(name):
    raise ValueError(f"{name} is not strict JSON")


def recv_frame(sock):
    """One reply as Python objects; it must be strict JSON."""
    return json.loads(recv_body(sock), parse_constant=refuse_constant)


def call(sock, message):
    """Sends one framed request and returns its reply."""
    send_frame(sock, message)
    return recv_frame(sock)


def recv_all(sock):
    """Everything until the peer closes."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def ended(sock, seconds=30):
    """Whether the peer closes (or resets) the connection without sending anything more."""
    sock.settimeout(seconds)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def tensor(array, name=None, dtype=None):
    """The tensor object of a numpy array, in base64."""
    array = np.asarray(array)
    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    item = {"name": name} if name is not None else {}
    item["dtype"] = dtype or (array.dtype.name if array.dtype.isnative else array.dtype.str)
    item["shape"] = list(array.shape)
    item["tensor"] = base64.b64encode(array).decode()
    return item


def to_array(item):
    """The numpy array of a reply's tensor object (bfloat16 and float8 as their bits)."""
    dtype = numpy_dtype(item["dtype"])
    return np.frombuffer(base64.b64decode(item["tensor"], validate=True), dtype).reshape(item["shape"])
