#!/usr/bin/python3
"""Compares tensord with bare sockets, ZeroMQ, gRPC, redis and naive Python in one run; writes a table and a plot.

    cmake -S . -B build -DTENSORD_BENCH=ON && cmake --build build
    tests/bench/compare/compare.py --build build --out results

Every row runs A B A B ...: the ratio of each pair is taken by itself, and the row shows the median of the ratios with
the smallest and the largest. Bare sockets against themselves show what the machine's noise alone does.
"""
import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import plot
import report
from peers import PeerError, Peers, status_kib

MIB = 1 << 20
SIZES = (MIB, 16 * MIB, 64 * MIB)
PIPELINE = 64
REDIS_TRIAL = 200_000
BIG = 256 * MIB


def median(values):
    return statistics.median(values)


class Row:
    """One line of the table: the ratio of tensord's figure to a peer's, and the goal for it."""

    def __init__(self, group, what, peer, unit, goal, at_least):
        self.group, self.what, self.peer, self.unit = group, what, peer, unit
        self.goal, self.at_least = goal, at_least
        self.ours, self.theirs, self.ratios = [], [], []
        self.missing = None

    def add(self, ours, theirs):
        self.ours.append(ours)
        self.theirs.append(theirs)
        self.ratios.append(ours / theirs)

    def met(self):
        if self.missing or self.goal is None:
            return None
        ratio = median(self.ratios)
        return ratio >= self.goal if self.at_least else ratio <= self.goal

    def as_json(self):
        return {key: value for key, value in vars(self).items()} | {"met": self.met()}


def rate(result, size):
    """Bytes of tensor data a second."""
    return result["messages"] * size / result["seconds"]


def server_cpu(result, size):
    """CPU-seconds of the receiving process for each GB of tensor data, warming up included in both."""
    return result["server_cpu_seconds"] / (result["all_messages"] * size / 1e9)


def total_cpu(result, size):
    """The same of both sides: what the kernel does for a loopback connection is charged to either of them by chance."""
    return server_cpu(result, size) + result["cpu_seconds"] / (result["all_messages"] * size / 1e9)


CPU = {"receiver's CPU-seconds per GB": server_cpu, "both sides' CPU-seconds per GB": total_cpu}


def cpu_rows(size, peer, goals):
    return [Row("cpu", f"{what}, {size_name(size)}", peer, "s/GB", goal, False) for what, goal in zip(CPU, goals)]


def add_cpu(row, a, b, size):
    measure = CPU[row.what.rsplit(",", 1)[0]]
    row.add(measure(a, size), measure(b, size))


def size_name(size):
    return f"{size // MIB} MiB" if size >= MIB else f"{size} bytes"


