"""Traces a torch model into a continuous graph, and runs it: the graph, and rung 0 of the ladder of proof."""

from __future__ import annotations

import inspect
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
from norse_export.frontend.example import as_rasters, check_model, model_float
from norse_export.frontend.leaf import Rule
from norse_export.frontend.lifted import is_lift
from norse_export.frontend.recorder import Recorder, Recording, recording_modules, recording_steps
from norse_export.frontend.reference import call_model, reference_run, takes_state
from norse_export.frontend.returned import returned
from norse_export.frontend.step_functions import StepCall, watched
from norse_export.frontend.undisturbed import Snapshot, Weights, undisturbed
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.rasters import checked_inputs
from norse_export.ir.run import Run
from norse_export.ir.stages import ContinuousNode

Array = NDArray[Any]
Rasters = tuple[torch.Tensor, ...]
Time = Literal["auto", "outside", "inside"]
OVER_TIME = "linear_over_time"  # in the graph's metadata: Linear layers that took the whole raster at once, as JSON
_PROBE_STEPS = 3  # steps that are recorded one by one and must all have the same structure


@dataclass(frozen=True, slots=True)
class Traced:
    """A traced model: its graph, the rasters it was traced with, and what the model itself gives on them.

    steps: populations that are steps of norse.torch.functional, in the order in which the model calls them.
    """

    graph: Graph[ContinuousNode]
    inputs: Mapping[str, Array]
    reference: Run
    time: Literal["outside", "inside"]
    steps: tuple[str, ...] = ()


