"""Norse's encoders: a boundary of the graph. What an encoder gives is the raster that the network takes.

Most are random, and those that are not act on whole rasters; so the raster behind the encoder is the graph's input, and
the encoder stays with the user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from norse_export.frontend.builder import Value
from norse_export.frontend.recording import Recording
from norse_export.ir.layers import Input

_MODULE = "norse.torch.module.encode"
_NAMES = (
    "ConstantCurrentLIFEncoder",
    "PoissonEncoder",
    "SignedPoissonEncoder",
    "SpikeLatencyEncoder",
    "SpikeLatencyLIFEncoder",
)


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the encoder at a path gave: the raster [T, B, ...]."""

    path: str
    raster: torch.Tensor


def is_encoder(module: Any) -> bool:
    """Whether a module is an encoder of Norse's that gives a raster."""
    return type(module).__module__ == _MODULE and type(module).__name__ in _NAMES


def encode(recording: Recording, original: Callable[..., Any], module: Any, path: str, args: tuple[Any, ...]) -> Any:
    """Call an encoder: the input of the graph is what it gives."""
    x = next((argument for argument in args if isinstance(argument, torch.Tensor)), None)
    with recording.pause():
        raster = original(module, *args)
    builder, value = recording.builder, None if x is None else recording.value(x)
    name = None if value is None else value.node
    if name is None or not isinstance(node := builder.nodes.get(name), Input) or name in builder.consumed:
        message = f"{type(module).__name__} encodes something else than the model's own input"
        builder.refuse("encoder", path, message, "put the encoder first, or encode the input before the model")
        recording.track(raster, Value(None, 0))
        return raster
    builder.nodes[name] = Input(tuple(raster.shape[2:]), node.dtype)
    recording.encoded[name] = Encoded(path, raster.detach().clone())
    for past in [key for key, known in recording.values.items() if known.node == name]:
        del recording.values[past]  # what was encoded is no part of the graph
    recording.track(raster, Value(name, 2))
    return raster


@contextmanager
def replaced(model: torch.nn.Module, encoded: Mapping[str, Encoded]) -> Iterator[None]:
    """Inside, each of these encoders gives its raster, whatever it is called with."""
    modules = dict(model.named_modules())
    hooks = [
        modules[one.path if one.path in modules else ""].register_forward_hook(
            lambda *_, raster=one.raster: raster.clone()
        )
        for one in encoded.values()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
