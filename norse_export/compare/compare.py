"""Two runs -> a Comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export import metrics
from norse_export.compare.comparison import Comparison, LayerParity
from norse_export.compare.judge import BoundsOf, Verdict, extent, judge, value_nodes
from norse_export.errors import UsageError
from norse_export.ir.run import Run

Array = NDArray[Any]


def compare(
    reference: Run,
    actual: Run,
    *,
    rung: int | None,
    bounds: BoundsOf | None = None,
    labels: Array | None = None,
    spikes_first: bool = False,
) -> Comparison:
    """Compare two runs of the same network on the same raster; layers stand in the order of `reference.spikes`.

    bounds: gives the bounds of some of the samples, run along given spikes; None demands bit equality.
    labels: [B], the class of each sample, for the accuracy of both runs. spikes_first: the first divergence is that of
    a spike, if any spike differs; else whatever differs first, of which values often are.

    Raises:
        UsageError: the runs have not the same populations, lengths or shapes.
    """
    _check_alike(reference, actual)
    steps, samples = extent(reference)
    verdict = judge(reference, actual, bounds, spikes_first=spikes_first)
    layers = _layers(reference, actual, verdict)
    allowed = max(1, sum(raster.size for raster in reference.spikes.values()) // 10**6) if bounds is not None else 0
    silent = tuple(name for name, raster in reference.spikes.items() if not raster.any())
    a, b = decisions(reference), decisions(actual)
    return Comparison(
        reference=reference.ran_by,
        actual=actual.ran_by,
        rung=rung,
        steps=steps,
        samples=samples,
        equal=all(layer.equal for layer in layers) and verdict.first is None and verdict.flips <= allowed,
        vacuous=bool(silent) or (not reference.spikes and all(map(_is_constant, reference.outputs.values()))),
        silent=silent,
        first_divergence=verdict.first,
        layers=layers,
        explained_flips=verdict.flips,
        allowed_flips=allowed,
        decisions_equal=None if a is None or b is None else (int(np.count_nonzero(a == b)), len(a)),
        accuracy=None if labels is None or a is None or b is None else (_share(a, labels), _share(b, labels)),
    )


def _layers(reference: Run, actual: Run, verdict: Verdict) -> tuple[LayerParity, ...]:
    """Populations that spike, then those of which only states were recorded, then outputs of values."""
    held = dict.fromkeys((*reference.final_state, *(n for n in reference.observables if n in actual.observables)))
    integrators = tuple(name for name in held if name not in reference.spikes)
    values = value_nodes(reference, actual)
    return (
        *(_spiking_layer(name, reference, actual, verdict) for name in reference.spikes),
        *(_value_layer(name, verdict) for name in integrators),
        *(_value_layer(name, verdict, _distances(reference, actual, name)) for name in values),
    )


def decisions(run: Run) -> Array | None:
    """Argmax over classes of the readout summed over time, [B], ties to the lowest; None where there is no vector."""
    if len(run.outputs) != 1:
        return None
    (readout,) = run.outputs.values()
    return np.asarray(readout.sum(axis=0, dtype=np.float64).argmax(axis=1)) if readout.ndim == 3 else None


def _is_constant(sent: Array) -> bool:
    """Whether an output says the same at every step for every sample: then it does not depend on the input."""
    return bool(np.all(sent == (sent[:1, :1] if sent.shape[:2] != (1, 1) else sent.flat[0])))


def _share(chosen: Array, labels: Array) -> float:
    if labels.shape != chosen.shape:
        message = f"labels have shape {labels.shape}, the run decides on {chosen.shape[0]} samples"
        raise UsageError(message, where="labels", fix="give one label for each sample of the input")
    return float(np.mean(chosen == labels))


def _check_alike(reference: Run, actual: Run) -> None:
    """Populations, outputs and, where the reference has any, final states are of the same names and shapes."""
    kinds: tuple[tuple[str, Callable[[Any], dict[str, Any]]], ...]
    kinds = (("spikes", _shapes), ("outputs", _shapes), ("final_state", _state_shapes))
    for kind, shapes in kinds:
        expected, got = (shapes(getattr(run, kind)) for run in (reference, actual))
        if expected == got or (kind == "final_state" and not expected):
            continue
        name = min(name for name in {*expected, *got} if expected.get(name) != got.get(name))
        message = f"the two runs have not the same {kind.replace('_', ' ')}: {expected.get(name)} and {got.get(name)}"
        raise UsageError(message, where=name, fix="compare runs of the same network on the same raster")


def _shapes(arrays: Mapping[str, Array]) -> dict[str, Any]:
    return {name: array.shape for name, array in arrays.items()}


def _state_shapes(states: Mapping[str, Mapping[str, Array]]) -> dict[str, Any]:
    return {name: dict(sorted(_shapes(variables).items())) for name, variables in states.items()}


def _spiking_layer(name: str, reference: Run, actual: Run, verdict: Verdict) -> LayerParity:
    expected, got = reference.spikes[name], actual.spikes[name]
    differing = verdict.differing.get(name, 0)
    return LayerParity(
        node=name,
        kind="spikes",
        spikes_expected=int(expected.sum(dtype=np.int64)),
        spikes_actual=int(got.sum(dtype=np.int64)),
        differing=differing,
        explained=verdict.explained.get(name, 0),
        consequences=verdict.consequences.get(name, 0),
        jaccard=metrics.jaccard(expected, got) if differing else 1.0,
        van_rossum=metrics.van_rossum(expected, got) if differing else 0.0,
        victor_purpura=metrics.victor_purpura(expected, got) if differing else 0.0,
        states_equal=verdict.states_equal.get(name),
        states_max_abs=verdict.states_max_abs.get(name),
    )


def _distances(reference: Run, actual: Run, name: str) -> tuple[float, float]:
    """The largest and the mean distance of two outputs; infinite where one of them is not a number."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(np.subtract(reference.outputs[name], actual.outputs[name], dtype=np.float64))
    apart = np.where(np.isnan(apart), np.inf, apart)
    return float(apart.max(initial=0.0)), float(apart.mean()) if apart.size else 0.0


def _value_layer(name: str, verdict: Verdict, apart: tuple[float, float] | None = None) -> LayerParity:
    return LayerParity(
        node=name,
        kind="values",
        spikes_expected=0,
        spikes_actual=0,
        differing=verdict.differing.get(name, 0),
        explained=0,
        consequences=0,
        jaccard=1.0,
        van_rossum=0.0,
        victor_purpura=0.0,
        states_equal=verdict.states_equal.get(name),
        states_max_abs=verdict.states_max_abs.get(name),
        values_max_abs=None if apart is None else apart[0],
        values_mean_abs=None if apart is None else apart[1],
    )
