"""A kernel with its numbers: what the driver calls in each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import Any

from norse_export.engine.cache import loaded

Symbol = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Late:
    """A number that is known when a run begins: what `symbol` stands for (an address, mostly), plus an offset."""

    symbol: Symbol
    offset: int = 0

    def __add__(self, more: int) -> Late:
        return Late(self.symbol, self.offset + more)


Number = int | Late


@dataclass(frozen=True, slots=True)
class Call:
    """A kernel's address, and the numbers that it takes in their order."""

    function: int
    numbers: tuple[Number, ...]


def call(kernel: Callable[..., Any], types: Mapping[str, str] | None = None, /, **numbers: Number) -> Call:
    """Bind a kernel of `kernels/` to element types (names of numpy's) and to its other arguments, by name.

    Raises:
        TypeError: an argument is missing, or there is none of that name.
    """
    types = types or {}
    names, wanted = _arguments(kernel)
    if set(wanted) != set(numbers) or {*wanted, *types} != set(names):
        raise TypeError(f"{kernel.__name__} takes {names}, got {tuple(numbers)} and {tuple(types)}")
    return Call(address(kernel, types), tuple(numbers[name] for name in wanted))


def address(kernel: Callable[..., Any], types: Mapping[str, str] | None = None) -> int:
    """The address of a kernel for given element types."""
    names, wanted = _arguments(kernel)
    of_types = tuple((types or {})[name] for name in names[len(wanted) :])
    return _entry(kernel.__module__, kernel.__name__, len(wanted), of_types)


@cache
def _arguments(kernel: Callable[..., Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of a kernel's arguments behind the step and the sample: all, and those that are numbers."""
    names = tuple(signature(kernel).parameters)[2:]
    return names, tuple(name for name in names if not name.endswith("_type"))


@cache
def _entry(module: str, name: str, count: int, types: tuple[str, ...]) -> int:
    """The address of a kernel for given element types; its types stand behind its numbers."""
    arguments = ", ".join([*(f"n[{number}]" for number in range(count)), *(f"np.{name}" for name in types)])
    source = f"""import numpy as np
from {module} import {name}
from norse_export.engine.kernels.memory import entry_point, view


@entry_point(CACHE)
def kernel(row, t, sample):
    n = view(row, {count}, np.int64)
    {name}(t, sample, {arguments})
"""
    return int(loaded(source).kernel)
