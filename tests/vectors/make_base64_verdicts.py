#!/usr/bin/env python3
"""Writes base64_verdicts.hpp: what CPython's strict base64 decoder says of every short text, for the C++ tests.

Run it with CPython 3.11, whose verdicts the wire format promises: python3 make_base64_verdicts.py
"""

import binascii
import itertools
import pathlib
import platform
import textwrap

ALPHABET = "A/=-"
LONGEST = 6
# In the order of Base64Verdict, which the digits in the table stand for.
MESSAGES = (
    None,
    "Leading padding not allowed",
    "Excess data after padding",
    "Discontinuous padding not allowed",
    "Only base64 data is allowed",
    "cannot be 1 more than a multiple of 4",
    "Incorrect padding",
)


def judge(text):
    """Returns the verdict's number and the decoded bytes."""
    try:
        return 0, binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        return next(i for i, message in enumerate(MESSAGES) if message and message in str(error)), b""


def table(texts):
    """Returns all verdicts as one string of digits, and the hexadecimal bytes of the accepted texts, comma-ended."""
    judged = [judge(text) for text in texts]
    return "".join(str(verdict) for verdict, _ in judged), "".join(d.hex() + "," for v, d in judged if v == 0)


def literal(name, text):
    lines = "\n".join(f'    "{line}"' for line in textwrap.wrap(text, 110, break_on_hyphens=False))
    return f"inline constexpr std::string_view {name} =\n{lines};\n"


def main():
    short = ["".join(t).encode() for n in range(LONGEST + 1) for t in itertools.product(ALPHABET, repeat=n)]
    one_byte = [b"AAA" + bytes([c]) for c in range(256)]
    parts = [
        f"// What CPython {platform.python_version()} says of short base64 texts; written by make_base64_verdicts.py.",
        "#pragma once\n\n#include <cstddef>\n#include <string_view>\n\nnamespace tensorwire::base64_vectors {\n",
        f'inline constexpr std::string_view alphabet = "{ALPHABET}";',
        f"inline constexpr std::size_t longest = {LONGEST};\n",
        "// The verdicts (as digits) and bytes (of accepted texts, in hexadecimal, each ended by a comma) of every",
        "// text over the alphabet up to the longest: by length, then in the alphabet's order, last character fastest.",
        *(literal(n, t) for n, t in zip(("verdicts", "bytes"), table(short))),
        '// The same of "AAA" followed by each of the 256 byte values.',
        *(literal(n, t) for n, t in zip(("byte_verdicts", "byte_bytes"), table(one_byte))),
        "}  // namespace tensorwire::base64_vectors\n",
    ]
    pathlib.Path(__file__).with_name("base64_verdicts.hpp").write_text("\n".join(parts))


if __name__ == "__main__":
    main()
