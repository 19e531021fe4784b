"""Which differences between two runs are explained, cell by cell: the margin rule.

The first cell in which a sample's spikes differ, by step, then by layer depth, then by index, is explained when a
float64 run along the reference's spikes is nearer to the threshold there than the bound of its rounding error. From
there on the two runs are different trajectories of one network, and the reference says nothing any more. So the rest of
such a sample is judged by itself: a float64 run along the actual run's own spikes has to agree with every one of them,
but where it is within its bound of the threshold, and with its outputs and final states. Cells that need the bound are
counted, less those that the reference needs along its own spikes in the same samples: rounding makes about as many in
both, a network that is slightly wrong makes more, and more than flips are allowed are too many. What differs from the
reference meanwhile is a consequence, and counted apart.

Where nothing that reaches a population can be rounded (power-of-two grids), nothing is explained. Without bounds every
difference counts. After a difference that is not explained the sample is judged on, against the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.compare.comparison import Divergence
from norse_export.errors import UsageError
from norse_export.ir.run import Bounded, Bounds, Run

Array = NDArray[Any]
BoundsOf = Callable[[Array, Mapping[str, Array]], Bounds]  # numbers of samples, the spikes to run along -> bounds
_CHUNK_BYTES = 256 * 2**20  # bounds are made for as many samples at a time as fit in this
_BYTES_PER_CELL = 64  # of a bounded run: margin, bound, signals and their errors, all float64


@dataclass(slots=True)
class Verdict:
    """What was found so far; per node: cells that differ, explained first differences, consequences of those.

    A cell that no rounding explains counts as differing, also where both runs agree in it, and as no consequence.
    """

    differing: dict[str, int] = field(default_factory=dict)
    explained: dict[str, int] = field(default_factory=dict)
    consequences: dict[str, int] = field(default_factory=dict)
    excess: int = 0  # cells of samples with a flip that need the bound along their own spikes, less the reference's
    states_equal: dict[str, bool] = field(default_factory=dict)
    states_max_abs: dict[str, float] = field(default_factory=dict)
    first: Divergence | None = None
    spikes_first: bool = False  # a spike that differs goes before values that differed earlier
    _first_key: tuple[Any, ...] | None = None

    @property
    def flips(self) -> int:
        """Flips that count against those that are allowed."""
        return max(sum(self.explained.values()), self.excess)

    def count(self, table: dict[str, int], node: str, cells: int) -> None:
        """Add to one of the counts."""
        table[node] = table.get(node, 0) + cells

    def diverge(self, depth: int, divergence: Divergence) -> None:
        """Keep the divergence if it is the first so far: by step, depth, sample, index."""
        later = self.spikes_first and divergence.quantity != "spikes"
        key = (later, divergence.step, depth, divergence.sample, divergence.index)
        if self._first_key is None or key < self._first_key:
            self._first_key, self.first = key, divergence


def value_nodes(reference: Run, actual: Run) -> tuple[str, ...]:
    """Outputs that are judged as values: all but those that are, in both runs, the raster of one population."""

    def is_raster(name: str, population: str) -> bool:
        return all(np.array_equal(run.outputs[name], run.spikes[population]) for run in (reference, actual))

    return tuple(
        name for name in reference.outputs if not any(is_raster(name, population) for population in reference.spikes)
    )


def judge(reference: Run, actual: Run, bounds_of: BoundsOf | None, *, spikes_first: bool = False) -> Verdict:
    """Compare two runs sample by sample; spikes_first: see Verdict."""
    steps, samples = extent(reference)
    verdict = Verdict(spikes_first=spikes_first)
    values = value_nodes(reference, actual)
    cells = sum(raster[0, 0].size for raster in (*reference.spikes.values(), *reference.outputs.values())) * steps
    for part in _parts(samples, max(1, _CHUNK_BYTES // max(1, cells * _BYTES_PER_CELL))):
        bounds = None if bounds_of is None else bounds_of(part, _along(reference, part))
        explained = _judge_spikes(reference, actual, part, bounds, verdict)
        if bounds_of is not None and explained.any():
            flipped = part[explained]
            own = bounds_of(flipped, _along(actual, flipped))
            verdict.excess -= _against(reference, flipped, bounds, explained)
            _judge_trajectory(reference, actual, flipped, own, verdict)
            _judge_values(values, actual, actual, flipped, own, verdict)
            _judge_states(reference, actual, actual, flipped, own, verdict)
            _judge_observables(reference, actual, actual, flipped, own, verdict)
        rest = part[~explained]
        if rest.size:
            kept = None if bounds is None else _taken(bounds, ~explained)
            _judge_values(values, reference, actual, rest, kept, verdict)
            _judge_states(reference, reference, actual, rest, kept, verdict)
            _judge_observables(reference, reference, actual, rest, kept, verdict)
    return verdict


def _along(run: Run, samples: Array) -> dict[str, Array]:
    return {name: raster[:, samples] for name, raster in run.spikes.items()}


def _taken(bounds: Bounds, kept: Array) -> Bounds:
    """The bounds of some of their samples."""
    states = {
        name: {key: Bounded(b.value[kept], b.error[kept]) for key, b in variables.items()}
        for name, variables in bounds.final_state.items()
    }
    outputs = {name: Bounded(b.value[:, kept], b.error[:, kept]) for name, b in bounds.outputs.items()}
    observed = {
        name: {key: Bounded(b.value[:, kept], b.error[:, kept]) for key, b in variables.items()}
        for name, variables in bounds.observables.items()
    }
    return Bounds({}, outputs, states, bounds.exact, observed)


def extent(run: Run) -> tuple[int, int]:
    """Steps and samples of a run.

    Raises:
        UsageError: the run holds neither spikes nor outputs.
    """
    raster = next(iter((*run.outputs.values(), *run.spikes.values())), None)
    if raster is None:
        raise UsageError("the runs hold neither spikes nor outputs", where=run.ran_by, fix="record spikes or outputs")
    return raster.shape[0], raster.shape[1]


def _parts(samples: int, size: int) -> Iterator[Array]:
    for start in range(0, samples, size):
        yield np.arange(start, min(start + size, samples))


def _judge_spikes(reference: Run, actual: Run, part: Array, bounds: Bounds | None, verdict: Verdict) -> Array:
    """Judge all populations; give, for each sample, whether it has a first difference that is explained."""
    steps, width = extent(reference)[0], part.size
    names = tuple(reference.spikes)
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
        index = _index(int(differs[name][step, sample].argmax()), reference.spikes[name])
        if _is_explained(bounds, name, (step, int(sample), *index)):
            explained[sample] = True
            verdict.count(verdict.explained, name, 1)
            verdict.count(verdict.consequences, name, -1)
        else:
            verdict.diverge(depth, _spike_divergence(name, step, int(part[sample]), index, reference, actual))
    for name, cells in differs.items():
        per_sample = cells.sum(axis=(0, 2))
        verdict.count(verdict.differing, name, int(per_sample.sum()))
        verdict.count(verdict.consequences, name, int(per_sample[explained].sum()))
    return explained


def _is_explained(bounds: Bounds | None, name: str, cell: tuple[int, ...]) -> bool:
    if bounds is None or name in bounds.exact:
        return False
    margin = bounds.margins[name]
    return bool(_within(np.abs(margin.value[cell]), margin.error[cell]))


def _against(reference: Run, part: Array, bounds: Bounds | None, kept: Array) -> int:
    """Cells of some samples in which the float64 run along the reference's spikes disagrees with them."""
    margins = {} if bounds is None else bounds.margins
    return sum(
        int(np.count_nonzero((margin.value[:, kept] > 0) != (reference.spikes[name][:, part] != 0)))
        for name, margin in margins.items()
        if name in reference.spikes
    )


