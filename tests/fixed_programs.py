"""Integer programs for random fixed nets: few structures, so that few kernels are compiled, and many values.

A kernel also depends on whether all neurons share their parameters and whether anything can leave its width. The kinds
in MIXED have all of it; in populations of the others neurons differ, and one of the generic law has a bias at the edge.

Each kind draws widths, shifts, thresholds and initial states, many of them at the edges: max - 1, max and max + 1 of a
width. `drive` is the size of what arrives in a step, so that something happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.ir.fixed import Population
from norse_export.program.laws import Law, integer_family
from norse_export.program.operations import (
    FLOOR,
    HALF_EVEN,
    STOCHASTIC,
    TOWARD_ZERO,
    equal,
    maximum,
    minimum,
    mul_shift,
    saturate,
    shift_left,
    shift_right,
    where,
    wrap,
    wrap_once,
)
from norse_export.program.program import Family, Step

Shape = tuple[int, ...]
Array = NDArray[Any]
Edges = tuple[int, ...]
WIDTHS = (4, 5, 8, 12, 16, 17, 24, 31, 32)


@dataclass(frozen=True)
class Drawn:
    """A population to be: its program, what its numbers are drawn from (low, high, edges), what values it sends."""

    family: Family
    numbers: Mapping[str, tuple[int, int, Edges]]
    sends: tuple[int, int] = (0, 1)
    saturated: Mapping[str, int] = field(default_factory=dict)

    def population(
        self, rng: np.random.Generator, shape: Shape, key: int, unit: Mapping[str, Any], *, mixed: bool
    ) -> Population:
        """Parameters: one number for all neurons or one for each; a part of them at an edge. mixed: see the module."""
        program = self.family.trace()
        share = rng.choice([0.0, 0.3, 1.0]) if mixed else 0.3

        def drawn(name: str) -> Array:
            low, high, edges = self.numbers[name]
            size = () if rng.random() < share else shape
            values = rng.integers(min(low, high), max(low, high), size=size, endpoint=True)
            if edges:
                values = np.where(rng.random(size) < rng.choice([0.0, 0.05, 0.4]), rng.choice(edges, size), values)
            return np.broadcast_to(np.asarray(values, np.int64), shape)

        parameters = {name: drawn(name) for name in program.parameters}
        if not mixed and parameters:
            name = "v_bias" if "v_bias" in parameters else program.parameters[-1]
            different = parameters[name].copy()
            different.flat[-1] = max(self.numbers[name][2], default=0)
            different.flat[0] = different.flat[-1] - 1
            parameters[name] = different
        return Population(
            program=program,
            shape=shape,
            parameters=parameters,
            initial_state={name: drawn(name) for name in program.variables},
            dt=0.001,
            saturated=self.saturated,
            seed=int(rng.integers(2**64, dtype=np.uint64)),
            key=key,
            unit=unit,
        )


Kind = Callable[[np.random.Generator, int], Drawn]


def top(bits: int) -> int:
    return (1 << (bits - 1)) - 1


def edges(bits: int) -> Edges:
    return (top(bits) - 1, top(bits), top(bits) + 1, -top(bits), -top(bits) - 1)


def width(rng: np.random.Generator, drive: int, least: int = 4, most: int = 32) -> int:
    """Mostly one that holds the drive with some room, or lacks a little; else any."""
    if rng.random() < 0.25:
        return int(rng.choice([bits for bits in WIDTHS if least <= bits <= most]))
    return int(np.clip(drive.bit_length() + rng.integers(0, 7), least, most))


# The generic law: family, then how it differs from the default; "shifted": the port is shifted left.
LAWS: tuple[tuple[str, dict[str, Any], bool], ...] = (
    ("cuba_lif", {}, True),
    ("cuba_lif", {"rounding": TOWARD_ZERO, "overflow": "wrap", "strict": False, "refractory_steps": 1}, False),
    ("cuba_lif", {"rounding": HALF_EVEN, "strict": False, "max_spikes": 3, "reset": "subtract"}, True),
    ("cuba_lif", {"rounding": STOCHASTIC, "reset": "subtract", "refractory_steps": 1, "max_spikes": 2}, False),
    ("lif", {"overflow": "wrap", "refractory_steps": 1}, False),
    ("lif", {"rounding": TOWARD_ZERO, "strict": False, "reset": "subtract"}, True),
    ("lif", {"rounding": HALF_EVEN, "overflow": "wrap", "reset": "subtract", "max_spikes": 4}, False),
    ("lif", {"rounding": STOCHASTIC, "strict": False}, False),
    ("if", {"reset": "subtract"}, False),
    ("if", {"overflow": "wrap", "strict": False, "refractory_steps": 1}, True),
    ("if", {"strict": False, "reset": "subtract", "max_spikes": 3}, False),
    ("li", {}, True),
    ("li", {"rounding": TOWARD_ZERO, "overflow": "wrap"}, False),
    ("li", {"rounding": HALF_EVEN}, False),
    ("li", {"rounding": STOCHASTIC, "overflow": "wrap"}, True),
    ("cuba_li", {}, False),
    ("cuba_li", {"rounding": HALF_EVEN, "overflow": "wrap"}, True),
    ("cuba_li", {"rounding": STOCHASTIC}, False),
)


def of_law(name: str, choices: dict[str, Any], shifted: bool) -> Kind:
    def draw(rng: np.random.Generator, drive: int) -> Drawn:
        shift = int(rng.integers(1, 9)) if shifted else 0
        drive = max(1, drive << shift)
        bits, decay = width(rng, drive), int(rng.choice([1, 4, 8, 12, 15, 16]))
        drawn = {"state_bits": bits, "decay_bits": decay}
        if "refractory_steps" in choices:
            drawn["refractory_steps"] = int(rng.integers(1, 4))
        law = Law(**(choices | drawn))
        one, room = 1 << decay, min(drive, law.state_max)
        keep = (one // 2, one, (0, 1, one - 1, one, -1, 1 - one))
        numbers = {
            "v": (-room // 2, room, (0, *edges(bits))),
            "i": (-room // 2, room // 2, (0, *edges(bits))),
            "refractory": (0, 0, (0, 1, law.refractory_steps)),
            "v_keep": keep,
            "i_keep": keep,
            "i_bias": (-room // 8, room // 8, (0, 1, *edges(bits))),
            "v_bias": (-room // 8, room // 4, (0, 1, *edges(bits))),
            "v_th": (room // 4, room, (0, -1, *edges(bits))),
            "v_reset": (-room // 4, room // 4, (0, 1, *edges(bits))),
        }
        if choices.get("reset") == "subtract" and "refractory_steps" in choices:  # else no range is proved for v
            numbers["v_th"] = (room // 4, room, (0, 1, *edges(bits)[:3]))
        return Drawn(integer_family(name, law, shift), numbers, (0, law.max_spikes))

    return draw


@cache
def _lava(shift: int) -> Family:
    def step(a: Any, v: Any, u: Any, *, ku: Any, kv: Any, bias: Any, v_th: Any) -> Step:
        decayed = wrap(mul_shift(u, ku, 12, TOWARD_ZERO) + shift_left(a, shift), 32)
        u1 = wrap_once(decayed, -(2**23) + 1, 2**23)
        v1 = saturate(mul_shift(v, kv, 12, TOWARD_ZERO) + u1 + bias, -(2**23) + 1, 2**23 - 1)
        z = v1 > v_th
        return Step(spike=z, state=(where(z, 0, v1), u1), observe={"before": v1})

    return Family("lava", step, ports=("a",), state=("v", "u"))


def lava(rng: np.random.Generator, drive: int) -> Drawn:
    shift = int(rng.choice([6, max(1, 23 - drive.bit_length())]))
    room = min(drive << shift, 2**23 - 1)
    numbers = {
        "v": (-room, room, (0, *edges(24))),
        "u": (-room, room, (0, 2**23, *edges(24))),
        "ku": (2048, 4096, (0, 1, 4095, 4096)),
        "kv": (2048, 4096, (0, 1, 4095, 4096)),
        "bias": (-room // 8, room // 4, (0, 1, *edges(24))),
        "v_th": (room // 4, room, (0, -1, *edges(24))),
    }
    return Drawn(_lava(shift), numbers)


@cache
def _ternary(bits: int) -> Family:
    def step(x: Any, v: Any, *, keep: Any, v_th: Any) -> Step:
        v1 = saturate(mul_shift(v, keep, 12, TOWARD_ZERO) + x, -top(bits) - 1, top(bits))
        spike = where(v1 > v_th, 1, where(-v1 > v_th, -1, 0))
        return Step(spike=spike, state=(maximum(minimum(v1, v_th), -v_th),), observe={"size": abs(v1)})

    return Family("ternary", step, ports=("x",), state=("v",))


def ternary(rng: np.random.Generator, drive: int) -> Drawn:
    bits = width(rng, drive)
    room = min(drive, top(bits))
    numbers = {"v": (-room, room, edges(bits)), "keep": (2048, 4096, (0, 4095, 4096, -4096))}
    return Drawn(_ternary(bits), numbers | {"v_th": (room // 4, room, (0, *edges(bits)))}, (-1, 1))


@cache
def _two_ports(bits: int, decay: int) -> Family:
    def step(exc: Any, inh: Any, v: Any, e: Any, i: Any, rest: Any, *, keep: Any, v_th: Any, wait: Any) -> Step:
        e1 = saturate(mul_shift(e, keep, decay, HALF_EVEN) + exc, 0, 2 * top(bits) + 1)
        i1 = saturate(mul_shift(i, keep, decay, HALF_EVEN) + inh, 0, 2 * top(bits) + 1)
        awake = ~(rest > 0)
        v1 = where(awake, saturate(v + e1 - i1, -top(bits) - 1, top(bits)), v)
        z = (v1 >= v_th) & awake
        state = (where(z, 0, v1), e1, i1, where(z, wait, maximum(rest - 1, 0)))
        return Step(spike=z, state=state, observe={"v": v, "fired": where(z, 1, 0)})

    return Family("two_ports", step, ports=("exc", "inh"), state=("v", "e", "i", "rest"))


def two_ports(rng: np.random.Generator, drive: int) -> Drawn:
    bits, decay = width(rng, drive), int(rng.choice([4, 8, 15]))
    room = min(drive, top(bits))
    largest = max(1, int(rng.choice([drive // 4, drive, 2 * drive, (1 << bits) - 1])))
    numbers = {
        "v": (-room, room, edges(bits)),
        "e": (0, room, (0, top(bits), 2 * top(bits) + 1)),
        "i": (0, room, (0, top(bits), 2 * top(bits) + 1)),
        "rest": (0, 2, ()),
        "keep": (0, 1 << decay, ((1 << decay) - 1, 1 << (decay - 1))),
        "v_th": (room // 4, room, (0, *edges(bits))),
        "wait": (0, 3, ()),
    }
    ports = (("exc", "inh"), ("exc",), ())[int(rng.choice(3, p=[0.5, 0.3, 0.2]))]
    return Drawn(_two_ports(bits, decay), numbers, saturated=dict.fromkeys(ports, largest))


@cache
def _clocked(bits: int) -> Family:
    def step(x: Any, v: Any, t: Any, *, start: Any, stop: Any, v_th: Any) -> Step:
        now = equal(t, start)
        heard = (t >= start) & ~(t > stop)
        v1 = wrap(where(now, 0, v) + where(heard | now, x, t), bits)
        z = (v1 > v_th) | equal(v1, v_th)
        return Step(spike=z, state=(where(z, wrap(v1 - v_th, bits), v1),))

    return Family("clocked", step, ports=("x",), state=("v",), clock=True)


def clocked(rng: np.random.Generator, drive: int) -> Drawn:
    bits = width(rng, drive)
    room = min(drive, top(bits))
    numbers = {"v": (-room, room, edges(bits)), "v_th": (room // 4, room, (0, *edges(bits)))}
    return Drawn(_clocked(bits), numbers | {"start": (0, 3, ()), "stop": (3, 9, (0,))})


@cache
def _noisy(bits: int, noise_bits: int, leak: int) -> Family:
    def step(x: Any, v: Any, a: Any, b: Any, *, v_th: Any) -> Step:
        noise = shift_right(a, 32 - noise_bits, FLOOR) - (1 << (noise_bits - 1))
        v1 = saturate(v - shift_right(v, leak, STOCHASTIC, b) + x + noise, -top(bits) - 1, top(bits))
        z = v1 > v_th
        return Step(spike=z, state=(where(z, 0, v1),), observe={"noise": noise})

    return Family("noisy", step, ports=("x",), state=("v",), random=("a", "b"))


def noisy(rng: np.random.Generator, drive: int) -> Drawn:
    bits = width(rng, drive)
    room = min(drive, top(bits))
    noise = int(np.clip(room.bit_length(), 1, 32))
    numbers = {"v": (-room, room, edges(bits)), "v_th": (room // 4, room, (0, *edges(bits)))}
    return Drawn(_noisy(bits, noise, int(rng.integers(1, 33))), numbers)


@cache
def _shifts(bits: int, a: int, b: int, c: int) -> Family:
    low, high = -top(bits) - 1, top(bits)

    def step(x: Any, v: Any, w: Any) -> Step:
        v1 = wrap_once(v - shift_right(v, a, TOWARD_ZERO) + shift_right(x, b, HALF_EVEN), low, high)
        v2 = saturate(v1, 2 * low, 2 * high)
        w1 = wrap(w + shift_right(v2 - w, c, FLOOR), bits)
        return Step(output=w1, state=(v2, w1), observe={"v1": v1, "half": shift_right(v1, 1, HALF_EVEN)})

    return Family("shifts", step, ports=("x",), state=("v", "w"))


def shifts(rng: np.random.Generator, drive: int) -> Drawn:
    bits = width(rng, drive)
    amounts = (int(rng.integers(0, 6)), int(rng.integers(0, 4)), int(rng.integers(0, 3)))
    span = (-top(bits) - 1, top(bits), edges(bits))
    return Drawn(_shifts(bits, *amounts), {"v": span, "w": span})


@cache
def _graded(bits: int, shift: int, most: int) -> Family:
    def step(x: Any, v: Any, *, v_th: Any) -> Step:
        v1 = saturate(v + x, -top(bits) - 1, top(bits))
        z = abs(v1) > v_th
        size = saturate(shift_right(v1, shift, HALF_EVEN), -most, most)
        return Step(spike=where(z, size, 0), state=(where(z, 0, v1),))

    return Family("graded", step, ports=("x",), state=("v",))


def graded(rng: np.random.Generator, drive: int) -> Drawn:
    bits = width(rng, drive)
    room, most = min(drive, top(bits)), int(rng.choice([3, 127, 128, 255, 300]))
    shift = max(0, room.bit_length() - int(rng.integers(2, 9)))
    numbers = {"v": (-room, room, edges(bits)), "v_th": (room // 4, room, (0, *edges(bits)))}
    return Drawn(_graded(bits, shift, most), numbers, (-most, most))


@cache
def _payload(bits: int, most: int) -> Family:
    def step(x: Any, v: Any, a: Any, *, gain: Any, v_th: Any, rise: Any) -> Step:
        v1 = saturate(shift_right(v * gain, 4, TOWARD_ZERO) + x - a, -top(bits) - 1, top(bits))
        z = v1 > v_th
        a1 = saturate(a - shift_right(a, 2, FLOOR) + where(z, rise, 0), 0, top(bits))
        return Step(spike=z, output=where(z, minimum(abs(v1), most), 0), state=(where(z, 0, v1), a1))

    return Family("payload", step, ports=("x",), state=("v", "a"))


def payload(rng: np.random.Generator, drive: int) -> Drawn:
    bits = width(rng, drive, most=24)
    room, most = min(drive, top(bits)), int(rng.choice([1, 15, 127, 128]))
    numbers = {
        "v": (-room, room, edges(bits)),
        "a": (0, room // 2, (0, top(bits))),
        "gain": (-16, 16, (0, 15)),
        "v_th": (room // 4, room, (0, *edges(bits))),
        "rise": (0, room // 4, ()),
    }
    return Drawn(_payload(bits, most), numbers, (0, most))


@cache
def _difference(bits: int) -> Family:
    def step(plus: Any, minus: Any, v: Any, *, bias: Any) -> Step:
        v1 = wrap(v + plus - minus + bias, bits)
        return Step(output=maximum(v1, bias), state=(v1,), observe={"plus": plus, "minus": minus})

    return Family("difference", step, ports=("plus", "minus"), state=("v",))


def difference(rng: np.random.Generator, drive: int) -> Drawn:
    bits = width(rng, drive)
    room = min(drive, top(bits))
    numbers = {"v": (-room, room, edges(bits)), "bias": (-room // 8, room // 8, (0, *edges(bits)))}
    top_plus = {"plus": max(1, drive)} if rng.random() < 0.5 else {}
    return Drawn(_difference(bits), numbers, saturated=top_plus)


SPIKING: tuple[Kind, ...] = (
    *(of_law(*law) for law in LAWS if law[0] in ("cuba_lif", "lif", "if")),
    *(lava, ternary, two_ports, clocked, noisy, graded, payload),
)
READOUTS: tuple[Kind, ...] = (
    *(of_law(*law) for law in LAWS if law[0] in ("li", "cuba_li")),
    *(shifts, difference),
)
MIXED = (SPIKING[0], SPIKING[8], SPIKING[12], READOUTS[0])  # cuba_lif, if, ternary, li
