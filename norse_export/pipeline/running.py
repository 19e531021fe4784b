"""run: a model or artefact on some rasters, every state recorded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from norse_export.compare import decisions
from norse_export.errors import UsageError
from norse_export.files.atomic import check_output, writing_file
from norse_export.files.write_errors import reporting_write_errors
from norse_export.interpret import interpret
from norse_export.ir.fixed import Population
from norse_export.ir.neurons import NeuronModel
from norse_export.pipeline.choices import InputChoice, LoadChoice, Progress, chosen_inputs, silent
from norse_export.pipeline.exporting import artefact_of
from norse_export.pipeline.loading import is_artefact, load_model
from norse_export.pipeline.model import Model
from norse_export.pipeline.rasters import choose
from norse_export.pipeline.recorded import write_recording
from norse_export.report.results import LayerActivity, RunResult
from norse_export.target import Run

if TYPE_CHECKING:
    from norse_export.pipeline.artefacts import Cycles

Array = NDArray[Any]
_LAW = "float: forward Euler, synapse first, strict threshold, reset to a value"


def run(
    file: str | Path,
    *,
    inputs: InputChoice | str | Path | None = None,
    loading: LoadChoice | None = None,
    trace: str | Path | None = None,
    count_cycles: bool = False,
    machine: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Run a model on the interpreter or an artefact of `sim` on its engine, every state recorded.

    trace: a file for all of it as NIR graph data. count_cycles: also on the reference machine (artefacts of `sim`); its
    parameters are those of the TOML file `machine`, or the artefact's own.

    Raises:
        ExportError: the file, the rasters or the output are wrong.
    """
    inputs, loading, report = chosen_inputs(inputs), loading or LoadChoice(), progress or silent
    path = Path(file)
    if trace is not None:
        check_output(Path(trace), force=force, inputs=(path,))
    report("load", 0.0)
    if is_artefact(path):
        from norse_export.pipeline.artefacts import Cycles

        cycles = Cycles(None if machine is None else Path(machine)) if count_cycles or machine is not None else None
        return _run_artefact(path, inputs, loading, trace, force=force, cycles=cycles, report=report)
    if count_cycles or machine is not None:
        message = "cycles are counted of whole numbers on the reference machine, and this is a model of floats"
        raise UsageError(message, where="--cycles", fix="export it to sim first: norse-export MODEL --target sim")
    model = load_model(path, loading, inputs)
    report("run", 0.3)
    chosen = choose(model, inputs, loading.limits)
    result = interpret(model.discrete, chosen.rasters, states=True)
    written = None
    if trace is not None:
        report("write", 0.8)
        with writing_file(Path(trace), force=force, inputs=(path,)) as temporary, reporting_write_errors(Path(trace)):
            write_recording(temporary, result, chosen.rasters, _dts(model))
        written = artefact_of(Path(trace))
    report("done", 1.0)
    return RunResult(
        file=model.name,
        ran_by=result.ran_by,
        law=_LAW,
        inputs=chosen.summary,
        layers=tuple(
            _layer_activity(name, model.graph.nodes[name].output_shape, result) for name in _populations(model)
        ),
        trace=written,
        accuracy=_accuracy(result, chosen.labels),
        findings=model.findings,
    )


def _run_artefact(
    path: Path,
    inputs: InputChoice,
    loading: LoadChoice,
    trace: str | Path | None,
    *,
    force: bool,
    cycles: Cycles | None,
    report: Progress,
) -> RunResult:
    from norse_export.pipeline import artefacts

    artefacts.refuse_choices(path, loading)
    model = artefacts.read_artefact(path, loading.limits)
    report("run", 0.3)
    rasters, summary, labels = artefacts.choose_rasters(model, inputs, loading.limits)
    done = artefacts.run_artefact(model, rasters, states=True)
    counted, findings = artefacts.activity(model, rasters, done, cycles)
    populations = {name: node for name, node in model.graph.nodes.items() if isinstance(node, Population)}
    written = None
    if trace is not None:
        report("write", 0.8)
        dts = {name: node.dt for name, node in populations.items()}
        with writing_file(Path(trace), force=force, inputs=(path,)) as temporary, reporting_write_errors(Path(trace)):
            write_recording(temporary, done.run, rasters, dts)
        written = artefact_of(Path(trace))
    report("done", 1.0)
    return RunResult(
        file=path.name,
        ran_by=done.run.ran_by,
        law=model.graph.metadata.get("law", "whole numbers; the file says no more"),
        inputs=summary,
        layers=tuple(_layer_activity(name, populations[name].shape, done.run) for name in populations),
        trace=written,
        accuracy=_accuracy(done.run, labels),
        findings=findings,
        activity=counted,
    )


def _populations(model: Model) -> list[str]:
    return [name for name in model.graph.order if isinstance(model.graph.nodes[name], NeuronModel)]


def _dts(model: Model) -> dict[str, float]:
    return {name: node.dt for name, node in model.graph.nodes.items() if isinstance(node, NeuronModel)}


def _layer_activity(name: str, shape: tuple[int, ...], result: Run) -> LayerActivity:
    raster = result.spikes.get(name)
    states = {
        variable: (float(values.min()), float(values.max()))
        for variable, values in result.observables.get(name, {}).items()
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
