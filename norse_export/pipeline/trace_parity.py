"""A recorded trace against a model: spikes, outputs and every recorded state, as far as the trace holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.compare import Comparison, compare
from norse_export.errors import Finding, UsageError
from norse_export.interpret import interpret
from norse_export.ir.layers import Input
from norse_export.ir.run import Bounds, Run
from norse_export.pipeline.choices import InputChoice, LoadChoice
from norse_export.pipeline.model import Model
from norse_export.pipeline.rasters import choose
from norse_export.pipeline.recorded import CSV_POPULATION, Recording
from norse_export.report.results import InputSummary

Array = NDArray[Any]
WHOLE_NUMBERS = "whole_numbers"  # the kind of a finding


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared: a model, or a recorded trace."""

    path: Path
    model: Model | None
    recording: Recording | None

    def require_model(self) -> Model:
        """The model of a side that is known to be one."""
        if self.model is None:
            raise UsageError("a trace cannot be run", where=self.path.name, fix="give a model or an artefact")
        return self.model


@dataclass(frozen=True, slots=True)
class RecordedParity:
    """The comparison, the rasters it was made on, and what only one of the two holds."""

    comparison: Comparison
    summary: InputSummary
    findings: tuple[Finding, ...]


def compare_recorded(a: Side, b: Side, inputs: InputChoice, loading: LoadChoice) -> RecordedParity:
    """Compare a trace with a model, in either order; the model goes through the interpreter, its states recorded.

    Every recorded number is held against a float64 run of the model along the recorded spikes, within the bound of
    float32 rounding (float64 where the trace is one of ours and the model computes in it).

    Raises:
        UsageError: two traces, no input raster, nothing in common, or rasters that do not fit.
    """
    if a.recording is not None and b.recording is not None:
        fix = "compare a trace with a model or artefact"
        raise UsageError("both files are recorded traces", where=a.path.name, fix=fix)
    recording = a.recording or b.recording
    model = (b if a.recording is not None else a).require_model()
    if recording is None:
        raise UsageError("neither file is a trace", where=a.path.name, fix="compare the two models")
    rasters, summary = _rasters(model, recording, inputs, loading)
    run = interpret(model.discrete, rasters, states=True)
    recorded = fitted(recording.run, run)
    where = (a if a.recording is not None else b).path.name
    findings = (*_one_sided(run, recorded), *_in_whole_numbers(recorded, where))
    shared_run, shared = _reduced(run, recorded), _reduced(recorded, run)
    if not shared.spikes and not shared.outputs:
        raise UsageError(
            f"the two have nothing in common: {_names(run)} and {_names(recorded)}",
            where="parity",
            fix="compare a trace with the model that it was recorded from",
        )
    dtype = "float64" if model.exact and recording.rung is not None else "float32"
    bounds = model.bounds_in(dtype, rasters, states=True)

    def along(samples: Array, spikes: Mapping[str, Array]) -> Bounds:
        rest = {name: raster[:, samples] for name, raster in run.spikes.items() if name not in spikes}
        return bounds(samples, {**rest, **spikes})

    first, second = (shared, shared_run) if a.recording is not None else (shared_run, shared)
    return RecordedParity(compare(first, second, rung=recording.rung, bounds=along), summary, findings)


def _rasters(
    model: Model, recording: Recording, inputs: InputChoice, loading: LoadChoice
) -> tuple[Mapping[str, Array], InputSummary]:
    """Those that were asked for, else those that the trace holds."""
    if inputs.file is not None or inputs.random_steps is not None or not recording.inputs:
        if inputs.file is None and inputs.random_steps is None:
            raise UsageError("the trace holds no input raster", where=recording.run.ran_by, fix="pass --inputs x.npz")
        chosen = choose(model, inputs, loading.limits)
        return chosen.rasters, chosen.summary
    nodes = {name: node for name, node in model.graph.nodes.items() if isinstance(node, Input)}
    given = recording.inputs
    if len(nodes) == len(given) == 1:
        given = {next(iter(nodes)): next(iter(given.values()))}
    rasters = {name: reshaped(raster, nodes[name].shape) for name, raster in given.items() if name in nodes}
    raster = next(iter(given.values()))
    return rasters, InputSummary("recorded in the trace", int(raster.shape[0]), int(raster.shape[1]))


def reshaped(raster: Array, shape: tuple[int, ...]) -> Array:
    """Features in the model's shape, where their number is the same; traces of others are flat."""
    if raster.shape[2:] == shape or int(np.prod(raster.shape[2:])) != int(np.prod(shape)):
        return raster
    return raster.reshape(*raster.shape[:2], *shape)


def fitted(recorded: Run, run: Run) -> Run:
    """The recorded run with the model's names and shapes, where they can be told."""
    if set(recorded.spikes) == {CSV_POPULATION} and CSV_POPULATION not in run.spikes and len(run.spikes) == 1:
        (name,) = run.spikes
        recorded = replace(
            recorded,
            spikes={name: recorded.spikes[CSV_POPULATION]},
            observables={name: recorded.observables.get(CSV_POPULATION, {})},
        )
    spikes = {n: reshaped(r, run.spikes[n].shape[2:]) if n in run.spikes else r for n, r in recorded.spikes.items()}
    outputs = {n: reshaped(r, run.outputs[n].shape[2:]) if n in run.outputs else r for n, r in recorded.outputs.items()}
    observables = {
        name: {
            key: reshaped(r, run.observables[name][key].shape[2:]) if key in run.observables.get(name, {}) else r
            for key, r in variables.items()
        }
        for name, variables in recorded.observables.items()
    }
    return replace(recorded, spikes=spikes, outputs=outputs, observables=observables)


def _reduced(run: Run, other: Run) -> Run:
    """What the other run holds too."""
    return Run(
        spikes={name: raster for name, raster in run.spikes.items() if name in other.spikes},
        outputs={name: sent for name, sent in run.outputs.items() if name in other.outputs},
        ran_by=run.ran_by,
        observables={
            name: {key: values for key, values in variables.items() if key in other.observables[name]}
            for name, variables in run.observables.items()
            if name in other.observables
        },
    )


def _one_sided(run: Run, recorded: Run) -> Iterator[Finding]:
    """What was not compared, because only one of the two holds it."""
    for one, other, holder in ((run, recorded, "the trace"), (recorded, run, "the model")):
        missing = [
            *(n for n in one.spikes if n not in other.spikes),
            *(n for n in one.outputs if n not in other.outputs),
        ]
        if missing:
            message = f"not compared, for {holder} does not hold it: {', '.join(missing)}"
            yield Finding("partial", "warning", ", ".join(missing), message, "record every layer and output")


def _in_whole_numbers(recorded: Run, where: str) -> Iterator[Finding]:
    """A trace of an artefact of whole numbers, whose states have units of their own, and whose layers may be late."""
    states = [values for variables in recorded.observables.values() for values in variables.values()]
    if any(values.dtype.kind in "iu" for values in states):
        message = "the trace holds states in whole numbers, and is compared with a model of floats"
        fix = "compare it with the artefact that was run: norse-export parity ARTEFACT TRACE"
        yield Finding(WHOLE_NUMBERS, "warning", where, message, fix)


def _names(run: Run) -> str:
    return ", ".join((*run.spikes, *run.outputs)) or "nothing"
