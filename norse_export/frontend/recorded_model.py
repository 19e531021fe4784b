"""Records a model: a few of its steps, or its whole raster, with two inputs; all have to be alike."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from norse_export.errors import ExportError, UnsupportedError, UsageError
from norse_export.frontend.builder import Builder, Value
from norse_export.frontend.frameworks import torch_nn
from norse_export.frontend.frameworks.table import Tables, assumed_dt, tables
from norse_export.frontend.hidden import hidden_in, hidden_states
from norse_export.frontend.likeness import first_difference
from norse_export.frontend.readouts import of_value, sent_by
from norse_export.frontend.recorder import Recorder, Recording, recording_modules, recording_steps
from norse_export.frontend.reference import call_model, takes_state
from norse_export.frontend.returned import recorded_states, returned
from norse_export.frontend.time_rows import described
from norse_export.frontend.undisturbed import Weights
from norse_export.ir.doubts import ENCODERS, IMAGES, READOUTS, STATES
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.stages import ContinuousNode

Rasters = tuple[torch.Tensor, ...]
OVER_TIME = "linear_over_time"  # in the graph's metadata: Linear layers that took the whole raster at once, as JSON
_PROBE_STEPS = 3  # steps that are recorded one by one and must all have the same structure


def record(
    model: torch.nn.Module, rasters: Rasters, time: str, weights: Weights, *, encoders: bool = True
) -> tuple[Graph[ContinuousNode], Recorded]:
    """Record the model: its graph, and the recording that stands for all.

    Recorded are the whole raster (inside) or the first steps (outside), and the same again with other values: all that
    take one kind of step must have one structure. Where a step takes what the one before it sent, step 0 is of another
    kind, and step 1 stands for all. encoders: those that are populations are a part of the graph.
    """
    table = tables(torch_nn.rules())
    first: list[Recorded] = []
    steady: Recorded | None = None
    for words, values in (("", rasters), (" with other input values", tuple(map(_second_input, rasters)))):
        for number, recorded in enumerate(_recordings(model, values, time, table, weights, encoders=encoders)):
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
    metadata = assumed_dt(model, table)
    over_time = [layer for layer in steady.recording.over_time if layer in graph.nodes]
    metadata |= {OVER_TIME: json.dumps(over_time)} if over_time else {}
    if steady.recording.encoded:
        metadata[ENCODERS] = json.dumps({name: one.path for name, one in steady.recording.encoded.items()})
    if steady.recording.images:
        metadata[IMAGES] = json.dumps(sorted(steady.recording.images))
    if steady.builder.readouts:
        metadata[READOUTS] = json.dumps(steady.builder.readouts)
    if steady.beside:
        metadata[STATES] = json.dumps(steady.beside)
    return Graph(graph.nodes, graph.edges, metadata), steady


def _require_same(usual: Recorded, recorded: Recorded, number: int, words: str, where: str) -> None:
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
    model: torch.nn.Module, rasters: Rasters, time: str, table: Tables, weights: Weights, *, encoders: bool
) -> Iterator[Recorded]:
    """Recordings of one run of the model; the run ends early where the model raises, or gives no state."""
    with hidden_states(model):
        if time == "inside":
            yield _recorded(model, rasters, None, None, table, weights, encoders=encoders)
            return
        before: Recorded | None = None
        for step in range(_PROBE_STEPS):
            xs = tuple(raster[step % len(raster)] for raster in rasters)
            recorded = _recorded(model, xs, step, before, table, weights, encoders=encoders)
            yield recorded
            if recorded.ended:
                return
            before = recorded


@dataclass(frozen=True, slots=True)
class Recorded:
    """One call of the model: what was recorded, the state that it returned, and whether it cannot go on from there.

    beside: populations of whose states it returned a record over the steps.
    """

    recording: Recording
    inputs: tuple[str, ...]
    state: Any
    ended: bool
    beside: tuple[str, ...] = ()

    @property
    def builder(self) -> Builder:
        """The graph that it grew."""
        return self.recording.builder


def _recorded(
    model: torch.nn.Module,
    xs: Rasters,
    step: int | None,
    before: Recorded | None,
    table: Tables,
    weights: Weights,
    images: Mapping[str, int] = MappingProxyType({}),
    *,
    encoders: bool = True,
) -> Recorded:
    """Record one call. step: of a model that takes one step a call; None: it takes the whole raster.

    images: inputs that are one image, [B, ...], and how often an encoder shows it; which they are, a first recording
    tells.
    """
    lead = 2 if step is None else 1
    paths = {id(module): name or type(module).__name__ for name, module in model.named_modules()}
    taken = frozenset(paths.values())
    builder = Builder(reserved=taken, now=step)
    carried = None if before is None else before.recording.calls
    recording = Recording(builder, paths, table, carried=carried, weights=weights, root=type(model).__name__)
    recording.encoders = encoders
    names = _input_names(model, len(xs), taken)
    xs = tuple(x.clone() for x in xs)
    for name, x in zip(names, xs, strict=True):
        dtype: Any = str(x.dtype).removeprefix("torch.")
        own = 1 if name in images else lead
        builder.nodes[name] = Input(tuple(x.shape[own:]), dtype)
        recording.track(x, Value(name, own))
    state = None
    if before is not None:
        state = before.state
        recording.starts = before.recording.starts
        recording.track_sent([state, hidden_in(model)], before.recording)
    raised: ExportError | None = None
    try:
        with recording_modules(recording), recording_steps(recording), Recorder(recording):
            result = call_model(model, xs, state)
    except ExportError as error:
        raised = error
    if recording.loop is not None:
        recording.loop.leave()
    if recording.images.keys() - images.keys():
        known = {**recording.images, **images}
        return _recorded(model, xs, step, before, table, weights, known, encoders=encoders)
    recording.images.update(images)
    if raised is not None:
        if recording.failed not in {finding.where for finding in builder.findings}:
            builder.note(_placed(raised, recording))
        return Recorded(recording, names, None, ended=True)
    stateful = step is not None and takes_state(model, len(xs))
    found = returned(recording, result, stateful=stateful)
    if found is None:
        message = f"the model returns {_described(result)}, not one tensor or (tensor, state)"
        fix = "return one output or a list of outputs, and the state of the neurons beside it"
        recording.builder.refuse("outputs", type(model).__name__, message, fix)
        return Recorded(recording, names, None, ended=True)
    for suffix, sent in found.outputs.items():
        _record_output(recording, sent, lead, _free(f"output{suffix}", taken), type(model).__name__)
    beside = recorded_states(recording, found.state) if step is None else ()
    return Recorded(recording, names, found.state, ended=False, beside=beside)


def _input_names(model: torch.nn.Module, count: int, taken: frozenset[str]) -> tuple[str, ...]:
    """Names of the inputs: "input", or those of forward's arguments where there are several."""
    if count == 1:
        return (_free("input", taken),)
    names = list(inspect.signature(model.forward).parameters)[:count]
    names += [f"input.{number}" for number in range(len(names), count)]
    return tuple(_free(name, taken) for name in names)