def _judge_trajectory(reference: Run, actual: Run, part: Array, own: Bounds, verdict: Verdict) -> None:
    """Every spike of the actual run, against the float64 run along its own spikes."""
    for depth, (name, expected) in enumerate(reference.spikes.items()):
        margin, raster = own.margins[name], actual.spikes[name]
        against = (margin.value > 0) != (raster[:, part] != 0)
        beyond = against & ~_within(np.abs(margin.value), margin.error)
        verdict.excess += int(np.count_nonzero(against & ~beyond))
        if beyond.any():
            step, sample, *index = (int(k) for k in np.argwhere(beyond)[0])
            counted = int(np.count_nonzero(beyond & (raster[:, part] != expected[:, part])))
            verdict.count(verdict.consequences, name, -counted)
            verdict.count(verdict.differing, name, int(np.count_nonzero(beyond)) - counted)
            got = float(raster[(step, part[sample], *index)])
            found = Divergence(name, step, int(part[sample]), tuple(index), "spikes", float(not got), got)
            verdict.diverge(depth, found)


def _judge_values(
    names: tuple[str, ...], reference: Run, actual: Run, part: Array, bounds: Bounds | None, verdict: Verdict
) -> None:
    for depth, name in enumerate(names, start=len(reference.spikes)):
        expected, got = reference.outputs[name][:, part], actual.outputs[name][:, part]
        beyond = _beyond(expected, got, None if bounds is None else bounds.outputs[name])
        verdict.count(verdict.differing, name, int(np.count_nonzero(beyond)))
        if beyond.any():
            step, sample, *index = (int(k) for k in np.argwhere(beyond)[0])
            at = (step, sample, *index)
            wanted = float(expected[at]) if bounds is None or reference is not actual else _wanted(bounds, name, at)
            found = Divergence(name, step, int(part[sample]), tuple(index), "output", wanted, float(got[at]))
            verdict.diverge(depth, found)


