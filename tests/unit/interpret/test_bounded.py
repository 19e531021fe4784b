"""The margin rule's run: no run of the model in float32, in whatever order it sums, leaves the bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from other_orders import in_another_order
from random_nets import random_net
from small_nets import cuba_li, cuba_lif, dense, discrete_chain, graph, grid_dense, spikes

from norse_export.engine import layers
from norse_export.errors import UsageError
from norse_export.interpret import interpret, interpret_bounded
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Input, Linear, Output, Pool, Sum
from norse_export.ir.run import Bounds, Run
from norse_export.passes.discretise import discretise

Array = NDArray[Any]
F = np.float32
U = 2.0**-24


def in_other_orders(net: Any, inputs: dict[str, Array], dtype: str, seed: int) -> Run:
    """A run of the same network that sums in other orders: within layers, and over the edges of a port."""
    generator = np.random.default_rng(seed)
    edges = [net.edges[number] for number in generator.permutation(len(net.edges))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "apply", lambda node, x: in_another_order(node, x, generator))
        return interpret(Graph(net.nodes, tuple(edges)), inputs, dtype=dtype)


def within(run: Run, bounds: Bounds) -> float:
    """Assert that no value of a run leaves the bounds; give the largest share of a bound that is used."""
    pairs = [(run.outputs[name], bound) for name, bound in bounds.outputs.items()]
    for name, variables in bounds.final_state.items():
        pairs += [(run.final_state[name][variable], bound) for variable, bound in variables.items()]
    used = 0.0
    for got, bound in pairs:
        assert got.shape == bound.value.shape == bound.error.shape
        off = np.abs(got - bound.value)
        assert (off <= bound.error).all()
        loose = bound.error > 1e-30
        used = max(used, float((off[loose] / bound.error[loose]).max(initial=0)))
    for name, margin in bounds.margins.items():
        assert margin.value.shape == margin.error.shape == run.spikes[name].shape
        flipped = run.spikes[name] != (margin.value > 0)
        assert (np.abs(margin.value) <= margin.error)[flipped].all()
    return used


@given(st.integers(0, 2**32 - 1), st.sampled_from(["float32", "float64"]))
@settings(max_examples=120)
def test_no_order_of_summation_leaves_the_bounds_of_a_random_net(seed: int, dtype: str) -> None:
    made = random_net(seed, fine=True, dtype=dtype, steps=12, samples=3)
    net = discretise(made.graph)
    run = in_other_orders(net, made.inputs, dtype, seed)
    within(run, interpret_bounded(net, made.inputs, run.spikes, dtype=dtype))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_a_float32_run_of_float64_weights_stays_within_the_bounds(seed: int) -> None:
    """The run rounds weights and parameters to float32 first; so does the bounded run."""
    made = random_net(seed, fine=True, dtype="float64", steps=12)
    net = discretise(made.graph)
    run = in_other_orders(net, made.inputs, "float32", seed)
    within(run, interpret_bounded(net, made.inputs, run.spikes, dtype="float32"))


def trained_like(seed: int) -> Any:
    generator = np.random.default_rng(seed)
    nodes = (dense(generator, 60, 40, scale=0.6), cuba_lif((40,)), dense(generator, 40, 10), cuba_li((10,)))
    return discrete_chain((60,), *nodes)


def test_the_bounds_are_used_and_hold_over_a_thousand_steps() -> None:
    net, x = trained_like(0), {"input": spikes(np.random.default_rng(1), 1000, 4, 60)}
    run = in_other_orders(net, x, "float32", 0)
    assert 1000 < run.spikes["1"].sum() < run.spikes["1"].size / 2
    bounds = interpret_bounded(net, x, run.spikes, dtype="float32")
    assert 0.02 < within(run, bounds) < 1
    margin = bounds.margins["1"]
    assert margin.error.max() < 1e-3
    assert np.mean(np.abs(margin.value) <= margin.error) < 1e-3, "a bound that explains everything proves nothing"


def test_the_values_are_those_of_a_float64_run_along_the_given_spikes() -> None:
    net, x = trained_like(2), {"input": spikes(np.random.default_rng(3), 50, 4, 60)}
    wide = interpret(net, x, dtype="float64")
    bounds = interpret_bounded(net, x, wide.spikes, dtype="float32")
    np.testing.assert_allclose(bounds.outputs["output"].value, wide.outputs["output"], rtol=0, atol=1e-13)
    np.testing.assert_allclose(bounds.final_state["1"]["v"].value, wide.final_state["1"]["v"], rtol=0, atol=1e-13)
    np.testing.assert_array_equal(bounds.margins["1"].value > 0, wide.spikes["1"])
    flipped = {"1": wide.spikes["1"].copy()}
    flipped["1"][10, 0, 0] ^= True
    other = interpret_bounded(net, x, flipped, dtype="float32")
    np.testing.assert_array_equal(other.margins["1"].value[:11], bounds.margins["1"].value[:11])
    assert other.margins["1"].value[11, 0, 0] != bounds.margins["1"].value[11, 0, 0]
    assert (other.outputs["output"].value[10:, 0] != bounds.outputs["output"].value[10:, 0]).any()
    np.testing.assert_array_equal(other.outputs["output"].value[:, 1:], bounds.outputs["output"].value[:, 1:])


def test_the_bound_of_a_lif_is_near_the_formula_written_by_hand() -> None:
    """Step by step over a run, with n u sum|w x| for the layer in front; n counts the inputs that spike."""
    n, steps = 50, 40
    weight = (0.05 + np.random.default_rng(4).normal(size=(1, n)) / 5).astype(F)
    x = spikes(np.random.default_rng(5), steps, 1, n)
    net = discrete_chain((n,), Linear(weight), cuba_lif((1,)))
    run = interpret(net, {"input": x})
    assert 2 < run.spikes["1"].sum() < steps / 2
    margins = interpret_bounded(net, {"input": x}, run.spikes, dtype="float32").margins["1"]
    alpha, beta = 0.1, 0.2
    v = i = e_v = e_i = 0.0
    for t in range(steps):
        j = i + float(weight[0].astype(float) @ x[t, 0])
        e_j = e_i + x[t, 0].sum() * U * float(np.abs(weight[0]) @ x[t, 0]) + 2 * U * abs(j)
        e_i = abs(1 - beta) * e_j + 3 * U * abs(j)
        v1 = v + alpha * (j - v)
        e_v = abs(1 - alpha) * e_v + alpha * (e_j + 2 * U * abs(j - v)) + 2 * U * abs(v1)
        assert margins.value[t, 0, 0] == pytest.approx(v1 - 1, abs=1e-7)
        assert 0.5 < margins.error[t, 0, 0] / e_v < 2
        i = j - beta * j
        v, e_v = (0.0, 0.0) if run.spikes["1"][t, 0, 0] else (v1, e_v)


@pytest.mark.parametrize(("dtype", "roundoff"), [("float32", 2.0**-24 + 2.0**-53), ("float64", 2.0**-52)])
def test_the_bound_of_a_layer_counts_the_rounding_of_both_runs_and_no_more(dtype: str, roundoff: float) -> None:
    """n u sum|w x|, with the unit roundoff of the run and of the float64 run; n counts the products that are not 0."""
    weight = np.random.default_rng(9).normal(0, 1, (5, 60)).astype(dtype)
    weight[:, :20] = 0
    net = discrete_chain((60,), Linear(weight), dtype=dtype)
    x = spikes(np.random.default_rng(10), 3, 2, 60)
    error = interpret_bounded(net, {"input": x}, {}, dtype=dtype).outputs["output"].error
    terms = (x != 0).astype(float) @ (weight != 0).astype(float).T
    np.testing.assert_allclose(error, terms * roundoff * (x @ np.abs(weight.astype(float)).T), rtol=1e-5)


def test_on_a_power_of_two_grid_nothing_is_rounded() -> None:
    generator = np.random.default_rng(11)
    x = {"input": spikes(generator, 20, 2, 30)}
    weight = generator.integers(-7, 8, (12, 30)).astype(F) / 64
    for scale, exact in ((F(1), True), (F(1.1), False)):
        net = discrete_chain((30,), Linear(weight * scale), cuba_lif((12,)))
        run = interpret(net, x)
        assert interpret_bounded(net, x, run.spikes, dtype="float32").exact == (
            frozenset({"1"}) if exact else frozenset()
        )


def test_a_grid_too_fine_for_its_sums_rounds() -> None:
    x = {"input": np.ones((2, 1, 2), F)}
    for finest, exact in ((2.0**-23, True), (2.0**-25, False)):
        net = discrete_chain((2,), Linear(np.array([[1, finest]], F)), cuba_lif((1,)))
        bounds = interpret_bounded(net, x, interpret(net, x).spikes, dtype="float32")
        assert bounds.exact == (frozenset({"1"}) if exact else frozenset())


def test_a_silent_tail_that_decays_below_the_normal_range_stays_within_the_bounds() -> None:
    x = np.zeros((700, 1, 20), F)
    x[:3] = 1
    net = discrete_chain((20,), grid_dense(np.random.default_rng(6), 20, 30), cuba_lif((30,), v_th=50.0))
    run = interpret(net, {"input": x})
    current = np.abs(run.final_state["1"]["i"])
    assert ((current > 0) & (current < np.finfo(F).smallest_normal)).any()
    bounds = interpret_bounded(net, {"input": x}, run.spikes, dtype="float32")
    within(run, bounds)
    flushed = np.where(current < np.finfo(F).smallest_normal, 0, run.final_state["1"]["i"])
    bound = bounds.final_state["1"]["i"]
    assert (np.abs(flushed - bound.value) <= bound.error).all()


def test_spikes_are_exact_and_rasters_enter_as_the_model_takes_them() -> None:
    lif = cuba_lif((3,), tau_mem=np.float64(1e-3), v_th=0.5)
    net, x = discrete_chain((3,), lif), {"input": np.full((4, 1, 3), 0.1)}
    run = interpret(net, x)
    bounds = interpret_bounded(net, x, run.spikes, dtype="float32")
    assert not bounds.outputs["output"].error.any()
    np.testing.assert_array_equal(bounds.outputs["output"].value, run.spikes["0"])
    assert bounds.margins["0"].value[0, 0, 0] == float(F(0.1)) - 0.5


def test_a_maximum_of_spikes_is_exact() -> None:
    net = discrete_chain((1, 4, 4), Pool("max", (1, 4, 4), (2, 2), (2, 2)))
    x = {"input": spikes(np.random.default_rng(7), 3, 2, 1, 4, 4)}
    bounds = interpret_bounded(net, x, {}, dtype="float32")
    assert not bounds.outputs["output"].error.any()
    np.testing.assert_array_equal(bounds.outputs["output"].value, interpret(net, x).outputs["output"])


def test_a_loop_of_potentials_is_walked_step_by_step_within_the_bounds() -> None:
    """y = W x + S y, delayed; no spike in the loop, so what goes round is not known beforehand."""
    generator = np.random.default_rng(11)
    nodes: dict[str, Any] = {"input": Input((30,)), "w": dense(generator, 30, 8), "sum": Sum((8,)), "li": cuba_li((8,))}
    nodes |= {"s": Linear(generator.normal(size=(8, 8)).astype(F) / 4), "lif": cuba_lif((8,)), "output": Output((8,))}
    edges = [("input", "w"), ("w", "sum"), ("s", "sum", "x", 2), ("sum", "li"), ("li", "s", "x", 1), ("li", "lif")]
    net = discretise(graph(nodes, [*edges, ("lif", "sum", "x", 1), ("sum", "output")]))
    x = {"input": spikes(generator, 80, 3, 30)}
    run = in_other_orders(net, x, "float32", 0)
    assert 20 < run.spikes["lif"].sum() < run.spikes["lif"].size / 2
    assert within(run, interpret_bounded(net, x, run.spikes, dtype="float32")) > 0.001


def test_products_below_the_normal_range_are_not_exact() -> None:
    """Powers of two, but so small that float32 loses them: 2^-80 times 2^-80."""
    net = discrete_chain((4,), Linear(np.full((1, 4), 2.0**-80, F)))
    x = {"input": np.full((1, 1, 4), 2.0**-80, F)}
    run = interpret(net, x)
    assert not run.outputs["output"].any()
    assert within(run, interpret_bounded(net, x, {}, dtype="float32")) == 0
    bound = interpret_bounded(net, x, {}, dtype="float32").outputs["output"]
    assert 0 < bound.value.item() <= bound.error.item()


def test_a_run_that_overflows_is_bounded_without_a_warning() -> None:
    nodes = {"input": Input((1,)), "output": Output((1,)), "lif": cuba_lif((1,))}
    net = discretise(graph(nodes, [("input", "lif"), ("lif", "output")]))
    x = {"input": np.full((3, 1, 1), 3e38)}
    run = interpret(net, x)
    bound = interpret_bounded(net, x, run.spikes, dtype="float32").final_state["lif"]["i"]
    assert not np.isfinite(run.final_state["lif"]["i"]).any()
    assert np.isfinite(bound.value).all(), "the float64 run does not overflow: the float32 run is beyond the bound"


@pytest.mark.parametrize(
    "given_spikes", [{}, {"1": np.zeros((5, 2, 40), bool)}, {"1": np.zeros((4, 2, 41), bool)}], ids=str
)
def test_the_spikes_of_every_population_are_needed(given_spikes: dict[str, Array]) -> None:
    x = {"input": spikes(np.random.default_rng(8), 4, 2, 60)}
    with pytest.raises(UsageError, match="as spikes of a population") as caught:
        interpret_bounded(trained_like(0), x, given_spikes, dtype="float32")
    assert caught.value.where == "1"
    assert caught.value.fix
