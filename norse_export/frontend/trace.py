"""Traces a torch model into a continuous graph, and runs it: the graph, and rung 0 of the ladder of proof."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from norse_export.errors import ExportError, UnsupportedError, UsageError
from norse_export.frontend import norse, torch_nn
from norse_export.frontend.builder import Builder, Value, first_difference
from norse_export.frontend.example import as_raster, check_model, model_float
from norse_export.frontend.leaf import Rule
from norse_export.frontend.lifted import is_lift
from norse_export.frontend.recorder import Recorder, Recording, recording_modules
from norse_export.frontend.reference import call_model, reference_run, split_result, takes_state
from norse_export.frontend.undisturbed import Snapshot, Weights, undisturbed
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.rasters import checked_inputs
from norse_export.ir.run import Run
from norse_export.ir.stages import ContinuousNode

Array = NDArray[Any]
Time = Literal["auto", "outside", "inside"]
OVER_TIME = "linear_over_time"  # in the graph's metadata: Linear layers that took the whole raster at once, as JSON
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

    The raster is taken in the float type of the model's parameters. The model is as before afterwards, its own
    attributes and the random states included. What acts differently only at a step that is not recorded (from the
    fourth on) is not seen here: `norse_export.trace` compares the graph with the model over the whole raster, and so
    does all that saves or loads a model.

    Raises:
        UnsupportedError: an operation or module is not understood, or the model depends on its input's values or on
            its own past in a way that a graph cannot; all findings are listed.
        UsageError: not a module, a wrong example input, the model raises, or both meanings of time are possible.
        GraphError: impossible parameters: not finite, tau below 0, dt of 2 tau or more; all findings are listed.
    """
    check_model(model)
    raster = as_raster(example_input, model_float(model))
    chosen = find_time(model) if time == "auto" else time
    if chosen not in ("outside", "inside"):
        raise UsageError(f"time={time!r}", where="time", fix="use 'auto', 'outside' or 'inside'")
    with torch.no_grad(), undisturbed(model) as before:
        graph, name = _record(model, raster, chosen, before.weights)
        reference = reference_run(model, raster, chosen, graph)
        _check_unchanged(before)
    return Traced(graph, {name: raster.numpy()}, reference, chosen)


def rerun(model: torch.nn.Module, traced: Traced, inputs: Mapping[str, Array]) -> Run:
    """Run a traced model on other rasters [T, B, ...], in the float type that it was traced with.

    Raises:
        UsageError: rasters that do not fit the model. UnsupportedError: it does something else than its graph.
    """
    (name, example), *_ = traced.inputs.items()
    given = checked_inputs(traced.graph, inputs)[name]
    raster = torch.from_numpy(np.array(given, dtype=example.dtype))  # a copy: what comes from a file is read-only
    with torch.no_grad(), undisturbed(model):
        return reference_run(model, raster, traced.time, traced.graph)


def find_time(model: torch.nn.Module) -> Literal["outside", "inside"]:
    """Whether the model takes one step or the whole raster a call, found from the modules inside.

    Sequence modules (LIF, LI, ...) and Lift take whole rasters; cells outside of a Lift take one step. Cells in a model
    whose forward takes no state are "inside": the model has to loop over time itself. A model with neither, which has
    no state at all, takes one step.

    Raises:
        UsageError: both could be meant.
    """
    table, sequences = norse.rules(), norse.sequence_classes()
    lifted = {id(inner) for lift in model.modules() if is_lift(lift) for inner in lift.modules()}
    inside = any(is_lift(module) or type(module) in sequences for module in model.modules())
    cells = [m for m in model.modules() if type(m) in table and type(m) not in sequences and id(m) not in lifted]
    if inside and cells:
        raise UsageError(
            f"the model holds {type(cells[0]).__name__}, which takes one step, beside modules that take whole rasters",
            where="time",
            fix="say time='outside' or time='inside'",
            kind="time",
        )
    if inside:
        return "inside"
    loops = cells and not takes_state(model) and not isinstance(model, torch.nn.Sequential)
    return "inside" if loops else "outside"


def _record(
    model: torch.nn.Module, raster: torch.Tensor, time: str, weights: Weights
) -> tuple[Graph[ContinuousNode], str]:
    """Record the model: its graph, and the name of its input.

    Recorded are the whole raster (inside) or the first steps (outside), and the same again with other values: all that
    take one kind of step must have one structure.
    """
    table = {**torch_nn.rules(), **norse.rules()}
    first: _Recorded | None = None
    for words, values in (("", raster), (" with other input values", _second_input(raster))):
        for number, recorded in enumerate(_recordings(model, values, time, table, weights)):
            if first is None:
                first = recorded
                continue
            first.builder.merge(recorded.builder)
            difference = first_difference(first.builder, recorded.builder)
            if difference is not None and not first.builder.findings:
                raise UnsupportedError(
                    f"the model does not always do the same: at step {number}{words}, {difference} differs from step 0",
                    where=type(model).__name__,
                    fix="make the forward pass the same for every input and at every step",
                    kind="control_flow",
                )
    if first is None:  # there is always a first step
        raise RuntimeError("nothing was recorded")
    graph = first.builder.finish({})
    over_time = [layer for layer in first.recording.over_time if layer in graph.nodes]
    metadata = {OVER_TIME: json.dumps(over_time)} if over_time else {}
    return Graph(graph.nodes, graph.edges, metadata), first.input