def _wanted(bounds: Bounds, name: str, at: tuple[int, ...]) -> float:
    return float(bounds.outputs[name].value[at])


def _judge_states(
    listed: Run, reference: Run, actual: Run, part: Array, bounds: Bounds | None, verdict: Verdict
) -> None:
    """Final states of the populations that `listed` has any of."""
    last = extent(reference)[0] - 1
    for depth, (name, variables) in enumerate(listed.final_state.items()):
        for variable in variables:
            expected, got = (run.final_state[name][variable][part] for run in (reference, actual))
            bound = None if bounds is None else bounds.final_state[name][variable]
            beyond = _beyond(expected, got, bound)
            verdict.states_max_abs[name] = max(verdict.states_max_abs.get(name, 0.0), _apart(expected, got))
            verdict.states_equal[name] = verdict.states_equal.get(name, True) and not beyond.any()
            if beyond.any():
                sample, *index = (int(k) for k in np.argwhere(beyond)[0])
                at = (sample, *index)
                wanted = float(expected[at]) if bound is None or reference is not actual else float(bound.value[at])
                found = Divergence(name, last, int(part[sample]), tuple(index), variable, wanted, float(got[at]))
                verdict.diverge(len(reference.spikes) + len(reference.outputs) + depth, found)


def _judge_observables(
    listed: Run, reference: Run, actual: Run, part: Array, bounds: Bounds | None, verdict: Verdict
) -> None:
    """Recordings that `listed` and the actual run both hold; with bounds, those that have any."""
    for depth, (name, variables) in enumerate(listed.observables.items()):
        for variable in variables:
            bound = None if bounds is None else bounds.observables.get(name, {}).get(variable)
            if variable not in actual.observables.get(name, {}) or (bounds is not None and bound is None):
                continue
            expected, got = (run.observables[name][variable][:, part] for run in (reference, actual))
            beyond = _beyond(expected, got, bound)
            verdict.states_max_abs[name] = max(verdict.states_max_abs.get(name, 0.0), _apart(expected, got))
            verdict.states_equal[name] = verdict.states_equal.get(name, True) and not beyond.any()
            if beyond.any():
                step, sample, *index = (int(k) for k in np.argwhere(beyond)[0])
                at = (step, sample, *index)
                wanted = float(expected[at]) if bound is None or reference is not actual else float(bound.value[at])
                found = Divergence(name, step, int(part[sample]), tuple(index), variable, wanted, float(got[at]))
                verdict.diverge(depth, found)


def _index(flat: int, raster: Array) -> tuple[int, ...]:
    return tuple(int(k) for k in np.unravel_index(flat, raster.shape[2:]))


def _spike_divergence(
    name: str, step: int, sample: int, index: tuple[int, ...], reference: Run, actual: Run
) -> Divergence:
    at = (step, sample, *index)
    expected, got = float(reference.spikes[name][at]), float(actual.spikes[name][at])
    return Divergence(name, step, sample, index, "spikes", expected, got)


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
