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
    """One call of a known module: its path in the model, its input, and what it returned.

    start: the state that the model passed in at the first step; None: the module's own. lead: leading axes of what a
    layer of one step takes: 2 where it goes over a raster by itself, batch and time as one axis. shared: something else
    than this call also uses the memory of its input.
    """

    module: Any
    path: str
    x: Value
    x_shape: Shape
    result: Any
    x_dtype: str = "float32"
    weights: Weights = field(default_factory=Weights)
    start: Any = None
    lead: int = 1
    shared: bool = False

    @property
    def features(self) -> Shape:
        """Feature shape of the input: without time and batch."""
        return self.x_shape[self.x.lead :]

    def array(self, tensor: torch.Tensor) -> NDArray[Any]:
        """Values of a tensor of the module, copied once in a trace."""
        return self.weights.array(tensor)


Rule = Callable[[Call, Builder], Value]
BATCH_AXIS = (
    "give the example input as [T, B, ...], with a batch axis also for one sample: example_input.unsqueeze(1); "
    "a model that makes its time steps itself has to loop over those of its input, or take images, [B, ...], and show "
    "them at every step"
)


def array(tensor: torch.Tensor) -> NDArray[Any]:
    """The tensor's values, on the CPU, detached, as a numpy array of its own."""
    return copied(tensor)


def pair(value: Any, axes: int) -> Shape:
    """One number for each axis, as torch's modules take them."""
    values = value if isinstance(value, tuple | list) else (value,) * axes
    return tuple(int(v) for v in values)


def refused_axes(call: Call, builder: Builder) -> Value:
    """Note that a layer which takes one axis of features is given another number of them."""
    name = type(call.module).__name__
    if call.features:
        message = f"{name} on features of shape {call.features}: it would act on the last axis only"
        return refused(call, builder, "linear_axes", message, "put a Flatten before it")
    message = f"{name} is given no features: the two axes of {call.x_shape} are time and batch"
    if call.x.lead == 1:
        message = f"{name} is given no features: in one step, the only axis of {call.x_shape} is the batch"
    return refused(call, builder, "linear_axes", message, BATCH_AXIS)


def refused(call: Call, builder: Builder, kind: str, message: str, fix: str) -> Value:
    """Note the finding at the module's path, and give the value of something not understood."""
    builder.refuse(kind, call.path, message, fix)
    return Value(None, call.x.lead)
