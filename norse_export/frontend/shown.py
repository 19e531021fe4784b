"""An image, [B, ...], that the model itself shows at every step: again and again in a loop, or repeated to a raster.

Such a model takes no time axis. The input of its graph is the image at each step, [T, B, ...], as that of an encoder of
images is. What layers make of the image alone is the same at every step. A step of a loop begins where a population
goes on from the state that it gave.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from norse_export.errors import ExportError
from norse_export.frontend.builder import Builder, Value, is_place_of
from norse_export.frontend.frameworks.step_functions import StepCall, watched
from norse_export.frontend.frameworks.table import Tables
from norse_export.frontend.likeness import leading_to
from norse_export.frontend.recording import Recording, same_state, tensors_in
from norse_export.frontend.reference import call_model
from norse_export.frontend.time_loop import TimeLoop
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import NeuronModel
from norse_export.ir.stages import ContinuousNode

_SHOWING = frozenset({
    "unsqueeze", "__getitem__", "repeat", "expand", "expand_as", "tile", "broadcast_to", "repeat_interleave", "stack",
    "cat", "concat", "concatenate",
})  # fmt: skip


def count_steps(model: torch.nn.Module, xs: tuple[torch.Tensor, ...], table: Tables) -> int:
    """How often a model calls its populations in one call, each going on from its state; at least 1."""
    modules: Counter[int] = Counter()
    chains: dict[int, int] = {}  # id of a tensor of a state -> calls up to it
    kept: list[Any] = []

    def count(module: torch.nn.Module, _: object, __: object) -> None:
        modules[id(module)] += 1

    def chained(call: StepCall, result: Any) -> None:
        if result is not None:
            number = 1 + max((chains.get(id(tensor), 0) for tensor in tensors_in(call.state)), default=0)
            kept.append(result)
            chains.update((id(tensor), number) for tensor in tensors_in(result[1]))

    hooks = [one.register_forward_hook(count) for one in model.modules() if table.is_population(one)]
    try:
        with watched(lambda _: None, chained):
            call_model(model, tuple(x.clone() for x in xs), None)
    except ExportError:  # whatever the model raises is told when it is recorded
        return 1
    finally:
        for hook in hooks:
            hook.remove()
    return max((1, *modules.values(), *chains.values()))


def begin_step(recording: Recording, value: Value, path: str, given: Any) -> None:
    """Begin a step where a population at a path goes on from the state that it gave in this one; and the first."""
    if not recording.shown or value.lead != 1 or value.state_of:
        return
    loop = recording.loop
    if loop is None:
        recording.loop = loop = TimeLoop(recording, recording.shown)
        loop.enter(0)
        recording.images.update(dict.fromkeys(_inputs(recording.builder), loop.steps))
        return
    own = [state for name, state in recording.calls.items() if is_place_of(name, path)]
    if not loop.complete and any(same_state(given, state) for state in own):
        loop.enter(loop.now + 1)


def show(recording: Recording, name: str, traced: list[Any], result: Any) -> Value | None:
    """The raster, [T, B, ...], that an operation makes of an image, or of what layers make of it; else None."""
    if not recording.shown or name not in _SHOWING or not isinstance(result, torch.Tensor):
        return None
    values = [recording.values[id(tensor)] for tensor in traced]
    image, value = traced[0], values[0]
    still = all(one.node == value.node and one.time is None and not one.rows and not one.state_of for one in values)
    if not still or value.node is None or value.readout is not None or value.lead not in (1, 2):
        return None
    if value.lead == 2:
        if len(image) != 1:
            return None
        image = image[0]
    if result.shape[1:] != image.shape or not torch.equal(result, image.expand_as(result)):
        return None
    for taken in _inputs(recording.builder):
        recording.images[taken] = max(len(result), recording.images.get(taken, 1))
    return Value(value.node, 2, number=value.number)


def shown_by_model(recording: Recording, graph: Graph[ContinuousNode]) -> tuple[str, ...]:
    """The images that reach neurons or outputs past all encoders: the model itself shows them."""
    ends = [name for name, node in graph.nodes.items() if isinstance(node, NeuronModel | Output)]
    into = [edge for edge in graph.edges if edge.target not in recording.showing]
    found = set(leading_to(into, [name for name in ends if name not in recording.showing]))
    return tuple(name for name in recording.images if name in found)


def _inputs(builder: Builder) -> list[str]:
    return [name for name, node in builder.nodes.items() if isinstance(node, Input)]
