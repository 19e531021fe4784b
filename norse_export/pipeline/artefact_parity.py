"""parity where one side is an artefact of `sim`: a price against a model, equality against all of whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from norse_export.compare import Comparison, compare
from norse_export.errors import UsageError
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


def compare_artefact(a: Path, b: Path, inputs: InputChoice, loading: LoadChoice) -> ArtefactParity:
    """Compare two files, one of them or both an artefact of `sim`; `a` is the reference.

    Raises:
        ExportError: one of the files or the rasters are wrong.
    """
    artefact, other = (a, b) if is_artefact(a) else (b, a)
    model = read_artefact(artefact, loading.limits)
    if is_recording(other, loading.limits):
        recording = read_recording(other, loading.limits)
        rasters = checked_inputs(model.graph, recording.inputs)
        own = run_artefact(model, rasters, states=True).run
        held, recorded = _shared(own, recording, other)
        pair = (held, recorded) if artefact is a else (recorded, held)
        return ArtefactParity(compare(*pair, rung=3), summary_of(other.name, rasters))
    if is_artefact(other):
        second = read_artefact(other, loading.limits)
        given, summary, labels = choose_rasters(model, inputs, loading.limits)
        runs = [run_artefact(one, given, states=True).run for one in (model, second)]
        return ArtefactParity(compare(*runs, rung=3, labels=labels), summary)
    chosen = choose(load_model(other, loading, inputs), inputs, loading.limits)
    actual = run_artefact(model, chosen.rasters).run
    comparison = price(chosen.truth.run, actual, chosen.labels)
    return ArtefactParity(comparison, chosen.summary, chosen.searched)


def _shared(own: Run, recording: Recording, path: Path) -> tuple[Run, Run]:
    """Both runs with what both hold: spikes, and the states of populations after every step."""
    recorded = recording.run
    names = [name for name in own.spikes if name in recorded.spikes]
    if not names:
        raise UsageError(
            "the trace has no layer in common with the artefact",
            where=path.name,
            fix="compare a trace with the artefact that it was recorded from",
        )
    states = {
        name: {key for key in own.observables.get(name, {}) if key in recorded.observables.get(name, {})}
        for name in names
    }

    def reduced(run: Run) -> Run:
        observables = {name: {key: run.observables[name][key] for key in sorted(states[name])} for name in names}
        return Run({name: run.spikes[name] for name in names}, {}, run.ran_by, observables)

    return reduced(own), reduced(recorded)
