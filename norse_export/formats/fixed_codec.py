"""Nodes of the fixed graph, programs included, <-> plain JSON values and arrays.

As in node_codec.py the dataclass fields are the schema. A program is a list of instructions and is checked against the
closed set of operations; an array must have the very dtype that it was written with; where all neurons of a population
have one value, one number is written. Layers that the host computes are those of node_codec.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import InputFileError, locating
from norse_export.formats.node_codec import decode_node, encode_node
from norse_export.ir.arrays import few
from norse_export.ir.fixed import (
    ConvSynapses,
    Delivery,
    DenseSynapses,
    FixedInput,
    Population,
    SparseSynapses,
)
from norse_export.ir.layers import Input, Layer
from norse_export.ir.stages import FixedNode
from norse_export.program.check import check_program
from norse_export.program.operations import Instruction, Op, Rounding
from norse_export.program.program import Program

Array = NDArray[Any]
Arrays = dict[str, Array]
FIXED_TYPES: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (FixedInput, DenseSynapses, ConvSynapses, SparseSynapses, Population)
}
HOST_TYPES = frozenset(kind.__name__ for kind in get_args(Layer) if kind is not Input)
FIX = "get the file again from its source, or export the model to the target again"
_INT64 = 2**63
_MAX_DIMENSIONS = 16


def encode_fixed(node: FixedNode, key: str, arrays: Arrays) -> dict[str, Any]:
    """Give the node as JSON; its arrays are added to `arrays` under names that start with `key`.

    Raises:
        TypeError: a node that the fixed graph does not have.
    """
    if type(node).__name__ in HOST_TYPES:
        return encode_node(node, key, arrays)  # type: ignore[arg-type]  # a layer is one of both graphs
    if type(node) not in FIXED_TYPES.values():
        raise TypeError(f"{type(node).__name__} is no node of the fixed graph")
    encoded: dict[str, Any] = {"type": type(node).__name__}
    for field in fields(node):
        encoded[field.name] = _RULES[str(field.type)][0](getattr(node, field.name), f"{key}.{field.name}", arrays)
    return encoded


def decode_fixed(name: str, encoded: Any, arrays: Mapping[str, Array], where: str) -> FixedNode:
    """Give the node back; it checks itself.

    Raises:
        InputFileError: a type, field or value that no node has.
        GraphError: a node, or a program, that is impossible.
    """
    kind = encoded.get("type") if isinstance(encoded, dict) else None
    if isinstance(kind, str) and kind in HOST_TYPES:
        return decode_node(name, encoded, arrays, where)  # type: ignore[return-value]  # a layer, by its type
    if not isinstance(kind, str) or kind not in FIXED_TYPES:
        raise corrupt(f"node {name[:40]!r} has an unknown type", where)
    known = {field.name: field for field in fields(FIXED_TYPES[kind])}
    if set(encoded) != {"type", *known}:
        raise corrupt(f"node {name[:40]!r} has other fields than {kind}", where)
    values = {field.name: _decoded(name, field, encoded[field.name], arrays, where) for field in known.values()}
    with locating(name):
        node: FixedNode = FIXED_TYPES[kind](**values)
    if isinstance(node, SparseSynapses) and not _rising(node):
        raise corrupt(f"node {name[:40]!r}: the targets of a source do not rise", where)
    return node


def corrupt(what: str, where: str) -> InputFileError:
    """The error for an artefact whose content contradicts itself."""
    return InputFileError(f"corrupt: {what}", where=where, fix=FIX, kind="corrupt")


def _decoded(name: str, field: Field[Any], value: Any, arrays: Mapping[str, Array], where: str) -> Any:
    try:
        with locating(name):
            return _RULES[str(field.type)][1](value, arrays)
    except _NotOneError as error:
        shown = str(value)[:40]
        raise corrupt(f"node {name[:40]!r}: {field.name} = {shown} is not a value it can have{error}", where) from error


class _NotOneError(Exception):
    """A JSON value that is not of the kind that its field has."""


def _need(holds: bool, why: str = "") -> None:
    if not holds:
        raise _NotOneError(f": {why}" if why else "")


def _rising(node: SparseSynapses) -> bool:
    falls = np.flatnonzero(np.diff(node.targets) < 0) + 1
    return bool(np.isin(falls, node.starts).all())


def _whole(value: Any, arrays: Mapping[str, Array]) -> int:
    _need(type(value) is int and abs(value) <= 2 * _INT64)
    return int(value)


def _real(value: Any, arrays: Mapping[str, Array]) -> float:
    _need(type(value) is float)
    return float(value)


def _sizes(value: Any, arrays: Mapping[str, Array]) -> tuple[int, ...]:
    _need(isinstance(value, list) and len(value) <= _MAX_DIMENSIONS)
    _need(all(type(size) is int and 0 <= size < _INT64 for size in value))
    return tuple(value)


def _pair(value: Any, arrays: Mapping[str, Array]) -> tuple[int, ...]:
    sizes = _sizes(value, arrays)
    _need(len(sizes) == 2)
    return sizes


def _keep_array(value: Array, key: str, arrays: Arrays) -> dict[str, str]:
    arrays[key] = value
    return {"tensor": key}


def _array(value: Any, arrays: Mapping[str, Array]) -> Array:
    _need(isinstance(value, dict) and set(value) == {"tensor"} and isinstance(value["tensor"], str))
    _need(value["tensor"] in arrays, "no tensor of the file")
    array = arrays[value["tensor"]]
    _need(array.dtype.kind == "i", f"dtype {array.dtype}")
    return array


def _keep_named(values: Mapping[str, Array], key: str, arrays: Arrays) -> dict[str, Any]:
    """Arrays of one value for each neuron, by number: a name may be longer than a tensor's may be."""
    return {
        name: _keep_array(few(value), f"{key}.{number}", arrays) for number, (name, value) in enumerate(values.items())
    }


