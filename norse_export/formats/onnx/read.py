"""ONNX files that norse-export wrote -> discrete or fixed graph; others, once known to be sound, are refused by name.

What a model of ours describes is written anew, and taken only where that gives the same model: nodes, functions,
initializers. So a file that was edited is told from one that was not.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import ExportError, InputFileError, UnsupportedError
from norse_export.files import strict_json
from norse_export.files.checked import open_input
from norse_export.files.child import parse_in_child
from norse_export.files.kind import Kind, kind_of
from norse_export.files.limits import Limits
from norse_export.formats.graph_file import Form
from norse_export.ir.arrays import first_non_finite
from norse_export.ir.fixed import ConvSynapses
from norse_export.ir.graph import Graph
from norse_export.ir.rasters import model_dtype

from .document import FIXED, FORM, FORMAT, beside
from .files import GRAPH_KEY, LARGEST_OPSET, LEAST_OPSET, SCAN, STEP, models_of
from .layers import written_bytes
from .models import PRODUCER, Model
from .parse import skeleton
from .synapses import largest_windows, single
from .write import numbers_digest, pieces

Array = NDArray[Any]
_FIX = "export the model again"
_PRODUCER = b"\x12" + bytes([len(PRODUCER)]) + PRODUCER.encode()  # field 2 of a ModelProto, as it is serialised


@dataclass(frozen=True, slots=True)
class Held:
    """What a file of ours holds: metadata by key, its initializers, and the digest of all else.

    names: of the initializers of each graph in it, in their order.
    """

    name: str
    metadata: Mapping[str, str]
    opset: int
    arrays: Mapping[str, Array]
    names: list[list[str]]
    sha256: str


def is_ours(path: Path) -> bool:
    """Whether a file names norse-export as its producer, near its beginning; never raises."""
    try:
        with open_input(path) as file:
            if kind_of(file) is not Kind.ONNX:
                return False
            file.seek(0)
            return _PRODUCER in file.read(64)
    except (ExportError, OSError):
        return False


def read_onnx(path: Path, limits: Limits) -> tuple[Graph[Any], int]:
    """The graph in a folder that `write_folder` wrote, or in its `model.onnx` alone; and the opset.

    Raises:
        InputFileError: damaged, changed, or unsafe. LimitError: beyond the limits. GraphError: an impossible graph.
        UnsupportedError: a sound model that norse-export did not write, or one of its single steps.
    """
    folder = os.path.isdir(path)
    held = _held(path / SCAN if folder else path, limits)
    graph, models = _graph(held, limits)
    _require_same(held, models[SCAN])
    if folder:
        _require_same(_held(path / STEP, limits), models[STEP])
    return graph, held.opset


def refuse(path: Path, limits: Limits) -> None:
    """Look at a file in the place of a model to export.

    Raises:
        UnsupportedError: always, by name, where it is sound; else as `read_onnx`.
    """
    held = _held(path, limits)
    raise UnsupportedError(
        "an ONNX model of norse-export holds steps, and no model to export",
        where=held.name,
        fix="give the model that it was made of; norse-export run, inspect and parity take the artefact",
        kind="onnx",
    )


def _held(path: Path, limits: Limits) -> Held:
    with open_input(path) as file:
        parsed = parse_in_child("norse_export.formats.onnx.parse:parse", file, name=str(path), limits=limits)
    document = parsed.document
    outside = {name: _outside(path, name, place) for name, place in document["outside"].items()}
    if not document["ours"]:
        producer = document["producer"] or "an unknown producer"
        raise UnsupportedError(
            f"an ONNX model of {producer}, which norse-export did not write: its operators say nothing of neurons",
            where=path.name,
            fix="give the torch model that it was made of",
            kind="onnx",
        )
    arrays = {**parsed.arrays, **outside}
    names, digest = document["initializers"], document["sha256"]
    return Held(path.name, document["metadata"], document["opset"], arrays, names, digest)


def _outside(model: Path, name: str, place: Mapping[str, Any]) -> Array:
    """The numbers of one initializer, in a file beside the model: mapped, not read.

    Raises:
        InputFileError: a link, no regular file, or too short.
    """
    path, where = model.parent / place["location"], f"{model.name}: initializer {name[:80]!r}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        message = f"its external data {place['location'][:80]!r} cannot be read, or is a symlink: {error.strerror}"
        raise InputFileError(
            message, where=where, fix="keep the files of the export together", kind="external"
        ) from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)  # of a folder, `open` makes no file
        message = f"its external data {place['location'][:80]!r} is a folder, a pipe or a device, and no regular file"
        raise InputFileError(message, where=where, fix=_FIX, kind="external")
    with open(descriptor, "rb") as file:
        if found.st_nlink != 1:
            message = f"its external data {place['location'][:80]!r} is no regular file of its own, but a link"
            raise InputFileError(message, where=where, fix=_FIX, kind="external")
        dtype, shape, offset = np.dtype(place["dtype"]), tuple(place["shape"]), place["offset"]
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if offset + size > found.st_size:
            message = f"external data of {size} bytes from {offset}, the file has a size of {found.st_size}"
            raise InputFileError(message, where=where, fix=_FIX, kind="external")
        value = np.memmap(file, dtype.newbyteorder("<"), "r", offset, shape) if size else np.empty(shape, dtype)
    if dtype.kind == "f" and first_non_finite(value) is not None:
        raise InputFileError("it holds NaN or infinity, not a finite number", where=where, fix=_FIX, kind="nan")
    return value


def _graph(held: Held, limits: Limits) -> tuple[Graph[Any], Mapping[str, Model]]:
    """The graph that a model describes, and the models that it is written as."""
    if held.metadata.get("form") != "scan" or GRAPH_KEY not in held.metadata:
        message = "a model of single steps: the whole is in model.onnx, beside it"
        raise UnsupportedError(message, where=held.name, fix="give the folder, or model.onnx", kind="onnx_step")
    if not LEAST_OPSET <= held.opset <= LARGEST_OPSET:
        raise FORM.corrupt(f"opset {held.opset} is none that norse-export writes", held.name)
    with FORM.decoding(held.name):
        document = strict_json.loads(held.metadata[GRAPH_KEY], where=held.name, limits=limits)
        if document["format"] != FORMAT:
            message = f"its format is {str(document['format'])[:40]!r}, this version reads {FORMAT}"
            raise FORM.corrupt(message, held.name)
        form: Form[Any] = FIXED if document["fixed"] is True else FORM
        arrays = {**beside(document), **held.arrays}
        graph = form.decode_graph(document["graph"], arrays, held.name, limits)
        _require_modest(graph, held)
        return graph, models_of(graph, opset=held.opset)[1]


def _require_modest(graph: Graph[Any], held: Held) -> None:
    """Refuse shapes for which more numbers would be made than the file has: they were never written.

    Raises:
        InputFileError: a description of more than there is.
    """
    there, dtype = sum(value.nbytes for value in held.arrays.values()), model_dtype(graph)
    for name, node in graph.nodes.items():
        size = written_bytes(node, dtype)
        if isinstance(node, ConvSynapses) and largest_windows(node) > there and not single(graph, name):
            size = largest_windows(node)
        if size > there:
            message = f"node {name[:40]!r} is written with {size} bytes of numbers, and the file has {there}"
            raise FORM.corrupt(message, held.name)


def _require_same(held: Held, model: Model) -> None:
    """Refuse a file that is not what its description is written as.

    Raises:
        InputFileError: it was changed after it was written, or by another version.
    """
    expected = model.numbers
    names = [list(model.constants), *([list(model.body[1])] if model.body else [])]
    what = ""
    if held.sha256 != skeleton(model.proto) or held.names != names or set(held.arrays) != set(expected):
        what = "what is not numbers in it (nodes, names, metadata, doc strings)"
    elif held.metadata.get("numbers") != numbers_digest(held.arrays) or not _same_bits(held.arrays, expected):
        what = "numbers in it"
    if what:
        message = f"{what} changed after norse-export wrote it, or another version wrote it"
        raise InputFileError(message, where=held.name, fix=_FIX, kind="changed")


def _same_bits(held: Mapping[str, Array], expected: Mapping[str, Array]) -> bool:
    """Whether arrays of the same names are the same."""
    return all(_one_in_memory(value, held[name]) or _equal(value, held[name]) for name, value in expected.items())


def _one_in_memory(a: Array, b: Array) -> bool:
    return (a.ctypes.data, a.dtype, a.shape, a.strides) == (b.ctypes.data, b.dtype, b.shape, b.strides)


def _equal(a: Array, b: Array) -> bool:
    """Whether all bits are the same: 0 is not -0. Needs little memory beside large arrays."""
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return False
    return all(one.cast("B") == other.cast("B") for one, other in zip(pieces(a), pieces(b), strict=True))
