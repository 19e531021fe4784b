"""save: a torch model in the user's own script -> a model file, data only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from norse_export.compare import compare
from norse_export.errors import ParityError
from norse_export.files.atomic import check_output, writing_file
from norse_export.files.write_errors import reporting_write_errors
from norse_export.interpret import interpret
from norse_export.pipeline.model import Model, Truth, graph_truth
from norse_export.pipeline.provenance import version


def save(model: Any, path: str | Path, example_input: Any, *, time: str = "auto", force: bool = False) -> None:
    """Trace a model and write it as data, with what it does on the example input.

    model: a torch.nn.Module in evaluation mode. path: the file to write. example_input: a raster [T, B, ...] (tensor
    or array), such as a few test samples; it is stored, and every export is compared on it unless told otherwise.
    time: "outside": the model takes one step a call (cells) and is called T times with the state that it returned;
    "inside": it takes the whole raster (sequence modules, Lift); "auto" finds it from the modules.

    Before anything is written the traced graph is run and compared with the model, spike for spike.

    Raises:
        UnsupportedError: an operation or module that is not understood; all findings are listed.
        GraphError: impossible parameters. UsageError: a wrong example input. OutputError: the file cannot be written.
        ParityError: the traced graph does not do what the model does.
    """
    path = Path(path)
    check_output(path, force=force)
    from norse_export.formats.saved import SavedModel, write_saved
    from norse_export.frontend.trace import trace

    traced = trace(model, example_input, time=time)  # type: ignore[arg-type]  # checked there
    _check_trace(traced, type(model).__name__)
    provenance = {"norse_export": version(), "time": traced.time, "model_class": type(model).__name__}
    saved = SavedModel(traced.graph, traced.inputs, traced.reference, provenance)
    with writing_file(path, force=force) as temporary, reporting_write_errors(path), temporary.open("wb") as file:
        write_saved(file, saved)


def _check_trace(traced: Any, where: str) -> None:
    """Run the graph on the example and compare: what the recording could not see is seen here."""
    model = Model(where, "traced", "", traced.graph, graph_truth(traced.graph), exact=False)
    truth = Truth(traced.reference, 0)
    actual = interpret(model.discrete, traced.inputs)
    result = compare(truth.run, actual, rung=1, bounds=model.bounds(traced.inputs, truth.run))
    if not result.equal and result.first_divergence is not None:
        found = result.first_divergence
        raise ParityError(
            f"the traced graph differs from the model at step {found.step}, sample {found.sample}, "
            f"{found.quantity}{list(found.index)}: expected {found.expected:g}, got {found.actual:g}",
            where=found.node,
            fix="the model does something that a trace cannot see, such as acting differently at some step",
        )
