"""Every variant of a population's kernel gives the same bits; its text holds the program's structure and no more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fixed_comparison import first_difference

from norse_export.engine import codegen, packing
from norse_export.engine.network import compile_network
from norse_export.interpret.fixed import emulate
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Output
from norse_export.program.laws import Law, integer_family
from norse_export.program.operations import FLOOR, HALF_EVEN, STOCHASTIC, TOWARD_ZERO, Rounding, mul_shift, saturate
from norse_export.program.program import Family, Program, Step

VARIANTS = [
    codegen.Variant(bits, uniform, exact, False)
    for bits in (32, 64)
    for uniform in (False, True)
    for exact in (False, True)
]


def net(program: Program, keep: Any, *, bias: Any = 0) -> Graph[Any]:
    """A population of 33 neurons that goes through all of its range."""
    rng = np.random.default_rng(5)
    parameters = {"v_keep": keep, "v_bias": bias, "v_th": 900, "v_reset": -7, "i_keep": 3000, "i_bias": 1}
    given = {name: np.broadcast_to(np.int64(parameters[name]), 33) for name in program.parameters}
    rest = dict.fromkeys(program.variables, np.int64(0))
    nodes = {
        "in": FixedInput((40,)),
        "w": DenseSynapses(rng.integers(-127, 128, (33, 40)).astype(np.int8), (40,), (33,)),
        "p": Population(program=program, shape=(33,), parameters=given, initial_state=rest, dt=1e-3, seed=3, key=1),
    }
    return Graph(nodes, (Edge("in", "w"), Edge("w", "p")))


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("keep", [0, 1, 3686, 4096, np.arange(33) * 125])
def test_each_rounding_in_32_and_in_64_bits(rounding: Rounding, keep: Any) -> None:
    graph = net(integer_family("lif", Law(rounding=rounding), 0).trace(), keep)
    given = {"in": np.random.default_rng(2).random((30, 2, 40)) < 0.3}
    expected = emulate(graph, given, states=True)
    for general_below in (0, 1000):
        network = compile_network(graph, general_below=general_below)
        variant = network.nodes.populations["p"].variant
        assert variant.bits == (64 if general_below else 32)
        assert variant.exact == (not general_below and np.max(keep) < 4096)  # without a leak the state can leave it
        assert first_difference(expected, network.run(given, states=True).run) is None


@pytest.mark.parametrize(("rounding", "factor"), [(FLOOR, -3), (TOWARD_ZERO, -3), (HALF_EVEN, -3), (HALF_EVEN, -1)])
def test_negative_factors(rounding: Rounding, factor: int) -> None:
    def step(x: Any, v: Any, *, v_keep: Any) -> Step:
        v1 = saturate(mul_shift(v, v_keep, 2, rounding) + x, -5000, 5000)
        return Step(state=(v1,), output=v1)

    graph = net(Family("alternating", step, ports=("x",), state=("v",)).trace(), factor)
    given = {"in": np.random.default_rng(2).random((30, 2, 40)) < 0.3}
    network = compile_network(graph, general_below=0)
    assert network.nodes.populations["p"].variant.bits == 32
    assert first_difference(emulate(graph, given, states=True), network.run(given, states=True).run) is None


WINDOWS: dict[str, dict[str, Any]] = {
    "stride": {"stride": (2, 2), "padding": (2, 1)},
    "one axis": {"stride": (1, 3), "padding": (0, 2)},
    "dilation": {"dilation": (2, 1), "padding": (1, 1)},
    "groups": {"groups": 2, "stride": (2, 1)},
    "padding beyond the kernel": {"padding": (3, 4)},
}


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32"])
@pytest.mark.parametrize("window", WINDOWS)
def test_a_convolution_written_out_is_the_convolution(window: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, options = np.random.default_rng(1), WINDOWS[window]
    taken = 4 // options.get("groups", 1)
    size = 128 if dtype == "int8" else 30_000
    weight = rng.integers(-size, size, (6, taken, 3, 2)).astype(dtype)
    window_of = {key: options.get(key, (1, 1)) for key in ("stride", "dilation")}
    out = Conv(
        np.zeros(weight.shape),
        (7, 6),
        None,
        padding=options.get("padding", (0, 0)),
        groups=options.get("groups", 1),
        **window_of,
    ).output_shape
    graph = Graph(
        {"in": FixedInput((4, 7, 6)), "w": ConvSynapses(weight, (4, 7, 6), out, **options), "out": Output(out)},
        (Edge("in", "w"), Edge("w", "out")),
    )
    given = {"in": rng.random((9, 3, 4, 7, 6)) < 0.4}
    expected, kernels, counted = emulate(graph, given), set(), set()
    monkeypatch.setattr(packing, "WASTED", 100)
    for most in (0, packing.WRITTEN_OUT):
        monkeypatch.setattr(packing, "WRITTEN_OUT", most)
        network = compile_network(graph)
        kernels.add(network.nodes.projections["w"]["in"].kernel.__name__)
        done = network.run(given)
        counted.add(done.activity.synaptic_operations["w"])
        assert first_difference(expected, done.run) is None
    assert kernels == {"strided", "unrolled"}
    assert len(counted) == 1


def test_numbers_and_names_are_not_in_the_text() -> None:
    a = integer_family("cuba_lif", Law(), 2).trace()
    b = integer_family("cuba_lif", Law(state_bits=20, decay_bits=9), 5).trace()
    for variant in VARIANTS:
        assert codegen.update_source(a, variant) == codegen.update_source(b, variant)
    assert codegen.constants(a, 32) != codegen.constants(b, 32)
    c = integer_family("cuba_lif", Law(rounding=TOWARD_ZERO), 2).trace()
    assert codegen.update_source(a, VARIANTS[0]) != codegen.update_source(c, VARIANTS[0])


def test_a_name_from_a_file_cannot_reach_the_text() -> None:
    program = integer_family("lif", Law(rounding=STOCHASTIC), 0).trace()
    steps = tuple(
        type(step)(step.op, step.operands, "x\n    import os" if step.name else "", step.constants, step.rounding)
        for step in program.instructions
    )
    evil = Program(steps, program.state, program.spike, program.output, (("import os", program.output),))
    for variant in VARIANTS:
        assert "os" not in codegen.update_source(evil, variant).replace("positions", "")
