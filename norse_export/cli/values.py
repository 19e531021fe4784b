"""The values of options: each function makes the converter of one option, which refuses with what, where and fix."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

from norse_export.errors import UsageError

_WHOLE = re.compile(r"[+-]?[0-9]+")
_SIZE = re.compile(r"([0-9]+)([KMGT]?)(?:i?B)?", re.IGNORECASE)
_SIZES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_MOST_DIGITS = 19  # of what still fits in 64 bits; Python refuses to read thousands of digits


def whole(option: str, example: int, *, minimum: int, maximum: int = 2**63 - 1) -> Callable[[str], int]:
    """A whole number from minimum to maximum."""

    def convert(text: str) -> int:
        number = int(text) if _WHOLE.fullmatch(text) and len(text) <= _MOST_DIGITS + 1 else None
        if number is None or not minimum <= number <= maximum:
            raise _refusal(option, f"a whole number from {minimum} to {maximum}", text, example)
        return number

    return convert


def positive(option: str, example: str, *, at_most: float = math.inf, unit: str = "") -> Callable[[str], float]:
    """A finite number above 0, and not above `at_most`."""
    bound = "" if at_most == math.inf else f" and at most {at_most:g}"
    wanted = f"a finite number above 0{bound}{unit}"

    def convert(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not (0 < number <= at_most and math.isfinite(number)):
            raise _refusal(option, wanted, text, example)
        return number

    return convert


def word(option: str) -> Callable[[str], str]:
    """A name that is not empty."""

    def convert(text: str) -> str:
        if not text.strip():
            raise _refusal(option, "a name", text, "NAME")
        return text

    return convert


def size(option: str, example: str) -> Callable[[str], int]:
    """Bytes: `1000000`, `500M`, `4G`; K, M, G and T are powers of 1024."""

    def convert(text: str) -> int:
        match = _SIZE.fullmatch(text)
        if match is None or len(match[1]) > _MOST_DIGITS or int(match[1]) == 0:
            raise _refusal(option, "a number of bytes of 1 or more, such as 1000000, 500M or 4G", text, example)
        return int(match[1]) * _SIZES[match[2].upper()]

    return convert


def shape(option: str, example: str) -> Callable[[str], tuple[int, ...]]:
    """Sizes of the axes, separated by commas."""
    axis = whole(option, 1, minimum=1)

    def convert(text: str) -> tuple[int, ...]:
        try:
            return tuple(axis(part.strip()) for part in text.split(","))
        except UsageError:
            wanted = "the sizes of the axes of one sample of one step, each 1 or more, separated by commas"
            raise _refusal(option, wanted, text, example) from None

    return convert


def layer_bits(option: str) -> Callable[[str], tuple[str, int]]:
    """A layer's name, "=", and its number of bits."""
    bits = whole(option, 4, minimum=1, maximum=16)

    def convert(text: str) -> tuple[str, int]:
        name, equals, number = text.rpartition("=")
        if not (name and equals):
            raise _refusal(option, "a layer and its number of bits, LAYER=BITS", text, "0=4")
        return name, bits(number)

    return convert


def one_of(option: str, choices: tuple[str, ...]) -> Callable[[str], str]:
    """One of a few words."""

    def convert(text: str) -> str:
        if text not in choices:
            raise _refusal(option, f"one of {', '.join(choices)}", text, choices[0])
        return text

    return convert


def file_name(where: str) -> Callable[[str], Path]:
    """The name of a file or folder; whether it is there is looked at when it is opened."""

    def convert(text: str) -> Path:
        if not text:
            raise UsageError("the name of a file is empty", where=where, fix="give the name of a file")
        return Path(text)

    return convert


def _refusal(option: str, wanted: str, given: str, example: object) -> UsageError:
    what = f"{option} takes {wanted}, not {given!r}"
    return UsageError(what, where=option, fix=f"give for example {option} {example}")
