"""Target loihi: models as integers of the chip, what is refused, and what the .net file gives back, to the bit."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loihi_models import NETS, Nodes, box, images, kernel, linear, number, raster, summing
from small_nets import chain, cuba_lif, discrete_chain, graph

from norse_export.engine.network import compile_network
from norse_export.errors import ExportError, UnsupportedError, UsageError
from norse_export.interpret import interpret
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, Population
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Input, Linear, Output, Pool
from norse_export.passes.discretise import discretise
from norse_export.passes.lowered import InputRange
from norse_export.passes.plans import QuantiseChoice
from norse_export.passes.quantise import Quantised
from norse_export.program.laws import Law
from norse_export.targets.loihi.target import LoihiTarget
from norse_export.targets.loihi.weights import arriving, settled, whole

pytestmark = pytest.mark.bulk  # the default suite has the recordings, and whole exports

TARGET = LoihiTarget(states=True)


def lowered(model: Graph[Any], inputs: dict[str, Any] | None = None, **choices: Any) -> Quantised:
    return TARGET.lower(model, QuantiseChoice(**choices), inputs, ranges=None)


@pytest.mark.parametrize("name", NETS)
def test_the_files_give_back_every_spike_and_state(name: str, tmp_path: Path) -> None:
    make, shape = NETS[name]
    inputs = raster(*shape)
    made = lowered(make(), inputs)
    assert [f for f in TARGET.check(made.graph) if f.severity == "error"] == []
    TARGET.emit(made.graph, tmp_path)
    actual, expected = TARGET.run(tmp_path, inputs), compile_network(made.graph).run(inputs, states=True).run
    assert all(sent.any() for sent in expected.spikes.values())
    for kind in ("spikes", "outputs"):
        found, wanted = getattr(actual, kind), getattr(expected, kind)
        assert found.keys() == wanted.keys()
        assert all(np.array_equal(found[key], wanted[key]) for key in wanted)
    for kind in ("observables", "final_state"):
        found, wanted = getattr(actual, kind), getattr(expected, kind)
        assert found.keys() == wanted.keys()
        assert all(np.array_equal(found[key][v], wanted[key][v]) for key in wanted for v in ("u", "v"))


@pytest.mark.parametrize(("name", "most"), [("cuba_lif", 0.03), ("lif", 0.05), ("if", 0.08), ("gain", 0.05)])
def test_what_is_late_is_named_and_nearly_the_model(name: str, most: float) -> None:
    make, shape = NETS[name]
    model, inputs = make(), raster(*shape)
    made = lowered(model, inputs)
    assert made.skew == {"1": 1, "output": 1}
    before = interpret(model, inputs).spikes["1"]
    after = compile_network(made.graph).run(inputs).run.spikes["1"]
    differing = np.count_nonzero(before[:-1] != after[1:])
    assert differing <= most * np.count_nonzero(before)
    assert np.count_nonzero(before != after) > 3 * differing  # the comparison is one of shifted rasters


def test_a_model_whose_numbers_the_chip_has_is_the_same_to_the_spike() -> None:
    """Even weights k/64 without a leak: nothing is rounded, and no spike differs, one step later."""
    weight = 2 * np.random.default_rng(0).integers(-127, 128, (8, 6)) / 64
    weight[0, 0] = 254 / 64
    model, inputs = discrete_chain((6,), Linear(weight.astype(np.float32)), summing()), raster(6)
    made = lowered(model, inputs)
    before = interpret(model, inputs).spikes["1"]
    assert before.any()
    assert np.array_equal(before[:-1], compile_network(made.graph).run(inputs).run.spikes["1"][1:])


def test_a_shift_of_variables_is_exact_in_its_numbers() -> None:
    """v_leak and v_reset of 0.5, and a threshold of 1.5, are a neuron of 0, 0 and 1."""
    inputs = raster(6)
    values = {"v_leak": number(0.5), "v_reset": number(0.5), "v_th": number(1.5)}
    moved = lowered(discrete_chain((6,), linear(8, 6, scale=9.0), box(**values)), inputs)
    plain = lowered(discrete_chain((6,), linear(8, 6, scale=9.0), box()), inputs)
    one, other = (made.graph.nodes["1"] for made in (moved, plain))
    assert isinstance(one, Population)
    assert isinstance(other, Population)
    assert all(np.array_equal(one.parameters[key], other.parameters[key]) for key in other.parameters)


def test_a_leak_beyond_the_reset_is_a_bias() -> None:
    made = lowered(discrete_chain((6,), linear(8, 6, scale=9.0), box(v_leak=number(0.5), v0=number(0))), raster(6))
    node = made.graph.nodes["1"]
    assert isinstance(node, Population)
    scale = node.unit["u"] * 64
    assert np.abs((node.parameters["bias"] >> 6) * scale - 0.5).max() <= scale.max() / 2


def test_registers_are_those_of_the_law() -> None:
    """du + 1 = 4096 beta, dv = 4096 alpha; threshold v_th / (alpha s), s being what an integer 1 stands for."""
    made = lowered(NETS["cuba_lif"][0](), raster(6))
    node = made.graph.nodes["1"]
    assert isinstance(node, Population)
    assert 4096 - int(node.parameters["u_keep"][0]) == round(4096 * 0.2)
    assert 4096 - int(node.parameters["v_keep"][0]) == round(4096 * 0.1)
    scale = float(node.unit["u"][0]) * 64
    assert int(node.parameters["v_th"][0]) >> 6 == round(1 / (0.1 * scale))
    assert node.unit["v"][0] == pytest.approx(scale * 0.1 / 64)


def test_families_without_a_synapse_forget_their_current() -> None:
    for name in ("lif", "if"):
        node = lowered(NETS[name][0](), raster(6)).graph.nodes["1"]
        assert isinstance(node, Population)
        assert not node.parameters["u_keep"].any()
    assert (node.parameters["v_keep"] == 4096).all()  # IF, the last of them, has no leak


def test_mixed_weights_are_even_or_small_and_those_of_one_sign_are_not() -> None:
    mixed = lowered(NETS["cuba_lif"][0](), search=False).graph.nodes["0"]
    assert isinstance(mixed, DenseSynapses)
    assert not np.any(mixed.weight & 1)
    assert max(mixed.weight.max(), -mixed.weight.min()) in (254, 256)
    positive = Linear(np.abs(linear(8, 6).weight))
    made = lowered(discrete_chain((6,), positive, cuba_lif((8,))), search=False).graph.nodes["0"]
    assert isinstance(made, DenseSynapses)
    assert made.weight.max() == 255
    assert np.any(made.weight & 1)


def test_pooling_before_a_convolution_is_part_of_it() -> None:
    made = lowered(images(), raster(1, 8, 8))
    kernels = {name: node.weight.shape for name, node in made.graph.nodes.items() if isinstance(node, ConvSynapses)}
    assert kernels == {"0": (4, 1, 3, 3), "2+3": (6, 4, 6, 6)}
    assert made.skew == {"1": 1, "4": 2, "7": 3, "9": 4, "output": 4}


def test_a_readout_is_proved_and_its_values_are_near() -> None:
    model, inputs = NETS["li"][0](), raster(6)
    made = lowered(model, inputs)
    prices = {price.node: price for price in made.table}
    assert prices["3"].proven
    before = interpret(model, inputs).outputs["output"][:-2]
    after = compile_network(made.graph).run(inputs).run.outputs["output"][2:]
    assert np.sqrt(np.mean((after - before) ** 2)) < 0.05 * np.sqrt(np.mean(before**2))


def refused(model: Graph[Any], inputs: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(UnsupportedError) as caught:
        lowered(model, inputs)
    assert all(finding.where and finding.fix for finding in caught.value.findings)
    return [finding.kind for finding in caught.value.findings]


def test_what_the_chip_has_not_is_refused_by_name_and_all_at_once() -> None:
    def net(neuron: Any) -> Graph[Any]:
        return discrete_chain((6,), linear(8, 6), neuron)

    apart = np.linspace(5e-3, 1e-2, 8).astype(np.float32)
    assert refused(net(cuba_lif((8,), tau_mem=apart))) == ["decays"]
    assert refused(net(cuba_lif((8,), tau_syn=apart))) == ["decays"]
    assert refused(net(cuba_lif((8,), tau_syn=1e3))) == ["decay_range"]
    assert refused(net(cuba_lif((8,), v_leak=1.5))) == ["initial_state"]  # it starts there, above the threshold
    assert refused(net(cuba_lif((8,), v_th=-0.5))) == ["threshold"]
    both = discrete_chain((6,), linear(8, 6), cuba_lif((8,), tau_mem=apart), linear(8, 8), cuba_lif((8,), v_th=-1.0))
    assert refused(both) == ["decays", "threshold"]


def test_max_pooling_and_graded_inputs_are_refused() -> None:
    pooled = discrete_chain(
        (1, 4, 4),
        kernel(2, 1, 3, (4, 4), padding=(1, 1)),
        cuba_lif((2, 4, 4)),
        Pool("max", (2, 4, 4), (2, 2), (2, 2)),
        kernel(2, 2, 1, (2, 2)),
        cuba_lif((2, 2, 2)),
    )
    assert refused(pooled) == ["max_pool"]
    with pytest.raises(UnsupportedError, match="an input of 0 to 3"):
        TARGET.lower(NETS["cuba_lif"][0](), QuantiseChoice(), None, ranges={"input": InputRange(0, 3)})


@pytest.mark.parametrize("choices", [{"per_channel": True}, {"bits": {"0": 4}}, {"law": Law(state_bits=16)}])
def test_widths_are_the_chips(choices: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="the chip has its own widths: 8 bits"):
        lowered(NETS["cuba_lif"][0](), **choices)


def branched() -> Graph[Any]:
    nodes: Nodes = {"input": Input((6,), "float32"), "a": linear(8, 6, scale=3.0), "lif": cuba_lif((8,))}
    nodes |= {"b": linear(8, 8), "skip": linear(8, 6, 3), "second": cuba_lif((8,)), "output": Output((8,))}
    order = ["input", "a", "lif", "b", "second", "output"]
    return discretise(graph(nodes, [*pairwise(order), ("input", "skip"), ("skip", "second")]))


def test_branches_are_refused_in_check_with_the_layer_and_the_reason(tmp_path: Path) -> None:
    made = lowered(branched(), raster(6))
    (finding,) = [f for f in TARGET.check(made.graph) if f.severity == "error"]
    assert (finding.kind, finding.where) == ("branch", "second")
    assert "netx" in finding.message
    with pytest.raises(UnsupportedError, match="netx connects a layer to the one before"):
        TARGET.emit(made.graph, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_all_zero_are_refused_in_check() -> None:
    nothing = discrete_chain((6,), Linear(np.zeros((8, 6), np.float32)), cuba_lif((8,)))
    assert [f.kind for f in TARGET.check(lowered(nothing).graph) if f.severity == "error"] == ["zero_weights"]


@pytest.mark.parametrize("least", [-1.0, -4.0, -256.0])
def test_weights_that_netx_would_kill_arrive(least: float, tmp_path: Path) -> None:
    """netx loads a layer whose weights are all -2^k as a dead one; it must not be written so."""
    neuron = cuba_lif((4,), v_th=0.2).changed(v_leak=np.full(4, 0.9, np.float32), v0=np.zeros(4, np.float32))
    model = discretise(chain((4,), Linear(np.full((4, 4), least / 256, np.float32)), neuron))
    inputs = raster(4)
    made = lowered(model, inputs)
    TARGET.emit(made.graph, tmp_path)
    actual, expected = TARGET.run(tmp_path, inputs), compile_network(made.graph).run(inputs, states=True).run
    assert expected.observables["1"]["u"].any()
    assert np.array_equal(actual.observables["1"]["u"], expected.observables["1"]["u"])


def test_negative_weights_with_a_zero_among_them_arrive() -> None:
    """netx gives them 9 bits where the least is odd or beyond -128, and Lava then drops them all."""
    values = -np.abs(np.random.default_rng(0).normal(size=(8, 6)))
    values[0, 0] = 0
    for scale in (0.004, 0.01, 0.02, 0.03):
        weight = settled(whole(values, scale))
        assert np.array_equal(arriving(weight), weight)
        assert np.abs(weight * scale - values)[weight > -250].max() <= scale


def test_the_law_and_its_mode_are_named() -> None:
    law = lowered(NETS["cuba_lif"][0](), raster(6)).graph.metadata["law"]
    assert law.startswith("lava (")
    assert "even8" in law


def test_without_calibration_the_weights_alone_decide() -> None:
    made = lowered(NETS["images"][0]())
    assert made.measured is None
    assert len(made.table) == 4


def test_every_refusal_is_one_of_ours() -> None:
    with pytest.raises(ExportError):
        lowered(discrete_chain((6,), linear(8, 6)))
