"""Bare Python sockets against the daemon: every dtype, shape and spelling through echo, compared byte by byte."""

import base64
import io
import json
import sys

import numpy as np
import pytest
from harness import DTYPES, ROOT, call, framed, numpy_dtype, recv_frame, tensor, to_array

sys.path.insert(0, str(ROOT / "tests" / "vectors"))
from aliases import ALIASES, ITEM_SIZES  # noqa: E402

SHAPES = [(), (0,), (1,), (7,), (3, 5), (0, 4), (4, 0), (2, 3, 4), (2, 0, 4), (2, 3, 4, 5), (1, 1, 1, 1), (0, 0, 0, 0)]


def random_bits(name, shape, seed=1):
    """Any bits at all, NaNs with payloads included; for bool 0 and 1."""
    count = int(np.prod(shape, dtype=np.int64)) * ITEM_SIZES[name]
    data = np.random.default_rng(seed).bytes(count)
    if name == "bool":
        data = bytes(b & 1 for b in data)
    return np.frombuffer(data, numpy_dtype(name)).reshape(shape)


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_and_rank_comes_back_byte_for_byte(sock, name):
    for shape in SHAPES:
        array = random_bits(name, shape)
        reply = call(sock, {"id": 7, "handler": "echo", **tensor(array, dtype=name)})
        assert reply["status"] == "ok" and reply["id"] == 7
        (item,) = reply["tensors"]
        assert item == {"dtype": name, "shape": list(shape), "tensor": base64.b64encode(array).decode()}


@pytest.mark.parametrize(
    "typestr", [">f4", ">i2", ">f2", ">f8", ">i4", ">i8", ">u2", ">u4", ">u8", ">c8", ">c16", ">i1", ">u1"]
)
def test_big_endian_arrays_arrive_swapped(sock, typestr):
    array = random_bits(np.dtype(typestr).newbyteorder("=").name, (3, 4)).astype(typestr)
    (item,) = call(sock, {"handler": "echo", **tensor(array, dtype=typestr)})["tensors"]
    assert item["dtype"] == np.dtype(typestr).newbyteorder("=").name
    assert to_array(item).tobytes() == array.astype(array.dtype.newbyteorder("=")).tobytes()


def test_every_spelling_of_every_dtype(sock):
    for name, alias in ALIASES:
        array = random_bits(name, (2,))
        reply = call(sock, {"handler": "echo", **tensor(array, dtype=alias)})
        assert reply["status"] == "ok", (alias, reply)
        assert reply["tensors"] == [tensor(array, dtype=name)], alias


@pytest.mark.parametrize("spelling", ["string", "BYTES", "TYPE_STRING", "DT_STRING", "tf.string", "String"])
def test_labels_travel_as_strings(sock, spelling):
    labels = ["cat", "Straße", "日本語", "", "a\0b", "😀", "12"]
    (item,) = call(sock, {"handler": "echo", "data": labels, "dtype": spelling})["tensors"]
    assert item == {"dtype": "string", "shape": [7], "data": labels}


def test_strange_values_keep_their_bits(sock):
    for name, unsigned in (("float64", np.uint64), ("float32", np.uint32), ("float16", np.uint16)):
        info = np.finfo(name)
        quiet = {"float64": 0x7FF8 << 48, "float32": 0x7FC0 << 16, "float16": 0x7E00}[name]
        patterns = np.array([0, 1, 2, quiet, quiet | 3, quiet - (quiet & -quiet) + 1], unsigned)  # and a signalling NaN
        patterns = np.concatenate([patterns, patterns | unsigned(1 << (8 * info.dtype.itemsize - 1))])
        (item,) = call(sock, {"handler": "echo", **tensor(patterns.view(name))})["tensors"]
        assert (to_array(item).view(unsigned) == patterns).all()


def test_all_patterns_of_the_small_floats(sock):
    for name in ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"):
        bits = np.arange(1 << 8 * ITEM_SIZES[name]).astype(f"u{ITEM_SIZES[name]}")
        (item,) = call(sock, {"handler": "echo", **tensor(bits, dtype=name)})["tensors"]
        assert (to_array(item).view(bits.dtype) == bits).all()


