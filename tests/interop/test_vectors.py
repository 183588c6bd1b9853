"""The golden vectors in Python: made anew, read and written by tensorclient, and sent to the daemon in pieces."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from harness import Daemon, recv_frame
from tensorclient import ServerError, decode, encode, receive

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "vectors"
INDEX = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
VECTORS = {pathlib.Path(entry["file"]).stem: entry for entry in INDEX}


def data_of(entry):
    return (FOLDER / entry["file"]).read_bytes()


def bodies(entry):
    data = data_of(entry)
    while data:
        length = int.from_bytes(data[:4], "big")
        yield data[4 : 4 + length]
        data = data[4 + length :]


def meaning(reply):
    """A parsed message's tensors in the vocabulary of index.json."""
    tensors = []
    for key, array in reply.tensors.items():
        name = key if isinstance(key, str) else ""
        tensors.append(
            {"name": name, "dtype": reply.dtypes[key], "shape": list(array.shape), "hex": array.tobytes().hex()}
        )
    return tensors


def test_the_committed_files_are_what_the_script_makes(tmp_path):
    subprocess.run(
        [sys.executable, str(FOLDER / "make.py"), str(tmp_path)], check=True, env={"PYTHONDONTWRITEBYTECODE": "1"}
    )
    made = {f.relative_to(tmp_path): f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}
    assert set(made) == {pathlib.Path("index.json"), *(pathlib.Path(e["file"]) for e in INDEX)}
    for name, content in made.items():
        assert (FOLDER / name).read_bytes() == content, name
    assert {f.name for f in (FOLDER / "messages").iterdir()} == {pathlib.Path(e["file"]).name for e in INDEX}


@pytest.mark.parametrize("name", ["direct", "several", "dtypes", "escapes", "lengths", "orders", "written_requests"])
def test_python_reads_requests(name):
    for body, expected in zip(bodies(VECTORS[name]), VECTORS[name]["messages"], strict=True):
        message = decode.parse_message(body)
        assert message.get("id") == expected.get("id")
        assert meaning(decode.as_reply(message)) == expected["tensors"]


@pytest.mark.parametrize(
    "name", ["raw_back_to_back", "raw_lines", "raw_spaced", "raw_braces_in_strings", "written_raw"]
)
def test_python_reads_the_raw_dialect(name):
    import socket

    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data_of(VECTORS[name]))
        theirs.shutdown(socket.SHUT_WR)
        received = list(receive(ours))
    assert [(m.id, meaning(m)) for m in received] == [(m.get("id"), m["tensors"]) for m in VECTORS[name]["messages"]]


def test_python_reads_replies():
    for body, expected in zip(bodies(VECTORS["replies"]), VECTORS["replies"]["messages"], strict=True):
        if "reply_error" in expected:
            with pytest.raises(ServerError) as caught:
                decode.parse_reply(body)
            error = {"code": caught.value.code, "message": caught.value.message, "at": caught.value.at or ""}
            assert error == expected["reply_error"] and caught.value.id == expected.get("id")
        else:
            reply = decode.parse_reply(body)
            assert (reply.id, reply.result) == (expected.get("id"), expected.get("result"))
            assert meaning(reply) == expected["tensors"]


def array_of(tensor):
    if tensor["dtype"] in decode.dtypes.BIT_DTYPES:
        bits = np.frombuffer(bytes.fromhex(tensor["hex"]), decode.dtypes.BIT_DTYPES[tensor["dtype"]])
        return decode.dtypes.raw(bits.reshape(tensor["shape"]), tensor["dtype"])
    return np.frombuffer(bytes.fromhex(tensor["hex"]), tensor["dtype"]).reshape(tensor["shape"])


@pytest.mark.parametrize("name", ["written_requests", "written_raw"])
def test_python_writes_the_same_bytes(name):
    written = b""
    for message in VECTORS[name]["messages"]:
        members = {key: value for key, value in message.items() if key != "tensors"}
        tensors = [(t["name"] or None, array_of(t)) for t in message["tensors"]]
        pieces = encode.request_pieces(tensors, members)
        body = b"".join(b"".join(p.pieces()) if isinstance(p, encode.Payload) else bytes(p) for p in pieces)
        assert len(body) == encode.total_length(pieces)
        written += len(body).to_bytes(4, "big") + body if name == "written_requests" else body + b"\n"
    assert written == data_of(VECTORS[name])


# Over a real socket.


@pytest.fixture(scope="module")
def echo_daemon():
    with Daemon("--default-handler", "echo") as running:
        yield running


def is_for_echo(message):
    return "error" in message or (message["tensors"] and message.get("handler", "echo") == "echo")


SENT = sorted(
    name
    for name, entry in VECTORS.items()
    if entry["kind"] == "requests" and entry["ends"] != "truncated" and all(map(is_for_echo, entry["messages"]))
)


def replied(reply):
    """A reply of echo in the vocabulary of index.json, as far as a reply tells it."""
    if reply["status"] == "error":
        return {"code": reply["error"]["code"], "at": reply["error"].get("at", "")}
    tensors = []
    for item in reply["tensors"]:
        tensor = {"name": item.get("name", ""), "dtype": item["dtype"], "shape": item["shape"]}
        if "tensor" in item:
            tensor["hex"] = decode.binascii.a2b_base64(item["tensor"], strict_mode=True).hex()
        else:
            strings = np.array(item["data"], dtype=object).reshape(-1)
            tensor["strings"] = strings.tolist()
        tensors.append(tensor)
    return {"id": reply.get("id"), "tensors": tensors}


def expected_reply(message):
    if "error" in message:
        return message["error"]
    keys = ("name", "dtype", "shape", "hex", "strings")
    return {"id": message.get("id"), "tensors": [{k: t[k] for k in keys if k in t} for t in message["tensors"]]}


@pytest.mark.parametrize("name", SENT)
def test_the_daemon_answers_every_vector_however_it_is_cut(echo_daemon, name):
    entry, data = VECTORS[name], data_of(VECTORS[name])
    for step in {len(data), 1009, 61, 3} - {s for s in (3, 61) if len(data) > 2000 * s}:
        with echo_daemon.connect() as sock:
            for at in range(0, len(data), step):
                sock.sendall(data[at : at + step])
            reader = sock.makefile("rb")
            for message in entry["messages"]:
                if entry["dialect"] == "framed":
                    reply = json.loads(reader.read(int.from_bytes(reader.read(4), "big")))
                else:
                    reply = json.loads(reader.readline())
                assert replied(reply) == expected_reply(message)
            if entry["ends"] == "fatal":
                assert reader.read(1) == b""


@pytest.mark.parametrize("name", ["framed_truncated", "framed_truncated_length"])
def test_what_was_whole_before_a_cut_is_still_answered(echo_daemon, name):
    import socket

    with echo_daemon.connect() as sock:
        sock.sendall(data_of(VECTORS[name]))
        sock.shutdown(socket.SHUT_WR)
        for message in VECTORS[name]["messages"]:
            assert replied(recv_frame(sock)) == expected_reply(message)
        assert sock.recv(1) == b""
