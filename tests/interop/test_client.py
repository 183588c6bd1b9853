"""The Python package tensorclient: against the daemon, and against servers that misbehave."""

import contextlib
import io
import json
import socket
import struct
import threading
import time

import numpy as np
import pytest
import tensorclient
from harness import DTYPES, framed, numpy_dtype, recv_body

Client = tensorclient.Client


@pytest.fixture
def client(daemon):
    with Client(port=daemon.port) as connected:
        yield connected


def values(name, shape):
    """Random bits of a dtype (finite ones, so that lists can carry them too)."""
    rng = np.random.default_rng(7)
    if name == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if np.dtype(numpy_dtype(name)).kind in "iu" and name not in tensorclient.dtypes.BIT_DTYPES:
        info = np.iinfo(name)
        return rng.integers(info.min, info.max, shape, name, endpoint=True)
    floats = rng.standard_normal(shape)
    if name in tensorclient.dtypes.BIT_DTYPES:
        return tensorclient.from_float(floats, name)
    return np.asarray(floats + 1j * rng.standard_normal(shape) if name.startswith("complex") else floats).astype(name)


@pytest.mark.parametrize("encoding", ["base64", "list"])
@pytest.mark.parametrize("send_as", ["base64", "list"])
@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_comes_back_as_it_went(client, name, send_as, encoding):
    sent = {f"s{i}": values(name, shape) for i, shape in enumerate([(), (0,), (5,), (2, 3), (2, 0, 3), (2, 3, 4)])}
    reply = client.call("echo", send_as=send_as, encoding=encoding, **sent)
    assert list(reply.tensors) == list(sent)
    for key, array in sent.items():
        assert reply.dtypes[key] == name
        assert reply[key].dtype == array.dtype and reply[key].shape == array.shape
        assert reply[key].tobytes() == array.tobytes()


@pytest.mark.parametrize("encoding", ["base64", "list"])
@pytest.mark.parametrize("send_as", ["base64", "list"])
def test_integers_beyond_float64_stay_exact(client, send_as, encoding):
    signed = np.array([2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)])
    unsigned = np.array([2**53 + 1, 2**63, 2**64 - 1], np.uint64)
    reply = client.call("echo", send_as=send_as, encoding=encoding, i=signed, u=unsigned)
    assert (reply["i"] == signed).all() and reply["i"].dtype == np.int64
    assert (reply["u"] == unsigned).all() and reply["u"].dtype == np.uint64


@pytest.mark.parametrize("encoding", ["base64", "list"])
@pytest.mark.parametrize("send_as", ["base64", "list"])
def test_floats_that_json_has_no_number_for(client, send_as, encoding):
    odd = [np.nan, np.inf, -np.inf, -0.0, 0.0, 5e-324, 1.7976931348623157e308]
    for dtype in (np.float64, np.float32, np.float16):
        with np.errstate(over="ignore"):
            array = np.array(odd).astype(dtype)
        back = client.call("echo", array, send_as=send_as, encoding=encoding).tensor
        assert np.array_equal(back, array, equal_nan=True) and (np.signbit(back) == np.signbit(array)).all()


def test_what_python_itself_has_becomes_the_dtype_that_holds_it(client):
    reply = client.call(
        "echo",
        a=[[1, 2], [3, 4]],
        b=2.5,
        c=True,
        d=[2**64 - 1, 0],
        e=range(3),
        f=[1, 2.5],
        g=1 + 2j,
        h=["Katze", "é😀\0"],
        i="one",
        j=np.float32(7),
    )
    assert reply.dtypes == {
        "a": "int64",
        "b": "float64",
        "c": "bool",
        "d": "uint64",
        "e": "int64",
        "f": "float64",
        "g": "complex128",
        "h": "string",
        "i": "string",
        "j": "float32",
    }
    assert reply["a"].tolist() == [[1, 2], [3, 4]] and reply["d"].tolist() == [2**64 - 1, 0]
    assert reply["h"].tolist() == ["Katze", "é😀\0"] and reply["i"].shape == () and reply["i"].item() == "one"


@pytest.mark.parametrize(
    "value, hint",
    [
        ([2**53 + 1, 0.5], "fits no dtype"),
        ([2**63, -1], "fits no dtype"),
        (2**64, "fits no dtype"),
        ([[1], [1, 2]], "rows"),
        (b"not an image", "frombuffer"),
        (object(), "no tensor"),
        (np.zeros(2, "M8[s]"), "datetime64"),
        (np.zeros(2, "i4,f4"), "no tensor of this protocol"),
        ([1, None], "no tensor of this protocol"),
    ],
)
def test_what_cannot_be_sent_exactly_is_refused_before_it_is_sent(client, value, hint):
    with pytest.raises((TypeError, ValueError), match=hint):
        client.call("echo", x=value)
    assert client.call("echo", x=1).tensor == 1


