"""Nodes of the continuous graph <-> plain JSON values and arrays.

The dataclass fields are the schema: every field is written, every field is asked for on reading, and an annotation
without a rule here is an error, so that a new kind of node cannot lose a field silently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from typing import Any

from numpy.typing import NDArray

from norse_export.errors import InputFileError, locating
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Pool, Scale, Sum
from norse_export.ir.neurons import IF, LI, LIF, CubaLI, CubaLIF, NeuronModel
from norse_export.ir.stages import ContinuousNode

Arrays = dict[str, NDArray[Any]]
NODE_TYPES: dict[str, type[ContinuousNode]] = {
    kind.__name__: kind
    for kind in (Input, Output, Sum, Scale, Linear, Conv, Pool, Flatten, CubaLIF, CubaLI, LIF, LI, IF)
}
_ARRAY = ("FloatArray", "FloatArray | None")


def encode_node(node: ContinuousNode, key: str, arrays: Arrays) -> dict[str, Any]:
    """Give the node as JSON; its arrays are added to `arrays` under names that start with `key`."""
    encoded: dict[str, Any] = {"type": type(node).__name__}
    for field in fields(node):
        value = getattr(node, field.name)
        if field.type in _ARRAY and value is not None:
            arrays[f"{key}.{field.name}"] = _compact(value) if isinstance(node, NeuronModel) else value
            encoded[field.name] = {"tensor": f"{key}.{field.name}"}
        else:
            encoded[field.name] = list(value) if isinstance(value, tuple) else value
    return encoded


def decode_node(name: str, encoded: Any, arrays: Mapping[str, NDArray[Any]], where: str) -> ContinuousNode:
    """Give the node back; it checks itself.

    Raises:
        InputFileError: a type, field or value that no node has.
        GraphError: a node that is impossible.
    """
    if not isinstance(encoded, dict) or encoded.get("type") not in NODE_TYPES:
        raise corrupt(f"node {name!r} has an unknown type", where)
    kind = NODE_TYPES[encoded["type"]]
    known = {field.name: field for field in fields(kind)}
    if set(encoded) - {"type"} - set(known):
        raise corrupt(f"node {name!r} has fields that {kind.__name__} does not have", where)
    values = {}
    for field in known.values():
        if field.name not in encoded:
            raise corrupt(f"node {name!r} lacks the field {field.name!r}", where)
        values[field.name] = _decode(name, field, encoded[field.name], arrays, where)
    with locating(name):
        return kind(**values)


def corrupt(what: str, where: str) -> InputFileError:
    """The error for a model file whose content contradicts itself."""
    return InputFileError(
        f"corrupt: {what}", where=where, fix="save the model again with norse_export.save", kind="corrupt"
    )


def _decode(name: str, field: Field[Any], value: Any, arrays: Mapping[str, NDArray[Any]], where: str) -> Any:
    if field.type in _ARRAY:
        if value is None and field.type == "FloatArray | None":
            return None
        if not isinstance(value, dict) or set(value) != {"tensor"} or value["tensor"] not in arrays:
            raise corrupt(f"node {name!r}: {field.name} is no tensor of the file", where)
        return arrays[value["tensor"]]
    check, convert = _PLAIN[str(field.type)]
    if not check(value):
        raise corrupt(f"node {name!r}: {field.name} = {str(value)[:40]} is not a value it can have", where)
    return convert(value)


def _is_int(value: Any) -> bool:
    return type(value) is int


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 16 and all(map(_is_int, value))


def _is_str(value: Any) -> bool:
    return isinstance(value, str)


# Annotation of a field -> whether a JSON value is one, and how it becomes the field's value. Ranges are the nodes' own.
_PLAIN: dict[str, tuple[Callable[[Any], bool], Callable[[Any], Any]]] = {
    "Shape": (_is_shape, tuple),
    "int": (_is_int, int),
    "float": (lambda value: type(value) in (int, float), float),
    "bool": (lambda value: type(value) is bool, bool),
    "str": (lambda value: value in ("float32", "float64"), str),
    "Literal['float32', 'float64']": (lambda value: value in ("float32", "float64"), str),
    "Literal['avg', 'sum', 'max']": (lambda value: value in ("avg", "sum", "max"), str),
}


def _compact(array: NDArray[Any]) -> NDArray[Any]:
    """One number for a parameter that is the same for every neuron; the node spreads it again."""
    first = array.reshape(-1)[:1]
    same = all(stride == 0 for stride in array.strides) or array.tobytes() == first.tobytes() * array.size
    return first.reshape(()) if same else array
