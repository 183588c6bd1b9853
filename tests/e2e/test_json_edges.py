"""The edges of JSON, one by one: each is judged as RFC 8259 and the protocol have it, soon, and in a small stack."""

import json
import os
import resource
import time

import pytest
from harness import Daemon, call, framed, is_sanitized, recv_frame

FULL = bool(os.environ.get("TENSORD_FULL"))
MIB = 1 << 20
MOST_SECONDS = 0.05  # for each message, where the machine is left alone


@pytest.fixture(scope="module")
def daemon():
    """Its threads have stacks so small that whatever followed the nesting would run over their end."""
    stack = (4 * MIB) if is_sanitized() else (160 << 10)
    with Daemon(
        log_level="error", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK, (stack, stack))
    ) as running:
        yield running


def text(value, where="params"):
    """A request with this JSON text somewhere in it."""
    places = {
        "params": b'{"handler":"info","params":{"x":%s}}',
        "deep in params": b'{"handler":"info","params":{"x":[{"y":[%s]}]}}',
        "an unknown member": b'{"handler":"info","x":%s}',
        "id": b'{"handler":"info","id":%s}',
        "handler": b'{"handler":%s,"data":1}',
        "name": b'{"handler":"discard","tensors":[{"name":%s,"data":1}]}',
        "dtype": b'{"handler":"discard","dtype":%s,"data":1}',
        "tensor": b'{"handler":"discard","dtype":"uint8","shape":[3],"tensor":%s}',
        "b64": b'{"handler":"discard","dtype":"uint8","shape":[3],"tensor":{"b64":%s}}',
        "image": b'{"handler":"discard","image":%s}',
        "data": b'{"handler":"discard","data":[%s]}',
        "float data": b'{"handler":"discard","dtype":"float64","data":[1,%s]}',
        "shape": b'{"handler":"discard","shape":[%s],"data":[1]}',
        "a key": b'{"handler":"info",%s:1}',
        "a key in params": b'{"handler":"info","params":{%s:1}}',
        "a key of a tensor": b'{"handler":"discard","tensors":[{"data":1,%s:1}]}',
    }
    return places[where] % value


STRING_PLACES = (
    "params",
    "deep in params",
    "an unknown member",
    "id",
    "handler",
    "name",
    "dtype",
    "data",
    "a key",
    "a key in params",
    "a key of a tensor",
)
PAYLOAD_PLACES = ("tensor", "b64", "image")

