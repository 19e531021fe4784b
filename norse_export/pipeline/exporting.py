"""export: a model file -> artefacts, each run back from its bytes and compared with the model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Self

from norse_export import registry
from norse_export.compare import Comparison, compare
from norse_export.errors import CapacityError, ExportError, Finding, ParityError, UnsupportedError, UsageError
from norse_export.files.atomic import check_output, writing_file, writing_folder
from norse_export.files.digest import file_digest
from norse_export.files.write_errors import reporting_write_errors
from norse_export.ir.graph import Graph
from norse_export.pipeline.choices import InputChoice, LoadChoice, Progress, chosen_inputs, silent
from norse_export.pipeline.loading import load_model
from norse_export.pipeline.model import Model
from norse_export.pipeline.provenance import with_provenance
from norse_export.pipeline.rasters import Chosen, choose
from norse_export.report.results import Artefact, ExportResult, TargetExport
from norse_export.target import Stage, Target


def export(
    model: str | Path,
    targets: Sequence[str] | str,
    *,
    out: str | Path | None = None,
    inputs: InputChoice | str | Path | None = None,
    loading: LoadChoice | None = None,
    verify: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> ExportResult:
    """Export a model file to one or several targets; each artefact appears under its name only when it is equal.

    The result's `error` is None when all went well: it is not raised, so that what else was found is not lost.
    out: the artefact's path for one target, a folder with one entry a target for several; default: named after the
    model, in the current folder. verify=False writes without running back, and says so in the artefact.

    Raises:
        ExportError: the call, or the model as a whole, is wrong. What goes wrong with one target stands in its result.
    """
    inputs, loading, report = chosen_inputs(inputs), loading or LoadChoice(), progress or silent
    model = Path(model)
    targets = (targets,) if isinstance(targets, str) else targets
    if not targets:
        raise UsageError("no target is given", where="--target", fix=f"use one of: {', '.join(registry.names())}")
    loaded_targets = [registry.load(name) for name in dict.fromkeys(targets)]
    sources = (model,) if inputs.file is None else (model, inputs.file)
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
    done = []
    for number, (target, path) in enumerate(zip(loaded_targets, paths, strict=True)):
        report(target.name, 0.4 + 0.6 * number / len(loaded_targets))
        done.append(_export_one(loaded, target, path, chosen, force=force, sources=sources))
    if made and all(export.artefact is None for export in done):
        folder.rmdir()
    report("done", 1.0)
    note = () if chosen is None or chosen.truth.note is None else (chosen.truth.note,)
    summary = None if chosen is None else chosen.summary
    return ExportResult(model.name, summary, tuple(done), (*loaded.findings, *note))


def staged(graph: Any, target: Target) -> Graph[Any]:
    """The graph of the stage that a target takes."""
    match target.stage:
        case Stage.CONTINUOUS:
            return graph  # type: ignore[no-any-return]
        case Stage.DISCRETE:
            from norse_export.passes.discretise import discretise

            return discretise(graph)
        case Stage.FIXED:
            raise UnsupportedError(
                f"target {target.name} takes integers, and this version does not quantise",
                where=f"--target {target.name}",
                fix="export to nir",
            )


def blocking(findings: Sequence[Finding]) -> ExportError | None:
    """The error that a target's findings amount to; None where they are only warnings."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return None
    kind = CapacityError if all(finding.kind == "capacity" for finding in errors) else UnsupportedError
    return kind.of(errors)


def artefact_of(path: Path) -> Artefact:
    """Name, digest and size of what was written."""
    return Artefact(str(path), *_content(path))


