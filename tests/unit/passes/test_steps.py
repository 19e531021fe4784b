"""Populations whose step is translated: bits of their states, what is proved, what is refused; functions between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_nets import DT, chain, cuba_lif, graph, spikes

from norse_export.errors import UnsupportedError
from norse_export.interpret import interpret
from norse_export.interpret.fixed import emulate
from norse_export.ir.bounds import all_ranges
from norse_export.ir.fixed import Population
from norse_export.ir.layers import Input, Linear, Output, Pool
from norse_export.ir.neurons import LSNN, CobaLIF, LIFEx, LIFRefrac
from norse_export.ir.shaping import Elementwise, Pad, Slice
from norse_export.ir.stages import Neuron
from norse_export.passes.discretise import discretise
from norse_export.passes.lower import lower
from norse_export.passes.prices import held
from norse_export.passes.quantise import QuantiseChoice, quantise
from norse_export.passes.steps import ENOUGH, Reached, observe, population, refusals
from norse_export.program.families import Rule, family
from norse_export.program.laws import Law

Array = NDArray[Any]
F = np.float32
ADAPTIVE = {"tau_mem": 1e-2, "tau_syn": 5e-3, "tau_ada": 2e-2, "v_leak": 0.0, "v_th": 1.0, "v_reset": 0.0}


def lsnn(shape: tuple[int, ...], **changes: Any) -> Any:
    values = {**ADAPTIVE, "b_spike": 0.4, **changes}
    return LSNN(shape=shape, dt=DT, **{name: F(value) for name, value in values.items()})


def neuron(name: str = "lsnn", **changes: Any) -> Neuron:
    values = {
        "alpha": 0.1,
        "beta": 0.2,
        "zeta": 0.05,
        "v_leak": 0.0,
        "v_th": 1.0,
        "v_reset": 0.0,
        "b_spike": 0.4,
        "b": 1.0,
    }
    values |= {"rho_reset": 2.0, "gain": 1.0, **changes}
    made = family(name, gain="gain" in changes)
    return Neuron(
        family=made,
        shape=(2,),
        parameters={key: np.full(2, values[key]) for key in made.parameters},
        initial_state={key: np.full(2, values.get(key, 0.0)) for key in made.state},
        dt=DT,
    )


def reached(reach: float = 100.0, base: float = 0.01) -> Reached:
    return Reached(np.full(2, base), {}, np.full(2, reach))


def bits_of(node: Neuron, made: Population, base: float = 0.01) -> dict[str, float]:
    return {name: float(np.log2(base / made.unit[name].flat[0])) for name in node.initial_state if name != "rho"}


def test_states_have_the_bits_with_which_they_hold_what_was_seen() -> None:
    node = neuron()
    seen = {"v": np.full(2, 0.9), "i": np.full(2, 8.0), "b": np.full(2, 1.5)}
    made = population(node, reached(1e7), Law(state_bits=16), seen).population  # no bound that 16 bits could hold
    needed = {"v": 4 * 0.9, "i": 4 * 8.0, "b": 4 * 1.5}
    for name, bits in bits_of(node, made).items():
        assert needed[name] <= 2**15 * 0.01 / 2**bits < 2 * needed[name] + 1e-9, name


def test_no_state_is_finer_than_the_membrane() -> None:
    node = neuron()
    seen = {"v": np.full(2, 50.0), "i": np.full(2, 0.01), "b": np.full(2, 0.01)}
    bits = bits_of(node, population(node, reached(1e7), Law(state_bits=16), seen).population)
    assert bits["i"] == bits["v"]
    assert bits["b"] <= bits["v"]


def test_what_is_bounded_within_enough_bits_is_proved() -> None:
    node = neuron()
    seen = {"v": np.full(2, 0.9), "i": np.full(2, 1.5), "b": np.full(2, 2.0)}
    made = population(node, reached(), Law(), seen)
    most = 100
    ranges = all_ranges_of(made.population, most)
    assert held(made.population, ranges)[0]
    assert np.isfinite(made.bound)
    assert 24 - ENOUGH < np.log2(made.bound) <= 23


def all_ranges_of(node: Population, most: int) -> Any:
    from norse_export.program.ranges import state_ranges

    def ends(values: Any) -> dict[str, tuple[int, int]]:
        return {name: (int(value.min()), int(value.max())) for name, value in values.items()}

    ports = dict.fromkeys(node.program.ports, (-most, most))
    return state_ranges(node.program, ports, ends(node.parameters), ends(node.initial_state))


def test_states_that_are_risked_have_more_bits_but_hold_their_levels() -> None:
    node = neuron()
    seen = {"v": np.full(2, 9.0), "i": np.full(2, 9.0), "b": np.full(2, 9.0)}
    law = Law(state_bits=10)
    safe = bits_of(node, population(node, reached(1e7), law, seen).population)
    risked = bits_of(node, population(node, reached(1e7), law, seen, loosened=3).population)
    assert risked["i"] == safe["i"] + 3
    most = bits_of(node, population(node, reached(1e7), law, seen, loosened=40).population)
    assert 2**9 * 0.01 / 2 ** most["v"] >= 1.0  # the threshold


def test_without_calibration_levels_and_a_part_of_the_worst_decide() -> None:
    node = neuron()
    made = population(node, reached(), Law(state_bits=16), None).population
    bits = bits_of(node, made)
    assert 2**15 * 0.01 / 2 ** bits["v"] >= 4.0


def test_the_largest_values_of_a_run_are_observed() -> None:
    node = neuron(b=3.0)
    states = {name: np.zeros((4, 2, 2)) for name in node.initial_state}
    states["v"][2, 1, 0] = -7.0
    seen = observe(node, states)
    assert seen["v"].tolist() == [7.0, 0.0]
    assert seen["b"].tolist() == [3.0, 3.0]


@pytest.mark.parametrize(("field", "value"), [("reset", "subtract"), ("refractory_steps", 2), ("max_spikes", 3)])
def test_a_law_that_changes_the_neuron_is_refused_for_a_step_of_its_own(field: str, value: Any) -> None:
    (finding,) = refusals("1", neuron(), Law(**{field: value}))
    assert (finding.kind, finding.where) == ("law", "1")
    assert field in finding.message
    assert field in finding.fix


def test_the_reason_is_named_for_a_step_without_an_integer_form() -> None:
    values = {name: value for name, value in ADAPTIVE.items() if name != "tau_ada"} | {"delta_t": 0.5}
    node = LIFEx(shape=(3,), dt=DT, **{name: F(value) for name, value in values.items()})
    with pytest.raises(UnsupportedError) as caught:
        quantise(discretise(chain((4,), Linear(np.ones((3, 4), F)), node)))
    (finding,) = caught.value.findings
    assert finding.where == "1"
    assert finding.message == "its neurons: an exponential of a state has no integer form"
    assert "exponential" in finding.message
    assert "norse-export run" in finding.fix
    assert caught.value.exit_code == 3


def test_a_count_that_is_no_whole_number_is_refused() -> None:
    (finding,) = refusals("1", neuron("lif_refrac", rho_reset=2.5), Law())
    assert "2.5" in finding.message
    assert "rho" in finding.fix


def test_an_initial_state_beyond_the_states_is_refused_by_name() -> None:
    node = neuron("lif_refrac")
    start = {name: value + (1e6 if name == "rho" else 0) for name, value in node.initial_state.items()}
    other = Neuron(family=node.family, shape=(2,), parameters=node.parameters, initial_state=start, dt=DT)
    with pytest.raises(UnsupportedError, match="do not hold the initial state"):
        population(other, reached(), Law(state_bits=16), None)


def test_a_gain_below_zero_turns_weights_and_biases() -> None:
    """A gain is a part of the unit of what arrives: of its sign the weights are told."""
    node = neuron("cuba_lif", gain=-0.5)
    ruled = family("cuba_lif", gain=True, rule=Rule(threshold="ge"))
    node = Neuron(family=ruled, shape=(2,), parameters=node.parameters, initial_state=node.initial_state, dt=DT)
    weight = np.array([[-1.5, 0.5, -2.0], [-0.25, -1.0, -1.75]])
    nodes = {
        "input": Input((3,), "float64"),
        "0": Linear(weight, np.array([-0.25, 0.5])),
        "1": node,
        "output": Output((2,)),
    }
    edges = [("input", "0"), ("0", "1"), ("1", "output")]
    x = {"input": spikes(np.random.default_rng(1), 40, 4, 3, rate=0.7)}
    made = quantise(graph(nodes, edges), QuantiseChoice(law=Law(weight_bits=16, state_bits=32)), x)  # type: ignore[arg-type]
    assert made.table[0].spikes_before
    assert made.table[0].differing == 0


def test_two_ports_have_their_own_biases_and_sums() -> None:
    levels = {"g_l": 0.25, "v_rest": 0.0, "e_e": 3.0, "e_i": -1.0, "v_th": 0.5, "v_reset": 0.0}
    rates = {"c_m": 4e-3, "tau_syn_e": 4e-3, "tau_syn_i": 2e-3}
    node = CobaLIF(shape=(2,), dt=DT, **{name: F(value) for name, value in (levels | rates).items()})
    rng = np.random.default_rng(2)
    nodes = {"input": Input((3,)), "1": node, "output": Output((2,))}
    edges: list[tuple[Any, ...]] = [("1", "output")]
    for port, bias in (("e", 0.125), ("i", 0.0625)):
        weight = rng.integers(0, 8, (2, 3)) / 8
        nodes[port] = Linear(weight.astype(F), np.full(2, bias, F))
        edges += [("input", port), (port, "1", port)]
    x = {"input": spikes(rng, 40, 4, 3, rate=0.5)}
    made = quantise(discretise(graph(nodes, edges)), QuantiseChoice(law=Law(weight_bits=16, decay_bits=16)), x)
    program = made.graph.nodes["1"].program  # type: ignore[union-attr]
    assert program.ports == ("e", "i")
    assert made.table[0].spikes_before
    assert made.table[0].differing == 0


def test_a_refractory_net_keeps_every_spike() -> None:
    values = {name: value for name, value in ADAPTIVE.items() if name != "tau_ada"} | {"rho_reset": 3.0}
    node = LIFRefrac(shape=(5,), dt=DT, **{name: F(value) for name, value in values.items()})
    rng = np.random.default_rng(3)
    weight = rng.normal(1.0, 1.0, (5, 6)).astype(F)
    x = {"input": spikes(rng, 60, 4, 6)}
    made = quantise(discretise(chain((6,), Linear(weight), node)), QuantiseChoice(law=Law(weight_bits=16)), x)
    (cost,) = made.table
    assert cost.family == "lif_refrac"
    assert cost.spikes_before
    assert cost.differing == 0
    assert cost.overflows == 0


def functions(name: str, **parameters: Any) -> tuple[Any, dict[str, Array]]:
    """Weights, a function of two inputs or of one, weights, neurons; all on a grid."""
    rng = np.random.default_rng(4)

    def dense(n_in: int, n_out: int) -> Linear:
        return Linear((rng.integers(-8, 13, (n_out, n_in)) / 16).astype(F), (rng.integers(-2, 3, n_out) / 16).astype(F))

    made = Elementwise(name, (6,), {key: np.full(6, value, F) for key, value in parameters.items()})
    nodes = {
        "input": Input((5,)),
        "a": dense(5, 6),
        "b": dense(5, 6),
        "f": made,
        "c": dense(6, 4),
        "n": cuba_lif((4,), tau_mem=4e-3, tau_syn=2e-3, v_th=0.25),
        "output": Output((4,)),
    }
    edges: list[tuple[Any, ...]] = [("input", "a"), ("a", "f"), ("f", "c"), ("c", "n"), ("n", "output")]
    if len(made.ports) > 1:
        edges += [("input", "b"), ("b", "f", "y")]
    else:
        del nodes["b"]
    return discretise(graph(nodes, edges)), {"input": spikes(rng, 30, 4, 5, rate=0.5)}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("relu", {}),
        ("at_least", {"bound": 0.25}),
        ("at_most", {"bound": 0.5}),
        ("leaky_relu", {"slope": 0.25}),
        ("magnitude", {}),
        ("difference", {}),
        ("larger", {}),
        ("smaller", {}),
        ("product", {}),
    ],
)
def test_a_function_between_neurons_is_exact_on_a_grid(name: str, parameters: dict[str, float]) -> None:
    made, x = functions(name, **parameters)
    law = Law(weight_bits=12, state_bits=32, decay_bits=16)
    found = quantise(made, QuantiseChoice(law=law), x)
    expected, actual = interpret(made, x), emulate(found.graph, x)
    assert expected.spikes["n"].any()
    assert np.array_equal(actual.spikes["n"], expected.spikes["n"])
    assert [cost.node for cost in found.table] == ["n"]
    assert ("f" in found.lowered.populations) is (name != "difference")


def test_a_function_sends_no_more_than_it_can_reach() -> None:
    made, x = functions("relu")
    found = quantise(made, calibration=x)
    program = found.graph.nodes["f"].program  # type: ignore[union-attr]
    assert all_ranges(found.graph)["f"].values[program.output][1] < 2 * emulate(found.graph, x).spikes["f"].max() * 8
    assert all_ranges(found.graph)["f"].proven


def test_a_target_that_asks_for_none_gets_no_function() -> None:
    made, _ = functions("relu")
    with pytest.raises(UnsupportedError) as caught:
        lower(made)
    assert (caught.value.findings[0].kind, caught.value.where) == ("function", "f")


def test_a_function_that_an_output_reads_too_is_refused() -> None:
    made, x = functions("relu")
    nodes = {**made.nodes, "seen": Output((6,))}
    both = type(made)(nodes, (*made.edges, type(made.edges[0])("f", "seen")), made.metadata)
    with pytest.raises(UnsupportedError, match="seen"):
        quantise(both, calibration=x)


def test_max_pooling_of_a_function_is_refused() -> None:
    nodes = {
        "input": Input((1, 4, 4)),
        "f": Elementwise("relu", (1, 4, 4)),
        "pool": Pool("max", (1, 4, 4), (2, 2), (2, 2)),
        "n": cuba_lif((1, 2, 2)),
        "output": Output((1, 2, 2)),
    }
    edges = [("input", "f"), ("f", "pool"), ("pool", "n"), ("n", "output")]
    with pytest.raises(UnsupportedError) as caught:
        quantise(discretise(graph(nodes, edges)))
    assert [(finding.kind, finding.where) for finding in caught.value.findings] == [("max_pool", "pool")]


def test_parts_that_are_joined_and_cut_reach_adaptive_neurons() -> None:
    """Slices, padding and a sum of them are weights."""
    rng = np.random.default_rng(5)
    weight = (rng.integers(-4, 13, (3, 6)) / 8).astype(F)
    nodes = {
        "input": Input((4,)),
        "front": Slice((4,), (0,), (2,), (1,)),
        "wide": Pad((2,), (0,), (4,)),
        "late": Pad((4,), (2,), (0,)),
        "weights": Linear(weight),
        "n": lsnn((3,)),
        "output": Output((3,)),
    }
    from norse_export.ir.layers import Sum

    nodes["sum"] = Sum((6,))
    edges = [("input", "front"), ("front", "wide"), ("wide", "sum"), ("input", "late"), ("late", "sum")]
    edges += [("sum", "weights"), ("weights", "n"), ("n", "output")]
    x = {"input": spikes(rng, 50, 4, 4, rate=0.6)}
    found = quantise(discretise(graph(nodes, edges)), QuantiseChoice(law=Law(weight_bits=16)), x)  # type: ignore[arg-type]
    assert found.table[0].spikes_before
    assert found.table[0].differing == 0


def test_each_channel_has_its_own_unit() -> None:
    rng = np.random.default_rng(6)
    weight = rng.uniform(-0.5, 1.0, (4, 6)) * np.array([[0.2], [1.0], [3.0], [1.0]])
    levels = np.array([0.2, 1.0, 3.0, 1.0], F)
    node = lsnn((4,), v_th=levels, b_spike=0.3 * levels)
    x = {"input": spikes(rng, 50, 4, 6, rate=0.6)}
    made = discretise(chain((6,), Linear(weight.astype(F)), node))
    found = quantise(made, QuantiseChoice(law=Law(weight_bits=12), per_channel=True), x)
    unit = found.graph.nodes["1"].unit["v"]  # type: ignore[union-attr]
    assert len(set(unit.tolist())) == 4
    (cost,) = found.table
    assert cost.spikes_before
    assert cost.differing == 0


def test_neurons_on_one_scale_share_parameters_that_they_share_in_the_model() -> None:
    rng = np.random.default_rng(7)
    made = discretise(chain((6,), Linear(rng.normal(1, 1, (4, 6)).astype(F)), lsnn((4,))))
    population = quantise(made, calibration={"input": spikes(rng, 20, 2, 6)}).graph.nodes["1"]
    assert isinstance(population, Population)
    assert all(value.strides == (0,) for value in population.parameters.values())


def test_a_level_that_no_unit_shows_is_refused_at_its_place() -> None:
    made, x = functions("at_least", bound=1e20)
    with pytest.raises(UnsupportedError, match="bound") as caught:
        quantise(made, calibration=x)
    assert caught.value.where == "f"
    with pytest.raises(UnsupportedError, match="do not show what arrives") as caught:
        quantise(discretise(chain((6,), Linear(np.ones((4, 6), F)), lsnn((4,), v_leak=1e20))))
    assert caught.value.where == "1"


def test_a_layer_whose_weights_are_all_zero_is_taken() -> None:
    found = quantise(discretise(chain((6,), Linear(np.zeros((4, 6), F)), lsnn((4,)))))
    assert not found.graph.nodes["0"].weight.any()  # type: ignore[union-attr]
