"""One call of a function with traced tensors among its arguments, as the rules of functions see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from norse_export.frontend.builder import Value
from norse_export.frontend.recording import Recording
from norse_export.ir.layers import Layer


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of a function with traced tensors among its arguments. name: of the node that it becomes."""

    recording: Recording
    function: str
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any

    def value(self, argument: Any) -> Value | None:
        """What an argument stands for; None for a constant."""
        return self.recording.value(argument) if isinstance(argument, torch.Tensor) else None

    def features(self, tensor: Any, value: Value) -> tuple[int, ...]:
        """Feature shape of a traced tensor."""
        return tuple(tensor.shape[value.lead :])

    def first(self) -> tuple[Any, Value] | None:
        """The first argument and what it stands for; None where that is not traced."""
        value = self.value(self.args[0]) if self.args else None
        return None if value is None else (self.args[0], value)

    def add(
        self, make: Callable[[], Layer], *values: Value, ports: tuple[str, ...] = ("x",), suffix: str = ""
    ) -> Value:
        """A node fed by the values, in this order."""
        builder = self.recording.builder
        name = builder.unique(f"{self.name}{suffix}")
        sources = zip(values, ports if len(ports) == len(values) else ports * len(values), strict=True)
        return builder.add(name, make, values[0].lead, *sources)

    def given(self, *names: str) -> dict[str, Any] | None:
        """The arguments behind the first by their names; None where there are others."""
        found = dict(zip(names, self.args[1:], strict=False)) | self.kwargs
        return None if len(self.args) > len(names) + 1 or set(found) - set(names) else found


Rule = Callable[[Operation], Value | list[Value] | None]
