"""Every spelling of every dtype that common/PROTOCOL.md accepts, and the bytes of one element."""

ITEM_SIZES = {
    "bool": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8,
    "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "float8_e4m3fn": 1, "float8_e5m2": 1, "complex64": 8,
    "complex128": 16,
}

_INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
_LETTERS = {"bool": "b1", "float16": "f2", "float32": "f4", "float64": "f8", "complex64": "c8", "complex128": "c16",
            **{name: f"{'u' if name[0] == 'u' else 'i'}{ITEM_SIZES[name]}" for name in _INTEGERS}}
_OPEN_INFERENCE = {"bool": "BOOL", "float16": "FP16", "bfloat16": "BF16", "float32": "FP32", "float64": "FP64",
                   **{name: name.upper() for name in _INTEGERS}}
_TENSORFLOW = {"bool": "BOOL", "float16": "HALF", "bfloat16": "BFLOAT16", "float32": "FLOAT", "float64": "DOUBLE",
               "complex64": "COMPLEX64", "complex128": "COMPLEX128", "float8_e4m3fn": "FLOAT8_E4M3FN",
               "float8_e5m2": "FLOAT8_E5M2", **{name: name.upper() for name in _INTEGERS}}
_SAFETENSORS = {"bool": "BOOL", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
                "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "complex64": "C64",
                **{name: f"{'U' if name[0] == 'u' else 'I'}{8 * ITEM_SIZES[name]}" for name in _INTEGERS}}
_TORCH_SHORT = {"half": "float16", "float": "float32", "double": "float64", "short": "int16", "int": "int32",
                "long": "int64"}


def _spellings():
    for name in ITEM_SIZES:
        yield from ((name, s) for s in (name, name.upper(), name.title(), f"torch.{name}", f"tf.{name}", f"TF.{name}"))
    for name, letter in _LETTERS.items():
        marks = "<=" if ITEM_SIZES[name] > 1 else "|<="
        yield from ((name, mark + letter) for mark in marks)
    yield "bool", "?"
    for table, prefixes in ((_OPEN_INFERENCE, ("", "TYPE_")), (_TENSORFLOW, ("DT_",)), (_SAFETENSORS, ("",))):
        for name, word in table.items():
            yield from ((name, prefix + word) for prefix in prefixes)
    for word, name in _TORCH_SHORT.items():
        yield from ((name, s) for s in (word, f"torch.{word}", word.upper()))


# (canonical name, spelling) pairs, without repetitions.
ALIASES = list(dict.fromkeys(_spellings()))
