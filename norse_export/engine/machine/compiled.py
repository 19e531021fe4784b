"""Compiles the texts of kernels.py, listing.py and counting.py, and keeps the result (engine/cache.py)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType

from norse_export.engine.cache import loaded


@cache
def kernels() -> ModuleType:
    """The functions of kernels.py, compiled."""
    return loaded(_text("kernels.py"))


@cache
def listing() -> ModuleType:
    """The functions of listing.py, compiled."""
    return loaded(_text("listing.py"))


@cache
def counting() -> ModuleType:
    """The functions of counting.py, compiled."""
    return loaded(_text("counting.py"))


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
