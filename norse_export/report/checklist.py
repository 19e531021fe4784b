"""Comparisons as text: one line a layer, then the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from norse_export.report.columns import count, exact, indented, one_line, short, table

if TYPE_CHECKING:
    from norse_export.compare import Comparison, Divergence, LayerParity

_COLUMNS = ("node", "expected", "actual", "differing", "explained")
PRICED = 2  # rung of integers against the model itself: what differs is their price, and no error
_CONSEQUENCES = "consequences"
_DETAILS = ("jaccard", "van Rossum", "Victor-Purpura", "states max abs")


def checklist(comparison: Comparison, *, verbose: bool = False) -> list[str]:
    """The layers of a comparison in columns, its first divergence, and its verdict.

    `consequences` (what differs in a sample after an explained flip) has a column only where there are any.
    """
    layers = _prices(comparison, verbose) if comparison.rung == PRICED else _layers(comparison, verbose)
    return [*layers, "", *_verdict(comparison)]


def _prices(comparison: Comparison, verbose: bool) -> list[str]:
    """What whole numbers cost each layer: no difference is an error."""
    header = ("node", "model", "integers", "differing", "jaccard", *(_DETAILS[1:3] if verbose else ()))
    rows = []
    for layer in comparison.layers:
        spikes = layer.kind == "spikes"
        counts = (layer.spikes_expected, layer.spikes_actual) if spikes else ("values", _apart(layer))
        distances = (layer.jaccard, *((layer.van_rossum, layer.victor_purpura) if verbose else ()))
        shown = [short(number) if spikes else "-" for number in distances]
        rows.append((layer.node, *counts, layer.differing if spikes else "-", *shown))
    return table(header, rows, right=range(1, len(header)))


def _apart(layer: LayerParity) -> str:
    """How far values are from the model's."""
    if layer.values_mean_abs is None:
        return "values"
    return f"off by {short(layer.values_mean_abs)}, at most {short(layer.values_max_abs)}"


def _layers(comparison: Comparison, verbose: bool) -> list[str]:
    followed = any(layer.consequences for layer in comparison.layers)
    header = (*_COLUMNS, *([_CONSEQUENCES] if followed else []), "equal", *(_DETAILS if verbose else []))
    rows = [_layer(layer, layer.node in comparison.silent, followed, verbose) for layer in comparison.layers]
    return table(header, rows, right=range(1, len(_COLUMNS) + followed))


def _layer(layer: LayerParity, silent: bool, followed: bool, verbose: bool) -> tuple[object, ...]:
    if layer.kind == "spikes":
        counts: tuple[object, ...] = (layer.spikes_expected, layer.spikes_actual, layer.differing, layer.explained)
    else:
        counts = ("values", "values", layer.differing, "-")
    consequences = (layer.consequences if layer.kind == "spikes" else "-",) if followed else ()
    details: tuple[str, ...] = ()
    if verbose:
        distances = (layer.jaccard, layer.van_rossum, layer.victor_purpura) if layer.kind == "spikes" else (None,) * 3
        details = tuple(short(number) for number in (*distances, layer.states_max_abs))
    return (layer.node, *counts, *consequences, _equal(layer, silent), *details)


def _equal(layer: LayerParity, silent: bool) -> str:
    if layer.equal:
        return "SILENT" if silent else "yes"
    return "NO (final states)" if layer.differing == layer.explained + layer.consequences else "NO"


def _verdict(comparison: Comparison) -> list[str]:
    word = "DIFFERENT" if not comparison.equal else "VACUOUS" if comparison.vacuous else "equal"
    if comparison.rung == PRICED and not comparison.equal:
        word = "the price of integers"
    origin = "recorded trace" if comparison.rung is None else f"rung {comparison.rung}"
    lines = [one_line(f"{word}: {comparison.actual}, against {comparison.reference} ({origin})")]
    return [*lines, *indented([*_extent(comparison), *_reasons(comparison), *_readout(comparison)])]


def _extent(comparison: Comparison) -> Iterator[str]:
    compared = f"{count(comparison.spikes, 'spike')} compared"
    extent = [count(comparison.steps, "step"), count(comparison.samples, "sample"), compared]
    if comparison.explained_flips or comparison.allowed_flips:  # of floats; whole numbers have no rounding to explain
        extent.append(f"{count(comparison.explained_flips, 'explained flip')} of {comparison.allowed_flips} allowed")
    yield ", ".join(extent)
    if comparison.skew_steps:
        yield f"the second run is compared {count(comparison.skew_steps, 'step')} later"


def _reasons(comparison: Comparison) -> Iterator[str]:
    if comparison.vacuous:
        yield one_line(_vacuity(comparison))
    if comparison.first_divergence is not None:
        yield _divergence(comparison.first_divergence)
    if comparison.explained_flips > comparison.allowed_flips:
        yield "more flips than are allowed, although each of them is explained"


def _vacuity(comparison: Comparison) -> str:
    if comparison.silent:
        return f"VACUOUS: never fired, so nothing is proved about: {', '.join(comparison.silent)}"
    return "VACUOUS: the outputs never change, so nothing is proved"


def _divergence(first: Divergence) -> str:
    return one_line(
        f"first divergence: node {first.node}, step {first.step}, sample {first.sample}, index {list(first.index)}: "
        f"{first.quantity} expected {exact(first.expected)}, actual {exact(first.actual)}"
    )


def _readout(comparison: Comparison) -> Iterator[str]:
    if comparison.decisions_equal is not None:
        same, samples = comparison.decisions_equal
        yield f"decisions: {same} of {samples} equal"
    if comparison.accuracy is not None:
        expected, actual = comparison.accuracy
        yield f"accuracy: {expected:.4f} expected, {actual:.4f} actual"
