"""The whole run of a range of samples."""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

import numpy as np

from norse_export.engine.kernels.memory import call, jitted, view


@jitted
def drive(first, last, steps, begins, number_of_begins, calls, number_of_calls, ends, number_of_ends):
    """Run the kernels of steps first to last - 1, of which sample b has steps b * steps to (b + 1) * steps - 1.

    begins, calls, ends [n, 2]: the address of a kernel and that of its numbers; they run before a sample's first step,
    in every step, and behind a sample's last one.
    """
    before, each = view(begins, 2 * number_of_begins, np.int64), view(calls, 2 * number_of_calls, np.int64)
    after = view(ends, 2 * number_of_ends, np.int64)
    sample, t = first // steps, first % steps
    for _ in range(first, last):
        if t == 0:
            for number in range(number_of_begins):
                call(before[2 * number], before[2 * number + 1], 0, sample)
        for number in range(number_of_calls):
            call(each[2 * number], each[2 * number + 1], t, sample)
        t += 1
        if t == steps:
            for number in range(number_of_ends):
                call(after[2 * number], after[2 * number + 1], 0, sample)
            sample, t = sample + 1, 0
