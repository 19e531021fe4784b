"""The generic law: every choice does what its description says, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from law_choices import drawn, law_step, laws

from norse_export.errors import UnsupportedError
from norse_export.program.families import FAMILIES
from norse_export.program.laws import NAMES, SPIKING, SYNAPTIC, Law, integer_family
from norse_export.program.operations import FLOOR, HALF_EVEN, STOCHASTIC, TOWARD_ZERO, Op, Rounding

EVERYTHING = Law(
    weight_bits=4,
    state_bits=16,
    decay_bits=10,
    rounding=STOCHASTIC,
    overflow="wrap",
    strict=False,
    reset="subtract",
    refractory_steps=2,
    max_spikes=2,
)


@pytest.mark.parametrize("name", NAMES)
def test_every_family_has_the_golden_program_under_the_default_law(
    name: str, golden: Callable[[str, str], None]
) -> None:
    family = integer_family(name, Law(), 0)
    golden(f"programs/{family.name}.txt", f"{family.trace()}\n")


def test_a_law_with_every_choice_has_the_golden_program(golden: Callable[[str, str], None]) -> None:
    golden("programs/cuba_lif_integer_choices.txt", f"{integer_family('cuba_lif', EVERYTHING, 6).trace()}\n")


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_what_the_description_says_for_every_choice(name: str) -> None:
    rng = np.random.default_rng(4)
    fired, size = set(), 60
    for number, law in enumerate(laws()):
        family = integer_family(name, law, shift := number % 7)
        given = drawn(family, law, rng, size)
        positional = [given[n] for n in (*family.ports, *family.state, *family.random)]
        step = family.step(*positional, **{n: given[n] for n in family.parameters})
        sent = step.spike if step.output is None else step.output
        for neuron in range(size):
            expected = law_step(name, law, shift, {n: int(values[neuron]) for n, values in given.items()})
            got = {n: int(values[neuron]) for n, values in zip(family.state, step.state, strict=True)}
            got |= {"sent": int(sent[neuron])} | ({} if step.spike is None else {"spike": int(step.spike[neuron])})
            assert got == expected, (law, neuron)
            fired.add(expected.get("spike", 0))
    assert fired == ({0, 1, 2, 3} if name in SPIKING else {0})


def test_the_choices_that_are_tried_are_all_there_are() -> None:
    tried = list(laws())
    assert len(tried) == 4 * 2 * 2 * 2 * 2 * 2
    for field in fields(Law):
        if field.name != "delay_steps":  # of the projections, and not of the step
            assert len({getattr(law, field.name) for law in tried}) > 1


def test_the_default_widths() -> None:
    law = Law()
    assert (law.weight_bits, law.state_bits, law.decay_bits) == (8, 24, 12)
    assert (law.state_max, law.weight_max) == (2**23 - 1, 127)
    assert (law.rounding, law.overflow, law.strict, law.reset) == (FLOOR, "saturate", True, "value")
    assert (law.refractory_steps, law.max_spikes, law.delay_steps) == (0, 1, 0)
    assert [Law(weight_bits=bits).weight_max for bits in (1, 2, 3, 16)] == [1, 1, 3, 32767]


PARAMETERS = {
    "cuba_lif": ("v_keep", "i_keep", "i_bias", "v_bias", "v_th", "v_reset"),
    "cuba_li": ("v_keep", "i_keep", "i_bias", "v_bias"),
    "lif": ("v_keep", "v_bias", "v_th", "v_reset"),
    "li": ("v_keep", "v_bias"),
    "if": ("v_bias", "v_th", "v_reset"),
}


@pytest.mark.parametrize("name", NAMES)
def test_ports_states_and_parameters_by_name(name: str) -> None:
    family = integer_family(name, Law(), 3)
    assert family.name == f"{name}_integer"
    assert family.ports == ("x",)
    assert family.state == (("v", "i") if name in SYNAPTIC else ("v",))
    assert family.parameters == PARAMETERS[name]
    assert family.random == ()
    assert not family.clock
    assert family.spikes == (name in SPIKING)
    subtracting = integer_family(name, Law(reset="subtract"), 3)
    assert subtracting.parameters == tuple(p for p in PARAMETERS[name] if p != "v_reset")


@pytest.mark.parametrize("name", NAMES)
def test_a_refractory_law_has_a_counter_where_there_are_spikes(name: str) -> None:
    states = integer_family(name, Law(refractory_steps=2), 0).state
    assert ("refractory" in states) == (name in SPIKING)


STREAMS = {"cuba_lif": ("r0", "r1"), "cuba_li": ("r0", "r1"), "lif": ("r0",), "li": ("r0",), "if": ()}


@pytest.mark.parametrize("name", NAMES)
def test_a_stochastic_law_has_a_stream_for_each_product(name: str) -> None:
    assert integer_family(name, Law(rounding=STOCHASTIC), 0).trace().random == STREAMS[name]
    for rounding in (FLOOR, TOWARD_ZERO, HALF_EVEN):
        assert integer_family(name, Law(rounding=rounding), 0).trace().random == ()


def test_v_takes_the_first_stream_and_i_the_second() -> None:
    program = integer_family("cuba_lif", Law(rounding=STOCHASTIC), 0).trace()
    names = [step.name for step in program.instructions]
    drawn_by = {
        names[step.operands[1]]: names[step.operands[2]] for step in program.instructions if step.op is Op.MUL_SHIFT
    }
    assert drawn_by == {"i_keep": "r1", "v_keep": "r0"}


@pytest.mark.parametrize("name", sorted({*FAMILIES, "nothing"} - set(NAMES)))
def test_a_family_without_a_step_in_the_law_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        integer_family(name, Law(), 0)
    assert caught.value.where == name
    assert name in caught.value.what
    assert all(known in caught.value.fix for known in NAMES)


LIMITS = {
    "weight_bits": (1, 16),
    "state_bits": (4, 32),
    "decay_bits": (1, 16),
    "max_spikes": (1, 255),
    "refractory_steps": (0, 2**15),
    "delay_steps": (0, 2**15),
}


@pytest.mark.parametrize("name", LIMITS)
def test_widths_and_counts_within_their_limits_only(name: str) -> None:
    low, high = LIMITS[name]
    for value in (low, high):
        assert getattr(Law(**{name: value}), name) == value  # type: ignore[arg-type]
    for wrong in (low - 1, high + 1, float(low), True, "8", None):
        with pytest.raises(ValueError, match=f"{name} = .*{low} to {high}"):
            Law(**{name: wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["rounding", "overflow", "reset", "strict"])
def test_an_unknown_choice_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="'perhaps'"):
        Law(**{name: "perhaps"})  # type: ignore[arg-type]


def test_a_rounding_given_by_name_is_that_rounding() -> None:
    law = Law(rounding="stochastic")  # type: ignore[arg-type]
    assert law.rounding is STOCHASTIC
    assert law == Law(rounding=STOCHASTIC)
    assert integer_family("lif", law, 0).random == ("r0",)


def test_two_thresholds_differ_only_where_v_meets_it() -> None:
    v_th = np.array([100, 100, 100])
    v = np.array([99, 100, 101])
    given: dict[str, Any] = {"v_bias": v * 0, "v_th": v_th, "v_reset": v * 0}
    strict = integer_family("if", Law(), 0).step(v * 0, v, **given)
    other = integer_family("if", Law(strict=False), 0).step(v * 0, v, **given)
    assert strict.spike.tolist() == [False, False, True]
    assert other.spike.tolist() == [False, True, True]


def test_a_neuron_rests_for_as_many_steps_as_the_law_says_while_its_current_goes_on() -> None:
    family = integer_family("cuba_lif", Law(refractory_steps=3), 0)
    given = {"v_keep": 4096, "i_keep": 4096, "i_bias": 0, "v_bias": 0, "v_th": 10, "v_reset": 1}
    parameters = {name: np.array([value]) for name, value in given.items()}
    state: tuple[Any, ...] = (np.array([0]), np.array([0]), np.array([0]))
    spikes, v, i = [], [], []
    for step in range(9):
        done = family.step(np.array([20 if step == 0 else 0]), *state, **parameters)
        state = done.state
        spikes.append(int(done.spike[0]))
        v.append(int(state[0][0]))
        i.append(int(state[1][0]))
    assert spikes == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert v == [1] * 9
    assert i == [20] * 9


def test_a_current_decays_to_where_its_rounding_stops_it() -> None:
    """Three quarters of -3 are -2.25: floor stays at -3; three quarters of 2 are 1.5: half-even stays at 2."""
    ends = {}
    for rounding in (FLOOR, TOWARD_ZERO, HALF_EVEN):
        family = integer_family("cuba_li", Law(decay_bits=4, rounding=rounding), 0)
        given = {"v_keep": 0, "i_keep": 12, "i_bias": 0, "v_bias": 0}
        parameters = {name: np.array([value]) for name, value in given.items()}
        state: tuple[Any, ...] = (np.array([0, 0]), np.array([-50, 50]))
        for _ in range(60):
            state = family.step(np.array([0, 0]), *state, **parameters).state
        ends[rounding] = state[1].tolist()
    assert ends == {FLOOR: [-3, 0], TOWARD_ZERO: [0, 0], HALF_EVEN: [-2, 2]}


def test_the_families_are_made_once_for_each_law_and_shift() -> None:
    assert integer_family("lif", Law(), 2) is integer_family("lif", Law(), 2)
    assert integer_family("lif", Law(), 2) is not integer_family("lif", Law(), 3)
    shapes = {integer_family("lif", Law(state_bits=bits), 2).trace().structure for bits in (8, 16, 32)}
    assert len(shapes) == 1, "widths are no part of the structure that a kernel is compiled for"
    roundings = {integer_family("lif", Law(rounding=rounding), 2).trace().structure for rounding in Rounding}
    assert len(roundings) == 4
