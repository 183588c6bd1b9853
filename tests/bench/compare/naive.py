"""Tensors as JSON the way most Python programs do it: a socket, json, base64 and numpy, on both sides."""
import argparse
import base64
import collections
import json
import resource
import socket
import struct
import time

import numpy as np


def receive_exactly(sock, count):
    data = bytearray(count)
    view = memoryview(data)
    while view:
        got = sock.recv_into(view)
        if got == 0:
            raise EOFError
        view = view[got:]
    return data


def receive_message(sock):
    (length,) = struct.unpack(">I", receive_exactly(sock, 4))
    return json.loads(receive_exactly(sock, length))


def send_message(sock, message):
    body = json.dumps(message).encode()
    sock.sendall(struct.pack(">I", len(body)) + body)


def describe(array, **more):
    text = base64.b64encode(array).decode()
    return {"dtype": str(array.dtype), "shape": array.shape, "tensor": text, **more}


def to_array(message):
    raw = base64.b64decode(message["tensor"])
    return np.frombuffer(raw, message["dtype"]).reshape(message["shape"])


def serve():
    listener = socket.create_server(("127.0.0.1", 0))
    print("port", listener.getsockname()[1], flush=True)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with sock:
            try:
                while True:
                    message = receive_message(sock)
                    array = to_array(message)
                    send_message(sock, describe(array) if message["handler"] == "echo" else {"nbytes": array.nbytes})
            except EOFError:
                pass


class Link:
    def __init__(self, args):
        self.sock = socket.create_connection(("127.0.0.1", args.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.array = np.full(args.bytes // 4, 0.5, np.float32)
        self.echo = args.echo

    def send(self):
        send_message(self.sock, describe(self.array, handler="echo" if self.echo else "discard"))

    def receive(self):
        reply = receive_message(self.sock)
        if self.echo:
            to_array(reply)


def run(link, window, seconds):
    """Keeps the window full for that long, then takes the remaining replies."""
    starts, times = collections.deque(), []
    begin = time.perf_counter()
    while starts or time.perf_counter() < begin + seconds:
        while len(starts) < window and time.perf_counter() < begin + seconds:
            starts.append(time.perf_counter())
            link.send()
        if not starts:
            break
        link.receive()
        times.append(time.perf_counter() - starts.popleft())
    return times, time.perf_counter() - begin


def drive(args):
    link = Link(args)
    warm, _ = run(link, args.window, args.seconds / 4)
    times, seconds = run(link, args.window, args.seconds)
    used = resource.getrusage(resource.RUSAGE_SELF)
    p50, p99 = np.percentile(times, [50, 99]) * 1e6
    print(json.dumps({"messages": len(times), "seconds": seconds, "all_messages": len(warm) + len(times),
                      "p50_us": p50, "p99_us": p99, "cpu_seconds": used.ru_utime + used.ru_stime}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["serve", "drive"])
    parser.add_argument("--port", type=int)
    parser.add_argument("--echo", action="store_true")
    parser.add_argument("--bytes", type=int, default=64)
    parser.add_argument("--window", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1)
    args = parser.parse_args()
    serve() if args.verb == "serve" else drive(args)


if __name__ == "__main__":
    main()
