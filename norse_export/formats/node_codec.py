"""Nodes of the continuous graph <-> plain JSON values and arrays.

Of layers the dataclass fields are the schema: every field is written, every field is asked for on reading, and an
annotation without a rule here is an error, so that a new kind of node cannot lose a field silently. Of populations the
table of kinds is the schema: every value that a kind has stands there under its name, or null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, asdict, fields
from typing import Any, get_args, get_type_hints

from numpy.typing import NDArray

from norse_export.errors import InputFileError, locating
from norse_export.ir.arrays import few
from norse_export.ir.delay import Delay
from norse_export.ir.layers import Conv, Flatten, Input, Layer, Linear, Output, Pool, Scale, Sum
from norse_export.ir.neurons import KINDS, CubaLIF, Kind, NeuronModel
from norse_export.ir.schemes import EULER, SCHEMES
from norse_export.ir.shaping import Elementwise, Pad, Reorder, Slice
from norse_export.ir.stages import ContinuousNode
from norse_export.program.elementwise import FUNCTIONS
from norse_export.program.families import NORSE, Rule

Arrays = dict[str, NDArray[Any]]
NODE_TYPES: dict[str, type[Layer | Delay]] = {
    kind.__name__: kind for kind in (Input, Output, Sum, Scale, Linear, Conv, Pool, Flatten, Slice, Pad, Reorder, Delay)
}
_ARRAY = ("FloatArray", "FloatArray | None")


def encode_node(node: ContinuousNode, key: str, arrays: Arrays) -> dict[str, Any]:
    """Give the node as JSON; its arrays are added to `arrays` under names that start with `key`."""
    if isinstance(node, NeuronModel):
        return _encode_population(node, key, arrays)
    if isinstance(node, Elementwise):
        tensors = {name: f"{key}.{name}" for name in node.parameters}
        arrays |= {tensors[name]: few(value) for name, value in node.parameters.items()}
        told = {"type": "Elementwise", "function": node.function, "shape": list(node.shape)}
        return {**told, "parameters": {name: {"tensor": tensor} for name, tensor in tensors.items()}}
    encoded: dict[str, Any] = {"type": type(node).__name__}
    for field in fields(node):
        value = getattr(node, field.name)
        if field.type in _ARRAY and value is not None:
            arrays[f"{key}.{field.name}"] = value
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
    if isinstance(encoded, dict) and encoded.get("type") in KINDS:
        return _decode_population(name, encoded, arrays, where)
    if isinstance(encoded, dict) and encoded.get("type") == "Elementwise":
        return _decode_elementwise(name, encoded, arrays, where)
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


def _encode_population(node: NeuronModel, key: str, arrays: Arrays) -> dict[str, Any]:
    encoded: dict[str, Any] = {"type": node.kind.name, "shape": list(node.shape), "dt": node.dt, "dtype": node.dtype}
    for name in node.kind.names:
        value = node.get(name)
        if value is not None:
            arrays[f"{key}.{name}"] = value if name in node.kind.dynamics.matrices else few(value)
        encoded[name] = None if value is None else {"tensor": f"{key}.{name}"}
    if node.recurrent or node.kind is CubaLIF:
        encoded["recurrent"] = node.recurrent
    if node.rule != NORSE:
        encoded["rule"] = asdict(node.rule)
    if node.scheme != EULER:
        encoded["scheme"] = node.scheme
    return encoded


def _decode_population(
    name: str, encoded: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], where: str
) -> NeuronModel:
    kind = KINDS[encoded["type"]]
    plain = {"shape": "Shape", "dt": "float", "dtype": "str"}
    optional = {"recurrent", "rule", "scheme"}
    if unknown := set(encoded) - {"type", *plain, *kind.names} - optional:
        raise corrupt(f"node {name!r} has fields that {kind.name} does not have: {sorted(unknown)[0][:40]!r}", where)
    for field in (*plain, *kind.names):
        if field not in encoded:
            raise corrupt(f"node {name!r} lacks the field {field!r}", where)
    values = {field: _plain(name, field, annotation, encoded[field], where) for field, annotation in plain.items()}
    for field in kind.names:
        values[field] = _tensor(name, field, encoded[field], arrays, where, optional=field in kind.gains)
    recurrent = _plain(name, "recurrent", "bool", encoded.get("recurrent", False), where)
    rule = _rule(name, kind, encoded.get("rule"), where)
    scheme = _plain(name, "scheme", "Scheme", encoded.get("scheme", EULER), where)
    with locating(name):
        return kind(**values, recurrent=recurrent, rule=rule, scheme=scheme)


def _decode_elementwise(
    name: str, encoded: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], where: str
) -> Elementwise:
    function, parameters = encoded.get("function"), encoded.get("parameters")
    if set(encoded) != {"type", "function", "shape", "parameters"} or not isinstance(parameters, dict):
        raise corrupt(f"node {name!r} has fields that Elementwise does not have, or lacks some", where)
    if not isinstance(function, str) or function not in FUNCTIONS:
        raise corrupt(f"node {name!r}: {str(function)[:40]!r} is no function", where)
    if set(parameters) != set(FUNCTIONS[function].parameters):
        raise corrupt(f"node {name!r}: its parameters are not those of {function}", where)
    shape = _plain(name, "shape", "Shape", encoded["shape"], where)
    values: dict[str, NDArray[Any]] = {}
    for key in FUNCTIONS[function].parameters:
        value = _tensor(name, key, parameters[key], arrays, where, optional=False)
        if value is not None:
            values[key] = value
    with locating(name):
        return Elementwise(function, shape, values)


def _rule(name: str, kind: Kind, encoded: Any, where: str) -> Rule:
    if encoded is None:
        return NORSE
    choices = get_type_hints(Rule)
    if not isinstance(encoded, dict) or set(encoded) != set(choices):
        raise corrupt(f"node {name!r}: its rule is none", where)
    for choice, value in encoded.items():
        known = value in get_args(choices[choice])
        if not known or (value != getattr(NORSE, choice) and choice not in kind.dynamics.choices):
            raise corrupt(f"node {name!r}: {choice} = {str(value)[:40]} is not a value it can have", where)
    return Rule(**encoded)


def corrupt(what: str, where: str) -> InputFileError:
    """The error for a model file whose content contradicts itself."""
    return InputFileError(
        f"corrupt: {what}", where=where, fix="save the model again with norse_export.save", kind="corrupt"
    )


def _decode(name: str, field: Field[Any], value: Any, arrays: Mapping[str, NDArray[Any]], where: str) -> Any:
    if field.type in _ARRAY:
        return _tensor(name, field.name, value, arrays, where, optional=field.type == "FloatArray | None")
    return _plain(name, field.name, str(field.type), value, where)


def _tensor(
    name: str, field: str, value: Any, arrays: Mapping[str, NDArray[Any]], where: str, *, optional: bool
) -> NDArray[Any] | None:
    if value is None and optional:
        return None
    if not isinstance(value, dict) or set(value) != {"tensor"} or value["tensor"] not in arrays:
        raise corrupt(f"node {name!r}: {field} is no tensor of the file", where)
    return arrays[value["tensor"]]


def _plain(name: str, field: str, annotation: str, value: Any, where: str) -> Any:
    check, convert = _PLAIN[annotation]
    if not check(value):
        raise corrupt(f"node {name!r}: {field} = {str(value)[:40]} is not a value it can have", where)
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
    "Scheme": (lambda value: isinstance(value, str) and value in SCHEMES, str),
    "Literal['avg', 'sum', 'max']": (lambda value: value in ("avg", "sum", "max"), str),
}
