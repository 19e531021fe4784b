"""The generic integer law of `sim`: each float family's step in whole numbers, with chosen widths.

One unit of the current stands for s / 2^shift of the trained model, s being what a weight of 1 stands for; one unit of
the membrane for alpha times that, so that the step needs no gain:

    Norse     j = i + x                  v1 = v + alpha ((v_leak - v) + j)             i' = j - beta j
    here      j = i + x 2^shift + b_i    v1 = v v_keep / 2^decay_bits + j + b_v        i' = j i_keep / 2^decay_bits

with v_keep = 2^decay_bits (1 - alpha) and i_keep = 2^decay_bits (1 - beta), rounded; b_i holds the biases of the layers
before, b_v the leak. Families without a synapse have the line of v1 alone, with x 2^shift + b_v for j + b_v; IF has
v_keep = 2^decay_bits exactly, and no such parameter. Both sums j and v1 are narrowed to state_bits. Recordings hold
the states after the step, as Norse's do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from inspect import Parameter, Signature
from typing import Any, Literal

from norse_export.errors import UnsupportedError
from norse_export.program.operations import FLOOR, STOCHASTIC, Rounding, mul_shift, saturate, shift_left, where, wrap
from norse_export.program.program import Family, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """The widths and choices of the generic law; each has its place in the step, and no other.

    weight_bits: 2 to 16, or 1 for weights of -1 and +1. rounding: of the two products by a decay. overflow: what
    becomes of a state beyond state_bits. strict: spike when v > v_th, else v >= v_th. reset: to v_reset, or v - v_th.
    refractory_steps: so many steps after a spike the membrane rests and cannot fire; the current goes on. max_spikes:
    so many times a step may find v above the threshold and reset it; above 1, spikes are counts. delay_steps: added to
    every projection onto a population.

    Raises:
        ValueError: a width, a count or a choice outside of what is possible.
    """

    weight_bits: int = 8
    state_bits: int = 24
    decay_bits: int = 12
    rounding: Rounding = FLOOR
    overflow: Literal["saturate", "wrap"] = "saturate"
    strict: bool = True
    reset: Literal["value", "subtract"] = "value"
    refractory_steps: int = 0
    max_spikes: int = 1
    delay_steps: int = 0

    def __post_init__(self) -> None:
        within = {"weight_bits": (1, 16), "state_bits": (4, 32), "decay_bits": (1, 16), "max_spikes": (1, 255)}
        within |= {"refractory_steps": (0, 2**15), "delay_steps": (0, 2**15)}
        for name, (low, high) in within.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} = {value!r}: {low} to {high} are possible")
        choices = {"overflow": ("saturate", "wrap"), "reset": ("value", "subtract"), "strict": (True, False)}
        for name, possible in choices.items():
            if getattr(self, name) not in possible:
                raise ValueError(f"{name} = {getattr(self, name)!r}: {possible[0]} or {possible[1]}")
        object.__setattr__(self, "rounding", Rounding(self.rounding))

    @property
    def state_max(self) -> int:
        """The largest number that a state can hold; the smallest is -state_max - 1."""
        return (1 << (self.state_bits - 1)) - 1

    @property
    def weight_max(self) -> int:
        """The largest weight; the smallest is its negative."""
        return max(1, (1 << (self.weight_bits - 1)) - 1)


SYNAPTIC = ("cuba_lif", "cuba_li")  # families with a current of their own
SPIKING = ("cuba_lif", "lif", "if")
NAMES = ("cuba_lif", "cuba_li", "lif", "li", "if")


@cache
def integer_family(name: str, law: Law, shift: int) -> Family:
    """The integer form of a float family under the law, for a population whose weights are shifted left by `shift`.

    name: of the float family without "_recurrent" and "_gain": integers have no order of summation, and a gain is part
    of the weights. The port is "x"; the states are "v", then "i", then "refractory" where the law has it.

    Raises:
        UnsupportedError: a family for which the law has no step of its own; passes/translate.py makes those.
    """
    if name not in NAMES:
        raise UnsupportedError(
            f"the law has no step for neurons of family {name}", where=name, fix=f"use one of: {', '.join(NAMES)}"
        )
    names = _Names(name, law)
    noises = 1 + (name in SYNAPTIC) if law.rounding is STOCHASTIC and name != "if" else 0
    random = tuple(f"r{number}" for number in range(noises))

    def step(x: Any, *given: Any, **parameters: Any) -> Step:
        state = dict(zip(names.state, given[: len(names.state)], strict=True))
        return _step(law, names, shift, x, state, given[len(names.state) :], parameters)

    arguments = [
        *(Parameter(argument, Parameter.POSITIONAL_OR_KEYWORD) for argument in ("x", *names.state, *random)),
        *(Parameter(argument, Parameter.KEYWORD_ONLY) for argument in names.parameters),
    ]
    step.__signature__ = Signature(arguments)  # type: ignore[attr-defined]  # read by Family
    return Family(f"{name}_integer", step, ports=("x",), state=names.state, random=random)


@dataclass(frozen=True, slots=True)
class _Names:
    """What the integer form of a family has."""

    family: str
    law: Law

    @property
    def synaptic(self) -> bool:
        return self.family in SYNAPTIC

    @property
    def spiking(self) -> bool:
        return self.family in SPIKING

    @property
    def refractory(self) -> bool:
        return self.spiking and self.law.refractory_steps > 0

    @property
    def state(self) -> tuple[str, ...]:
        return ("v", *(("i",) if self.synaptic else ()), *(("refractory",) if self.refractory else ()))

    @property
    def parameters(self) -> tuple[str, ...]:
        leaky = () if self.family == "if" else ("v_keep",)
        synaptic = ("i_keep", "i_bias") if self.synaptic else ()
        value = self.spiking and self.law.reset == "value"
        return (*leaky, *synaptic, "v_bias", *(("v_th",) if self.spiking else ()), *(("v_reset",) if value else ()))


def _step(
    law: Law, names: _Names, shift: int, x: Any, state: dict[str, Any], noise: tuple[Any, ...], p: dict[str, Any]
) -> Step:
    def narrow(value: Any) -> Any:
        if law.overflow == "wrap":
            return wrap(value, law.state_bits)
        return saturate(value, -law.state_max - 1, law.state_max)

    def kept(value: Any, factor: Any, number: int) -> Any:
        random = noise[number] if noise else None
        return mul_shift(value, factor, law.decay_bits, law.rounding, random)

    v, drive, after = state["v"], shift_left(x, shift) if shift else x, {}
    if names.synaptic:
        drive = narrow(state["i"] + drive + p["i_bias"])
        after["i"] = kept(drive, p["i_keep"], 1)
    leaked = kept(v, p["v_keep"], 0) if "v_keep" in p else v
    v1 = narrow(leaked + drive + p["v_bias"])
    if not names.spiking:
        return Step(state=(v1, *after.values()), output=v1)
    if names.refractory:
        resting = state["refractory"] > 0
        v1 = where(resting, v, v1)
    spike: Any = None
    for _ in range(law.max_spikes):
        z = v1 > p["v_th"] if law.strict else v1 >= p["v_th"]
        z = z & ~resting if names.refractory else z
        v1 = where(z, p["v_reset"] if law.reset == "value" else v1 - p["v_th"], v1)
        spike = z if law.max_spikes == 1 else where(z, 1, 0) if spike is None else spike + where(z, 1, 0)
    if names.refractory:
        fired = spike if law.max_spikes == 1 else spike > 0
        counted = where(resting, state["refractory"] - 1, state["refractory"])
        after["refractory"] = where(fired, law.refractory_steps, counted)
    return Step(spike=spike, state=(v1, *after.values()))
