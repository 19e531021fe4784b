"""What a model makes of all steps of what a layer gives: the largest, the mean, the last step, and what follows.

It is no part of what runs at every step, and so of no graph: the output of the graph is the raster before it, and the
graph's metadata tell what the model makes of it afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from norse_export.frontend.builder import Readout, Value
from norse_export.frontend.recording import Recording
from norse_export.frontend.time_rows import rows_of
from norse_export.frontend.undisturbed import tensors_of

_OVER_TIME = frozenset({
    "sum", "nansum", "mean", "nanmean", "max", "amax", "min", "amin", "median", "argmax", "argmin", "logsumexp", "std",
    "var", "count_nonzero", "any", "prod", "norm", "mode", "topk", "sort",
})  # fmt: skip
_JOINS = frozenset({"stack", "cat", "concat", "concatenate", "vstack", "hstack", "dstack", "__setitem__"})
_DECODERS = ("SpikesToTimesDecoder",)
LAST = "the last step"


def read_out(
    recording: Recording, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], traced: Sequence[Any]
) -> Value | None:
    """What an operation makes of all steps, or of what was made of them before; None where it does neither."""
    values = [recording.values[id(tensor)] for tensor in traced]
    before = any(value.readout is not None for value in values)
    if not before and not _goes_over_time(traced[0], values[0], name, args, kwargs):
        return None
    return _of([_base(recording, value) for value in values], name)


def read_out_behind(recording: Recording, name: str, values: Sequence[Value]) -> Value | None:
    """What an operation makes of what a loop gave, where it is done once, behind the last step; else None."""
    loop = recording.loop
    timed = any(value.time is not None or value.rows for value in values)
    if name in _JOINS or loop is None or loop.steps == 1 or not (loop.complete and loop.regular and timed):
        return None
    return _of([_base(recording, value) for value in values], name)


def read_by(value: Value, module: Any, name: str) -> Value | None:
    """What a module makes of all steps, or one without tensors of what was read out before; None for any other."""
    if value.readout is not None and not tensors_of(module):
        return Value(None, 0, readout=Readout(value.readout.node, (*value.readout.how, name)))
    decoder = name in _DECODERS and type(module).__module__.startswith("norse.torch.")
    if decoder and value.node is not None and value.lead == 2 and value.time is None and not value.swapped:
        return Value(None, 0, readout=Readout(value.node, (name,)))
    return None


def _of(bases: Sequence[Readout | None], name: str) -> Value | None:
    """One function more, of one base."""
    held = {base for base in bases if base is not None}
    nodes = {base.node for base in held}
    if len(nodes) != 1 or len(held) > 1 or None in bases:
        return None
    (one,) = held
    return Value(None, 0, readout=Readout(one.node, (*one.how, name.strip("_"))))


def _base(recording: Recording, value: Value) -> Readout | None:
    """The node whose steps a value is made of, and what was made of them so far."""
    if value.readout is not None:
        return value.readout
    loop = recording.loop
    nodes = {row.node for row in value.rows if not row.silent} or {value.node}
    if len(nodes) > 1 or None in nodes:
        return None
    (node,) = nodes
    if loop is not None and node in loop.behind:
        return loop.behind[node]
    last = value.time is not None and not value.rows and loop is not None and value.time == loop.steps - 1
    return None if node is None else Readout(node, (LAST,) if last else ())


def of_value(recording: Recording, value: Value) -> Readout | None:
    """What an output that is no raster is made of: a readout, the last step of a loop, a raster with swapped axes."""
    loop = recording.loop
    if value.readout is not None:
        return value.readout
    if loop is not None and value.node in loop.behind:
        return loop.behind[value.node]
    if value.swapped and value.node is not None:
        return Readout(value.node, ("the batch first",))
    if loop is not None and value.time == loop.steps - 1 and value.node is not None:
        return Readout(value.node, (LAST,))
    return None


def _goes_over_time(tensor: Any, value: Value, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a function adds up, or takes the largest, along the axis of time."""
    if name not in _OVER_TIME or not rows_of(tensor, value):
        return False
    dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    dims = dims if isinstance(dims, tuple | list) else (dims,)
    known = [dim % tensor.ndim for dim in dims if isinstance(dim, int) and not isinstance(dim, bool)]
    return int(value.swapped) in known and int(not value.swapped) not in known


def sent_by(recording: Recording, node: str) -> Any:
    """All steps of what a node sent in a recorded run, [T, B, *shape]; None where some are missing."""
    steps: dict[int, Any] = {}
    for tensor in recording.kept:
        value = recording.value(tensor)
        if value is None or value.node != node or value.state_of or value.readout is not None or value.rows:
            continue
        if value.time is not None:
            steps[value.time] = tensor
        elif value.lead == 2:
            return tensor.transpose(0, 1) if value.swapped else tensor
    count = 0 if recording.loop is None else recording.loop.steps
    return torch.stack([steps[time] for time in range(count)]) if count and set(steps) == set(range(count)) else None
