"""Bad input over bare sockets: the right code, a sentence that helps, the place, and nobody else is hurt."""

import base64
import json
import re
import socket
import struct
import zlib

import numpy as np
import pytest
from harness import Daemon, call, ended, framed, recv_all, recv_body, recv_frame, send_frame, tensor, to_array

GOOD = tensor(np.arange(4, dtype=np.float32).reshape(2, 2))
BYTES = GOOD["tensor"]


@pytest.fixture
def bystander(daemon):
    """Another connection; it must work before and after whatever the test does."""
    with daemon.connect() as other:
        assert works(other)
        yield other
        assert works(other)


def works(sock):
    reply = call(sock, {"id": "ok", "handler": "echo", **GOOD})
    return reply["id"] == "ok" and to_array(reply["tensors"][0]).tolist() == [[0, 1], [2, 3]]


def refused(sock, request, code, at=None, *words):
    """The error must say all of that, and the connection must go on."""
    send_frame(sock, request)
    reply = recv_frame(sock)
    assert reply["status"] == "error" and "tensors" not in reply and "result" not in reply
    error = reply["error"]
    assert error["code"] == code and error.get("at") == at, error
    for word in words:
        assert word in error["message"], (word, error)
    assert works(sock)


def echo(**members):
    return {"handler": "echo", **GOOD, **members}


