"""Golden messages cut, split and with bytes flipped, on a running daemon. TENSORD_FULL=1 takes the promised sizes."""

import base64
import json
import os
import pathlib
import random
import socket
import struct

import numpy as np
import pytest
from harness import Daemon, call, framed, recv_all, recv_body, recv_frame, tensor, to_array, wait_until

FULL = bool(os.environ.get("TENSORD_FULL"))
SEED = int(os.environ.get("TENSORD_SEED", random.SystemRandom().randrange(1 << 32)))
VECTORS = pathlib.Path(__file__).resolve().parent.parent / "vectors"
X = np.arange(16, dtype=np.float32)


def size(quick, full):
    return full if FULL else quick


def show(what, **figures):
    print(what + ":", ", ".join(f"{name} {value}" for name, value in figures.items()))


def works(sock):
    return to_array(call(sock, {"handler": "echo", **tensor(X)})["tensors"][0]).tolist() == X.tolist()


def golden_messages(count):
    """The frames of the golden vectors that are good requests, the longest first."""
    frames = []
    for entry in json.loads((VECTORS / "index.json").read_text(encoding="utf-8")):
        if entry["kind"] == "requests" and entry["dialect"] == "framed" and entry["ends"] == "whole":
            data = (VECTORS / entry["file"]).read_bytes()
            for message in entry["messages"]:
                length = 4 + int.from_bytes(data[:4], "big")
                if "error" not in message and not message.get("oneway"):
                    frames.append(data[:length])
                data = data[length:]
    return sorted((f for f in frames if len(f) <= size(250, 3000)), key=len)[-count:]


@pytest.mark.parametrize("how", ["closed", "reset"])
def test_golden_messages_cut_at_every_byte_run_no_handler_and_leave_nothing(how):
    with Daemon(log_level="warning") as daemon:
        before, descriptors = daemon.counters(), daemon.fds()
        cuts = [(message, cut) for message in golden_messages(12) for cut in range(1, len(message))]
        for message, cut in cuts:
            with daemon.connect() as sock:
                if how == "reset":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.sendall(message[:cut])
        # A reset may overtake what it throws away; what is closed properly must arrive and be counted.
        if how == "closed":
            wait_until(lambda: daemon.counters()["truncated"] == len(cuts), what="every cut counted")
        wait_until(lambda: daemon.counters()["open"] == 1 and daemon.fds() <= descriptors, what="everything closed")
        after = daemon.counters()
        asked = after["messages"] - before["messages"]
        assert asked == after["replies"] - before["replies"] and after["errors"] == before["errors"]
        assert asked < len(cuts)  # only the questions for the counters themselves
        show(f"cut and {how}", cuts=len(cuts), handler_runs=0, truncated=after["truncated"])


def test_golden_messages_split_at_every_byte_get_the_same_reply(daemon):
    """The daemon reads the first part before the second is sent: another connection is answered in between."""
    messages = golden_messages(12)
    splits = 0
    with daemon.connect() as sock, daemon.connect() as other, daemon.connect() as third:
        for message in messages:
            sock.sendall(message)
            whole = recv_body(sock)
            for at in range(1, len(message), 1 if len(message) < 300 or FULL else 7):
                sock.sendall(message[:at])
                assert works(other) and works(third)  # one of them is served by the thread that serves this one
                sock.sendall(message[at:])
                assert recv_body(sock) == whole, f"split at {at}: {message!r}"
                splits += 1
    show("split golden messages", messages=len(messages), splits=splits, replies_unlike_the_whole=0)


def expected_echo(body):
    """What a message means by Python's own json and base64; None when it is no good request for echo."""
    try:
        message = json.loads(body.decode(), object_pairs_hook=without_repetitions, parse_constant=refuse)
        array = np.frombuffer(base64.b64decode(message["tensor"], validate=True), message["dtype"].lower())
        return message["dtype"].lower(), message["shape"], array.reshape(message["shape"]).tobytes()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def without_repetitions(pairs):
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a member stands twice")
    return dict(pairs)


def refuse(name):
    raise ValueError(name)


def test_flipped_bytes_give_a_typed_error_or_what_the_message_now_says():
    rng, flips = random.Random(SEED), size(20000, 1000000)
    body = json.dumps(
        {"id": 1, "handler": "echo", "shape": [4, 4], "dtype": "float32", "tensor": tensor(X)["tensor"]}
    ).encode()
    accepted = 0
    with Daemon(log_level="error") as daemon, daemon.connect() as sock:
        for start in range(0, flips, 200):
            batch = []
            for _ in range(min(200, flips - start)):
                flipped = bytearray(body)
                for _ in range(rng.choice((1, 1, 1, 2, 5))):
                    flipped[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
                batch.append(bytes(flipped))
            sock.sendall(b"".join(map(framed, batch)))
            for flipped in batch:
                if b"oneway" in flipped:
                    continue
                reply, meant = recv_frame(sock), expected_echo(flipped)
                context = f"seed {SEED}, message {flipped!r}, reply {reply!r}"
                if reply["status"] == "error":
                    assert reply["error"]["code"] in (
                        "bad_json",
                        "bad_message",
                        "bad_base64",
                        "bad_dtype",
                        "bad_shape",
                        "size_mismatch",
                        "unknown_handler",
                        "value_out_of_range",
                    ), context
                    continue
                accepted += 1
                if "result" in reply:  # the handler's own name was hit, and the default answered
                    continue
                (item,) = reply["tensors"]
                assert meant is not None and (item["dtype"], item["shape"]) == meant[:2], context
                assert base64.b64decode(item["tensor"]) == meant[2], context
        show("flipped messages", seed=SEED, flips=flips, accepted=accepted)


def frames(data):
    while data:
        length = int.from_bytes(data[:4], "big")
        yield json.loads(data[4 : 4 + length])
        data = data[4 + length :]


def test_flipped_prefixes_end_in_an_error_or_wait_for_more():
    body = framed({"id": 1, "handler": "echo", **tensor(X)})
    with Daemon(log_level="error") as daemon, daemon.connect() as other:
        for bit in range(32):
            flipped = bytearray(body)
            flipped[bit // 8] ^= 0x80 >> bit % 8
            with daemon.connect() as sock:
                sock.sendall(flipped)
                sock.shutdown(socket.SHUT_WR)
                answer = recv_all(sock)
            if not answer.startswith(b"HTTP/1.1 400"):
                assert all(reply["status"] == "error" for reply in frames(answer))
            assert works(other)
