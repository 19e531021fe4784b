"""run: a model or artefact on some rasters, every state recorded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.compare import decisions
from norse_export.errors import Finding, UsageError
from norse_export.files.atomic import check_output, writing_file
from norse_export.files.checked import open_input
from norse_export.files.kind import Kind, kind_of
from norse_export.files.limits import Limits
from norse_export.files.write_errors import reporting_write_errors
from norse_export.interpret import interpret
from norse_export.ir.graph import Shape
from norse_export.ir.neurons import NeuronModel
from norse_export.pipeline.artefacts import Held, choose_rasters, read_artefact, target_of, unasked
from norse_export.pipeline.choices import InputChoice, LoadChoice, Progress, VendorChoice, chosen_inputs, silent
from norse_export.pipeline.float_law import float_law
from norse_export.pipeline.loading import load_model
from norse_export.pipeline.model import Rasters
from norse_export.pipeline.rasters import choose
from norse_export.pipeline.recorded import write_recording
from norse_export.pipeline.vendors import require_vendor, vendor_checked, vendor_error
from norse_export.pipeline.written import artefact_of
from norse_export.report.results import ActivitySummary, Artefact, LayerActivity, RunResult
from norse_export.target import ReadableTarget, Run

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Done:
    """A run, the rasters that it was made on, the time step of each population, and what is told of it."""

    run: Run
    rasters: Rasters
    dts: Mapping[str, float]
    result: RunResult


def run(
    file: str | Path,
    *,
    inputs: InputChoice | str | Path | None = None,
    loading: LoadChoice | None = None,
    trace: str | Path | None = None,
    count_cycles: bool = False,
    machine: str | Path | None = None,
    vendor: VendorChoice | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Run a model on the interpreter, or an artefact as its target runs it, every state recorded.

    trace: a file for all of it as NIR graph data. count_cycles: also on the reference machine (artefacts of `sim`); its
    parameters are those of the TOML file `machine`, or the artefact's own. vendor: have a vendor's own software load
    the artefact, too, and run it where it can; where it does something else, that is the result's error.

    Raises:
        ExportError: the file, the rasters or the output are wrong.
    """
    inputs, loading, report = chosen_inputs(inputs), loading or LoadChoice(), progress or silent
    path, machine = Path(file), None if machine is None else Path(machine)
    counted = count_cycles or machine is not None
    if trace is not None:
        check_output(Path(trace), force=force, inputs=(path,))
    report("load", 0.0)
    target = target_of(path)
    _refuse(path, target, vendor, counted=counted)
    if target is None:
        done = _model(path, inputs, loading, report)
    else:
        held = read_artefact(path, target, loading)
        report("run", 0.3)
        done = _artefact(held, inputs, loading.limits, cycles=counted, machine=machine)
        if vendor is not None:
            report("vendor", 0.6)
            done = _checked(done, held, vendor)
    result = done.result
    if trace is not None:
        report("write", 0.8)
        result = replace(result, trace=_written(done, Path(trace), path, force=force))
    report("done", 1.0)
    return result


def _written(done: _Done, trace: Path, source: Path, *, force: bool) -> Artefact:
    """Write a run of the file `source` as NIR graph data."""
    with writing_file(trace, force=force, inputs=(source,)) as temporary, reporting_write_errors(trace):
        write_recording(temporary, done.run, done.rasters, done.dts)
    return artefact_of(trace)


def _refuse(path: Path, target: ReadableTarget | None, vendor: VendorChoice | None, *, counted: bool) -> None:
    """Refuse what is asked of a model, and only artefacts can give."""
    if vendor is not None and target is None:
        message = "a vendor's software checks artefacts, and this is a model"
        raise UsageError(message, where="--vendor", fix="export it first: norse-export MODEL --target T --vendor V")
    require_vendor(vendor, () if target is None else (target,))
    if counted and (target is None or not _is_counted(path)):
        message = "cycles are counted of whole numbers on the reference machine, and this is no artefact of sim"
        raise UsageError(message, where="--cycles", fix="export it to sim first: norse-export MODEL --target sim")


def _checked(done: _Done, held: Held, vendor: VendorChoice) -> _Done:
    """A run with what a vendor's software made of the same artefact on the same rasters."""
    check = vendor_checked(held.target, vendor, held.path, done.rasters, done.run)
    findings = (*done.result.findings, *check.findings)
    result = replace(done.result, vendor=(check,), findings=findings, error=vendor_error(check))
    return replace(done, result=result)


def _model(path: Path, inputs: InputChoice, loading: LoadChoice, report: Progress) -> _Done:
    """A model of floats, on the interpreter."""
    model = load_model(path, loading, inputs)
    report("run", 0.3)
    chosen = choose(model, inputs, loading.limits)
    done = interpret(model.discrete, chosen.rasters, states=True)
    populations = {name: node for name in model.graph.order if isinstance(node := model.graph.nodes[name], NeuronModel)}
    result = RunResult(
        file=model.name,
        ran_by=done.ran_by,
        law=float_law(model.graph),
        inputs=chosen.summary,
        layers=_layers(((name, node.output_shape) for name, node in populations.items()), done),
        trace=None,
        accuracy=_accuracy(done, chosen.labels),
        findings=model.findings,
    )
    return _Done(done, chosen.rasters, {name: node.dt for name, node in populations.items()}, result)


def _artefact(held: Held, inputs: InputChoice, limits: Limits, *, cycles: bool, machine: Path | None) -> _Done:
    """An artefact, as its target runs it; what can be counted (artefacts of `sim`) is counted."""
    rasters, summary, labels = choose_rasters(held, inputs, limits)
    activity: ActivitySummary | None = None
    findings: tuple[Finding, ...] = ()
    if _is_counted(held.path):
        from norse_export.pipeline.counting import Cycles, counted_run

        counted = counted_run(held.path, limits, rasters, Cycles(machine) if cycles else None)
        done, activity, findings = counted.run, counted.activity, counted.findings
    else:
        done = held.run(rasters, states=True)
    result = RunResult(
        file=held.name,
        ran_by=done.ran_by,
        law=held.law,
        inputs=summary,
        layers=_layers(((name, node.shape) for name, node in held.populations.items()), done),
        trace=None,
        accuracy=_accuracy(done, labels),
        findings=(*unasked(held, inputs, summary), *findings),
        activity=activity,
    )
    return _Done(done, rasters, {name: node.dt for name, node in held.populations.items()}, result)


def _is_counted(path: Path) -> bool:
    """Whether a file holds a placement on the reference machine, beside its whole numbers."""
    if path.is_dir():
        return False
    with open_input(path) as file:
        return kind_of(file) is Kind.FIXED


def _layers(populations: Iterable[tuple[str, Shape]], done: Run) -> tuple[LayerActivity, ...]:
    return tuple(_layer(name, shape, done) for name, shape in populations)


def _layer(name: str, shape: Shape, done: Run) -> LayerActivity:
    raster = done.spikes.get(name)
    states = {
        variable: (float(values.min()), float(values.max()))
        for variable, values in done.observables.get(name, {}).items()
    }
    return LayerActivity(
        node=name,
        neurons=math.prod(shape),
        spikes=None if raster is None else int(raster.sum()),
        rate=None if raster is None else float(raster.mean()),
        states=states,
    )


def _accuracy(result: Run, labels: Array | None) -> float | None:
    chosen = decisions(result)
    return None if labels is None or chosen is None else float(np.mean(chosen == labels))
