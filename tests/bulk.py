"""Many random cases, of which the default suite runs the first few, and `make test-bulk` all others. Not tests."""

from __future__ import annotations

from typing import Any

import pytest


def numbers(count: int, shown: int) -> list[Any]:
    """The numbers 0 to count - 1 for `parametrize`; from `shown` on they are bulk."""
    return [pytest.param(number, marks=() if number < shown else (pytest.mark.bulk,)) for number in range(count)]