MESSAGE_ERRORS = {
    "wrong byte count": (echo(shape=[3, 3]), "size_mismatch", "/tensor", "[3,3]", "36", "16"),
    "float64 as float32": (
        echo(tensor=base64.b64encode(bytes(32)).decode()),
        "size_mismatch",
        "/tensor",
        "float64",
        "32",
    ),
    "one byte short": (echo(tensor=base64.b64encode(bytes(15)).decode()), "size_mismatch", "/tensor", "15", "16"),
    "bytes for an empty tensor": (echo(shape=[0, 5]), "size_mismatch", "/tensor", "16"),
    "unknown dtype": (echo(dtype="flaot32"), "bad_dtype", "/dtype", "flaot32", "float32"),
    "object dtype": (echo(dtype="object"), "bad_dtype", "/dtype", "object"),
    "structured dtype": (echo(dtype="<f4,<i4"), "bad_dtype", "/dtype"),
    "empty dtype": (echo(dtype=""), "bad_dtype", "/dtype"),
    "strings as bytes": (echo(dtype="string"), "bad_dtype", "/dtype", "data"),
    "dtype is a number": (echo(dtype=4), "bad_message", "/dtype", "dtype"),
    "no dtype": ({"handler": "echo", "tensor": BYTES, "shape": [4]}, "bad_message", None, "dtype"),
    "no shape": ({"handler": "echo", "tensor": BYTES, "dtype": "float32"}, "bad_message", None, "shape"),
    "misspelt payload": (
        {"handler": "echo", "tensr": BYTES, "dtype": "float32", "shape": [4]},
        "bad_message",
        None,
        "tensr",
    ),
    "misspelt shape": (
        {"handler": "echo", "tensor": BYTES, "dtype": "float32", "shap": [4]},
        "bad_message",
        None,
        "shap",
    ),
    "no tensor at all": ({"handler": "echo"}, "bad_message", None, "tensor"),
    "stats of nothing": ({"handler": "stats"}, "bad_message", None, "tensor"),
    "discard of nothing": ({"handler": "discard", "tensors": []}, "bad_message", None, "tensor"),
    "two payloads": (echo(data=[1]), "bad_message", "/data", "exactly one"),
    "negative dimension": (echo(shape=[-1, 4]), "bad_shape", "/shape/0", "-1"),
    "fractional dimension": (echo(shape=[2, 2.5]), "bad_shape", "/shape/1"),
    "dimension is a string": (echo(shape=[2, "2"]), "bad_shape", "/shape/1"),
    "shape is a number": (echo(shape=4), "bad_shape", "/shape"),
    "shape overflows": (echo(shape=[2**40, 2**40]), "bad_shape", "/shape"),
    "dimension beyond int64": (echo(shape=[2**64]), "bad_shape", "/shape/0"),
    "rank 33": (echo(shape=[1] * 33), "bad_shape", "/shape/32", "32"),
    "URL-safe base64": (echo(tensor=BYTES[:-4] + "-_AA"), "bad_base64", "/tensor", "URL"),
    "base64 without padding": (echo(tensor="AAA"), "bad_base64", "/tensor"),
    "base64 with a newline": (echo(tensor=BYTES[:8] + "\n" + BYTES[8:]), "bad_base64", "/tensor"),
    "base64 with a space": (echo(tensor=BYTES + " "), "bad_base64", "/tensor"),
    "base64 with a letter from elsewhere": (echo(tensor="é" + BYTES), "bad_base64", "/tensor"),
    "payload is a list": (echo(tensor=[1, 2]), "bad_message", "/tensor"),
    "payload is null": (echo(tensor=None), "bad_message", None, "tensor"),
    "int32 overflow": (
        {"handler": "echo", "data": [1, 3000000000], "dtype": "int32"},
        "value_out_of_range",
        "/data/1",
        "3000000000",
        "int32",
        "int64",
    ),
    "fraction for an integer": (
        {"handler": "echo", "data": [1.5], "dtype": "int8"},
        "value_out_of_range",
        "/data/0",
        "1.5",
    ),
    "too few values": ({"handler": "echo", "data": [1] * 8, "shape": [3, 3]}, "size_mismatch", "/data", "8", "9"),
    "ragged": ({"handler": "echo", "data": [[1, 2], [3]]}, "bad_shape", "/data/1"),
    "no image": ({"handler": "echo", "image": base64.b64encode(b"GIF89a" + bytes(30)).decode()}, "bad_image", "/image"),
    "empty image": ({"handler": "echo", "image": ""}, "bad_image", "/image"),
    "unknown pixel format": (
        {"handler": "echo", "image": "AAAA", "pixel_format": "cmyk"},
        "bad_message",
        "/pixel_format",
        "bgr8",
    ),
    "handler is a number": ({"handler": 7}, "bad_message", "/handler"),
    "unknown handler": (echo(handler="ehco"), "unknown_handler", "/handler", "ehco", "echo", "stats"),
    "params is a list": (echo(params=[1]), "bad_message", "/params"),
    "unknown encoding": (echo(encoding="hex"), "bad_message", "/encoding", "base64", "list"),
    "oneway is a number": (echo(oneway=1), "bad_message", "/oneway"),
    "id is a fraction": (echo(id=1.5), "bad_message", "/id"),
    "id is an object": (echo(id={}), "bad_message", "/id"),
    "id beyond uint64": (echo(id=2**64), "bad_message", "/id"),
    "tensors is an object": ({"handler": "echo", "tensors": {}}, "bad_message", "/tensors"),
    "a tensor is a number": ({"handler": "echo", "tensors": [GOOD, 7]}, "bad_message", "/tensors/1"),
    "a name twice": (
        {"handler": "echo", "tensors": [{**GOOD, "name": "a"}, {**GOOD, "name": "a"}]},
        "bad_message",
        "/tensors/1/name",
    ),
    "the second of three": (
        {"handler": "echo", "tensors": [GOOD, {**GOOD, "shape": [5]}, GOOD]},
        "size_mismatch",
        "/tensors/1/tensor",
    ),
}


@pytest.mark.parametrize("what", MESSAGE_ERRORS)
def test_a_bad_message_gets_its_error_and_the_connection_goes_on(sock, bystander, what):
    refused(sock, *MESSAGE_ERRORS[what])


JSON_ERRORS = [
    b"{",
    b"{}}",
    b"[]",
    b"7",
    b"nul",
    b'"text"',
    b"",
    b"{'id':1}",
    b"{id:1}",
    b'{"id":1,}',
    b'{"id":01}',
    b'{"id":+1}',
    b'{"id":1.}',
    b'{"id":.5}',
    b'{"a":"\x00"}',
    b'{"a":"\xff"}',
    b'{"a":"\xc0\x80"}',
    b'{"a":"\xed\xa0\x80"}',
    b'{"a":"\\ud800"}',
    b'{"a":"\\x41"}',
    b'{"a":"\t"}',
    b"\xef\xbb\xbf{}",
    b"{} //",
    b"/**/{}",
    b"{}\0",
    b'{"a":tru}',
    b'{"id":1} {"id":2}',
    b'{"params":{"a":NaN}}',
    b'{"a":1e400}',
    b'{"a":' + b"[" * 200 + b"]" * 200 + b"}",
    b"[" * 100000,
    b'{"a":' * 100000,
    b"\xff\xfe{\0}\0",
    b'{"a" 1}',
]


