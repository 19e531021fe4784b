"""Functions that join signals or take parts of them, along the axes of features."""

from __future__ import annotations

from typing import Any

import numpy as np

from norse_export.frontend.builder import Value
from norse_export.frontend.functions.operation import Operation, Rule
from norse_export.ir.layers import Scale, Sum
from norse_export.ir.shaping import Pad, Slice


def _cat(op: Operation) -> Value | None:
    """torch.cat along a feature axis."""
    given = op.given("dim")
    return None if given is None else _side_by_side(op, given.get("dim", 0))


def _hstack(op: Operation) -> Value | None:
    """torch.hstack joins along axis 1."""
    return None if op.given() is None else _side_by_side(op, 1)


def _heard(op: Operation, part: Any) -> Value | None:
    """What a part stands for: zeros in step 0 are what a step before would have sent."""
    return Value(None, 1, time=0, silent=True) if op.recording.is_silence(part) else op.value(part)


def _side_by_side(op: Operation, dim: Any) -> Value | None:
    """Parts joined along a feature axis: a sum of the parts among zeros."""
    if not op.args or not isinstance(op.args[0], tuple | list):
        return None
    parts, values = op.args[0], [_heard(op, part) for part in op.args[0]]
    known = [value for value in values if value is not None]
    if len(known) < len(values) or all(value.silent for value in known):
        return None
    if len({value.lead for value in known}) != 1 or not isinstance(dim, int):
        return None
    lead, rank = known[0].lead, parts[0].ndim
    axis = dim % rank - lead
    if axis < 0:
        return None
    whole, start, padded = int(op.result.shape[axis + lead]), 0, []
    for number, (part, value) in enumerate(zip(parts, known, strict=True)):
        shape = op.features(part, value)
        before, after = [0] * len(shape), [0] * len(shape)
        before[axis], after[axis] = start, whole - start - shape[axis]
        start += shape[axis]
        node = Pad(shape, tuple(before), tuple(after))
        padded.append(op.add(lambda node=node: node, value, suffix=f".{number}"))  # type: ignore[misc]  # a default
    if len(padded) == 1:
        return known[0]
    features = op.features(op.result, known[0])
    return op.add(lambda: Sum(features), *padded)


def _stack(op: Operation) -> Value | None:
    """Parts stacked along a new first axis, which only a sum over that axis can follow."""
    given = op.given("dim")
    if given is None or given.get("dim", 0) != 0 or not op.args or not isinstance(op.args[0], tuple | list):
        return None
    values = [op.value(part) for part in op.args[0]]
    known = tuple(value for value in values if value is not None)
    if len(known) < len(values):
        return None
    op.recording.stacks[id(op.result)] = known
    return Value(None, 0)


def stacked_sum(op: Operation) -> Value | None:
    """torch.stack((a, b)).sum(0): an addition, of each signal as often as it is there."""
    parts = op.recording.stacks.get(id(op.args[0])) if op.args else None
    given = op.given("dim", "keepdim")
    if parts is None or given is None or given.get("dim") not in (0, (0,), [0]) or given.get("keepdim"):
        return None
    features = op.features(op.result, parts[0])
    counts = {part.node: [other.node for other in parts].count(part.node) for part in parts}
    if len(counts) == len(parts):
        return op.add(lambda: Sum(features), *parts)
    if len(counts) > 1 or len(parts) > 2:  # a sum of three alike rounds twice, and three times the value once
        return None
    two = np.full(features, 2, str(op.result.dtype).removeprefix("torch."))
    return op.add(lambda: Scale(two), parts[0])


def _slice(op: Operation, x: Any, value: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
    shape = op.features(x, value)
    starts, stops, steps = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis], stops[axis], steps[axis] = start, stop, step
    return op.add(lambda: Slice(shape, tuple(starts), tuple(stops), tuple(steps)), value)


def _narrow(op: Operation) -> Value | None:
    names = ("dim", "start", "length")
    given, found = op.given(*names), op.first()
    if given is None or found is None or not all(isinstance(given.get(name), int) for name in names):
        return None
    x, value = found
    axis = given["dim"] % x.ndim - value.lead
    return None if axis < 0 else _slice(op, x, value, axis, given["start"], given["start"] + given["length"])


def _parts(op: Operation) -> list[Value] | None:
    """torch.split and torch.chunk along a feature axis."""
    found = op.first()
    if found is None:
        return None
    x, value = found
    dim = op.kwargs.get("dim", op.args[2] if len(op.args) > 2 else 0)
    axis = dim % x.ndim - value.lead if isinstance(dim, int) else -1
    if axis < 0 or not value.lead:
        return None
    parts, start = [], 0
    for part in op.result:
        length = int(part.shape[axis + value.lead])
        parts.append(_slice(op, x, value, axis, start, start + length))
        start += length
    return parts


PARTS: dict[str, Rule] = {
    **dict.fromkeys(("cat", "concat", "concatenate"), _cat),
    "stack": _stack,
    "hstack": _hstack,
    "narrow": _narrow,
    **dict.fromkeys(("split", "chunk", "tensor_split"), _parts),
}
