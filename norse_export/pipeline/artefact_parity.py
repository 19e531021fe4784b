"""parity where one side is an artefact: whole numbers have a price against a model or another chip, else equality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from norse_export.compare import Comparison, compare
from norse_export.errors import Finding, UsageError
from norse_export.formats.fixed_codec import Arrays
from norse_export.formats.fixed_file import FORM
from norse_export.interpret import checked_inputs
from norse_export.ir.run import Run
from norse_export.pipeline.artefacts import Held, choose_rasters, read_artefact, target_of
from norse_export.pipeline.choices import InputChoice, LoadChoice
from norse_export.pipeline.common import Common, in_common
from norse_export.pipeline.integers import price
from norse_export.pipeline.loading import load_model
from norse_export.pipeline.model import Rasters
from norse_export.pipeline.rasters import choose, summary_of
from norse_export.pipeline.recorded import Recording, is_recording, read_recording
from norse_export.pipeline.trace_parity import fitted, reshaped
from norse_export.report.results import InputSummary


@dataclass(frozen=True, slots=True)
class ArtefactParity:
    """The comparison, the rasters it was made on, and whether these are random ones that were searched for."""

    comparison: Comparison
    summary: InputSummary
    searched: bool = False
    findings: tuple[Finding, ...] = ()


def compare_artefact(a: Path, b: Path, inputs: InputChoice, loading: LoadChoice) -> ArtefactParity | None:
    """Compare two files, one of them or both an artefact; `a` is the reference. None: neither is one.

    Raises:
        ExportError: one of the files or the rasters are wrong.
    """
    targets = (target_of(a), target_of(b))
    if targets == (None, None):
        return None
    if targets[0] is not None and targets[1] is not None:
        return _two(read_artefact(a, targets[0], loading), read_artefact(b, targets[1], loading), inputs, loading)
    artefact, other, target = (a, b, targets[0]) if targets[0] is not None else (b, a, targets[1])
    if target is None:  # never: one of the two is an artefact
        return None
    if is_recording(other, loading.limits):
        if inputs.file is not None or inputs.random_steps is not None:
            message = "the trace holds the inputs that it was recorded on"
            raise UsageError(message, where="--inputs, --random", fix="leave them out")
        held = read_artefact(artefact, target, loading)
        return _recorded(held, read_recording(other, loading.limits), other, first=artefact is a)
    model = load_model(other, loading, inputs)
    held = read_artefact(artefact, target, LoadChoice(limits=loading.limits))  # --dt and the like are the model's
    chosen = choose(model, inputs, loading.limits)
    done = held.run(chosen.rasters)
    _require_same_layers(chosen.truth.run, done, held)
    if held.floats:
        bounds = model.bounds(chosen.rasters)
        comparison = compare(chosen.truth.run, done, rung=1, bounds=bounds, labels=chosen.labels)
    else:
        comparison = price(chosen.truth.run, done, chosen.labels, held.skew)
    return ArtefactParity(comparison, chosen.summary, chosen.searched, model.findings)


def _two(first: Held, second: Held, inputs: InputChoice, loading: LoadChoice) -> ArtefactParity:
    """Two artefacts: of one form, or one network, bit for bit; else spikes and outputs, each at its own time."""
    given, summary, labels = choose_rasters(first, inputs, loading.limits)
    rasters = checked_inputs(second.graph, given)
    same = first.target.name == second.target.name and first.floats == second.floats
    if same or _same_integers(first, second):
        one, two = (held.run(given, states=True) for held in (first, second))
        _require_same_layers(one, two, second)
        return ArtefactParity(compare(one, two, rung=3, labels=labels), summary)
    late = max(first.skew.values(), default=0)
    reference, other = _in_time(first.run(given), first.skew, late), _cut(second.run(rasters), late)
    _require_same_layers(reference, other, second)
    comparison = price(reference, other, labels, second.skew)
    return ArtefactParity(comparison, summary)


def _same_integers(first: Held, second: Held) -> bool:
    """Whether two artefacts hold one fixed graph: the same nodes in every number, and the same edges."""
    if first.floats or second.floats or first.skew != second.skew:
        return False
    arrays: tuple[Arrays, Arrays] = ({}, {})
    one, other = (FORM.encode_graph(held.graph, found) for held, found in zip((first, second), arrays, strict=True))
    same = (one["nodes"], one["edges"]) == (other["nodes"], other["edges"]) and set(arrays[0]) == set(arrays[1])
    return same and all(np.array_equal(value, arrays[1][name]) for name, value in arrays[0].items())


def _require_same_layers(reference: Run, run: Run, held: Held) -> None:
    """Refuse to compare layers that only happen to have the same names.

    Raises:
        UsageError: the artefact is of another model, or does not know the model's names.
    """
    wanted = {name: raster.shape[2:] for name, raster in (*reference.spikes.items(), *reference.outputs.items())}
    found = {name: raster.shape[2:] for name, raster in (*run.spikes.items(), *run.outputs.items())}
    if wanted != found:
        shown = [", ".join(f"{name} {list(shape)}" for name, shape in one.items()) for one in (found, wanted)]
        raise UsageError(
            f"the layers of the artefact are {shown[0]}, those of the other {shown[1]}",
            where=held.name,
            fix="compare an artefact with its own model; of one in a folder give the folder, which knows the names",
        )


def _in_time(run: Run, skew: Mapping[str, int], late: int) -> Run:
    """A run whose rasters all start when the model sends them; `late` steps shorter."""

    def moved(rasters: Mapping[str, Any]) -> dict[str, Any]:
        starts = {name: skew.get(name, 0) for name in rasters}
        return {name: raster[starts[name] : len(raster) - late + starts[name]] for name, raster in rasters.items()}

    return Run(moved(run.spikes), moved(run.outputs), run.ran_by)


def _cut(run: Run, late: int) -> Run:
    """A run without its last steps."""
    return _in_time(run, {}, late)


def _recorded(held: Held, recording: Recording, path: Path, *, first: bool) -> ArtefactParity:
    """An artefact and a trace of it: of a chip, of a vendor's simulator, or of an earlier run."""
    rasters = _played(held, recording, path)
    own = held.run(rasters, states=True)
    recorded = fitted(recording.run, own)
    states = {name: recorded.observables.get(name, {}) for name in recorded.spikes} | dict(recording.values)
    if not held.floats:
        states = {name: _whole(values) for name, values in states.items()}
    common = in_common(own, replace(recorded, observables=states))
    _require_comparable(common.second, path, floats=held.floats)
    if recording.rung is None:
        common = _probed(common)
    pair = (common.first, common.second) if first else (common.second, common.first)
    return ArtefactParity(compare(*pair, rung=3), summary_of(path.name, rasters), findings=common.findings)