@pytest.mark.parametrize("body", [b for b in JSON_ERRORS if b], ids=lambda b: repr(b[:20]))
def test_what_is_no_json_object_is_refused_and_the_connection_goes_on(sock, bystander, body):
    sock.sendall(framed(body))
    error = recv_frame(sock)["error"]
    assert error["code"] in ("bad_json", "bad_message")
    if body[:1] == b"{" and b"1e400" not in body:
        assert error["code"] == "bad_json"
    assert works(sock)


@pytest.mark.parametrize(
    "body, at",
    [
        (b'{"id":1,"id":2}', "/id"),
        (b'{"handler":"info","handler":"info"}', "/handler"),
        (b'{"params":{"a":1,"a":2}}', "/params/a"),
        (b'{"tensors":[{"dtype":"int8","dtype":"int8","shape":[0],"tensor":""}]}', "/tensors/0/dtype"),
        (b'{"x":{"y":[{"z":1,"z":1}]}}', "/x/y/0/z"),
        (b'{"tensor":"","tensor":"","dtype":"int8","shape":[0]}', "/tensor"),
        (b'{"data":[1],"\\u0064ata":[1]}', "/data"),
    ],
)
def test_a_member_given_twice_is_refused_at_every_level(sock, body, at):
    sock.sendall(framed(body))
    assert recv_frame(sock)["error"] | {"message": ""} == {"code": "bad_message", "message": "", "at": at}
    assert works(sock)


def test_the_id_of_a_bad_message_comes_back_wherever_it_stood(sock):
    for request in ({"id": "x", **echo(shape=[9])}, {**echo(shape=[9]), "id": "x"}):
        assert call(sock, request)["id"] == "x"


def test_an_image_too_large_is_refused_by_its_header():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def png(width, height):
        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + chunks

    with Daemon("--max-pixels", 1000) as daemon, daemon.connect() as sock:
        for width, height in ((20, 20), (65535, 65535), (2**31 - 1, 2**31 - 1)):
            error = call(sock, {"handler": "echo", "image": base64.b64encode(png(width, height)).decode()})["error"]
            assert error["code"] == "image_too_large" and error["at"] == "/image" and "1000" in error["message"]
        assert works(sock)


# The framing itself: a reply, then the end.


def test_an_empty_frame_is_bad_and_ends_the_connection(sock, bystander):
    sock.sendall(
        framed({"id": 1, "handler": "echo", **GOOD}) + b"\0\0\0\0" + framed({"id": 2, "handler": "echo", **GOOD})
    )
    assert recv_frame(sock)["id"] == 1
    assert recv_frame(sock)["error"]["code"] == "bad_frame"
    assert ended(sock)


@pytest.mark.parametrize("first", [0x7C, 0x7F, 0x80, 0xFF, 0x5B, 0x60])
def test_a_first_byte_of_no_dialect_is_a_bad_frame(daemon, bystander, first):
    with daemon.connect() as sock:
        sock.sendall(bytes([first]) + bytes(100))
        assert recv_frame(sock)["error"]["code"] == "bad_frame"
        assert ended(sock)


def test_a_frame_beyond_the_limit_is_refused_and_its_sender_can_read_why(bystander):
    with Daemon("--max-frame", "1MiB") as daemon:
        with daemon.connect() as sock:
            body = json.dumps({"handler": "echo", "data": [0] * 10}).encode()
            sock.sendall(framed(body + b" " * ((1 << 20) - len(body))))  # exactly the limit
            assert recv_frame(sock)["status"] == "ok"
        for length in ((1 << 20) + 1, 1 << 28, 1 << 30):
            with daemon.connect() as sock:
                sock.sendall(struct.pack(">I", length))
                for _ in range(64):
                    sock.sendall(bytes(1 << 16))  # still sending, as a real sender would be
                error = recv_frame(sock)["error"]
                assert error["code"] == "frame_too_large" and str(length) in error["message"]
                sock.shutdown(socket.SHUT_WR)
                assert ended(sock)
        with daemon.connect() as sock:
            sock.sendall(b'{"handler":"echo","tensor":"' + b"A" * (1 << 21))
            error = json.loads(recv_all(sock))["error"]
            assert error["code"] == "frame_too_large"


