"""Scales chosen on calibration inputs: no layer is silenced for a good count, narrow states are risked knowingly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_nets import chain, cuba_lif, spikes

from norse_export.errors import UnsupportedError
from norse_export.interpret.fixed import emulate
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Linear
from norse_export.ir.stages import DiscreteNode
from norse_export.passes import choose
from norse_export.passes.agreement import apart, cells
from norse_export.passes.choose import MOST_LOOSENED, distance
from norse_export.passes.discretise import discretise
from norse_export.passes.plans import built, plan_of
from norse_export.passes.quantise import QuantiseChoice, Quantised, quantise
from norse_export.program.laws import Law

Array = NDArray[Any]
F = np.float32


def sparse_layer(seed: int, v_th: float = 0.45) -> tuple[Graph[DiscreteNode], dict[str, Array]]:
    """A layer whose neurons fire seldom, because inhibition is about as strong as excitation."""
    generator = np.random.default_rng(seed)
    weight = generator.normal(0.05, 0.3, size=(12, 40)).astype(F)
    model = discretise(chain((40,), Linear(weight), cuba_lif((12,), v_th=v_th)))
    return model, {"input": spikes(generator, 60, 6, 40, rate=0.1)}


def layers(seed: int = 0, v_th: float = 0.3) -> tuple[Graph[DiscreteNode], dict[str, Array]]:
    generator = np.random.default_rng(seed)
    first, second = generator.normal(size=(16, 20)).astype(F), generator.normal(size=(8, 16)).astype(F)
    model = discretise(
        chain((20,), Linear(first), cuba_lif((16,), v_th=v_th), Linear(second), cuba_lif((8,), v_th=0.3))
    )
    return model, {"input": spikes(generator, 40, 4, 20, rate=0.2)}


def tried(made: Quantised, bits: int, x: dict[str, Array], truth: Array) -> list[tuple[int, float]]:
    """Over the scales that a search may try: cells that differ from the truth, and Jaccard's index."""
    plan = plan_of(made.lowered, "1", QuantiseChoice(law=Law(weight_bits=bits)), 0)
    found = []
    for factor in np.linspace(*plan.scales.factors, 60):
        one = built(plan, np.full(1, factor), priced=False)
        got = choose.response(one.population, list(one.links.values()), x)
        either = np.count_nonzero((got != 0) | truth)
        found.append((int(np.count_nonzero(got != truth)), np.count_nonzero((got != 0) & truth) / either))
    return found


@pytest.mark.parametrize("bits", [pytest.param(1, marks=pytest.mark.bulk), 2])
def test_at_few_bits_the_scale_is_not_the_one_with_the_fewest_differing_cells(bits: int) -> None:
    gained = 0.0
    for seed in range(4):
        model, x = sparse_layer(seed)
        made = quantise(model, QuantiseChoice(law=Law(weight_bits=bits)), x)
        truth = made.measured.before.spikes["1"]  # type: ignore[union-attr]
        counted = min(tried(made, bits, x, truth))  # what counting cells would choose
        (cost,) = made.table
        assert cost.spikes_before
        assert cost.spikes_after
        assert cost.jaccard is not None
        gained += cost.jaccard - counted[1]
    assert gained > 0.2


def test_an_outlier_does_not_silence_a_layer_that_another_scale_lets_fire() -> None:
    model, x = sparse_layer(0)
    weight = model.nodes["0"].weight.copy()  # type: ignore[union-attr]
    weight[0, 0] = -300.0
    model = discretise(chain((40,), Linear(weight), cuba_lif((12,), v_th=0.45)))
    for bits in (2, 4, 8):
        (cost,) = quantise(model, QuantiseChoice(law=Law(weight_bits=bits)), x).table
        assert cost.spikes_before
        assert cost.spikes_after
        assert cost.jaccard is not None
        assert cost.jaccard > 0.2


def test_layers_are_chosen_together_too(monkeypatch: pytest.MonkeyPatch) -> None:
    better = 0
    for seed in range(4):
        model, x = layers(seed)
        law = Law(weight_bits=2)
        together = quantise(model, QuantiseChoice(law=law), x).measured
        monkeypatch.setattr(choose, "_together", lambda plans, alone, measure: dict(alone))
        alone = quantise(model, QuantiseChoice(law=law), x).measured
        monkeypatch.undo()
        assert together is not None
        assert alone is not None
        assert distance(together) <= distance(alone)
        better += distance(together) < distance(alone)
    assert better >= 2


def test_the_distance_of_a_network_counts_what_is_silenced_first() -> None:
    model, x = layers()
    measured = quantise(model, None, x).measured
    assert measured is not None
    silent, total = distance(measured)
    names = measured.before.spikes
    each = [apart(cells(names[n], measured.after.spikes[n], 1)[0]) for n in names]
    assert (silent, total) == (0, pytest.approx(sum(each)))


@pytest.mark.parametrize("state_bits", [8, *(pytest.param(bits, marks=pytest.mark.bulk) for bits in (7, 9, 10))])
def test_narrow_states_keep_weights_and_spikes(state_bits: int) -> None:
    model, x = layers()
    made = quantise(model, QuantiseChoice(law=Law(state_bits=state_bits)), x)
    for cost in made.table:
        assert cost.jaccard is not None
        assert cost.jaccard > 0.25
        assert all(2 * one.zeroed < one.nonzero for one in cost.projections)
    again = emulate(made.graph, x).spikes
    assert all(np.array_equal(again[n], made.measured.after.spikes[n]) for n in again)  # type: ignore[union-attr]


def test_risked_states_are_better_than_safe_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = layers()
    law = Law(state_bits=9)
    risked = quantise(model, QuantiseChoice(law=law), x)
    monkeypatch.setattr(choose, "MOST_LOOSENED", 0)
    safe = quantise(model, QuantiseChoice(law=law), x)
    assert MOST_LOOSENED > 0
    for one, other in zip(risked.table, safe.table, strict=True):
        assert one.jaccard is not None
        assert other.jaccard is not None
        assert one.jaccard > other.jaccard + 0.1


def works(model: Graph[DiscreteNode], bits: int, x: dict[str, Array] | None) -> bool:
    try:
        quantise(model, QuantiseChoice(law=Law(state_bits=bits)), x)
    except UnsupportedError:
        return False
    return True


@pytest.mark.parametrize("calibrated", [pytest.param(True, marks=pytest.mark.bulk), False])
def test_states_in_which_nothing_is_left_are_refused_with_the_fewest_bits_that_work(calibrated: bool) -> None:
    model, inputs = layers(v_th=4.0)
    x = inputs if calibrated else None
    with pytest.raises(UnsupportedError, match="too narrow") as caught:
        quantise(model, QuantiseChoice(law=Law(state_bits=4)), x)
    assert {finding.where for finding in caught.value.findings} <= {"1", "3"}
    named = max(int(finding.fix.split("--state-bits ")[1].split()[0]) for finding in caught.value.findings)
    assert 4 < named < 24
    assert not works(model, named - 1, x)
    assert works(model, named, x)