def test_members_in_any_order_and_others_between_them(sock):
    import itertools

    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    members = {**tensor(array, "x"), "comment": {"tensor": ["not", "this"], "shape": "}"}}
    for order in itertools.permutations(members):
        for request in (
            {"tensors": [{k: members[k] for k in order}], "handler": "echo"},
            {"handler": "echo", **{k: members[k] for k in order if k != "name"}},
        ):
            (item,) = call(sock, request)["tensors"]
            assert (to_array(item) == array).all()


def test_several_tensors_in_their_order(sock):
    rng = np.random.default_rng(5)
    arrays = {
        f"t{i}": rng.integers(0, 100, rng.integers(0, 5, rng.integers(0, 4))).astype(DTYPES[i % 9]) for i in range(100)
    }
    reply = call(sock, {"handler": "echo", "tensors": [tensor(a, n) for n, a in arrays.items()]})
    assert [t["name"] for t in reply["tensors"]] == list(arrays)
    for item, array in zip(reply["tensors"], arrays.values()):
        assert item["shape"] == list(array.shape) and to_array(item).tobytes() == array.tobytes()


def test_as_many_tensors_as_a_request_may_have(sock):
    items = [{"name": str(i), "dtype": "uint8", "shape": [1], "tensor": "AA=="} for i in range(1024)]
    assert len(call(sock, {"handler": "echo", "tensors": items})["tensors"]) == 1024
    reply = call(sock, {"id": 1, "handler": "echo", "tensors": [*items, {**items[0], "name": "more"}]})
    assert reply["error"]["code"] == "bad_message" and "1024" in reply["error"]["message"]
    assert call(sock, {"handler": "info"})["status"] == "ok"


def test_json_spelt_as_other_languages_spell_it(sock):
    array = np.frombuffer(bytes([0xFB, 0xEF, 0xBE, 0xFF, 0xFF, 0xFF, 0x00]), np.uint8)
    text = base64.b64encode(array).decode()  # ++++////AA==
    spellings = {
        "PHP": text.replace("/", "\\/"),
        ".NET": text.replace("+", "\\u002B").replace("=", "\\u003D"),
        "Gson": text.replace("=", "\\u003d"),
        "all": "".join(f"\\u{ord(c):04X}" for c in text),
    }
    for language, spelling in spellings.items():
        for request in (
            '{"handler":"echo","tensor":"%s","shape":[7],"dtype":"uint8"}',
            ' {\n\t"handler" : "echo" ,\r\n "tensor"\t:' ' "%s" , "shape" : [ 7 ] , "dtype" : "uint8" }\n',
        ):
            sock.sendall(framed((request % spelling).encode()))
            (item,) = recv_frame(sock)["tensors"]
            assert to_array(item).tobytes() == array.tobytes(), language


def test_the_b64_form_of_tensorflow_serving(sock):
    array = np.arange(5, dtype=np.float32)
    item = tensor(array)
    (back,) = call(sock, {"handler": "echo", **item, "tensor": {"b64": item["tensor"]}})["tensors"]
    assert back == item


def test_ids_and_encodings_come_back_as_asked(sock):
    for id in (0, -1, 2**63 - 1, -(2**63), 2**64 - 1, "", "a", '\u0000é😀"\\'):
        reply = call(sock, {"id": id, "handler": "echo", "data": [1]})
        assert reply["id"] == id and type(reply["id"]) is type(id)
    assert "id" not in call(sock, {"handler": "echo", "data": [1]})
    reply = call(sock, {"handler": "echo", "encoding": "list", **tensor(np.array([1.5, np.nan, np.inf, -np.inf]))})
    assert reply["tensors"] == [{"dtype": "float64", "shape": [4], "data": [1.5, "NaN", "Infinity", "-Infinity"]}]
    reply = call(
        sock, {"handler": "echo", "encoding": "list", **tensor(np.array([2**53, 2**53 + 1, -(2**53) - 1]))}
    )
    assert reply["tensors"][0]["data"] == [2**53, str(2**53 + 1), str(-(2**53) - 1)]


def test_stats_agree_with_numpy(sock):
    rng = np.random.default_rng(11)
    for name in DTYPES:
        if name.startswith(("complex", "bfloat", "float8")):
            continue
        array = (
            rng.integers(0, 2, 1000).astype(bool) if name == "bool" else (rng.standard_normal(1000) * 50).astype(name)
        )
        (row,) = call(sock, {"handler": "stats", "tensors": [tensor(array, "x")]})["result"]["tensors"]
        assert (row["name"], row["dtype"], row["shape"], row["nbytes"]) == ("x", name, [1000], array.nbytes)
        assert row["min"] == array.min() and row["max"] == array.max()
        wide = array.astype(np.float64)
        assert row["mean"] == pytest.approx(wide.mean(), rel=1e-12) and row["std"] == pytest.approx(
            wide.std(), rel=1e-9
        )
        assert (row["nan"], row["inf"], row["zero"]) == (0, 0, int((array == 0).sum()))
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 2.0], np.float32)
    (row,) = call(sock, {"handler": "stats", **tensor(odd)})["result"]["tensors"]
    assert (row["nan"], row["inf"], row["zero"]) == (1, 2, 2)


