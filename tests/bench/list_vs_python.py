#!/usr/bin/env python3
"""Prints the rate of list reading beside Python's json.loads + numpy.array and RapidJSON's DOM, on the same texts.

    /usr/bin/python3 tests/bench/list_vs_python.py BUILD_DIR/tests/bench/list_bench [MEGABYTES]

The benchmark program makes the texts (100 MB each by default) and leaves them in a folder of its own for Python.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

DTYPES = {"int32": np.int32, "float32": np.float32}
ROUNDS = 3


def benchmark(program, folder, megabytes):
    """Milliseconds of CPU time by benchmark name."""
    environment = os.environ | {"TENSORD_BENCH_TEXT_DIR": folder, "TENSORD_BENCH_LIST_MB": str(megabytes)}
    names = "|".join(DTYPES)
    command = [program, f"--benchmark_filter=^(read|rapidjson_dom|rapidjson_parse)/({names})$", "--benchmark_format=json",
               f"--benchmark_repetitions={ROUNDS}", "--benchmark_report_aggregates_only=false"]
    output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    best = {}
    for run in json.loads(output)["benchmarks"]:
        if run["run_type"] == "iteration":
            best[run["run_name"]] = min(run["cpu_time"], best.get(run["run_name"], float("inf")))
    return best


def python_milliseconds(text, dtype):
    """The best CPU time of reading the text to an array the usual way."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.process_time()
        array = np.array(json.loads(text), dtype)
        best = min(best, time.process_time() - begin)
        del array
    return best * 1000


def main():
    program, megabytes = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100
    with tempfile.TemporaryDirectory() as folder:
        measured = benchmark(program, folder, megabytes)
        print(f"{'':10}{'ListReader':>14}{'RapidJSON DOM':>18}{'its parse alone':>18}{'json + numpy':>18}")
        for name, dtype in DTYPES.items():
            text = pathlib.Path(folder, f"{name}.json").read_bytes()
            times = [measured[f"{part}/{name}"] for part in ("read", "rapidjson_dom", "rapidjson_parse")]
            times.append(python_milliseconds(text, dtype))
            cells = [f"{len(text) / t / 1e6:5.2f} GB/s" + (f" {t / times[0]:5.1f}×" if t != times[0] else "") for t in times]
            print(f"{name:10}{cells[0]:>14}" + "".join(f"{cell:>18}" for cell in cells[1:]), flush=True)


if __name__ == "__main__":
    main()
