"""Checks an ONNX file of unknown origin, in the limited child process: structure, sizes, numbers, order, names.

protobuf takes anything for a message, an empty file too, and onnx believes what a tensor says of itself; so everything
is looked at here before anything of it is used. What is told of data beside the file is checked, and read by nobody.

Source: onnx.proto, IR version 10 to 13; the ONNX specification, "External data".
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import onnx
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from norse_export.errors import InputFileError
from norse_export.files.checked import name_of
from norse_export.files.limits import Limits

from .bodies import DOMAIN
from .models import PRODUCER
from .write import DIGEST_KEY

_FIX = "get the file again from its source, or export the model again"
_PLACE_KEYS = {"location", "offset", "length", "checksum"}
_RAW = {getattr(TensorProto, name) for name in ("FLOAT", "DOUBLE", "INT64", "INT32", "INT16", "INT8")}
_FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16}
_NUMBERS = ("raw_data", "float_data", "double_data", "int32_data", "int64_data", "uint64_data", "external_data")
_MAX_DIMENSIONS = 16
_FIELD_BYTES = 64  # of a field behind a name of a module, or two: "lif.parameters.v_th", "fc.lif.late3"
Array = NDArray[Any]


def parse(file: BinaryIO, limits: Limits) -> tuple[dict[str, Any], dict[str, Array]]:
    """Check a file, and give what a reader needs of it: metadata, what the rest of it hashes to, and its numbers.

    Raises:
        InputFileError: truncated, corrupt, cyclic, of an unknown operator set, or with impossible numbers.
        LimitError: larger than the limits.
    """
    where = name_of(file)
    limits.check("max_bytes", os.fstat(file.fileno()).st_size, where=where)
    data = file.read()
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise corrupt("truncated or corrupt: protobuf cannot parse it as an ONNX model", where) from error
    check = _Check(where, limits)
    check.model(model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    held = [[one.name for one in graph.initializer] for graph in graphs_in(model.graph)]
    for graph in graphs_in(model.graph):
        del graph.initializer[:]  # their numbers are in `check`, and need not be copied again
    ours = model.producer_name == PRODUCER and f"{DOMAIN}.form" in metadata
    return {
        "ours": ours,
        "producer": model.producer_name[:80],
        "metadata": {k.removeprefix(f"{DOMAIN}."): v for k, v in metadata.items()} if ours else {},
        "opset": max((one.version for one in model.opset_import if one.domain == ""), default=0),
        "outside": check.outside,
        "initializers": held,
        "sha256": skeleton(model),
    }, check.arrays


def skeleton(model: ModelProto) -> str:
    """SHA-256 of a model without initializers, and without the digest of their numbers among its metadata."""
    bare = ModelProto()
    bare.CopyFrom(model)
    del bare.metadata_props[:]
    bare.metadata_props.extend(entry for entry in model.metadata_props if entry.key != DIGEST_KEY)
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def graphs_in(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph, and those inside its nodes."""
    work = [graph]
    while work:
        one = work.pop()
        yield one
        for node in one.node:
            for attribute in node.attribute:
                work += [attribute.g] if attribute.HasField("g") else []
                work += attribute.graphs


def corrupt(what: str, where: str, kind: str = "corrupt") -> InputFileError:
    """The error for an ONNX file that is damaged, or was never right."""
    return InputFileError(what, where=where, fix=_FIX, kind=kind)