def trace(model: Any, example_input: Any, *, time: Time = "auto") -> Traced:
    """Trace a model on an example raster [T, B, ...] (a tensor or array), and run it on that raster.

    example_input: a tuple of rasters for a model of several inputs, in the order of forward's arguments.
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
    rasters = as_rasters(example_input, model_float(model))
    chosen = find_time(model, rasters) if time == "auto" else time
    if chosen not in ("outside", "inside"):
        raise UsageError(f"time={time!r}", where="time", fix="use 'auto', 'outside' or 'inside'")
    with torch.no_grad(), undisturbed(model) as before:
        graph, names, steps = _record(model, rasters, chosen, before.weights)
        reference = reference_run(model, rasters, chosen, graph, steps)
        _check_unchanged(before)
    inputs = {name: raster.numpy() for name, raster in zip(names, rasters, strict=True)}
    return Traced(graph, inputs, reference, chosen, steps)


def rerun(model: torch.nn.Module, traced: Traced, inputs: Mapping[str, Array]) -> Run:
    """Run a traced model on other rasters [T, B, ...], in the float type that it was traced with.

    Raises:
        UsageError: rasters that do not fit the model. UnsupportedError: it does something else than its graph.
    """
    checked = checked_inputs(traced.graph, inputs)
    rasters = tuple(
        torch.from_numpy(np.array(checked[name], dtype=example.dtype))  # a copy: what comes from a file is read-only
        for name, example in traced.inputs.items()
    )
    with torch.no_grad(), undisturbed(model):
        return reference_run(model, rasters, traced.time, traced.graph, traced.steps)


def find_time(model: torch.nn.Module, rasters: Rasters = ()) -> Literal["outside", "inside"]:
    """Whether the model takes one step or the whole raster a call, found from the modules inside.

    Sequence modules (LIF, LI, ...) and Lift take whole rasters; cells outside of a Lift take one step. Cells in a model
    whose forward takes no state are "inside": the model has to loop over time itself. A model with neither, which has
    no state at all, takes one step.

    Raises:
        UsageError: both could be meant.
    """
    table, sequences, inputs = norse.rules(), norse.sequence_classes(), max(1, len(rasters))
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
    own = bool(cells) or _calls_steps(model, rasters)
    loops = own and not takes_state(model, inputs) and not isinstance(model, torch.nn.Sequential)
    return "inside" if loops else "outside"


def _calls_steps(model: torch.nn.Module, rasters: Rasters) -> bool:
    """Whether a model calls steps of norse.torch.functional by itself; False where it raises."""
    called: list[StepCall] = []
    try:
        with torch.no_grad(), undisturbed(model), watched(called.append, lambda *_: None):
            model(*(raster[:2].clone() for raster in rasters))
    except Exception:  # whatever the model raises is told when it is recorded
        return bool(called)
    return bool(called)


def _record(
    model: torch.nn.Module, rasters: Rasters, time: str, weights: Weights
) -> tuple[Graph[ContinuousNode], tuple[str, ...], tuple[str, ...]]:
    """Record the model: its graph, the names of its inputs, and those of the steps that it calls by itself.

    Recorded are the whole raster (inside) or the first steps (outside), and the same again with other values: all that
    take one kind of step must have one structure. Where a step takes what the one before it sent, step 0 is of another
    kind, and step 1 stands for all.
    """
    table = {**torch_nn.rules(), **norse.rules()}
    first: list[_Recorded] = []
    steady: _Recorded | None = None
    for words, values in (("", rasters), (" with other input values", tuple(map(_second_input, rasters)))):
        for number, recorded in enumerate(_recordings(model, values, time, table, weights)):
            if not words:
                first.append(recorded)
                steady = recorded if number == 0 or (number == 1 and recorded.builder.feedback) else steady
            usual = first[0] if number == 0 or steady is None else steady
            if recorded is usual:
                continue
            if number > 1 or words or not usual.builder.feedback:
                _require_same(usual, recorded, number, words, type(model).__name__)
    if steady is None:  # there is always a first step
        raise RuntimeError("nothing was recorded")
    graph = steady.builder.finish({})
    over_time = [layer for layer in steady.recording.over_time if layer in graph.nodes]
    metadata = {OVER_TIME: json.dumps(over_time)} if over_time else {}
    return Graph(graph.nodes, graph.edges, metadata), steady.inputs, tuple(steady.recording.functional)


def _require_same(usual: _Recorded, recorded: _Recorded, number: int, words: str, where: str) -> None:
    """Take over the findings of a recording, and compare it with the usual one.

    Raises:
        UnsupportedError: it has another structure.
    """
    usual.builder.merge(recorded.builder)
    difference = first_difference(usual.builder, recorded.builder)
    if difference is not None and not usual.builder.findings:
        kind = 1 if usual.builder.feedback else 0
        raise UnsupportedError(
            f"the model does not always do the same: at step {number}{words}, {difference} differs from step {kind}",
            where=where,
            fix="make the forward pass the same for every input and at every step",
            kind="control_flow",
        )


def _recordings(
    model: torch.nn.Module, rasters: Rasters, time: str, table: dict[type, Rule], weights: Weights
) -> Iterator[_Recorded]:
    """Recordings of one run of the model; the run ends early where the model raises, or gives no state."""
    if time == "inside":
        yield _recorded(model, rasters, None, None, table, weights)
        return
    before: _Recorded | None = None
    for step in range(_PROBE_STEPS):
        xs = tuple(raster[step % len(raster)] for raster in rasters)
        recorded = _recorded(model, xs, step, before, table, weights)
        yield recorded
        if recorded.ended:
            return
        before = recorded


@dataclass(frozen=True, slots=True)
class _Recorded:
    """One call of the model: what was recorded, the state that it returned, and whether it cannot go on from there."""

    recording: Recording
    inputs: tuple[str, ...]
    state: Any
    ended: bool

    @property
    def builder(self) -> Builder:
        return self.recording.builder


def _recorded(
    model: torch.nn.Module,
    xs: Rasters,
    step: int | None,
    before: _Recorded | None,
    table: dict[type, Rule],
    weights: Weights,
) -> _Recorded:
    """Record one call. step: of a model that takes one step a call; None: it takes the whole raster."""
    lead = 2 if step is None else 1
    paths = {id(module): name or type(module).__name__ for name, module in model.named_modules()}
    taken = frozenset(paths.values())
    builder = Builder(reserved=taken, now=step)
    carried = None if before is None else before.recording.calls
    recording = Recording(builder, paths, table, carried=carried, weights=weights, root=type(model).__name__)
    names = _input_names(model, len(xs), taken)
    xs = tuple(x.clone() for x in xs)
    for name, x in zip(names, xs, strict=True):
        dtype: Any = str(x.dtype).removeprefix("torch.")
        builder.nodes[name] = Input(tuple(x.shape[lead:]), dtype)
        recording.track(x, Value(name, lead))
    state = None
    if before is not None:
        state = before.state
        recording.starts = before.recording.starts
        recording.track_sent(state, before.recording)
    try:
        with recording_modules(recording), recording_steps(recording), Recorder(recording):
            result = call_model(model, xs, state)
    except ExportError as error:
        if recording.loop is not None:
            recording.loop.leave()
        if recording.failed not in {finding.where for finding in builder.findings}:
            builder.note(_placed(error, recording))
        return _Recorded(recording, names, None, ended=True)
    if recording.loop is not None:
        recording.loop.leave()
    stateful = step is not None and takes_state(model, len(xs))
    found = returned(recording, result, stateful=stateful)
    if found is None:
        message = f"the model returns {_described(result)}, not one tensor or (tensor, state)"
        fix = "return one output or a list of outputs, and the state of the neurons beside it"
        recording.builder.refuse("outputs", type(model).__name__, message, fix)
        return _Recorded(recording, names, None, ended=True)
    for suffix, sent in found.outputs.items():
        _record_output(recording, sent, lead, _free(f"output{suffix}", taken), type(model).__name__)
    return _Recorded(recording, names, found.state, ended=False)


def _input_names(model: torch.nn.Module, count: int, taken: frozenset[str]) -> tuple[str, ...]:
    """Names of the inputs: "input", or those of forward's arguments where there are several."""
    if count == 1:
        return (_free("input", taken),)
    names = list(inspect.signature(model.forward).parameters)[:count]
    names += [f"input.{number}" for number in range(len(names), count)]
    return tuple(_free(name, taken) for name in names)


def _record_output(recording: Recording, sent: torch.Tensor, lead: int, name: str, where: str) -> None:
    """Add an output."""
    builder, value = recording.builder, recording.value(sent)
    if value is None:
        message = "the output does not depend on the input in a way that was traced"
        builder.refuse("output", where, message, "return what the last layer gives")
    elif value.state_of and not any(finding.kind == "state" for finding in builder.findings):
        message = f"the output is the state of {value.state_of!r}"
        builder.refuse("output", where, message, "return what a layer gives: an LI gives its potential")
    elif value.time is not None and lead == 2:
        message = f"the output is what step {value.time} of the loop gave, and not the raster of all steps"
        builder.refuse("output", where, message, "collect what every step gives: torch.stack(outputs)")
    elif value.node is None and not builder.findings:  # every unknown value has a finding; this keeps it so
        builder.refuse("output", where, "the output could not be traced", "return what the last layer gives")
    elif value.node is not None:
        shape = tuple(sent.shape[lead:])
        builder.add(name, lambda: Output(shape), lead, (value, "x"))


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