def _recordings(
    model: torch.nn.Module, raster: torch.Tensor, time: str, table: dict[type, Rule], weights: Weights
) -> Iterator[_Recorded]:
    """Recordings of one run of the model; the run ends early where the model raises, or gives no state."""
    if time == "inside":
        yield _recorded(model, raster, 2, None, None, table, weights)
        return
    carried, state = None, None
    for step in range(_PROBE_STEPS):
        recorded = _recorded(model, raster[step % len(raster)], 1, carried, state, table, weights)
        yield recorded
        if recorded.ended:
            return
        carried, state = recorded.recording.calls, recorded.state


@dataclass(frozen=True, slots=True)
class _Recorded:
    """One call of the model: what was recorded, the state that it returned, and whether it cannot go on from there."""

    recording: Recording
    input: str
    state: Any
    ended: bool

    @property
    def builder(self) -> Builder:
        return self.recording.builder


def _recorded(
    model: torch.nn.Module,
    x: torch.Tensor,
    lead: int,
    carried: dict[str, Any] | None,
    state: Any,
    table: dict[type, Rule],
    weights: Weights,
) -> _Recorded:
    paths = {id(module): name or type(module).__name__ for name, module in model.named_modules()}
    taken = frozenset(paths.values())
    builder = Builder(reserved=taken)
    recording = Recording(builder, paths, table, carried=carried, weights=weights, root=type(model).__name__)
    name = _free("input", taken)
    dtype: Any = str(x.dtype).removeprefix("torch.")
    builder.nodes[name] = Input(tuple(x.shape[lead:]), dtype)
    x = x.clone()
    recording.track(x, Value(name, lead))
    try:
        with recording_modules(recording), Recorder(recording):
            result = call_model(model, x, state)
    except ExportError as error:
        if recording.failed not in {finding.where for finding in builder.findings}:
            builder.note(_placed(error, recording))
        return _Recorded(recording, name, None, ended=True)
    right = _record_output(recording, result, lead, _free("output", taken), type(model).__name__)
    return _Recorded(recording, name, split_result(result)[1], ended=not right)


def _record_output(recording: Recording, result: Any, lead: int, name: str, where: str) -> bool:
    """Add the output; whether the result has the form of one, so that the model can take the next step."""
    if recording.loop is not None:
        recording.loop.leave()
    builder, sent = recording.builder, split_result(result)[0]
    if not isinstance(sent, torch.Tensor) or not recording.only_states(result, beside=sent):
        message = f"the model returns {_described(result)}, not one tensor or (tensor, state)"
        builder.refuse("outputs", where, message, "return one output, and the state of the neurons beside it")
        return False
    value = recording.value(sent)
    if value is None:
        message = "the output does not depend on the input in a way that was traced"
        builder.refuse("output", where, message, "return what the last layer gives")
    elif value.state_of and not any(finding.kind == "state" for finding in builder.findings):
        message = f"the output is the state of {value.state_of!r}"
        builder.refuse("output", where, message, "return what a layer gives: an LI gives its potential")
    elif value.time is not None:
        message = f"the output is what step {value.time} of the loop gave, and not the raster of all steps"
        builder.refuse("output", where, message, "collect what every step gives: torch.stack(outputs)")
    elif value.node is None and not builder.findings:  # every unknown value has a finding; this keeps it so
        builder.refuse("output", where, "the output could not be traced", "return what the last layer gives")
    elif value.node is not None:
        shape = tuple(sent.shape[lead:])
        builder.add(name, lambda: Output(shape), lead, (value, "x"))
    return True


def _placed(error: ExportError, recording: Recording) -> ExportError:
    """The error with the path of the module in which the model raised."""
    if recording.failed and recording.failed != recording.root and error.findings[0].kind == "model_raised":
        what, fix = error.findings[0].message, error.findings[0].fix
        return UsageError(what, where=f"{recording.failed}, in {error.where}", fix=fix, kind="model_raised")
    return error


def _second_input(raster: torch.Tensor) -> torch.Tensor:
    """Another raster of the same kind: the same values, shuffled by a fixed seed; half of them where all are one."""
    order = torch.randperm(raster.numel(), generator=torch.Generator().manual_seed(0))
    shuffled = raster.flatten()[order].reshape(raster.shape)
    return raster / 2 if torch.equal(shuffled, raster) else shuffled


def _check_unchanged(before: Snapshot) -> None:
    if changed := before.changed():
        raise UnsupportedError(
            f"the model changes its own tensors while it runs: {', '.join(changed)}",
            where=changed[0],
            fix="change weights and buffers in training, and not in forward; call model.eval() before saving",
            kind="changes_itself",
        )


def _described(result: Any) -> str:
    if isinstance(result, tuple | list):
        return f"a {type(result).__name__} of {len(result)}"
    return f"a {type(result).__name__}"


def _free(name: str, taken: frozenset[str]) -> str:
    while name in taken:
        name += "_"
    return name
