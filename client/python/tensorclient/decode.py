"""A reply's JSON as numpy arrays: long payloads go from the received bytes straight into their arrays."""

import binascii
import json

import numpy as np

from . import dtypes, lists
from .errors import ProtocolError, server_error
from .images import ImageFile

LONG_STRING = 4096  # payloads from here on never become Python strings
PIECE = 256 * 1024  # base64 characters decoded at a time: divisible by four, and at home in the cache


class Reply:
    """`result`: the handler's JSON (or None); `tensors`: name → array, unnamed ones under their index; `dtypes`: the
    same keys → the wire's dtype names; `id`. An image comes as an ImageFile with the dtype "image"."""

    def __init__(self, id, result, tensors, names):
        self.id = id
        self.result = result
        self.tensors = tensors
        self.dtypes = names

    @property
    def tensor(self):
        """The only tensor."""
        if len(self.tensors) != 1:
            raise ValueError(f"the reply has {len(self.tensors)} tensors: {list(self.tensors)}")
        return next(iter(self.tensors.values()))

    def __getitem__(self, key):
        return self.tensors[key]

    def to_torch(self, key):
        """One tensor as a torch tensor of its own dtype, bfloat16 and float8 included (needs torch)."""
        import torch

        array, name = self.tensors[key], self.dtypes[key]
        if name not in dtypes.BIT_DTYPES:
            return torch.from_numpy(array)
        bits = np.asarray(array).view(np.int16 if name == "bfloat16" else np.uint8)
        return torch.from_numpy(bits).view(getattr(torch, name))

    def __repr__(self):
        shown = ", ".join(f"{key!r}: {self.dtypes[key]}{list(np.shape(t))}" for key, t in self.tensors.items())
        return f"Reply(id={self.id!r}, result={self.result!r}, tensors={{{shown}}})"


def parse_reply(body):
    """The Reply in one message's bytes; raises the ServerError that it carries, or ProtocolError when it is none."""
    message = parse_message(body)
    if message.get("status") == "error" and isinstance(message.get("error"), dict):
        raise server_error(message["error"], message.get("id"))
    if message.get("status") != "ok":
        raise ProtocolError(f"a reply's status is \"ok\" or \"error\", got {message.get('status')!r}")
    return as_reply(message)


def as_reply(message):
    """The tensors of a parsed message (a reply, or a request that came to a receiver) as arrays."""
    items = message.get("tensors", [message] if any(k in message for k in ("tensor", "image", "data")) else [])
    tensors, names = {}, {}
    try:
        for i, item in enumerate(items):
            key = item.get("name", i)
            names[key], tensors[key] = to_array(item)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"tensor {i} cannot be read: {error}") from error
    return Reply(message.get("id"), message.get("result"), tensors, names)


def to_array(item):
    """(dtype name, array) of one tensor object."""
    if "image" in item:
        data = _base64_bytes(item["image"])
        return "image", ImageFile(data)
    name, shape = item["dtype"].rpartition(".")[2].lower(), item["shape"]  # a receiver also meets "torch.float32"
    if "data" in item:
        return name, lists.from_list(item["data"], name, shape)
    dtype = dtypes.BIT_DTYPES.get(name) or np.dtype(name)
    array = np.empty(shape, dtype)
    _decode_into(array.reshape(-1).view(np.uint8), item["tensor"])
    return name, dtypes.raw(array, name) if name in dtypes.BIT_DTYPES else array


def _base64_bytes(text):
    return binascii.a2b_base64(text, strict_mode=True) if _STRICT else binascii.a2b_base64(text)


_STRICT = True
try:
    binascii.a2b_base64(b"", strict_mode=True)
except TypeError:  # before Python 3.11
    _STRICT = False


def _decode_into(out, text):
    """Decodes base64 (str or bytes-like) to exactly the bytes of out."""
    text = memoryview(text.encode() if isinstance(text, str) else text)
    if len(text) != (len(out) + 2) // 3 * 4:
        raise ValueError(f"{len(out)} bytes are {(len(out) + 2) // 3 * 4} characters of base64, got {len(text)}")
    for start in range(0, len(text), PIECE):
        at = start // 4 * 3
        piece = np.frombuffer(_base64_bytes(text[start : start + PIECE]), np.uint8)
        out[at : at + PIECE // 4 * 3] = piece if len(piece) == len(out[at : at + PIECE // 4 * 3]) else _wrong_size()


def _wrong_size():
    raise ValueError("the base64 text is damaged: it ends too early or is padded in its middle")


def parse_message(body):
    """The JSON object in `body` (bytes or bytearray); long base64 strings in it become memoryviews of `body`."""
    try:
        message = _parse_with_views(body) if len(body) >= LONG_STRING else json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a message is a JSON object; this one cannot be read: {error}") from error
    if not isinstance(message, dict):
        raise ProtocolError(f"a message is a JSON object, got {type(message).__name__}")
    return message


def _parse_with_views(body):
    """Cuts the long payload strings out, parses the small rest, and puts views of them in their places.

    A bare NaN marks each place: strict JSON has none, and json hands them to parse_constant one after the other."""
    rest, payloads = _cut_payloads(body) if b'"tensor"' in body or b'"image"' in body else (b"", [])
    if not payloads:
        return json.loads(body)
    waiting = iter(payloads)
    message = json.loads(rest, parse_constant=lambda name: next(waiting) if name == "NaN" else _refuse(name))
    if next(waiting, None) is not None or _views_in_place(message) != len(payloads):
        return json.loads(body)  # a result has such members, too: leave everything a string
    return message


def _refuse(name):
    raise ValueError(f"{name} is not JSON")


def _views_in_place(message):
    items = message.get("tensors", []) if isinstance(message, dict) else []
    holders = [*(i for i in items if isinstance(i, dict)), message] if isinstance(items, list) else []
    return sum(isinstance(h.get(key), memoryview) for h in holders for key in ("tensor", "image"))


def _cut_payloads(data):
    """The text with every long string behind "tensor": or "image": replaced by NaN, and views of those strings."""
    view = memoryview(data)
    kept, payloads, copied, at = [], [], 0, 0
    while (opening := data.find(b'"', at)) >= 0:
        closing = _closing_quote(data, opening)
        if closing < 0:
            break
        if closing - opening > LONG_STRING and _is_payload(data, opening) and data.find(b"\\", opening, closing) < 0:
            kept += [view[copied:opening], b"NaN"]
            payloads.append(view[opening + 1 : closing])
            copied = closing + 1
        at = closing + 1
    return b"".join([*kept, view[copied:]]), payloads


def _closing_quote(data, opening):
    """Where the string that opens there closes: the first quote with an even number of backslashes before it."""
    closing = data.find(b'"', opening + 1)
    while closing > 0:
        backslashes = 1
        while data[closing - backslashes] == 0x5C:
            backslashes += 1
        if backslashes % 2 == 1:
            break
        closing = data.find(b'"', closing + 1)
    return closing


def _is_payload(data, opening):
    before = bytes(data[max(0, opening - 32) : opening]).rstrip()
    return before.endswith(b":") and before[:-1].rstrip().endswith((b'"tensor"', b'"image"'))
