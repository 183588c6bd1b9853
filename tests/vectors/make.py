#!/usr/bin/env python3
"""Writes the golden vectors: streams of the wire protocol (messages/*.bin) and what they mean (index.json).

Needs only the standard library, and nothing of this project, so that its bytes are an independent reading of
common/PROTOCOL.md; everything it writes is the same on every machine: python3 make.py [FOLDER]

index.json is a list of streams. `file`: the bytes one peer sends. `dialect`: framed or raw_json. `kind`: requests or
replies. `ends`: "whole", "truncated" (end of file within a message) or "fatal" (nothing behind can be read).
`messages`: what each means: `error` {code, at}, or `id` (absent: none), `handler`, `params`, `encoding`, `oneway`,
`auth`, `result` and `tensors`, each of them `name`, `dtype`, `shape` and `hex` (little-endian bytes) or `strings`, for
images also `format`, `width` and `height`. `written`: a writer given this meaning writes exactly these bytes.
"""

import base64
import json
import pathlib
import struct
import sys
import zlib

from aliases import ALIASES, ITEM_SIZES
from jpegs import JPEGS


def b64(data):
    return base64.b64encode(data).decode()


def compact(message):
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def framed(*bodies):
    bodies = [b if isinstance(b, bytes) else compact(b) for b in bodies]
    return b"".join(struct.pack(">I", len(b)) + b for b in bodies)


def pattern(count, seed=1):
    """Bytes without a visible pattern, the same everywhere."""
    out, state = bytearray(), seed
    while len(out) < count:
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        out.append(state >> 16 & 0xFF)
    return bytes(out)


def elements(dtype, count):
    data = pattern(count * ITEM_SIZES[dtype])
    return bytes(b & 1 for b in data) if dtype == "bool" else data


def volume(shape):
    count = 1
    for dim in shape:
        count *= dim
    return count


def meant(dtype, shape, data, name=""):
    return {"name": name, "dtype": dtype, "shape": list(shape), "hex": data.hex()}


