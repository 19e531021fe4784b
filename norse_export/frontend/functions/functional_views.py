"""Views that join neighbouring axes of features, or drop axes of one cell: flatten layers."""

from __future__ import annotations

from dataclasses import replace

from norse_export.frontend.builder import Value
from norse_export.frontend.frameworks.torch_nn import flatten
from norse_export.frontend.functions.operation import Operation, Rule
from norse_export.ir.layers import Flatten


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
    if groups is None or op.result.shape[:lead] != x.shape[:lead]:
        return None
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


VIEWS: dict[str, Rule] = {
    "flatten": _flatten,
    **dict.fromkeys(("view", "reshape", "view_as", "reshape_as", "squeeze"), _view),
}
