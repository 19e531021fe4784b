"""What a rule for a known module is given, and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from norse_export.frontend.builder import Builder, Value
from norse_export.frontend.undisturbed import Weights, copied

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
    x_dtype: str = "float32"
    weights: Weights = field(default_factory=Weights)

    @property
    def features(self) -> Shape:
        """Feature shape of the input: without time and batch."""
        return self.x_shape[self.x.lead :]

    def array(self, tensor: torch.Tensor) -> NDArray[Any]:
        """Values of a tensor of the module, copied once in a trace."""
        return self.weights.array(tensor)


Rule = Callable[[Call, Builder], Value]


def array(tensor: torch.Tensor) -> NDArray[Any]:
    """The tensor's values, on the CPU, detached, as a numpy array of its own."""
    return copied(tensor)


def pair(value: Any, axes: int) -> Shape:
    """One number for each axis, as torch's modules take them."""
    values = value if isinstance(value, tuple | list) else (value,) * axes
    return tuple(int(v) for v in values)


def refused(call: Call, builder: Builder, kind: str, message: str, fix: str) -> Value:
    """Note the finding at the module's path, and give the value of something not understood."""
    builder.refuse(kind, call.path, message, fix)
    return Value(None, call.x.lead)
