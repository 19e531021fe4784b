"""The scales of all layers together: each was chosen on the float model's spikes, and hears those of whole numbers.

The network runs on the chip's integers; each layer in turn then tries a somewhat smaller and a somewhat larger scale,
and keeps one that brings the whole network nearer to the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.passes.agreement import apart, cells
from norse_export.passes.prices import Measured

from .scaling import Made, Plan, made

Array = NDArray[Any]
NEIGHBOURS = (0.85, 1.15)  # of the scale that is best for a layer by itself
JOINTLY = 0.99  # a network is nearer to the model when its distance is so much less
Measure = Callable[[Mapping[str, Made]], Measured]


def together(plans: Sequence[Plan], chosen: Mapping[str, Made], measure: Measure) -> dict[str, Made]:
    """The layers with scales that are best for the whole. Readouts, which are proved, stay as they are."""
    best, nearest = dict(chosen), distance(measure(chosen))
    for plan in plans:
        if plan.readout:
            continue
        for factor in NEIGHBOURS:
            scale = chosen[plan.name].scale * factor
            if scale < chosen[plan.name].least:
                continue
            tried = {**best, plan.name: replace(made(plan, scale), least=chosen[plan.name].least)}
            found = distance(measure(tried))
            if found < JOINTLY * nearest:
                best, nearest = tried, found
    return best


def distance(run: Measured) -> float:
    """How far the network is from the model: the sum over its layers of 1 - kappa, or of the relative squared error."""
    total = 0.0
    for name, late in run.skew.items():
        if name in run.values:
            truth, got = _aligned(*run.values[name], late)
            size = float(np.square(truth, dtype=np.float64).sum())
            total += float(np.square(got - truth.astype(np.float64)).sum()) / size if size else 0.0
        elif name in run.before.spikes:
            truth, got = _aligned(run.before.spikes[name], run.after.spikes[name], late)
            total += apart(cells(truth, got, 1)[0])
    return total


def _aligned(before: Array, after: Array, late: int) -> tuple[Array, Array]:
    return before[: len(before) - late], after[late:]
