"""Builds a model with a function that the user names, and loads a state_dict into it.

This runs code of the user's own, by their choice; the file with the state_dict brings numbers only.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from norse_export.errors import Finding, UsageError
from norse_export.frontend.saved.records import shown

if TYPE_CHECKING:
    import torch

_SHOWN_CHARACTERS = 200


def from_factory(spec: str, tensors: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """The module that `package.module:function` returns when called without arguments, with the tensors loaded.

    The module is imported with the current folder first on `sys.path`. Every key must match; the result is in
    evaluation mode.

    Raises:
        UsageError: whatever fails on the way, with what, where and how to mend it.
    """
    where = f"--factory {spec}"
    with _current_folder_first():
        model = _call(_function(spec, where), where)
    findings = list(_misfits(model, tensors, where))
    if findings:
        raise UsageError.of(findings)
    with _reported("loading the state_dict", where, "check that the file belongs to this model"):
        model.load_state_dict(dict(tensors), strict=True)
    return model.eval()


@contextmanager
def _current_folder_first() -> Iterator[None]:
    folder = os.getcwd()
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)


@contextmanager
def _reported(doing: str, where: str, fix: str) -> Iterator[None]:
    """Whatever the user's code raises becomes a UsageError; the original is its cause."""
    try:
        yield
    except (Exception, SystemExit) as error:
        words = (f"{type(error).__name__}: {error}".splitlines() or [""])[0]
        raise UsageError(f"{doing} failed: {words[:_SHOWN_CHARACTERS]}", where=where, fix=fix) from error


def _function(spec: str, where: str) -> Callable[[], Any]:
    """The function that the specification names."""
    module_name, colon, name = spec.partition(":")
    if not (colon and name.isidentifier() and all(part.isidentifier() for part in module_name.split("."))):
        raise UsageError(
            f"{spec!r} does not name a function",
            where=where,
            fix="write it as package.module:function, such as train:model",
        )
    with _reported(f"importing {module_name}", where, "make the module importable, or run from another folder"):
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise
            module = None
    if module is None:
        raise UsageError(
            f"there is no module {module_name}",
            where=where,
            fix="run from the folder that holds it, or put its folder on PYTHONPATH",
        )
    function = getattr(module, name, None)
    if function is None:
        raise UsageError(f"{module_name} has no {name}", where=where, fix="name a function that the module defines")
    if not callable(function):
        raise UsageError(
            f"{name} is a {type(function).__name__}, which cannot be called", where=where, fix="name a function"
        )
    return function  # type: ignore[no-any-return]


def _call(function: Callable[[], Any], where: str) -> torch.nn.Module:
    import torch

    with _reported("calling it", where, "name a function that builds the model without arguments"):
        model = function()
    if not isinstance(model, torch.nn.Module):
        raise UsageError(
            f"it returned a value of type {type(model).__name__}, and no torch.nn.Module",
            where=where,
            fix="let the function return the model",
        )
    return model


def _misfits(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor], where: str) -> Iterator[Finding]:
    """Keys that only one side has, and those whose shape or type differs."""

    def finding(what: str, fix: str) -> Finding:
        return Finding("state_dict", "error", where, what, fix)

    own = model.state_dict()
    belongs = "name the function that builds the model that was trained"
    for name in sorted(own.keys() - tensors.keys()):
        yield finding(f"the file has no {shown(name)}, which the model has", belongs)
    for name in sorted(tensors.keys() - own.keys()):
        yield finding(f"the file has {shown(name)}, which the model has not", belongs)
    for name in sorted(own.keys() & tensors.keys()):
        expected, found = own[name], tensors[name]
        if expected.shape != found.shape:
            yield finding(
                f"{name} is {tuple(found.shape)} in the file and {tuple(expected.shape)} in the model", belongs
            )
        elif not _fits(found.dtype, expected.dtype):
            yield finding(
                f"{name} is {found.dtype} in the file, which {expected.dtype} in the model cannot hold exactly",
                "let the function return the model in the type it was trained in, such as model.double()",
            )


def _fits(found: torch.dtype, expected: torch.dtype) -> bool:
    """Whether every value of one floating type is one of the other; other types must be the same."""
    import torch

    if found == expected:
        return True
    floating = found.is_floating_point and expected.is_floating_point
    return floating and torch.promote_types(found, expected) == expected
