"""A model's own loop over time, rolled back into one step.

The model takes its raster apart (`x[t]`, `for x_t in x`, `x.unbind()`), does something with each part in turn, and puts
the results together again (`torch.stack`, or `out[t] = ...`). What it does with the part of step t is recorded as step
t; all steps must be alike, and their states carried from step to step. The whole is then compared over the full raster,
as every model is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from norse_export.frontend.builder import Builder, Value, first_difference
from norse_export.frontend.recording import Recording, tensors_in

_FEEDBACK = "let each step take its own part of the raster, the states, and what the step before it gave"
_APART = ("__getitem__", "select", "unbind", "__iter__")


class TimeLoop:
    """One loop of a recording: which step is being recorded, and which one stands for all.

    That is step 0; or step 1, where a step takes what the one before it sent. Step 0 then took something else in its
    place: zeros, for all that comes before it; that it did is seen when the graph is compared over the whole raster.
    """

    def __init__(self, recording: Recording, steps: int) -> None:
        self.steps, self.now, self.over, self.feedback = steps, -1, False, False
        self._recording, self._outside = recording, recording.builder
        self._before = recording.builder.copy()
        self._zeroth: Builder | None = None
        self._steady: Builder | None = None
        self._carried, self._calls = recording.carried, recording.calls
        self._filled: dict[int, dict[int, Value]] = {}

    def enter(self, time: int) -> bool:
        """Record from now on into a step; False where it is not the one after the last."""
        if time == self.now and not self.over:
            return True
        if time != self.now + 1 or self.over:
            return False
        self._finish()
        recording = self._recording
        recording.carried, recording.calls = (self._carried if time == 0 else recording.calls), {}
        recording.builder = self._before.copy()
        recording.builder.now = time
        self._carry(recording.carried or {})
        self.now = time
        return True

    def _carry(self, states: Mapping[str, Any]) -> None:
        """States of the step before; what a population also sent stands for that, and not for its state."""
        recording = self._recording
        for path, state in states.items():
            for tensor in tensors_in(state):
                value = recording.value(tensor)
                recording.states[id(tensor)] = path
                if value is None or value.time is None:
                    recording.track(tensor, Value(None, 0, state_of=path))

    def leave(self) -> None:
        """The loop is over: what was recorded of one step stands for all."""
        if self.over:
            return
        self._finish()
        if self._steady is None and self._zeroth is not None:
            self._settle(self._zeroth)
        recording, made, steady = self._recording, self._outside, self._steady
        recording.builder, recording.carried = made, self._carried
        recording.calls = {**self._calls, **recording.calls}
        if steady is not None:
            made.nodes, made.edges = dict(steady.nodes), list(steady.edges)
            made.replaced, made.consumed = set(steady.replaced), set(steady.consumed)
        self.over = True

    def fill(self, target: Any, time: int, value: Value) -> Value:
        """`out[t] = value`, of a tensor that the model made itself: what that tensor stands for from now on."""
        values = self._filled.setdefault(id(target), {})
        values[time] = value
        whole = self.whole([values[t] for t in range(self.steps)]) if len(values) == self.steps else None
        return whole or Value(None, 2)

    def whole(self, values: Sequence[Value]) -> Value | None:
        """The raster that the values of all steps, in their order, are; None where they are none."""
        first, *others = values
        steady = others if self.feedback and others else values
        if [value.time for value in others] != list(range(1, self.steps)) or len({v.node for v in steady}) != 1:
            return None
        return replace(steady[0], lead=2, time=None) if first.time == 0 or self.feedback else None

    def _finish(self) -> None:
        """Compare the step that was recorded with the one that stands for all."""
        builder = self._recording.builder
        if self.now < 0:
            return
        if self.now == 0:
            self._zeroth = builder
            return
        if self._steady is None:
            self._settle(builder if self.feedback or self._zeroth is None else self._zeroth)
        if self._steady is not builder:
            self._compare(builder)

    def _settle(self, steady: Builder) -> None:
        self._steady = steady
        self._outside.merge(steady)

    def _compare(self, builder: Builder) -> None:
        self._outside.merge(builder)
        difference = None if self._steady is None else first_difference(self._steady, builder)
        if difference is not None and not self._outside.findings:
            usual = int(self.feedback)
            message = f"the loop over time does something else at step {self.now} than at step {usual}: {difference}"
            self._outside.refuse("control_flow", self._recording.where, message, "make every time step the same")


def entered(recording: Recording, values: Sequence[Value], where: str) -> bool:
    """Record what is done with values in the step that they are of; False, and a finding, where that cannot be."""
    times = {value.time for value in values if value.node is not None and not value.silent}
    loop = recording.loop
    if loop is None or not times:
        return True
    if times == {None}:
        loop.leave()
        return True
    steps = [time for time in times if time is not None]
    if len(steps) == len(times) and min(steps) >= max(steps) - 1 and loop.enter(max(max(steps), loop.now)):
        loop.feedback = loop.feedback or min(steps) < loop.now
        if min(steps) >= loop.now - 1:
            return True
    message = "values of steps meet that do not follow each other, or steps are not taken in their order"
    recording.builder.refuse("time_loop", where, message, _FEEDBACK)
    return False


def taken_apart(recording: Recording, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int] | None:
    """The steps of a raster that an operation gives, one tensor each; None where it does something else."""
    raster = args[0] if args else None
    if name not in _APART or not isinstance(raster, torch.Tensor):
        return None
    value = recording.value(raster)
    if value is None or value.lead != 2 or value.time is not None or value.state_of:
        return None
    steps, given = len(raster), args[1:]
    if name in ("unbind", "__iter__"):
        return list(range(steps)) if kwargs.get("dim", given[0] if given else 0) == 0 else None
    index = kwargs.get("index", given[-1] if given else None)
    if name == "select":
        dim = kwargs.get("dim", given[0] if given else None)
        index = index if dim == 0 else None
    time = _step(index)
    return None if time is None or not -steps <= time < steps else [time % steps]


def start(recording: Recording, steps: int) -> TimeLoop:
    """The loop that is running; a new one where there is none."""
    if recording.loop is None or recording.loop.over:
        recording.loop = TimeLoop(recording, steps)
    return recording.loop


def filled(recording: Recording, args: tuple[Any, ...]) -> bool:
    """Whether `target[t] = value` puts what a step gave into a raster of the model's own; then it is remembered."""
    target, index, given = args
    time, loop = _step(index), recording.loop
    value = recording.value(given) if isinstance(given, torch.Tensor) else None
    if loop is None or loop.over or value is None or value.time is None or time is None:
        return False
    if time % loop.steps != value.time or len(target) != loop.steps or tuple(target.shape[1:]) != tuple(given.shape):
        return False
    recording.track(target, loop.fill(target, value.time, value))
    return True


def _step(index: Any) -> int | None:
    """The step that an index takes out of a raster; None where it takes something else."""
    first, *others = index if isinstance(index, tuple) and index else (index,)
    if isinstance(first, bool) or not isinstance(first, int):
        return None
    return first if all(other is Ellipsis or other == slice(None) for other in others) else None
