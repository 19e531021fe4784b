"""What a rule for a known module is given, and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from norse_export.frontend.builder import Builder, Value

if TYPE_CHECKING:
    import torch

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a known module: its path in the model, its input, and what it returned."""

    module: Any
    path: str
    x: Value
    x_shape: Shape
    result: Any

    @property
    def features(self) -> Shape:
        """Feature shape of the input: without time and batch."""
        return self.x_shape[self.x.lead :]


Rule = Callable[[Call, Builder], Value]


def array(tensor: torch.Tensor) -> NDArray[Any]:
    """The tensor's values, on the CPU, detached, as a numpy array of its own."""
    return np.array(tensor.detach().cpu().numpy())


def pair(value: Any, axes: int) -> Shape:
    """One number for each axis, as torch's modules take them."""
    values = value if isinstance(value, tuple | list) else (value,) * axes
    return tuple(int(v) for v in values)


def refused(call: Call, builder: Builder, kind: str, message: str, fix: str) -> Value:
    """Note the finding at the module's path, and give the value of something not understood."""
    builder.refuse(kind, call.path, message, fix)
    return Value(None, call.x.lead)
