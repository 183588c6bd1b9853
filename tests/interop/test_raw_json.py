"""The raw-JSON dialect, and the example scripts as they stand, run against the daemon."""

import base64
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from harness import ROOT, recv_all, tensor, tensorctl_binary, to_array

EXAMPLES = ROOT / "client" / "examples"
X = np.arange(9, dtype=np.float32).reshape(3, 3)


def run_example(name, *arguments):
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def lines(sock):
    """The replies until the peer closes; each must be one line of strict JSON."""
    text = recv_all(sock)
    assert text.endswith(b"\n") or not text
    return [json.loads(line) for line in text.splitlines()]


def test_the_ten_line_sender_prints_the_statistics(daemon):
    reply = json.loads(run_example("send_tensor.py", daemon.port))
    assert reply["status"] == "ok"
    (row,) = reply["result"]["tensors"]
    assert (row["dtype"], row["shape"], row["min"], row["max"], row["mean"]) == ("float32", [3, 3], 0, 8, 4)


def test_the_image_sender_prints_the_statistics(daemon, tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    for format in ("PNG", "JPEG"):
        pillow.new("RGB", (20, 10), (200, 100, 50)).save(tmp_path / "x", format)
        (row,) = json.loads(run_example("send_image.py", tmp_path / "x", daemon.port))["result"]["tensors"]
        assert (row["format"], row["width"], row["height"], row["channels"]) == (format.lower(), 20, 10, 3)


def test_a_sender_without_length_that_only_sends_and_closes(daemon):
    before = daemon.counters()["messages"]
    run_example("send_raw_json.py", daemon.port)
    log = daemon.wait_for_log("float32")
    assert "[3,3]" in log and "stats" in log
    assert daemon.counters()["messages"] >= before + 1


def test_a_receiver_without_length_is_fed_by_tensorctl(tmp_path):
    np.save(tmp_path / "x.npy", X)
    receiver = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "receive_raw_json.py"), "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        port = receiver.stdout.readline().split()[-1]
        command = [tensorctl_binary(), "send", str(tmp_path / "x.npy"), "--raw-json", "--connect", f"127.0.0.1:{port}"]
        sent = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert sent.returncode == 0, sent.stderr
        printed, _ = receiver.communicate(timeout=60)
        assert printed == f"float32 (3, 3)\n{X}\n" and receiver.returncode == 0
    finally:
        receiver.kill()
        receiver.communicate()


def test_objects_back_to_back_in_lines_and_in_pieces(daemon):
    texts = [json.dumps({"id": i, "handler": "echo", **tensor(X + i)}) for i in range(5)]
    for stream in ("".join(texts), "\n".join(texts) + "\n", " \r\n\t".join(texts)):
        for step in (len(stream), 1000, 17, 1):
            with daemon.connect() as sock:
                for at in range(0, len(stream), step):
                    sock.sendall(stream[at : at + step].encode())
                sock.shutdown(socket.SHUT_WR)
                replies = lines(sock)
            assert [r["id"] for r in replies] == list(range(5))
            assert all((to_array(r["tensors"][0]) == X + r["id"]).all() for r in replies)


def test_a_reply_comes_before_the_next_object_is_sent(daemon):
    with daemon.connect() as sock:
        reader = sock.makefile("rb")
        for i in range(3):
            sock.sendall(json.dumps({"id": i, "handler": "echo", "data": [i]}).encode())  # no newline behind it
            assert json.loads(reader.readline())["id"] == i


def test_a_bad_message_does_not_end_the_connection_but_bad_json_does(daemon):
    with daemon.connect() as sock:
        sock.sendall(b'{"id":1,"handler":"nonsense","data":[1]}{"id":2,"handler":"echo","data":[1]}{"id":3,,}{"id":4}')
        replies = lines(sock)
    assert [r.get("id") for r in replies[:2]] == [1, 2] and replies[0]["error"]["code"] == "unknown_handler"
    assert len(replies) == 3 and replies[2]["error"]["code"] == "bad_json"


def test_a_cut_object_is_counted_and_no_handler_sees_it(daemon):
    before = daemon.counters()
    with daemon.connect() as sock:
        sock.sendall(
            json.dumps({"id": 1, "handler": "echo", **tensor(X)}).encode() + b'{"id":2,"handler":"echo","data":[1]'
        )
        sock.shutdown(socket.SHUT_WR)
        assert [r["id"] for r in lines(sock)] == [1]
    after = daemon.counters()
    assert after["truncated"] == before["truncated"] + 1
    assert after["errors"] == before["errors"]


def test_a_large_object_and_many_small_ones(daemon):
    big = np.random.default_rng(1).random(1 << 20)
    with daemon.connect() as sock:
        reader = sock.makefile("rb")
        sock.sendall(json.dumps({"handler": "echo", **tensor(big)}).encode())
        assert (to_array(json.loads(reader.readline())["tensors"][0]) == big).all()
        sock.sendall(b"".join(b'{"id":%d,"handler":"echo","data":%d}' % (i, i) for i in range(1000)))
        for i in range(1000):
            reply = json.loads(reader.readline())
            assert reply["id"] == i and np.frombuffer(base64.b64decode(reply["tensors"][0]["tensor"]), np.int64) == i


def test_netcat_habits(daemon):
    """What `printf ... | nc` does: send, shut the writing side down, read to the end."""
    with daemon.connect() as sock:
        sock.sendall(b'{"handler":"info"}\n')
        sock.shutdown(socket.SHUT_WR)
        (reply,) = lines(sock)
    assert reply["status"] == "ok" and set(reply["result"]) >= {"version", "limits", "handlers", "dtypes", "counters"}


def test_the_bare_cpp_and_python_clients_agree(tmp_path, daemon):
    """tensorctl and the Python package get the same tensor back."""
    import tensorclient

    np.save(tmp_path / "x.npy", X)
    command = [
        tensorctl_binary(),
        "call",
        "echo",
        str(tmp_path / "x.npy"),
        "-o",
        str(tmp_path / "y.npy"),
        "--connect",
        f"127.0.0.1:{daemon.port}",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=60, env={**os.environ, "NO_COLOR": "1"})
    with tensorclient.Client(port=daemon.port) as client:
        assert (np.load(tmp_path / "y.npy") == client.call("echo", X).tensor).all()
