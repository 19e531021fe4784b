"""The whole run of a range of samples."""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

import numpy as np

from norse_export.engine.kernels.memory import call, jitted, view


@jitted
def drive(first, last, steps, stop, begins, number_of_begins, calls, number_of_calls, ends, number_of_ends):
    """Run samples first to last - 1: for each, the kernels of its beginning, of every step, and of its end.

    begins, calls, ends [n, 2]: the address of a kernel and that of its numbers. stop: a number; once it is not 0, the
    run ends, at any step.
    """
    before, each = view(begins, 2 * number_of_begins, np.int64), view(calls, 2 * number_of_calls, np.int64)
    stopped = view(stop, 1, np.int64)
    after = view(ends, 2 * number_of_ends, np.int64)
    for sample in range(first, last):
        for number in range(number_of_begins):
            call(before[2 * number], before[2 * number + 1], 0, sample)
        for t in range(steps):
            if stopped[0] != 0:
                return
            for number in range(number_of_calls):
                call(each[2 * number], each[2 * number + 1], t, sample)
        for number in range(number_of_ends):
            call(after[2 * number], after[2 * number + 1], 0, sample)
