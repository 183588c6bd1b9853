"""The client: calls, pipelines and one-way sends over one connection."""

import collections
import contextlib
import struct
import time

from .decode import parse_reply
from .encode import PIECE, Payload, request_pieces, total_length
from .errors import ConnectionLost, DeadlineExceeded, ProtocolError, ServerError
from .stream import HARD_MAX_FRAME, Stream

# After these the server closes the connection.
_CLOSING_CODES = ("bad_frame", "frame_too_large", "unauthorized", "shutting_down")


class Pending:
    """A request on its way. Its reply is read when somebody asks, or when the window needs room."""

    def __init__(self, client, id):
        self._client = client
        self._outcome = None
        self.id = id

    @property
    def done(self):
        return self._outcome is not None

    def result(self, timeout=None):
        """The Reply; raises the ServerError that came instead, or what became of the connection."""
        deadline = self._client._deadline(timeout)
        while not self.done:
            self._client._read_reply(deadline)
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


class Pipeline:
    """Sends requests without waiting for the replies of those before, at most `window` of them unanswered."""

    def __init__(self, client, window):
        if window < 1:
            raise ValueError(f"a window of {window} lets nothing through")
        self._client = client
        self._window = window

    def send(self, handler=None, *values, timeout=None, **tensors):
        """As Client.call, but returns a Pending at once, or as soon as the window has room."""
        deadline = self._client._deadline(timeout)
        while len(self._client._pending) >= self._window:
            self._client._read_reply(deadline)
        return self._client._submit(handler, values, tensors, deadline)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            self._client.close()  # the replies that are still to come would answer the wrong calls
            return
        deadline = self._client._deadline(None)
        while self._client._pending:
            self._client._read_reply(deadline)


class Client:
    """One connection to a tensord, made at the first call and again at the first call after it was lost. Not
    thread-safe: use one for each thread.

    timeout: seconds for one whole call (None: no limit). token: the server's token where it wants one.
    dialect: "framed", or "raw_json" for JSON without length prefixes.
    """

    def __init__(self, host="127.0.0.1", port=7733, timeout=30.0, token=None, dialect="framed"):
        if dialect not in ("framed", "raw_json"):
            raise ValueError(f'dialect is "framed" or "raw_json", not {dialect!r}')
        self._address = (host, port)
        self._timeout = timeout
        self._token = token
        self._framed = dialect == "framed"
        self._stream = None
        self._pending = collections.deque()
        self._next_id = 1

    def call(self, handler=None, *values, timeout=None, **tensors):
        """Sends one request and waits for its Reply.

        handler: its name (None: the server's default). Tensors come as keywords (x=array) or, without names, as further
        arguments. Anything goes that is a tensor or an image: numpy, torch, Pillow, TensorFlow, numbers, nested lists,
        ImageFile. These keywords are no tensors: params (a dict for the handler), encoding ("base64" or "list": how the
        reply's tensors come), send_as (likewise for those sent), image_format ("png" or "jpeg": how Pillow images are
        sent), tensors (a dict, for tensors whose names clash with these keywords).
        """
        deadline = self._deadline(timeout)
        return self._submit(handler, values, tensors, deadline).result(self._left(deadline))

    def send(self, handler=None, *values, timeout=None, **tensors):
        """Sends a one-way request: no reply ever comes, a failure is only counted and logged by the server."""
        self._submit(handler, values, tensors, self._deadline(timeout), oneway=True)

    def pipeline(self, window=8):
        """A Pipeline; used as a context manager it has read every reply at its end."""
        return Pipeline(self, window)

    def info(self):
        """Version, limits, handlers and counters of the server."""
        return self.call("info").result

    def close(self):
        """Closes the connection; what was not answered is lost."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._fail_pending(ConnectionLost("the client closed the connection"))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()

    def _deadline(self, timeout):
        timeout = self._timeout if timeout is None else timeout
        return None if timeout is None else time.monotonic() + timeout

    @staticmethod
    def _left(deadline):
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    def _submit(self, handler, values, tensors, deadline, oneway=False):
        members, options = self._members(handler, tensors, oneway)
        named = [*((None, v) for v in values), *tensors.items(), *options.pop("tensors", {}).items()]
        pieces = request_pieces(named, members, **options)
        length = total_length(pieces)
        if self._framed and length > HARD_MAX_FRAME:
            raise ValueError(f"the request takes {length} bytes, and no frame can be longer than {HARD_MAX_FRAME}")
        pending = Pending(self, members.get("id"))
        with self._closing_on_loss():
            if self._stream is None:
                self._stream = Stream(*self._address, deadline, self._framed)
            if not oneway:
                self._pending.append(pending)
            message = [struct.pack(">I", length), *pieces] if self._framed else [*pieces, b"\n"]
            if not self._stream.send(_coalesced(message), deadline, len(self._pending) + oneway):
                self._take_refusal(deadline)
        return pending

    def _take_refusal(self, deadline):
        """The server answered a request before it was sent whole; what it lacks can never follow."""
        while self._pending:
            self._read_reply(deadline)
        self._drop(ConnectionLost("the server refused the request before it was sent whole"))

    def _members(self, handler, tensors, oneway):
        """Takes what is no tensor out of the keywords: the request's members, and the options for its encoding."""
        members = {} if oneway else {"id": self._next_id}
        self._next_id += 1
        if handler is not None:
            members["handler"] = handler
        if self._token is not None:
            members["auth"] = self._token
        for key in ("params", "encoding"):
            if key in tensors:
                members[key] = tensors.pop(key)
        if oneway:
            members["oneway"] = True
        return members, {key: tensors.pop(key) for key in ("send_as", "image_format", "tensors") if key in tensors}

    def _read_reply(self, deadline):
        """Takes one message from the stream and settles the request that it answers."""
        if self._stream is None:
            raise ConnectionLost("the connection is closed")
        with self._closing_on_loss():
            outcome = _outcome(self._stream.receive(deadline))
            expected = self._pending[0].id if self._pending else None
            if outcome.id not in (expected, None):
                raise ProtocolError(f"a reply to request {outcome.id!r} came where {expected!r} was due")
        if self._pending:
            self._pending.popleft()._outcome = outcome
        if isinstance(outcome, ServerError) and outcome.code in _CLOSING_CODES:
            self._drop(ConnectionLost(f"the server closed the connection: {outcome}"))

    @contextlib.contextmanager
    def _closing_on_loss(self):
        """After any failure of the connection the replies no longer fit the requests: drops it and tells them all."""
        try:
            yield
        except (ConnectionLost, DeadlineExceeded, ProtocolError) as error:
            self._drop(error)
            raise
        except BaseException:
            self._drop(ConnectionLost("the call was interrupted"))
            raise

    def _drop(self, error):
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        error.unacknowledged = [p.id for p in self._pending]
        self._fail_pending(error)

    def _fail_pending(self, error):
        while self._pending:
            self._pending.popleft()._outcome = error


def _outcome(body):
    try:
        return parse_reply(body)
    except ServerError as error:
        return error


def _coalesced(pieces):
    """The bytes to send: small pieces joined, payloads encoded one cache-sized piece at a time."""
    small = bytearray()
    for piece in pieces:
        for part in piece.pieces() if isinstance(piece, Payload) else [piece]:
            small += part
            if len(small) >= PIECE:
                yield small
                small = bytearray()
    if small:
        yield small
