"""The receiving side of the raw-JSON dialect: messages back to back, without length prefixes, read in Python."""

import re

from .decode import as_reply, parse_message
from .errors import ConnectionLost, ProtocolError

_SPACE = b" \t\r\n"
_MARK = re.compile(rb'["{}\[\]]')


def receive(sock, max_message=256 << 20):
    """Yields every message that a connected peer sends as JSON objects back to back, until it closes, as Reply objects
    (`tensors`, `dtypes`, `id`). For a receiver of your own, fed by tensord's clients in their raw-JSON mode."""
    buffer, scanned, state = bytearray(), 0, _Scan()
    while chunk := sock.recv(1 << 18):
        buffer += chunk
        while (end := state.find_end(buffer, scanned)) is not None:
            yield as_reply(parse_message(bytes(buffer[:end])))
            del buffer[:end]
            scanned, state = 0, _Scan()
        scanned = len(buffer)
        if len(buffer) > max_message:
            raise ProtocolError(f"a message longer than {max_message} bytes")
    if bytes(buffer).strip(_SPACE):
        raise ConnectionLost(f"the peer closed in the middle of a message, after {len(buffer)} bytes of it")


class _Scan:
    """Finds where a JSON object ends, however its text is cut into pieces."""

    def __init__(self):
        self.depth = 0
        self.in_string = False
        self.escaped = False

    def find_end(self, text, start):
        """The offset behind the object's closing brace, or None when it is not in text[start:] yet."""
        at = start
        while at < len(text):
            if self.in_string:
                at = self._skip_string(text, at)
                continue
            mark = _MARK.search(text, at)
            if mark is None:
                return None
            at, byte = mark.end(), mark.group()
            self.in_string = byte == b'"'
            self.depth += (byte in b"{[") - (byte in b"}]")
            if self.depth == 0 and not self.in_string:
                return at
        return None

    def _skip_string(self, text, at):
        """Goes to the byte behind the string's closing quote, or to the end of the text."""
        if self.escaped:
            self.escaped = False
            return at + 1
        quote = text.find(b'"', at)
        backslash = text.find(b"\\", at, quote if quote >= 0 else len(text))
        if backslash >= 0:
            self.escaped = True
            return backslash + 1
        self.in_string = quote < 0
        return quote + 1 if quote >= 0 else len(text)
