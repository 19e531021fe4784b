"""export: a model file -> artefacts, each run back from its bytes and compared with the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from norse_export import registry
from norse_export.compare import Comparison
from norse_export.errors import CapacityError, ExportError, Finding, UnsupportedError, UsageError
from norse_export.files.atomic import check_output, writing_file, writing_folder
from norse_export.files.limits import Limits
from norse_export.files.write_errors import reporting_write_errors
from norse_export.pipeline.choices import InputChoice, IntegerChoice, LoadChoice, Progress, chosen_inputs, silent
from norse_export.pipeline.loading import load_model
from norse_export.pipeline.model import Model
from norse_export.pipeline.rasters import Chosen, choose
from norse_export.pipeline.staging import observing, stage
from norse_export.pipeline.verdict import require_equal, vacuous_warning
from norse_export.pipeline.written import Digesting
from norse_export.report.results import ExportResult, TargetExport
from norse_export.target import Stage, Target

if TYPE_CHECKING:
    from norse_export.passes.prices import LayerPrice


def export(
    model: str | Path,
    targets: Sequence[str] | str,
    *,
    out: str | Path | None = None,
    inputs: InputChoice | str | Path | None = None,
    loading: LoadChoice | None = None,
    integers: IntegerChoice | None = None,
    verify: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> ExportResult:
    """Export a model file to one or several targets; each artefact appears under its name only when it is equal.

    The result's `error` is None when all went well: it is not raised, so that what else was found is not lost.
    out: the artefact's path for one target, a folder with one entry a target for several; default: named after the
    model, in the current folder. integers: for targets that take whole numbers. verify=False writes without running
    back, and says so in the artefact.

    Raises:
        ExportError: the call, or the model as a whole, is wrong. What goes wrong with one target stands in its result.
    """
    inputs, loading, report = chosen_inputs(inputs), loading or LoadChoice(), progress or silent
    model = Path(model)
    targets = (targets,) if isinstance(targets, str) else targets
    if not targets:
        raise UsageError("no target is given", where="--target", fix=f"use one of: {', '.join(registry.names())}")
    loaded_targets = [registry.load(name) for name in dict.fromkeys(targets)]
    integers = integers or IntegerChoice()
    sources = tuple(path for path in (model, inputs.file, integers.calibration) if path is not None)
    _refuse_unused(integers, loaded_targets)
    paths = _paths(model, loaded_targets, None if out is None else Path(out))
    for target, path in zip(loaded_targets, paths, strict=True):
        if path.parent.exists() or len(loaded_targets) == 1:
            check_output(path, force=force, inputs=sources, folder=target.folder)
    report("load", 0.0)
    loaded = load_model(model, loading, inputs)
    chosen = None
    if verify:
        report("reference", 0.2)
        chosen = choose(loaded, inputs, loading.limits)
    folder = paths[0].parent
    made = len(loaded_targets) > 1 and not folder.exists()
    if made:
        with reporting_write_errors(folder):
            folder.mkdir()
    order = _Order(loaded, chosen, integers, loading.limits, force, sources)
    done = []
    for number, (target, path) in enumerate(zip(loaded_targets, paths, strict=True)):
        report(target.name, 0.4 + 0.6 * number / len(loaded_targets))
        done.append(_export_one(order, target, path))
    if made and all(export.artefact is None for export in done):
        folder.rmdir()
    report("done", 1.0)
    note = () if chosen is None or chosen.truth.note is None else (chosen.truth.note,)
    summary = None if chosen is None else chosen.summary
    return ExportResult(model.name, summary, tuple(done), (*loaded.findings, *note))


@dataclass(frozen=True, slots=True)
class _Order:
    """What is exported to every target of a call."""

    model: Model
    chosen: Chosen | None
    integers: IntegerChoice
    limits: Limits
    force: bool
    sources: tuple[Path, ...]


def _refuse_unused(integers: IntegerChoice, targets: Sequence[Target]) -> None:
    """A choice that no target takes would be ignored: an error instead."""
    if integers == IntegerChoice() or any(target.stage is Stage.FIXED for target in targets):
        return
    names = ", ".join(target.name for target in targets)
    raise UsageError(
        f"bits, scales and calibration are for targets of integers; {names} takes the model's own numbers",
        where="--weight-bits, --bits, --state-bits, --decay-bits, --per-channel, --calib, --no-search, --precision, "
        "--chip",
        fix="leave them out, or export to a target of integers (norse-export targets)",
    )


def blocking(findings: Sequence[Finding]) -> ExportError | None:
    """The error that a target's findings amount to; None where they are only warnings."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return None
    kind = CapacityError if all(finding.kind == "capacity" for finding in errors) else UnsupportedError
    return kind.of(errors)


def _paths(model: Path, targets: Sequence[Target], out: Path | None) -> list[Path]:
    names = [f"{model.stem}{target.suffix}" for target in targets]
    if len(targets) == 1:
        return [out or Path(names[0])]
    return [(out or Path()) / name for name in names]


def _export_one(order: _Order, target: Target, path: Path) -> TargetExport:
    findings: tuple[Finding, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    prices: tuple[LayerPrice, ...] = ()
    verified = order.chosen is not None
    try:
        staged = stage(order.model, target, order.integers, order.chosen, order.limits)
        prices = staged.prices
        with registry.blaming(target.name):
            findings = (*staged.findings, *target.check(staged.graph))
        if (error := blocking(findings)) is not None:
            raise error
        writing = writing_folder if target.folder else writing_file
        with Digesting() as digesting, writing(path, force=order.force, inputs=order.sources) as temporary:
            with reporting_write_errors(path), registry.blaming(target.name):
                target.emit(staged.graph, temporary)
            if order.chosen is not None:
                with registry.blaming(target.name):
                    actual = observing(target, staged.graph, order.chosen).run(temporary, order.chosen.rasters)
                comparisons = staged.compared(actual, order.chosen)
                require_equal(comparisons, order.chosen)
            digesting.start(temporary)
    except ExportError as error:
        return TargetExport(target.name, None, comparisons, verified, findings, error, prices)
    if comparisons and comparisons[0].vacuous:
        findings = (*findings, vacuous_warning(comparisons[0]))
    return TargetExport(target.name, digesting.artefact(path), comparisons, verified, findings, prices=prices)