def _named(*dtypes: str) -> Callable[[Any, Mapping[str, Array]], dict[str, Array]]:
    def decode(value: Any, arrays: Mapping[str, Array]) -> dict[str, Array]:
        _need(isinstance(value, dict))
        found = {}
        for name, one in value.items():
            _need(isinstance(one, dict) and set(one) == {"tensor"} and isinstance(one["tensor"], str))
            _need(one["tensor"] in arrays, "no tensor of the file")
            found[name] = arrays[one["tensor"]]
            _need(found[name].dtype.name in dtypes, f"dtype {found[name].dtype}")
        return found

    return decode


def _numbers(value: Any, arrays: Mapping[str, Array]) -> dict[str, int]:
    _need(isinstance(value, dict) and all(type(number) is int and abs(number) < _INT64 for number in value.values()))
    return dict(value)


def _delivery(value: Any, arrays: Mapping[str, Array]) -> Delivery:
    _need(isinstance(value, list) and len(value) == 2)
    _need(value[0] is None or type(value[0]) is int)
    return Delivery(wrap_bits=value[0], shift=_whole(value[1], arrays))


def encode_program(program: Program) -> dict[str, Any]:
    """Give a program as JSON: each instruction as [operation, operands, name, constants, rounding]."""
    return {
        "instructions": [
            [str(step.op), list(step.operands), step.name, list(step.constants), step.rounding and str(step.rounding)]
            for step in program.instructions
        ],
        "state": list(program.state),
        "spike": program.spike,
        "output": program.output,
        "observe": [list(pair) for pair in program.observe],
    }


def _program(value: Any, arrays: Mapping[str, Array]) -> Program:
    keys = {"instructions", "state", "spike", "output", "observe"}
    _need(isinstance(value, dict) and set(value) == keys and isinstance(value["instructions"], list))
    _need(isinstance(value["observe"], list) and all(isinstance(pair, list) for pair in value["observe"]))
    _need(all(len(pair) == 2 and isinstance(pair[0], str) for pair in value["observe"]))
    program = Program(
        instructions=tuple(_instruction(step, number) for number, step in enumerate(value["instructions"])),
        state=_numbered(value["state"]),
        spike=None if value["spike"] is None else _numbered([value["spike"]])[0],
        output=_numbered([value["output"]])[0],
        observe=tuple((name, _numbered([number])[0]) for name, number in value["observe"]),
    )
    check_program(program)
    return program


def _instruction(value: Any, number: int) -> Instruction:
    where = f"instruction {number}"
    _need(isinstance(value, list) and len(value) == 5 and isinstance(value[2], str), where)
    op, operands, name, constants, rounding = value
    _need(op in _OPERATIONS, f"{where}: no such operation")
    _need(rounding is None or rounding in _ROUNDINGS, f"{where}: no such rounding")
    _need(isinstance(constants, list) and all(type(constant) is int for constant in constants), where)
    return Instruction(Op(op), _numbered(operands), name, tuple(constants), rounding and Rounding(rounding))


def _numbered(value: Any) -> tuple[int, ...]:
    _need(isinstance(value, list) and all(type(number) is int for number in value), "a list of numbers is missing")
    return tuple(value)


def _plain(value: Any, key: str, arrays: Arrays) -> Any:
    return list(value) if isinstance(value, tuple) else value


_OPERATIONS, _ROUNDINGS = [str(op) for op in Op], [str(rounding) for rounding in Rounding]
_Encode = Callable[[Any, str, Arrays], Any]
_Decode = Callable[[Any, Mapping[str, Array]], Any]
# Annotation of a field -> how its value becomes JSON, and back. Ranges are the nodes' own.
_RULES: dict[str, tuple[_Encode, _Decode]] = {
    "Shape": (_plain, _sizes),
    "int": (_plain, _whole),
    "float": (_plain, _real),
    "tuple[int, int]": (_plain, _pair),
    "IntArray": (_keep_array, _array),
    "Delivery": (lambda value, key, arrays: [value.wrap_bits, value.shift], _delivery),
    "Program": (lambda value, key, arrays: encode_program(value), _program),
    "Mapping[str, int]": (lambda value, key, arrays: dict(value), _numbers),
    "Mapping[str, IntArray]": (_keep_named, _named("int64")),
    "Mapping[str, FloatArray]": (_keep_named, _named("float32", "float64")),
}
