"""save and record: files that numpy and others read, below one folder and nowhere else."""

import base64
import io
import os
import socket
import struct
import sys

import numpy as np
import pytest
from harness import DTYPES, ROOT, Daemon, call, numpy_dtype, send_frame, tensor

sys.path.insert(0, str(ROOT / "tests" / "vectors"))
from make import png, unfiltered  # noqa: E402

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("saved")


@pytest.fixture(scope="module")
def daemon(folder):
    with Daemon("--save-dir", folder / ".") as running:
        yield running


def save(sock, *tensors, **params):
    return call(sock, {"handler": "save", "tensors": list(tensors), **({"params": params} if params else {})})


def everything_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_every_dtype_is_a_file_that_numpy_loads(sock, folder):
    rng = np.random.default_rng(1)
    for name in DTYPES:
        for shape in ((), (0, 3), (5,), (2, 3, 4)):
            count = int(np.prod(shape, dtype=int))
            data = rng.integers(0, 2 if name == "bool" else 256, count * numpy_dtype(name).itemsize, np.uint8)
            array = np.frombuffer(data.tobytes(), numpy_dtype(name)).reshape(shape)
            path = f"{name}-{'x'.join(map(str, shape))}"
            reply = save(sock, tensor(array, path, name))
            assert reply["status"] == "ok", reply
            assert reply["result"]["files"][0]["path"] == path + ".npy"
            loaded = np.load(folder / (path + ".npy"), allow_pickle=False)
            assert loaded.dtype == array.dtype and loaded.shape == shape and loaded.tobytes() == array.tobytes()


def test_an_image_is_saved_as_the_file_that_came(sock, folder):
    file = png(3, 2, 8, 2, unfiltered(bytes(range(18)), 9))
    assert save(sock, {"name": "picture", "image": base64.b64encode(file).decode()})["status"] == "ok"
    assert (folder / "picture.png").read_bytes() == file


def test_folders_and_names_in_any_script(sock, folder):
    reply = save(sock, tensor(X, "größe/日本/x"), tensor(X, "y.npy"), prefix="run 1/")
    assert [f["path"] for f in reply["result"]["files"]] == ["run 1/größe/日本/x.npy", "run 1/y.npy"]
    assert (np.load(folder / "run 1" / "größe" / "日本" / "x.npy") == X).all()


def test_nothing_is_overwritten_unless_asked(sock, folder):
    assert save(sock, tensor(X, "once"))["status"] == "ok"
    error = save(sock, tensor(X + 1, "once"))["error"]
    assert "overwrite" in error["message"] and (np.load(folder / "once.npy") == X).all()
    assert save(sock, tensor(X + 1, "once"), overwrite=True)["status"] == "ok"
    assert (np.load(folder / "once.npy") == X + 1).all()


ESCAPES = [
    "../x",
    "..",
    "a/../../x",
    "/tmp/tensord-escape",
    "/",
    "a//b",
    "./x",
    "a/./b",
    ".hidden",
    "a/.hidden/x",
    "x\0y",
    "\0",
    "x\ny",
    "a\\b",
    "..\\x",
    "x" * 300,
    "/".join(["d" * 100] * 20),
    "\u202ex",
    "a\u2215b",
    "\ufeffx",
    "\uff0e\uff0e/x",
    "x\x7f",
    "a/",
    "-",
    "",
    "con\u200b",
    "~/x",
    "$HOME",
    "*",
    "x;rm -rf y",
    "https://x/y",
]


@pytest.mark.parametrize("name", ESCAPES, ids=lambda n: ascii(n[:20]))
def test_no_name_leaves_the_folder(sock, folder, name):
    outside = everything_below(folder.parent)
    before = set(everything_below(folder))
    for request in (
        (tensor(X, name), {}),
        (tensor(X, "x"), {"prefix": name + "/"}),
        (tensor(X, "x"), {"prefix": name}),
    ):
        reply = save(sock, request[0], **request[1])
        if reply["status"] == "error":
            assert reply["error"]["code"] == "bad_message" and str(folder) not in reply["error"]["message"]
        else:
            path = reply["result"]["files"][0]["path"]
            assert os.path.realpath(folder / path) == str(folder / path) and (folder / path).is_file()
            (folder / path).unlink()
    assert [p for p in everything_below(folder.parent) if not p.startswith(folder.name)] == [
        p for p in outside if not p.startswith(folder.name)
    ]
    assert not os.path.exists("/tmp/tensord-escape.npy")
    assert all((folder / p).is_dir() for p in set(everything_below(folder)) - before)