BAD_UTF8 = {
    "a lone continuation": (b"\x80", b"\xbf", b"a\x80b", b"\xc3\xa9\xa9"),
    "overlong, two bytes": (b"\xc0\x80", b"\xc0\xaf", b"\xc1\xbf"),
    "overlong, three bytes": (b"\xe0\x80\x80", b"\xe0\x80\xaf", b"\xe0\x9f\xbf"),
    "overlong, four bytes": (b"\xf0\x80\x80\x80", b"\xf0\x80\x80\xaf", b"\xf0\x8f\xbf\xbf"),
    "surrogates": (b"\xed\xa0\x80", b"\xed\xaf\xbf", b"\xed\xb0\x80", b"\xed\xbf\xbf", b"\xed\xa0\x80\xed\xb0\x80"),
    "beyond U+10FFFF": (b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf7\xbf\xbf\xbf"),
    "five and six bytes": (b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"),
    "never in UTF-8": (b"\xfe", b"\xff", b"\xfe\xff", b"\xff\xfe"),
    "cut short": (b"\xc3", b"\xe2\x82", b"\xe2", b"\xf0\x9f\x98", b"\xf0\x9f", b"\xf0"),
    "cut short, then more": (
        b"\xc3(",
        b"\xe2\x82(",
        b"\xe2(\xa1",
        b"\xf0\x9f\x98(",
        b"\xf0(\x8c\xbc",
        b"\xf0\x9f(\xbc",
    ),
    "Latin-1": ("größe".encode("latin-1"),),
}
GOOD_UTF8 = "\x7f\x80\u07ff\u0800\ud7ff\ue000\ufeff\uffff\U00010000\U0010ffff"
LONE_SURROGATES = (
    rb"\ud800",
    rb"\udbff",
    rb"\udc00",
    rb"\udfff",
    rb"\ud800x",
    rb"\ud800\n",
    rb"\ud800\u0041",
    rb"\ud800\ud800",
    rb"\udc00\ud800",
    rb"x\ud83d",
)
BAD_ESCAPES = (rb"\x41", rb"\a", rb"\u12", rb"\u12g4", rb"\U00000041", rb"\0", rb"\'")
BAD_NUMBERS = (
    b"01 00 -01 000.5 +1 .5 5. 1.e3 1e 1e+ 0x10 0b1 1_000 - -- 1-2 1.2.3 1e5e5 1e5.5 --1 infinity inf nan 1f 0777 "
    b"\xe2\x88\x921"
).split()
BEYOND_DOUBLE = (b"1e400", b"-1e400", b"1e309", b"1e999999999999999999999", b"1" + b"0" * 400, b"9" * 10**5)
TINY = (
    b"1e-400",
    b"-1e-400",
    b"1e-999999999999999999999",
    b"0." + b"0" * 10**5 + b"1",
    b"0e0",
    b"-0",
    b"1E+2",
    b"0.5e-3",
)
NO_JSON = (
    b'{"a":1,}',
    b"[1,]",
    b"[,1]",
    b"[1,,2]",
    b"{,}",
    b'{"a"}',
    b'{"a" 1}',
    b'{"a":1 "b":2}',
    b"{a:1}",
    b"{'a':1}",
    b"{1:2}",
    b"[1 2]",
    b"[1}",
    b"(1)",
    b"tru",
    b"True",
    b"None",
    b"undefined",
    b"nul",
    b"1 // comment",
    b"1 /* comment */",
    b"/* comment */ 1",
    b"1 # comment",
    b'"two\nlines"',
    b'"a\ttab"',
    b"\xef\xbb\xbf1",
    b"\xc2\xa01",
    b"\x0c1",
    b"\x0b1",
    b"\x00",
    b"1\x00",
)
REPEATED = (
    b'{"id":1,"handler":"info","id":1}',
    b'{"handler":"info","handler":"info"}',
    b'{"handler":"info","x":1,"x":1}',
    b'{"handler":"info","x":1,"\\u0078":1}',
    b'{"handler":"info","x":{"a":1,"a":1}}',
    b'{"handler":"info","x":[[{"a":[{"b":1,"c":1,"b":1}]}]]}',
    b'{"handler":"info","params":{"a":1,"a":1}}',
    b'{"handler":"info","params":{"a":{"b":[{"c":1,"c":1}]}}}',
    b'{"handler":"info","params":{},"params":{}}',
    b'{"handler":"discard","data":1,"data":1}',
    b'{"handler":"discard","tensors":[],"tensors":[]}',
    b'{"handler":"discard","tensors":[{"data":1,"name":"a","name":"b"}]}',
    b'{"handler":"discard","tensors":[{"data":1,"y":1,"y":1}]}',
    b'{"handler":"discard","tensors":[{"dtype":"uint8","dtype":"uint8","data":1}]}',
    b'{"handler":"discard","dtype":"uint8","shape":[3],"shape":[3],"tensor":"AAAA"}',
    b'{"handler":"discard","dtype":"uint8","shape":[3],"tensor":"AAAA","tensor":"AAAA"}',
    b'{"handler":"discard","dtype":"uint8","shape":[3],"tensor":{"b64":"AAAA","b64":"AAAA"}}',
)


def named(count, name="m{:x}"):
    return b",".join(b'"%s":1' % name.format(i).encode() for i in range(count))


def deep(n, opening, closing, inner=b"1"):
    return opening * n + inner + closing * n


def cases():
    """(what, body, codes it may be answered with; "ok" is one)."""
    for kind, sequences in BAD_UTF8.items():
        for bad in sequences:
            for where in STRING_PLACES:
                yield f"{kind} {bad!r} in {where}", text(b'"%s"' % bad, where), ["bad_json"]
            for where in PAYLOAD_PLACES:
                yield f"{kind} {bad!r} in {where}", text(b'"%s"' % bad, where), ["bad_json", "bad_base64"]
            yield f"{kind} {bad!r} between tokens", b'{"handler":"info"%s}' % bad, ["bad_json"]
    for escape in LONE_SURROGATES + BAD_ESCAPES:
        for where in STRING_PLACES:
            yield f"{escape!r} in {where}", text(b'"%s"' % escape, where), ["bad_json"]
        for where in PAYLOAD_PLACES:
            yield f"{escape!r} in {where}", text(b'"%s"' % escape, where), ["bad_json", "bad_base64"]
    for control in range(0x20):
        for where in (*STRING_PLACES, *PAYLOAD_PLACES):
            yield f"control character {control} in {where}", text(b'"a%cb"' % control, where), ["bad_json"]
    for number in BAD_NUMBERS:
        for where in ("params", "an unknown member", "id", "data", "float data", "shape"):
            yield f"{number!r} in {where}", text(number, where), ["bad_json"]
    for number in BEYOND_DOUBLE:
        shown = f"{number[:20]!r}, {len(number)} characters,"
        for where in ("params", "deep in params", "an unknown member", "id", "shape"):
            yield f"{shown} in {where}", text(number, where), ["bad_json", "bad_message", "bad_shape"]
        yield f"{shown} in float data", text(number, "float data"), ["value_out_of_range"]
        yield f"{shown} in data", text(number, "data"), ["value_out_of_range"]
    for number in TINY:
        for where in ("params", "an unknown member", "float data"):
            codes = ["ok", "value_out_of_range"] if len(number) > 4096 and "data" in where else ["ok"]
            yield f"{number[:20]!r} in {where}", text(number, where), codes
    for value in NO_JSON:
        for where in ("params", "deep in params", "an unknown member", "data"):
            yield f"{value!r} in {where}", text(value, where), ["bad_json"]
    for number in (b"NaN", b"Infinity", b"-Infinity"):
        for where in ("params", "an unknown member", "id", "shape"):
            yield f"{number!r} in {where}", text(number, where), ["bad_json"]
        yield f"{number!r} in data", text(number, "float data"), ["ok"]
    for body in REPEATED:
        yield f"repeated: {body!r}", body, ["bad_message"]
    good = b'{"handler":"info","x":[]}'
    for before in (b"\xef\xbb\xbf", b"\x00", b"// x\n"):
        yield f"{before!r} before", before + good, ["bad_json"]
    for behind in (b"\x00", good, b"]", b"}", b"x", b",", b"// x"):
        yield f"{behind!r} behind", good + behind, ["bad_json"]
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le"):
        yield encoding, good.decode().encode(encoding), ["bad_json"]
    yield "white space around", b" \t\r\n" + good + b"\n\r\t ", ["ok"]
    for body in (b"[1]", b'"x"', b"1", b"null", b"true", b"[]"):
        yield f"{body!r} alone", body, ["bad_message"]
    for body in (b" ", b"\n\n", b"{", b'{"a":', b'{"a":1', b'{"a', good[:-1]):
        yield f"{body!r} alone", body, ["bad_json"]
    yield "63 arrays deep", text(deep(62, b"[", b"]")), ["ok"]
    yield "65 arrays deep", text(deep(64, b"[", b"]")), ["bad_json"]
    yield "32 axes", text(deep(31, b"[", b"]"), "data"), ["ok"]
    for power in range(2, 7):
        n = 10**power
        for where in ("params", "an unknown member", "id", "shape", "a key of a tensor"):
            inner = b'"k":%s,"l"' if where.startswith("a key") else b"%s"
            for kind, opening, closing in (("arrays", b"[", b"]"), ("objects", b'{"a":', b"}")):
                body = text(inner % deep(n, opening, closing), where)
                yield f"{n} {kind} deep in {where}", body, ["bad_json", "bad_message"]
        yield f"{n} arrays deep in data", text(deep(n, b"[", b"]"), "data"), ["bad_shape"]
        yield f"{n} arrays open", text(b"[" * n), ["bad_json"]
        yield f"{n} arrays closed", text(b"]" * n), ["bad_json"]
    yield "100,000 members", b'{"handler":"info",%s}' % named(10**5), ["ok", "bad_message"]
    yield "100,000 short members", b'{"handler":"info",%s}' % named(10**5, "{:x}"), ["ok"]
    yield "100,000 members in params", b'{"handler":"info","params":{%s}}' % named(10**5, "{:x}"), ["ok"]
    yield "100,000 members, one twice", b'{"handler":"info","0":1,%s}' % named(10**5, "{:x}"), ["bad_message"]
    many = b",".join([b"{%s}" % named(1000, "{:x}")] * 90)
    yield "1000 members in each of 90 objects", b'{"handler":"info","x":[%s]}' % many, ["ok"]


def ask(sock, body):
    """The reply, and the seconds that it took."""
    begin = time.perf_counter()
    sock.sendall(framed(body))
    return recv_frame(sock), time.perf_counter() - begin


def test_every_edge_is_judged_rightly_and_soon(daemon):
    slowest, wrong, count = [], [], 0
    with daemon.connect() as sock:
        for what, body, codes in cases():
            reply, seconds = ask(sock, body)
            code = reply["error"]["code"] if reply["status"] == "error" else "ok"
            if code not in codes or len(json.dumps(reply)) > 4000 and code != "ok":
                wrong.append(f"{what}: {code}, not {codes}: {json.dumps(reply)[:300]}")
            if seconds > MOST_SECONDS:  # again: something else may have had the processor
                seconds = min(seconds, *(ask(sock, body)[1] for _ in range(8)))
            slowest.append((seconds, what))
            count += 1
        assert call(sock, {"handler": "info"})["status"] == "ok"
    slowest.sort(reverse=True)
    print(f"JSON edges: {count} judged, wrong {len(wrong)}, slowest:")
    for seconds, what in slowest[:5]:
        print(f"  {seconds * 1e3:.1f} ms  {what}")
    assert not wrong, "\n".join(wrong)
    assert not FULL or is_sanitized() or slowest[0][0] <= MOST_SECONDS


def test_what_is_allowed_comes_back_as_it_was(daemon):
    with daemon.connect() as sock:
        for each in (GOOD_UTF8, "", "a\x00b", "\u2028", "😀", '"\\/\b\f\n\r\t', "\x1f" * 100):
            for ascii_only in (True, False):
                body = json.dumps({"id": each, "handler": "echo", "data": [each]}, ensure_ascii=ascii_only)
                reply, _ = ask(sock, body.encode())
                assert reply["id"] == each and reply["tensors"][0]["data"] == [each]
