"""Whatever a caller has (numpy, torch, Pillow, lists, numbers, files) as pieces of one request."""

import binascii
import json
import os
import sys

import numpy as np

from . import dtypes, lists
from .images import ImageFile, looks_like_image

# Bytes encoded at a time: divisible by three, and with their base64 text still small enough for the cache.
PIECE = 192 * 1024


class Payload:
    """The base64 text of some bytes, made piece by piece while it is sent."""

    def __init__(self, data):
        self.data = data
        self.length = (len(data) + 2) // 3 * 4

    def pieces(self):
        for start in range(0, len(self.data), PIECE):
            yield binascii.b2a_base64(self.data[start : start + PIECE], newline=False)


def request_pieces(tensors, members, send_as="base64", image_format="png"):
    """The request as a list of bytes and Payloads. tensors: (name or None, object) pairs; members: the rest of it."""
    if send_as not in ("base64", "list"):
        raise ValueError(f'send_as is "base64" or "list", not {send_as!r}')
    items = [item_pieces(name, value, send_as, image_format) for name, value in tensors]
    text = _json(members)
    if not items:
        return [text]
    head = text[:-1] + (b"," if members else b"")
    if len(items) == 1 and tensors[0][0] is None:  # one tensor without a name stands directly in the request
        return [head + items[0][0][1:], *items[0][1:]]
    pieces = [head + b'"tensors":[']
    for i, item in enumerate(items):
        pieces += [b",", *item] if i else item
    return [*pieces, b"]}"]


def _json(value):
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def total_length(pieces):
    return sum(p.length if isinstance(p, Payload) else len(p) for p in pieces)


def item_pieces(name, value, send_as="base64", image_format="png"):
    """One tensor object as pieces, from `{` to `}`."""
    members = {} if name is None else {"name": name}
    value = as_tensor(value, image_format)
    if isinstance(value, ImageFile):
        return _with_payload({**members, **value.options}, "image", np.frombuffer(value.data, np.uint8))
    if value.dtype.kind in "UO":
        return _with_list(members, value, "string", value.tolist())
    wire = dtypes.wire_name(value)
    if send_as == "list":
        native = dtypes.wire_name(value.view(value.dtype.newbyteorder("="))) if wire[0] in "<>" else wire
        return _with_list(members, value, native, lists.to_list(value, native))
    members.update(dtype=wire, shape=list(value.shape))
    flat = value if value.flags.c_contiguous else np.ascontiguousarray(value)
    return _with_payload(members, "tensor", flat.reshape(-1).view(np.ndarray).view(np.uint8))


def _with_payload(members, key, data):
    head = _json({**members, key: ""})
    return [head[:-2], Payload(memoryview(data)), b'"}']


def _with_list(members, array, dtype, data):
    members = {**members, "dtype": dtype, "shape": list(array.shape), "data": data}
    return [_json(members)]


def as_tensor(value, image_format="png"):
    """An ndarray of a dtype of the wire (strings as dtype U or object), or an ImageFile. Copies only where it must."""
    if isinstance(value, (np.ndarray, np.generic)):
        return _checked(np.asanyarray(value))
    if isinstance(value, ImageFile):
        return value
    if isinstance(value, os.PathLike):
        return ImageFile(value)
    if isinstance(value, (bytes, bytearray)):
        return _from_bytes(value)
    home = type(value).__module__.split(".")[0]
    if home == "torch" and hasattr(value, "detach"):
        return _from_torch(value)
    if home == "PIL" and hasattr(value, "getbands"):
        return ImageFile.encode(value, image_format)
    if isinstance(value, (bool, int, float, complex, str, list, tuple, range)):
        return _from_values(value)
    return _from_protocol(value)


def _checked(array):
    if array.dtype.kind == "U" or (array.dtype.kind == "O" and all(isinstance(v, str) for v in array.flat)):
        return array
    dtypes.wire_name(array)  # refuses what the wire lacks
    return array


def _from_bytes(data):
    if looks_like_image(data):
        return ImageFile(data)
    raise TypeError(
        "bytes that are no PNG or JPEG file have no dtype and shape: use numpy.frombuffer(data, dtype), "
        "or ImageFile(data) for another image"
    )


def _from_torch(tensor):
    torch = sys.modules["torch"]
    tensor = tensor.detach()
    for resolve in ("resolve_conj", "resolve_neg"):  # views that only promise their sign
        tensor = getattr(tensor, resolve, lambda t=tensor: t)()
    tensor = tensor.cpu().contiguous()
    name = str(tensor.dtype).split(".")[-1]
    if name not in dtypes.BIT_DTYPES:
        return _checked(tensor.numpy())
    bits = torch.int16 if name == "bfloat16" else torch.uint8
    flat = tensor.reshape(-1).view(bits).numpy().view(dtypes.BIT_DTYPES[name])
    return dtypes.raw(flat.reshape(tuple(tensor.shape)), name)


def _from_values(value):
    """Python numbers and (nested) lists of them: integers become int64 (uint64 where they need it), never floats that
    cannot hold them."""
    try:
        array = np.array(value)
    except ValueError as error:
        raise ValueError(f"the rows of a nested list must have one length: {error}") from None
    if array.dtype.kind in "fcO" and not isinstance(value, float):
        array = _keep_integers(list(_leaves(value)), array)
    if array.dtype.kind == "U":
        array = np.array(value, dtype=object)  # numpy's own strings drop NULs at their end
    return _checked(array)


def _leaves(value):
    if isinstance(value, (list, tuple, range)):
        for entry in value:
            yield from _leaves(entry)
    else:
        yield value


def _keep_integers(leaves, array):
    """Undoes numpy's habit of turning integers into floats where int64 is too narrow for them."""
    integers = [v for v in leaves if isinstance(v, int)]
    if len(integers) == len(leaves) > 0 and 0 <= min(integers) and max(integers) < 1 << 64:
        return np.array(leaves, np.uint64).reshape(array.shape)
    rounded = next(
        (v for v in integers if abs(v) > lists.SAFE_INTEGER and (array.dtype == object or int(float(v)) != v)), None
    )
    if rounded is not None or len(integers) == len(leaves) > 0:
        raise ValueError(
            f"{rounded or max(integers)} fits no dtype together with the other values: "
            "give numpy.array(values, dtype=...)"
        )
    return array


def _from_protocol(value):
    """TensorFlow, JAX, array.array, memoryview ...: through the protocols that they offer, importing none of them."""
    if hasattr(value, "__array__"):
        return _checked(np.asarray(value))
    if hasattr(value, "__dlpack__"):
        return _checked(np.from_dlpack(value))
    try:
        return _checked(np.asarray(memoryview(value)))
    except TypeError:
        raise TypeError(
            f"{type(value).__name__} is no tensor: it offers neither __array__, __dlpack__ nor a buffer"
        ) from None
