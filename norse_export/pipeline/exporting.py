"""export: a model file -> artefacts, each run back from its bytes and compared with the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from norse_export import registry
from norse_export.compare import Comparison
from norse_export.errors import ExportError, Finding, MissingDependencyError, UnsupportedError, UsageError
from norse_export.files.atomic import check_output, writing_file, writing_folder
from norse_export.files.limits import Limits
from norse_export.files.write_errors import reporting_write_errors
from norse_export.pipeline.choices import (
    FormChoice,
    InputChoice,
    IntegerChoice,
    LoadChoice,
    Progress,
    VendorChoice,
    chosen_inputs,
    silent,
)
from norse_export.pipeline.fitting import blocking, naming_takers
from norse_export.pipeline.forms import in_form
from norse_export.pipeline.loading import load_model
from norse_export.pipeline.model import Model
from norse_export.pipeline.rasters import Chosen, choose
from norse_export.pipeline.replacing import require_replaceable
from norse_export.pipeline.staging import Staged, observing, stage
from norse_export.pipeline.vendors import has_vendor, require_vendor, vendor_checked, vendor_error
from norse_export.pipeline.verdict import require_equal, vacuous_warning
from norse_export.pipeline.written import Digesting
from norse_export.report.results import Artefact, ExportResult, TargetExport, VendorCheck
from norse_export.target import Recording, Stage, Target

if TYPE_CHECKING:
    from norse_export.passes.prices import LayerPrice


_OPTIONS = {  # of IntegerChoice, as they are given on the command line
    "weight_bits": "--weight-bits",
    "layer_bits": "--bits",
    "state_bits": "--state-bits",
    "decay_bits": "--decay-bits",
    "per_channel": "--per-channel",
    "calibration": "--calib",
    "search": "--no-search",
    "precision": "--precision",
    "chip": "--chip",
}


def export(
    model: str | Path,
    targets: Sequence[str] | str,
    *,
    out: str | Path | None = None,
    inputs: InputChoice | str | Path | None = None,
    loading: LoadChoice | None = None,
    integers: IntegerChoice | None = None,
    form: FormChoice | None = None,
    vendor: VendorChoice | None = None,
    verify: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> ExportResult:
    """Export a model file to one or several targets; each artefact appears under its name only when it is equal.

    The result's `error` is None when all went well: it is not raised, so that what else was found is not lost.
    targets: their names; "all" for every one. out: the artefact's path for one target, a folder with one entry a target
    for several; default: named after the model, in the current folder. integers: for targets that take whole numbers.
    form: of targets that offer several. vendor: have a vendor's own software check the artefacts of the targets that it
    is for. verify=False writes without running back, and says so in the artefact.

    Raises:
        ExportError: the call, or the model as a whole, is wrong. What goes wrong with one target stands in its result.
    """
    inputs, loading, report = chosen_inputs(inputs), loading or LoadChoice(), progress or silent
    model, integers = Path(model), integers or IntegerChoice()
    targets = (targets,) if isinstance(targets, str) else targets
    asked = _asked(targets, form or FormChoice())
    several = len(asked) > 1 or "all" in targets
    wanted = [target for target in asked.values() if not isinstance(target, MissingDependencyError)]
    refuse_unused(integers, wanted)
    _refuse_vendor(vendor, wanted, verify=verify)
    sources = tuple(path for path in (model, inputs.file, integers.calibration) if path is not None)
    paths = _paths(model, wanted, None if out is None else Path(out), several=several)
    _check_outputs(paths, wanted, sources, force=force, several=several)
    report("load", 0.0)
    loaded = load_model(model, loading, inputs)
    chosen = None
    if verify:
        report("reference", 0.2)
        chosen = choose(loaded, inputs, loading.limits)
    order = _Order(loaded, chosen, integers, vendor, loading.limits, force, sources)
    done = _export_all(order, asked, paths, report)
    report("done", 1.0)
    return _result(order, done, model.name)


def _asked(targets: Sequence[str], form: FormChoice) -> Mapping[str, Target | MissingDependencyError]:
    """The targets that were asked for, by name.

    Raises:
        UsageError: none is; or a choice of form that none of them takes.
    """
    if not targets:
        raise UsageError("no target is given", where="--target", fix=f"use one of: {', '.join(registry.names())}")
    return in_form(registry.chosen(targets), form)


def _check_outputs(
    paths: Mapping[str, Path], targets: Sequence[Target], sources: tuple[Path, ...], *, force: bool, several: bool
) -> None:
    """Refuse outputs that cannot be written, before any work; a folder for several targets is still to be made."""
    for target in targets:
        if paths[target.name].parent.exists() or not several:
            check_output(paths[target.name], force=True, inputs=sources, folder=target.folder)
            require_replaceable(paths[target.name], target)
            check_output(paths[target.name], force=force, inputs=sources, folder=target.folder)


@dataclass(frozen=True, slots=True)
class _Order:
    """What is exported to every target of a call."""

    model: Model
    chosen: Chosen | None
    integers: IntegerChoice
    vendor: VendorChoice | None
    limits: Limits
    force: bool
    sources: tuple[Path, ...]


def _result(order: _Order, done: tuple[TargetExport, ...], name: str) -> ExportResult:
    """The result of all targets, with what a user should know about the model and its reference."""
    if order.chosen is None:
        return ExportResult(name, None, done, order.model.findings)
    note = () if order.chosen.truth.note is None else (order.chosen.truth.note,)
    return ExportResult(name, order.chosen.summary, done, (*order.model.findings, *note))


def _export_all(
    order: _Order,
    asked: Mapping[str, Target | MissingDependencyError],
    paths: Mapping[str, Path],
    report: Progress,
) -> tuple[TargetExport, ...]:
    """Export to one target after the other; a folder that is made for them goes again if nothing came of it."""
    folders = {path.parent for path in paths.values() if not path.parent.exists()} if len(asked) > 1 else set()
    for folder in folders:
        with reporting_write_errors(folder):
            folder.mkdir()
    done = []
    for number, (name, target) in enumerate(asked.items()):
        report(name, 0.4 + 0.6 * number / len(asked))
        if isinstance(target, MissingDependencyError):
            done.append(TargetExport(name, None, (), order.chosen is not None, (), target))
        else:
            done.append(_export_one(order, target, paths[name]))
    for folder in folders:
        if all(export.artefact is None for export in done):
            folder.rmdir()
    return tuple(done)


def _refuse_vendor(vendor: VendorChoice | None, targets: Sequence[Target], *, verify: bool) -> None:
    if vendor is not None and not verify:
        message = "--vendor compares with what the artefact did here, and --no-verify does not run it"
        raise UsageError(message, where="--vendor", fix="leave one of the two out")
    require_vendor(vendor, targets)


def refuse_unused(integers: IntegerChoice, targets: Sequence[Target]) -> None:
    """Refuse choices that no target takes and all would ignore.

    Raises:
        UsageError: there are such choices.
    """
    if integers == IntegerChoice() or not targets or any(target.stage is Stage.FIXED for target in targets):
        return
    usual = IntegerChoice()
    given = [text for name, text in _OPTIONS.items() if getattr(integers, name) != getattr(usual, name)]
    names, takes = ", ".join(target.name for target in targets), "takes" if len(targets) == 1 else "take"
    whole = "with --fixed, or " if any(hasattr(target, "fixed") for target in targets) else ""
    raise UsageError(
        f"{', '.join(given)}: for targets of integers; {names} {takes} the model's own numbers",
        where=", ".join(given),
        fix=f"leave {'it' if len(given) == 1 else 'them'} out, or export {whole}to a target of integers: "
        "norse-export targets tells which take a fixed graph",
    )


def _paths(model: Path, targets: Sequence[Target], out: Path | None, *, several: bool) -> dict[str, Path]:
    if several:
        return {target.name: (out or Path()) / f"{model.stem}{target.suffix}" for target in targets}
    return {target.name: out or Path(f"{model.stem}{target.suffix}") for target in targets}


@dataclass(slots=True)
class _Found:
    """What is known of an export so far: it is told, too, where the export fails."""

    findings: tuple[Finding, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    prices: tuple[LayerPrice, ...] = ()
    vendor: tuple[VendorCheck, ...] = ()


def _export_one(order: _Order, target: Target, path: Path) -> TargetExport:
    found, verified = _Found(), order.chosen is not None
    artefact: Artefact | None = None
    error: ExportError | None = None
    try:
        staged = stage(order.model, target, order.integers, order.chosen, order.limits)
        found.prices = staged.prices
        with registry.blaming(target.name):
            found.findings = (*staged.findings, *target.check(staged.graph))
        if (blocked := blocking(found.findings)) is not None:
            raise blocked
        writing = writing_folder if target.folder else writing_file
        with Digesting() as digesting:
            with writing(path, force=order.force, inputs=order.sources) as temporary:
                with reporting_write_errors(path), registry.blaming(target.name):
                    target.emit(staged.graph, temporary)
                if order.chosen is not None:
                    _prove(target, staged, order.chosen, order.vendor, temporary, found)
                digesting.start(temporary)
                require_replaceable(path, target)  # again: something may have been put there meanwhile
            artefact = digesting.artefact(path)
    except UnsupportedError as raised:
        error = naming_takers(raised, order.model, target, order.integers, order.limits)
    except ExportError as raised:
        error = raised
    if error is None and found.comparisons and found.comparisons[0].vacuous:
        found.findings = (*found.findings, vacuous_warning(found.comparisons[0]))
    told = (found.comparisons, verified, found.findings)
    return TargetExport(target.name, artefact, *told, error, found.prices, found.vendor)


def _prove(
    target: Target, staged: Staged, chosen: Chosen, vendor: VendorChoice | None, artefact: Path, found: _Found
) -> None:
    """Run what was written and compare; then it may record what proved it, and a vendor's software is asked.

    Raises:
        ParityError: something is not equal, or proves nothing. MissingDependencyError: no vendor's software.
    """
    with registry.blaming(target.name):
        actual = observing(target, staged.graph, chosen).run(artefact, chosen.rasters)
    found.comparisons = staged.compared(actual, chosen)
    require_equal(found.comparisons, chosen, own_law=staged.own_law)
    if hasattr(target, "record"):
        with reporting_write_errors(artefact), registry.blaming(target.name):
            cast(Recording, target).record(artefact, chosen.rasters, actual)
    if vendor is not None and has_vendor(target, vendor):
        check = vendor_checked(target, vendor, artefact, chosen.rasters, actual)
        found.vendor = (check,)
        found.findings = (*found.findings, *check.findings)
        if (error := vendor_error(check)) is not None:
            raise error
