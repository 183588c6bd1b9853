"""One connection: bytes out in pieces, whole messages in, and never a deadlock between the two."""

import collections
import select
import socket
import struct
import time

from .errors import ConnectionLost, DeadlineExceeded, ProtocolError

HARD_MAX_FRAME = 1 << 30
_BUFFER = 256 * 1024
_READ, _WRITE = 1, 2


class Stream:
    """A non-blocking socket. It reads whenever it has to wait for writing: a server that waits until its replies are
    read would otherwise wait for ever for a client that waits until its request is read."""

    def __init__(self, host, port, deadline, framed=True):
        self._socket = _connect(host, port, deadline)
        self._framed = framed
        self._buffer = bytearray(_BUFFER)
        self._filled = 0
        self._body = None  # a message too long for the buffer, and how much of it is there
        self._have = 0
        self._lines = []  # the parts of an unfinished line (raw JSON)
        self._closed_by_peer = None
        self.ready = collections.deque()  # whole messages that nobody took yet

    def close(self):
        self._socket.close()

    def send(self, pieces, deadline, stop_at):
        """Sends all of the pieces; False when it gave up because `stop_at` messages had come in meanwhile, one of which
        must be the refusal of what is being sent."""
        for piece in pieces:
            view = memoryview(piece)
            while len(view):
                if len(self.ready) >= stop_at:
                    return False
                view = view[self._send_some(view, deadline) :]
        return True

    def _send_some(self, view, deadline):
        try:
            return self._socket.send(view)
        except BlockingIOError:
            if self._wait(_READ | _WRITE, deadline) & _READ:
                self._read_some()
            return 0
        except OSError as error:  # the server may have said why before it closed
            while self._closed_by_peer is None:
                if self._wait(_READ, deadline):
                    self._read_some()
            if self.ready:
                return len(view)
            raise ConnectionLost(f"the connection ended while a request was sent: {error}") from error

    def receive(self, deadline):
        """The next message's JSON."""
        while not self.ready:
            if self._closed_by_peer is not None:
                raise ConnectionLost(f"the connection ended before the reply: {self._closed_by_peer}")
            if not self._read_some():
                self._wait(_READ, deadline)
        return self.ready.popleft()

    def _wait(self, events, deadline):
        """Waits for any of the events and returns those that came."""
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise DeadlineExceeded("the deadline passed before the reply came")
        if self._closed_by_peer is not None:
            events &= _WRITE  # an ended stream is always readable
        read, write = events & _READ, events & _WRITE
        if hasattr(select, "poll"):  # select() refuses descriptors from 1024 on
            poll = select.poll()
            poll.register(self._socket, (select.POLLIN if read else 0) | (select.POLLOUT if write else 0))
            flags = sum(flag for _, flag in poll.poll(None if left is None else max(1, int(left * 1000))))
            ended = select.POLLHUP | select.POLLERR
            return (_READ if flags & (select.POLLIN | ended) else 0) | (_WRITE if flags & select.POLLOUT else 0)
        readable, writable, _ = select.select([self._socket] if read else [], [self._socket] if write else [], [], left)
        return (_READ if readable else 0) | (_WRITE if writable else 0)

    def _read_some(self):
        """Reads once, without waiting; False when there was nothing to read."""
        into = (
            memoryview(self._body)[self._have :] if self._body is not None else memoryview(self._buffer)[self._filled :]
        )
        try:
            count = self._socket.recv_into(into)
        except BlockingIOError:
            return False
        except OSError as error:
            self._closed_by_peer = str(error)
            return True
        if count == 0:
            self._closed_by_peer = "the server closed it"
        elif self._body is not None:
            self._grow_body(count)
        else:
            self._filled += count
            self._split_frames() if self._framed else self._split_lines()
        return True

    def _grow_body(self, count):
        self._have += count
        if self._have == len(self._body):
            self.ready.append(self._body)
            self._body = None

    def _split_frames(self):
        start = 0
        while self._filled - start >= 4:
            (length,) = struct.unpack_from(">I", self._buffer, start)
            if length > HARD_MAX_FRAME:
                raise ProtocolError(
                    f"a frame of {length} bytes was announced, beginning with "
                    f"{bytes(self._buffer[start : start + 16])!r}: is this a tensord?"
                )
            if start + 4 + length > self._filled:
                break
            self.ready.append(bytes(self._buffer[start + 4 : start + 4 + length]))
            start += 4 + length
        self._keep_rest(start)

    def _keep_rest(self, start):
        """Moves the beginning of an unfinished frame to where the rest of it is read to."""
        rest = bytes(self._buffer[start : self._filled])
        self._filled = 0
        if len(rest) >= 4 and (length := struct.unpack_from(">I", rest)[0]) + 4 > len(self._buffer):
            self._body = bytearray(length)
            self._have = len(rest) - 4
            self._body[: self._have] = rest[4:]
        else:
            self._buffer[: len(rest)] = rest
            self._filled = len(rest)

    def _split_lines(self):
        *whole, rest = bytes(self._buffer[: self._filled]).split(b"\n")
        self._filled = 0
        for line in whole:
            self.ready.append(b"".join([*self._lines, line]))
            self._lines = []
        if rest:
            self._lines.append(rest)


def _connect(host, port, deadline):
    left = None if deadline is None else max(0.001, deadline - time.monotonic())
    try:
        sock = socket.create_connection((host, port), timeout=left)
    except socket.timeout as error:
        raise DeadlineExceeded(f"{host}:{port} did not accept a connection in time") from error
    except OSError as error:
        raise ConnectionLost(
            f"no connection to {host}:{port}: {error.strerror or error} (is tensord running there?)"
        ) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return sock
