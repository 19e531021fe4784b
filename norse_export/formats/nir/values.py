"""What can be judged of a NIR graph only once its arrays are there: finite numbers, time constants, delays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from norse_export.ir.arrays import first_non_finite

from .declared import NodePath, Problem, place, problem
from .document import NIRDocument, NIRNode, Value
from .primitives import PRIMITIVES, Field, Kind


def value_problems(document: NIRDocument, path: NodePath = ()) -> Iterator[Problem]:
    """Give every array that holds an impossible value, with the first such value; of nodes whose fields are sound."""
    for name, node in document.nodes.items():
        if isinstance(node, NIRDocument):
            yield from value_problems(node, (*path, name))
        else:
            yield from _node_problems(node, (*path, name))


def _node_problems(node: NIRNode, path: NodePath) -> Iterator[Problem]:
    fields = PRIMITIVES[node.type].fields
    for name, value in node.fields.items():
        if fields[name].kind is Kind.NUMBERS and (found := _fault(fields[name], value)):
            kind, index, message, fix = found
            at = str(list(index)) if index else ""
            yield problem(kind, f"{place(path)}, field {name!r}", f"{name}{at} is {message}", fix, path)


def _fault(field: Field, value: Value) -> tuple[str, tuple[int, ...], str, str] | None:
    array = np.asarray(value)
    if (index := first_non_finite(array)) is not None:
        fix = "the model is damaged: load a checkpoint from before its training diverged"
        return "nan", index, f"{array[index]!s}, not a finite number", fix
    if not (field.positive or field.non_negative):
        return None
    lowest = np.unravel_index(int(np.argmin(array)), array.shape)
    index = tuple(int(k) for k in lowest)
    if field.positive and array[index] <= 0:
        return "tau", index, f"{array[index]!s}; a time constant is above 0", "give it in seconds, above 0"
    if field.non_negative and array[index] < 0:
        return "delay", index, f"{array[index]!s}; a delay is 0 or more", "give it in seconds, 0 or more"
    return None
