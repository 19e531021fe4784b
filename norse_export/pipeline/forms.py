"""Targets in the form that the caller chose: settings of those that offer several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, cast

from norse_export.errors import MissingDependencyError, UsageError
from norse_export.pipeline.choices import FormChoice
from norse_export.target import Target

Asked = Mapping[str, Target | MissingDependencyError]


def in_form(asked: Asked, choice: FormChoice) -> Asked:
    """The targets, those that have a field of its name with each setting that was chosen.

    Raises:
        UsageError: no target offers what was chosen, or not with that value.
    """
    chosen = {name: value for name, value in _settings(choice).items() if value is not None}
    for name in chosen:
        if not any(name in _fields(target) for target in asked.values()):
            message = f"{', '.join(asked)} {'has' if len(asked) == 1 else 'have'} no --{name}"
            raise UsageError(message, where=f"--{name}", fix="leave it out, or export to onnx")
    return {name: _configured(target, chosen) for name, target in asked.items()}


def _settings(choice: FormChoice) -> dict[str, int | bool | None]:
    return {"opset": choice.opset, "fixed": choice.fixed or None}


def _configured(
    target: Target | MissingDependencyError, chosen: Mapping[str, int | bool | None]
) -> Target | MissingDependencyError:
    own = {name: value for name, value in chosen.items() if name in _fields(target)}
    changed: Any = target  # of which the protocol does not say that it is a dataclass
    return cast(Target, replace(changed, **own)) if own else target


def _fields(target: object) -> frozenset[str]:
    if not is_dataclass(target):
        return frozenset()
    return frozenset(field.name for field in fields(target))
