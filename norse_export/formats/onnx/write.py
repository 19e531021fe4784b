"""Models with their initializers -> files, streamed; the same models, the same bytes.

Small models hold their numbers. Those of larger ones stand once, in a file beside both, as external data (ONNX IR
specification): it begins each tensor at a multiple of 64 bytes. protobuf holds no message of 2 GiB or more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import StringStringEntryProto, TensorProto, helper

from .bodies import DOMAIN
from .models import Model

Array = NDArray[Any]
MAX_INSIDE = 16 * 2**20  # bytes of initializers in one file; while it is written, they are in memory five times
DATA = "model.data"
DIGEST_KEY = f"{DOMAIN}.numbers"  # of the initializers, among the metadata
_MIN_OUTSIDE = 1024  # bytes: smaller tensors always stand inside, so that shapes can be inferred
_ALIGNMENT = 64
_CHUNK = 1 << 22  # numbers written at a time


def write_models(folder: Path, models: Mapping[str, Model], *, max_inside: int = MAX_INSIDE) -> None:
    """Write each model into the folder under its name, and what is too large for them into `model.data`."""
    constants: dict[str, Array] = {}
    for model in models.values():
        constants |= model.numbers
    outside: dict[str, tuple[int, int]] = {}
    if sum(value.nbytes for value in constants.values()) > max_inside:
        outside = _write_data(folder / DATA, constants)
    for name, model in models.items():
        for graph, held in ((model.proto.graph, model.constants), *((model.body,) if model.body else ())):
            graph.initializer.extend(
                _outside(key, value, outside[key]) if key in outside else _inside(key, value)
                for key, value in held.items()
            )
        entry = StringStringEntryProto(key=DIGEST_KEY, value=numbers_digest(model.numbers))
        model.proto.metadata_props.append(entry)
        (folder / name).write_bytes(model.proto.SerializeToString(deterministic=True))


def numbers_digest(constants: Mapping[str, Array]) -> str:
    """SHA-256 of initializers: names, types, shapes and numbers, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(constants):
        value = constants[name]
        digest.update(json.dumps([name, value.dtype.name, value.shape]).encode())
        for piece in pieces(value):
            digest.update(piece)
    return digest.hexdigest()


def _write_data(path: Path, constants: Mapping[str, Array]) -> dict[str, tuple[int, int]]:
    """Write the larger tensors one after the other; where each begins, and its length, in bytes."""
    places: dict[str, tuple[int, int]] = {}
    with path.open("wb") as file:
        for name, value in constants.items():
            if value.nbytes < _MIN_OUTSIDE:
                continue
            file.write(bytes(-file.tell() % _ALIGNMENT))
            places[name] = (file.tell(), value.nbytes)
            for piece in pieces(value):
                file.write(piece)
    return places


def pieces(value: Array) -> Iterator[memoryview]:
    """The numbers in C order, little-endian, without a copy of the whole."""
    flat = np.ascontiguousarray(value).reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        piece = flat[start : start + _CHUNK]
        yield np.ascontiguousarray(piece, piece.dtype.newbyteorder("<")).data


def _inside(name: str, value: Array) -> TensorProto:
    tensor = _declared(name, value)
    tensor.raw_data = np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes()
    return tensor


def _outside(name: str, value: Array, place: tuple[int, int]) -> TensorProto:
    tensor = _declared(name, value)
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": DATA, "offset": str(place[0]), "length": str(place[1])}
    tensor.external_data.extend(StringStringEntryProto(key=key, value=text) for key, text in entries.items())
    return tensor


def _declared(name: str, value: Array) -> TensorProto:
    return TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(value.dtype), dims=value.shape)
