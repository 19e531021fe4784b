"""run: a model or artefact on some rasters, every state recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.compare import decisions
from norse_export.files.atomic import check_output, writing_file
from norse_export.files.write_errors import reporting_write_errors
from norse_export.interpret import interpret
from norse_export.ir.neurons import NeuronModel
from norse_export.pipeline.choices import InputChoice, LoadChoice, Progress, chosen_inputs, silent
from norse_export.pipeline.exporting import artefact_of
from norse_export.pipeline.loading import load_model
from norse_export.pipeline.model import Model
from norse_export.pipeline.rasters import choose
from norse_export.pipeline.recorded import write_recording
from norse_export.report.results import LayerActivity, RunResult
from norse_export.target import Run

Array = NDArray[Any]
_LAW = "float: forward Euler, synapse first, strict threshold, reset to a value"


def run(
    file: str | Path,
    *,
    inputs: InputChoice | str | Path | None = None,
    loading: LoadChoice | None = None,
    trace: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Run a model or artefact on the interpreter, every state recorded; `trace` writes all of it as NIR graph data.

    Raises:
        ExportError: the file, the rasters or the output are wrong.
    """
    inputs, loading, report = chosen_inputs(inputs), loading or LoadChoice(), progress or silent
    path = Path(file)
    if trace is not None:
        check_output(Path(trace), force=force, inputs=(path,))
    report("load", 0.0)
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
        layers=tuple(_activity(name, model, result) for name in _populations(model)),
        trace=written,
        accuracy=_accuracy(result, chosen.labels),
        findings=model.findings,
    )


def _populations(model: Model) -> list[str]:
    return [name for name in model.graph.order if isinstance(model.graph.nodes[name], NeuronModel)]


def _dts(model: Model) -> dict[str, float]:
    return {name: node.dt for name, node in model.graph.nodes.items() if isinstance(node, NeuronModel)}


def _activity(name: str, model: Model, result: Run) -> LayerActivity:
    raster = result.spikes.get(name)
    states = {
        variable: (float(values.min()), float(values.max()))
        for variable, values in result.observables.get(name, {}).items()
    }
    return LayerActivity(
        node=name,
        neurons=int(np.prod(model.graph.nodes[name].output_shape)),
        spikes=None if raster is None else int(raster.sum()),
        rate=None if raster is None else float(raster.mean()),
        states=states,
    )


def _accuracy(result: Run, labels: Array | None) -> float | None:
    chosen = decisions(result)
    return None if labels is None or chosen is None else float(np.mean(chosen == labels))
