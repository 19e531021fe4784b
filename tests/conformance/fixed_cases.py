"""A fixed graph and inputs for each hard point of integer execution: small, and each of its values chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from fixed_builder import Case, Net, Shape, column, drawn, of_family, of_law, ones
from fixed_programs import _difference, _graded, _lava, _payload, _ternary, _two_ports

from norse_export.ir.fixed import ConvSynapses, Delivery, DenseSynapses, SparseSynapses
from norse_export.ir.layers import Linear, Output
from norse_export.program.laws import Law
from norse_export.program.operations import (
    FLOOR,
    HALF_EVEN,
    STOCHASTIC,
    TOWARD_ZERO,
    equal,
    saturate,
    shift_right,
    where,
)
from norse_export.program.program import Family, Step


def the_threshold_is_met_exactly() -> Case:
    net = Net()
    net.input((1,))
    for name, strict in (("above", True), ("met", False)):
        net.add(name, of_law("if", (6,), law=Law(strict=strict), v_th=range6()))
        net.dense("input", column(1, 1, 1, 1, 1, 1), name)
    return net.case(input=ones(8, 1))


def range6() -> list[int]:
    return [0, 1, 2, 3, 4, 5]


def decays_of_numbers_below_zero() -> Case:
    """Floor, toward zero and half-even part ways below 0."""
    net = Net()
    net.input((1,))
    for rounding in (FLOOR, TOWARD_ZERO, HALF_EVEN):
        name, keep = rounding.value, {"v_keep": 3001, "i_keep": 2777}
        net.add(name, of_law("cuba_lif", (8,), law=Law(rounding=rounding), v_th=150, v_reset=-7, **keep))
        net.dense("input", column(-1, -2, -3, -50, -127, 1, 7, 100), name)
    return net.case(input=np.array([1, 0, 0, 1, 1, 0, 0, 0, 0, 0]).reshape(10, 1, 1))


def decays_that_end_in_ties() -> Case:
    """Half of an odd number, of both signs, beside an even and an odd whole."""
    net = Net()
    net.input((1,))
    law = Law(rounding=HALF_EVEN, decay_bits=1)
    net.add("half", of_law("cuba_lif", (8,), law=law, v_keep=1, i_keep=1, v_th=9))
    net.dense("input", column(1, 3, 5, 7, -1, -3, -5, -7), "half")
    net.add("quarter", of_law("li", (8,), law=Law(rounding=HALF_EVEN, decay_bits=2), v_keep=[1, 2, 3, 1, 2, 3, 1, 2]))
    net.dense("input", column(2, 3, 6, 10, -2, -3, -6, -10), "quarter")
    net.add("out", Output((8,)), "quarter")
    return net.case(input=np.array([1, 0, 0, 1, 1, 0, 0, 0]).reshape(8, 1, 1))


def _edges_of_the_width(overflow: Any) -> Case:
    """Sums of max - 1, max, max + 1 and the same below, of the membrane and of the current."""
    net = Net()
    net.input((1,))
    law = Law(state_bits=8, overflow=overflow)
    start = [126, 126, 126, -127, -127, -127, 100, -100]
    net.add("v", of_law("if", (8,), law=law, v0=start, v_th=[127, 126, 127, 127, 126, 125, 127, 127], v_reset=-3))
    net.dense("input", column(0, 1, 2, 0, -1, -2, 100, -100), "v")
    law = Law(state_bits=8, overflow=overflow, strict=False)
    net.add("i", of_law("cuba_lif", (8,), law=law, i0=start, v_keep=0, i_keep=4096, v_th=127))
    net.dense("input", column(0, 1, 2, 0, -1, -2, 100, -100), "i")
    return net.case(input=np.array([1, 0, 1, 1, 0, 1]).reshape(6, 1, 1))


def states_at_the_edges_of_a_width_that_saturates() -> Case:
    return _edges_of_the_width("saturate")


def states_at_the_edges_of_a_width_that_wraps() -> Case:
    return _edges_of_the_width("wrap")


def states_of_32_bits() -> Case:
    """Sums beyond 2^31 before they are narrowed: 32 bits do not hold them."""
    net = Net()
    net.input((2,), -(2**20), 2**20)
    for overflow in ("saturate", "wrap"):
        law = Law(state_bits=32, overflow=overflow)  # type: ignore[arg-type]
        values = {"v0": 2**31 - 1, "i0": [2**31 - 2, -(2**31), 5], "v_th": [2**31 - 1, 2**31 - 2, -(2**31)]}
        net.add(overflow, of_law("cuba_lif", (3,), 4, law, i_keep=[4096, 4095, 2048], v_keep=4095, **values))
        net.dense("input", [[2**20, 3], [-(2**20), 2**14], [1, -1]], overflow)
    return net.case(input=np.array([[2**20, 1], [-(2**20), 2**20], [0, 0], [77, -3], [1, -1]]).reshape(5, 1, 2))


def resets_with_an_overshoot() -> Case:
    """A reset to a value forgets how far above the threshold v was; a subtraction does not."""
    net = Net()
    net.input((1,))
    for name, law in (("value", Law()), ("subtract", Law(reset="subtract"))):
        reset = {"v_reset": [0, -5, 3, 30]} if name == "value" else {}
        net.add(name, of_law("lif", (4,), law=law, v_th=[10, 11, 12, 13], v_keep=[4096, 4000, 4096, 2048], **reset))
        net.dense("input", column(7, 25, 12, 14), name)
    return net.case(input=ones(8, 1))


def refractory_neurons() -> Case:
    """Driven so hard that they would fire each step; the current goes on while the membrane rests."""
    net = Net()
    net.input((1,))
    for steps in (1, 2, 3):
        name, law = f"rests{steps}", Law(refractory_steps=steps)
        population = of_law("cuba_lif", (3,), law=law, v_th=[5, 20, 50], i_keep=3072, v_reset=1, refractory0=[0, 1, 2])
        net.add(name, population)
        net.dense("input", column(9, 9, 9), name)
    return net.case(input=ones(12, 1))


def several_spikes_in_a_step() -> Case:
    net = Net()
    net.input((1,))
    net.add("many", of_law("if", (5,), law=Law(reset="subtract", max_spikes=3), v_th=[4, 5, 6, 9, 30]))
    net.dense("input", column(13, 13, 13, 13, 13), "many")
    net.add("next", of_law("lif", (2,), law=Law(strict=False, max_spikes=2, reset="subtract"), v_th=11, v_keep=3000))
    net.dense("many", [[1, 2, 3, 4, 5], [-1, 2, -3, 4, 5]], "next")
    return net.case(input=ones(6, 1))


def delays_of_0_to_5_steps() -> Case:
    net = Net()
    net.input((3,))
    net.add("sum", of_law("li", (4,), v_keep=2048))
    for delay in range(6):
        weights = np.random.default_rng(delay).integers(-100, 101, (4, 3))
        net.dense("input", weights, "sum", delay=delay)
    net.add("out", Output((4,)), "sum")
    return net.case(input=drawn(1, 9, 3))


def a_delay_longer_than_the_run() -> Case:
    net = Net()
    net.input((2,))
    net.add("if", of_law("if", (2,), v_th=3))
    net.dense("input", [[2, 1], [1, 2]], "if")
    net.dense("input", [[50, 50], [50, 50]], "if", delay=40)
    return net.case(input=ones(6, 2))


def loops_of_one_and_of_three_steps() -> Case:
    """A population that hears itself a step later, and one before it three steps later."""
    net = Net()
    net.input((3,))
    rng = np.random.default_rng(3)
    net.add("first", of_law("cuba_lif", (5,), 2, v_th=60, i_keep=2048, v_keep=3500))
    net.add("second", of_law("lif", (4,), law=Law(reset="subtract"), v_th=40, v_keep=3900))
    net.dense("input", rng.integers(0, 40, (5, 3)), "first")
    net.dense("first", rng.integers(-30, 31, (5, 5)), "first", delay=1)
    net.dense("first", rng.integers(0, 31, (4, 5)), "second")
    net.dense("second", rng.integers(-30, 31, (5, 4)), "first", delay=3)
    return net.case(input=drawn(4, 14, 3))


def sums_that_are_shifted() -> Case:
    """Right: the floor of the sum, not the sum of floors; below 0 too. Left: exactly."""
    net = Net()
    net.input((4,))
    net.add("sum", of_law("li", (4,), v_keep=0))
    net.dense("input", [[1, 1, 1, 1], [3, -3, 5, -7], [-1, -1, -1, -1], [127, 127, -128, 1]], "sum", shift=-2)
    net.add("left", of_law("li", (4,), v_keep=0))
    net.dense("input", [[1, 1, 1, 1], [3, -3, 5, -7], [-1, -1, -1, -1], [127, 127, -128, 1]], "left", shift=3)
    return net.case(input=drawn(5, 8, 4, samples=3))


def sums_that_are_wrapped_and_then_shifted() -> Case:
    net = Net()
    net.input((4,))
    for bits, shift in ((5, 0), (6, 2), (8, -3), (1, 0)):
        name = f"wrap{bits}"
        net.add(name, of_law("li", (3,), v_keep=0))
        net.dense("input", [[15, 1, 8, -8], [31, 33, -32, 64], [100, 100, -100, 7]], name, wrap_bits=bits, shift=shift)
    return net.case(input=drawn(6, 8, 4, samples=3))


def events_below_zero_and_beyond_one() -> Case:
    """Ternary and graded events, from an input and from populations."""
    net = Net()
    net.input((5,), -128, 127)
    net.add("ternary", of_family(_ternary(12), (4,), keep=4095, v_th=[100, 300, 500, 900]))
    net.dense("input", np.random.default_rng(7).integers(-9, 10, (4, 5)), "ternary")
    net.add("graded", of_family(_graded(16, 2, 100), (3,), v_th=[20, 40, 60]))
    net.dense("ternary", [[30, -30, 60, 7], [25, 50, -11, -70], [90, 100, 110, -120]], "graded")
    net.add("payload", of_family(_payload(16, 15), (3,), gain=14, v_th=100, rise=3))
    net.dense("graded", [[3, -3, 1], [-2, 5, 1], [2, 2, 2]], "payload")
    net.add("sum", of_law("li", (2,), v_keep=2000))
    net.dense("payload", [[1, 2, 3], [-100, 10, 1]], "sum")
    return net.case(input=drawn(8, 12, 5, low=-128, high=127, rate=0.7))


def convolutions() -> Case:
    """Kernels without any symmetry; stride, padding, dilation and groups, each different along the two axes."""
    net, shape = Net(), (4, 6, 5)
    net.input(shape)
    options: Sequence[dict[str, Any]] = (
        {},
        {"padding": (2, 1)},
        {"stride": (2, 1), "padding": (1, 0)},
        {"dilation": (2, 1), "padding": (1, 2)},
        {"groups": 2, "padding": (0, 1)},
        {"groups": 4, "stride": (1, 2), "padding": (1, 1), "dilation": (1, 2)},
    )
    for number, given in enumerate(options):
        kernel = np.random.default_rng(number).integers(-128, 128, (4, 4 // given.get("groups", 1), 3, 2), np.int8)
        out = _map(shape, kernel.shape, **given)
        name = f"conv{number}"
        net.add(name, of_law("lif", out, v_th=200, v_keep=3800))
        net.project("input", ConvSynapses(kernel, shape, out, **given), name)
    return net.case(input=drawn(9, 5, *shape, samples=2))


def _map(
    shape: Shape, kernel: Shape, stride: Any = (1, 1), padding: Any = (0, 0), dilation: Any = (1, 1), groups: int = 1
) -> Shape:
    window = zip(shape[1:], kernel[2:], stride, padding, dilation, strict=True)
    return (kernel[0], *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in window))


def synapses_that_stand_twice() -> Case:
    """Listed synapses: pairs more than once, sources without any, targets without any."""
    net = Net()
    net.input((4,), 0, 3)
    net.add("if", of_law("if", (5,), v_th=[20, 20, 20, 20, 0]))
    starts, targets = np.array([0, 4, 4, 7, 9]), np.array([0, 0, 0, 3, 1, 1, 2, 0, 3], np.int32)
    weight = np.array([5, 7, -3, 2, 9, 9, -4, 1, 100], np.int16)
    net.project("input", SparseSynapses(starts, targets, weight, (4,), (5,)), "if")
    return net.case(input=drawn(10, 10, 4, low=0, high=3))


def biases() -> Case:
    """Of the current and of the membrane, without any input."""
    net = Net()
    net.input((1,))
    bias = {"i_bias": [0, 3, -3, 7], "v_bias": [2, 0, 5, -1]}
    net.add("lif", of_law("cuba_lif", (4,), 3, v_th=20, v_keep=4000, i_keep=2000, **bias))
    net.dense("input", column(1, 1, 1, 1), "lif")
    net.add("li", of_law("cuba_li", (4,), v_keep=3000, i_keep=3000, **bias))
    net.dense("lif", np.eye(4, dtype=int), "li")
    return net.case(input=0 * ones(8, 1))


def initial_states() -> Case:
    """Of v, i and the refractory time, other than 0 and different for each neuron; silent input."""
    net = Net()
    net.input((1,))
    start = {"v0": [15, 25, -7, 3], "i0": [1, -2, 8, 40], "refractory0": [0, 2, 1, 0]}
    law = Law(refractory_steps=2)
    net.add("lif", of_law("cuba_lif", (4,), law=law, v_th=20, v_keep=4000, i_keep=3500, **start))
    net.dense("input", column(1, 1, 1, 1), "lif")
    return net.case(input=0 * ones(8, 1))


def samples_that_differ() -> Case:
    """Each sample starts from the initial state; a busy one beside a silent one, in the middle."""
    net = Net()
    net.input((3,))
    net.add("lif", of_law("cuba_lif", (4,), v_th=60, v_keep=4000, i_keep=3000, v0=[0, 5, 10, 15]))
    net.dense("input", np.random.default_rng(11).integers(-20, 60, (4, 3)), "lif")
    raster = drawn(12, 8, 3, samples=5)
    raster[:, 2] = 0
    raster[:, 3] = 1
    return net.case(input=raster)


def random_numbers() -> Case:
    """Stochastic rounding in two populations that share a seed, one of them with two streams."""
    net = Net()
    net.input((2,))
    law = Law(rounding=STOCHASTIC)
    for key, name in enumerate(("cuba_lif", "lif")):
        keep = {"i_keep": 3333} if name == "cuba_lif" else {}
        net.add(name, of_law(name, (2, 5), law=law, v_keep=3071, key=key, v_th=250, **keep))
        net.dense("input", np.random.default_rng(13).integers(0, 128, (10, 2)), name)
    return net.case(input=drawn(14, 10, 2, samples=3))


def two_ports_of_which_sums_saturate() -> Case:
    """The sum over everything that arrives saturates, not each projection; the ports are not alike."""
    net = Net()
    net.input((4,))
    family = _two_ports(12, 8)
    net.add("both", of_family(family, (3,), saturated={"exc": 50, "inh": 20}, keep=[200, 100, 256], v_th=60, wait=2))
    net.dense("input", [[30, 10, 5, 6], [40, 40, 1, 0], [0, 20, 30, 40]], "both", "exc")
    net.dense("input", [[30, 10, 5, 6], [4, 4, 1, 0], [0, 20, 3, 40]], "both", "exc", delay=1)
    net.dense("input", [[3, 1, 5, 6], [15, 15, 1, 0], [1, 2, 3, 4]], "both", "inh", delay=2)
    net.add("difference", of_family(_difference(9), (2,), bias=[-3, 4], unit=[0.5, 0.3]))
    net.dense("both", [[90, 100, 110], [7, 8, 9]], "difference", "plus")
    net.dense("both", [[100, 90, 80], [70, 80, 90]], "difference", "minus", delay=1)
    net.add("out", Output((2,)), "difference")
    return net.case(input=drawn(15, 14, 4))


def several_projections_onto_one_port() -> Case:
    """A residual: the input and what stands between; two delays from one source."""
    net = Net()
    net.input((3,))
    net.add("between", of_law("if", (3,), v_th=30))
    net.dense("input", [[20, 5, 5], [5, 20, 5], [5, 5, 20]], "between")
    net.add("end", of_law("lif", (3,), v_th=50, v_keep=4000))
    net.dense("between", [[40, 3, 3], [3, 40, 3], [3, 3, 40]], "end")
    net.dense("input", [[11, 0, 0], [0, 13, 0], [0, 0, 17]], "end")
    net.dense("input", [[0, 7, 0], [0, 0, 9], [5, 0, 0]], "end", delay=2)
    return net.case(input=drawn(16, 10, 3))


def _clock(x: Any, v: Any, t: Any, *, start: Any) -> Step:
    now = equal(t, start)
    v1 = saturate(where(now, 0, v) + where(t > start, x + t, x), -500, 500)
    z = (v1 > 90) & ~now
    return Step(spike=z, state=(where(z, 0, v1),), observe={"half": shift_right(v1, 1, TOWARD_ZERO), "v": v})


def the_number_of_the_step() -> Case:
    """A program that reads the clock, and records the membrane before the step."""
    net = Net()
    net.input((2,))
    net.add("clock", of_family(Family("clock", _clock, ("x",), ("v",), clock=True), (4,), start=[0, 1, 4, 7], v0=-30))
    net.dense("input", [[9, -20], [30, 9], [9, 9], [-7, 9]], "clock")
    return net.case(input=drawn(17, 10, 2))


def loihi() -> Case:
    """Lava's neuron: a current of 23 bits that wraps once, decays toward zero, a delivery shifted by 6 in the law."""
    net = Net()
    net.input((3,))
    start = {"u0": [2**23 - 1, -(2**23), 77, -77, 2**23], "v0": [0, 5, -(2**23), 2**23 - 1, 9]}
    values = {"ku": [4096, 4000, 3000, 3000, 0], "kv": [4095, 0, 2000, 3999, 4096], "bias": [0, 5, -9, 1, 0]}
    net.add("lava", of_family(_lava(6), (5,), v_th=[6000, 9000, 700, 2**23 - 1, 640], **values, **start))
    net.dense("input", np.random.default_rng(18).integers(-100, 128, (5, 3)), "lava", "a")
    return net.case(input=drawn(19, 10, 3))