def _record_output(recording: Recording, sent: torch.Tensor, lead: int, name: str, where: str) -> None:
    """Add an output. Of one that is made of all steps, the output of the graph is the raster that it is made of."""
    builder, value = recording.builder, recording.value(sent)
    made_of = None if value is None or lead == 1 else of_value(recording, value)
    if made_of is not None and made_of.node in builder.nodes:
        shape = builder.nodes[made_of.node].output_shape
        builder.readouts[name] = ", ".join(made_of.how)
        builder.add(name, lambda: Output(shape), lead, (Value(made_of.node, lead), "x"))
    elif (reason := _no_output(recording, value, lead)) is not None:
        builder.refuse(reason[0], where, *reason[1:])
    elif value is not None and value.node is not None:
        shape = tuple(sent.shape[lead:])
        builder.add(name, lambda: Output(shape), lead, (value, "x"))


def _no_output(recording: Recording, value: Value | None, lead: int) -> tuple[str, str, str] | None:
    """Kind, message and remedy where a value cannot be an output of the graph."""
    findings, loop = recording.builder.findings, recording.loop
    collect = "collect what every step gives: torch.stack(outputs)"
    if value is None:
        message = "the output does not depend on the input in a way that was traced"
        return None if findings else ("output", message, "return what the last layer gives")
    if value.state_of:
        message, fix = (
            f"the output is the state of {value.state_of!r}",
            "return what a layer gives: spikes, or the potential of Norse's LI; norse-export run -o gives every state",
        )
        return None if any(finding.kind == "state" for finding in findings) else ("output", message, fix)
    if value.rows and not findings:
        message = f"the output holds {described(value, 0 if loop is None else loop.steps)}"
        return "time_loop", f"{message}, and not the raster of all steps", collect
    if value.time is not None and lead == 2:
        message = f"the output is what step {value.time} of the loop gave, and not the raster of all steps"
        return "output", message, collect
    if value.node is None and not findings:  # every unknown value has a finding; this keeps it so
        return "output", "the output could not be traced", "return what the last layer gives"
    return None


def read_outputs(
    model: torch.nn.Module, rasters: Rasters, names: tuple[str, ...], *, encoders: bool = True
) -> dict[str, torch.Tensor]:
    """The rasters [T, B, ...] that a model's outputs are made of, on these rasters; by name.

    Raises:
        UnsupportedError: one of them could not be seen.
    """
    with hidden_states(model):
        recorded = _recorded(model, rasters, None, None, tables(torch_nn.rules()), Weights(), encoders=encoders)
    recording, found = recorded.recording, dict[str, torch.Tensor]()
    for edge in recording.builder.edges:
        if edge.target in names and (sent := sent_by(recording, edge.source)) is not None:
            found[edge.target] = sent
    if missing := sorted(set(names) - set(found)):
        raise UnsupportedError(
            "what the model reads out could not be followed over all steps",
            where=missing[0],
            fix="return the raster of all steps, and read it out afterwards",
            kind="readout",
        )
    return found


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


def _described(result: Any) -> str:
    if isinstance(result, tuple | list):
        return f"a {type(result).__name__} of {len(result)}"
    return f"a {type(result).__name__}"


def _free(name: str, taken: frozenset[str]) -> str:
    while name in taken:
        name += "_"
    return name