def test_arrays_in_any_layout(client):
    base = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    for array in (
        base.T,
        base[:, ::2],
        base[::-1],
        np.asfortranarray(base),
        base.astype(">i4"),
        base.astype(">i4").T,
        np.broadcast_to(np.float32(3), (2, 2)),
    ):
        for send_as in ("base64", "list"):
            back = client.call("echo", array, send_as=send_as).tensor
            assert np.array_equal(back, array) and back.dtype == array.dtype.newbyteorder("=")


class OffersArray:
    def __array__(self, dtype=None, copy=None):
        return np.array([1.5, 2.5], np.float32)


class OffersDlpack:
    def __dlpack__(self, stream=None):
        return np.array([3, 4], np.int16).__dlpack__()

    def __dlpack_device__(self):
        return (1, 0)


def test_tensors_of_other_libraries_through_their_protocols(client):
    import array

    reply = client.call("echo", a=OffersArray(), d=OffersDlpack(), m=memoryview(b"abc"), s=array.array("d", [1, 2]))
    assert reply["a"].tolist() == [1.5, 2.5] and reply.dtypes["a"] == "float32"
    assert reply["d"].tolist() == [3, 4] and reply.dtypes["d"] == "int16"
    assert reply["m"].tobytes() == b"abc" and reply["s"].tolist() == [1.0, 2.0]


def test_torch_tensors_and_back(client):
    torch = pytest.importorskip("torch")
    tensors = {
        "bf16": torch.randn(3, 4).to(torch.bfloat16),
        "turned": torch.arange(6).reshape(2, 3).t(),
        "grad": torch.ones(2, requires_grad=True),
        "scalar": torch.tensor(2.5, dtype=torch.float16),
        "conj": torch.tensor([1 + 2j]).conj(),
        "empty": torch.zeros(0, 3),
        "bf0": torch.tensor(1.0, dtype=torch.bfloat16),
    }
    for send_as in ("base64", "list"):
        reply = client.call("echo", send_as=send_as, **tensors)
        for key, tensor in tensors.items():
            assert reply.dtypes[key] == str(tensor.dtype).split(".")[1]
            assert reply.to_torch(key).dtype == tensor.dtype and torch.equal(
                reply.to_torch(key), tensor.detach().resolve_conj()
            )


def test_torch_is_not_imported_for_those_who_do_not_use_it(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys, tensorclient.encode as e; e.item_pieces('x', [1]); "
        "sys.exit('torch' in sys.modules or 'PIL' in sys.modules)"
    )
    environment = {"PYTHONPATH": str(tensorclient.__path__[0]) + "/..", "PATH": "/usr/bin"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path).returncode == 0


