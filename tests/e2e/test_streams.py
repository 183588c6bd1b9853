"""Connections as they happen: pipelines, many at once, huge tensors, cuts anywhere, strangers, the daemon's end."""

import base64
import fcntl
import json
import os
import re
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import numpy as np
import pytest
from harness import (
    Daemon,
    build_file,
    call,
    ended,
    framed,
    is_sanitized,
    recv_all,
    recv_exactly,
    recv_frame,
    send_frame,
    tensor,
    to_array,
    wait_until,
)

X = np.arange(12, dtype=np.float32).reshape(3, 4)


def echo(id, array=X):
    return {"id": id, "handler": "echo", **tensor(array)}


def in_parallel(count, work):
    """Runs work(i) in as many threads and raises the first failure."""
    failures = []

    def guarded(i):
        try:
            work(i)
        except BaseException as error:  # noqa: BLE001 - handed on below
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_a_thousand_pipelined_requests_are_answered_in_order(daemon):
    with daemon.connect() as sock:
        stream = b"".join(framed(echo(i, np.array(i))) for i in range(1000))
        sender = threading.Thread(target=sock.sendall, args=(stream,))
        sender.start()
        for i in range(1000):
            reply = recv_frame(sock)
            assert reply["id"] == i and to_array(reply["tensors"][0]) == i
        sender.join()


def test_order_holds_when_quick_and_slow_handlers_and_errors_mix(daemon):
    large = np.zeros(1 << 18)
    requests = [
        {"id": i, "handler": ("echo", "stats", "nonsense", "discard")[i % 4], **tensor(large if i % 12 == 1 else X)}
        for i in range(120)
    ]
    with daemon.connect() as sock:
        sender = threading.Thread(target=sock.sendall, args=(b"".join(map(framed, requests)),))
        sender.start()
        replies = [recv_frame(sock) for _ in requests]
        sender.join()
    assert [r["id"] for r in replies] == list(range(120))
    assert [r["status"] for r in replies] == ["error" if i % 4 == 2 else "ok" for i in range(120)]


def test_a_half_closed_sender_gets_all_its_replies(daemon):
    with daemon.connect() as sock:
        sock.sendall(b"".join(framed({"id": i, "handler": "stats", **tensor(np.zeros(20000))}) for i in range(50)))
        sock.shutdown(socket.SHUT_WR)
        assert [recv_frame(sock)["id"] for _ in range(50)] == list(range(50))
        assert ended(sock)


def test_fifty_connections_at_once(daemon):
    def talk(i):
        rng = np.random.default_rng(i)
        with daemon.connect() as sock:
            for n in range(20):
                array = rng.integers(-1000, 1000, rng.integers(0, 30000), np.int32)
                reply = call(sock, echo(f"{i}.{n}", array))
                assert reply["id"] == f"{i}.{n}" and (to_array(reply["tensors"][0]) == array).all()

    in_parallel(50, talk)


def test_a_slow_sender_does_not_hold_up_others(daemon):
    body = framed(echo("slow"))
    with daemon.connect() as slow, daemon.connect() as quick:
        for at in range(len(body) - 1):
            slow.sendall(body[at : at + 1])
            if at % 10 == 0:
                assert call(quick, echo(at))["id"] == at
        slow.sendall(body[-1:])
        assert recv_frame(slow)["id"] == "slow"


def test_every_cut_of_a_message_gives_the_same_reply(daemon):
    """Over a real socket, in two pieces at every offset, each piece read by the daemon before the next is sent."""
    body = framed(
        {"id": 1, "handler": "echo", "tensors": [tensor(X, "a"), {"name": "b", "data": [1, 2.5]}], "params": {"x": [1]}}
    )
    with daemon.connect() as sock:
        sock.sendall(body)
        expected = recv_frame(sock)
        for cut in range(1, len(body)):
            sock.sendall(body[:cut])
            sock.sendall(body[cut:])
            assert recv_frame(sock) == expected
        for step in (1, 2, 3, 7, 64):
            for at in range(0, len(body), step):
                sock.sendall(body[at : at + step])
            assert recv_frame(sock) == expected


