"""What an input file may ask for: bytes, objects, depth, edges, names. One place for the numbers and the refusal."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from norse_export.errors import LimitError, UsageError

LimitName = Literal["max_bytes", "max_objects", "max_depth", "max_edges", "max_name_bytes", "max_header_bytes"]

# What each limit counts, as it stands in the message.
_COUNTED: dict[LimitName, str] = {
    "max_bytes": "bytes of tensors",
    "max_objects": "objects",
    "max_depth": "levels of nesting",
    "max_edges": "edges",
    "max_name_bytes": "bytes in a name",
    "max_header_bytes": "bytes of header",
}
# Longer numbers are not printed: Python refuses to print more than 4300 digits.
_PRINTABLE_BITS = 128


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one input file. A value equal to its limit passes; one more is refused.

    The defaults are chosen, not measured: far above any model that a neuromorphic chip holds, and far below what
    makes a laptop swap. Each can be set on the command line (`--max-bytes` and so on).

    Raises:
        UsageError: a limit that is not a whole number of 1 or more.
    """

    max_bytes: int = 2**30
    max_objects: int = 100_000
    max_depth: int = 32
    max_edges: int = 1_000_000
    max_name_bytes: int = 256
    max_header_bytes: int = 16 * 2**20

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(
                    f"a limit must be a whole number of 1 or more, not {value!r}",
                    where=option_of(field.name),
                    fix=f"leave it out, or give for example {option_of(field.name)} {field.default}",
                )

    def check(self, limit: LimitName, value: int, *, where: str) -> None:
        """Refuse `value` when it is above the limit of that name; `where` is the file, and the place in it.

        Raises:
            LimitError: value > limit.
        """
        allowed: int = getattr(self, limit)
        if value <= allowed:
            return
        printable = value.bit_length() <= _PRINTABLE_BITS
        shown, wanted = (str(value), str(value)) if printable else (f"more than 2**{_PRINTABLE_BITS}", "N")
        raise LimitError(
            f"too large: {shown} {_COUNTED[limit]} exceed the limit of {allowed}",
            where=where,
            fix=f"check where the file comes from; if it is meant to be so large, pass {option_of(limit)} {wanted}",
        )


def option_of(limit: str) -> str:
    """The command line option that sets a limit: `--max-bytes` for `max_bytes`."""
    return "--" + limit.replace("_", "-")