def test_a_frame_beyond_one_gibibyte_is_refused_whatever_the_limit():
    with Daemon("--max-frame", "1GiB") as daemon:
        with daemon.connect() as sock:
            sock.sendall(b"\x40\0\0\1{")
            assert recv_frame(sock)["error"]["code"] == "frame_too_large"
            assert ended(sock)
        with daemon.connect() as sock:
            sock.sendall(b"\x40\0\0\0{")  # allowed: it waits for the rest
            sock.settimeout(0.2)
            with pytest.raises(TimeoutError):
                sock.recv(1)


# Errors that belong to the moment.


def test_a_handler_that_takes_too_long_is_a_timeout():
    array = np.random.default_rng(1).random(8 << 20)
    with Daemon("--handler-timeout", "1ms") as daemon, daemon.connect() as sock:
        reply = call(sock, {"id": 5, "handler": "stats", **tensor(array)})
        assert reply["id"] == 5 and reply["error"]["code"] == "timeout"
        assert works(sock)


def test_a_message_beyond_the_memory_is_overloaded():
    with Daemon("--memory", "16MiB") as daemon, daemon.connect() as sock, daemon.connect() as other:
        for _ in range(3):
            error = call(sock, {"handler": "discard", **tensor(np.zeros(5 << 20, np.float32))})["error"]
            assert error["code"] == "overloaded"
            assert works(sock) and works(other)


def test_a_wrong_or_missing_token_is_unauthorized(tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    with Daemon("--token-file", tmp_path / "token") as daemon:
        for auth in (
            {},
            {"auth": ""},
            {"auth": "S3cret"},
            {"auth": "s3cre"},
            {"auth": "s3cret\n"},
            {"auth": "s3crets3cret"},
        ):
            with daemon.connect() as sock:
                error = call(sock, {"id": 1, "handler": "echo", **GOOD, **auth})["error"]
                assert error["code"] == "unauthorized" and "s3cret" not in error["message"]
                assert ended(sock)
        with daemon.connect() as sock:
            assert call(sock, {"handler": "echo", **GOOD, "auth": "s3cret"})["status"] == "ok"
            assert works(sock)  # only the first message needs it
            counters = call(sock, {"handler": "info"})["result"]["counters"]
        assert counters["errors"]["unauthorized"] == 6 and "s3cret" not in daemon.log()


def test_a_connection_over_the_cap_is_told_overloaded():
    with Daemon("--max-connections", 3) as daemon:
        held = [daemon.connect() for _ in range(3)]
        assert all(works(sock) for sock in held)
        with daemon.connect() as sock:
            assert recv_frame(sock)["error"]["code"] == "overloaded"
            assert ended(sock)
        held.pop().close()
        from harness import wait_until

        def admitted():
            with daemon.connect() as sock:
                try:
                    return works(sock)
                except (EOFError, ConnectionError, KeyError):
                    return False

        wait_until(admitted, what="a place for a new connection")
        for sock in held:
            sock.close()


def test_an_unknown_code_is_never_sent(daemon):
    """Everything that these tests provoked is counted under a code of the contract."""
    assert set(daemon.counters()["errors"]) == set(
        "bad_frame frame_too_large bad_json bad_message bad_base64 bad_dtype bad_shape size_mismatch value_out_of_range "
        "bad_image "
        "image_too_large unknown_handler handler_failed timeout overloaded shutting_down unauthorized internal".split()
    )
    assert daemon.counters()["errors"]["internal"] == 0


def test_errors_tell_nothing_about_the_machine(sock):
    """No address, no path, no type name of C++ in any error."""
    for what, (request, *_) in MESSAGE_ERRORS.items():
        send_frame(sock, request)
        text = bytes(recv_body(sock)).decode()
        assert not re.search(r"0x[0-9a-f]{6}|/home|/tmp|/usr|\.cpp|std::|rapidjson|bad_alloc", text, re.IGNORECASE), (
            what,
            text,
        )