def readouts_in_the_units_of_the_model() -> Case:
    """Outputs: a membrane in its unit, a layer on the host behind it, raw sums of synapses, spikes."""
    net = Net()
    net.input((3,))
    net.add("lif", of_law("lif", (4,), v_th=60, v_keep=4000))
    net.dense("input", np.random.default_rng(20).integers(0, 60, (4, 3)), "lif")
    net.add("spikes", Output((4,)), "lif")
    net.add("li", of_law("li", (2,), v_keep=3000, unit=[0.25, 0.5]))
    net.dense("lif", [[1, -2, 3, 4], [9, 9, -9, 9]], "li")
    net.add("membrane", Output((2,)), "li")
    net.add("linear", Linear(np.array([[1.5, -2.0], [0.25, 4.0]]), np.array([0.5, -1.0])), "li")
    net.add("host", Output((2,)), "linear")
    node = DenseSynapses(np.array([[1, 2, 3, -4]], np.int8), (4,), (1,), Delivery(shift=-1))
    net.add("raw", Output((1,)), net.add("readout", node, "lif"))
    return net.case(input=drawn(21, 10, 3))


def every_cell_fires_at_once() -> Case:
    """Lists of events that are full, of cells with values and without, and kept for several steps."""
    net, rng = Net(), np.random.default_rng(22)
    net.input((300,), -3, 3)
    net.add("plain", of_law("if", (200,), v_th=-1))
    net.add("graded", of_family(_graded(16, 0, 100), (200,), v_th=0))
    net.add("end", of_law("lif", (9,), v_th=3000, v_keep=3900))
    net.dense("input", 1 + (np.arange(60000).reshape(200, 300) % 7 == 0), "plain")
    net.dense("input", 1 + (np.arange(60000).reshape(200, 300) % 5 == 0), "graded")
    for source in ("plain", "graded"):
        for delay in (0, 1, 3):
            net.dense(source, rng.integers(-9, 12, (9, 200)), "end", delay=delay)
    raster = rng.integers(1, 4, (7, 2, 300))
    raster[3] = -raster[3]
    return net.case(input=raster)