class _Digesting:
    """Digests a new file in a thread, while it is forced to the disk; it is opened before it takes its name."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()
        if self._file is not None:
            self._file.close()

    def start(self, path: Path) -> None:
        """Begin; a folder is left for later."""
        if path.is_file():
            self._file = path.open("rb")
            self._digest = self._thread.submit(file_digest, self._file)

    def artefact(self, path: Path) -> Artefact:
        """What was written, under the name that it has now."""
        if self._file is None:
            return artefact_of(path)
        return Artefact(str(path), *self._digest.result())


def _content(path: Path) -> tuple[str, int]:
    """sha256 and size of a file; of a folder, over the list of its files' names and sha256 sums."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        digests = [(str(file.relative_to(path)), *_content(file)) for file in files]
        listing = "".join(f"{sha256}  {name}\n" for name, sha256, _ in digests)
        return hashlib.sha256(listing.encode()).hexdigest(), sum(size for *_, size in digests)
    with path.open("rb") as file:
        return file_digest(file)


def _paths(model: Path, targets: Sequence[Target], out: Path | None) -> list[Path]:
    names = [f"{model.stem}{target.suffix}" for target in targets]
    if len(targets) == 1:
        return [out or Path(names[0])]
    return [(out or Path()) / name for name in names]


def _export_one(
    model: Model, target: Target, path: Path, chosen: Chosen | None, *, force: bool, sources: tuple[Path, ...]
) -> TargetExport:
    findings: tuple[Finding, ...] = ()
    comparison: tuple[Comparison, ...] = ()
    try:
        graph = staged(with_provenance(model, target.name, chosen), target)
        with registry.blaming(target.name):
            findings = tuple(target.check(graph))
        if (error := blocking(findings)) is not None:
            raise error
        writing = writing_folder if target.folder else writing_file
        with _Digesting() as digesting, writing(path, force=force, inputs=sources) as temporary:
            with reporting_write_errors(path), registry.blaming(target.name):
                target.emit(graph, temporary)
            if chosen is not None:
                comparison = (_compared(model, target, temporary, chosen),)
                _require_equal(comparison[0], chosen)
            digesting.start(temporary)
    except ExportError as error:
        return TargetExport(target.name, None, comparison, chosen is not None, findings, error)
    if comparison and comparison[0].vacuous:
        findings = (*findings, _vacuous_warning(comparison[0]))
    return TargetExport(target.name, digesting.artefact(path), comparison, chosen is not None, findings)


def _compared(model: Model, target: Target, artefact: Path, chosen: Chosen) -> Comparison:
    reference = chosen.truth
    with registry.blaming(target.name):
        actual = target.run(artefact, chosen.rasters)
    return compare(reference.run, actual, rung=1, bounds=model.bounds(chosen.rasters), labels=chosen.labels)


def _require_equal(comparison: Comparison, chosen: Chosen) -> None:
    """Raise for a difference, and for a vacuous comparison on rasters that the user chose."""
    found = comparison.first_divergence
    if not comparison.equal:
        at = "more explained flips than the rule allows" if found is None else _place(comparison)
        raise ParityError(
            f"the artefact differs from the model: {at}",
            where=comparison.layers[0].node if found is None else found.node,
            fix="this is a fault of the export: please report it with the model file; no artefact was written",
        )
    if comparison.vacuous and not chosen.searched:
        what = (
            f"the layer never fires: {', '.join(comparison.silent)}" if comparison.silent else "the output is constant"
        )
        raise ParityError(
            f"the comparison proves nothing (vacuous): {what}",
            where=comparison.silent[0] if comparison.silent else "output",
            fix="give inputs on which every layer fires (--inputs, or --random T --rate P); if none does, "
            "the layer is dead: train it, scale its weights, or lower its threshold",
            kind="vacuous",
        )


def _place(comparison: Comparison) -> str:
    found = comparison.first_divergence
    if found is None:
        return "nowhere"
    return (
        f"step {found.step}, sample {found.sample}, {found.quantity}{list(found.index)}: "
        f"expected {found.expected:g}, got {found.actual:g}"
    )


def _vacuous_warning(comparison: Comparison) -> Finding:
    silent_layers = ", ".join(comparison.silent) or "the output"
    return Finding(
        "vacuous",
        "warning",
        silent_layers,
        "vacuous: random input at every rate left it silent, so its equality proves nothing",
        "give inputs on which it fires (--inputs)",
    )
