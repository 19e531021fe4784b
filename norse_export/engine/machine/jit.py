"""Decorators of the files whose text compiled.py compiles; imported as modules, those files are plain Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])
_numba: Any = numba  # of many of whose names a type checker does not know


class Jit:
    """What compiles the functions of a text. keep: whether numba keeps what it compiles; None: nothing is compiled."""

    def __init__(self, keep: bool | None) -> None:
        self.keep = keep

    def entry(self, *signature: Any) -> Callable[[F], F]:
        """Compile at once, for arguments of these types; what the function calls stands in front of it."""
        if self.keep is None:
            return lambda function: function
        types = _numba.void(*signature)
        return cast(Callable[[F], F], _numba.njit(types, cache=self.keep, nogil=True, error_model="numpy"))

    def inner(self, function: F) -> F:
        """Compile what compiled functions call."""
        return self._called(function, inline=False)

    def part(self, function: F) -> F:
        """Compile into the caller: to hand over many arrays takes longer than a quiet round."""
        return self._called(function, inline=True)

    def _called(self, function: F, *, inline: bool) -> F:
        if self.keep is None:
            return function
        return cast(F, _numba.njit(nogil=True, error_model="numpy", forceinline=inline)(function))