def products_at_the_edge_of_32_bits() -> Case:
    """The lower part of a product, (a & 65535) k, is 2^31 and a little more or less; a is -1, and others like it."""
    net = Net()
    net.input((1,))
    start = [-1, 65535, -65535, -65537, 2**23 - 1, -(2**23), 98304, -98303]
    for rounding in (FLOOR, TOWARD_ZERO, HALF_EVEN, STOCHASTIC):
        for keep in (32767, 32768, 32769, 65536):
            name, law = f"{rounding.value}{keep}", Law(rounding=rounding, decay_bits=16)
            net.add(name, of_law("lif", (8,), law=law, v_keep=keep, v0=start, v_th=70000))
            net.dense("input", column(-1, 1, -1, 1, -1, 1, -1, 1), name)
    return net.case(input=np.array([0, 1, 0, 0, 1, 0]).reshape(6, 1, 1))


CASES: tuple[Callable[[], Case], ...] = (
    the_threshold_is_met_exactly,
    decays_of_numbers_below_zero,
    decays_that_end_in_ties,
    states_at_the_edges_of_a_width_that_saturates,
    states_at_the_edges_of_a_width_that_wraps,
    states_of_32_bits,
    resets_with_an_overshoot,
    refractory_neurons,
    several_spikes_in_a_step,
    delays_of_0_to_5_steps,
    a_delay_longer_than_the_run,
    loops_of_one_and_of_three_steps,
    sums_that_are_shifted,
    sums_that_are_wrapped_and_then_shifted,
    events_below_zero_and_beyond_one,
    convolutions,
    synapses_that_stand_twice,
    biases,
    initial_states,
    samples_that_differ,
    random_numbers,
    two_ports_of_which_sums_saturate,
    several_projections_onto_one_port,
    the_number_of_the_step,
    loihi,
    readouts_in_the_units_of_the_model,
    every_cell_fires_at_once,
    products_at_the_edge_of_32_bits,
)
