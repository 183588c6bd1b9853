"""tensorctl against a real daemon and against bare receivers: what it sends, prints, writes, and how it ends."""

import base64
import csv
import io
import json
import os
import pty
import signal
import socket
import subprocess
import threading

import numpy as np
import pytest
from PIL import Image

from harness import Daemon, tensorctl_binary, wait_until

MATRIX = np.arange(9, dtype=np.float32).reshape(3, 3) / 4


def run(*args, connect=None, code=0, stdin=b"", env=None):
    """Runs tensorctl to its end, checks its exit code and returns (stdout, stderr)."""
    command = [tensorctl_binary(), *(["--connect", connect] if connect else []), *map(str, args)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TENSORD_")} | (env or {})
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=120, env=environment)
    assert done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
    return done.stdout.decode(), done.stderr.decode()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    with Daemon("--save-dir", folder) as running:
        running.saved = folder
        yield running


@pytest.fixture
def at(daemon):
    return f"127.0.0.1:{daemon.port}"


@pytest.fixture
def matrix(tmp_path):
    np.save(tmp_path / "x.npy", MATRIX)
    return tmp_path / "x.npy"


@pytest.fixture
def dead_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def receiver(script):
    """A bare receiver: accepts one connection in a thread and hands it to script(connection)."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        with connection:
            script(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return f"127.0.0.1:{listener.getsockname()[1]}", thread, listener


def test_ping_says_who_answered(at):
    out, err = run("ping", connect=at)
    assert out.startswith(f"{at} answered in ") and "(tensord " in out and err == ""


def test_ping_against_a_dead_port_is_one_line_and_code_3(dead_port):
    out, err = run("ping", connect=f"127.0.0.1:{dead_port}", code=3)
    assert out == ""
    assert err == f"tensorctl: cannot connect to 127.0.0.1:{dead_port}: Connection refused — is tensord running?\n"


def test_common_options_stand_before_or_behind_the_command_or_in_the_environment(at):
    run("ping", "--connect", at, "--timeout", "10")
    run("--timeout", "10s", "--connect", at, "ping")
    run("ping", env={"TENSORD_CONNECT": at})


def test_info_is_readable_and_as_json(at):
    out, _ = run("info", connect=at)
    assert "version" in out and "max_frame" in out and "discard" in out
    parsed = json.loads(run("info", "--json", connect=at)[0])
    assert parsed["name"] == "tensord"


def test_call_prints_small_tensors(at, matrix):
    out, _ = run("call", "echo", matrix, connect=at)
    assert out.splitlines()[0] == "x  float32  [3,3]  36 B"
    assert "[ 1.5, 1.75,    2]]" in out


def test_call_prints_results_as_a_table(at, matrix):
    lines = run("call", "stats", f"weights={matrix}", connect=at)[0].splitlines()
    header, row = lines[1].split(), lines[2].split()
    assert dict(zip(header, row)) | {"name": "weights", "shape": "[3,3]", "mean": "1"} == dict(zip(header, row))


@pytest.mark.parametrize("encoding", ["base64", "list"])
def test_call_json_is_the_reply(at, matrix, encoding):
    out, _ = run("call", "echo", matrix, "--json", "--encoding", encoding, connect=at)
    (tensor,) = json.loads(out)["tensors"]
    if encoding == "list":
        assert tensor["data"] == MATRIX.tolist()
    else:
        assert base64.b64decode(tensor["tensor"]) == MATRIX.tobytes()


def test_call_json_of_an_error_reply(at):
    out, err = run("call", "nobody", "--json", connect=at, code=1)
    assert json.loads(out)["error"]["code"] == "unknown_handler"
    assert err.startswith("tensorctl: unknown_handler: ") and err.count("\n") == 1


@pytest.mark.parametrize("dtype", ["float32", "float64", ">f4", "<i2", "uint8", "bool", "complex64", "float16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_in_and_out_is_identical(at, tmp_path, dtype, order):
    array = np.asarray(np.arange(24).reshape(2, 3, 4) % 2, dtype=dtype, order=order)
    np.save(tmp_path / "in.npy", array)
    run("call", "echo", tmp_path / "in.npy", "-o", tmp_path / "out.npy", connect=at)
    back = np.load(tmp_path / "out.npy")
    assert back.dtype == array.dtype.newbyteorder("=") and np.array_equal(back, array)
    assert [p.name for p in tmp_path.iterdir() if ".part" in p.name] == []


def test_an_object_array_is_refused_and_never_unpickled(at, tmp_path):
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    _, err = run("call", "echo", tmp_path / "o.npy", connect=at, code=5)
    assert "o.npy" in err and err.count("\n") == 1


def test_images_in_and_out(at, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 255, (12, 17, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    run("call", "echo", tmp_path / "a.png", "-o", tmp_path / "p.npy", connect=at)
    assert np.array_equal(np.load(tmp_path / "p.npy"), pixels)
    run("call", "echo", tmp_path / "a.png", "-o", tmp_path / "b.png", connect=at)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), pixels)
    run("call", "echo", tmp_path / "a.png", "-o", tmp_path / "b.jpg", connect=at)
    assert Image.open(tmp_path / "b.jpg").size == (17, 12)


def test_several_tensors_go_into_a_folder_or_one_file_each(at, matrix, tmp_path):
    both = [f"a={matrix}", f"b={matrix}"]
    run("call", "echo", *both, "-o", f"{tmp_path}/out/", connect=at)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.npy", "b.npy"]
    run("call", "echo", *both, "-o", tmp_path / "1.npy", "-o", tmp_path / "2.npy", connect=at)
    assert np.array_equal(np.load(tmp_path / "2.npy"), MATRIX)
    _, err = run("call", "echo", *both, "-o", tmp_path / "only.npy", connect=at, code=5)
    assert "2 tensors" in err


def test_an_output_that_cannot_be_written_is_code_5(at, matrix, tmp_path):
    _, err = run("call", "echo", matrix, "-o", tmp_path / "none" / "x.npy", connect=at, code=5)
    assert "No such file or directory" in err
    _, err = run("call", "echo", matrix, "-o", tmp_path / "x.txt", connect=at, code=5)
    assert ".npy, .png or .jpg" in err


def test_raw_bytes_with_dtype_and_shape(at, tmp_path):
    array = np.arange(24, dtype=">i2").reshape(4, 6)
    array.tofile(tmp_path / "raw.bin")
    for shape in ("4,6", "4x-1", "[4, 6]"):
        run("call", "echo", tmp_path / "raw.bin", "--dtype", ">i2", "--shape", shape, "-o", tmp_path / "o.npy", connect=at)
        assert np.array_equal(np.load(tmp_path / "o.npy"), array)
    assert "--dtype" in run("call", "echo", tmp_path / "raw.bin", connect=at, code=5)[1]
    run("call", "echo", tmp_path / "raw.bin", "--dtype", "float32", "--shape", "5,5", connect=at, code=5)
    run("call", "echo", tmp_path / "raw.bin", "--dtype", "float23", connect=at, code=5)


def test_json_lists_and_requests(at, tmp_path):
    (tmp_path / "l.json").write_text("[[1, 2], [3, 4]]")
    run("call", "echo", tmp_path / "l.json", "--dtype", "uint8", "-o", tmp_path / "o.npy", connect=at)
    assert np.array_equal(np.load(tmp_path / "o.npy"), np.array([[1, 2], [3, 4]], np.uint8))
    request = {"handler": "echo", "tensors": [{"name": "n", "data": [2**53 + 1], "dtype": "int64"}], "params": {"k": 1}}
    (tmp_path / "r.json").write_text(json.dumps(request))
    assert "9007199254740993" in run("send", tmp_path / "r.json", connect=at)[0]
    (tmp_path / "bad.json").write_text('{"data": [1, 2')
    assert "bad.json" in run("send", tmp_path / "bad.json", connect=at, code=5)[1]
    (tmp_path / "wrong.json").write_text("[1, 300]")
    assert "/data/1" in run("send", tmp_path / "wrong.json", "--dtype", "uint8", connect=at, code=5)[1]


def test_standard_input(at):
    assert "int64  [2]" in run("call", "echo", "-", connect=at, stdin=b"[7, 8]")[0]


def test_lists_are_sent_on_request(at, matrix):
    assert "[ 1.5, 1.75,    2]]" in run("call", "echo", matrix, "--payload", "list", "--encoding", "list", connect=at)[0]


def test_params_are_json_or_strings(at, tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    out, _ = run("call", "echo", tmp_path / "a.png", "-p", "format=jpeg", connect=at)
    assert "jpeg image  4 x 4" in out
    assert "KEY=VALUE" in run("call", "echo", "-p", "format", connect=at, code=2)[1]


def test_a_folder_and_a_glob_of_images(at, daemon, tmp_path):
    for i in range(5):
        Image.fromarray(np.full((8, 9, 3), i, np.uint8)).save(tmp_path / f"f{i}.png")
    (tmp_path / "notes.txt").write_text("no image")
    out, err = run("send", tmp_path, "--handler", "save", "-p", "overwrite=true", connect=at)
    assert out.splitlines() == [f"{tmp_path}/f{i}.png: ok" for i in range(5)]
    assert "5 of 5 files sent" in err
    for i in range(5):
        (saved,) = daemon.saved.rglob(f"f{i}.png")
        assert saved.read_bytes() == (tmp_path / f"f{i}.png").read_bytes()
    out, _ = run("send", f"{tmp_path}/f[12].png", connect=at)
    assert len(out.splitlines()) == 2
    assert "no file matches" in run("send", f"{tmp_path}/*.npy", connect=at, code=5)[1]


def test_one_bad_file_of_many_is_named_and_the_others_are_sent(at, tmp_path):
    np.save(tmp_path / "a.npy", MATRIX)
    (tmp_path / "b.png").write_bytes(b"no png")
    np.save(tmp_path / "c.npy", MATRIX)
    out, err = run("send", tmp_path, connect=at, code=5)
    assert len(out.splitlines()) == 2 and f"{tmp_path}/b.png" in err and "1 failed" in err


def test_files_of_the_same_name_stay_apart(at, tmp_path):
    for folder in ("p", "q"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "x.npy", MATRIX)
    out, _ = run("call", "echo", tmp_path / "p" / "x.npy", tmp_path / "q" / "x.npy", connect=at)
    assert f"{tmp_path}/p/x.npy  float32" in out and f"{tmp_path}/q/x.npy  float32" in out


def test_oneway_is_sent_and_not_answered(at, daemon, matrix):
    before = daemon.counters()["oneway"]
    assert "no reply" in run("send", matrix, "--oneway", connect=at)[0]
    wait_until(lambda: daemon.counters()["oneway"] == before + 1, what="the oneway request in the counters")


def test_raw_json_feeds_a_bare_receiver(matrix):
    arrived = []

    def script(connection):
        parts = []
        while part := connection.recv(4096):
            parts.append(part)
        message = json.loads(b"".join(parts))
        data = base64.b64decode(message["tensor"])
        arrived.append(np.frombuffer(data, dtype=message["dtype"]).reshape(message["shape"]))

    address, thread, listener = receiver(script)
    with listener:
        run("send", matrix, "--raw-json", connect=address)
        thread.join(30)
    assert np.array_equal(arrived[0], MATRIX)


def test_raw_json_to_a_daemon_prints_its_answer(at, matrix):
    out, _ = run("send", matrix, "--raw-json", connect=at)
    assert json.loads(out)["result"]["tensors"][0]["shape"] == [3, 3]


def test_a_peer_that_never_answers_is_code_4(matrix):
    over = threading.Event()
    address, thread, listener = receiver(lambda connection: over.wait(60))
    with listener:
        out, err = run("call", "echo", matrix, "--timeout", "100ms", connect=address, code=4)
        over.set()
        thread.join(30)
    assert out == "" and err.count("\n") == 1 and "time limit" in err


def test_a_peer_that_closes_or_talks_nonsense_is_code_3(matrix):
    for script in (lambda c: c.recv(10), lambda c: (c.recv(10), c.sendall(b"SSH-2.0-x\r\n"), c.recv(1))):
        address, thread, listener = receiver(script)
        with listener:
            _, err = run("call", "echo", matrix, connect=address, code=3)
            thread.join(30)
        assert err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_cleanly(matrix, tmp_path, number):
    asked, over = threading.Event(), threading.Event()

    def script(connection):
        connection.recv(1 << 16)
        asked.set()
        over.wait(60)

    address, thread, listener = receiver(script)
    command = [tensorctl_binary(), "call", "echo", str(matrix), "-o", str(tmp_path / "out.npy"), "--connect", address]
    with listener, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert asked.wait(60)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        over.set()
        thread.join(30)
    assert (process.returncode, out, err) == (130, b"", b"tensorctl: interrupted\n")
    assert not (tmp_path / "out.npy").exists()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["frobnicate"],
        ["ping", "--frob"],
        ["call"],
        ["send"],
        ["ping", "--timeout", "soon"],
        ["ping", "--connect", "a:b"],
        ["call", "echo", "--encoding", "hex"],
        ["bench", "-c", "0"],
        ["bench", "--csv", "--json"],
    ],
)
def test_wrong_usage_is_one_line_and_code_2(words):
    out, err = run(*words, code=2)
    assert out == "" and err.startswith("tensorctl: ") and err.count("\n") == 1


def test_a_missing_file_is_code_5(at):
    assert run("send", "/nonexistent.npy", connect=at, code=5)[1] == (
        "tensorctl: cannot read '/nonexistent.npy': No such file or directory\n"
    )


def test_help_documents_the_exit_codes():
    out, _ = run("--help")
    assert all(text in out for text in ("Exit codes:", "130 interrupted", "--connect", "TENSORD_CONNECT"))


def test_bench_reports_as_text_csv_and_json(at):
    small = ["bench", "-n", "200", "-c", "2", "-P", "4", "-d", "100"]
    out, err = run(*small, connect=at)
    assert "200 requests in" in out and "p99" in out and err == ""
    (row,) = csv.DictReader(io.StringIO(run(*small, "--csv", connect=at)[0]))
    assert (row["requests"], row["bytes"], row["pipeline"]) == ("200", "100", "4")
    parsed = json.loads(run(*small, "--json", "--handler", "echo", "--encoding", "list", connect=at)[0])
    latency = parsed["latency_us"]
    assert parsed["requests"] == 200 and 0 < latency["min"] <= latency["p50"] <= latency["p99"] <= latency["max"]
    parsed = json.loads(run("bench", "-n", "10", "--shape", "8,8", "--dtype", "float64", "--json", connect=at)[0])
    assert (parsed["shape"], parsed["bytes"]) == ([8, 8], 512)


def test_bench_ends_with_the_first_error(at):
    out, err = run("bench", "--handler", "nobody", "-n", "50", connect=at, code=1)
    assert out == "" and err.startswith("tensorctl: unknown_handler") and err.count("\n") == 1


def test_a_terminal_gets_a_progress_bar(at, tmp_path):
    for i in range(40):
        np.save(tmp_path / f"{i:02}.npy", np.zeros(200_000, np.float32))
    ours, theirs = pty.openpty()
    command = [tensorctl_binary(), "send", str(tmp_path), "--connect", at]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the terminal's other end is closed
                break
            if not part:
                break
            shown += part
        assert process.stdout.read() == b""
    os.close(ours)
    assert process.returncode == 0
    assert b"/40  " in shown and b"[" in shown and b"40 of 40 files sent" in shown
