"""save: a torch model in the user's own script -> a model file, data only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from norse_export.compare import compare
from norse_export.errors import ParityError
from norse_export.files.atomic import check_output, writing_file
from norse_export.files.write_errors import reporting_write_errors
from norse_export.interpret import interpret
from norse_export.pipeline.model import Model, graph_truth
from norse_export.pipeline.provenance import version

if TYPE_CHECKING:
    from norse_export.frontend.trace import Traced


def save(model: Any, path: str | Path, example_input: Any, *, time: str = "auto", force: bool = False) -> None:
    """Trace a model and write it as data, with what it does on the example input.

    model: a torch.nn.Module in evaluation mode; it is not changed. path: the file to write. example_input: a raster
    [T, B, ...] (tensor or array), such as a few test samples; it is stored, in the float type of the model, and every
    export is compared on it unless told otherwise.
    time: "outside": the model takes one step a call (cells) and is called T times with the state that it returned;
    "inside": it takes the whole raster (sequence modules, Lift); "auto" finds it from the modules.

    Before anything is written the traced graph is run and compared with the model, spike for spike.

    Raises:
        OutputError: the file cannot be written; known before the model runs, but for what happens while writing.
        UnsupportedError: an operation or module that is not understood; all findings are listed.
        GraphError: impossible parameters; all findings are listed. UsageError: a wrong example input.
        ParityError: the traced graph does not do what the model does on the example input.
    """
    path = Path(path)
    check_output(path, force=force)
    from norse_export.formats.saved import SavedModel, write_saved
    from norse_export.frontend.trace import trace

    traced = trace(model, example_input, time=time)  # type: ignore[arg-type]  # checked there
    check_trace(traced, type(model).__name__)
    provenance = {"norse_export": version(), "time": traced.time, "model_class": type(model).__name__}
    saved = SavedModel(traced.graph, traced.inputs, traced.reference, provenance)
    with writing_file(path, force=force) as temporary, reporting_write_errors(path), temporary.open("wb") as file:
        write_saved(file, saved)


def check_trace(traced: Traced, where: str) -> None:
    """Run the traced graph on the whole example and compare it with what the model did there.

    What a recording of some steps could not see is seen here, such as a model that acts differently at step 40.

    Raises:
        ParityError: they differ by more than the margin rule allows.
    """
    truth = graph_truth(traced.graph)
    model = Model(name=where, kind="traced", digest="", graph=traced.graph, truth=truth, exact=False)
    actual = interpret(model.discrete, traced.inputs)
    bounds = model.bounds(traced.inputs)
    result = compare(traced.reference, actual, rung=1, bounds=bounds)
    if result.equal:
        return
    found = result.first_divergence
    if found is None:
        raise ParityError(
            f"{result.explained_flips} spikes differ by rounding, {result.allowed_flips} may: the model computes too "
            "near to its thresholds to be compared",
            where=where,
            fix="give another example input, or save the model in float64: model.double()",
        )
    raise ParityError(
        f"the traced graph differs from the model at step {found.step}, sample {found.sample}, "
        f"{found.quantity}{list(found.index)}: expected {found.expected:g}, got {found.actual:g}",
        where=found.node,
        fix="the model does something that a trace cannot see, such as acting differently at some step",
    )