def large_round_trip(sock, array):
    """Sends the array for echo piece by piece and compares the reply piece by piece, holding neither text."""
    data = memoryview(array).cast("B")
    head = f'{{"handler":"echo","dtype":"uint8","shape":[{len(data)}],"tensor":"'.encode()
    text = (len(data) + 2) // 3 * 4
    piece = 3 << 20
    sock.sendall(struct.pack(">I", len(head) + text + 2) + head)

    def send():
        for at in range(0, len(data), piece):
            sock.sendall(base64.b64encode(data[at : at + piece]))
        sock.sendall(b'"}')

    sender = threading.Thread(target=send)
    sender.start()
    (length,) = struct.unpack(">I", recv_exactly(sock, 4))
    reply_head = b'{"status":"ok","tensors":[{"dtype":"uint8","shape":[%d],"tensor":"' % len(data)
    assert length == len(reply_head) + text + 4 and recv_exactly(sock, len(reply_head)) == reply_head
    for at in range(0, len(data), piece):
        expected = data[at : at + piece]
        got = base64.b64decode(recv_exactly(sock, (len(expected) + 2) // 3 * 4), validate=True)
        assert got == expected, f"the bytes from {at} on differ"
    assert recv_exactly(sock, 4) == b'"}]}'
    sender.join()


def random_bytes(mebibytes):
    return np.random.default_rng(mebibytes).integers(0, 2**64, mebibytes << 17, np.uint64, endpoint=False)


def test_a_tensor_of_180_mebibytes(daemon):
    with daemon.connect() as sock:
        large_round_trip(sock, random_bytes(180))


def test_a_tensor_of_700_mebibytes_with_the_frame_limit_raised():
    with Daemon("--max-frame", "1GiB", "--memory", "2GiB") as daemon, daemon.connect() as sock:
        before = daemon.rss()
        large_round_trip(sock, random_bytes(700))
        # The payload and its reply share one buffer: base64 is made while it is sent.
        assert is_sanitized() or daemon.peak() - before < 740 << 20
        assert call(sock, echo(1))["status"] == "ok"


def test_a_large_tensor_costs_its_own_size_and_little_more():
    with Daemon() as fresh, fresh.connect() as sock:
        call(sock, echo(0))
        before = fresh.rss()
        fresh.reset_peak()
        array = random_bytes(190)
        send_frame(sock, {"handler": "discard", **tensor(array)})
        assert recv_frame(sock)["result"]["nbytes"] == array.nbytes
        assert is_sanitized() or fresh.peak() - before <= array.nbytes + (8 << 20)


# Senders that die, and strangers.


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
def test_a_sender_that_dies_half_way_is_counted_and_hurts_nobody(daemon, how):
    message = framed(echo("never"))
    before, descriptors = daemon.counters(), daemon.fds()
    cuts = range(1, len(message), 3)
    for cut in cuts:
        with daemon.connect() as sock:
            sock.sendall(message[:cut])
            if how == "reset":
                # Reset only when it has read: a reset throws away what it has not.
                wait_until(lambda: unread(daemon, sock) == 0, what="the daemon reading")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif how == "half-close":
                sock.shutdown(socket.SHUT_WR)
                assert recv_all(sock) == b""
    wait_until(lambda: daemon.counters()["truncated"] >= before["truncated"] + len(cuts), what="all cuts counted")
    wait_until(lambda: daemon.fds() <= descriptors, what="their descriptors closed")
    after = daemon.counters()
    assert after["errors"] == before["errors"] and after["truncated"] == before["truncated"] + len(cuts)


def unread(daemon, sock):
    """Bytes that this client sent and the daemon has not received yet, by the kernel's table of sockets."""
    mine, theirs = (f"0100007F:{port:04X}" for port in (sock.getsockname()[1], daemon.port))
    queued = 0
    for line in open("/proc/net/tcp"):
        fields = line.split()
        if fields[1:3] == [theirs, mine]:
            queued += int(fields[4].split(":")[1], 16)
        elif fields[1:3] == [mine, theirs]:
            queued += int(fields[4].split(":")[0], 16)
    return queued


STRANGERS = {
    "HTTP GET": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 400"),
    "HTTP POST of a real request": (
        b"POST / HTTP/1.1\r\nContent-Length: 60\r\n\r\n" + json.dumps(echo(1)).encode(),
        b"HTTP/1.1 400",
    ),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"HTTP/1.1 400"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400"),
    "a shell": (b"echo hello\n", b"HTTP/1.1 400"),
    "Redis PING": (b"*1\r\n$4\r\nPING\r\n", b"\0\0"),
    "NUL bytes": (bytes(64), b"\0\0"),
    "0xFF bytes": (b"\xff" * 64, b"\0\0"),
    "TLS hello": (bytes.fromhex("16030100c8010000c40303") + bytes(range(100)), b"\0\0"),
    "SMB": (b"\0\0\0\x85\xffSMBr" + bytes(128), b"\0\0"),
    "SMB 2": (b"\0\0\0\x40\xfeSMB@" + bytes(59), b"\0\0"),
}


def told(answer):
    """What a stranger was answered: the sentence of an HTTP reply, or the code of an error in a frame."""
    if not answer.startswith(b"HTTP"):
        return json.loads(answer[4:])["error"]["code"]
    head, body = answer.split(b"\r\n\r\n", 1)
    (length,) = [int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")]
    assert len(body) == length and b"text/plain" in head
    return body.decode()


@pytest.mark.parametrize("name", STRANGERS)
def test_other_protocols_are_told_so_and_closed_and_run_no_handler(daemon, name):
    hello, begins = STRANGERS[name]
    before, seconds = daemon.counters(), []
    for _ in range(20):
        with daemon.connect() as sock:
            begin = time.perf_counter()
            sock.sendall(hello)
            answer = recv_all(sock)  # to the end: the daemon closes, not this side
            seconds.append(time.perf_counter() - begin)
        assert answer.startswith(begins)
        codes = ("bad_frame", "frame_too_large")
        assert "tensord" in told(answer) if begins.startswith(b"HTTP") else told(answer) in codes
    after = daemon.counters()
    refused = sum(after["errors"].values()) - sum(before["errors"].values())
    handler_runs = after["replies"] - before["replies"] - refused - 1  # but for the question for the counters
    seconds.sort()
    print(f"{name}: closed within {seconds[10] * 1e3:.2f} ms (median), {seconds[-1] * 1e3:.2f} ms (slowest of 20)")
    assert handler_runs == 0 and refused + after["http"] - before["http"] == 20
    assert not os.environ.get("TENSORD_FULL") or seconds[10] <= 0.01
    with daemon.connect() as sock:
        assert call(sock, echo(1))["status"] == "ok"


def test_a_thousand_connections_that_come_and_go_leave_nothing(daemon):
    with daemon.connect() as sock:
        call(sock, echo(1))
    wait_until(lambda: daemon.counters()["open"] == 1, what="only the connection that asks")
    descriptors = daemon.fds()
    for i in range(1000):
        with daemon.connect() as sock:
            if i % 3:
                assert call(sock, echo(i))["id"] == i
    wait_until(lambda: daemon.fds() <= descriptors, what="all descriptors closed")


# Handlers of a program that embeds the library.


@pytest.fixture
def embedded():
    """The example server, on a free port."""
    program = build_file("TENSORD_EXAMPLE_EMBED", "server/example_server_embed")
    process = subprocess.Popen([program, "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    try:
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        yield lambda: socket.create_connection(("127.0.0.1", port), timeout=60)
    finally:
        process.kill()
        process.communicate()


def test_a_handler_of_ones_own_and_what_it_throws(embedded):
    def dot(a, b):
        return {"id": 1, "tensors": [tensor(np.array(a), "a"), tensor(np.array(b), "b")]}

    with embedded() as sock:
        assert call(sock, dot(np.float32([1, 2]), np.float32([3, 4])))["result"] == {"dot": 11}
        error = call(sock, dot(np.float32([1, 2]), np.float32([3])))["error"]
        assert error["code"] == "handler_failed" and "differ in length" in error["message"]
        error = call(sock, dot(np.float32([1]), np.float64([3])))["error"]
        assert error["code"] == "bad_dtype" and "float64" in error["message"] and "float32" in error["message"]
        assert error["at"] == "/tensors/1"
        error = call(sock, {"tensors": [tensor(np.float32([1]), "a")]})["error"]
        assert error["code"] == "bad_message" and '"b"' in error["message"]


def test_a_handler_that_sleeps_holds_up_only_its_own_connection(embedded):
    with embedded() as slow, embedded() as quick:
        for i in range(5):
            send_frame(slow, {"id": i, "handler": "later", **tensor(X)})
        request = {"tensors": [tensor(np.float32([2]), "a"), tensor(np.float32([3]), "b")]}
        answered = 0
        while not ready(slow):
            assert call(quick, request)["result"] == {"dot": 6}
            answered += 1
        assert answered > 0 and [recv_frame(slow)["id"] for _ in range(5)] == list(range(5))


def ready(sock):
    sock.settimeout(0)
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        sock.settimeout(60)


# The end of the daemon.


def test_sigterm_under_load_loses_no_received_request():
    with Daemon() as daemon:
        answered, refused = [0] * 8, [0] * 8

        def send(i):
            """Every request sent whole gets its reply, or the connection's end tells that it did not arrive."""
            rng = np.random.default_rng(i)
            with daemon.connect() as sock:
                for n in range(1 << 30):
                    array = rng.integers(0, 255, 1000 * (1 + n % 50), np.uint8)
                    try:
                        reply = call(sock, echo(n, array))
                    except (EOFError, OSError):
                        return
                    if reply["status"] == "error":
                        assert reply["error"]["code"] == "shutting_down" and ended(sock)
                        refused[i] += 1
                        return
                    assert reply["id"] == n and (to_array(reply["tensors"][0]) == array).all()
                    answered[i] += 1

        threads = [threading.Thread(target=send, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        wait_until(lambda: min(answered) > 2, what="a reply on every connection")
        begin, already = time.monotonic(), sum(answered)
        more = 5000 if os.environ.get("TENSORD_FULL") else 100
        wait_until(lambda: sum(answered) - already >= more, what=f"{more} more replies")
        rate = (sum(answered) - already) / (time.monotonic() - begin)
        daemon.signal(signal.SIGTERM)
        begin = time.monotonic()
        assert daemon.wait() == 0
        seconds = time.monotonic() - begin
        for thread in threads:
            thread.join()
        print(f"SIGTERM at {rate:.0f} requests/s: exit 0 after {seconds:.3f} s, every received request answered")
        assert seconds <= 10 and (rate >= 1000 or is_sanitized() or not os.environ.get("TENSORD_FULL"))
        assert count_at_end(daemon, "unanswered") == 0
        assert count_at_end(daemon, "replies") == sum(answered) + sum(refused)
        assert count_at_end(daemon, "messages") >= sum(answered)


def count_at_end(daemon, name):
    """A counter of the daemon's last line; those at zero do not stand there."""
    (found,) = re.findall(rf"\b{name} (\d+)", daemon.log().splitlines()[-1]) or ["0"]
    return int(found)


def unsent(sock):
    """Bytes that this client's system has not yet handed over to the daemon's."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]


def test_what_was_received_whole_before_sigterm_is_answered():
    """Requests that wait behind a large reply on the same connection, which is read only after the signal."""
    with Daemon("--in-flight", 1) as daemon, daemon.connect() as sock:
        requests = [echo(i, np.zeros(3 << 19)) if i == 0 else echo(i) for i in range(30)]
        sock.sendall(b"".join(map(framed, requests)))
        wait_until(lambda: unsent(sock) == 0, what="everything arriving")
        daemon.signal(signal.SIGTERM)
        daemon.wait_for_log("draining")
        assert [(recv_frame(sock)["id"], i) for i in range(30)] == [(i, i) for i in range(30)]
        assert ended(sock) and daemon.wait() == 0


def test_after_sigterm_nobody_new_is_accepted_and_idle_connections_end():
    with Daemon() as daemon, daemon.connect() as idle, daemon.connect() as used:
        assert call(used, echo(1))["status"] == "ok"
        daemon.signal(signal.SIGTERM)
        assert ended(idle) and ended(used)
        assert daemon.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            daemon.connect()


def test_a_second_signal_stops_at_once():
    with Daemon("--drain-timeout", "1h") as daemon, daemon.connect() as sock:
        send_frame(sock, echo(1, np.zeros(4 << 20)))  # its reply of 43 MB is not read: draining cannot end
        wait_until(lambda: unsent(sock) == 0, what="everything arriving")
        daemon.signal(signal.SIGTERM)
        daemon.wait_for_log("draining")
        daemon.signal(signal.SIGINT)
        assert daemon.wait(30) in (0, 1)


def test_the_port_file_and_the_log_name_the_port(daemon):
    assert str(daemon.port) in daemon.log() and os.path.exists(daemon.port_file)
