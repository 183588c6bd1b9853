"""Tensors as JSON lists (`data`), without one value changed: what JSON numbers cannot carry travels as strings."""

import fractions
import math

import numpy as np

from . import dtypes

SAFE_INTEGER = 1 << 53  # integers up to here survive readers that keep every number as a float64


def to_list(array, name):
    """The value of `data` for an array of the wire dtype `name`: nested lists after its shape, a scalar for rank 0."""
    array = _native(array)
    if name in dtypes.BIT_DTYPES:
        array = _bits_to_float32(array, name)
    if array.dtype.kind == "c":
        array = (
            array.view(array.real.dtype).reshape(*array.shape, 2) if array.ndim else np.array([array.real, array.imag])
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return _replace(array.tolist(), lambda v: v != v or v in (np.inf, -np.inf), _constant)
    if (
        array.dtype.kind in "iu"
        and array.size
        and (int(array.max()) > SAFE_INTEGER or int(array.min()) < -SAFE_INTEGER)
    ):
        return _replace(array.tolist(), lambda v: abs(v) > SAFE_INTEGER, str)
    return array.tolist()


def _native(array):
    array = np.ascontiguousarray(array).reshape(array.shape)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _bits_to_float32(array, name):
    bits = np.asarray(array).view(dtypes.BIT_DTYPES[name])
    return dtypes.raw(bits, name).to_float32()


def _constant(value):
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _replace(values, wanted, replacement):
    if isinstance(values, list):
        return [_replace(v, wanted, replacement) for v in values]
    return replacement(values) if wanted(values) else values


def from_list(data, name, shape):
    """The array that a `data` value stands for: RawArray for the dtypes numpy lacks, objects (str) for `string`."""
    if name == "string":
        flat = np.empty(math.prod(shape), dtype=object)
        flat[:] = _flatten(data)
        return flat.reshape(shape)
    if name.startswith("complex"):
        parts = from_list(data, "float32" if name == "complex64" else "float64", [*shape, 2])
        return parts.view(name).reshape(shape)
    if name in dtypes.BIT_DTYPES:
        return dtypes.from_float(_floats(data, shape), name)
    if np.dtype(name).kind in "iu":
        return _integers(data, name, shape)
    if name == "float32":
        return _float32(data, shape)
    return _booleans(data, shape) if name == "bool" else _floats(data, shape).astype(name)


def _flatten(data):
    level = [data]
    while any(isinstance(v, list) for v in level):
        level = [v for row in level for v in (row if isinstance(row, list) else [row])]
    return level


def _integers(data, name, shape):
    flat = _flatten(data)
    if any(type(v) is not int for v in flat):
        flat = [_integer(v) for v in flat]
    limits = np.iinfo(name)
    if flat and not (limits.min <= min(flat) and max(flat) <= limits.max):
        raise ValueError(f"values from {min(flat)} to {max(flat)} do not fit {name}")
    return np.array(flat, dtype=name).reshape(shape)


def _integer(value):
    if type(value) in (int, str):
        return int(value)
    raise ValueError(f"{value!r} in a list of integers")


def _booleans(data, shape):
    flat = _flatten(data)
    if any(type(v) is not bool for v in flat):
        raise ValueError("something else than true and false in a list of bool")
    return np.array(flat, dtype=bool).reshape(shape)


def _floats(data, shape):
    """float64 from numbers and from the strings NaN, Infinity and -Infinity."""
    return np.array([float(v) for v in _flatten(data)], dtype=np.float64).reshape(shape)


@np.errstate(over="ignore")
def _float32(data, shape):
    """Rounded once, although Python reads every number as a float64 first."""
    exact = _floats(data, [-1])
    rounded = exact.astype(np.float32)
    toward = np.where(exact > rounded, np.float32(np.inf), np.float32(-np.inf))
    neighbour = np.nextafter(rounded, toward)
    halfway = (rounded.astype(np.float64) + neighbour.astype(np.float64)) / 2 == exact
    # A float64 halfway between two float32 may stand for a text that was a little off it. A float32 is written in at
    # most nine digits, and repr() gives every text of up to fifteen digits back.
    for i in np.flatnonzero(halfway & np.isfinite(exact)):
        rounded[i] = _nearest(repr(float(exact[i])), rounded[i], neighbour[i])
    return rounded.reshape(shape)


def _nearest(text, one, other):
    """Whichever of two neighbouring float32 lies nearer to the decimal text; the first at a tie."""
    value = fractions.Fraction(text)
    return other if abs(fractions.Fraction(float(other)) - value) < abs(fractions.Fraction(float(one)) - value) else one
