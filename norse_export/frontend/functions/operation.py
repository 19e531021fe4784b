"""One call of a function with traced tensors among its arguments, as the rules of functions see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from norse_export.frontend.builder import Value
from norse_export.frontend.recording import Recording
from norse_export.ir.layers import Layer
from norse_export.ir.shaping import Elementwise

Array = NDArray[Any]


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

    def constant(self, constant: Any, like: Any, value: Value) -> Array | None:
        """A number, or a tensor that is not traced, as one value for each feature of `like`; None for anything else."""
        dtype, features = str(like.dtype).removeprefix("torch."), self.features(like, value)
        if isinstance(constant, bool) or not isinstance(constant, int | float | torch.Tensor):
            return None
        if not isinstance(constant, torch.Tensor):
            return np.full(features, constant, dtype)
        array = constant.detach().cpu().numpy()
        while array.ndim > len(features) and array.shape[0] == 1:
            array = array[0]
        if array.ndim > len(features) or not np.can_cast(array.dtype, dtype, "same_kind"):
            return None
        try:
            return np.broadcast_to(array.astype(dtype), features)
        except ValueError:
            return None

    def function_of(self, function: str, value: Value, like: Any, *, suffix: str = "", **parameters: Array) -> Value:
        """A node that computes a row of program/elementwise.py."""
        shape = self.features(like, value)
        return self.add(lambda: Elementwise(function, shape, parameters), value, suffix=suffix)

    def joined(self, function: str, a: Any, b: Any) -> Value | None:
        """A function of two traced values of one shape."""
        one, other = self.value(a), self.value(b)
        if one is None or other is None or one.lead != other.lead or tuple(a.shape) != tuple(b.shape):
            return None
        return self.add(lambda: Elementwise(function, self.features(a, one), {}), one, other, ports=("x", "y"))


Rule = Callable[[Operation], Value | list[Value] | None]
