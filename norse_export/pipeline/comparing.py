"""parity: any two of a model, an artefact and a recorded trace, compared on the same rasters."""

from __future__ import annotations

from pathlib import Path

from norse_export.compare import Comparison, compare
from norse_export.errors import ExportError, ParityError
from norse_export.interpret import interpret
from norse_export.pipeline.artefact_parity import compare_artefact
from norse_export.pipeline.choices import InputChoice, LoadChoice, Progress, chosen_inputs, silent
from norse_export.pipeline.loading import load_model
from norse_export.pipeline.rasters import choose
from norse_export.pipeline.recorded import is_recording, read_recording
from norse_export.pipeline.trace_parity import WHOLE_NUMBERS, Side, compare_recorded
from norse_export.report.checklist import PRICED
from norse_export.report.results import InputSummary, ParityResult


def parity(
    a: str | Path,
    b: str | Path,
    *,
    inputs: InputChoice | str | Path | None = None,
    loading: LoadChoice | None = None,
    progress: Progress | None = None,
) -> ParityResult:
    """Compare any two of: model file, artefact, recorded trace. `a` is the reference.

    Of an artefact of whole numbers and a model the model is the reference, in either order. It has a price
    against the model, or against that of another target; two of one target, or one and a trace, have to be equal.

    The rasters are the given ones, else those of a trace, else those stored in a model or artefact, else random ones.

    Raises:
        ExportError: one of the files or the rasters are wrong. A difference stands in the result, as its error.
    """
    inputs, loading, report = chosen_inputs(inputs), loading or LoadChoice(), progress or silent
    first, second = Path(a), Path(b)
    report("load", 0.0)
    found = compare_artefact(first, second, inputs, loading)
    if found is not None:
        error = _parity_error(found.comparison, searched=found.searched)
        report("done", 1.0)
        return ParityResult(first.name, second.name, found.summary, (found.comparison,), found.findings, error)
    one, other = _side(first, loading, inputs), _side(second, loading, inputs)
    findings = tuple(finding for side in (one, other) if side.model is not None for finding in side.model.findings)
    report("run", 0.3)
    if one.recording is not None or other.recording is not None:
        recorded = compare_recorded(one, other, inputs, loading)
        comparison, summary, searched = recorded.comparison, recorded.summary, False
        findings += recorded.findings
    else:
        comparison, summary, searched = _compare_models(one, other, inputs, loading)
    report("done", 1.0)
    error = _parity_error(comparison, searched=searched)
    if error is not None and (hints := [one.fix for one in findings if one.kind == WHOLE_NUMBERS]):
        error = ParityError(error.what, where=error.where, fix=hints[0])
    return ParityResult(first.name, second.name, summary, (comparison,), findings, error)


def _side(path: Path, loading: LoadChoice, inputs: InputChoice) -> Side:
    if is_recording(path, loading.limits):
        return Side(path, None, read_recording(path, loading.limits))
    return Side(path, load_model(path, loading, inputs), None)


def _compare_models(
    a: Side, b: Side, inputs: InputChoice, loading: LoadChoice
) -> tuple[Comparison, InputSummary, bool]:
    """Two models or artefacts on the rasters of either; the second goes through the interpreter."""
    first, second = a.require_model(), b.require_model()
    source = first if first.stored is not None or second.stored is None else second
    chosen = choose(source, inputs, loading.limits)
    truth = chosen.truth if source is first else first.truth(chosen.rasters)
    actual = interpret(second.discrete, chosen.rasters)
    judges = [model for model in (first, second) if not model.exact and model.spiking == set(truth.run.spikes)]
    bounds = judges[0].bounds(chosen.rasters) if judges else None
    comparison = compare(truth.run, actual, rung=1, bounds=bounds, labels=chosen.labels)
    return comparison, chosen.summary, chosen.searched


def _parity_error(comparison: Comparison, *, searched: bool) -> ExportError | None:
    found = comparison.first_divergence
    if not comparison.equal:
        place = "" if found is None else f" at step {found.step}, sample {found.sample}"
        where = comparison.layers[0].node if found is None else found.node
        fix = "see the first divergence and the counts above"
        if comparison.rung == PRICED:
            fix = "the counts above are the price of whole numbers; that an artefact does what its own network does is "
            fix += "what an export proves, unless --no-verify is given"
        return ParityError(f"the two differ{place}", where=where, fix=fix)
    if comparison.vacuous and not searched:
        where = comparison.silent[0] if comparison.silent else "output"
        fix = "give inputs on which every layer fires (--inputs, or --random T --rate P)"
        return ParityError("the comparison proves nothing (vacuous)", where=where, fix=fix, kind="vacuous")
    return None
