"""The daemon as a program: its options, variables, configuration file, log, port file and exit codes."""

import json
import os
import re
import signal
import socket
import subprocess

import numpy as np
import pytest
from harness import ROOT, Daemon, call, recv_frame, send_frame, tensor, tensord_binary, wait_until

X = np.arange(3, dtype=np.int32)


def run(*arguments, env=None):
    """Runs tensord to its end, which must come at once."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TENSORD_")} | (env or {})
    return subprocess.run(
        [tensord_binary(), *map(str, arguments)], capture_output=True, text=True, timeout=20, env=environment
    )


def test_version_and_help_fit_a_screen():
    version = run("--version")
    assert version.returncode == 0 and re.fullmatch(r"tensord \d+\.\d+\.\d+\n", version.stdout)
    project = re.search(r"project\(tensord VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
    assert version.stdout.split()[1] == project
    for flag in ("--help", "-h"):
        shown = run(flag)
        lines = shown.stdout.splitlines()
        assert shown.returncode == 0 and len(lines) <= 40 and max(map(len, lines)) <= 80


WRONG = {
    "an unknown flag": (["--lisen", "127.0.0.1:0"], "lisen"),
    "a flag without its value": (["--listen"], "listen"),
    "a word that is no flag": (["127.0.0.1:0"], "127.0.0.1:0"),
    "no port": (["--listen", "127.0.0.1"], "listen"),
    "a port too large": (["--listen", "127.0.0.1:70000"], "70000"),
    "no address": (["--listen", "nowhere.invalid:1"], "nowhere"),
    "a remote address without a token": (["--listen", "0.0.0.0:0"], "token"),
    "a size without meaning": (["--max-frame", "lots"], "lots"),
    "a negative size": (["--max-frame", "-1"], "-1"),
    "a frame beyond the protocol": (["--max-frame", "2GiB"], "max-frame"),
    "a time without meaning": (["--read-timeout", "soon"], "soon"),
    "no time at all": (["--read-timeout", "0"], "read-timeout"),
    "no connections": (["--max-connections", "0"], "max-connections"),
    "a number with a tail": (["--max-tensors", "10x"], "10x"),
    "an unknown level": (["--log-level", "loud"], "loud"),
    "an unknown format": (["--log-format", "xml"], "xml"),
    "a token file that is not there": (["--token-file", "/nonexistent/token"], "token"),
    "a configuration that is not there": (["--config", "/nonexistent/file"], "nonexistent"),
    "an unknown default handler": (["--listen", "127.0.0.1:0", "--default-handler", "nonsense"], "nonsense"),
    "a folder that is not there": (["--save-dir", "/nonexistent/folder"], "save-dir"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_option_is_refused_with_one_sentence_and_code_2(what):
    arguments, word = WRONG[what]
    ended = run(*arguments)
    assert ended.returncode == 2 and not ended.stdout
    assert ended.stderr.startswith("tensord: ") and ended.stderr.count("\n") == 1 and word in ended.stderr


def test_a_port_that_is_taken_is_told():
    with Daemon() as daemon:
        ended = run("--listen", f"127.0.0.1:{daemon.port}")
        assert ended.returncode == 1 and str(daemon.port) in ended.stderr and "running" in ended.stderr


def test_variables_and_file_set_what_flags_do_not(tmp_path):
    config = tmp_path / "tensord.toml"
    config.write_text('# a comment\nmax-frame = "2MiB"\nmax-tensors = 7\nmax-pixels = 1000\nlog-format = "text"\n')

    def limits(*flags, **env):
        with Daemon(*flags, env=env) as daemon:
            return daemon.info()["limits"]

    by_file = limits("--config", config)
    assert (by_file["max_frame"], by_file["max_tensors"], by_file["max_pixels"]) == (2 << 20, 7, 1000)
    by_all = limits("--config", config, "--max-tensors", 9, TENSORD_MAX_PIXELS="500", TENSORD_MAX_TENSORS="8")
    assert (by_all["max_frame"], by_all["max_tensors"], by_all["max_pixels"]) == (2 << 20, 9, 500)
    assert limits(TENSORD_CONFIG=str(config))["max_tensors"] == 7
    wrong = run(env={"TENSORD_MAX_FRAME": "lots"})
    assert wrong.returncode == 2 and "TENSORD_MAX_FRAME" in wrong.stderr
    config.write_text("max-fram = 1\n")
    wrong = run("--config", config)
    assert wrong.returncode == 2 and "max-fram" in wrong.stderr


def test_the_sample_configuration_is_taken_as_it_is(tmp_path):
    sample = (ROOT / "server" / "tensord.toml").read_text()
    kept = "\n".join(
        line for line in sample.splitlines() if not re.match(r"\s*(listen|save-dir|token-file|port-file)\b", line)
    )
    (tmp_path / "tensord.toml").write_text(kept)
    with Daemon("--config", tmp_path / "tensord.toml") as daemon, daemon.connect() as sock:
        assert call(sock, {"handler": "echo", **tensor(X)})["status"] == "ok"


def test_the_default_handler_gets_what_names_none():
    with Daemon("--default-handler", "echo") as daemon, daemon.connect() as sock:
        assert call(sock, tensor(X))["tensors"] == [tensor(X)]


def test_info_tells_what_there_is(daemon):
    info = daemon.info()
    assert {"echo", "stats", "discard", "save", "record", "info"} <= {
        h["name"] if isinstance(h, dict) else h for h in info["handlers"]
    }
    assert "bfloat16" in json.dumps(info["dtypes"]) and info["limits"]["max_frame"] == 256 << 20
    before = info["counters"]
    with daemon.connect() as sock:
        call(sock, {"handler": "nonsense"})
    after = daemon.counters()
    assert after["errors"]["unknown_handler"] == before["errors"]["unknown_handler"] + 1
    assert after["connections"] == before["connections"] + 2 and after["bytes_in"] > before["bytes_in"]


def test_the_log_as_json_is_one_object_a_line():
    with Daemon("--log-format", "json") as daemon:
        with daemon.connect() as sock:
            call(sock, {"handler": 'quote" and \n newline', "data": [1]})
            call(sock, tensor(X))
        daemon.stop()
        events = [json.loads(line) for line in daemon.log().splitlines()]
    assert len(events) >= 3 and all({"level", "message"} <= set(event) for event in events)


def test_the_log_can_be_quiet():
    with Daemon(log_level="off") as daemon:
        with daemon.connect() as sock:
            call(sock, {"handler": "nonsense"})
        assert daemon.stop() == 0 and daemon.log() == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_with_code_0(number):
    with Daemon() as daemon, daemon.connect() as sock:
        call(sock, tensor(X))
        daemon.signal(number)
        assert daemon.wait() == 0


def test_draining_ends_in_its_time_whoever_holds_on():
    with Daemon("--drain-timeout", "300ms") as daemon, daemon.connect() as sock, daemon.connect() as half:
        send_frame(sock, {"handler": "echo", **tensor(np.zeros(4 << 20))})  # its reply is never read
        half.sendall(b"\0\0\1\0{")
        wait_until(lambda: daemon.counters()["messages"] >= 1, what="the message being received")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait(30) in (0, 1)


def test_the_port_file_is_written_whole_and_can_be_replaced(tmp_path):
    with Daemon() as first:
        assert first.port_file.read_text() == f"{first.port}\n"
    (tmp_path / "missing").mkdir()
    refused = run("--listen", "127.0.0.1:0", "--port-file", tmp_path / "nowhere" / "port")
    assert refused.returncode in (1, 2) and "port" in refused.stderr


def test_ipv6_loopback():
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
    with Daemon("--listen", "[::1]:0") as daemon:
        with socket.create_connection(("::1", daemon.port), timeout=60) as sock:
            assert call(sock, tensor(X))["status"] == "ok"
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", daemon.port), timeout=5)


def test_a_token_lets_it_listen_elsewhere(tmp_path):
    (tmp_path / "token").write_text("t0ken\r\n")
    with Daemon("--token-file", tmp_path / "token", "--listen", "0.0.0.0:0") as daemon, daemon.connect() as sock:
        assert call(sock, {"auth": "t0ken", **tensor(X)})["status"] == "ok"
        send_frame(sock, tensor(X))
        assert recv_frame(sock)["status"] == "ok"
    with Daemon("--allow-unauthenticated-remote", "--listen", "0.0.0.0:0") as daemon, daemon.connect() as sock:
        assert call(sock, tensor(X))["status"] == "ok"
