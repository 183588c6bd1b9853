"""Lists over bare sockets: the table of common/PROTOCOL.md row by row, every dtype against numpy, and hard decimals."""

import base64
import ctypes
import json
import random
import re
import struct

import numpy as np
import pytest
from harness import DTYPES, NUMPY_NAMES, ROOT, Daemon, call, framed, is_sanitized, numpy_dtype, recv_frame, tensor, to_array

SEED = 20240917
INTEGERS = [n for n in DTYPES if np.dtype(numpy_dtype(n)).kind in "iu" and n not in NUMPY_NAMES]
ERROR = re.compile(r"`(\w+)` at `([^`]*)`")
VALUE = re.compile(r"(?:`(\w+)` )?`([^`]*)`")


def table_rows():
    """(dtype or None, JSON text, outcome) of every cell of the protocol's table."""
    text = (ROOT / "common" / "PROTOCOL.md").read_text(encoding="utf-8")
    block = text.split("<!-- data-table:begin -->")[1].split("<!-- data-table:end -->")[0]
    rows = []
    for line in block.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if len(cells) != 3 or cells[0] in ("dtype", "---|---|---"):
            continue
        for dtype in [None] if cells[0] == "none" else re.findall(r"`(\w+)`", cells[0]):
            rows.append((dtype, cells[1].strip("`"), cells[2]))
    return rows


def list_request(text, dtype=None, shape=None, first=True, encoding="list"):
    """A request whose data is the given JSON text, with its dtype and shape before it or behind it."""
    about = ("" if dtype is None else f'"dtype":"{dtype}",') + ("" if shape is None else f'"shape":{json.dumps(list(shape))},')
    if first:
        return f'{{"handler":"echo","encoding":"{encoding}",{about}"data":{text}}}'.encode()
    return f'{{"handler":"echo","encoding":"{encoding}","data":{text}{"," + about[:-1] if about else ""}}}'.encode()


def ask(sock, text, dtype=None, shape=None, first=True, encoding="list"):
    sock.sendall(framed(list_request(text, dtype, shape, first, encoding)))
    return recv_frame(sock)


def refused(reply, code, at):
    assert reply["status"] == "error", reply
    assert (reply["error"]["code"], reply["error"]["at"]) == (code, at), reply
    return reply["error"]["message"]


def test_the_table_has_every_dtype():
    assert {row[0] for row in table_rows()} == {None, "string", *DTYPES}
    assert len(table_rows()) > 300


@pytest.mark.parametrize("first", [True, False], ids=["dtype first", "dtype last"])
def test_every_row_of_the_table(sock, first):
    for dtype, text, outcome in table_rows():
        reply = ask(sock, text, dtype, first=first)
        if error := ERROR.fullmatch(outcome):
            refused(reply, error[1], error[2])
            continue
        inferred, value = VALUE.fullmatch(outcome).groups()
        assert reply["status"] == "ok", (dtype, text, reply)
        (item,) = reply["tensors"]
        assert item["dtype"] == (dtype or inferred), (dtype, text)
        assert json.dumps(item["data"]) == json.dumps(json.loads(value)), (dtype, text)


# --- every dtype against numpy -------------------------------------------------------------------------------------


def one_nan(bits_of, array):
    """The array with all its NaNs made the quiet one: a text cannot carry their payloads."""
    return np.where(np.isnan(array), bits_of.type("nan"), array).astype(array.dtype)


def samples(name):
    """Edges and 10,000 random bit patterns of a dtype that numpy has."""
    dtype, rng = np.dtype(name), np.random.default_rng(SEED)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        edges = [info.min, info.min + 1, 0, 1, info.max - 1, info.max, min(info.max, 2**53 - 1), min(info.max, 2**53 + 1)]
        return np.concatenate([np.array(edges, dtype), np.frombuffer(rng.bytes(10_000 * dtype.itemsize), dtype)])
    if dtype.kind == "b":
        return rng.integers(0, 2, 10_000).astype(bool)
    if dtype.kind == "c":
        return samples("float32" if name == "complex64" else "float64")[:10_000].view(dtype)
    info = np.finfo(dtype)
    edges = [info.min, info.max, info.tiny, info.smallest_subnormal, -info.smallest_subnormal, 0.0, -0.0, np.inf, -np.inf,
             np.nan, 1.0, 1 + info.eps, 1 - info.epsneg, 0.1]
    random_bits = np.frombuffer(rng.bytes(10_000 * dtype.itemsize), dtype)
    return one_nan(dtype, np.concatenate([np.array(edges, dtype), random_bits]))


def written(value):
    """One element as JSON, bare."""
    if isinstance(value, complex):
        return f"[{written(value.real)}, {written(value.imag)}]"
    return json.dumps(value)


