"""Records one call of a model: what it does with its inputs, and what it returns."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from norse_export.errors import ExportError, UsageError
from norse_export.frontend.builder import Builder, Value
from norse_export.frontend.frameworks.table import Tables
from norse_export.frontend.hidden import hidden_in, hidden_states
from norse_export.frontend.readouts import of_value
from norse_export.frontend.recorder import Recorder, Recording, recording_modules, recording_steps
from norse_export.frontend.reference import call_model, takes_state
from norse_export.frontend.returned import recorded_states, returned
from norse_export.frontend.shown import count_steps
from norse_export.frontend.time_rows import described
from norse_export.frontend.undisturbed import Weights
from norse_export.ir.layers import Input, Output

Rasters = tuple[torch.Tensor, ...]


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


@dataclass(frozen=True, slots=True)
class Way:
    """How a call is understood.

    images: inputs that are one image, [B, ...], and how often an encoder shows it. shown: all inputs are images, which
    the model shows at so many steps by itself. begins: in a loop over time, a step begins where its part of the raster
    is taken, and not where it is used.
    """

    images: Mapping[str, int] = field(default_factory=dict)
    shown: int = 0
    begins: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What is recorded. encoders: those that are populations are a part of the graph.

    steps: it may call steps of Norse's by itself; looking out for them takes half of the time of a recording.
    """

    model: torch.nn.Module
    table: Tables
    weights: Weights
    encoders: bool = True
    steps: bool = True

    def step(self, xs: Rasters, number: int, before: Recorded | None) -> Recorded:
        """A call of a model that takes one step, [B, ...]."""
        return _recorded(self, xs, number, before, Way())

    def whole(self, xs: Rasters) -> Recorded:
        """A call of a model that takes whole rasters, [T, B, ...], or an image, [B, ...], that it shows at every step.

        Which of the two, and where its steps begin, is tried, the simplest first.
        """
        with hidden_states(self.model):
            plain = _recorded(self, xs, None, None, Way())
        if not plain.builder.findings:
            return plain
        loop = plain.recording.loop
        if loop is not None and loop.now >= 0:  # it takes its input apart: that is a raster
            with hidden_states(self.model):
                other = _recorded(self, xs, None, None, Way(begins=True))
            return plain if other.builder.findings else other
        with hidden_states(self.model):
            shown = count_steps(self.model, xs, self.table)
        with hidden_states(self.model):
            other = _recorded(self, xs, None, None, Way(shown=shown))
        several = max((shown, *other.recording.images.values())) > 1
        apart = any(finding.kind == "time_loop" for finding in plain.builder.findings)  # a raster, after all
        fits = not any(finding.kind.endswith("_axes") for finding in other.builder.findings)
        telling = not other.builder.findings or (other.recording.images and fits and not apart)
        return other if several and telling else plain


def _recorded(asked: Asked, xs: Rasters, step: int | None, before: Recorded | None, way: Way) -> Recorded:
    """Record one call. step: of a model that takes one step a call; None: it takes the whole raster.

    Which inputs are images that an encoder shows, a first recording tells.
    """
    recording, names, tracked = _begun(asked, xs, step, before, way)
    raised, result = _called(asked, recording, tracked, None if before is None else before.state)
    if recording.loop is not None:
        recording.loop.leave()
    if not way.shown and recording.images.keys() - way.images.keys():
        return _recorded(asked, xs, step, before, replace(way, images={**recording.images, **way.images}))
    recording.images.update(way.images)
    for name in recording.encoded:  # what the encoder gives is a raster
        recording.images.pop(name, None)
    if raised is not None:
        if recording.failed not in {finding.where for finding in recording.builder.findings}:
            recording.builder.note(_placed(raised, recording))
        return Recorded(recording, names, None, ended=True)
    return _returned(asked.model, recording, names, result, step)


def _begun(
    asked: Asked, xs: Rasters, step: int | None, before: Recorded | None, way: Way
) -> tuple[Recording, tuple[str, ...], Rasters]:
    """A recording that knows its inputs, and what the step before handed over: with their names, and the tensors."""
    model, lead = asked.model, 2 if step is None else 1
    paths = {id(module): name or type(module).__name__ for name, module in model.named_modules()}
    taken = frozenset(paths.values())
    builder = Builder(reserved=taken, now=step, shown=bool(way.shown))
    carried = None if before is None else before.recording.calls
    recording = Recording(builder, paths, asked.table, carried=carried, weights=asked.weights)
    recording.root, recording.encoders = type(model).__name__, asked.encoders
    recording.shown, recording.begins = way.shown, way.begins
    names, tracked = _input_names(model, len(xs), taken), tuple(x.clone() for x in xs)
    for name, x in zip(names, tracked, strict=True):
        dtype: Any = str(x.dtype).removeprefix("torch.")
        own = 1 if name in way.images or way.shown else lead
        builder.nodes[name] = Input(tuple(x.shape[own:]), dtype)
        recording.track(x, Value(name, own))
    if before is not None:
        recording.starts = before.recording.starts
        recording.track_sent([before.state, hidden_in(model)], before.recording)
    return recording, names, tracked


def _called(asked: Asked, recording: Recording, xs: Rasters, state: Any) -> tuple[ExportError | None, Any]:
    """The error that the call raised, or None; what it returned."""
    steps = recording_steps(recording) if asked.steps else nullcontext()
    try:
        with recording_modules(recording), steps, Recorder(recording):
            return None, call_model(asked.model, xs, state)
    except ExportError as error:
        return error, None


def _returned(
    model: torch.nn.Module, recording: Recording, names: tuple[str, ...], result: Any, step: int | None
) -> Recorded:
    """Record the outputs among what a call returned."""
    stateful = step is not None and takes_state(model, len(names))
    found = returned(recording, result, stateful=stateful)
    if found is None:
        message = f"the model returns {_described(result)}, not one tensor or (tensor, state)"
        fix = "return one output or a list of outputs, and the state of the neurons beside it"
        recording.builder.refuse("outputs", type(model).__name__, message, fix)
        return Recorded(recording, names, None, ended=True)
    taken = frozenset(recording.paths.values())
    for suffix, sent in found.outputs.items():
        _record_output(recording, sent, 2 if step is None else 1, _free(f"output{suffix}", taken), type(model).__name__)
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
            "return what a layer gives: spikes, the potential of Norse's LI or LICell, or the membrane of snnTorch's "
            "Leaky or Synaptic; norse-export run -o gives every state",
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


def _placed(error: ExportError, recording: Recording) -> ExportError:
    """The error with the path of the module in which the model raised."""
    if recording.failed and recording.failed != recording.root and error.findings[0].kind == "model_raised":
        what, fix = error.findings[0].message, error.findings[0].fix
        return UsageError(what, where=f"{recording.failed}, in {error.where}", fix=fix, kind="model_raised")
    return error


def _described(result: Any) -> str:
    if isinstance(result, tuple | list):
        return f"a {type(result).__name__} of {len(result)}"
    return f"a {type(result).__name__}"


def _free(name: str, taken: frozenset[str]) -> str:
    while name in taken:
        name += "_"
    return name