def _whole(states: Mapping[str, Any]) -> dict[str, Any]:
    """States as integers, where a file of floats holds whole numbers."""
    return {
        name: raster.astype(np.int64)
        if raster.dtype.kind == "f" and bool((raster == np.rint(raster)).all())
        else raster
        for name, raster in states.items()
    }


def _probed(common: Common) -> Common:
    """A chip's probe may read a code where a neuron fires: there the recorded states are not compared."""
    observables = {
        name: {
            key: np.where(common.second.spikes[name] != 0, common.first.observables[name][key], raster)
            if name in common.second.spikes
            else raster
            for key, raster in held.items()
        }
        for name, held in common.second.observables.items()
    }
    note = Finding(
        "probe",
        "note",
        "the trace",
        "states are not compared where a neuron fires: a chip's probe reads a code there",
        "-",
    )
    findings = (*common.findings, *((note,) if any(observables.values()) else ()))
    return replace(common, second=replace(common.second, observables=observables), findings=findings)


def _require_comparable(trace: Run, path: Path, *, floats: bool) -> None:
    """Refuse a trace that shares nothing with the artefact, or holds states in other units."""
    if not (trace.spikes or trace.outputs or any(trace.observables.values())):
        raise UsageError(
            "the trace has no layer in common with the artefact",
            where=path.name,
            fix="compare a trace with the artefact that it was recorded from",
        )
    values = (raster for states in trace.observables.values() for raster in states.values())
    if not floats and any(raster.dtype.kind == "f" for raster in values):
        raise UsageError(
            "the trace holds states of floats, and the artefact has whole numbers in units of its own",
            where=path.name,
            fix="compare it with the model, or the model with the artefact",
        )


def _played(held: Held, recording: Recording, path: Path) -> Rasters:
    """The rasters that a trace was recorded on, under the artefact's own names and in its shapes."""
    nodes = held.inputs
    given = dict(recording.inputs)
    if not given:
        raise UsageError("the trace holds no input raster", where=path.name, fix="record what went in, too")
    if len(nodes) == len(given) == 1:
        given = {next(iter(nodes)): next(iter(given.values()))}
    fitting = {name: reshaped(raster, nodes[name].shape) if name in nodes else raster for name, raster in given.items()}
    return checked_inputs(held.graph, fitting)