class Comparison:
    def __init__(self, peers, pairs, only):
        self.peers, self.pairs, self.only = peers, pairs, only
        self.rows = []
        self.notes = []
        self.figures = {}  # what the plot shows: (kind, peer, size) -> values

    def wanted(self, group):
        return not self.only or group in self.only

    def say(self, text):
        print(text, file=sys.stderr, flush=True)

    def note_figure(self, kind, peer, size, value):
        self.figures.setdefault((kind, peer, size), []).append(value)

    def pair_up(self, rows, ours, theirs, take):
        """Runs the two in turn; take(row, our result, their result) puts each pair into each row."""
        self.rows += rows
        try:
            for number in range(self.pairs):
                a, b = ours(), theirs()
                for row in rows:
                    take(row, a, b)
                self.say(f"{rows[0].what} / {rows[0].peer}: pair {number + 1}: {rows[0].ratios[-1]:.3f}")
        except PeerError as failure:
            for row in rows:
                row.missing = str(failure)
            self.say(f"{rows[0].what} / {rows[0].peer}: not measured: {failure}")

    def goodput(self):
        peers = [("bare", "bare sockets", {"window": 8}, lambda size: 0.90),
                 ("zeromq", "ZeroMQ, raw binary", {"window": 8}, lambda size: 1.5 if size == 64 * MIB else 1.0),
                 ("grpc", "gRPC stream", {"window": 8, "stream": True}, lambda size: 1.5),
                 ("grpc", "gRPC unary", {"window": 1}, lambda size: 4.0),
                 ("naive", "naive Python", {"window": 8}, lambda size: 20.0)]
        for size in SIZES:
            for name, label, settings, goal in peers:
                rows = [Row("goodput", f"goodput, {size_name(size)} float32", label, "GB/s", goal(size), True)]
                if name == "bare":
                    rows += cpu_rows(size, label, (1.25, None))
                self.pair_up(rows, lambda size=size: self.peers.drive("tensord", bytes=size, window=8),
                             lambda: self.peers.drive(name, bytes=size, **settings),
                             lambda row, a, b: self.take_goodput(row, a, b, size, label))

    def take_goodput(self, row, a, b, size, label):
        if row.group == "cpu":
            return add_cpu(row, a, b, size)
        row.add(rate(a, size) / 1e9, rate(b, size) / 1e9)
        self.note_figure("goodput", "tensord", size, rate(a, size) / 1e9)
        self.note_figure("goodput", label, size, rate(b, size) / 1e9)

    def noise(self):
        def bare():
            return self.peers.drive("bare", bytes=16 * MIB, window=8)

        def take(row, a, b):
            if row.group == "cpu":
                return add_cpu(row, a, b, 16 * MIB)
            row.add(rate(a, 16 * MIB) / 1e9, rate(b, 16 * MIB) / 1e9)

        rows = [Row("noise", "bare sockets, 16 MiB", "themselves (noise)", "GB/s", None, True),
                *cpu_rows(16 * MIB, "bare, of bare (noise)", (None, None))]
        self.pair_up(rows, bare, bare, take)

        def ping():
            return self.peers.drive("bare", bytes=64, echo=True)

        row = Row("noise", "round trip of 64 bytes by bare sockets, p50", "themselves (noise)", "µs", None, False)
        self.pair_up([row], ping, ping, lambda row, a, b: row.add(a["p50_us"], b["p50_us"]))

    def latency(self):
        peers = [("bare", "bare sockets", {}, 1.6), ("zeromq", "ZeroMQ", {}, 0.6),
                 ("grpc", "gRPC unary", {}, 0.6), ("grpc", "gRPC stream", {"stream": True}, 0.6)]

        def take(row, a, b):
            key = "p50_us" if row.what.endswith("p50") else "p99_us"
            row.add(a[key], b[key])
            self.note_figure(key, "tensord", 64, a[key])
            self.note_figure(key, row.peer, 64, b[key])

        for name, label, settings, goal in peers:
            rows = [Row("latency", f"round trip of 64 bytes, {p}", label, "µs", goal, False) for p in ("p50", "p99")]
            self.pair_up(rows, lambda: self.peers.drive("tensord", bytes=64, echo=True),
                         lambda: self.peers.drive(name, bytes=64, echo=True, **settings), take)

    def pipelined(self):
        row = Row("pipelined", f"64-byte tensors, -P {PIPELINE}", "redis-server SET", "messages/s", 0.7, True)
        requests = REDIS_TRIAL

        def ours():
            result = self.peers.drive("tensord", bytes=64, window=PIPELINE, batch=True)
            return result["messages"] / result["seconds"]

        def theirs():
            nonlocal requests
            if requests == REDIS_TRIAL:  # so many that they take as long as ours
                requests = int(self.peers.redis_rate(REDIS_TRIAL, PIPELINE) * self.peers.seconds) + 1
            return self.peers.redis_rate(requests, PIPELINE)

        def take(row, a, b):
            row.add(a, b)
            self.note_figure("rate", "tensord", 64, a)
            self.note_figure("rate", "redis-server SET", 64, b)

        self.pair_up([row], ours, theirs, take)

    def echo(self):
        for window, text in ((8, "window 8"), (1, "one at a time")):
            row = Row("echo", f"echo, 16 MiB, {text}", "bare sockets", "GB/s", 0.85, True)
            self.pair_up([row], lambda: self.peers.drive("tensord", bytes=16 * MIB, window=window, echo=True),
                         lambda: self.peers.drive("bare", bytes=16 * MIB, window=window, echo=True),
                         lambda row, a, b: row.add(rate(a, 16 * MIB) / 1e9, rate(b, 16 * MIB) / 1e9))

    def growth(self):
        def at(**settings):
            return lambda: rate(self.peers.drive("tensord", **settings), settings["bytes"]) / 1e9

        def take(row, a, b):
            row.add(a, b)

        row = Row("growth", "goodput, 64 MiB", "tensord at 1 MiB", "GB/s", 0.85, True)
        self.pair_up([row], at(bytes=64 * MIB, window=8), at(bytes=MIB, window=8), take)
        row = Row("growth", "goodput, 100 connections, 1 MiB", "tensord with 1", "GB/s", 0.85, True)
        self.pair_up([row], at(bytes=MIB, window=100, connections=100), at(bytes=MIB, window=8), take)

    def memory(self):
        row = Row("memory", "peak memory over rest, one tensor of 256 MiB", "tensor + 8 MiB", "MiB", 1.0, False)
        self.rows.append(row)
        try:
            for _ in range(self.pairs):
                with self.peers.start_daemon("--max-frame", "1GiB", "--memory", "2GiB") as server:
                    self.peers.drive_against(server, "tensord", bytes=64, messages=10)
                    rest = status_kib(server.pid, "VmRSS")
                    self.peers.drive_against(server, "tensord", bytes=BIG, messages=1)
                    row.add((status_kib(server.pid, "VmHWM") - rest) / 1024, BIG / MIB + 8)
            self.notes.append(f"Resting memory of the daemon: {rest / 1024:.1f} MiB.")
        except PeerError as failure:
            row.missing = str(failure)
        if row.ratios:
            self.say(f"{row.what}: {median(row.ours):.1f} MiB")

    def run(self):
        for group, measure in (("noise", self.noise), ("latency", self.latency), ("pipelined", self.pipelined),
                               ("goodput", self.goodput), ("echo", self.echo), ("memory", self.memory),
                               ("growth", self.growth)):
            if self.wanted(group):
                measure()


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def machine():
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{cpu_model()}, {os.cpu_count()} cores, Linux {platform.release()}; load average {load}"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="where it was built with -DTENSORD_BENCH=ON")
    parser.add_argument("--out", default="compare-results", help="folder for compare.md, compare.svg, compare.json")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs for each row")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one run")
    parser.add_argument("--only", action="append",
                        choices=["noise", "latency", "pipelined", "goodput", "echo", "memory", "growth"],
                        help="only these rows (may be given several times)")
    args = parser.parse_args()
    if args.pairs < 1 or args.seconds <= 0:
        parser.error("--pairs and --seconds must be positive")
    if not (Path(args.build) / "server/tensord").exists():
        parser.error(f"{args.build} holds no server/tensord: build with cmake first, and name the folder with --build")
    return args


def main():
    args = parse_arguments()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    before = machine()
    began = time.strftime("%Y-%m-%d")
    peers = Peers(args.build, args.seconds)
    comparison = Comparison(peers, args.pairs, args.only)
    try:
        comparison.run()
    finally:
        peers.close()
    notes = [f"Measured on {began} on {before} at the start.",
             f"{args.pairs} alternating pairs of {args.seconds:g} s for each row.", *comparison.notes]
    table = report.markdown(comparison.rows, notes)
    (out / "compare.md").write_text(table)
    (out / "compare.svg").write_text(plot.svg(comparison.figures))
    (out / "compare.json").write_text(json.dumps([row.as_json() for row in comparison.rows], indent=1))
    print(table)
    print(f"written: {out}/compare.md, compare.svg, compare.json", file=sys.stderr)


if __name__ == "__main__":
    main()
