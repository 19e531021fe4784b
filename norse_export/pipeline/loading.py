"""Input files of every kind -> Model. The kind is decided by content; each kind has one road, without a fallback."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from norse_export import registry
from norse_export.errors import ExportError, Finding, InputFileError, UsageError
from norse_export.files.checked import open_input
from norse_export.files.digest import file_digest
from norse_export.files.kind import Kind, kind_of
from norse_export.files.limits import Limits
from norse_export.ir.doubts import doubts
from norse_export.ir.rasters import model_dtype
from norse_export.pipeline.choices import SAVE, InputChoice, LoadChoice, chosen_inputs
from norse_export.pipeline.model import Model, Truth, framework_truth, graph_truth
from norse_export.pipeline.provenance import without_file
from norse_export.pipeline.recorded import is_recording
from norse_export.pipeline.time_step import in_seconds, with_steps
from norse_export.pipeline.torch_files import load_torch_file

_SUFFIXES = {
    Kind.SAVED: (".pt", ".pth", ".safetensors"),
    Kind.TORCH_ZIP: (".pt", ".pth", ".bin"),
    Kind.HDF5: (".nir", ".h5", ".hdf5"),
}


def load(
    path: str | Path, *, loading: LoadChoice | None = None, inputs: InputChoice | str | Path | None = None
) -> Model:
    """Read a model from any file that can be exported; see `load_model`."""
    return load_model(Path(path), loading or LoadChoice(), chosen_inputs(inputs))


def load_model(path: Path, choice: LoadChoice, inputs: InputChoice) -> Model:
    """Read a model from a file. `inputs` are needed by files that are traced on loading.

    Raises:
        InputFileError, UnsafeFileError, LimitError: the file cannot be read, or not safely.
        UsageError: the file leaves something open that has to be given (dt, an example input, a factory).
        UnsupportedError, GraphError: the model in it.
    """
    if os.path.isdir(path):
        message, fix = "the input is a directory, and no artefact of any target", "give the model's file"
        other = InputFileError(message, where=str(path), fix=fix, kind="directory")
        raise _no_model(path, choice.limits) or other
    with open_input(path) as file, in_seconds(choice):
        kind = kind_of(file)
        _refuse_unused(choice, kind)
        match kind:
            case Kind.SAVED:
                model = _saved(file, path.name, choice)
            case Kind.HDF5:
                try:
                    model = _nir(file, path.name, choice)
                except InputFileError as error:
                    raise (_no_model(path, choice.limits) or error) from None
            case Kind.TORCH_ZIP | Kind.TORCH_LEGACY:
                model = load_torch_file(file, path.name, choice, inputs)
            case Kind.ONNX:
                from norse_export.formats.onnx.read import refuse  # onnx, which other files do not need

                refuse(path, choice.limits)
            case Kind.FIXED:
                raise _no_model(path, choice.limits) or _other_file(path, kind)
            case _:
                raise _other_file(path, kind)
    model = replace(model, findings=(*model.findings, *doubts(model.graph)))
    return _with_suffix_warning(model, path, kind)


def _other_file(path: Path, kind: Kind) -> InputFileError:
    """The error for a file of a kind that holds no model."""
    match kind:
        case Kind.EMPTY:
            message, fix = "the file is empty", "write the model again"
        case Kind.CSV | Kind.NPZ | Kind.NPY:
            message = f"{kind.value} holds rasters or recordings, and no model"
            fix = f"give a model, and this beside it: norse-export MODEL --target T --inputs {path.name}"
        case _:
            message = f"{kind.value}, not a model (no model file of norse_export, no .nir, no file of torch.save), "
            message, fix = f"{message}or truncated or corrupt", SAVE
    return InputFileError(message, where=path.name, fix=fix)


def _no_model(path: Path, limits: Limits) -> InputFileError | None:
    """The error for an artefact, or a recorded trace, in the place of a model; None for anything else."""
    if (target := registry.holder(path)) is None:
        if not _is_trace(path, limits):
            return None
        message, fix = "a recorded trace holds what a model did, and no model", "give the model, or an artefact of it"
        return InputFileError(message, where=path.name, fix=f"{fix}; norse-export inspect and parity take the trace")
    return InputFileError(
        f"an artefact of target {target.name} holds what the model became, and no model to export",
        where=path.name,
        fix="give the model that it was made of; norse-export run, inspect and parity take the artefact",
    )


def _is_trace(path: Path, limits: Limits) -> bool:
    """Whether a file is a recorded trace; no folder is, and no damaged file."""
    try:
        return not os.path.isdir(path) and is_recording(path, limits)
    except ExportError:
        return False


def _refuse_unused(choice: LoadChoice, kind: Kind) -> None:
    """What is said about a file that needs no saying would be ignored: an error instead."""
    if choice.framework is not None and kind is not Kind.HDF5:
        message = f"--as is for .nir files; the input is {kind.value}, and says itself how it is stepped"
        raise UsageError(message, where="--as", fix="leave --as out")
    if kind in (Kind.TORCH_ZIP, Kind.TORCH_LEGACY):
        return
    given = {
        "--factory": choice.factory is not None,
        "--input-shape": choice.input_shape is not None,
        "--time": choice.time != "auto",
    }
    for option in (name for name, is_given in given.items() if is_given):
        raise UsageError(
            f"{option} is for files of torch.save; the input is {kind.value}", where=option, fix=f"leave {option} out"
        )


def _saved(file: BinaryIO, name: str, choice: LoadChoice) -> Model:
    from norse_export.formats.saved import read_saved

    saved = read_saved(file, name=name, limits=choice.limits)
    graph, changes = with_steps(saved.graph, choice.steps)
    truth = framework_truth(graph)
    return Model(
        name=name,
        kind="model file of norse_export",
        digest=saved.digest,
        graph=graph,
        truth=truth,
        exact=False,
        stored=(saved.inputs, truth(saved.inputs) if changes else Truth(saved.reference, 0)),
        provenance=saved.provenance,
        findings=changes,
    )


def _nir(file: BinaryIO, name: str, choice: LoadChoice) -> Model:
    from norse_export.formats.nir.load import load_nir

    sha256, _ = file_digest(file)
    graph, findings = load_nir(file, name=name, limits=choice.limits, choice=choice.steps)
    return Model(
        name=name,
        kind="NIR file",
        digest=sha256,
        graph=graph,
        truth=graph_truth(graph),
        exact=model_dtype(graph) == "float64",
        provenance=without_file(graph.metadata),
        findings=findings,
    )


def _with_suffix_warning(model: Model, path: Path, kind: Kind) -> Model:
    suffixes = _SUFFIXES[kind if kind in _SUFFIXES else Kind.TORCH_ZIP]
    if not path.suffix or path.suffix.lower() in suffixes:
        return model
    message = f"the file is named {path.suffix}, but is {kind.value}: read as what it is"
    warning = Finding("suffix", "warning", path.name, message, f"name it {suffixes[0]}")
    return replace(model, findings=(*model.findings, warning))
