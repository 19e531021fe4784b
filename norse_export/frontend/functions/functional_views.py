"""Views that join neighbouring axes of features, or drop axes of one cell, are flatten layers; others a new order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch

from norse_export.frontend.builder import Value
from norse_export.frontend.frameworks.torch_nn import flatten
from norse_export.frontend.functions.operation import Operation, Rule
from norse_export.ir.layers import Flatten
from norse_export.ir.shaping import Reorder


def _flatten(op: Operation) -> Value | None:
    axes, found = op.given("start_dim", "end_dim"), op.first()
    if axes is None or found is None or not found[1].lead:
        return None
    start, end = axes.get("start_dim", 0), axes.get("end_dim", -1)
    if not (isinstance(start, int) and isinstance(end, int)):
        return None
    x, value = found
    builder = op.recording.builder
    return flatten(builder.unique(op.name), value, tuple(x.shape), (start, end), builder)


def _view(op: Operation) -> Value | None:
    """Whatever a view was told, its result tells which axes it joined."""
    found = op.first()
    if found is None or not found[1].lead or op.result.dtype != found[0].dtype:
        return None
    x, value = found
    lead = value.lead
    groups = _joined_axes(tuple(x.shape[lead:]), tuple(op.result.shape[lead:]))
    if op.result.shape[:lead] != x.shape[:lead]:
        return None
    if groups is None:
        return _along(op, x, value, range(x.ndim - lead))
    named = replace(op, name=f"{op.name.removesuffix(op.function)}flatten")
    shape = list(x.shape[lead:])
    for first, last in reversed(groups):  # the last first, so that the numbers of the axes before it stay
        if first != last:
            node = Flatten(tuple(shape), first, last)
            value, shape = named.add(lambda node=node: node, value), list(node.output_shape)  # type: ignore[misc]
    return value


def _joined_axes(before: tuple[int, ...], after: tuple[int, ...]) -> list[tuple[int, int]] | None:
    """First and last of the neighbouring axes that each axis of the result was made of; None where it is otherwise."""
    groups, axis = list[tuple[int, int]](), 0
    for place, size in enumerate(after):
        first, product = axis, before[axis] if axis < len(before) else 0
        left = len(after) - place - 1
        while axis + 1 < len(before) and (product < size or (before[axis + 1] == 1 and len(before) - axis - 2 >= left)):
            axis += 1
            product *= before[axis]
        if product != size:
            return None
        groups.append((first, axis))
        axis += 1
    return groups if axis == len(before) else None


def _along(op: Operation, x: Any, value: Value, order: Iterable[int]) -> Value:
    node = Reorder(op.features(x, value), tuple(order), op.features(op.result, value))
    return op.add(lambda: node, value)


def _new_axes(op: Operation) -> Value | None:
    """unsqueeze and unflatten of features; an axis before them would stand between those of time and batch."""
    given, found = op.given("dim", "sizes", "names"), op.first()
    if given is None or found is None or not found[1].lead or not isinstance(given.get("dim"), int):
        return None
    x, value = found
    dim = given["dim"] % (x.ndim + (op.function == "unsqueeze"))
    return None if dim < value.lead else _along(op, x, value, range(x.ndim - value.lead))


def _reordered(op: Operation) -> Value | None:
    """Features in another order; which one, tells the same function of a tensor whose axes have each their own size."""
    found = op.first()
    if found is None or not found[1].lead or isinstance(op.result, tuple):
        return None
    x, value = found
    sizes = [2 + axis for axis in range(x.ndim)]
    with op.recording.pause():
        probe = getattr(torch.Tensor, op.function)(torch.empty(sizes, device="meta"), *op.args[1:], **op.kwargs)
    order = [size - 2 for size in probe.shape]
    if order[: value.lead] != list(range(value.lead)):
        return None
    return _along(op, x, value, [axis - value.lead for axis in order[value.lead :]])


_REORDERS = ("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis")
VIEWS: dict[str, Rule] = {
    "flatten": _flatten,
    **dict.fromkeys(("unsqueeze", "unflatten"), _new_axes),
    **dict.fromkeys(_REORDERS, _reordered),
    **dict.fromkeys(("view", "reshape", "view_as", "reshape_as", "squeeze"), _view),
}