def test_stats_of_integers_are_exact_beyond_float64(sock):
    for array in (np.array([2**63 - 1, -(2**63) + 1]), np.array([2**64 - 1, 2**53 + 1], np.uint64)):
        (row,) = call(sock, {"handler": "stats", **tensor(array)})["result"]["tensors"]
        assert (int(row["min"]), int(row["max"])) == (int(array.min()), int(array.max()))


def test_torch_tensors_with_torchs_own_dtype_names(sock):
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    for dtype in (
        torch.bfloat16,
        torch.float16,
        torch.float32,
        torch.float64,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.uint8,
        torch.bool,
        torch.complex64,
        torch.complex128,
    ):
        for shape in ((), (0,), (5,), (2, 3, 4)):
            t = (torch.randn(shape, dtype=torch.float64) * 3).to(dtype)
            data = bytes(t.contiguous().reshape(-1).view(torch.uint8).numpy()) if t.numel() else b""
            request = {
                "handler": "echo",
                "tensor": base64.b64encode(data).decode(),
                "shape": list(t.shape),
                "dtype": str(t.dtype),
            }
            (item,) = call(sock, request)["tensors"]
            assert item["dtype"] == str(t.dtype).split(".")[1] and item["shape"] == list(t.shape)
            assert base64.b64decode(item["tensor"]) == data


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1"])
def test_pillow_pngs_come_back_as_their_pixels(sock, mode):
    pillow = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(4).integers(0, 256, (9, 14, 4), np.uint8)
    image = (
        pillow.fromarray(pixels, "RGBA").convert("RGB").convert(mode)
        if mode in "P1"
        else pillow.fromarray(pixels, "RGBA").convert(mode)
    )
    file = io.BytesIO()
    image.save(file, "PNG")
    (item,) = call(sock, {"handler": "echo", "image": base64.b64encode(file.getvalue()).decode()})["tensors"]
    shown = np.asarray(image.convert({"P": "RGB", "1": "L"}.get(mode, mode)))
    assert item["shape"] == [9, 14, shown.size // 126] and item["dtype"] == "uint8"
    assert to_array(item).tobytes() == shown.tobytes()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pillow_jpegs_come_back_as_their_pixels(sock, mode):
    pillow = pytest.importorskip("PIL.Image")
    ramp = np.add.outer(np.arange(33) * 5, np.arange(50) * 2).astype(np.uint8)
    image = (
        pillow.fromarray(ramp)
        if mode == "L"
        else pillow.fromarray(np.stack([ramp, 255 - ramp, ramp.T.copy().reshape(33, 50)], -1))
    )
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    (item,) = call(sock, {"handler": "echo", "format": "JPG", "image": base64.b64encode(file.getvalue()).decode()})[
        "tensors"
    ]
    assert item["shape"] == [33, 50, 1 if mode == "L" else 3]
    assert to_array(item).tobytes() == np.asarray(pillow.open(io.BytesIO(file.getvalue()))).tobytes()


def test_sixteen_bit_png_keeps_sixteen_bits(sock):
    pillow = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(6).integers(0, 65536, (5, 7), np.uint16)
    file = io.BytesIO()
    pillow.fromarray(pixels).save(file, "PNG")
    (item,) = call(sock, {"handler": "echo", "image": base64.b64encode(file.getvalue()).decode()})["tensors"]
    assert item["dtype"] == "uint16" and item["shape"] == [5, 7, 1] and to_array(item).tobytes() == pixels.tobytes()


def test_replies_are_strict_json_whatever_the_names_hold(sock):
    name = '\u0000\u001f"\\/\u2028é😀'
    reply = call(sock, {"id": name, "handler": "stats", "tensors": [{"name": name, "data": [float("nan")]}]})
    assert reply["id"] == name and reply["result"]["tensors"][0]["name"] == name
    assert json.dumps(reply)
