"""The one place where the stages meet: save, load, export, check, inspect, run, parity."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from norse_export.pipeline.checking import check, targets
    from norse_export.pipeline.choices import FormChoice, InputChoice, IntegerChoice, LoadChoice, Progress, VendorChoice
    from norse_export.pipeline.comparing import parity
    from norse_export.pipeline.exporting import export
    from norse_export.pipeline.inspecting import inspect
    from norse_export.pipeline.loading import load
    from norse_export.pipeline.running import run
    from norse_export.pipeline.saving import save
    from norse_export.pipeline.tracing import trace

_HOME = {
    "InputChoice": "choices",
    "FormChoice": "choices",
    "IntegerChoice": "choices",
    "LoadChoice": "choices",
    "Progress": "choices",
    "VendorChoice": "choices",
    "check": "checking",
    "export": "exporting",
    "inspect": "inspecting",
    "load": "loading",
    "parity": "comparing",
    "run": "running",
    "save": "saving",
    "targets": "checking",
    "trace": "tracing",
}

__all__ = [
    "FormChoice",
    "InputChoice",
    "IntegerChoice",
    "LoadChoice",
    "Progress",
    "VendorChoice",
    "check",
    "export",
    "inspect",
    "load",
    "parity",
    "run",
    "save",
    "targets",
    "trace",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'norse_export.pipeline' has no attribute {name!r}")
    return getattr(import_module(f"norse_export.pipeline.{_HOME[name]}"), name)
