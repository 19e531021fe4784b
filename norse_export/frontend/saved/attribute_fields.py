"""What the value of an attribute in a file must be: in words for the message, and as a test.

The values are those of the document that `torch_file` gives (JSON): a tuple is a list, a tensor {"tensor": key}, a
function {"function": name}, a dtype {"dtype": name}, a bound method {"method": name}, a tuple of parameters {"class":
name, "fields": {...}}.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Field:
    """What the value of one attribute must be, in words and as a test.

    holds: the class of the tuple of parameters that may stand here; no other is looked into.
    """

    expected: str
    accepts: Callable[[Any], bool]
    holds: str = ""


def _is_whole(value: Any, minimum: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"tensor"}


def _list_of(value: Any, length: int, minimum: int | None) -> bool:
    if not isinstance(value, list) or len(value) != length:
        return False
    return all(INTEGER.accepts(item) if minimum is None else _is_whole(item, minimum) for item in value)


def whole(minimum: int, maximum: int | None = None) -> Field:
    """A count, from `minimum` on, and up to `maximum` where there is one."""
    if maximum is None:
        return Field(f"a whole number of {minimum} or more", lambda value: _is_whole(value, minimum))
    return Field(
        f"a whole number from {minimum} to {maximum}", lambda value: _is_whole(value, minimum) and value <= maximum
    )


def sizes(length: int, minimum: int | None) -> Field:
    """As a convolution keeps them: one number for each axis."""
    return Field(
        f"{length} whole numbers" + ("" if minimum is None else f" of {minimum} or more"),
        lambda value: _list_of(value, length, minimum),
    )


def size_or_sizes(minimum: int, *, optional: bool = False) -> Field:
    """As a pool keeps them: one number, or one for each of two axes."""
    return Field(
        f"one or two whole numbers of {minimum} or more" + (", or None" if optional else ""),
        lambda value: (optional and value is None) or _is_whole(value, minimum) or _list_of(value, 2, minimum),
    )


def choice(*allowed: Any) -> Field:
    """One of a few constants, of the same type."""
    words = " or ".join(map(repr, allowed))
    return Field(words, lambda value: any(type(value) is type(each) and value == each for each in allowed))


def function(*names: str) -> Field:
    """One of a few functions, by full name."""
    return Field(" or ".join(names), lambda value: value in [{"function": name} for name in names])


def parameters_of(name: str) -> Field:
    """A tuple of parameters of the class `name`."""
    return Field(name, lambda value: isinstance(value, dict) and value.get("class") == name, holds=name)


FLAG = Field("True or False", lambda value: isinstance(value, bool))
FLAGS = Field("a list of True and False", lambda value: isinstance(value, list) and all(map(FLAG.accepts, value)))
DTYPE = Field("a float type of torch", lambda value: isinstance(value, dict) and value.keys() == {"dtype"})
INTEGER = Field("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool))
NUMBER = Field("a number", _is_number)
OPTIONAL_NUMBER = Field("a number or None", lambda value: value is None or _is_number(value))
INDICES = Field(
    "a whole number, or a list of them",
    lambda value: INTEGER.accepts(value) or (isinstance(value, list) and all(map(INTEGER.accepts, value))),
)
INTEGERS = Field("whole numbers", lambda value: isinstance(value, list) and all(map(INTEGER.accepts, value)))
NONZERO = Field("a whole number other than 0, or None", lambda v: v is None or (INTEGER.accepts(v) and v != 0))
TENSOR = Field("a tensor", _is_tensor)
VALUE = Field("a number or a tensor", lambda value: _is_number(value) or _is_tensor(value))
TEXT = Field("a text", lambda value: isinstance(value, str))
NONE = Field("None", lambda value: value is None)
OWN_STATE = Field("the module's own method initial_state", lambda value: value == {"method": "initial_state"})