def test_pillow_images_and_files(client, tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(1).integers(0, 256, (7, 5, 3), np.uint8)
    image = pillow.fromarray(pixels)
    image.save(tmp_path / "x.png")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    reply = client.call(
        "echo",
        img=image,
        path=tmp_path / "x.png",
        jpg=file.getvalue(),
        bgr=tensorclient.ImageFile(tmp_path / "x.png", pixel_format="bgr8"),
    )
    assert np.array_equal(reply["img"], pixels) and np.array_equal(reply["path"], pixels)
    assert np.array_equal(reply["bgr"], pixels[..., ::-1])
    assert np.array_equal(reply["jpg"], np.asarray(pillow.open(io.BytesIO(file.getvalue()))))
    as_jpeg = client.call("stats", img=image, image_format="jpeg").result["tensors"][0]
    assert as_jpeg["format"] == "jpeg" and as_jpeg["width"] == 5 and as_jpeg["height"] == 7
    with pytest.raises(ValueError, match="mode"):
        client.call("echo", image.convert("CMYK"))


def test_an_image_in_a_reply_is_its_file(client):
    pillow = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(1).integers(0, 256, (7, 5, 3), np.uint8)
    reply = client.call("echo", pixels, params={"format": "png"})
    assert list(reply.dtypes.values()) == ["image"] and reply.tensor.format == "png"
    assert np.array_equal(np.asarray(reply.tensor), pixels) and pillow.open(io.BytesIO(reply.tensor.data)).size == (
        5,
        7,
    )


def test_params_info_and_names_that_are_keywords(client):
    assert client.info()["version"]
    reply = client.call("echo", tensors={"params": [1], "encoding": [2], "handler": [3]})
    assert {key: value.item() for key, value in reply.tensors.items()} == {"params": 1, "encoding": 2, "handler": 3}
    stats = client.call("stats", np.arange(4)).result["tensors"][0]
    assert (stats["min"], stats["max"], stats["mean"]) == (0, 3, 1.5)


def test_an_error_reply_is_an_exception_of_its_own_with_code_and_place(client):
    with pytest.raises(tensorclient.UnknownHandler) as caught:
        client.call("ehco", x=1)
    assert caught.value.code == "unknown_handler" and "echo" in caught.value.message
    with pytest.raises(tensorclient.BadImage) as caught:
        client.call("echo", a=1, b=tensorclient.ImageFile(b"GIF89a"))
    assert caught.value.at == "/tensors/1/image" and isinstance(caught.value, tensorclient.ServerError)
    assert client.call("echo", x=1)["x"] == 1  # the connection goes on


def test_pipelined_replies_match_their_requests(client):
    with client.pipeline(window=16) as pipe:
        pending = [pipe.send("echo" if i % 10 else "nonsense", x=i) for i in range(300)]
    for i, each in enumerate(pending):
        if i % 10:
            assert each.result()["x"] == i
        else:
            with pytest.raises(tensorclient.UnknownHandler):
                each.result()


def test_large_replies_pipelined_do_not_deadlock(client):
    array = np.random.default_rng(2).random(2 << 20, np.float32)  # 8 MiB: far more than the sockets hold
    with client.pipeline(window=12) as pipe:
        pending = [pipe.send("echo", x=array) for _ in range(12)]
    assert all(np.array_equal(each.result()["x"], array) for each in pending)


def test_a_reply_array_can_be_written_to(client):
    array = client.call("echo", np.zeros(3)).tensor
    array += 1
    assert array.tolist() == [1, 1, 1]


def test_one_way_sends_have_no_reply(daemon, client):
    before = daemon.counters()
    for i in range(20):
        client.send("discard" if i % 2 else "nonsense", x=i)
    assert client.call("echo", x=5)["x"] == 5
    assert daemon.counters()["errors"]["unknown_handler"] == before["errors"].get("unknown_handler", 0) + 10


def test_raw_json_dialect(daemon):
    with Client(port=daemon.port, dialect="raw_json") as client:
        for _ in range(3):
            assert client.call("echo", x=np.arange(70000))["x"].sum() == 70000 * 69999 // 2
        with pytest.raises(tensorclient.UnknownHandler):
            client.call("nonsense", x=1)
        assert client.call("echo", x=np.float32(1))["x"] == 1


def test_receive_reads_what_the_raw_dialect_sends():
    listener = socket.create_server(("127.0.0.1", 0))
    sent = [{"a": np.arange(5), "s": ['}{"\\', "x"]}, {"b": np.zeros((0, 2), np.float16)}]

    def send():
        with Client(port=listener.getsockname()[1], dialect="raw_json") as client:
            for tensors in sent:
                client.send("any", **tensors)

    thread = threading.Thread(target=send)
    thread.start()
    with listener, listener.accept()[0] as peer:
        received = list(tensorclient.receive(peer))
    thread.join()
    assert len(received) == 2 and received[0]["a"].tolist() == [0, 1, 2, 3, 4]
    assert received[0]["s"].tolist() == ['}{"\\', "x"] and received[1]["b"].shape == (0, 2)


@pytest.mark.parametrize("step", [1, 2, 3, 5, 8, 1000])
def test_receive_finds_the_ends_of_messages_in_pieces_of_any_size(step):
    ours, theirs = socket.socketpair()
    texts = [
        '{"id":"}{\\"\\\\","data":[[1],[2]],"dtype":"torch.int32","shape":[2,1]}',
        ' {"id":2} \n',
        '{"id":"\\u005c\\\\"}',
    ]
    stream = "".join(texts).encode()
    with ours, theirs:
        thread = threading.Thread(
            target=lambda: [theirs.sendall(stream[i : i + step]) for i in range(0, len(stream), step)]
            + [theirs.shutdown(socket.SHUT_WR)]
        )
        thread.start()
        received = list(tensorclient.receive(ours))
        thread.join()
    assert [m.id for m in received] == ['}{"\\', 2, "\\\\"] and received[0].tensor.tolist() == [[1], [2]]


def test_receive_tells_a_message_that_was_cut():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b'{"id":1}{"id":')
        theirs.shutdown(socket.SHUT_WR)
        messages = tensorclient.receive(ours)
        assert next(messages).id == 1
        with pytest.raises(tensorclient.ConnectionLost, match="middle"):
            next(messages)


