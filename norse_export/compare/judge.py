"""Which differences between two runs are explained, cell by cell: the margin rule.

The first cell in which a sample's spikes differ, by step, then by layer depth, then by index, is explained when a
float64 run along the reference's spikes is nearer to the threshold there than the bound of its rounding error. What
differs later in that sample is its consequence, and counted apart. A value without a threshold is equal when both runs
are within the bound of the float64 run, up to the sample's first flip. Without bounds every difference counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.compare.comparison import Divergence
from norse_export.errors import UsageError
from norse_export.ir.run import Bounded, Bounds, Run

Array = NDArray[Any]
BoundsOf = Callable[[slice], Bounds]
_CHUNK_BYTES = 256 * 2**20  # bounds are made for as many samples at a time as fit in this
_BYTES_PER_CELL = 64  # of a bounded run: margin, bound, signals and their errors, all float64


@dataclass(slots=True)
class Verdict:
    """What was found so far; per node: cells that differ, explained first differences, consequences of those."""

    differing: dict[str, int] = field(default_factory=dict)
    explained: dict[str, int] = field(default_factory=dict)
    consequences: dict[str, int] = field(default_factory=dict)
    states_equal: dict[str, bool] = field(default_factory=dict)
    states_max_abs: dict[str, float] = field(default_factory=dict)
    first: Divergence | None = None
    _first_key: tuple[Any, ...] | None = None

    def count(self, table: dict[str, int], node: str, cells: int) -> None:
        """Add to one of the counts."""
        table[node] = table.get(node, 0) + cells

    def diverge(self, depth: int, divergence: Divergence) -> None:
        """Keep the divergence if it is the first so far: by step, depth, sample, index."""
        key = (divergence.step, depth, divergence.sample, divergence.index)
        if self._first_key is None or key < self._first_key:
            self._first_key, self.first = key, divergence


def value_nodes(reference: Run, actual: Run) -> tuple[str, ...]:
    """Outputs that are judged as values: all but those that are, in both runs, the raster of one population."""

    def is_raster(name: str, population: str) -> bool:
        return all(np.array_equal(run.outputs[name], run.spikes[population]) for run in (reference, actual))

    return tuple(
        name for name in reference.outputs if not any(is_raster(name, population) for population in reference.spikes)
    )


def judge(reference: Run, actual: Run, bounds_of: BoundsOf | None) -> Verdict:
    """Compare two runs sample by sample."""
    steps, samples = extent(reference)
    verdict = Verdict()
    values = value_nodes(reference, actual)
    cells = sum(raster[0, 0].size for raster in (*reference.spikes.values(), *reference.outputs.values())) * steps
    for part in _parts(samples, max(1, _CHUNK_BYTES // max(1, cells * _BYTES_PER_CELL))):
        bounds = None if bounds_of is None else bounds_of(part)
        until = _judge_spikes(reference, actual, part, bounds, verdict)
        for depth, name in enumerate(values):
            _judge_values(name, len(reference.spikes) + depth, reference, actual, part, until, bounds, verdict)
        _judge_states(reference, actual, part, until == steps, bounds, verdict)
    return verdict


def extent(run: Run) -> tuple[int, int]:
    """Steps and samples of a run.

    Raises:
        UsageError: the run holds neither spikes nor outputs.
    """
    raster = next(iter((*run.outputs.values(), *run.spikes.values())), None)
    if raster is None:
        raise UsageError("the runs hold neither spikes nor outputs", where=run.ran_by, fix="record spikes or outputs")
    return raster.shape[0], raster.shape[1]


def _parts(samples: int, size: int) -> Iterator[slice]:
    for start in range(0, samples, size):
        yield slice(start, min(start + size, samples))


def _judge_spikes(reference: Run, actual: Run, part: slice, bounds: Bounds | None, verdict: Verdict) -> Array:
    """Judge all populations; give, for each sample, the step of its first difference (the run's length if none)."""
    steps = extent(reference)[0]
    names = tuple(reference.spikes)
    width = part.stop - part.start
    differs = {
        name: (reference.spikes[name][:, part] != actual.spikes[name][:, part]).reshape(steps, width, -1)
        for name in names
    }
    until = np.full(width, steps)
    for cells in differs.values():
        changed = cells.any(axis=2)
        until = np.minimum(until, np.where(changed.any(axis=0), changed.argmax(axis=0), steps))
    explained = np.zeros(width, dtype=bool)
    for sample in np.flatnonzero(until < steps):
        step = int(until[sample])
        depth, name = next((d, n) for d, n in enumerate(names) if differs[n][step, sample].any())
        flat = int(differs[name][step, sample].argmax())
        shape = reference.spikes[name].shape[2:]
        index = tuple(int(k) for k in np.unravel_index(flat, shape))
        cell = (step, int(sample), *index)
        margin = None if bounds is None else bounds.margins[name]
        if margin is not None and _within(np.abs(margin.value[cell]), margin.error[cell]):
            explained[sample] = True
            verdict.count(verdict.explained, name, 1)
            verdict.count(verdict.consequences, name, -1)
        else:
            sample_number = part.start + int(sample)
            at = (step, sample_number, *index)
            expected, got = reference.spikes[name][at], actual.spikes[name][at]
            verdict.diverge(depth, Divergence(name, step, sample_number, index, "spikes", float(expected), float(got)))
    for name, cells in differs.items():
        per_sample = cells.sum(axis=(0, 2))
        verdict.count(verdict.differing, name, int(per_sample.sum()))
        verdict.count(verdict.consequences, name, int(per_sample[explained].sum()))
    return until


def _judge_values(
    name: str,
    depth: int,
    reference: Run,
    actual: Run,
    part: slice,
    until: Array,
    bounds: Bounds | None,
    verdict: Verdict,
) -> None:
    expected, got = reference.outputs[name][:, part], actual.outputs[name][:, part]
    beyond = _beyond(expected, got, None if bounds is None else bounds.outputs[name])
    steps = expected.shape[0]
    judged = np.arange(steps)[:, None] < until[None, :]
    beyond = beyond.reshape(*judged.shape, -1) & judged[:, :, None]
    verdict.count(verdict.differing, name, int(np.count_nonzero(beyond)))
    if beyond.any():
        step, sample, flat = (int(k) for k in np.argwhere(beyond)[0])
        index = tuple(int(k) for k in np.unravel_index(flat, expected.shape[2:]))
        at = (step, sample, *index)
        divergence = Divergence(name, step, part.start + sample, index, "output", float(expected[at]), float(got[at]))
        verdict.diverge(depth, divergence)


def _judge_states(
    reference: Run, actual: Run, part: slice, judged: Array, bounds: Bounds | None, verdict: Verdict
) -> None:
    last = extent(reference)[0] - 1
    for depth, (name, variables) in enumerate(reference.final_state.items()):
        for variable, values in variables.items():
            expected, got = values[part][judged], actual.final_state[name][variable][part][judged]
            bound = None if bounds is None else bounds.final_state[name][variable]
            bound = None if bound is None else Bounded(bound.value[judged], bound.error[judged])
            beyond = _beyond(expected, got, bound)
            verdict.states_max_abs[name] = max(verdict.states_max_abs.get(name, 0.0), _apart(expected, got))
            verdict.states_equal[name] = verdict.states_equal.get(name, True) and not beyond.any()
            if beyond.any():
                sample, *index = (int(k) for k in np.argwhere(beyond)[0])
                at = (sample, *index)
                number = part.start + int(np.flatnonzero(judged)[sample])
                found = Divergence(name, last, number, tuple(index), variable, float(expected[at]), float(got[at]))
                verdict.diverge(len(reference.spikes) + len(reference.outputs) + depth, found)


def _apart(expected: Array, got: Array) -> float:
    """Largest distance of two values; infinite where one of them is NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(np.subtract(expected, got, dtype=np.float64))
    return float(np.where(np.isnan(distance), np.inf, distance).max(initial=0.0))


def _within(off: Array, error: Array) -> Array:
    """Whether a distance is explained by a bound; a bound that is not finite explains nothing, nor is NaN explained."""
    return np.asarray((off <= error) & np.isfinite(error))


def _beyond(expected: Array, got: Array, bound: Bounded | None) -> Array:
    """Cells that differ: one of the runs is not within the bound of the float64 run; without one, unequal numbers."""
    if bound is None:
        return np.asarray(expected != got)
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.maximum(np.abs(expected - bound.value), np.abs(got - bound.value))
    return ~_within(off, bound.error)
