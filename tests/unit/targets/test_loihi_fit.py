"""Cores and chips of Loihi: what a layer needs, counted again synapse by synapse; the limit that binds."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
from loihi_nets import TARGET, dense_net, image_net

from norse_export.errors import CapacityError
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population
from norse_export.ir.graph import Graph
from norse_export.pipeline.exporting import blocking
from norse_export.targets.loihi import law
from norse_export.targets.loihi.chain import Chain, ChainLayer
from norse_export.targets.loihi.fan_out import axon_bits, fan_outs, index_bits, synapse_bits
from norse_export.targets.loihi.fit import capacity_findings, fitted_limits
from norse_export.targets.loihi.limits import AXONS_IN, AXONS_OUT, COMPARTMENTS, LOIHI1, LOIHI2, MEMORY, THRESHOLDS
from norse_export.targets.loihi.placing import Placed, place_on


def population(*shape: int, v_th: Any = 64) -> Population:
    parameters = {"u_keep": 3000, "v_keep": 3500, "bias": 0, "v_th": v_th}
    return Population(
        program=law.LAVA_LIF.trace(),
        shape=shape,
        parameters={name: np.broadcast_to(np.asarray(value), shape) for name, value in parameters.items()},
        initial_state={name: np.zeros(shape, np.int64) for name in ("u", "v")},
        dt=1e-3,
    )


def dense(name: str, n_in: int, n_out: int, *, loop: bool = False, v_th: Any = 64) -> ChainLayer:
    def synapses(n: int) -> DenseSynapses:
        return DenseSynapses(np.ones((n_out, n), np.int8), (n,), (n_out,))

    return ChainLayer(
        name, f"to {name}", synapses(n_in), population(n_out, v_th=v_th), synapses(n_out) if loop else None
    )


def chain(*layers: ChainLayer) -> Chain:
    return Chain("input", layers[0].synapses.input_shape, layers)


def conv(rng: np.random.Generator) -> ConvSynapses:
    groups = int(rng.choice([1, 2]))
    kernel, stride, dilation = rng.integers(1, 4, 2), rng.integers(1, 3, 2), rng.integers(1, 3, 2)
    size = kernel * dilation + rng.integers(0, 5, 2)
    padding = rng.integers(0, 2, 2)
    maps = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    weight = np.ones((2 * groups, 2, *kernel), np.int8)
    pairs = [tuple(int(n) for n in pair) for pair in (stride, padding, dilation)]
    shapes = (2 * groups, *map(int, size)), (2 * groups, *map(int, maps))
    return ConvSynapses(weight, *shapes, *pairs, groups)


def counted(node: ConvSynapses, start: int, stop: int) -> Any:
    """Synapses of every source cell onto neurons start to stop - 1, one at a time."""
    found = np.zeros(node.input_shape, np.int64)
    maps, inputs, groups = *node.weight.shape[:2], node.groups
    for flat in range(start, stop):
        o, y, x = np.unravel_index(flat, node.map_shape)
        for c in range(inputs):
            for i in range(node.weight.shape[2]):
                for j in range(node.weight.shape[3]):
                    row = y * node.stride[0] - node.padding[0] + i * node.dilation[0]
                    column = x * node.stride[1] - node.padding[1] + j * node.dilation[1]
                    if 0 <= row < node.input_shape[1] and 0 <= column < node.input_shape[2]:
                        found[o // (maps // groups) * inputs + c, row, column] += 1
    return found.reshape(-1)


@pytest.mark.parametrize("seed", range(20))
def test_synapses_onto_a_stretch_of_a_convolution_are_those_of_its_windows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    node = conv(rng)
    size = prod(node.map_shape)
    for _ in range(6):
        start, stop = sorted(rng.integers(0, size + 1, 2))
        assert np.array_equal(fan_outs(node, (int(start), int(stop))), counted(node, int(start), int(stop)))


def test_memory_of_synapses_is_counted_as_nengo_loihi_counts_it() -> None:
    """Chunks of 64 synapses of 8 bits, 10 bits more, in words of 64 bits; 784 -> 512 takes 4608 bits an axon."""
    assert [axon_bits(n) for n in (1, 6, 7, 64, 65, 512)] == [64, 64, 128, 576, 640, 4608]
    assert axon_bits(64, 9) == -(-(64 * 17 + 10) // 64) * 64
    node = ConvSynapses(np.ones((2, 1, 3, 3), np.int8), (1, 6, 6), (2, 4, 4))
    assert index_bits(node) == 6
    counts = counted(node, 0, 32)
    assert synapse_bits(node, counts) == sum(axon_bits(int(count), 6) for count in counts)


@pytest.mark.parametrize(("n_in", "n_out", "cores"), [(784, 512, 4), (1024, 1024, 9)])
def test_cores_by_synapse_memory_are_the_published_ones(n_in: int, n_out: int, cores: int) -> None:
    (fit,) = place_on(chain(dense("a", n_in, n_out)), LOIHI1).fits
    assert (fit.cores, fit.binding) == (cores, MEMORY)


def limits_hold(placed: Placed) -> None:
    for fit in placed.fits:
        for name, figure in placed.chip.core.items():
            assert figure.value is None or fit.needs[name] <= figure.value
    parts = placed.placement().parts
    assert len(parts) == placed.cores
    assert len({part.core for part in parts}) == len(parts)  # layers share no core


@pytest.mark.parametrize(
    ("layers", "binding"),
    [
        ((dense("a", 10, 3000),), COMPARTMENTS),
        ((dense("a", 3000, 800),), MEMORY),
        ((dense("a", 8, 1000, v_th=64 * np.arange(1000)),), THRESHOLDS),
        ((dense("a", 8, 1000), dense("b", 1000, 5200)), AXONS_OUT),
    ],
    ids=["compartments", "memory", "thresholds", "axons out"],
)
def test_the_limit_that_binds_is_named(layers: tuple[ChainLayer, ...], binding: str) -> None:
    placed = place_on(chain(*layers), LOIHI1)
    limits_hold(placed)
    assert placed.fits[0].binding == binding
    assert placed.fits[0].cores > 1
    found = [finding for finding in capacity_findings(chain(*layers)) if finding.message.startswith("Loihi 1")]
    assert len(found) == 1
    if placed.fits[0].cores == max(fit.cores for fit in placed.fits):
        assert f"bound by {binding}" in found[0].message


def test_the_limits_that_check_prints_are_those_of_the_chip_that_is_wanted() -> None:
    used = {limit.name: limit.used for limit in fitted_limits(chain(dense("a", 10, 3000)), "loihi1")}
    assert used["cores of a chip"] == 3
    assert used[f"{COMPARTMENTS} of a core"] == 1000
    assert fitted_limits(chain(dense("a", 10, 3000)))[0].maximum == LOIHI2.core[COMPARTMENTS].value
    assert fitted_limits(chain(dense("a", 10**6, 3)), "loihi1") == ()


def test_axons_are_counted_by_core() -> None:
    """A neuron takes an axon out for every core that it sends to, those of its own layer too."""
    placed = place_on(chain(dense("a", 100, 1200, loop=True), dense("b", 1200, 2100)), LOIHI1)
    limits_hold(placed)
    first, second = placed.fits
    longest = max(stop - start for start, stop in first.stretches)
    assert first.needs[AXONS_OUT] == longest * (second.cores + first.cores)
    assert first.needs[AXONS_IN] == 100 + 1200
    assert second.needs[AXONS_IN] == 1200


def test_a_core_of_an_image_hears_only_what_its_windows_see() -> None:
    node = ConvSynapses(np.ones((8, 1, 3, 3), np.int8), (1, 40, 40), (8, 38, 38))
    placed = place_on(Chain("input", (1, 40, 40), (ChainLayer("a", "c", node, population(8, 38, 38)),)), LOIHI1)
    limits_hold(placed)
    (fit,) = placed.fits
    counts = [np.count_nonzero(counted(node, *stretch)) for stretch in fit.stretches]
    assert fit.needs[AXONS_IN] == max(counts) < 1600


def test_a_model_beyond_one_chip_gets_cores_chips_and_the_limit() -> None:
    wide = chain(dense("a", 4096, 4096), dense("b", 4096, 4096))
    first, second = capacity_findings(wide)
    assert first.severity == second.severity == "warning"
    placed = place_on(wide, LOIHI2)
    assert (placed.chips, placed.binding) == (2, "cores")
    assert placed.placement().height == 2
    assert f"Loihi 2: {placed.cores} cores of 120, 2 chips; layer 'a' takes" in first.message
    assert f"bound by {MEMORY}" in first.message
    assert "the number of chips is bound by the cores of one" in first.message
    assert "unknown: axons in" in first.message
    assert "unknown" not in second.message


def test_neurons_that_send_to_many_cores_are_cut_one_by_one_at_last() -> None:
    """10 neurons, each to 4000 cores: one on a core. With 8 more targets a neuron cannot be held."""
    loop = dense("a", 5, 10, v_th=64)
    placed = place_on(chain(loop, dense("b", 10, 4000 * 1024)), LOIHI1)
    assert placed.fits[0].cores == 10
    assert placed.fits[0].binding == AXONS_OUT
    with pytest.raises(CapacityError, match="one neuron alone needs 4100 axons out") as caught:
        place_on(chain(loop, dense("b", 10, 4100 * 1024)), LOIHI1)
    assert caught.value.findings[0].where == "a"


@pytest.mark.parametrize("wanted", [None, "loihi2", "loihi1"])
def test_what_does_not_fit_is_an_error_of_the_chip_that_is_asked_for(wanted: str | None) -> None:
    """5000 sources: more than the axons that a core of Loihi 1 has; of Loihi 2 nothing is published."""
    found = capacity_findings(chain(dense("a", 8, 5000), dense("b", 5000, 10)), wanted)
    assert [finding.where for finding in found if finding.kind != "cores"] == ["b"]
    error = blocking(found)
    if wanted == "loihi1":
        assert isinstance(error, CapacityError)
        assert error.exit_code == 4
        assert "one neuron alone needs 5000 axons in; a core of Loihi 1 has 4096 (nengo-loihi 1.1.0)" in error.what
    else:
        assert error is None
        assert "not on Loihi 1" in found[-1].message


def test_a_layer_that_no_core_holds_is_named_with_exit_4() -> None:
    made = dense_net()
    n_in = 40_000
    first = DenseSynapses(np.full((8, n_in), 2, np.int8), (n_in,), (8,))
    wide = Graph({**made.nodes, "input": FixedInput((n_in,)), "0": first}, made.edges, made.metadata)
    error = blocking(TARGET.check(wide))
    assert isinstance(error, CapacityError)
    assert [(finding.kind, finding.where) for finding in error.findings] == [("capacity", "1")]
    assert "synapse memory" in error.findings[0].message


def test_two_arrays_take_twice_the_memory_and_the_same_axons() -> None:
    one, two = (place_on(_chain_of(image_net(precision=mode)), LOIHI1) for mode in ("even8", "stacked"))
    for few, more in zip(one.fits, two.fits, strict=True):
        assert more.needs[MEMORY] == 2 * few.needs[MEMORY]
        assert more.needs[AXONS_IN] == few.needs[AXONS_IN]


def _chain_of(graph: Graph[Any]) -> Chain:
    from norse_export.targets.loihi.chain import chain_of

    found, _ = chain_of(graph)
    assert found is not None
    return found
