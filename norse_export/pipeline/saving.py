"""save: a torch model in the user's own script -> a model file, data only."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from norse_export.errors import SilentLayerWarning, UsageError
from norse_export.files.atomic import check_output, writing_file
from norse_export.files.write_errors import reporting_write_errors
from norse_export.ir.run import Run
from norse_export.pipeline.provenance import version
from norse_export.pipeline.tracing import trace


def save(
    model: Any,
    path: str | Path,
    example_input: Any,
    *,
    time: str = "auto",
    encoders: str = "inside",
    force: bool = False,
) -> None:
    """Trace a model and write it as data, with what it does on the example input.

    model: a torch.nn.Module in evaluation mode; it is not changed. path: the file to write. example_input: a raster
    [T, B, ...] (tensor or array), such as a few test samples; it is stored, in the float type of the model, and every
    export is compared on it unless told otherwise.
    time: "outside": the model takes one step a call (cells) and is called T times with the state that it returned;
    "inside": it takes the whole raster (sequence modules, Lift); "auto" finds it from the modules.
    encoders: "inside": an encoder that is a population (ConstantCurrentLIFEncoder, SpikeLatencyLIFEncoder) is a part of
    what is saved, and its input is the image, shown at every step; "boundary": the input is what the encoder gives,
    for targets that take spikes alone. Random encoders always are a boundary.

    Before anything is written the traced graph is run and compared with the model, spike for spike. A layer that never
    fires on the example input is warned of (SilentLayerWarning): the exported file could not be proved on it.

    Raises:
        OutputError: the file cannot be written; known before the model runs, but for what happens while writing.
        UnsupportedError: an operation or module that is not understood; all findings are listed.
        GraphError: impossible parameters; all findings are listed. UsageError: a wrong example input.
        ParityError: the traced graph does not do what the model does on the example input.
    """
    path = _checked_path(model, path)
    check_output(path, force=force)
    from norse_export.formats.saved import SavedModel, write_saved

    traced = trace(model, example_input, time=time, encoders=encoders)
    _warn_of_silence(traced.reference)
    provenance = {"norse_export": version(), "time": traced.time, "model_class": type(model).__name__}
    saved = SavedModel(traced.graph, traced.inputs, traced.reference, provenance)
    with writing_file(path, force=force) as temporary, reporting_write_errors(path), temporary.open("wb") as file:
        write_saved(file, saved)


def _checked_path(model: Any, path: Any) -> Path:
    """The path of the file to write; arguments in another order are told apart here, by what they are."""
    for argument, value, named in (("model", model, False), ("path", path, True)):
        if isinstance(value, str | os.PathLike) is not named:
            raise UsageError(
                f"{argument} is a {type(value).__name__}",
                where="norse_export.save",
                fix="the arguments in their order are: save(model, path, example_input)",
            )
    return Path(path)


def _warn_of_silence(reference: Run) -> None:
    """One warning for all layers that never fire, at the line of the user's that saves the model."""
    silent = [name for name, spikes in reference.spikes.items() if not spikes.any()]
    if silent:
        layers = ", ".join(map(repr, silent))
        warnings.warn(
            f"no neuron of {layers} fires on the example input: exports of this file, compared on it, will fail as "
            "proving nothing. Give an example on which every layer fires, such as some test samples",
            SilentLayerWarning,
            stacklevel=3,
        )
