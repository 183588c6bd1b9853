"""The wire's dtypes in numpy, and the three that numpy lacks (bfloat16, float8) as arrays of their bits."""

import functools

import numpy as np

# Names whose bits travel in another numpy dtype, with that dtype.
BIT_DTYPES = {"bfloat16": np.dtype(np.uint16), "float8_e4m3fn": np.dtype(np.uint8), "float8_e5m2": np.dtype(np.uint8)}
NUMPY_DTYPES = {
    name: np.dtype(name)
    for name in (
        "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128"
    ).split()
}


class RawArray(np.ndarray):
    """The bits of a dtype that numpy lacks: uint16 for bfloat16, uint8 for the float8 types, with `wire_dtype` naming
    it. It is sent back as that dtype; anything computed from it is a plain array of bits again."""

    wire_dtype = None

    def __array_finalize__(self, parent):
        # Reshaped and sliced arrays keep the name; an array of another itemsize cannot hold the same elements.
        if isinstance(parent, RawArray) and self.dtype == parent.dtype:
            self.wire_dtype = parent.wire_dtype

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        inputs = [np.asarray(i) if isinstance(i, RawArray) else i for i in inputs]
        if out is not None:
            kwargs["out"] = tuple(np.asarray(o) if isinstance(o, RawArray) else o for o in out)
        return getattr(ufunc, method)(*inputs, **kwargs)

    def to_float32(self):
        """The values, which float32 holds exactly."""
        return _values(self.wire_dtype)[np.asarray(self)]


def raw(bits, wire_dtype):
    """Marks an array of bits as bfloat16 (uint16) or float8_e4m3fn/float8_e5m2 (uint8), for sending. Does not copy."""
    if wire_dtype not in BIT_DTYPES:
        raise ValueError(f"raw() is for {', '.join(BIT_DTYPES)}, not {wire_dtype!r}: numpy has that dtype itself")
    bits = np.asarray(bits)
    if bits.dtype != BIT_DTYPES[wire_dtype]:
        raise ValueError(
            f"the bits of {wire_dtype} are {BIT_DTYPES[wire_dtype]}, got {bits.dtype}: pass the bits, "
            "or use from_float() for values"
        )
    marked = bits.view(RawArray)
    marked.wire_dtype = wire_dtype
    return marked


@functools.lru_cache(None)
@np.errstate(invalid="ignore")  # converting a signalling NaN
def _values(wire_dtype):
    """The float32 value of every bit pattern."""
    if wire_dtype == "bfloat16":
        return (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)
    bits = np.arange(1 << 8, dtype=np.uint16)
    if wire_dtype == "float8_e5m2":  # the upper half of a float16
        return (bits << 8).view(np.float16).astype(np.float32)
    exponent, fraction = (bits >> 3 & 15).astype(np.int32), (bits & 7).astype(np.float64)
    magnitude = np.where(exponent == 0, np.ldexp(fraction, -9), np.ldexp(8 + fraction, exponent - 10))
    magnitude[(bits & 0x7F) == 0x7F] = np.nan
    return np.where(bits & 0x80, -magnitude, magnitude).astype(np.float32)


@np.errstate(invalid="ignore")
def from_float(values, wire_dtype):
    """The RawArray nearest to float values (ties to even). What exceeds the largest finite value becomes infinity, or
    NaN in float8_e4m3fn, which has no infinity."""
    values = np.asarray(values, dtype=np.float64)
    sign_bit = 1 << (8 * BIT_DTYPES[wire_dtype].itemsize - 1)
    table = _values(wire_dtype)[:sign_bit].astype(
        np.float64
    )  # of the positive patterns, ascending up to the last finite
    largest = int(np.flatnonzero(np.isfinite(table))[-1])
    ends = np.append(table[: largest + 1], 2 * table[largest] - table[largest - 1])
    halfway = (ends[:-1] + ends[1:]) / 2
    magnitude = np.abs(values)
    index = np.searchsorted(halfway, magnitude)  # the number of halfway points below the value
    tie = halfway[np.minimum(index, largest)] == magnitude
    index = np.where(tie & (index % 2 == 1) & (index <= largest), index + 1, index)
    nan = sign_bit - 1 if wire_dtype == "float8_e4m3fn" else largest + 1 + (largest + 1 & -(largest + 1)) // 2
    index = np.where(np.isnan(values), nan, index)
    return raw((index | np.where(np.signbit(values), sign_bit, 0)).astype(BIT_DTYPES[wire_dtype]), wire_dtype)


def wire_name(array):
    """The dtype as the request names it: canonical, or a numpy typestr where the bytes are big-endian."""
    if isinstance(array, RawArray) and array.wire_dtype and array.dtype == BIT_DTYPES[array.wire_dtype]:
        return array.wire_dtype
    dtype = array.dtype
    if dtype.name in NUMPY_DTYPES and dtype.fields is None:
        return dtype.name if dtype.isnative else dtype.str
    if dtype.name in BIT_DTYPES:  # registered with numpy by ml_dtypes
        return dtype.name
    raise TypeError(
        f"no tensor of this protocol has the numpy dtype {dtype}; it has {', '.join(NUMPY_DTYPES)}, "
        f"{', '.join(BIT_DTYPES)} and string"
    )
