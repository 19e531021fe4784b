"""The inert records that a pickle leaves when nothing of it is done: what it would import, call and change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from norse_export.errors import InputFileError, LimitError

_SHOWN_CHARACTERS = 120
_PRINTABLE_BITS = 128  # Python refuses to print more than 4300 digits


@dataclass(frozen=True, slots=True)
class Global:
    """A name that a real unpickler would import."""

    module: str
    name: str

    @property
    def path(self) -> str:
        """The full name, such as `torch.nn.modules.linear.Linear`."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PersistentId:
    """A reference to something that stands beside the pickle, such as a tensor's storage."""

    value: Any


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Call:
    """A call that a real unpickler would make, and what it would then do to the result.

    how: "reduce" calls `callable`; "new" calls its `__new__`; "inst" is the oldest form of both.
    states: what BUILD would hand to `__setstate__` or put into `__dict__`, in order.
    items: key and value pairs that would be set; appended: values that would be appended or added.
    """

    how: Literal["reduce", "new", "inst"]
    callable: Any
    args: tuple[Any, ...]
    kwargs: dict[Any, Any] | None
    states: list[Any]
    items: list[tuple[Any, Any]]
    appended: list[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Pickle:
    """All that a pickle says: its value, and everything a real unpickler would have touched on the way to it.

    `globals`, `calls` and `writes` also hold what was thrown away again before the end. `writes` are the objects,
    not made by the pickle itself, that it would have changed.
    """

    root: Any
    globals: tuple[Global, ...]
    calls: tuple[Call, ...]
    writes: tuple[Any, ...]


def contents(value: Any) -> Iterator[Any]:
    """What stands directly inside a value or record."""
    match value:
        case list() | tuple() | set() | frozenset():
            yield from value
        case dict():
            yield from value.keys()
            yield from value.values()
        case PersistentId():
            yield value.value
        case Call():
            yield value.callable
            yield value.args
            yield value.kwargs
            yield from value.states
            yield value.items
            yield from value.appended


def corrupt(what: str) -> InputFileError:
    """The error for a pickle that cannot be what a pickler wrote."""
    return InputFileError(
        f"the pickle is truncated or corrupt: {what}",
        where="data.pkl",
        fix="copy the file again, or save it again with norse_export.save(model, path, example_input)",
        kind="corrupt",
    )


def too_large(what: str, limit: int, option: str) -> LimitError:
    """The error for a pickle with `what` ("more objects") than a limit allows; `option` is the limit's name."""
    return LimitError(
        f"the pickle holds {what} than the limit of {limit}",
        where="data.pkl",
        fix=f"raise the limit {option} if you trust the file's origin",
    )


def described(value: Any) -> str:
    """A value or record for a message."""
    match value:
        case Global():
            return shown(value.path)
        case Call(callable=Global() as name):
            return f"a {shown(name.path)}"
        case Call():
            return "the result of a call"
        case None | bool() | float() | str():
            return shown(value)
        case int() if value.bit_length() <= _PRINTABLE_BITS:
            return str(value)
    return f"a {type(value).__name__}"


def shown(value: Any) -> str:
    """A plain value for a message: short, on one line, printable everywhere."""
    text = value if isinstance(value, str) and value.isprintable() and value.isascii() else ascii(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."
