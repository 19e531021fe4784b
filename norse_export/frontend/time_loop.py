"""A model's own loop over time, rolled back into one step.

The model takes its raster apart (`x[t]`, `for x_t in x`, `x.unbind()`), does something with each part in turn, and puts
the results together again (`torch.stack`, or `out[t] = ...`). What it does with the part of step t is recorded as step
t; all steps must be alike, and their states carried from step to step. The whole is then compared over the full raster,
as every model is. Loops may follow each other: a list of what one gave is the raster of the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from norse_export.errors import Finding
from norse_export.frontend.builder import Builder, Readout, Value
from norse_export.frontend.likeness import first_difference
from norse_export.frontend.recording import Recording, tensors_in
from norse_export.frontend.step_starts import LATE, begin
from norse_export.frontend.time_rows import described, packed, place_set, rows_of, taken
from norse_export.ir.layers import Conv, Linear
from norse_export.ir.neurons import NeuronModel

_FEEDBACK = "let each step take its own part of the raster, the states, and what the step before it gave"
_WHOLE = "take every step of the raster, in their order, and collect what every step gives: torch.stack(outputs)"
_SWAPPED = "take the raster as [T, B, ...]: transpose it back, or let each step take x[:, t]"
_BEHIND = "apply it to what every step gives, or leave it out: it can follow the export"
_SHOWN = "repeat the image first, so that each step takes its part: for x_t in x.unsqueeze(0).expand(steps, *x.shape)"
_EMPTY = Value(None, 1, silent=True)  # a place of a raster that no step has filled


class TimeLoop:
    """One loop of a recording: which step is being recorded, and which one stands for all.

    That is step 0; or step 1, where a step takes what the one before it sent. Step 0 then took something else in its
    place: zeros, for all that comes before it; that it did is seen when the graph is compared over the whole raster.
    What the model does once, with what the last step gave, belongs to no step: `behind` tells what it is made of.
    """

    def __init__(self, recording: Recording, steps: int, before: TimeLoop | None = None) -> None:
        self.steps, self.now, self.over, self.feedback = steps, -1, False, False
        self.behind: dict[str, Readout] = {} if before is None else before.behind
        self._late: bool = before is not None and (before.feedback or before._late)
        self._recording, self._outside = recording, recording.builder
        self._before = recording.builder.copy()
        self._zeroth: Builder | None = None
        self._steady: Builder | None = None
        self._carried, self._calls = recording.carried, recording.calls

    @property
    def complete(self) -> bool:
        """Whether the last step has been reached."""
        return self.over or self.now == self.steps - 1

    @property
    def findings(self) -> list[Finding]:
        """What was found in the steps before this one."""
        zeroth = [] if self._zeroth is None else self._zeroth.findings
        return [*self._outside.findings, *zeroth]

    @property
    def regular(self) -> bool:
        """Whether nothing was found so far, in any step."""
        return not self.findings and not self._recording.builder.findings

    def enter(self, time: int) -> bool:
        """Record from now on into a step; False where it is not the one after the last."""
        if time == self.now and not self.over:
            return True
        if time != self.now + 1 or self.over:
            return False
        self._finish()
        recording = self._recording
        recording.carried = self._carried if time == 0 else recording.calls
        recording.calls = dict(self._calls)
        recording.builder = self._before.copy()
        recording.builder.now = time
        self._carry(recording.carried or {})
        if time == 1:
            recording.sound()
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
            made.take_over(steady)
        self.over = True

    def whole(self, values: Sequence[Value]) -> Value | None:
        """The raster that the values of all steps, in their order, are; None where they are none."""
        first, *others = values
        late = self.feedback or self._late
        steady = others if late and others else values
        if [value.time for value in others] != list(range(1, self.steps)) or len({v.node for v in steady}) != 1:
            return None
        if first.time != 0 or any(value.silent for value in steady):
            return None
        return replace(steady[0], lead=2, time=None)

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
        zeroth = self._zeroth
        if zeroth is None or zeroth is steady:
            return
        self._outside.merge(zeroth)
        if self._outside.findings:
            return
        for name, node in steady.nodes.items():
            left_out = name not in zeroth.nodes and name not in zeroth.silenced
            if left_out and isinstance(node, Linear | Conv) and node.bias is not None and node.bias.any():
                message = "step 0 leaves it out, and it has a bias: the graph would add the bias at step 0, too"
                self._outside.refuse("control_flow", name, message, "apply it to zeros before the first step")

    def _compare(self, builder: Builder) -> None:
        self._outside.merge(builder)
        if self._steady is None or self._outside.findings or (difference := self._apart(builder)) is None:
            return
        usual = int(self.feedback)
        message = f"the loop over time does something else at step {self.now} than at step {usual}: {difference}"
        late = _SHOWN if self._recording.shown else LATE
        fix = f"make every time step the same; where one takes what another layer gave in the step before it, {late}"
        self._outside.refuse("control_flow", self._recording.where, message, fix)

    def _apart(self, builder: Builder) -> str | None:
        """Where the step that was recorded differs from the usual one; what follows the last step is no difference."""
        steady = self._steady
        if steady is None:
            return None
        if self.now < self.steps - 1:
            return first_difference(steady, builder)
        shorter = builder.copy()
        shorter.nodes = {name: node for name, node in builder.nodes.items() if name in steady.nodes}
        shorter.edges = [edge for edge in builder.edges if edge.target in steady.nodes]
        difference = first_difference(steady, shorter)
        if difference is None:
            self._set_behind(builder, [name for name in builder.nodes if name not in steady.nodes])
        return difference

    def _set_behind(self, builder: Builder, names: Sequence[str]) -> None:
        """Nodes of the last step alone: what the model does once, behind the loop."""
        for name in names:
            if isinstance(builder.nodes[name], Linear | Conv | NeuronModel):
                message = "it is applied once, to what the last step of the loop gave: the graph has no such layer"
                self._outside.refuse("readout", name, message, _BEHIND)
                return
            sources = [edge.source for edge in builder.edges if edge.target == name]
            made_of = {self.behind[s] if s in self.behind else Readout(s, ("the last step",)) for s in sources}
            if len(made_of) == 1:
                (one,) = made_of
                self.behind[name] = Readout(one.node, (*one.how, name))


def entered(recording: Recording, values: Sequence[Value], where: str) -> bool:
    """Record what is done with values in the step that they are of; False, and a finding, where that cannot be."""
    if can_enter(recording, values):
        return True
    findings = recording.builder.findings
    if not any(finding.kind in ("time_loop", "readout") and finding.where == where for finding in findings):
        recording.builder.refuse(_kind(values), where, *_why(recording, values))
    return False


def _kind(values: Sequence[Value]) -> str:
    return "readout" if any(value.readout is not None for value in values) else "time_loop"


def out_of_order(recording: Recording) -> bool:
    """Whether steps were found that do not follow each other: states cannot be carried from one to the next."""
    loop = recording.loop
    found = [*recording.builder.findings, *(() if loop is None else loop.findings)]
    return any(finding.kind == "time_loop" for finding in found)


def can_enter(recording: Recording, values: Sequence[Value]) -> bool:
    """Go to the step that the values are of; False where there is no such step."""
    if any(value.rows or value.readout is not None or (value.swapped and value.lead) for value in values):
        return False
    shown = [value for value in values if recording.shown and value.lead == 1 and value.time is None]
    times = {value.time for value in values if value.node is not None and not value.silent and value not in shown}
    loop = recording.loop
    if loop is None or not times:
        return True
    if times == {None}:
        loop.leave()
        return True
    steps = [time for time in times if time is not None]
    if times == {0} and (loop.over or 0 < loop.now == loop.steps - 1):
        loop.leave()
        loop = recording.loop = TimeLoop(recording, loop.steps, loop)
    if len(steps) == len(times) and min(steps) >= max(steps) - 1 and loop.enter(max(max(steps), loop.now)):
        loop.feedback = loop.feedback or min(steps) < loop.now
        return min(steps) >= loop.now - 1
    return False


def _why(recording: Recording, values: Sequence[Value]) -> tuple[str, str]:
    """Why no step can be entered, and what to do."""
    loop = recording.loop
    steps = 0 if loop is None else loop.steps
    if (read := next((value.readout for value in values if value.readout is not None), None)) is not None:
        how = ", ".join(read.how)
        return (
            f"it is applied to what was made of all steps of {read.node!r} ({how}): the graph has no such layer",
            _BEHIND,
        )
    if (part := next((value for value in values if value.rows), None)) is not None:
        return f"only a part of the raster is used: {described(part, steps)}", _WHOLE
    if any(value.swapped for value in values):
        return "a raster with the batch before time, [B, T, ...]: only its steps can be taken", _SWAPPED
    times = sorted({value.time for value in values if value.time is not None})
    now = -1 if loop is None else loop.now
    if len(times) > 1 and times[0] < times[-1] - 1:
        return f"what step {times[0]} gave meets what step {times[-1]} gave", _FEEDBACK
    if times and times[-1] > now + 1:
        before = "no step before it" if now < 0 else f"step {now} before it"
        return f"steps are not taken in their order: step {times[-1]}, with {before}", _WHOLE
    if times and times[-1] < now:
        return f"what step {times[-1]} gave is used at step {now}, or after it", _FEEDBACK
    return "values of steps meet the raster of all steps", _FEEDBACK


def taken_apart(recording: Recording, func: Any, name: str, args: Any, kwargs: Any) -> Value | list[Value] | None:
    """What an operation gives that takes steps out of a raster; None where it does something else.

    The first of them begins a loop; where step 0 is among them, at once, so that zeros stand for what was before.
    """
    raster = args[0] if args else None
    value = recording.value(raster) if isinstance(raster, torch.Tensor) else None
    rows = rows_of(raster, value)
    if rows and recording.loop is None:
        recording.loop = TimeLoop(recording, len(rows))
    found = taken(recording, func, name, args, kwargs)
    first = found[0] if isinstance(found, list) and found else found
    loop = recording.loop
    if isinstance(first, Value) and first.lead == 1 and first.time == 0 and loop is not None and loop.now < 0:
        loop.enter(0)
    if isinstance(found, Value):
        begin(recording, found)
    return found


def filled(recording: Recording, args: tuple[Any, ...]) -> bool:
    """Whether `target[t] = value` puts what a step gave into a raster of the model's own; then it is remembered."""
    target, index, given = args
    place, swapped = place_set(index, target.ndim)
    value, held = recording.value(given) if isinstance(given, torch.Tensor) else None, recording.value(target)
    rest = tuple(target.shape[:1] + target.shape[2:] if swapped else target.shape[1:])
    if recording.loop is None or value is None or place is None or rest != tuple(given.shape):
        return False
    if value.rows or value.readout is not None or (value.time is None and value.node is not None):
        return False
    if held is not None and (held.swapped != swapped or not rows_of(target, held)):
        return False
    places = target.shape[1] if swapped else len(target)
    if not -places <= place < places:
        return False
    rows = [*(rows_of(target, held) or (_EMPTY,) * places)]
    rows[place] = value
    recording.track(target, packed(recording, rows, swapped=swapped))
    return True
