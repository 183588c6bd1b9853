"""What a hostile or broken sender cannot do. Sizes suit a quick run; TENSORD_FULL=1 takes those that are promised."""

import contextlib
import os
import resource
import select
import signal
import socket
import struct
import threading
import time

import numpy as np
import pytest
from harness import Daemon, call, framed, is_sanitized, recv_frame, send_frame, tensor, to_array, wait_until

FULL = bool(os.environ.get("TENSORD_FULL"))
X = np.arange(16, dtype=np.float32)
MIB = 1 << 20


def size(quick, full):
    return full if FULL else quick


@pytest.fixture(autouse=True, scope="module")
def many_descriptors():
    """Thousands of clients live in this process; the daemon inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 40000) if hard != resource.RLIM_INFINITY else 40000
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def connections(daemon, count):
    socks = []
    try:
        for _ in range(count):
            socks.append(daemon.connect())
        yield socks
    finally:
        for sock in socks:
            sock.close()


def works(sock):
    return to_array(call(sock, {"handler": "echo", **tensor(X)})["tensors"][0]).tolist() == X.tolist()


def latencies(sock, count):
    """Seconds of `count` small round trips, sorted."""
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        assert works(sock)
        times.append(time.perf_counter() - begin)
    return sorted(times)


def paced(sock, rounds):
    """Seconds of small round trips with pauses in between, as the tests make them that watch something meanwhile."""
    times = []
    for _ in range(rounds):
        times += latencies(sock, 100)
        time.sleep(0.05)
    return sorted(times)


def p99(times):
    return sorted(times)[len(times) * 99 // 100]


def show(what, **figures):
    print(
        what + ":",
        ", ".join(
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()
        ),
    )


def opened(daemon, count):
    wait_until(lambda: daemon.counters()["open"] >= count, 120, f"{count} open connections")


def test_idle_connections_cost_little_memory():
    count = size(2000, 10000)
    with Daemon("--max-connections", count + 10, log_level="info") as daemon, daemon.connect() as sock:
        alone = latencies(sock, 500)
        before = daemon.rss()
        with connections(daemon, count) as socks:
            opened(daemon, count)
            silent = (daemon.rss() - before) / count
            assert all(works(each) for each in socks)  # having spoken, a silent connection owns no more
            spoken = (daemon.rss() - before) / count
            beside = latencies(sock, 500)
        show(
            "idle connections",
            count=count,
            bytes_each=silent,
            bytes_each_after_a_request=spoken,
            p99_alone_ms=p99(alone) * 1e3,
            p99_beside_ms=p99(beside) * 1e3,
        )
        assert is_sanitized() or (silent <= 8 << 10 and spoken <= 8 << 10)


LIES = {
    "nothing told": b'{"id": 1',
    "a payload announced": b'{"dtype":"uint8","shape":[800000000],"tensor":"AAAA',
    "a list announced": b'{"dtype":"float64","shape":[100000000],"data":[1,',
    "an image announced": b'{"image":"iVBORw0K',
}


@pytest.mark.parametrize("lie", LIES)
def test_an_announced_gibibyte_costs_nothing(lie):
    count = 1000
    with Daemon("--max-frame", "1GiB", log_level="info") as daemon, daemon.connect() as sock:
        assert works(sock)
        before, begin = daemon.rss(), LIES[lie]
        with connections(daemon, count) as socks:
            opened(daemon, count)
            connected = daemon.rss()
            for each in socks:
                each.sendall(struct.pack(">I", 1 << 30) + begin)
            received = count * (4 + len(begin))
            wait_until(lambda: daemon.counters()["bytes_in"] >= received, what="all bytes received")
            assert works(sock)
            show(
                lie,
                connections=count,
                connected_KiB=(connected - before) >> 10,
                lied_KiB=(daemon.rss() - connected) >> 10,
            )
            # A payload that has begun may own one page of its buffer.
            assert is_sanitized() or daemon.rss() - connected <= (4 if lie == "nothing told" else 8) * MIB


class Watched:
    """Sockets, and when the peer closed each: by descriptor, in seconds from the beginning."""

    def __init__(self, socks):
        self.begin, self.cut, self.poll = time.monotonic(), {}, select.poll()
        for each in socks:
            self.poll.register(each, select.POLLIN)

    def look(self):
        for descriptor, _ in self.poll.poll(0):  # nothing else is sent to them
            self.cut[descriptor] = time.monotonic() - self.begin
            self.poll.unregister(descriptor)
        return len(self.cut)


def test_senders_that_trickle_are_cut_and_others_do_not_notice():
    """Half of them stop within the length, half send a byte a second within the body: those meet the deadline."""
    count, timeout = size(200, 5000), size(1, 10)
    with Daemon("--read-timeout", f"{timeout}s", log_level="info") as daemon, daemon.connect() as sock:
        alone = paced(sock, 20)
        with connections(daemon, count) as socks:
            for each in socks:
                each.sendall(b"\0\0")
            trickling, watched = socks[: count // 2], Watched(socks)
            for each in trickling:
                each.sendall(b"\1\0{")
            beside, sent = [], time.monotonic()

            def trickle():
                nonlocal sent
                beside.extend(latencies(sock, 100))
                if time.monotonic() - sent >= timeout / 10:
                    sent = time.monotonic()
                    for each in trickling:
                        with contextlib.suppress(OSError):
                            each.send(b" ")
                return watched.look() == count

            wait_until(trickle, 10 * timeout + 60, "all trickling senders cut", step=0.05)
            cuts = [[watched.cut[each.fileno()] for each in some] for some in (socks[count // 2 :], trickling)]
        show(
            "trickling senders",
            count=count,
            read_timeout_s=timeout,
            silent_cut_s=f"{min(cuts[0]):.2f} to {max(cuts[0]):.2f}",
            trickling_cut_s=f"{min(cuts[1]):.2f} to {max(cuts[1]):.2f}",
            p99_alone_ms=p99(alone) * 1e3,
            p99_beside_ms=p99(beside) * 1e3,
        )
        assert daemon.counters()["read_timeouts"] == count and works(sock)


def test_a_slow_but_steady_sender_stays():
    body = framed({"id": 1, "handler": "echo", **tensor(np.zeros(3000, np.uint8))})
    with Daemon("--read-timeout", "300ms") as daemon, daemon.connect() as sock:
        for at in range(0, len(body), 200):  # pauses below the timeout, together far above it
            sock.sendall(body[at : at + 200])
            select.select([], [], [], 0.05)
        assert recv_frame(sock)["id"] == 1


HOSTILE_JSON = {
    **{f"{n} arrays deep": b'{"x":' + b"[" * n + b"]" * n + b"}" for n in (100, 1000, 10**4, 10**5, 10**6)},
    **{f"{n} objects deep": b'{"x":' * n + b"1" + b"}" * n for n in (100, 1000, 10**4, 10**5, 10**6)},
    "deep in params": b'{"params":{"x":' + b"[" * 10**5 + b"]" * 10**5 + b"}}",
    "deep in data": b'{"handler":"echo","data":' + b"[" * 10**6 + b"]" * 10**6 + b"}",
    "deep and open": b'{"x":' + b"[" * 10**6,
    "a million commas": b'{"data":[' + b"," * 10**6 + b"]}",
    "a long key": b'{"' + b"k" * (2 * MIB) + b'":1}',
    "a long id": b'{"id":"' + b"i" * (2 * MIB) + b'"}',
    "a long number": b'{"id":' + b"1" * 10**6 + b"}",
    "a huge exponent": b'{"handler":"echo","data":[1e' + b"9" * 10**5 + b"]}",
    "a long fraction": b'{"handler":"echo","data":[0.' + b"0" * 10**6 + b'1],"dtype":"float32"}',
}


@pytest.mark.parametrize("what", HOSTILE_JSON)
def test_hostile_json_is_refused_and_the_connection_goes_on(daemon, what):
    with daemon.connect() as sock:
        begin = time.perf_counter()
        sock.sendall(framed(HOSTILE_JSON[what]))
        reply = recv_frame(sock)
        show(what, seconds=time.perf_counter() - begin)
        assert reply["status"] == "error" and len(reply["error"]["message"]) < 1000
        assert reply["error"]["code"] in ("bad_json", "bad_message", "bad_shape", "value_out_of_range")
        assert works(sock)


def test_a_hundred_thousand_members_are_read_or_refused(daemon):
    members = ",".join(f'"m{i}":{i}' for i in range(100000))
    with daemon.connect() as sock:
        for text in (f'{{"handler":"info",{members}}}', f'{{"handler":"info","params":{{{members}}}}}'):
            sock.sendall(framed(text.encode()))
            assert recv_frame(sock)["status"] in ("ok", "error") and works(sock)


def test_readers_that_do_not_read_are_dropped_and_memory_stays_bounded():
    count, reply_size, budget = size(24, 100), size(8, 64) * MIB, size(96, 1024) * MIB
    with Daemon("--memory", budget, "--write-timeout", "1s", log_level="info") as daemon, daemon.connect() as sock:
        alone, beside = paced(sock, 20), []
        before = daemon.rss()
        request = framed({"handler": "echo", **tensor(np.zeros(reply_size // 4, np.float32))})
        peak = 0

        def stall(stalled):
            with contextlib.suppress(OSError):
                stalled.sendall(request)

        with connections(daemon, count) as socks:
            senders = [threading.Thread(target=stall, args=(s,)) for s in socks]
            for sender in senders:
                sender.start()

            def dropped():
                nonlocal peak
                peak = max(peak, daemon.rss() - before)
                if not any(sender.is_alive() for sender in senders):  # they share this process's interpreter
                    beside.extend(latencies(sock, 100))
                counters = call(sock, {"handler": "info"})["result"]["counters"]
                return counters["slow_readers"] + counters["errors"]["overloaded"] >= count

            wait_until(dropped, 120, "all stalled readers dropped", step=0.05)
            for sender in senders:
                sender.join()
        show(
            "stalled readers",
            count=count,
            reply_MiB=reply_size // MIB,
            budget_MiB=budget // MIB,
            peak_MiB=peak // MIB,
            p99_alone_ms=p99(alone) * 1e3,
            p99_beside_ms=p99(beside) * 1e3 if beside else 0.0,
        )
        assert (is_sanitized() or peak <= 1.15 * budget) and works(sock)


def test_senders_beyond_the_memory_are_answered_or_refused_and_none_is_lost():
    count, each, budget = size(48, 400), size(8, 64) * MIB, size(64, 512) * MIB
    with Daemon("--memory", budget, log_level="info") as daemon, daemon.connect() as sock:
        assert works(sock)
        before, outcomes = daemon.rss(), []
        request = framed({"handler": "discard", **tensor(np.ones(each, np.uint8))})
        gate = threading.Semaphore(64)  # as many senders at once as this process has threads to spare

        def send():
            with gate, daemon.connect(timeout=300) as mine:
                mine.sendall(request)
                reply = recv_frame(mine)
                outcomes.append(reply["result"]["nbytes"] if reply["status"] == "ok" else reply["error"]["code"])

        senders = [threading.Thread(target=send) for _ in range(count)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        peak = daemon.peak() - before
        show(
            "senders beyond the memory",
            count=count,
            MiB_each=each // MIB,
            budget_MiB=budget // MIB,
            peak_MiB=peak // MIB,
            answered=outcomes.count(each),
            refused=outcomes.count("overloaded"),
        )
        assert len(outcomes) == count and set(outcomes) <= {each, "overloaded"} and outcomes.count(each) > 0
        assert (is_sanitized() or peak <= 1.15 * budget) and works(sock)


# What a message holds besides its payloads' bytes: each of these becomes many times as large in memory.
SMALL_THINGS = {
    "text": b'{"x":"' + b"x" * 1_000_000,
    "members": b'{"x":{' + b",".join(b'"%d":1' % i for i in range(80000)),
    "lists": b'{"tensors":[' + b'{"data":[1]},' * 1000,
    "lists of strings": b'{"tensors":[' + b'{"data":["a"]},' * 1000,
    "base64": b'{"tensors":[' + b'{"tensor":"AAAA"},' * 1000,
}


@pytest.mark.parametrize("what", SMALL_THINGS)
def test_messages_of_many_small_things_stay_within_the_memory(what):
    count, budget = size(300, 2000), size(64, 512) * MIB
    with Daemon("--memory", budget, log_level="error") as daemon, daemon.connect() as sock:
        assert works(sock)
        before = daemon.rss()
        with connections(daemon, count) as socks:
            opened(daemon, count)
            sent = []

            def send(each):
                each.settimeout(1)  # the daemon stops reading when it has no more memory
                with contextlib.suppress(OSError):
                    each.sendall(struct.pack(">I", 3 * MIB) + SMALL_THINGS[what])
                    sent.append(each)

            for at in range(0, count, 50):
                senders = [threading.Thread(target=send, args=(each,)) for each in socks[at : at + 50]]
                for sender in senders:
                    sender.start()
                for sender in senders:
                    sender.join()
            peak = daemon.peak() - before
            show(what, connections=count, sent=len(sent), budget_MiB=budget // MIB, peak_MiB=peak // MIB)
        wait_until(lambda: works_again(sock), what="room for others")
        assert is_sanitized() or peak <= 1.15 * budget


def works_again(sock):
    reply = call(sock, {"handler": "echo", **tensor(X)})
    assert reply["status"] == "ok" or reply["error"]["code"] == "overloaded"
    return reply["status"] == "ok"


def test_unread_replies_count():
    """Short requests without end, whose replies nobody reads: a connection may hold some hundred of them, charged."""
    count, budget = size(20, 200), 256 * MIB
    with Daemon("--memory", budget, log_level="error") as daemon, daemon.connect() as sock:
        assert works(sock)
        before = daemon.rss()
        request = framed({"handler": "echo", **tensor(X)}) * 1000
        with connections(daemon, count) as socks:
            for each in socks:
                each.setblocking(False)
            idle_since, left = time.monotonic(), dict.fromkeys(socks, request)
            while time.monotonic() - idle_since < 1:
                for each in socks:
                    with contextlib.suppress(BlockingIOError):
                        left[each] = left[each][each.send(left[each]) :] or request
                        idle_since = time.monotonic()
            held = call(sock, {"handler": "info"})["result"]["memory_used"]
            grown = daemon.rss() - before
            each_KiB = {"charged_KiB_each": held // count >> 10, "rss_KiB_each": grown // count >> 10}
            show("unread replies", connections=count, **each_KiB)
            assert held > 0 and (is_sanitized() or grown <= held + 8 * MIB + count * (256 << 10))
        wait_until(lambda: call(sock, {"handler": "info"})["result"]["memory_used"] == 0, what="all of it released")


@pytest.mark.skipif(not FULL, reason="takes a minute and a half: TENSORD_FULL=1")
def test_an_idle_daemon_gives_its_memory_back():
    with Daemon(log_level="error") as daemon, daemon.connect() as sock:
        assert works(sock)
        before = daemon.rss()
        for _ in range(4):
            assert call(sock, {"handler": "discard", **tensor(np.ones(64 * MIB, np.uint8))})["status"] == "ok"
        warm = daemon.rss()
        wait_until(lambda: daemon.rss() < before + 8 * MIB, 90, "the memory given back", step=1)
        show("idle", before_MiB=before // MIB, warm_MiB=warm // MIB, then_MiB=daemon.rss() // MIB)
        assert warm > before + 32 * MIB


def test_out_of_descriptors_it_waits_without_spinning_and_recovers():
    limit, count = size(64, 256), size(200, 1000)
    with Daemon(
        log_level="info", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    ) as daemon:
        with daemon.connect() as sock:
            assert works(sock)
            with connections(daemon, count):
                wait_until(lambda: daemon.fds() >= limit - 1, what="the descriptors used up")
                cpu, begin = daemon.cpu_seconds(), time.monotonic()
                select.select([], [], [], 1.5)
                share = (daemon.cpu_seconds() - cpu) / (time.monotonic() - begin)
                assert works(sock)
            begin = time.monotonic()
            wait_until(lambda: accepts(daemon), 60, "new connections accepted again")
            show("out of descriptors", limit=limit, clients=count, cpu_share=share, recovery_s=time.monotonic() - begin)
            assert is_sanitized() or share <= 0.1
            lines = [line for line in daemon.log().splitlines() if "cannot accept" in line]
            assert 1 <= len(lines) <= 2 + (time.monotonic() - begin + 5)  # about one a second


def accepts(daemon):
    try:
        with daemon.connect(timeout=5) as fresh:
            return works(fresh)
    except OSError:
        return False


def sending_child(daemon):
    """A process that sends a frame that never ends; returns its id when a good part of it is sent."""
    sending, tell = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            sock = daemon.connect()
            sock.sendall(struct.pack(">I", 200 * MIB) + b'{"handler":"echo","dtype":"uint8","shape":[99],"tensor":"')
            sock.sendall(b"A" * MIB)
            os.write(tell, b"!")
            while True:
                sock.sendall(b"A" * MIB)
        os._exit(0)
    os.close(tell)
    assert os.read(sending, 1) == b"!"
    os.close(sending)
    return child


def test_clients_killed_in_the_middle_of_a_frame_leave_nothing():
    count = size(40, 1000)
    with Daemon(log_level="warning") as daemon:
        assert daemon.counters()["open"] == 1
        descriptors = daemon.fds()
        for _ in range(count):
            child = sending_child(daemon)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        wait_until(lambda: daemon.counters()["open"] == 1, what="all their connections closed")
        wait_until(lambda: daemon.fds() <= descriptors, what="their descriptors closed")
        counters = daemon.counters()
        # What the system drops with a sender that is gone comes as silence.
        assert counters["truncated"] + counters["read_timeouts"] == count, counters
        assert sum(counters["errors"].values()) == 0 and accepts(daemon)
        show("killed clients", count=count, truncated=counters["truncated"], rss_MiB=daemon.rss() // MIB)


def test_a_flood_of_bad_messages_does_not_flood_the_log():
    bad = framed({"handler": "nonsense", "data": [1]})
    with Daemon(log_level="info") as daemon, daemon.connect() as sock:
        for _ in range(20):
            sock.sendall(bad * 500)
            for _ in range(500):
                assert recv_frame(sock)["error"]["code"] == "unknown_handler"
        assert daemon.counters()["errors"]["unknown_handler"] == 10000
        assert len(daemon.log().splitlines()) < 2000


def test_what_senders_write_cannot_forge_lines_of_the_log(daemon):
    evil = "x\n2030-01-01 00:00:00.000 error forged \x1b[31m\x00"
    with daemon.connect() as sock:
        assert call(sock, {"handler": evil, "data": [1]})["status"] == "error"
        call(sock, {"handler": "echo", "data": [1], "dtype": evil})
        call(sock, {"handler": "stats", "tensors": [{"name": evil, "data": [1]}]})
    log = daemon.wait_for_log("forged")
    assert not any(line.startswith("2030") for line in log.splitlines()) and "\x1b" not in log and "\0" not in log


def test_a_token_guess_is_refused_before_its_handler_runs(tmp_path):
    (tmp_path / "token").write_text("correct horse\n")
    (tmp_path / "out").mkdir()
    with Daemon("--token-file", tmp_path / "token", "--save-dir", tmp_path / "out") as daemon:
        for guess in ("", "correct", "correct horse ", "CORRECT HORSE", "\0" * 13):
            with daemon.connect() as sock:
                send_frame(sock, {"handler": "save", "auth": guess, "tensors": [tensor(X, "x")]})
                assert recv_frame(sock)["error"]["code"] == "unauthorized"
        assert not list((tmp_path / "out").iterdir())