def test_links_are_not_followed(sock, folder, tmp_path):
    (folder / "link").symlink_to(tmp_path)
    (folder / "dangling.npy").symlink_to(tmp_path / "target")
    (folder / "file.npy").symlink_to(tmp_path / "other")
    (tmp_path / "other").write_bytes(b"untouched")
    assert save(sock, tensor(X, "link/x"))["error"]["code"] == "bad_message"
    assert save(sock, tensor(X, "dangling"))["status"] == "error"
    save(sock, tensor(X, "file"), overwrite=True)
    assert (tmp_path / "other").read_bytes() == b"untouched" and sorted(os.listdir(tmp_path)) == ["other"]


def test_what_is_refused_writes_nothing(sock, folder):
    before = everything_below(folder)
    for tensors in (
        [tensor(X, "good1"), tensor(X, "../bad")],
        [tensor(X, "good2"), {"name": "s", "data": ["a"]}],
        [tensor(X, "same"), tensor(X, "same.npy")],
    ):
        assert save(sock, *tensors)["status"] == "error"
    assert everything_below(folder) == before


def test_a_sender_that_dies_leaves_no_half_file(daemon, folder):
    import json

    before = everything_below(folder)
    body = json.dumps({"handler": "save", "tensors": [tensor(np.zeros(100000), "half")]}).encode()
    for cut in (100, len(body) // 2, len(body) - 1):
        with daemon.connect() as sock:
            sock.sendall(struct.pack(">I", len(body)) + body[:cut])
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""
    assert everything_below(folder) == before


def test_many_connections_save_at_once(daemon, folder):
    socks = [daemon.connect() for _ in range(20)]
    for i, sock in enumerate(socks):
        send_frame(sock, {"handler": "save", "tensors": [tensor(X + i, "race")]})
    from harness import recv_frame

    replies = [recv_frame(sock) for sock in socks]
    winners = [i for i, reply in enumerate(replies) if reply["status"] == "ok"]
    assert len(winners) == 1 and (np.load(folder / "race.npy") == X + winners[0]).all()
    assert not [p for p in everything_below(folder) if "tmp" in p]
    for sock in socks:
        sock.close()


def test_without_a_folder_nothing_is_saved():
    with Daemon() as bare, bare.connect() as sock:
        assert "save-dir" in save(sock, tensor(X, "x"))["error"]["message"]
        assert call(sock, {"handler": "record", **tensor(X)})["status"] == "error"


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(file):
    """The records of a TFRecord file; both checksums of each must be right."""
    stream = io.BytesIO(file)
    while head := stream.read(8):
        assert struct.unpack("<I", stream.read(4))[0] == masked(head)
        data = stream.read(struct.unpack("<Q", head)[0])
        assert struct.unpack("<I", stream.read(4))[0] == masked(data)
        yield data


def test_record_appends_tfrecords_with_right_checksums(sock, folder):
    for i in range(3):
        reply = call(sock, {"handler": "record", "tensors": [tensor(X + i, "x")], "params": {"file": "all.tfrecord"}})
        assert reply["status"] == "ok", reply
    found = list(records((folder / "all.tfrecord").read_bytes()))
    assert len(found) == 3
    for i, record in enumerate(found):
        assert (X + i).tobytes() in record and b"x/shape" in record and b"float32" in record
    for name in ("../x", "/tmp/x", "a\0b", "link/x"):
        assert (
            call(sock, {"handler": "record", "tensors": [tensor(X, "x")], "params": {"file": name}})["status"]
            == "error"
        )
