"""Runs what the README and the protocol's page show, as they show it, against a real daemon."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys

import numpy as np
import pytest
from harness import ROOT, build_file, call, recv_exactly, tensorctl_binary, tensord_binary, wait_until

README = (ROOT / "README.md").read_text()
PROTOCOL = (ROOT / "common" / "PROTOCOL.md").read_text()


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def block_with(text, language, word):
    (found,) = [b for b in blocks(text, language) if word in b]
    return found


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """An installed copy of the build, and how programs of this build have to be compiled."""
    cache = pathlib.Path(build_file("TENSORD_CACHE", "CMakeCache.txt"))
    folder = tmp_path_factory.mktemp("prefix")
    subprocess.run(["cmake", "--install", str(cache.parent), "--prefix", str(folder)], check=True, stdout=subprocess.DEVNULL)
    compiler = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.+)$", cache.read_text(), re.MULTILINE).group(1)
    sanitizers = re.search(r"^TENSORD_SANITIZE:\w+=(.*)$", cache.read_text(), re.MULTILINE).group(1)
    flags = "-Wall -Wextra -Werror" + (f" -fsanitize={sanitizers}" if sanitizers else "")
    return [f"-DCMAKE_PREFIX_PATH={folder}", f"-DCMAKE_CXX_COMPILER={compiler}", f"-DCMAKE_CXX_FLAGS={flags}"]


def compiled(code, library, prefix, folder):
    """The program that a C++ snippet of the README becomes with the README's lines of CMake and an installed tensord."""
    (lines,) = blocks(README, "cmake")
    assert "tensord::server" in lines
    (folder / "snippet.cpp").write_text(code)
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(snippet LANGUAGES CXX)\nadd_executable(my_program snippet.cpp)\n"
        + lines.replace("tensord::server)", f"tensord::{library})"))
    subprocess.run(["cmake", "-S", folder, "-B", folder / "build", "-G", "Ninja", *prefix], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", folder / "build"], check=True)
    return str(folder / "build" / "my_program")


def listening_port(pid):
    """The loopback port that a process listens on, from /proc."""
    mine = {os.readlink(f) for f in pathlib.Path(f"/proc/{pid}/fd").iterdir() if f.is_symlink()}
    for line in pathlib.Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in mine:
            return int(fields[1].split(":")[1], 16)
    return None


@pytest.mark.parametrize("code", blocks(README, "python"))
def test_readme_python_prints_what_its_comment_says(code, daemon, tmp_path):
    (expected,) = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert "7733" in code
    script = tmp_path / "snippet.py"
    script.write_text(code.replace("7733", str(daemon.port)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "client" / "python")}
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, expected), done.stderr


def test_readme_cpp_client(daemon, prefix, tmp_path):
    code = block_with(README, "cpp", "tensorclient::Client")
    program = compiled(code.replace("127.0.0.1:7733", f"127.0.0.1:{daemon.port}"), "client", prefix, tmp_path)
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    (stats,) = json.loads(done.stdout)["tensors"]
    assert (stats["name"], stats["dtype"], stats["shape"], stats["mean"]) == ("x", "float32", [2, 3], 3.5)


def test_readme_cpp_handler(prefix, tmp_path):
    code = block_with(README, "cpp", "tensord::Server")
    program = compiled(code.replace("127.0.0.1:7734", "127.0.0.1:0"), "server", prefix, tmp_path)
    with subprocess.Popen([program]) as process:
        try:
            port = wait_until(lambda: listening_port(process.pid), what="the snippet listening")
            with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
                x = {"name": "x", "dtype": "float32", "data": [1, 7, 3]}
                assert call(sock, {"handler": "largest", "tensors": [x]})["result"] == {"largest": 7.0}
                refused = call(sock, {"handler": "largest", "tensors": [{**x, "data": [], "shape": [0]}]})
                assert refused["error"]["code"] == "handler_failed"
                assert refused["error"]["message"] == "x has no elements"
                refused = call(sock, {"handler": "largest", "tensors": [{**x, "dtype": "int8"}]})
                assert refused["error"]["code"] == "bad_dtype"
        finally:
            process.kill()


