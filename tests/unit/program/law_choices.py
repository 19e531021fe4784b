"""The generic law in every combination of its choices, numbers to run it on, and its step one neuron at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
from exact_operations import divided, saturated, wrapped
from numpy.typing import NDArray

from norse_export.program.laws import SPIKING, SYNAPTIC, Law
from norse_export.program.operations import STOCHASTIC, Rounding
from norse_export.program.program import Family


def laws() -> Iterator[Law]:
    """Every combination of choices, at widths that cycle through small, default and large ones."""
    widths = ((8, 24, 12), (4, 10, 5), (16, 32, 16), (1, 4, 1))
    choices = product(Rounding, ("saturate", "wrap"), (True, False), ("value", "subtract"), (0, 3), (1, 3))
    for number, (rounding, overflow, strict, reset, refractory, most) in enumerate(choices):
        weight, state, decay = widths[number % len(widths)]
        yield Law(
            weight_bits=weight,
            state_bits=state,
            decay_bits=decay,
            rounding=rounding,
            overflow=overflow,
            strict=strict,
            reset=reset,
            refractory_steps=refractory,
            max_spikes=most,
        )


def drawn(family: Family, law: Law, rng: np.random.Generator, size: int) -> dict[str, NDArray[np.int64]]:
    """Values for all that the step takes; states and thresholds at and around the edges among them."""
    top = law.state_max
    edges = np.array([-top - 1, -top, -1, 0, 1, top - 1, top])
    values: dict[str, NDArray[np.int64]] = {}
    for name in (*family.ports, *family.state, *family.random, *family.parameters):
        wide = rng.integers(-top - 1, top + 1, size)
        match name:
            case "refractory":
                values[name] = rng.integers(0, 4, size)
            case "v_keep" | "i_keep":
                values[name] = rng.integers(0, 2**law.decay_bits + 1, size)
            case "r0" | "r1":
                values[name] = rng.integers(0, 2**32, size)
            case "v_th":
                values[name] = np.where(rng.random(size) < 0.7, rng.integers(1, top // 4 + 2, size), wide)
            case _:
                values[name] = np.where(rng.random(size) < 0.3, rng.choice(edges, size), wide)
    return values


def law_step(name: str, law: Law, shift: int, given: Mapping[str, Any]) -> dict[str, int]:
    """One step of one neuron as the description of the law says it: states after it, "spike", "sent"."""

    def narrow(value: int) -> int:
        if law.overflow == "wrap":
            return wrapped(value, law.state_bits)
        return saturated(value, -(2 ** (law.state_bits - 1)), 2 ** (law.state_bits - 1) - 1)

    def decayed(value: int, keep: str, random: str) -> int:
        noise = given[random] if law.rounding is STOCHASTIC else None
        return divided(value * given[keep], law.decay_bits, law.rounding, noise)

    after: dict[str, int] = {}
    current = given["x"] * 2**shift
    if name in SYNAPTIC:
        current = narrow(given["i"] + current + given["i_bias"])
        after["i"] = decayed(current, "i_keep", "r1")
    before = given["v"]
    v = narrow((before if name == "if" else decayed(before, "v_keep", "r0")) + current + given["v_bias"])
    if name not in SPIKING:
        return after | {"v": v, "sent": v}
    rests = given.get("refractory", 0) > 0
    if rests:
        v = before
    count = 0
    while count < law.max_spikes and not rests and (v > given["v_th"] or (v == given["v_th"] and not law.strict)):
        v = given["v_reset"] if law.reset == "value" else v - given["v_th"]
        count += 1
    if law.refractory_steps:
        after["refractory"] = law.refractory_steps if count else given["refractory"] - rests
    return after | {"v": v, "spike": count, "sent": count}
