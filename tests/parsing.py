"""Parsing in this process, where the product starts a limited child. Not tests."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

_TARGETS = ("loihi", "spinnaker", "sim", "onnx")
_MODULES = (
    *(f"norse_export.formats.{name}" for name in ("graph_file", "inputs", "nir.load", "onnx.read")),
    *(f"norse_export.pipeline.{name}" for name in ("inspecting", "recorded", "torch_files")),
)


def parse_here(parser: str, file: Any, *, name: str, limits: Any, options: Any = None) -> Any:
    """What `parse_in_child` gives, without a child."""
    from norse_export.files.child import Parsed

    module, _, function = parser.partition(":")
    position = file.tell()
    file.seek(0)
    try:
        with _Named(file, name) as named:
            document, arrays = getattr(import_module(module), function)(named, limits, **(options or {}))
    finally:
        file.seek(position)
    for array in arrays.values():
        array.setflags(write=False)
    return Parsed(json.loads(json.dumps(document)), arrays)


def replace_parsing(monkeypatch: pytest.MonkeyPatch, parse: Callable[..., Any]) -> None:
    """Put another function in the place of `parse_in_child`, wherever it is called."""
    for module in _callers():
        monkeypatch.setattr(module, "parse_in_child", parse)


@cache
def _callers() -> tuple[ModuleType, ...]:
    from norse_export import registry
    from norse_export.files.child import parse_in_child

    for name in _TARGETS:
        registry.load(name)
    for name in _MODULES:
        import_module(name)
    ours = [module for name, module in sys.modules.items() if name.startswith("norse_export.")]
    taken = [module for module in ours if getattr(module, "parse_in_child", None) is parse_in_child]
    return tuple(module for module in taken if module.__name__ != parse_in_child.__module__)


class _Named(io.BufferedReader):
    """An open file under the name that messages give it."""

    def __init__(self, file: Any, name: str) -> None:
        super().__init__(io.FileIO(os.dup(file.fileno())))
        self._told = name
        self.seek(0)

    @property
    def name(self) -> str:
        return self._told