def quoted(text):
    return "[" + ", ".join(quoted(part) for part in text[1:-1].split(", ")) + "]" if text[0] == "[" else f'"{text}"'


def nest(elements, rows):
    """The texts as a list of `rows` lists."""
    width = len(elements) // rows
    return "[" + ",".join("[" + ", ".join(elements[i * width:(i + 1) * width]) + "]" for i in range(rows)) + "]"


def from_list(item):
    """The numpy array of a reply's list, read as numpy users would."""
    dtype = np.dtype(item["dtype"])
    flat = np.array([float(v) if dtype.kind in "fc" else int(v) for v in flatten(item["data"])], "f8" if dtype.kind in "fc" else "O")
    if dtype.kind == "c":
        return flat.astype("f4" if dtype.itemsize == 8 else "f8").view(dtype).reshape(item["shape"])
    return flat.astype(dtype).reshape(item["shape"])


def flatten(value):
    if not isinstance(value, list):
        return [value]
    return [leaf for part in value for leaf in flatten(part)]


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("name", [n for n in DTYPES if n not in NUMPY_NAMES])
def test_every_form_of_every_dtype_is_bit_identical(sock, name):
    array = samples(name)
    array = array[:len(array) // 10 * 10]
    elements = [written(value) for value in array.tolist()]
    forms = {
        "numbers": ("[" + ",".join(elements) + "]", array.shape, None),
        "nested": (nest(elements, 10), (10, len(array) // 10), None),
        "reshaped": ("[" + ", ".join(elements) + "]", (len(array) // 10, 10), (len(array) // 10, 10)),
    }
    if name != "bool":
        forms["strings"] = ("[" + ",".join(map(quoted, elements)) + "]", array.shape, None)
    for form, (text, expected, shape) in forms.items():
        for first in (True, False):
            reply = ask(sock, text, name, shape, first, encoding="base64")
            assert reply["status"] == "ok", (form, reply)
            (item,) = reply["tensors"]
            assert (item["dtype"], tuple(item["shape"])) == (name, expected), form
            assert to_array(item).tobytes() == array.tobytes(), form
        (item,) = ask(sock, text, name, shape)["tensors"]
        assert from_list(item).tobytes() == array.tobytes(), form
    (item,) = call(sock, {"handler": "echo", "encoding": "list", **tensor(array)})["tensors"]
    assert from_list(item).tobytes() == array.tobytes()


def bfloat16_to_float32(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def small_float_values(name):
    """The value of each bit pattern as a float64, from the format's definition."""
    if name == "float16":
        return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(float)
    if name == "bfloat16":
        with np.errstate(invalid="ignore"):  # signalling NaNs
            return bfloat16_to_float32(np.arange(1 << 16, dtype=np.uint16)).astype(float)
    mantissa_bits, bias = (3, 7) if name == "float8_e4m3fn" else (2, 15)
    values = []
    for bits in range(256):
        exponent, mantissa = (bits & 0x7F) >> mantissa_bits, bits & ((1 << mantissa_bits) - 1)
        value = (mantissa + (exponent > 0) * 2**mantissa_bits) * 2.0 ** (max(exponent, 1) - bias - mantissa_bits)
        if name == "float8_e4m3fn" and bits & 0x7F == 0x7F:
            value = np.nan
        if name == "float8_e5m2" and exponent == 31:
            value = np.nan if mantissa else np.inf
        values.append(-value if bits & 0x80 else value)
    return np.array(values)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_every_pattern_of_the_small_floats(sock, name):
    values = small_float_values(name)
    unsigned = np.uint8 if len(values) == 256 else np.uint16
    patterns = np.arange(len(values)).astype(unsigned)
    finite = ~np.isnan(values)

    (item,) = ask(sock, json.dumps(values.tolist()), name, encoding="base64")["tensors"]
    arrived = to_array(item).view(unsigned)
    assert (arrived[finite] == patterns[finite]).all()
    (item,) = ask(sock, json.dumps(values.tolist()), name)["tensors"]
    (again,) = ask(sock, json.dumps(item["data"]), name, encoding="base64")["tensors"]
    assert (to_array(again).view(unsigned) == arrived).all()
    assert [v for v in item["data"] if v == "NaN"] == ["NaN"] * int((~finite).sum())

    bits = {"dtype": name, "shape": [len(values)], "tensor": base64.b64encode(patterns).decode()}
    (item,) = call(sock, {"handler": "echo", "encoding": "list", **bits})["tensors"]
    (again,) = ask(sock, json.dumps(item["data"]), name, encoding="base64")["tensors"]
    assert (to_array(again).view(unsigned)[finite] == patterns[finite]).all()


def test_float16_rounds_as_numpy_does(sock):
    ordered = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(float)
    halfway = (ordered[:-1] + ordered[1:]) / 2
    values = np.concatenate([halfway, np.nextafter(halfway, np.inf), np.nextafter(halfway, 0), -halfway])
    (item,) = ask(sock, json.dumps(values.tolist()), "float16", encoding="base64")["tensors"]
    assert to_array(item).tobytes() == values.astype(np.float16).tobytes()


def test_bfloat16_rounds_as_torch_does(sock):
    torch = pytest.importorskip("torch")
    patterns = np.random.default_rng(SEED).integers(0, 0x7F7F, 20_000, dtype=np.uint32) << 16
    around = np.concatenate([patterns + 0x8000, patterns + 0x7FFF, patterns + 0x8001, patterns]).astype(np.uint32).view(np.float32)
    (item,) = ask(sock, json.dumps(around.astype(float).tolist()), "bfloat16", encoding="base64")["tensors"]
    expected = torch.from_numpy(around.copy()).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    assert (to_array(item).view(np.uint16) == expected).all()


# --- decimals that are hard to round -------------------------------------------------------------------------------


def hard_decimals(count):
    """Texts next to halfway points of float32 and float64: on them, just above and just below."""
    from decimal import Decimal, getcontext

    getcontext().prec = 1200
    rng = random.Random(SEED)
    texts = []
    while len(texts) < count:
        if rng.random() < 0.5:
            bits = rng.getrandbits(31)
            low, high = (Decimal(struct.unpack("<f", struct.pack("<I", b))[0]) for b in (bits, bits + 1))
        else:
            bits = rng.getrandbits(63) if rng.random() < 0.3 else (1023 - 60 + rng.randrange(120) << 52) | rng.getrandbits(52)
            low, high = (Decimal(struct.unpack("<d", struct.pack("<Q", b))[0]) for b in (bits, bits + 1))
        if not (low.is_finite() and high.is_finite()):
            continue
        middle = (low + high) / 2
        digits = rng.choice([8, 9, 16, 17, 18, 19, 20, 40, 800])
        ulp = Decimal(1).scaleb(middle.adjusted() - digits)
        texts += [f"{v:.{digits}e}" for v in (middle, middle + ulp, middle - ulp)]
        plain = f"{middle:f}"
        if len(plain) < 60 and "." in plain:
            texts += [plain, plain + "1", plain[:-1] + "4999"]
    return texts[:count]


def strtof(text):
    library = ctypes.CDLL(None)
    library.strtof.restype = ctypes.c_float
    library.strtof.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    return library.strtof(text.encode(), None)


def test_hard_decimals_round_once(sock):
    texts = hard_decimals(30_000)
    for name, reader in (("float64", float), ("float32", strtof)):
        expected = np.array([reader(text) for text in texts], name)
        finite = np.isfinite(expected)
        taken = [text for text, ok in zip(texts, finite) if ok]
        assert len(taken) > 20_000
        for elements in (taken, [f'"{text}"' for text in taken]):
            (item,) = ask(sock, "[" + ", ".join(elements) + "]", name, encoding="base64")["tensors"]
            assert to_array(item).tobytes() == expected[finite].tobytes()
        for text in [text for text, ok in zip(texts, finite) if not ok][:50]:
            refused(ask(sock, f"[0.0, {text}]", name), "value_out_of_range", "/data/1")


# --- integers, shapes and refusals ---------------------------------------------------------------------------------


def test_sixty_four_integers_arrive_as_int32(sock):
    (item,) = ask(sock, json.dumps(list(range(64))), "int32", encoding="base64")["tensors"]
    assert item["dtype"] == "int32" and to_array(item).tolist() == list(range(64))


@pytest.mark.parametrize("name", INTEGERS)
def test_the_edges_of_every_integer_dtype(sock, name):
    info = np.iinfo(name)
    for value in {info.min, info.max, 0, 1, *(v for v in (127, 128, -1, 255, 256, 2**53 - 1, 2**53 + 1) if info.min <= v <= info.max)}:
        for text in (f"[{value}]", f'["{value}"]', f"[{value}.0]", f"[{value}.00e0]"):
            (item,) = ask(sock, text, name)["tensors"]
            assert item["data"] == [value if abs(value) <= 2**53 else str(value)], text
            (item,) = ask(sock, text, name, encoding="base64")["tensors"]
            assert to_array(item).tolist() == [value], text
    for value in (info.min - 1, info.max + 1):
        for text in (f"[0, {value}]", f'[0, "{value}"]', f"[0, {value}.0]"):
            message = refused(ask(sock, text, name), "value_out_of_range", "/data/1")
            assert str(info.max) in message and name in message


def test_errors_teach(sock):
    row = ", ".join(["1"] * 17)
    request = f'{{"handler":"echo","tensors":[{{"dtype":"int32","data":[{row}, 3000000000]}}]}}'
    reply = call(sock, request.encode())
    assert refused(reply, "value_out_of_range", "/tensors/0/data/17") == (
        "value 3000000000 at /tensors/0/data/17 does not fit int32 (-2147483648…2147483647); send it as int64 or uint32")
    message = refused(ask(sock, "[1,2,3,4,5,6,7,8]", "int32", (3, 3)), "size_mismatch", "/data")
    assert "data has 8 values, shape [3,3] needs 9" in message


@pytest.mark.parametrize("text, dtype, shape, code, at", [
    ("[[1,2],[3]]", "int32", None, "bad_shape", "/data/1"),
    ("[[[1],[2]],[[3],4]]", "float32", None, "bad_shape", "/data/1/1"),
    ('[[1,2],[3,"x"]]', "int32", None, "bad_message", "/data/1/1"),
    ("[" * 33 + "1" + "]" * 33, "int32", None, "bad_shape", "/data" + "/0" * 32),
    ("[" * 5000 + "1" + "]" * 5000, "int32", None, "bad_shape", "/data" + "/0" * 32),
    ('["1e400"]', "float64", None, "value_out_of_range", "/data/0"),
    ("[0, 1e400]", "float64", None, "value_out_of_range", "/data/1"),
    ("[1, true]", "int32", None, "bad_message", "/data/1"),
    ("[1, null]", "int32", None, "bad_message", "/data/1"),
    ('[1, {"a": [1, {"b": "]}"}]}, 3]', "int32", None, "bad_message", "/data/1"),
    ("[1,2,3]", "int32", (2, 2), "size_mismatch", "/data"),
    ("[[1,2],[3,4]]", "int32", (4, 1), "bad_shape", "/data"),
])
@pytest.mark.parametrize("first", [True, False], ids=["dtype first", "dtype last"])
def test_what_does_not_fit_is_refused_and_the_connection_goes_on(sock, text, dtype, shape, code, at, first):
    refused(ask(sock, text, dtype, shape, first), code, at)
    assert ask(sock, "[1]")["tensors"][0]["data"] == [1]


@pytest.mark.parametrize("shape", ["[-1]", "[1.5]", "[1e30]", "[9223372036854775808]", "[4294967296,4294967296]", '["2"]',
                                   "[null]", "2", '"[2]"', "[" + ",".join(["1"] * 33) + "]"])
def test_impossible_shapes(sock, shape):
    reply = call(sock, f'{{"handler":"echo","dtype":"int8","shape":{shape},"data":[1,2]}}'.encode())
    assert reply["status"] == "error" and reply["error"]["code"] in ("bad_shape", "bad_message"), reply
    assert reply["error"]["at"].startswith("/shape"), reply
    assert ask(sock, "[1]")["tensors"][0]["data"] == [1]


def test_empty_lists_of_any_shape(sock):
    for shape in [(0,), (0, 5), (2, 0), (2, 0, 5), (0, 2**62), (2**40, 0), (2**31, 2**31, 0)]:
        (item,) = ask(sock, "[]", "float32", shape)["tensors"]
        assert item["shape"] == list(shape)
        assert item["data"] == (np.zeros(shape).tolist() if max(shape) < 10 else [])
        (again,) = ask(sock, json.dumps(item["data"]), "float32", shape)["tensors"]
        assert again == item


def test_json_errors_inside_a_list_are_bad_json(sock):
    for text in ("[1,]", "[01]", "[1 2]", "[+1]", "[.5]", "[1.]", "[tru]", "[Inf]", '["\\x"]', '["\x01"]', "[1}", '["\\ud800"]'):
        for dtype in ("float32", None):
            reply = ask(sock, text, dtype)
            assert reply["status"] == "error" and reply["error"]["code"] == "bad_json", (text, reply)
    assert ask(sock, "[1]")["tensors"][0]["data"] == [1]


@pytest.mark.parametrize("name", ["float32", "int32"])
def test_a_list_of_100_megabytes_needs_its_tensor_and_little_more(name):
    rng = np.random.default_rng(SEED)
    values = rng.standard_normal(50_000).astype("f4") if name == "float32" else rng.integers(-(2**31), 2**31, 80_000)
    part = json.dumps(values.tolist())[1:-1].encode()
    repeats = 100_000_000 // len(part) + 1
    body = b'{"handler":"discard","dtype":"%s","data":[%s]}' % (name.encode(), b", ".join([part] * repeats))
    with Daemon() as fresh, fresh.connect() as sock:
        call(sock, {"handler": "info"})
        before = fresh.rss()
        fresh.reset_peak()
        sock.sendall(framed(body))
        nbytes = recv_frame(sock)["result"]["nbytes"]
        assert nbytes == 4 * len(values) * repeats
        assert is_sanitized() or fresh.peak() - before <= nbytes + (16 << 20)
