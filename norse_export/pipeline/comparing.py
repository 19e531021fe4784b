"""parity: any two of a model, an artefact and a recorded trace, compared on the same rasters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from norse_export.compare import Comparison, compare
from norse_export.errors import ExportError, ParityError, UsageError
from norse_export.interpret import interpret
from norse_export.pipeline.choices import InputChoice, LoadChoice, Progress, chosen_inputs, silent
from norse_export.pipeline.loading import load_model
from norse_export.pipeline.model import Model
from norse_export.pipeline.rasters import choose
from norse_export.pipeline.recorded import Recording, is_recording, read_recording
from norse_export.report.results import InputSummary, ParityResult
from norse_export.target import Run

Array = NDArray[Any]


def parity(
    a: str | Path,
    b: str | Path,
    *,
    inputs: InputChoice | str | Path | None = None,
    loading: LoadChoice | None = None,
    progress: Progress | None = None,
) -> ParityResult:
    """Compare any two of: model file, artefact, recorded trace. `a` is the reference.

    The rasters are the given ones, else those of a trace, else those stored in a model, else random ones.

    Raises:
        ExportError: one of the files or the rasters are wrong. A difference stands in the result, as its error.
    """
    inputs, loading, report = chosen_inputs(inputs), loading or LoadChoice(), progress or silent
    first, second = Path(a), Path(b)
    report("load", 0.0)
    sides = [_side(path, loading, inputs) for path in (first, second)]
    rasters, summary, labels, searched = _shared_rasters(sides, inputs, loading)
    report("run", 0.3)
    reference, rung = sides[0].reference(rasters)
    actual = sides[1].actual(rasters)
    reference, actual = _common(reference, actual, recorded=any(side.recording is not None for side in sides))
    judges = [side.model for side in sides if side.model is not None and not side.model.exact]
    bounds = judges[0].bounds(rasters) if judges and set(reference.spikes) == judges[0].spiking else None
    report("compare", 0.7)
    comparison = compare(reference, actual, rung=rung, bounds=bounds, labels=labels)
    report("done", 1.0)
    findings = tuple(finding for side in sides if side.model is not None for finding in side.model.findings)
    return ParityResult(
        first.name, second.name, summary, (comparison,), findings, _parity_error(comparison, searched=searched)
    )


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two that are compared: a model or a recording."""

    path: Path
    model: Model | None
    recording: Recording | None

    def reference(self, rasters: Mapping[str, Array]) -> tuple[Run, int]:
        """Its run as the truth, and the rung that it stands on."""
        if self.recording is not None:
            return self.recording.run, self.recording.rung
        if self.model is None:
            raise UsageError("nothing to run", where=str(self.path), fix="give a model or a trace")
        if self.model.stored is not None and self.model.stored[0] is rasters:
            truth = self.model.stored[1]
        else:
            truth = self.model.truth(rasters)
        return truth.run, max(truth.rung, 1)

    def actual(self, rasters: Mapping[str, Array]) -> Run:
        """Its run as what is judged: a model goes through the interpreter."""
        if self.recording is not None:
            return self.recording.run
        if self.model is None:
            raise UsageError("nothing to run", where=str(self.path), fix="give a model or a trace")
        return interpret(self.model.discrete, rasters, states=True)


def _side(path: Path, loading: LoadChoice, inputs: InputChoice) -> _Side:
    if is_recording(path, loading.limits):
        return _Side(path, None, read_recording(path, loading.limits))
    return _Side(path, load_model(path, loading, inputs), None)


def _shared_rasters(
    sides: list[_Side], inputs: InputChoice, loading: LoadChoice
) -> tuple[Mapping[str, Array], InputSummary | None, Array | None, bool]:
    models = [side.model for side in sides if side.model is not None]
    recordings = [side.recording for side in sides if side.recording is not None]
    if not models:
        raise UsageError(
            "both files are recorded traces", where=str(sides[0].path), fix="compare a trace with a model or artefact"
        )
    if inputs.file is None and inputs.random_steps is None and recordings:
        given = recordings[0].inputs
        names = [name for name in models[0].graph.nodes if not models[0].graph.nodes[name].ports]
        if len(names) != len(given) or not given:
            raise UsageError("the trace holds no input raster", where=str(sides[0].path), fix="pass --inputs x.npz")
        shapes = {name: models[0].graph.nodes[name].input_shape for name in names}
        rasters = {
            name: raster.reshape(*raster.shape[:2], *shapes[name])
            for name, raster in zip(names, given.values(), strict=True)
        }
        raster = rasters[names[0]]
        return rasters, InputSummary("recorded in the trace", raster.shape[0], raster.shape[1]), None, False
    source = next((model for model in models if model.stored is not None), models[0])
    chosen = choose(source, inputs, loading.limits)
    return chosen.rasters, chosen.summary, chosen.labels, chosen.searched


def _common(reference: Run, actual: Run, *, recorded: bool) -> tuple[Run, Run]:
    """With a recorded trace, only what it holds is compared; its one nameless population takes the model's name."""
    if not recorded:
        return reference, actual
    a, b = (set(run.spikes) for run in (reference, actual))
    if not a & b and len(a) == len(b) == 1:
        name = next(iter(a))
        actual = replace(actual, spikes={name: next(iter(actual.spikes.values()))})
        b = {name}
    shared = [name for name in reference.spikes if name in a & b]
    if not shared:
        raise UsageError(
            f"the two have no population in common: {', '.join(sorted(a))} and {', '.join(sorted(b))}",
            where="parity",
            fix="compare a trace with the model that it was recorded from",
        )

    def reduced(run: Run) -> Run:
        shape = reference.spikes[shared[0]].shape
        spikes = {name: run.spikes[name].reshape(reference.spikes[name].shape) for name in shared}
        return Run(spikes=spikes, outputs={}, ran_by=run.ran_by) if shape else run

    return reduced(reference), reduced(actual)


def _parity_error(comparison: Comparison, *, searched: bool) -> ExportError | None:
    found = comparison.first_divergence
    if not comparison.equal:
        place = "" if found is None else f" at step {found.step}, sample {found.sample}"
        where = comparison.layers[0].node if found is None else found.node
        return ParityError(f"the two differ{place}", where=where, fix="see the first divergence and the counts above")
    if comparison.vacuous and not searched:
        where = comparison.silent[0] if comparison.silent else "output"
        fix = "give inputs on which every layer fires (--inputs, or --random T --rate P)"
        return ParityError("the comparison proves nothing (vacuous)", where=where, fix=fix, kind="vacuous")
    return None
