"""Where a step of a loop begins, if what it uses does not tell: where its part of the raster is taken.

A layer may take what another gave in the step before, ahead of all that takes the part of this step. Whether it belongs
to the step before or to this one, only the loop itself tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

from norse_export.frontend.builder import Value
from norse_export.frontend.recording import Recording

LATE = "let it take its part of the raster first: x_t = x[t] at the top of the loop"


def begin(recording: Recording, value: Value) -> None:
    """Begin the next step where its part of the raster is taken, if steps begin there."""
    loop = recording.loop
    if recording.begins and loop is not None and value.lead == 1 and value.time == loop.now + 1 and not loop.over:
        loop.enter(value.time)


class Parts(tuple[Any, ...]):
    """The parts of a raster; where one of them is given to a loop, its step begins."""

    recording: Recording

    def __new__(cls, recording: Recording, parts: Sequence[Any]) -> Self:
        """Of a recording, the parts in their order."""
        made = super().__new__(cls, parts)
        made.recording = recording
        return made

    def __iter__(self) -> Iterator[Any]:
        for part in super().__iter__():
            if (value := self.recording.value(part)) is not None:
                begin(self.recording, value)
            yield part