def test_readme_commands(daemon, tmp_path):
    from PIL import Image

    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 6), "teal").save(tmp_path / "photos" / "one.png")
    Image.new("L", (5, 4), 77).save(tmp_path / "photos" / "two.jpg")
    np.save(tmp_path / "weights.npy", np.arange(12, dtype=np.float64).reshape(3, 4))
    commands = block_with(README, "sh", "tensorctl").splitlines()
    assert len(commands) >= 4
    for line in commands:
        program, *arguments = line.split("#")[0].split()
        assert program == "tensorctl"
        subprocess.run([tensorctl_binary(), "--connect", f"127.0.0.1:{daemon.port}", *arguments], cwd=tmp_path, check=True)
    assert np.array_equal(np.load(tmp_path / "back.npy"), np.load(tmp_path / "weights.npy"))


def from_dump(text):
    """The bytes of `xxd -g 1` lines."""
    return bytes.fromhex("".join(line[10:58] for line in text.strip().splitlines()))


def test_protocol_worked_bytes(sock):
    section = PROTOCOL.split("<!-- worked-bytes:begin -->")[1].split("<!-- worked-bytes:end -->")[0]
    request, reply = (from_dump(b) for b in blocks(section, "text"))
    sock.sendall(request)
    assert recv_exactly(sock, len(reply)) == reply


def test_protocol_requests_are_accepted(sock):
    requests = [b for b in blocks(PROTOCOL, "json") if '"status"' not in b]
    assert requests
    for text in requests:
        assert call(sock, text.encode())["status"] == "ok", text


def test_protocol_names_every_error_code():
    header = (ROOT / "common" / "include" / "tensorwire" / "error.hpp").read_text()
    codes = re.findall(r"^  (\w+),$", header.split("enum class ErrorCode")[1].split("};")[0], re.MULTILINE)
    table = re.findall(r"^\| `(\w+)` \|", PROTOCOL.split("\n## Errors")[1].split("\n## ")[0], re.MULTILINE)
    assert table == codes


def test_protocol_dtype_names_are_accepted(sock):
    section = PROTOCOL.split("<!-- dtypes:begin -->")[1].split("<!-- dtypes:end -->")[0]
    names = [n.replace("\\|", "|") for n in re.findall(r"`([^`]+)`", section)]
    assert len(names) > 60
    for name in names:
        reply = call(sock, {"handler": "echo", "data": [], "shape": [0], "dtype": name})
        assert reply["status"] == "ok", (name, reply)


def flags_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text.replace("\\-", "-")))


def help_of(*command):
    return subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout


def test_manual_of_the_daemon_names_its_flags():
    assert flags_in((ROOT / "server" / "tensord.1").read_text()) == flags_in(help_of(tensord_binary()))


def test_manual_of_tensorctl_names_its_flags():
    commands = ((), ("send",), ("call",), ("info",), ("ping",), ("bench",))
    known = set().union(*(flags_in(help_of(tensorctl_binary(), *command)) for command in commands))
    assert flags_in((ROOT / "client" / "tensorctl" / "tensorctl.1").read_text()) == known


def test_sample_configuration_names_every_setting_and_is_accepted(tmp_path):
    sample = (ROOT / "server" / "tensord.toml").read_text()
    settings = re.findall(r"^# ([a-z][a-z-]+) = ", sample, re.MULTILINE)
    assert {f"--{name}" for name in settings} == flags_in(help_of(tensord_binary())) - {"--config", "--help", "--version"}
    (tmp_path / "token").write_text("secret\n")
    live = re.sub(r"^# ([a-z][a-z-]+ = )", r"\1", sample, flags=re.MULTILINE)
    live = live.replace("/etc/tensord", str(tmp_path)).replace("/var/lib/tensord", str(tmp_path))
    live = live.replace("127.0.0.1:7733", "127.0.0.1:0").replace("/run/tensord/port", str(tmp_path / "port"))
    (tmp_path / "tensord.toml").write_text(live)
    with subprocess.Popen([tensord_binary(), "--config", str(tmp_path / "tensord.toml")]) as process:
        try:
            wait_until(lambda: (tmp_path / "port").exists() or process.poll() is not None, what="the port file")
            assert process.poll() is None
        finally:
            process.terminate()
        assert process.wait(60) == 0