def png(width, height, depth, colour, rows):
    """A PNG file from its filtered rows, in one stored block, so that no version of zlib changes it."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    block = struct.pack("<BHH", 1, len(rows), len(rows) ^ 0xFFFF) + rows
    idat = b"\x78\x01" + block + struct.pack(">I", zlib.adler32(rows))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", idat) + chunk(b"IEND", b"")


def unfiltered(pixels, row_bytes):
    return b"".join(b"\0" + pixels[i : i + row_bytes] for i in range(0, len(pixels), row_bytes))


STREAMS = []


def stream(name, data, messages, dialect="framed", kind="requests", ends="whole", written=False):
    entry = {"file": f"messages/{name}.bin", "dialect": dialect, "kind": kind, "ends": ends, "messages": messages}
    if written:
        entry["written"] = True
    STREAMS.append((entry, data))


def requests(name, pairs, **options):
    """A framed stream of (body, meaning) pairs."""
    stream(name, framed(*(body for body, _ in pairs)), [meaning for _, meaning in pairs], **options)


def failing(name, pairs):
    """Each faulty body, and behind each a good one that must come through."""
    good = {"id": "after", "handler": "echo", "tensor": b64(b"\1\2"), "shape": [2], "dtype": "uint8"}
    after = {"id": "after", "handler": "echo", "tensors": [meant("uint8", [2], b"\1\2")]}
    bodies = [b for body, _ in pairs for b in (body, good)]
    meanings = [m for _, error in pairs for m in ({"error": error}, after)]
    stream(name, framed(*bodies), meanings)


X = struct.pack("<4f", 1.0, -2.5, 3.25, 1e10)


def make_plain():
    direct = {"id": 7, "handler": "stats", "dtype": "float32", "shape": [2, 2], "tensor": b64(X)}
    named = {"dtype": "float32", "shape": [2, 2], "tensor": b64(X)}
    requests("direct", [(direct, {"id": 7, "handler": "stats", "tensors": [meant("float32", [2, 2], X)]})])
    requests("no_tensor", [({"id": 1, "handler": "info"}, {"id": 1, "handler": "info", "tensors": []}),
                           ({}, {"tensors": []}), (b" {\n} ", {"tensors": []})])
    several = [{"name": n, **named} for n in ("a", "b", "größe ✓")]
    requests("several", [({"id": 2, "handler": "echo", "tensors": several},
                          {"id": 2, "handler": "echo", "tensors": [meant("float32", [2, 2], X,
                                                                         t["name"]) for t in several]})])
    requests("ids", [({"id": i, "handler": "info"}, {"id": i, "handler": "info", "tensors": []}) for i in (
        0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, "", "a\"\\/\b\n\t\u0001é€😀", "7")])
    params = {"note": "hello", "deep": {"list": [1, -2, 2.5, 1e300, True, False, None, "x"]}, "big": 2**64 - 1}
    requests("members", [
        ({"oneway": True, "encoding": "list", "params": params, "auth": "s3cret", "handler": "h", "id": 5},
         {"id": 5, "handler": "h", "params": params, "encoding": "list", "oneway": True, "auth": "s3cret",
          "tensors": []}),
        ({"encoding": "base64", "oneway": False, "params": {}}, {"params": {}, "tensors": []})])


def make_orders():
    tensors = [meant("float32", [2, 2], X)]
    text = json.dumps(b64(X))
    requests("orders", [
        (f'{{"tensor":{text},"shape":[2,2],"dtype":"float32","id":1}}'.encode(), {"id": 1, "tensors": tensors}),
        (f'{{"dtype":"float32","tensor":{text},"shape":[2,2]}}'.encode(), {"tensors": tensors}),
        (f'{{"shape":[2,2],"dtype":"float32","tensor":{text},"handler":"echo"}}'.encode(),
         {"handler": "echo", "tensors": tensors}),
        (f'{{"tensors":[{{"tensor":{text},"dtype":"float32","shape":[2,2],"name":"late"}}],"id":"z"}}'.encode(),
         {"id": "z", "tensors": [{**tensors[0], "name": "late"}]}),
        (f'\r\n{{ "shape" :\t[ 2 , 2 ] ,\n "tensor" : {text} , "dtype" : "float32" }}\n\n'.encode(),
         {"tensors": tensors}),
        (f'{{"tens\\u006fr":{text},"\\u0073hape":[2,2],"dtype":"fl\\u006fat32"}}'.encode(), {"tensors": tensors}),
    ])
    strange = {"x": {"tensor": "not base64!", "data": {"a": [{}, [], "]}\"{["]}}, "tensor_": 1, "": None,
               "y": "{\"tensor\":\"AA"}
    requests("unknown_members", [
        ({**strange, "tensors": [{**strange, "tensor": b64(X), "dtype": "float32", "shape": [2, 2]}],
          "params": strange},
         {"tensors": tensors, "params": strange})])


def make_dtypes():
    pairs, swapped = [], []
    for dtype, size in ITEM_SIZES.items():
        data = elements(dtype, 6)
        pairs.append(({"id": dtype, "dtype": dtype, "shape": [2, 3], "tensor": b64(data)},
                      {"id": dtype, "tensors": [meant(dtype, [2, 3], data)]}))
    for typestr, dtype, unit in ((">f4", "float32", 4), (">i2", "int16", 2), (">u8", "uint64", 8), (">c8", "complex64",
                                                                                                    4),
                                 (">c16", "complex128", 8), (">f2", "float16", 2), (">i1", "int8", 1)):
        data = elements(dtype, 3)
        turned = b"".join(data[i : i + unit][::-1] for i in range(0, len(data), unit))
        swapped.append(({"dtype": typestr, "shape": [3], "tensor": b64(data)}, {"tensors": [meant(dtype, [3],
                                                                                                  turned)]}))
    requests("dtypes", pairs)
    requests("big_endian", swapped)
    requests("aliases", [({"dtype": alias, "shape": [1], "tensor": b64(elements(dtype, 1))},
                          {"tensors": [meant(dtype, [1], elements(dtype, 1))]}) for dtype, alias in ALIASES])
    shapes = ([], [0], [1], [5], [2, 0], [0, 7], [2, 3, 1], [0, 0, 0, 0], [1, 2, 3, 1], [1] * 32, [0, 2**62, 4])
    requests("shapes", [({"dtype": "int16", "shape": s, "tensor": b64(elements("int16", volume(s)))},
                         {"tensors": [meant("int16", s, elements("int16", volume(s)))]}) for s in shapes])


def make_base64():
    data = bytes([0xFB, 0xEF, 0xBE, 0xFF, 0xFF, 0xFF, 0x00])  # ++++////AA==
    text = b64(data)
    spellings = [text, text.replace("/", "\\/"), text.replace("+", "\\u002b").replace("=", "\\u003d"),
                 text.replace("+", "\\u002B").replace("=", "\\u003D"), "".join(f"\\u{ord(c):04x}" for c in text)]
    requests("escapes", [(f'{{"tensor":"{s}","dtype":"uint8","shape":[7]}}'.encode(),
                          {"tensors": [meant("uint8", [7], data)]}) for s in spellings])
    requests("b64_object", [
        ({"tensor": {"b64": text}, "dtype": "uint8", "shape": [7]}, {"tensors": [meant("uint8", [7], data)]}),
        ({"tensors": [{"tensor": {"b64": text}, "dtype": "uint8", "shape": [7], "name": "x"}]},
         {"tensors": [meant("uint8", [7], data, "x")]})])
    lengths = [pattern(n, n + 1) for n in (0, 1, 2, 3, 4, 47, 48, 49, 191, 192, 193, 1000)]
    requests("lengths", [({"tensor": b64(d), "dtype": "uint8", "shape": [len(d)]},
                          {"tensors": [meant("uint8", [len(d)], d)]}) for d in lengths])


def image(file, format, shape, pixels, dtype="uint8", name="", width=None, height=None):
    return {**meant(dtype, shape, pixels, name), "format": format, "width": width or shape[1],
            "height": height or shape[0],
            "file": file.hex()}


def make_images():
    grey = pattern(15)
    rgb = pattern(18, 2)
    deep = pattern(12, 3)
    grey_png = png(5, 3, 8, 0, unfiltered(grey, 5))
    rgb_png = png(3, 2, 8, 2, unfiltered(rgb, 9))
    deep_png = png(2, 3, 16, 0, unfiltered(deep, 4))
    swapped = b"".join(deep[i : i + 2][::-1] for i in range(0, len(deep), 2))
    bgr = b"".join(rgb[i : i + 3][::-1] for i in range(0, len(rgb), 3))
    pairs = [
        ({"image": b64(grey_png)}, image(grey_png, "png", [3, 5, 1], grey)),
        ({"image": b64(rgb_png), "format": "PNG"}, image(rgb_png, "png", [2, 3, 3], rgb)),
        ({"image": b64(rgb_png), "pixel_format": "bgr8"}, image(rgb_png, "png", [2, 3, 3], bgr)),
        ({"image": b64(deep_png)}, image(deep_png, "png", [3, 2, 1], swapped, "uint16")),
        ({"image": "data:image/png;base64," + b64(grey_png)}, image(grey_png, "png", [3, 5, 1], grey)),
        ({"image": {"b64": b64(grey_png)}}, image(grey_png, "png", [3, 5, 1], grey)),
    ]
    for file, shape, pixels in JPEGS:
        pairs.append(({"image": b64(file), "format": "jpg"}, image(file, "jpeg", shape, pixels)))
    requests("images", [({"id": i, **body}, {"id": i, "tensors": [meaning]}) for i, (body,
                                                                                     meaning) in enumerate(pairs)])
    together = {"tensors": [{"name": "x", "dtype": "float32", "shape": [4], "tensor": b64(X)},
                            {"name": "img", "image": b64(rgb_png)}]}
    requests("image_and_tensor", [(together, {"tensors": [
        meant("float32", [4], X, "x"), image(rgb_png, "png", [2, 3, 3], rgb, name="img")]})])


def make_lists():
    def ints(dtype, shape, *values):
        letter = {"int64": "q", "int32": "i", "uint8": "B", "uint64": "Q", "float64": "d", "float32": "f",
                  "bool": "?"}[dtype]
        return meant(dtype, shape, struct.pack(f"<{len(values)}{letter}", *values))

    nan, inf = float("nan"), float("inf")
    cases = [
        ('{"data":[0,1,2,-3]}', ints("int64", [4], 0, 1, 2, -3)),
        ('{"data":[[1,2,3],[4,5,6]],"dtype":"int32"}', ints("int32", [2, 3], 1, 2, 3, 4, 5, 6)),
        ('{"data":[1,2,3,4,5,6],"shape":[2,3],"dtype":"uint8"}', ints("uint8", [2, 3], 1, 2, 3, 4, 5, 6)),
        ('{"dtype":"uint8","shape":[2,1,3],"data":[[[1,2,3]],[[4,5,6]]]}', ints("uint8", [2, 1, 3], 1, 2, 3, 4, 5, 6)),
        ('{"data":7}', ints("int64", [], 7)),
        ('{"data":[1,2.5]}', ints("float64", [2], 1.0, 2.5)),
        ('{"data":[1e3,1.0],"dtype":"int32"}', ints("int32", [2], 1000, 1)),
        ('{"data":[9223372036854775807,"-9223372036854775808","9007199254740993"]}',
         ints("int64", [3], 2**63 - 1, -(2**63), 2**53 + 1)),
        ('{"data":["18446744073709551615",0],"dtype":"uint64"}', ints("uint64", [2], 2**64 - 1, 0)),
        ('{"data":[true,false]}', ints("bool", [2], True, False)),
        ('{"data":[0,1,true],"dtype":"bool"}', ints("bool", [3], False, True, True)),
        ('{"data":[NaN,Infinity,-Infinity,"NaN","-Infinity",-0.0],"dtype":"float64"}',
         ints("float64", [6], nan, inf, -inf, nan, -inf, -0.0)),
        ('{"data":[0.1,16777217,1e-45,"3.4028235e38"],"dtype":"float32"}', ints("float32", [4], 0.1, 16777216.0, 1e-45,
                                                                                3.4028235e38)),
        ('{"data":[[1,-2],[0.5,0]],"dtype":"complex64"}',
         meant("complex64", [2], struct.pack("<4f", 1, -2, 0.5, 0))),
        ('{"data":[1,1.5],"dtype":"bfloat16"}', meant("bfloat16", [2], b"\x80\x3f\xc0\x3f")),
        ('{"data":[1,1.5],"dtype":"half"}', meant("float16", [2], b"\x00\x3c\x00\x3e")),
        ('{"data":[1,-448],"dtype":"float8_e4m3fn"}', meant("float8_e4m3fn", [2], b"\x38\xfe")),
        ('{"data":[],"dtype":"int32"}', ints("int32", [0])),
        ('{"data":[[],[]],"dtype":"int32"}', ints("int32", [2, 0])),
        ('{"data":["cat","Katze \\u00e9\\ud83d\\ude00",""]}',
         {"name": "", "dtype": "string", "shape": [3], "strings": ["cat", "Katze é😀", ""]}),
        ('{"data":[["1","2"]],"dtype":"string"}', {"name": "", "dtype": "string", "shape": [1, 2], "strings": ["1",
                                                                                                               "2"]}),
    ]
    requests("lists", [(text.encode(), {"tensors": [meaning]}) for text, meaning in cases])


def error(code, at=""):
    return {"code": code, "at": at}


def make_errors():
    good = {"dtype": "float32", "shape": [2, 2], "tensor": b64(X)}
    failing("errors_tensor", [
        ({**good, "shape": [3, 3]}, error("size_mismatch", "/tensor")),
        ({**good, "dtype": "flaot32"}, error("bad_dtype", "/dtype")),
        ({**good, "shape": [-1, 4]}, error("bad_shape", "/shape/0")),
        ({**good, "shape": [2**40, 2**40]}, error("bad_shape", "/shape")),
        ({**good, "shape": [1] * 33}, error("bad_shape", "/shape/32")),
        ({**good, "tensor": b64(X)[:-2] + "-_"}, error("bad_base64", "/tensor")),
        ({**good, "tensor": b64(X).rstrip("=")}, error("bad_base64", "/tensor")),
        ({"tensor": b64(X), "shape": [4]}, error("bad_message")),
        ({"tensor": b64(X), "dtype": "float32"}, error("bad_message")),
        ({"tensr": b64(X), "dtype": "float32", "shape": [4]}, error("bad_message")),
        ({"tensors": [{"name": "a", **good}, {"name": "a", **good}]}, error("bad_message", "/tensors/1/name")),
        ({"tensors": [good, {**good, "shape": [5]}]}, error("size_mismatch", "/tensors/1/tensor")),
        ({"image": b64(b"GIF89a" + bytes(20))}, error("bad_image", "/image")),
    ])
    failing("errors_list", [
        ({"data": [1, 2, 3000000000], "dtype": "int32"}, error("value_out_of_range", "/data/2")),
        ({"data": [[1, 2], [3, 1.5]], "dtype": "uint8"}, error("value_out_of_range", "/data/1/1")),
        ({"data": [[1, 2], [3]]}, error("bad_shape", "/data/1")),
        ({"data": [1, 2, 3], "shape": [2, 2]}, error("size_mismatch", "/data")),
    ])
    failing("errors_json", [
        (b'{"id":1,', error("bad_json")), (b"{'id':1}", error("bad_json")), (b'{"id":01}', error("bad_json")),
        (b'{"id":1}{"id":2}', error("bad_json")), (b'{"id":"\xff"}', error("bad_json")), (b"\xef\xbb\xbf{}",
                                                                                          error("bad_json")),
        (b'{"id":1}\0', error("bad_json")), (b'{"params":{"a":[1,]}}', error("bad_json")),
        (b'{"params":{"a":NaN}}', error("bad_json")), (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", error("bad_json")),
        (b'{"id":1,"handler":7}', error("bad_message", "/handler")),
        (b'{"id":1.5}', error("bad_message", "/id")),
        (b'{"handler":"a","handler":"b"}', error("bad_message", "/handler")),
        (b'{"params":[]}', error("bad_message", "/params")), (b'{"encoding":"hex"}', error("bad_message", "/encoding")),
    ])


def make_streams():
    one = {"handler": "echo", "tensor": b64(X), "shape": [4], "dtype": "float32"}
    means = {"handler": "echo", "tensors": [meant("float32", [4], X)]}
    texts = [compact({"id": i, **one}) for i in range(3)]
    all_three = [{"id": i, **means} for i in range(3)]
    stream("raw_back_to_back", b"".join(texts), all_three, "raw_json")
    stream("raw_lines", b"".join(t + b"\n" for t in texts), all_three, "raw_json")
    stream("raw_spaced", b"\r\n\t ".join(texts) + b"  \n", all_three, "raw_json")
    stream("raw_braces_in_strings", compact({"id": "}{\\\"", **one}) * 2, [{"id": "}{\\\"", **means}] * 2, "raw_json")
    stream("raw_truncated", texts[0] + texts[1][:-9], all_three[:1], "raw_json", ends="truncated")
    stream("raw_garbage", texts[0] + b"\ngarbage" + texts[1], [all_three[0], {"error": error("bad_json")}], "raw_json",
           ends="fatal")
    stream("raw_bad_value", texts[0] + b'{"id":1,"x":nope}', [all_three[0], {"error": error("bad_json")}], "raw_json",
           ends="fatal")
    stream("framed_truncated", framed(*texts)[:-1], all_three[:2], ends="truncated")
    stream("framed_truncated_length", framed(*texts) + b"\0\0", all_three, ends="truncated")
    stream("framed_empty_frame", framed(texts[0]) + b"\0\0\0\0" + framed(texts[1]), [all_three[0],
                                                                                     {"error": error("bad_frame")}],
                                                                                     ends="fatal")
    stream("framed_too_large", framed(texts[0]) + b"\x40\0\0\1{", [all_three[0], {"error": error("frame_too_large")}],
           ends="fatal")


def make_replies():
    result = {"tensors": [{"name": "x", "min": -2.5, "count": 4}], "text": "ü"}
    requests("replies", [
        ({"id": 7, "status": "ok", "tensors": [{"name": "x", "dtype": "float32", "shape": [4], "tensor": b64(X)}]},
         {"id": 7, "tensors": [meant("float32", [4], X, "x")]}),
        ({"id": "a", "status": "ok", "result": result}, {"id": "a", "tensors": [], "result": result}),
        ({"status": "ok"}, {"tensors": []}),
        ({"id": 8, "status": "ok", "tensors": [{"dtype": "float64", "shape": [3], "data": [1.5, "NaN", "-Infinity"]}]},
         {"id": 8, "tensors": [meant("float64", [3], struct.pack("<3d", 1.5, float("nan"), float("-inf")))]}),
        ({"id": 9, "status": "ok", "tensors": [{"dtype": "int64", "shape": [2], "data": ["9007199254740993", 5]}]},
         {"id": 9, "tensors": [meant("int64", [2], struct.pack("<2q", 2**53 + 1, 5))]}),
        ({"id": 3, "status": "error", "error": {"code": "size_mismatch", "message": "too short",
                                                "at": "/tensors/0/tensor"}},
         {"id": 3, "reply_error": {"code": "size_mismatch", "message": "too short", "at": "/tensors/0/tensor"}}),
        ({"status": "error", "error": {"code": "handler_failed", "message": "boom"}},
         {"reply_error": {"code": "handler_failed", "message": "boom", "at": ""}}),
    ], kind="replies")


def make_written():
    """The canonical spelling: compact, the short members first, payloads last."""
    named = {"name": "x", "dtype": "float32", "shape": [2, 2], "tensor": b64(X)}
    means = meant("float32", [2, 2], X, "x")
    params = {"a": [1, "é", None]}
    bodies = [
        ({"id": 1, "handler": "stats", "tensors": [named]}, {"id": 1, "handler": "stats", "tensors": [means]}),
        ({"id": 2, "handler": "echo", "dtype": "float32", "shape": [2, 2], "tensor": b64(X)},
         {"id": 2, "handler": "echo", "tensors": [{**means, "name": ""}]}),
        ({"id": 3, "handler": "info", "auth": "s3cret"}, {"id": 3, "handler": "info", "auth": "s3cret", "tensors": []}),
        ({"id": 4, "handler": "echo", "params": params, "encoding": "list", "tensors": [named, {**named, "name": "y"}]},
         {"id": 4, "handler": "echo", "params": params, "encoding": "list", "tensors": [means, {**means,
                                                                                                "name": "y"}]}),
        ({"handler": "save", "oneway": True, "dtype": "uint8", "shape": [0], "tensor": ""},
         {"handler": "save", "oneway": True, "tensors": [meant("uint8", [0], b"")]}),
    ]
    requests("written_requests", bodies, written=True)
    stream("written_raw", b"".join(compact(b) + b"\n" for b, _ in bodies), [m for _, m in bodies], "raw_json",
           written=True)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    for make in (make_plain, make_orders, make_dtypes, make_base64, make_images, make_lists, make_errors, make_streams,
                 make_replies, make_written):
        make()
    (folder / "messages").mkdir(parents=True, exist_ok=True)
    for entry, data in STREAMS:
        (folder / entry["file"]).write_bytes(data)
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry, _ in STREAMS)
    (folder / "index.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
