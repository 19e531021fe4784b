"""Tensors that hold single steps along an axis: parts of a raster, steps put together, a raster with its axes swapped.

What an operation does along the axis of time is what it does with the numbers of the steps: it is applied to these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from norse_export.frontend.builder import Value
from norse_export.frontend.recording import Recording

_ALONG = {"split": "dim", "chunk": "dim", "tensor_split": "dim", "narrow": "dim", "select": "dim", "unbind": "dim",
          "flip": "dims", "index_select": "dim"}  # fmt: skip
_PLACE = {
    "split": 2,
    "chunk": 2,
    "tensor_split": 2,
    "unbind": 1,
    "narrow": 1,
    "select": 1,
    "index_select": 1,
    "flip": 1,
}
_SWAPS = frozenset({"transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis"})
_JOINS = ("stack", "cat", "concat", "concatenate", "vstack")
Rows = tuple[Value, ...]


def rows_of(tensor: Any, value: Value | None) -> Rows:
    """What each step of a tensor stands for; empty where it holds no single steps."""
    if value is None or value.state_of or value.readout is not None:
        return ()
    if value.rows:
        return value.rows
    if value.lead != 2 or value.time is not None or value.node is None:
        return ()
    steps = tensor.shape[1] if value.swapped else len(tensor)
    return tuple(replace(value, lead=1, time=time, swapped=False) for time in range(steps))


def packed(recording: Recording, rows: Sequence[Value], *, swapped: bool = False) -> Value:
    """What a tensor of these steps stands for: the whole raster, where they are all of one node, in their order."""
    if any(row.node is None and not row.silent for row in rows):  # said where it was found
        return Value(None, 2)
    loop = recording.loop
    whole = None if loop is None else loop.whole(rows)
    return Value(None, 2, rows=tuple(rows), swapped=swapped) if whole is None else replace(whole, swapped=swapped)


def taken(
    recording: Recording, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Value | list[Value] | None:
    """What an operation gives that takes steps out of a raster, or swaps its axes; None for any other."""
    tensor: Any = args[0] if args else None
    value = recording.value(tensor) if isinstance(tensor, torch.Tensor) else None
    if value is None:
        return None
    timed = recording.loop is not None and value.lead == 1 and value.time is not None
    if timed and (axis := _new_axis(name, args, kwargs)) is not None:
        return packed(recording, [value], swapped=axis == 1)
    rows = rows_of(tensor, value)
    if not rows:
        return None
    if name in _SWAPS:
        order = func(torch.empty((1, 2, *(3 for _ in tensor.shape[2:]))), *args[1:], **kwargs).shape
        return packed(recording, rows, swapped=not value.swapped) if order[:2] == (2, 1) else None
    axis = int(value.swapped)
    if name == "squeeze" and len(rows) == 1 and _axis(tensor, args, kwargs, 1) == axis:
        return rows[0]
    numbers = _numbers(func, name, args, kwargs, len(rows), axis)
    return None if numbers is None else _picked(recording, rows, numbers, swapped=value.swapped)


def _picked(recording: Recording, rows: Rows, numbers: Any, *, swapped: bool) -> Value | list[Value]:
    if isinstance(numbers, tuple | list):
        found = [_picked(recording, rows, part, swapped=swapped) for part in numbers]
        return [one for one in found if isinstance(one, Value)]
    if numbers.ndim == 0:
        return rows[int(numbers)]
    return packed(recording, [rows[int(number)] for number in numbers], swapped=swapped)


def _numbers(
    func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any], steps: int, axis: int
) -> Any:
    """The numbers of the steps that an operation takes along `axis`; None where it acts on other axes."""
    numbers = torch.arange(steps)
    if name == "__iter__":
        return list(numbers) if axis == 0 else None
    if name == "__getitem__":
        index = args[1] if isinstance(args[1], tuple) else (args[1],)
        if len(index) <= axis or any(i is None or i is Ellipsis for i in index[: axis + 1]):
            return None
        others = (*index[:axis], *index[axis + 1 :])
        whole = all(other is Ellipsis or (isinstance(other, slice) and other == slice(None)) for other in others)
        return numbers[index[axis]] if whole else None
    if name not in _ALONG or _axis(args[0], args, kwargs, _PLACE[name], _ALONG[name]) != axis:
        return None
    shifted = list(args[1:])
    if len(args) > _PLACE[name]:
        shifted[_PLACE[name] - 1] = [0] if name == "flip" else 0
    else:
        kwargs = {**kwargs, **({_ALONG[name]: [0] if name == "flip" else 0} if _ALONG[name] in kwargs else {})}
    return func(numbers, *shifted, **kwargs)


def _axis(tensor: Any, args: tuple[Any, ...], kwargs: dict[str, Any], place: int, key: str = "dim") -> int | None:
    """The axis that an operation is told, from 0; the first where it is told none."""
    told = kwargs.get(key, args[place] if len(args) > place else 0)
    if isinstance(told, tuple | list) and len(told) == 1:
        (told,) = told
    return told % tensor.ndim if isinstance(told, int) and not isinstance(told, bool) else None


def second_axis(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an operation takes a tensor apart along its second axis."""
    if name == "__getitem__":
        index = args[1] if isinstance(args[1], tuple) else (args[1],)
        return len(index) > 1 and index[0] == slice(None) and isinstance(index[1], int)
    return name in _ALONG and _axis(args[0], args, kwargs, _PLACE[name], _ALONG[name]) == 1


