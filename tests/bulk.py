"""Many random cases, of which the default suite runs the first few, and `make test-bulk` all others. Not tests."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import pytest


def numbers(count: int, shown: int) -> list[Any]:
    """The numbers 0 to count - 1 for `parametrize`; from `shown` on they are bulk."""
    return [pytest.param(number, marks=() if number < shown else (pytest.mark.bulk,)) for number in range(count)]


def some(
    values: Iterable[Any], shown: Container[Any], ids: Iterable[str] | None = None, mark: Any = pytest.mark.bulk
) -> list[Any]:
    """The values for `parametrize`; those that are not among `shown` are bulk, or have another mark."""
    names = list(values)
    return [
        pytest.param(value, marks=() if value in shown else (mark,), id=identity)
        for value, identity in zip(names, ids or [None] * len(names), strict=True)
    ]
