"""JSON out of a file, refusing what the format leaves open: duplicate keys, NaN, endless nesting, too many values."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

from norse_export.errors import InputFileError
from norse_export.files.limits import Limits

_FIX = "get the file again from its source, or save the model again"


def loads(data: bytes | str, *, where: str, limits: Limits | None) -> Any:
    """Parse JSON text (UTF-8). `where` is the file, and the place in it, for messages.

    Nesting is counted in containers: `[[1]]` has depth 2. Every value and every key counts as one object. With no
    limits, only what Python cannot parse is too deep.

    Raises:
        InputFileError: not JSON, not UTF-8, a key twice in one object, NaN or Infinity, nested beyond parsing.
        LimitError: deeper than `max_depth`, more than `max_objects` values and keys.
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        parsed = dict(items)
        if len(parsed) != len(items):
            keys = Counter(key for key, _ in items)
            raise _corrupt(f"duplicate key {keys.most_common(1)[0][0]!r}", where)
        return parsed

    def constant(name: str) -> NoReturn:
        raise _corrupt(f"{name} is not a JSON number", where)

    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        parsed = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except RecursionError as error:
        raise _corrupt("nested too deep", where) from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are; so is an integer of 4301 digits
        raise _corrupt(str(error), where) from error
    if limits is not None:
        _check_size(parsed, where, limits)
    return parsed


def _check_size(parsed: Any, where: str, limits: Limits) -> None:
    """Level by level, so that no recursion depends on the file."""
    depth, objects, level = 0, 1, [parsed]
    while True:
        level = [value for value in level if isinstance(value, (dict, list))]
        if not level:
            break
        depth += 1
        limits.check("max_depth", depth, where=where)
        objects += sum(len(value) * (2 if isinstance(value, dict) else 1) for value in level)
        limits.check("max_objects", objects, where=where)
        level = [inner for value in level for inner in (value.values() if isinstance(value, dict) else value)]


def _corrupt(what: str, where: str) -> InputFileError:
    return InputFileError(f"corrupt JSON: {what}", where=where, fix=_FIX, kind="json")
