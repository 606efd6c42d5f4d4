"""Mutations of valid content, and generated nonsense; everything random comes from the generator of the case."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

INTEGERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
NUMBERS = (
    "0", "-1", "1_0", "nan", "inf", "-inf", "1e999", "1e-999", "1e39", "0x10", "", " ", "x", "9" * 30, "9" * 5001,
    "٣", "1,2", "1.5", "-0", "1e3", "true", "null", "~", "½", "1\x002", "--1", "3" * 400,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 10**30, -(10**30), 2**31, 2**63, 1e308, -0.5, 0.5, float("nan"), float("inf"), "",
    "x", "0", "nan", "\u0000", "../x", "~nobody", "é" * 100, [], {}, [[]], [1, 2], {"a": 1}, [None], "lstm", "tanh",
)  # fmt: skip
Text = Callable[[Random, str], str]


def choose(rng: Random, options: Sequence[Any]) -> Any:
    """One of `options`."""
    return options[rng.randrange(len(options))]


def mutated_bytes(rng: Random, content: bytes, head: int = 64) -> bytes:
    """Return `content` after 1 to 4 mutations; half of them fall on the first `head` bytes, where headers are."""
    if rng.random() < 0.03:
        return nonsense(rng)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(1 + (min(len(content), head) if rng.random() < 0.5 else len(content)))
        length = choose(rng, (1, 2, 4, 8, 64, 1000))
        kind = rng.randrange(8)
        if kind == 0 and content:
            flipped = bytearray(content)
            for _ in range(rng.randint(1, 8)):
                flipped[min(place, len(flipped) - 1)] ^= 1 << rng.randrange(8)
            content = bytes(flipped)
        elif kind == 1:
            content = content[:place]
        elif kind == 2:
            size = choose(rng, (1, 2, 4, 8))
            number = (choose(rng, INTEGERS) & (256**size - 1)).to_bytes(size, choose(rng, ("little", "big")))
            content = content[:place] + number + content[place + size :]
        elif kind == 3:
            content = content[:place] + content[place + length :]
        elif kind == 4:
            content = content[: place + length] + content[place:]
        elif kind == 5:
            content = content[:place] + rng.randbytes(length) + content[place:]
        elif kind == 6:
            content = content[:place] + bytes(length) + content[place + length :]
        else:
            content += rng.randbytes(length)
    return content


def mutated_text(rng: Random, text: str, words: Sequence[str] = NUMBERS) -> bytes:
    """Return the text after 1 to 4 mutations of its numbers, lines and characters, in some encoding."""
    if rng.random() < 0.03:
        return nonsense(rng)
    for _ in range(rng.randint(1, 4)):
        lines = text.split("\n")
        at = rng.randrange(len(lines))
        kind = rng.randrange(9)
        if kind <= 2 and (found := list(re.finditer(r"[-\w.]+", text))):
            match = choose(rng, found)
            text = text[: match.start()] + choose(rng, words) + text[match.end() :]
            continue
        if kind == 3:
            del lines[at]
        elif kind == 4:
            lines.insert(at, choose(rng, lines))
        elif kind == 5:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 6:
            place = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + choose(rng, NASTY) + lines[at][place:]
        elif kind == 7:
            lines[at] = lines[at] * min(choose(rng, (2, 10, 200)), max(1, LONGEST // max(1, len(lines[at]))))
        else:
            lines = lines[:at]
        text = "\n".join(lines)
    encoding = choose(rng, ("utf-8",) * 8 + ("utf-16", "latin-1", "utf-8-sig"))
    return text.encode(encoding, errors="replace")


LONGEST = 5_000_000  # characters of a repeated line
NASTY = (
    ",", ";", ":", '"', "'", "\t", "\r", "\x00", "\ufeff", "\u2028", "{", "}", "[", "]", "&a ", "*a",
    "!!python/name:os ",
    "!!int ", "- ", "? ", "| ", "#", "@", "%", "<", ">", "&x;", "\\", "é", "\U0001f600", "[" * 500, '"' * 99,
    "x" * 10_000,
)  # fmt: skip


def mutated_json(rng: Random, value: Any) -> bytes:
    """Return a JSON value after 1 to 3 mutations of its parts, as text; sometimes the text is mutated, too."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        value = _mutated_part(rng, value)
    text = json.dumps(value)
    if rng.random() < 0.05:
        text = text.replace("{", "[" * choose(rng, (100, 5000, 100_000)), 1)
    return mutated_text(rng, text) if rng.random() < 0.1 else text.encode()


def _mutated_part(rng: Random, value: Any) -> Any:
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return copy.deepcopy(choose(rng, VALUES))
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = choose(rng, keys)
    kind = rng.randrange(10)
    if kind == 0:
        del value[key]
    elif kind == 1 and isinstance(value, dict):
        value[f"{key}x"] = value.pop(key)
    elif kind == 2 and isinstance(value, list):
        value.append(copy.deepcopy(value[key]))
    else:
        value[key] = _mutated_part(rng, value[key])
    return value


def nonsense(rng: Random) -> bytes:
    """Content that has nothing to do with the format."""
    return choose(
        rng,
        (
            b"", b"\0", b"\n" * 100, rng.randbytes(rng.randrange(300)), b"PK\x03\x04" + rng.randbytes(60),
            b"\x1f\x8b\x08" + rng.randbytes(60), b"{" * 2000, b"[" * 200_000, b"<a>" * 3000, b"\xff\xfe" * 50,
            b"9" * 6000, b"MThd", b"RIFF", b"\x93NUMPY", b"#!/bin/sh\n", b"-", b"nan\n" * 20, b"null", b"true",
        ),
    )  # fmt: skip
