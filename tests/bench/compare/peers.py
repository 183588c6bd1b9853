"""Starts and drives the compared programs: each serving process once, each driving one for every measurement."""
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = sys.executable
START_SECONDS = 20
DRIVE_SECONDS = 300


class PeerError(Exception):
    """A program that could not be started or failed while it was driven; the text says which and why."""


def cpu_seconds(pid):
    """CPU time of all threads of a process, to the nanosecond."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread has ended
    return total / 1e9


def status_kib(pid, field):
    """A field of /proc/PID/status in KiB, such as VmRSS or VmHWM."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise PeerError(f"/proc/{pid}/status has no {field}")


class Process:
    """A serving process; `with` ends it."""

    def __init__(self, argv, port=None, port_file=None):
        self.argv = [str(part) for part in argv]
        piped = port is None and port_file is None
        self.child = subprocess.Popen(self.argv, stdout=subprocess.PIPE if piped else subprocess.DEVNULL, text=True)
        try:
            self.port = self._told_port() if piped else self._awaited_port(port, port_file)
        except BaseException:
            self.stop()
            raise

    def _told_port(self):
        line = self.child.stdout.readline().split()
        if len(line) != 2:
            raise PeerError(f"{self.argv[0]} did not start")
        return int(line[1])

    def _awaited_port(self, port, port_file):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.child.poll() is not None:
                raise PeerError(f"{self.argv[0]} ended with {self.child.returncode} instead of serving")
            if port_file and port_file.exists() and port_file.read_text().strip():
                return int(port_file.read_text())
            if port:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        return port
            time.sleep(0.02)
        raise PeerError(f"{self.argv[0]} did not listen within {START_SECONDS} s")

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    @property
    def pid(self):
        return self.child.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Peers:
    """All programs of one build directory; what is missing is None, and `missing` says why."""

    def __init__(self, build, seconds):
        self.seconds = seconds
        self.folder = tempfile.TemporaryDirectory(prefix="tensord-compare-")
        programs = Path(build) / "tests/bench/compare"
        self.daemon = Path(build) / "server/tensord"
        self.drivers = {name: [programs / f"compare_{name}"] for name in ("tensord", "bare", "zeromq", "grpc")}
        self.drivers["naive"] = [PYTHON, HERE / "naive.py"]
        self.missing = {name: f"{argv[0].name} was not built (its packages are missing)"
                        for name, argv in self.drivers.items() if name != "naive" and not argv[0].exists()}
        for tool in ("redis-server", "redis-benchmark"):
            if not shutil.which(tool):
                self.missing["redis"] = f"{tool} is not installed"
        self.running = {}

    def close(self):
        for process in self.running.values():
            process.stop()
        self.folder.cleanup()

    def start_daemon(self, *options):
        port_file = Path(self.folder.name) / f"port-{time.monotonic_ns()}"
        return Process([self.daemon, "--listen", "127.0.0.1:0", "--port-file", port_file, "--log-level", "warning",
                        *options], port_file=port_file)

    def serving(self, name, echo=False):
        """The running serving process, started when first asked for."""
        key = (name, echo and name == "zeromq")
        if key not in self.running:
            self.running[key] = self._start(name, key[1])
        return self.running[key]

    def _start(self, name, echo):
        if name in self.missing:
            raise PeerError(self.missing[name])
        if name == "tensord":
            return self.start_daemon()
        if name == "redis":
            port = free_port()
            return Process(["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                            "--dir", self.folder.name, "--loglevel", "warning"], port=port)
        return Process([*self.drivers[name], "serve", *(["--echo"] if echo else [])])

    def drive(self, name, **settings):
        """One measurement; what the driving program printed, with server_cpu_seconds."""
        server = self.serving(name, settings.get("echo", False))
        return self.drive_against(server, name, seconds=self.seconds, **settings)

    def drive_against(self, server, name, **settings):
        argv = [str(part) for part in self.drivers[name]] + ["drive", "--port", str(server.port)]
        for key, value in settings.items():
            argv += [f"--{key}"] if value is True else [] if value is False else [f"--{key}", str(value)]
        before = cpu_seconds(server.pid)
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=DRIVE_SECONDS)
        if ran.returncode != 0:
            raise PeerError(f"{name}: {ran.stderr.strip() or f'exit code {ran.returncode}'}")
        result = json.loads(ran.stdout)
        result["server_cpu_seconds"] = cpu_seconds(server.pid) - before
        return result

    def redis_rate(self, requests, pipeline):
        """SETs of 64 bytes a second on one connection."""
        server = self.serving("redis")
        ran = subprocess.run(["redis-benchmark", "-p", str(server.port), "-t", "set", "-d", "64", "-P", str(pipeline),
                              "-c", "1", "-n", str(requests), "--csv"],
                             capture_output=True, text=True, timeout=DRIVE_SECONDS)
        for line in ran.stdout.splitlines():
            cells = [cell.strip('"') for cell in line.split(",")]
            if cells[0] == "SET":
                return float(cells[1])
        raise PeerError(f"redis-benchmark printed no SET line: {ran.stdout} {ran.stderr}")
