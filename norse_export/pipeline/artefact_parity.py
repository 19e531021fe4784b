"""parity where one side is an artefact of `sim`: a price against a model, equality against all of whole numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from norse_export.compare import Comparison, compare
from norse_export.errors import Finding, UsageError
from norse_export.interpret import checked_inputs
from norse_export.ir.run import Run
from norse_export.pipeline.artefacts import choose_rasters, read_artefact, run_artefact
from norse_export.pipeline.choices import InputChoice, LoadChoice
from norse_export.pipeline.integers import price
from norse_export.pipeline.loading import is_artefact, load_model
from norse_export.pipeline.rasters import choose, summary_of
from norse_export.pipeline.recorded import Recording, is_recording, read_recording
from norse_export.report.results import InputSummary


@dataclass(frozen=True, slots=True)
class ArtefactParity:
    """The comparison, the rasters it was made on, and whether these are random ones that were searched for."""

    comparison: Comparison
    summary: InputSummary
    searched: bool = False
    findings: tuple[Finding, ...] = ()


def compare_artefact(a: Path, b: Path, inputs: InputChoice, loading: LoadChoice) -> ArtefactParity:
    """Compare two files, one of them or both an artefact of `sim`; `a` is the reference.

    Raises:
        ExportError: one of the files or the rasters are wrong.
    """
    artefact, other = (a, b) if is_artefact(a) else (b, a)
    model = read_artefact(artefact, loading.limits)
    if is_recording(other, loading.limits):
        if inputs.file is not None or inputs.random_steps is not None:
            message = "the trace holds the inputs that it was recorded on"
            raise UsageError(message, where="--inputs, --random", fix="leave them out")
        recording = read_recording(other, loading.limits)
        rasters = checked_inputs(model.graph, recording.inputs)
        own = run_artefact(model, rasters, states=True).run
        held, recorded, findings = _shared(own, recording, other)
        pair = (held, recorded) if artefact is a else (recorded, held)
        return ArtefactParity(compare(*pair, rung=3), summary_of(other.name, rasters), findings=findings)
    if is_artefact(other):
        second = read_artefact(other, loading.limits)
        given, summary, labels = choose_rasters(model, inputs, loading.limits)
        runs = [run_artefact(one, given, states=True).run for one in (model, second)]
        return ArtefactParity(compare(*runs, rung=3, labels=labels), summary)
    chosen = choose(load_model(other, loading, inputs), inputs, loading.limits)
    actual = run_artefact(model, chosen.rasters).run
    comparison = price(chosen.truth.run, actual, chosen.labels)
    return ArtefactParity(comparison, chosen.summary, chosen.searched)


def _shared(own: Run, recording: Recording, path: Path) -> tuple[Run, Run, tuple[Finding, ...]]:
    """Both runs with what both hold (spikes, outputs, every state of every population), and what only one holds."""
    recorded = recording.run
    held = {**recorded.observables, **recording.values}
    populations = dict.fromkeys((*own.spikes, *own.observables))
    names = [name for name in populations if name in recorded.spikes or name in held]
    outputs = [name for name in own.outputs if name in recorded.outputs]
    if not names and not outputs:
        raise UsageError(
            "the trace has no layer in common with the artefact",
            where=path.name,
            fix="compare a trace with the artefact that it was recorded from",
        )
    if any(raster.dtype.kind == "f" for variables in held.values() for raster in variables.values()):
        raise UsageError(
            "the trace holds states of floats, and the artefact has whole numbers in units of its own",
            where=path.name,
            fix="compare it with the model, or the model with the artefact",
        )

    def reduced(run: Run, states: Mapping[str, Mapping[str, Any]]) -> Run:
        shared = {
            name: {key: states[name][key] for key in sorted(own.observables.get(name, {})) if key in held[name]}
            for name in names
            if name in held
        }
        spikes = {name: run.spikes[name] for name in own.spikes if name in recorded.spikes}
        return Run(spikes, {name: run.outputs[name] for name in outputs}, run.ran_by, shared)

    missing = [*(n for n in populations if n not in names), *(n for n in own.outputs if n not in outputs)]
    findings = tuple(
        Finding(
            "not_recorded", "warning", name, "the trace does not hold it: nothing is said about it", "record it too"
        )
        for name in missing
    )
    return reduced(own, own.observables), reduced(recorded, held), findings
