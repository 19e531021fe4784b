"""Quantising: exact where the model lies on a grid, refused by name where it cannot be, and its price as measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_nets import DT, chain, cuba_li, cuba_lif, graph, spikes

from norse_export.compare.compare import decisions
from norse_export.errors import ExportError, UnsupportedError, UsageError
from norse_export.files.limits import Limits
from norse_export.formats.saved import read_saved
from norse_export.interpret import interpret
from norse_export.interpret.fixed import emulate
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, Population, SparseSynapses
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Flatten, Input, Layer, Linear, Output, Pool, Scale, Sum
from norse_export.ir.neurons import IF, LI, LIF, NeuronModel
from norse_export.ir.stages import DiscreteNode
from norse_export.passes import calibrate
from norse_export.passes.discretise import discretise
from norse_export.passes.overflow import count_overflows
from norse_export.passes.quantise import QuantiseChoice, Quantised, quantise
from norse_export.program.laws import Law
from norse_export.program.operations import HALF_EVEN, STOCHASTIC

Array = NDArray[Any]
F = np.float32
DIGITS = Path(__file__).parents[3] / "examples" / "digits"
WIDE = Law(weight_bits=16, state_bits=32, decay_bits=16, rounding=HALF_EVEN)


def whole(seed: int, *shape: int, most: int = 8) -> Array:
    """Numbers k/8."""
    return (np.random.default_rng(seed).integers(-most, most + 1, size=shape) / 8).astype(F)


def integrate(shape: tuple[int, ...], **changes: Any) -> NeuronModel:
    return IF(**{"shape": shape, "dt": DT, "v_th": F(1), "v_reset": F(-0.25), "v0": F(0.125), **changes})


def grid_lif(shape: tuple[int, ...], **changes: Any) -> Any:
    return cuba_lif(shape, **{"tau_mem": 8e-3, "tau_syn": 4e-3, **changes})


def conv(seed: int, shape: tuple[int, ...], channels: int, **options: Any) -> Conv:
    axes = len(shape) - 1
    options = {"stride": (1,) * axes, "padding": (1,) * axes, "dilation": (1,) * axes} | options
    weight = whole(seed, channels, shape[0] // options.get("groups", 1), *(3,) * axes)
    return Conv(weight, shape[1:], whole(seed + 1, channels, most=1), **options)


def run(
    model: Graph[DiscreteNode], choice: QuantiseChoice, x: Array, **options: Any
) -> tuple[Quantised, dict[str, int]]:
    """Quantise on the raster, run it, and count the cells that differ from the float64 run; some must spike."""
    made = quantise(model, choice, {"input": x}, **options)
    truth, got = interpret(model, {"input": x}, dtype="float64"), emulate(made.graph, {"input": x})
    assert all(raster.any() for raster in truth.spikes.values())
    return made, {name: int(np.count_nonzero(truth.spikes[name] != got.spikes[name])) for name in truth.spikes}


def looped() -> Graph[DiscreteNode]:
    """Two sources, a sum, and a loop of two steps around neurons without a leak."""
    nodes = {"input": Input((6,)), "a": Linear(whole(1, 5, 6)), "sum": Sum((5,)), "n": integrate((5,))}
    nodes |= {
        "back": Linear(whole(2, 5, 5, most=3), whole(3, 5, most=1)),
        "late": Linear(whole(4, 5, 6)),
        "output": Output((5,)),
    }
    edges = [("input", "a"), ("a", "sum"), ("input", "late", "x", 3), ("late", "sum"), ("n", "back", "x", 2)]
    return discretise(graph(nodes, [*edges, ("back", "sum"), ("sum", "n"), ("n", "output")]))


def layered(shape: tuple[int, ...], *layers: Layer) -> Graph[DiscreteNode]:
    """Neurons without a leak in front of and behind the layers."""
    return discretise(chain(shape, integrate(shape), *layers, integrate(layers[-1].output_shape)))


NETS: dict[str, Any] = {
    "dense": lambda: layered((6,), Linear(whole(1, 4, 6), whole(2, 4))),
    "conv": lambda: layered((2, 5, 4), conv(1, (2, 5, 4), 3, stride=(2, 1))),
    "grouped conv": lambda: layered((4, 5, 5), conv(1, (4, 5, 5), 4, groups=2, dilation=(2, 1), padding=(2, 0))),
    "conv1d": lambda: layered((2, 9), conv(1, (2, 9), 3, stride=(2,))),
    "conv flatten": lambda: layered((2, 4, 4), conv(1, (2, 4, 4), 3), Flatten((3, 4, 4))),
    "pool conv": lambda: layered((2, 6, 6), Pool("avg", (2, 6, 6), (2, 2), (2, 2)), conv(1, (2, 3, 3), 3)),
    "pool dense": lambda: layered(
        (2, 4, 4), Pool("avg", (2, 4, 4), (2, 2), (2, 2)), Flatten((2, 2, 2)), Linear(whole(1, 5, 8))
    ),
    "conv dense": lambda: layered((2, 4, 4), conv(1, (2, 4, 4), 2), Flatten((2, 4, 4)), Linear(whole(5, 5, 32))),
    "sum pool": lambda: layered((2, 5, 5), Pool("sum", (2, 5, 5), (3, 3), (2, 2), (1, 1))),
    "scale": lambda: layered((6,), Scale(whole(1, 6) + F(2))),
    "max pool": lambda: layered((2, 4, 4), Pool("max", (2, 4, 4), (2, 2), (2, 2)), conv(1, (2, 2, 2), 2)),
    "flatten": lambda: layered((2, 2, 2), Flatten((2, 2, 2))),
    "loop": looped,
}


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_without_a_leak_a_net_on_a_grid_loses_no_spike(name: str, per_channel: bool) -> None:
    model = NETS[name]()
    x = spikes(np.random.default_rng(0), 40, 3, *model.nodes["input"].output_shape, rate=0.4)
    made, differing = run(model, QuantiseChoice(law=Law(weight_bits=12), per_channel=per_channel), x)
    assert set(differing.values()) == {0}
    assert all(price.differing == 0 and price.first_divergence is None for price in made.table)
    assert all(weights.error_rms == 0 and weights.error_max == 0 for p in made.table for weights in p.projections)


def test_every_kind_of_synapses_is_made() -> None:
    kinds = {
        type(node)
        for net in NETS.values()
        for node in quantise(net()).graph.nodes.values()
        if hasattr(node, "delivery")
    }
    assert kinds == {DenseSynapses, ConvSynapses, SparseSynapses}


NEURONS: dict[str, Any] = {
    "cuba_lif": grid_lif((5,), v_leak=-0.125, v_reset=-0.5, v_th=0.25, v0=F(0.125), i0=F(0.5)),
    "cuba_lif_gain": grid_lif((5,), v_th=0.25, r=np.array([0.5, 2, -1, 4, -0.25], F)),
    "lif": LIF(shape=(5,), dt=DT, tau_mem=F(8e-3), v_leak=F(0.125), v_th=F(0.5), v_reset=F(-0.25)),
    "lif_gain": LIF(shape=(5,), dt=DT, tau_mem=F(4e-3), v_leak=F(0), v_th=F(0.5), v_reset=F(0), r=F(1.5)),
    "if_gain": integrate((5,), r=np.float64(-0.5 / DT)),
    "uneven": grid_lif(
        (5,), tau_mem=np.array([2e-3, 4e-3, 8e-3, 16e-3, 4e-3], F), v_th=np.linspace(0.1, 0.5, 5).astype(F)
    ),
}


@pytest.mark.parametrize("name", NEURONS)
def test_with_enough_bits_every_family_loses_no_spike(name: str) -> None:
    model = discretise(chain((6,), Linear(whole(1, 5, 6), whole(2, 5, most=1)), NEURONS[name]))
    x = spikes(np.random.default_rng(1), 60, 4, 6, rate=0.4)
    _, differing = run(model, QuantiseChoice(law=WIDE), x)
    assert differing == {"1": 0}


def test_with_enough_bits_a_recurrent_population_loses_no_spike() -> None:
    nodes = {"input": Input((6,)), "w": Linear(whole(1, 5, 6)), "lif": grid_lif((5,), recurrent=True, v_th=0.25)}
    nodes["w"] = Linear(whole(1, 5, 6), np.full(5, 0.125, F))
    nodes |= {"rec": Linear(whole(3, 5, 5, most=2) / 8, whole(4, 5, most=1)), "output": Output((5,))}
    edges = [("input", "w"), ("w", "lif"), ("lif", "rec", "x", 1), ("rec", "lif", "r"), ("lif", "output")]
    model = discretise(graph(nodes, edges))
    x = spikes(np.random.default_rng(1), 60, 4, 6, rate=0.4)
    made, differing = run(model, QuantiseChoice(law=WIDE), x)
    assert differing == {"lif": 0}
    assert [e.port for e in made.graph.incoming("lif")] == ["x", "x"]
    assert {(e.source, e.target): e.delay_steps for e in made.graph.edges}["lif", "rec"] == 1


def test_values_of_integrators_and_the_host_are_in_the_models_units() -> None:
    integrators = (
        cuba_li((3,), tau_mem=8e-3, tau_syn=4e-3, v_leak=0.5),
        LI(shape=(3,), dt=DT, tau_mem=F(4e-3), v_leak=F(1)),
    )
    for neuron in integrators:
        head = Linear(whole(5, 2, 3), whole(6, 2))
        model = discretise(chain((6,), Linear(whole(1, 3, 6), whole(2, 3)), neuron, head))
        x = spikes(np.random.default_rng(1), 30, 2, 6, rate=0.4)
        made = quantise(model, QuantiseChoice(law=WIDE), {"input": x})
        truth = interpret(model, {"input": x}, dtype="float64").outputs["output"]
        np.testing.assert_allclose(emulate(made.graph, {"input": x}).outputs["output"], truth, atol=1e-4)
        assert made.table[0].value_error is not None
        assert made.table[0].value_error < 1e-4
        assert made.table[0].spikes_before is None


def test_graded_input_is_taken_as_it_is() -> None:
    model = discretise(chain((6,), Linear(whole(1, 5, 6)), integrate((5,), v_th=F(3))))
    x = np.random.default_rng(1).integers(-2, 4, size=(40, 2, 6)).astype(F)
    made, differing = run(model, QuantiseChoice(), x)
    assert differing == {"1": 0}
    assert (made.graph.nodes["input"].low, made.graph.nodes["input"].high) == (-2, 3)  # type: ignore[union-attr]


def test_the_delay_of_a_law_stands_on_every_projection_and_the_price_allows_for_it() -> None:
    model = NETS["scale"]()
    x = spikes(np.random.default_rng(0), 40, 3, 6, rate=0.4)
    made = quantise(model, QuantiseChoice(law=Law(weight_bits=12, delay_steps=2)), {"input": x})
    assert [e.delay_steps for e in made.graph.edges if e.target in ("input to 0", "1")] == [2, 2]
    assert [price.differing for price in made.table] == [0, 0]
    assert [finding.kind for finding in made.findings] == ["law"]


def uneven(bits: int, *, per_channel: bool, search: bool = True, calibrated: bool = True) -> Quantised:
    """Two maps or rows whose weights differ by a factor of 40."""
    generator = np.random.default_rng(3)
    weight = (generator.normal(size=(4, 2, 3, 3)) * np.array([1, 0.2, 0.05, 0.025]).reshape(4, 1, 1, 1)).astype(F)
    v_th = np.broadcast_to(np.array([1, 0.2, 0.05, 0.025], F).reshape(4, 1, 1), (4, 6, 6))
    model = discretise(chain((2, 6, 6), Conv(weight, (6, 6), padding=(1, 1)), cuba_lif((4, 6, 6), v_th=v_th)))
    x = spikes(generator, 60, 4, 2, 6, 6)
    choice = QuantiseChoice(law=Law(weight_bits=bits), per_channel=per_channel, search=search)
    return quantise(model, choice, {"input": x} if calibrated else None)


def test_a_scale_for_each_channel_keeps_more_spikes_where_channels_are_uneven() -> None:
    one, each = (uneven(8, per_channel=per_channel).table[0] for per_channel in (False, True))
    assert one.differing is not None
    assert each.differing is not None
    assert each.differing < one.differing / 2
    assert one.projections[0].scale[0] == one.projections[0].scale[1]
    assert each.projections[0].scale[0] < each.projections[0].scale[1] / 10


def test_the_search_is_better_than_no_search_and_clips_nothing_without() -> None:
    found, plain = (uneven(3, per_channel=True, search=search).table[0] for search in (True, False))
    assert found.differing is not None
    assert plain.differing is not None
    assert found.differing < plain.differing
    assert plain.projections[0].clipped == 0


def test_without_calibration_the_error_of_the_weights_decides_and_nothing_is_measured() -> None:
    found = uneven(3, per_channel=False, calibrated=False)
    plain = uneven(3, per_channel=False, calibrated=False, search=False)
    assert found.table[0].projections[0].error_rms < plain.table[0].projections[0].error_rms
    assert found.measured is None
    assert (found.table[0].differing, found.table[0].jaccard) == (None, None)


def test_the_same_call_gives_the_same_graph() -> None:
    a, b = (uneven(4, per_channel=True) for _ in range(2))
    assert a.table == b.table
    for name, node in a.graph.nodes.items():
        other = b.graph.nodes[name]
        if isinstance(node, ConvSynapses) and isinstance(other, ConvSynapses):
            np.testing.assert_array_equal(node.weight, other.weight)
        if isinstance(node, Population) and isinstance(other, Population):
            for key, value in node.parameters.items():
                np.testing.assert_array_equal(value, other.parameters[key])


def two_layers() -> Graph[DiscreteNode]:
    generator = np.random.default_rng(5)
    first, second = (generator.normal(size=shape).astype(F) for shape in ((8, 6), (4, 8)))
    return discretise(chain((6,), Linear(first), cuba_lif((8,), v_th=0.3), Linear(second), cuba_lif((4,), v_th=0.3)))


def test_single_layers_have_bits_of_their_own() -> None:
    made = quantise(two_layers(), QuantiseChoice(bits={"2": 3}))
    assert [weights.bits for price in made.table for weights in price.projections] == [8, 3]
    assert int(np.abs(made.graph.nodes["2"].weight).max()) == 3  # type: ignore[union-attr]
    assert int(np.abs(made.graph.nodes["0"].weight).max()) == 127  # type: ignore[union-attr]


def test_bits_of_a_composed_layer_go_by_the_name_of_any_of_its_layers() -> None:
    for name in ("1", "2", "1+2"):
        made = quantise(NETS["pool conv"](), QuantiseChoice(bits={name: 5}))
        assert [weights.bits for price in made.table for weights in price.projections] == [8, 5]


@pytest.mark.parametrize(
    ("bits", "message"), [({"9": 4}, "'9'"), ({"0": 17}, "17 weight bits"), ({"0": 0}, "0 weight")]
)
def test_wrong_bits_are_refused(bits: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        quantise(two_layers(), QuantiseChoice(bits=bits))


def test_all_refusals_come_at_once_and_name_their_layer() -> None:
    gone = cuba_lif((3,), tau_mem=np.array([1e-2, np.inf, 1e-2], F))
    deaf = cuba_lif((3,), r=np.array([1.0, 0.0, 1.0], F))
    with pytest.raises(UnsupportedError) as caught:
        quantise(discretise(chain((3,), gone, Linear(whole(1, 3, 3)), deaf)))
    assert [(f.kind, f.where) for f in caught.value.findings] == [("alpha", "0"), ("gain", "2")]
    assert caught.value.exit_code == 3


def test_analog_calibration_inputs_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="no counts of spikes") as caught:
        quantise(two_layers(), None, {"input": np.full((3, 1, 6), 0.5)})
    assert caught.value.where == "input"


def test_max_pooling_needs_at_most_one_spike_in_a_step() -> None:
    with pytest.raises(UnsupportedError, match="3 times") as caught:
        quantise(NETS["max pool"](), QuantiseChoice(law=Law(max_spikes=3, reset="subtract")))
    assert caught.value.where == "1"


def test_a_decay_that_the_bits_cannot_hold_is_a_warning() -> None:
    model = discretise(chain((3,), cuba_lif((3,), tau_mem=10.0)))
    assert [(f.kind, f.where) for f in quantise(model).findings] == [("decay_lost", "0")]
    assert not quantise(model, QuantiseChoice(law=Law(decay_bits=16))).findings


def test_stochastic_rounding_has_its_seed_and_a_key_for_each_population() -> None:
    made = quantise(two_layers(), QuantiseChoice(law=Law(rounding=STOCHASTIC), seed=7))
    found = [node for node in made.graph.nodes.values() if isinstance(node, Population)]
    assert [(node.seed, node.key) for node in found] == [(7, 0), (7, 1)]


@pytest.mark.parametrize("strict", [True, False])
def test_spikes_at_exactly_the_threshold_follow_norse_whatever_the_laws_test(strict: bool) -> None:
    model = discretise(chain((2,), integrate((2,), v_th=F(1), v_reset=F(0), v0=F(0))))
    x = np.ones((4, 1, 2), F)
    made = quantise(model, QuantiseChoice(law=Law(strict=strict)), {"input": x})
    np.testing.assert_array_equal(emulate(made.graph, {"input": x}).spikes["0"][:, 0, 0], [False, True, False, True])


def test_states_too_narrow_make_the_weights_coarser_with_a_warning_that_names_the_option() -> None:
    model = discretise(chain((3,), Linear(whole(1, 3, 3) / 8), integrate((3,), v_th=F(100))))
    made = quantise(model, QuantiseChoice(law=Law(state_bits=14)))
    (found,) = made.findings
    lost = int(found.message.split("lose ")[1].split()[0])
    assert (found.kind, found.fix) == ("state_bits", f"use --state-bits {14 + lost}")
    assert made.table[0].shift == 0
    assert not quantise(model, QuantiseChoice(law=Law(state_bits=14 + lost))).findings
    with pytest.raises(ExportError, match="hold no threshold"):
        quantise(discretise(chain((3,), integrate((3,), v_th=F(1e30)))))


def test_overflow_is_proved_absent_or_said_not_to_be() -> None:
    leaky, kept = quantise(two_layers()), quantise(NETS["dense"]())
    for price in (*leaky.table, kept.table[0]):  # the latter gets sums above 0 alone, and the threshold ends them
        assert price.proven
        assert price.bits_needed is not None
        assert price.bits_needed <= price.bits_available == 24
    assert not kept.table[1].proven
    assert kept.table[1].bits_needed is None


def test_overflow_downwards_is_proved_absent_too() -> None:
    weight = -np.abs(np.random.default_rng(0).normal(size=(3, 6))).astype(F)
    (price,) = quantise(discretise(chain((6,), Linear(weight), cuba_lif((3,))))).table
    assert price.proven


def test_one_bit_weights_are_signs_with_the_mean_magnitude() -> None:
    model = two_layers()
    made = quantise(model, QuantiseChoice(law=Law(weight_bits=1), search=False))
    weight = model.nodes["0"].weight  # type: ignore[union-attr]
    np.testing.assert_array_equal(made.graph.nodes["0"].weight, np.where(weight >= 0, 1, -1))  # type: ignore[union-attr]
    assert made.table[0].projections[0].scale[0] == pytest.approx(float(np.abs(weight).mean()))


@pytest.fixture(scope="module")
def digits() -> tuple[Graph[DiscreteNode], dict[str, Array], Array, Array]:
    with (DIGITS / "model.pt").open("rb") as file:
        saved = read_saved(file, name="model.pt", limits=Limits())
    test = np.load(DIGITS / "test.npz")
    return discretise(saved.graph), dict(saved.inputs), test["input"], test["labels"]


@pytest.mark.bulk  # the default suite exports the digits in tests/system
@pytest.mark.parametrize(("bits", "allowed"), [(8, 0.01), (4, 0.03)])
def test_digits_keep_their_accuracy(digits: Any, bits: int, allowed: float) -> None:
    model, calibration, x, labels = digits
    made = quantise(model, QuantiseChoice(law=Law(weight_bits=bits)), calibration)
    truth, got = interpret(model, {"input": x}), emulate(made.graph, {"input": x})
    before, after = (float(np.mean(decisions(r) == labels)) for r in (truth, got))
    assert before > 0.97
    assert abs(after - before) <= allowed
    assert [price.node for price in made.table] == ["1", "4", "7", "9"]
    assert all(price.proven for price in made.table)


@pytest.mark.bulk
def test_digits_cost_less_with_more_bits(digits: Any) -> None:
    model, calibration, _, _ = digits
    few = {name: raster[:, :8] for name, raster in calibration.items()}
    differing = []
    for bits in (4, 8, 12):
        law = replace(Law(), weight_bits=bits)
        differing.append(sum(price.differing or 0 for price in quantise(model, QuantiseChoice(law=law), few).table))
    assert differing[0] > 2 * differing[1] > 8 * differing[2]


def test_two_names_of_one_composition_have_the_same_bits() -> None:
    model = NETS["pool conv"]()
    made = quantise(model, QuantiseChoice(bits={"1": 5, "2": 5}))
    assert [(weights.bits, weights.layers) for weights in made.table[1].projections] == [(5, ("1", "2"))]
    with pytest.raises(UsageError, match="one set of weights, and are given '1' 5, '2' 6") as caught:
        quantise(model, QuantiseChoice(bits={"1": 5, "2": 6}))
    assert "--bits" in caught.value.where
    with pytest.raises(UsageError):
        quantise(model, QuantiseChoice(bits={"1+2": 5, "2": 6}))


@pytest.mark.parametrize("by_engine", [False, True])
def test_overflows_are_counted_where_they_are_not_proved_absent(
    by_engine: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = discretise(chain((3,), Linear(-np.eye(3, dtype=F)), integrate((3,), v_reset=F(0), v0=F(0))))
    x = {"input": np.ones((60, 2, 3), F)}
    if by_engine:
        monkeypatch.setattr(calibrate, "EMULATED_WORK", 0)
    made = quantise(model, QuantiseChoice(law=Law(state_bits=10)), {"input": x["input"][:4]})
    assert made.table[0].overflows == 0
    assert not made.table[0].proven
    unit = float(made.graph.nodes["1"].unit["v"].flat[0])  # type: ignore[union-attr]
    beyond = sum(step > 512 * unit for step in range(1, 61))  # steps after which the membrane would be below -512
    assert 0 < beyond < 60
    assert count_overflows(made.graph, x) == {"1": 6 * beyond}
    leaky = quantise(two_layers())
    assert [price.overflows for price in leaky.table] == [0, 0]
    assert count_overflows(leaky.graph, {"input": spikes(np.random.default_rng(0), 9, 2, 6)}) == {}


def test_one_weight_that_is_far_larger_than_the_others_is_told() -> None:
    model = two_layers()
    assert all(one.outlier < 4 for price in quantise(model).table for one in price.projections)
    weight = np.random.default_rng(5).normal(size=(20, 20)).astype(F)
    weight[3, 4] = 300.0
    made = quantise(discretise(chain((20,), Linear(weight), cuba_lif((20,), v_th=0.3))))
    assert 60 < made.table[0].projections[0].outlier < 300


def test_values_have_their_error_in_the_models_units() -> None:
    model = discretise(chain((6,), Linear(whole(1, 3, 6), whole(2, 3)), cuba_li((3,), tau_mem=8e-3)))
    x = {"input": spikes(np.random.default_rng(1), 30, 2, 6, rate=0.4)}
    made = quantise(model, QuantiseChoice(law=Law(weight_bits=3)), x)
    truth, got = interpret(model, x).outputs["output"], emulate(made.graph, x).outputs["output"]
    (cost,) = made.table
    assert cost.value_max_abs == pytest.approx(float(np.abs(got - truth).max()))
    assert cost.value_mean_abs == pytest.approx(float(np.abs(got - truth).mean()))


@pytest.mark.bulk
def test_digits_with_states_of_8_bits_are_still_recognised(digits: Any) -> None:
    model, calibration, x, labels = digits
    made = quantise(model, QuantiseChoice(law=Law(state_bits=8)), calibration)
    got = emulate(made.graph, {"input": x[:, :120]})
    assert float(np.mean(decisions(got) == labels[:120])) > 0.85
    assert all(price.overflows for price in made.table)