@dataclass(slots=True)
class _Check:
    where: str
    limits: Limits
    arrays: dict[str, Array] = field(default_factory=dict)
    outside: dict[str, dict[str, Any]] = field(default_factory=dict)
    objects: int = 0
    bytes: int = 0

    def model(self, model: ModelProto) -> None:
        """Everything of a model."""
        self._texts(model)
        if not model.HasField("graph"):
            raise corrupt("it holds no graph: truncated, or an empty model", self.where)
        self._versions(model)
        for graph in graphs_in(model.graph):
            self._count(len(graph.node) + len(graph.initializer) + len(graph.value_info))
            if graph.sparse_initializer:
                raise corrupt("sparse initializers are not supported", self.where, "sparse")
            for tensor in graph.initializer:
                self._tensor(tensor)
        for function in model.functions:
            self._count(len(function.node))
            self._order(function.node, set(function.input), function.name)
        self._scopes(model.graph, set(), model.graph.name)

    def _texts(self, model: ModelProto) -> None:
        """Refuse a text that is no UTF-8, which protobuf gives as bytes; of tensors, see `_tensor`."""
        work: list[Message] = [model]
        while work:
            for kind, value in work.pop().ListFields():
                values = value if kind.is_repeated else (value,)
                if kind.message_type is not None:
                    work += [one for one in values if not isinstance(one, TensorProto)]
                elif kind.type == kind.TYPE_STRING and not all(isinstance(one, str) for one in values):
                    raise corrupt(f"a text that is no UTF-8, in the field {kind.full_name}", self.where)

    def _count(self, objects: int) -> None:
        self.objects += objects
        self.limits.check("max_objects", self.objects, where=self.where)

    def _versions(self, model: ModelProto) -> None:
        newest = onnx.defs.onnx_opset_version()
        if not model.opset_import:
            raise corrupt("it names no version of an operator set (opset)", self.where, "opset")
        for one in model.opset_import:
            if one.domain in ("", "ai.onnx") and not 1 <= one.version <= newest:
                message = f"opset version {one.version}: onnx {onnx.__version__} knows 1 to {newest}"
                raise corrupt(message, self.where, "opset")
        if model.ir_version > onnx.IR_VERSION:
            message = f"IR version {model.ir_version}: onnx {onnx.__version__} knows up to {onnx.IR_VERSION}"
            raise corrupt(message, self.where, "version")

    def _tensor(self, tensor: TensorProto) -> None:
        if not isinstance(tensor.name, str):
            raise corrupt(f"an initializer's name is no UTF-8: {tensor.name[:80]!r}", self.where)
        name = tensor.name[:80]
        at = f"{self.where}: initializer {name!r}"
        length = len(tensor.name.encode())
        if length > 2 * self.limits.max_name_bytes + _FIELD_BYTES:  # the limit is that of modules
            self.limits.check("max_name_bytes", length, where=at)
        if len(tensor.dims) > _MAX_DIMENSIONS or any(size < 0 for size in tensor.dims):
            raise corrupt(f"impossible dims {list(tensor.dims)[:20]}", at, "shape")
        if tensor.data_type not in helper.get_all_tensor_dtypes():
            raise corrupt(f"unknown data type {tensor.data_type}", at, "dtype")
        if tensor.data_type == TensorProto.STRING:
            return
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        size = math.prod(tensor.dims) * max(1, dtype.itemsize)  # of Python's integers, which do not wrap
        self.bytes += size
        self.limits.check("max_bytes", size, where=f"{at} of dims {list(tensor.dims)}: its size")
        self.limits.check("max_bytes", self.bytes, where=f"{self.where}: all initializers together")
        if sum(map(bool, (len(getattr(tensor, key)) for key in _NUMBERS))) > 1:
            raise corrupt("its numbers stand there in two forms", at, "shape")
        if tensor.data_location == TensorProto.EXTERNAL:
            self._external(tensor, dtype, size, at)
            return
        if tensor.HasField("raw_data") and len(tensor.raw_data) != size:
            raise corrupt(f"dims {list(tensor.dims)} need {size} bytes, there are {len(tensor.raw_data)}", at, "shape")
        try:
            value = np.asarray(onnx.numpy_helper.to_array(tensor))
        except Exception as error:
            message = f"its data do not fit its shape: dims {list(tensor.dims)}"
            raise corrupt(message, at, "shape") from error
        if tensor.data_type in _FLOATS and not np.isfinite(value).all():
            raise corrupt("it holds NaN or infinity, not a finite number", at, "nan")
        if tensor.data_type in _RAW:
            if tensor.name in self.arrays or tensor.name in self.outside:
                raise corrupt("it stands there twice", at)
            self.arrays[tensor.name] = np.array(value)  # the message is freed

    def _external(self, tensor: TensorProto, dtype: np.dtype[Any], size: int, at: str) -> None:
        """What a tensor says of the file that its numbers are in; that file is looked at by the parent process."""
        told = {entry.key: entry.value for entry in tensor.external_data}
        if not all(isinstance(text, str) for pair in told.items() for text in pair):
            raise corrupt("external data at a place that is no UTF-8", at, "external")
        if len(told) != len(tensor.external_data) or not set(told) <= _PLACE_KEYS or "location" not in told:
            raise corrupt("external data without a location, or with unknown keys", at, "external")
        location = told["location"]
        if not location or location in (".", "..") or "/" in location or "\\" in location or "\0" in location:
            message = f"external data at the path {location[:80]!r}, which may lie outside of the model's folder"
            raise corrupt(message, at, "external")
        numbers = {key: told.get(key, default) for key, default in (("offset", "0"), ("length", str(size)))}
        if not all(text.isascii() and text.isdigit() and len(text) < 20 for text in numbers.values()):
            raise corrupt("external data whose offset or length is no number", at, "external")
        offset, length = (int(text) for text in numbers.values())
        if length != size:
            message = f"external data of length {length}; dims {list(tensor.dims)} need a size of {size} bytes"
            raise corrupt(message, at, "external")
        if tensor.name in self.outside or tensor.name in self.arrays:
            raise corrupt("it stands there twice", at)
        place = {"location": location, "offset": offset, "dtype": dtype.name, "shape": list(tensor.dims)}
        self.outside[tensor.name] = place

    def _scopes(self, graph: GraphProto, outer: set[str], where: str) -> None:
        """What each node takes was made before it: by an input, an initializer, an earlier node, or outside."""
        known = outer | {one.name for one in (*graph.input, *graph.initializer)}
        self._order(graph.node, known, where)
        missing = [one.name for one in graph.output if one.name not in known]
        if missing:
            raise corrupt(f"nothing makes its output {missing[0][:80]!r}", self.where, "output")

    def _order(self, nodes: Any, known: set[str], where: str) -> None:
        for node in nodes:
            self._node(node, known, where)
            known.update(node.output)

    def _node(self, node: NodeProto, known: set[str], where: str) -> None:
        for name in node.input:
            if name and name not in known:
                message = (
                    f"{node.op_type} {node.name[:80]!r} takes {name[:80]!r} before anything made it: "
                    f"the nodes of {where[:80]!r} are cyclic, or not sorted topologically"
                )
                raise corrupt(message, self.where, "cycle")
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR and attribute.t.data_location == TensorProto.EXTERNAL:
                raise corrupt(f"{node.op_type}: external data in an attribute", self.where, "external")
            for graph in ((attribute.g,) if attribute.HasField("g") else ()) + tuple(attribute.graphs):
                self._scopes(graph, set(known), graph.name)
