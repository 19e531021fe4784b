"""Traces a torch model into a continuous graph, and runs it: the graph, and rung 0 of the ladder of proof."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from norse_export.errors import UnsupportedError, UsageError
from norse_export.frontend import norse, torch_nn
from norse_export.frontend.builder import Builder, Value
from norse_export.frontend.recorder import Recorder, Recording, recording_modules
from norse_export.frontend.reference import call_model, reference_run
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.stages import ContinuousNode
from norse_export.target import Run

Array = NDArray[Any]
Time = Literal["auto", "outside", "inside"]
_PROBE_STEPS = 3  # steps that are recorded one by one and must all have the same structure


@dataclass(frozen=True, slots=True)
class Traced:
    """A traced model: its graph, the raster it was traced with, and what the model itself gives on that raster."""

    graph: Graph[ContinuousNode]
    inputs: Mapping[str, Array]
    reference: Run
    time: Literal["outside", "inside"]


def trace(model: Any, example_input: Any, *, time: Time = "auto") -> Traced:
    """Trace a model on an example raster [T, B, ...] (a tensor or array), and run it on that raster.

    time: "outside": the model takes one step a call and is called T times with the state that it returned; "inside":
    it takes the whole raster and is called once; "auto" finds it from the modules inside.

    Raises:
        UnsupportedError: an operation or module is not understood, or the model depends on its input's values in a way
            that a graph cannot; all findings are listed.
        UsageError: not a module, a wrong example input, or both meanings of time are possible.
        GraphError: impossible parameters: not finite, tau below 0, dt of 2 tau or more.
    """
    if not isinstance(model, torch.nn.Module):
        message = f"the model is a {type(model).__name__}, not a torch.nn.Module"
        raise UsageError(message, where="model", fix="pass the module itself")
    raster = _as_raster(example_input)
    chosen = find_time(model) if time == "auto" else time
    if chosen not in ("outside", "inside"):
        raise UsageError(f"time={time!r}", where="time", fix="use 'auto', 'outside' or 'inside'")
    with torch.no_grad():
        graph = _record(model, raster, chosen)
        other = _record(model, _second_input(raster), chosen)
        if _shape_of(graph) != _shape_of(other):
            raise UnsupportedError(
                "the model does different things for different inputs: two recordings have different graphs",
                where=type(model).__name__,
                fix="make the forward pass the same for every input",
                kind="control_flow",
            )
        reference = reference_run(model, raster, chosen, graph)
    return Traced(graph, {"input": raster.cpu().numpy()}, reference, chosen)


def find_time(model: torch.nn.Module) -> Literal["outside", "inside"]:
    """Whether the model takes one step or the whole raster a call, found from the modules inside.

    Raises:
        UsageError: both could be meant.
    """
    kinds = [type(module) for module in model.modules()]
    table = norse.rules()
    sequences = set(norse.sequence_classes()) if table else set()
    lifts = [module for module in model.modules() if type(module).__name__ == "Lift"]
    lifted = {id(inner) for lift in lifts for inner in lift.modules()}
    inside = bool(lifts) or any(kind in sequences for kind in kinds)
    cells = [m for m in model.modules() if type(m) in table and type(m) not in sequences and id(m) not in lifted]
    if inside and cells:
        raise UsageError(
            f"the model holds {type(cells[0]).__name__}, which takes one step, beside modules that take whole rasters",
            where="time",
            fix="say time='outside' or time='inside'",
        )
    if inside:
        return "inside"
    takes = [p for p in inspect.signature(model.forward).parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if cells and len(takes) == 1 and not isinstance(model, torch.nn.Sequential):
        return "inside"  # cells, and nowhere to pass a state: the model loops over time itself
    return "outside"


def _as_raster(example: Any) -> torch.Tensor:
    raster = example.detach() if isinstance(example, torch.Tensor) else torch.as_tensor(np.asarray(example))
    if raster.dtype not in (torch.float32, torch.float64):
        raster = raster.float()
    if raster.ndim < 2 or 0 in raster.shape:
        message = f"the example input has shape {tuple(raster.shape)}"
        raise UsageError(message, where="example_input", fix="give a raster [T, B, ...] with at least one step and sample")
    if not torch.isfinite(raster).all():
        raise UsageError("the example input holds NaN or infinity", where="example_input", fix="give finite numbers")
    return raster


def _second_input(raster: torch.Tensor) -> torch.Tensor:
    """Another raster of the same kind: the same values, shuffled by a fixed seed."""
    order = torch.randperm(raster.numel(), generator=torch.Generator().manual_seed(0))
    return raster.flatten()[order].reshape(raster.shape)


def _record(model: torch.nn.Module, raster: torch.Tensor, time: str) -> Graph[ContinuousNode]:
    """Record the model once (inside), or for its first steps, which must all look the same (outside)."""
    if time == "inside":
        return _recorded(model, raster, 2, None, None)[0]
    graph, carried, state = _recorded(model, raster[0], 1, None, None)
    structure = _shape_of(graph)
    for step in range(1, min(_PROBE_STEPS, raster.shape[0])):
        later, carried, state = _recorded(model, raster[step], 1, carried, state)
        if _shape_of(later) != structure:
            raise UnsupportedError(
                f"the model does something else at step {step} than at step 0",
                where=type(model).__name__,
                fix="make every time step the same",
                kind="control_flow",
            )
    return graph


def _recorded(
    model: torch.nn.Module, x: torch.Tensor, lead: int, carried: dict[str, Any] | None, state: Any
) -> tuple[Graph[ContinuousNode], dict[str, Any], Any]:
    """One call of the model: its graph, the populations' states, and the state that the model returned."""
    builder = Builder()
    paths = {id(module): name or type(module).__name__ for name, module in model.named_modules(remove_duplicate=True)}
    taken = set(paths.values())
    recording = Recording(builder, paths, {**torch_nn.rules(), **norse.rules()}, carried=carried)
    name = _free("input", taken)
    dtype: Any = str(x.dtype).removeprefix("torch.")
    builder.nodes[name] = Input(tuple(x.shape[lead:]), dtype)
    x = x.clone()
    recording.track(x, Value(name, lead))
    with recording_modules(recording), Recorder(recording):
        result = call_model(model, x, state)
    sent, state = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
    if not isinstance(sent, torch.Tensor):
        builder.refuse(
            "outputs",
            type(model).__name__,
            f"the model returns {_describe(result)}, not one tensor or (tensor, state)",
            "return one output, and the state beside it",
        )
    else:
        value = recording.value(sent)
        if value is None:
            message = "the output does not depend on the input in a way that was traced"
            builder.refuse("output", type(model).__name__, message, "return what the last layer gives")
        elif value.node is not None:
            shape = tuple(sent.shape[lead:])
            builder.add(_free("output", taken), lambda: Output(shape), lead, (value, "x"))
    return builder.finish({}), recording.calls, state


def _describe(result: Any) -> str:
    if isinstance(result, tuple | list):
        return f"a {type(result).__name__} of {len(result)}"
    return f"a {type(result).__name__}"


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _shape_of(graph: Graph[ContinuousNode]) -> Any:
    nodes = [(name, type(node).__name__, node.input_shape, node.output_shape) for name, node in graph.nodes.items()]
    return nodes, graph.edges