def _new_axis(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """The axis, 0 or 1, that an operation puts before the features of a single step; None where it does not."""
    if name == "unsqueeze":
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        dim = dim + args[0].ndim + 1 if isinstance(dim, int) and dim < 0 else dim
        return dim if dim in (0, 1) else None
    if name != "__getitem__":
        return None
    index = args[1] if isinstance(args[1], tuple) else (args[1],)
    new = [place for place, i in enumerate(index) if i is None]
    plain = all(i is None or i is Ellipsis or (isinstance(i, slice) and i == slice(None)) for i in index)
    before = Ellipsis not in [i for i in index[: new[0]] if i is Ellipsis] if new else False
    return new[0] if plain and before and len(new) == 1 and new[0] in (0, 1) else None


def put_together(recording: Recording, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value | None:
    """torch.stack of single steps, torch.cat of parts of rasters; None where something else is put together."""
    parts = args[0] if args else None
    if recording.loop is None or not isinstance(parts, tuple | list) or name not in _JOINS:
        return None
    dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
    values = [recording.value(part) if isinstance(part, torch.Tensor) else None for part in parts]
    if dim not in (0, 1) or any(value is None for value in values):
        return None
    owners = {value.state_of for value in values if value is not None}
    if name == "stack" and dim == 0 and len(values) == recording.loop.steps and len(owners) == 1 and "" not in owners:
        return Value(None, 2, state_of=owners.pop())  # a record of states: it stands beside an output, as states do
    if name == "stack":
        single = all(value is not None and (value.time is not None or value.node is None) for value in values)
        known = [value for value in values if value is not None and not value.rows and value.readout is None]
        timed = any(value.time is not None for value in known)
        nodes = {value.node for value in known if not value.silent}
        alike = len(nodes) == 1 or 2 < len(known) == recording.loop.steps  # two: a sum of two signals
        steps = single and timed and alike and len(known) == len(values)
        return packed(recording, known, swapped=dim == 1) if steps else None
    rows = [(rows_of(part, value), value) for part, value in zip(parts, values, strict=True)]
    if not all(held and value is not None and value.swapped == (dim == 1) for held, value in rows):
        return None
    return packed(recording, [row for held, _ in rows for row in held], swapped=dim == 1)


def described(value: Value, steps: int) -> str:
    """What steps a part of a raster holds, in words."""
    times = [row.time for row in value.rows if not row.silent]
    nodes = {row.node for row in value.rows if not row.silent}
    held = [time for time in times if time is not None]
    if not held:
        return "no step"
    if len(nodes) > 1:
        return f"steps of several layers: {', '.join(sorted(map(str, nodes)))}"
    if held == sorted(held, reverse=True) and len(held) > 1:
        return f"the steps in another order: {held[0]} to {held[-1]}"
    if held == list(range(held[0], held[0] + len(held))):
        return f"steps {held[0]} to {held[-1]} of {steps}" if len(held) > 1 else f"step {held[0]} of {steps}"
    return f"{len(set(held))} of {steps} steps, or not in their order"


def place_set(index: Any, axes: int) -> tuple[int | None, bool]:
    """The step that an index sets, and whether it stands on the second axis; None where it sets something else."""
    parts = index if isinstance(index, tuple) else (index,)
    for swapped in (False, True):
        chosen = parts[swapped] if len(parts) > swapped else None
        others = (*parts[:swapped], *parts[swapped + 1 :])
        if isinstance(chosen, int) and not isinstance(chosen, bool) and len(parts) <= axes:
            whole = all(other is Ellipsis or (isinstance(other, slice) and other == slice(None)) for other in others)
            return (chosen if whole else None), swapped
    return None, False
