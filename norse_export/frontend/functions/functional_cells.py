"""Cells of a signal by their numbers: indices, selections, another order along one axis of features."""

from __future__ import annotations

from typing import Any

import torch

from norse_export.frontend.builder import Value
from norse_export.frontend.functions.operation import Operation, Rule
from norse_export.ir.layers import Flatten, Sum
from norse_export.ir.shaping import Pad, Slice

MOST_PARTS = 64  # stretches of cells that are put in another order


def _index(op: Operation) -> Value | None:
    """x[:, 3:7], x[:, 2], x[:, [0, 3]]: parts of the features, of all time and batch."""
    x, index = op.args
    value = op.value(x)
    if value is None or not value.lead:
        return None
    index = index if isinstance(index, tuple) else (index,)
    if Ellipsis in [i for i in index if i is Ellipsis]:
        at = next(n for n, i in enumerate(index) if i is Ellipsis)
        index = (*index[:at], *[slice(None)] * (x.ndim - len(index) + 1), *index[at + 1 :])
    index = (*index, *[slice(None)] * (x.ndim - len(index)))
    if len(index) != x.ndim or any(i != slice(None) for i in index[: value.lead]):
        return None
    own, shape = index[value.lead :], op.features(x, value)
    cells = [_cells(i, n) for i, n in zip(own, shape, strict=True)]
    known = [found for found in cells if found is not None]
    if len(known) < len(cells) or sum(not isinstance(i, slice) for i in own) > 1:
        return None
    return _taken(op, value, shape, known, [axis for axis, i in enumerate(own) if _is_number(i)])


def _taken(
    op: Operation, value: Value, shape: tuple[int, ...], cells: list[list[int]], dropped: list[int]
) -> Value | None:
    """The cells along every axis, without the axes of which one cell was taken by its number."""
    made: Value | None
    if all(isinstance(stretch, range) for stretch in map(_one_stretch, cells)):
        parts = [_one_stretch(found) for found in cells]
        starts, stops, steps = (tuple(getattr(p, name) for p in parts) for name in ("start", "stop", "step"))
        whole = all(found == list(range(n)) for found, n in zip(cells, shape, strict=True))
        made = value if whole else op.add(lambda: Slice(shape, starts, stops, steps), value)
    else:
        (axis,) = (axis for axis, found in enumerate(cells) if _one_stretch(found) is None)
        if any(found != list(range(n)) for a, (found, n) in enumerate(zip(cells, shape, strict=True)) if a != axis):
            return None
        made = _gathered(op, shape, value, axis, cells[axis])
    return without(op, made, tuple(map(len, cells)), dropped[0]) if dropped else made


def _one_stretch(cells: list[int]) -> range | None:
    found = _stretches(cells)
    return found[0] if len(found) == 1 else None


def _is_number(index: Any) -> bool:
    return isinstance(index, int) and not isinstance(index, bool)


def _cells(index: Any, size: int) -> list[int] | None:
    """The cells along one axis that an index takes: a range, a number, or a constant list of numbers or a mask."""
    if isinstance(index, slice):
        return list(range(size))[index] if index.step is None or index.step > 0 else None
    if _is_number(index):
        return [index % size] if -size <= index < size else None
    if isinstance(index, list):
        index = torch.tensor(index)
    if not isinstance(index, torch.Tensor) or index.ndim != 1 or index.is_floating_point():
        return None
    return [int(i) for i in torch.arange(size)[index]]


def _index_select(op: Operation) -> Value | None:
    given, found = op.given("dim", "index"), op.first()
    if given is None or found is None or not isinstance(given.get("dim"), int) or op.value(given.get("index")):
        return None
    x, value = found
    axis = given["dim"] % x.ndim - value.lead
    cells = _cells(given.get("index"), x.shape[given["dim"]])
    return None if axis < 0 or cells is None else _gathered(op, op.features(x, value), value, axis, cells)


def _select(op: Operation) -> Value | None:
    """x.select(dim, number) of a feature axis."""
    given, found = op.given("dim", "index"), op.first()
    if given is None or found is None or not all(_is_number(given.get(name)) for name in ("dim", "index")):
        return None
    x, value = found
    axis, size = given["dim"] % x.ndim - value.lead, x.shape[given["dim"]]
    if axis < 0:
        return None
    shape = list(op.features(x, value))
    part = _gathered(op, tuple(shape), value, axis, [given["index"] % size])
    shape[axis] = 1
    return without(op, part, tuple(shape), axis)


def _flip(op: Operation) -> Value | None:
    """torch.flip along one feature axis."""
    found = op.first()
    dims = op.kwargs.get("dims", op.args[1:])
    dims = dims[0] if len(dims) == 1 and isinstance(dims[0], tuple | list) else dims
    if found is None or len(dims) != 1 or not _is_number(dims[0]):
        return None
    x, value = found
    axis = dims[0] % x.ndim - value.lead
    size = x.shape[dims[0]]
    return None if axis < 0 else _gathered(op, op.features(x, value), value, axis, list(range(size))[::-1])


def _gathered(op: Operation, shape: tuple[int, ...], value: Value, axis: int, cells: list[int]) -> Value | None:
    """Cells along one axis, in an order of the user's: each stretch of them is a part, set among zeros."""
    stretches = _stretches(cells)
    if not cells or len(stretches) > MOST_PARTS:
        return None
    made: list[Value] = []
    at = 0
    for stretch in stretches:
        starts, stops, steps = [0] * len(shape), list(shape), [1] * len(shape)
        starts[axis], stops[axis], steps[axis] = stretch.start, stretch.stop, stretch.step
        part = Slice(shape, tuple(starts), tuple(stops), tuple(steps))
        suffix = f".{len(made)}" if len(stretches) > 1 else ""
        sent = op.add(lambda part=part: part, value, suffix=suffix)  # type: ignore[misc]  # a default
        before, after = [0] * len(shape), [0] * len(shape)
        before[axis], after[axis] = at, len(cells) - at - len(stretch)
        at += len(stretch)
        if len(stretches) == 1:
            return sent
        pad = Pad(part.output_shape, tuple(before), tuple(after))
        made.append(op.add(lambda pad=pad: pad, sent, suffix=f"{suffix}.among_zeros"))  # type: ignore[misc]  # a default
    whole = tuple(len(cells) if a == axis else n for a, n in enumerate(shape))
    return op.add(lambda: Sum(whole), *made)


def _stretches(cells: list[int]) -> list[range]:
    """The cells as ranges of equal steps, in their order."""
    found: list[list[int]] = []
    for cell in cells:
        last = found[-1] if found else []
        step = last[1] - last[0] if len(last) > 1 else cell - last[-1] if last else 0
        if last and step > 0 and cell - last[-1] == step:
            last.append(cell)
        else:
            found.append([cell])
    return [range(s[0], s[-1] + 1, s[1] - s[0] if len(s) > 1 else 1) for s in found]


def without(op: Operation, value: Value | None, shape: tuple[int, ...], axis: int) -> Value | None:
    """The signal without an axis of one cell, which is joined with the one beside it."""
    if value is None or len(shape) < 2:
        return None
    first = axis if axis + 1 < len(shape) else axis - 1
    return op.add(lambda: Flatten(shape, first, first + 1), value, suffix=".flatten")


CELLS: dict[str, Rule] = {
    "__getitem__": _index,
    "index_select": _index_select,
    "select": _select,
    "flip": _flip,
}