# Servers that misbehave.


@contextlib.contextmanager
def fake_server(serve):
    """Accepts connections one after the other and serves each with the function; yields the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run():
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            with connection, contextlib.suppress(OSError, EOFError):
                serve(connection)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(30)


def answer(connection):
    connection.sendall(framed({"id": json.loads(recv_body(connection))["id"], "status": "ok", "result": "fine"}))


def test_a_lost_connection_names_the_unanswered_and_the_next_call_connects_anew():
    calls = []

    def serve(connection):
        calls.append(1)
        answer(connection)
        if len(calls) == 1:
            recv_body(connection)  # the second request of the first connection: no answer
            return
        answer(connection)

    with fake_server(serve) as port, Client(port=port) as client:
        with client.pipeline(window=4) as pipe:
            first = pipe.send("x")
            assert first.result().result == "fine"
            second = pipe.send("y")
            with pytest.raises(tensorclient.ConnectionLost) as caught:
                second.result()
            assert caught.value.unacknowledged == [second.id]
        assert client.call("z").result == "fine" and len(calls) == 2


def test_a_deadline_ends_a_call_and_the_connection():
    with fake_server(lambda c: (answer(c), recv_body(c), c.recv(1))) as port, Client(port=port) as client:
        assert client.call("x").result == "fine"
        begin = time.monotonic()
        with pytest.raises(tensorclient.DeadlineExceeded):
            client.call("y", timeout=0.2)
        assert time.monotonic() - begin >= 0.2
        assert client.call("z").result == "fine"


def test_no_server_is_told_with_the_address():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Client(port=port) as client, pytest.raises(tensorclient.ConnectionLost, match=f"127.0.0.1:{port}"):
        client.call("x")


def test_a_refusal_while_the_request_is_still_being_sent():
    def serve(connection):
        connection.recv(1 << 16)
        error = {"code": "frame_too_large", "message": "at most 256 MiB"}
        connection.sendall(framed({"status": "error", "error": error}))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass

    with fake_server(serve) as port, Client(port=port) as client:
        for _ in range(2):
            with pytest.raises(tensorclient.FrameTooLarge, match="256 MiB"):
                client.call("x", a=np.zeros(16 << 20, np.uint8))


@pytest.mark.parametrize(
    "garbage, hint",
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is this a tensord"),
        (framed(b"[1]"), "JSON object"),
        (framed(b"{nope"), "read"),
        (framed({"id": 99, "status": "ok"}), "99"),
        (framed({"id": 1, "status": "perhaps"}), "perhaps"),
        (
            framed({"id": 1, "status": "ok", "tensors": [{"dtype": "float32", "shape": [2], "tensor": "AAAA"}]}),
            "8 bytes",
        ),
        (framed({"id": 1, "status": "ok", "tensors": [{"dtype": "flaot", "shape": [2], "tensor": "AAAA"}]}), "flaot"),
        (
            framed({"id": 1, "status": "ok", "tensors": [{"dtype": "int8", "shape": [2], "data": [1, 2000]}]}),
            "tensor 0",
        ),
        (framed({"id": 1, "status": "ok", "tensors": [7]}), "tensor 0"),
        (struct.pack(">I", 100) + b"{", "ended before"),
    ],
)
def test_what_is_no_reply_is_refused(garbage, hint):
    def serve(connection):
        recv_body(connection)
        connection.sendall(garbage)

    with fake_server(serve) as port, Client(port=port) as client:
        with pytest.raises((tensorclient.ProtocolError, tensorclient.ConnectionLost), match=hint):
            client.call("x")


def test_long_payloads_are_cut_out_of_the_json_only_where_they_stand():
    payload = np.random.default_rng(3).random(2000)
    text = tensorclient.encode.item_pieces("x", payload)
    item = b"".join(b"".join(p.pieces()) if hasattr(p, "pieces") else p for p in text)
    long = "A" * 10000
    for result in (
        f'"{long}"',
        f'{{"tensor":"{long}"}}',
        f'{{"k":"\\\\\\"tensor\\":\\"{long}"}}',
        f'["{long}","tensor","{long}"]',
    ):
        body = b'{"id":1,"status":"ok","result":' + result.encode() + b',"tensors":[' + item + b"]}"
        reply = tensorclient.decode.parse_reply(body)
        assert reply.result == json.loads(result) and np.array_equal(reply["x"], payload)
