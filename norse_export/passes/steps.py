"""A population of any family in whole numbers: the units of its states, and its translated step.

What a 1 of a state stands for is base / 2^bits, base being what a weight of 1 stands for. The bits are the most with
which the states hold what can come about, whatever spikes arrive, if that leaves ENOUGH bits for what is usual; else
the most with which they hold what is usual with a margin: 4 times what was observed on the calibration inputs, and
twice the levels of the neuron (its thresholds, resets and initial states). Without calibration inputs 4 times the
levels, and a sixteenth of the worst that can happen, are usual. Overflow is counted when the network runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, floor, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding, UnsupportedError
from norse_export.ir.fixed import Population
from norse_export.ir.stages import Neuron
from norse_export.passes.lowered import ELSEWHERE
from norse_export.passes.scaled import Floats
from norse_export.passes.translate import (
    Translated,
    Units,
    counting,
    joined_ports,
    known_numbers,
    obstacles,
    translated,
)
from norse_export.program.evaluate import evaluate
from norse_export.program.laws import Law
from norse_export.program.operations import Op
from norse_export.program.program import Program
from norse_export.program.ranges import intervals, state_ranges

Array = NDArray[Any]
ENOUGH = 16  # bits for what is usual: rounding is then far below that of weights
MOST_BITS = 30  # below a weight of 1
_MARGIN, _OBSERVED_MARGIN, _ASSUMED = 2, 4, 1 / 16
_TRIAL_BITS, _TRIAL_MARGIN = 8, 1 + 1 / 64  # bounds are found in states of 32 bits, which round otherwise
SENT_BITS = 31  # of numbers in the place of spikes
FUNCTION_BITS = 4  # below a weight of 1: biases of what arrives at a function, and its own levels, round to a 16th


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A population in whole numbers. bits: the least of any state, below a weight of 1. bound: see integers.Fit."""

    population: Population
    bits: int
    bound: float
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Reached:
    """What drives a population. All [*shape].

    base: what a weight of 1 stands for. arriving: at each port, what arrives in every step beside spikes, in the
    model's units. reach: the largest sum of weights, in whole numbers.
    """

    base: Floats
    arriving: Mapping[str, Floats]
    reach: Floats


def port_of(node: Neuron, port: str) -> str:
    """The port of the integer program at which what is sent to a port of the family arrives."""
    return joined_ports(node.family.trace())[port]


def refusals(name: str, node: Neuron, law: Law) -> list[Finding]:
    """Why a population has no integer form."""
    program = node.family.trace()
    found = [
        Finding("family", "error", name, f"{node.in_words}: {reason}", ELSEWHERE)
        for _, reason in dict(obstacles(program)).items()
    ]
    usual = Law()
    for field in ("reset", "refractory_steps", "max_spikes"):
        if getattr(law, field) != getattr(usual, field):
            message = f"the law's {field} = {getattr(law, field)} is not for {node.in_words}: their step has its own"
            found.append(Finding("law", "error", name, message, f"leave {field} of the law as it is"))
    if "gain" in node.parameters and np.any(node.parameters["gain"] == 0):
        message = "the gain of an input is 0: nothing that arrives changes the neuron"
        found.append(Finding("gain", "error", name, message, "give a gain other than 0, or remove the neurons"))
    for state in counting(program):
        found += _no_counts(name, node, state)
    return found


def _no_counts(name: str, node: Neuron, state: str) -> list[Finding]:
    program = node.family.trace()
    known = _known(program, node)
    values = [np.asarray(node.initial_state[state]), *_levels(program, known, state)]
    wrong = [float(value[value != np.rint(value)].flat[0]) for value in values if np.any(value != np.rint(value))]
    if not wrong:
        return []
    message = f"{state} counts, and is given {wrong[0]:g}"
    return [Finding("count", "error", name, message, f"give whole numbers for {state}, and for what it is set to")]


def observe(node: Neuron, states: Mapping[str, Array]) -> dict[str, Floats]:
    """The largest magnitude of each state of a float run that recorded it after each step, [T, B, *shape]; [*shape]."""
    return {
        name: np.maximum(np.abs(states[name]).max(axis=(0, 1)), np.abs(start)).astype(np.float64)
        for name, start in node.initial_state.items()
    }


def population(
    node: Neuron,
    reached: Reached,
    law: Law,
    observed: Mapping[str, Floats] | None,
    *,
    loosened: int = 0,
    seed: int = 0,
    key: int = 0,
) -> Made:
    """The population in whole numbers, whose states risk to overflow by so many bits (loosened) more than is safe.

    Raises:
        UnsupportedError: levels that are too large for the weights.
    """
    program, real = node.family.trace(), _real(node)
    bounds = _bounds(node, reached, law)
    bits = _chosen_bits(node, reached, law, observed, bounds, loosened)
    units = Units(reached.base, bits, free=_free_bits(reached, law))
    made = translated(program, real, reached.arriving, law, units)
    start = {name: np.rint(value.astype(np.float64) / units.of(name)) for name, value in node.initial_state.items()}
    if any(np.any(np.abs(value) > law.state_max) for value in start.values()):
        message = f"states of {law.state_bits} bits do not hold the initial state"
        raise UnsupportedError(message, where=node.family.name, fix="use more state bits (--state-bits)")
    told = {name: units.of(name) for name in node.initial_state}
    if not node.spikes:
        told["v"] = made.sent
    whole = Population(
        program=made.program,
        shape=node.shape,
        parameters={name: _spread(value, node) for name, value in made.parameters.items()},
        initial_state={name: _spread(start[name].astype(np.int64), node) for name in made.program.variables},
        dt=node.dt,
        seed=seed,
        key=key,
        unit={name: _spread(value, node) for name, value in told.items()},
    )
    largest = [float(np.max(bounds[name] / units.of(name))) for name in bits] if bounds is not None else [np.inf]
    least = min(bits.values(), default=units.free)
    return Made(whole, least, max(largest, default=0.0), tuple(_lost(node, law, made)))


def function(node: Neuron, reached: Reached, law: Law, *, key: int = 0) -> tuple[Population, tuple[int, int]]:
    """A function between neurons as a population that sends numbers, and their range.

    `unit["spike"]` says what a 1 of them stands for.
    """
    units = Units(reached.base, {}, free=min(FUNCTION_BITS, _free_bits(reached, law)))
    most, bits = ceil(float(np.max(reached.reach))), min(SENT_BITS, law.state_bits)
    while True:
        made = translated(node.family.trace(), _real(node), reached.arriving, law, units, graded=bits)
        given = {name: (int(value.min()), int(value.max())) for name, value in made.parameters.items()}
        given |= dict.fromkeys(made.program.ports, (-most, most))
        low, high = intervals(made.program, given)[made.program.output]
        if bits <= (needed := max(high, -low - 1).bit_length() + 1):
            break
        bits = needed  # what it never sends, those behind it need not hold
    whole = Population(
        program=made.program,
        shape=node.shape,
        parameters={name: _spread(value, node) for name, value in made.parameters.items()},
        initial_state={},
        dt=node.dt,
        key=key,
        unit={"spike": _spread(made.sent, node)},
    )
    return whole, (min(0, low), max(0, high))


def _real(node: Neuron) -> dict[str, Floats]:
    """Parameters as float64; a gain without its sign, which is in the weights."""
    real = {name: np.asarray(value, np.float64) for name, value in node.parameters.items()}
    return real | ({"gain": np.abs(real["gain"])} if "gain" in real else {})


def _lost(node: Neuron, law: Law, made: Translated) -> list[Finding]:
    found = []
    for name in made.lost:
        message = f"the factor {name} of {node.in_words} is lost: {law.decay_bits} bits do not show it"
        fix = "use --decay-bits 16" if law.decay_bits < 16 else "train it with a shorter time constant"
        found.append(Finding("decay_lost", "warning", name, message, fix))
    return found


def _chosen_bits(
    node: Neuron,
    reached: Reached,
    law: Law,
    observed: Mapping[str, Floats] | None,
    bounds: Mapping[str, Floats] | None,
    loosened: int,
) -> dict[str, int]:
    """Bits of each state that does not count."""
    program = node.family.trace()
    names = [name for name in program.variables if name not in counting(program)]
    usual = {name: _usual(node, name, observed, bounds, reached) for name in names}
    proven = None if bounds is None else {name: np.maximum(bounds[name], _level(node, name)) for name in names}
    room = 2.0 ** (law.state_bits - ENOUGH)
    if proven is not None and all(np.all(proven[name] <= room * usual[name]) for name in names):
        needed = proven
    else:
        tight = {name: _level(node, name) for name in names}
        needed = {name: np.maximum(usual[name] * 2.0**-loosened, tight[name]) for name in names}
    bits = {name: _most_bits(law, reached.base, needed[name]) for name in names}
    membrane = bits.get("v", MOST_BITS)
    if 0 < float(np.max(reached.reach)) * 2.0**membrane < 1:
        message = (
            f"states of {law.state_bits} bits that hold its levels ({', '.join(node.family.parameters)}) do not show"
        )
        fix = "use more state bits (--state-bits), or rescale the layer: a level is too large for its weights"
        raise UnsupportedError(f"{message} what arrives", where=node.family.name, fix=fix)
    return {name: min(one, membrane) for name, one in bits.items()}


def _most_bits(law: Law, base: Floats, needed: Floats) -> int:
    """The most bits with which a state holds what is needed."""
    with np.errstate(divide="ignore"):
        room = np.min(law.state_max * base / needed)
    return MOST_BITS if not np.isfinite(room) else min(MOST_BITS, floor(log2(room)))


def _free_bits(reached: Reached, law: Law) -> int:
    """Bits of what neurons without a state send."""
    return _most_bits(law, np.ones(()), np.maximum(reached.reach, 1.0) * _OBSERVED_MARGIN)


def _usual(
    node: Neuron,
    name: str,
    observed: Mapping[str, Floats] | None,
    bounds: Mapping[str, Floats] | None,
    reached: Reached,
) -> Floats:
    """What a state usually needs, margins included."""
    level = _level(node, name)
    if observed is not None:
        needed = np.maximum(_OBSERVED_MARGIN * observed[name], _MARGIN * level)
    else:
        worst = reached.reach * reached.base
        if bounds is not None:
            worst = np.where(np.isfinite(bounds[name]), _ASSUMED * bounds[name], worst)
        needed = np.maximum(_OBSERVED_MARGIN * level, worst)
    return np.minimum(needed, np.maximum(bounds[name], level)) if bounds is not None else needed


def _level(node: Neuron, name: str) -> Floats:
    """The largest magnitude that the neuron's own parameters give a state, or hold against it."""
    program = node.family.trace()
    found = np.abs(node.initial_state[name].astype(np.float64))
    known = _known(program, node)
    for value in (*_levels(program, known, name), *(_thresholds(node, known) if name == "v" else ())):
        found = np.maximum(found, np.abs(value))
    return found


def _known(program: Program, node: Neuron) -> dict[int, Floats]:
    """The values of what follows from parameters alone, by the number of the instruction."""
    known = known_numbers(program)
    steps = [step for number, step in enumerate(program.instructions) if number in known]
    place = {number: index for index, number in enumerate(sorted(known))}
    alone = tuple(replace(step, operands=tuple(place[n] for n in step.operands)) for step in steps)
    part = Program(alone, (), None, 0, tuple((str(number), place[number]) for number in sorted(known)))
    if not alone:
        return {}
    done = evaluate(part, _real(node)).observe
    return {int(number): np.asarray(value, np.float64) for number, value in done.items()}


def _levels(program: Program, known: Mapping[int, Floats], state: str) -> list[Floats]:
    """Known numbers that a state may be set to."""
    stack, found = [dict(zip(program.variables, program.state, strict=True))[state]], []
    while stack:
        number = stack.pop()
        step = program.instructions[number]
        if number in known:
            found.append(known[number])
        elif step.op in (Op.WHERE, Op.MIN, Op.MAX):
            stack.extend(step.operands[1:] if step.op is Op.WHERE else step.operands)
    return found


def _thresholds(node: Neuron, known: Mapping[int, Floats]) -> list[Floats]:
    """What the membrane is compared with: known numbers, and what states that it is compared with start from."""
    program = node.family.trace()
    found = []
    for step in program.instructions:
        if step.op not in (Op.GREATER, Op.GREATER_EQUAL):
            continue
        read = [_states_in(program, number) for number in step.operands]
        if not read[0] | read[1] <= counting(program):
            found += [known[number] for number in step.operands if number in known]
            others = (name for names in read if "v" not in names for name in names)
            found += [np.asarray(node.initial_state[name], np.float64) for name in others]
    return found


def _states_in(program: Program, number: int) -> frozenset[str]:
    """Names of the states that a value is computed of."""
    step = program.instructions[number]
    if step.op is Op.STATE:
        return frozenset((step.name,))
    return frozenset[str]().union(*(_states_in(program, operand) for operand in step.operands))


def _bounds(node: Neuron, reached: Reached, law: Law) -> dict[str, Floats] | None:
    """What bounds each state that does not count, in the model's units; None where nothing is known of any."""
    program = node.family.trace()
    names = [name for name in program.variables if name not in counting(program)]
    units = Units(reached.base, dict.fromkeys(names, _TRIAL_BITS), _TRIAL_BITS)
    known = known_numbers(program)
    if any(step.op is Op.MUL and not known.intersection(step.operands) for step in program.instructions):
        return None
    try:
        trial = Law(state_bits=32, decay_bits=law.decay_bits)
        made = translated(program, _real(node), reached.arriving, trial, units)
        most = ceil(float(np.max(reached.reach)))
        start = {name: np.rint(node.initial_state[name] / units.of(name)) for name in program.variables}
        ranges = state_ranges(
            made.program,
            dict.fromkeys(made.program.ports, (-most, most)),
            {name: (int(value.min()), int(value.max())) for name, value in made.parameters.items()},
            {name: (int(value.min()), int(value.max())) for name, value in start.items()},
        )
    except UnsupportedError:
        return None
    ends = {name: max(-ranges.state[name][0], ranges.state[name][1]) for name in names}
    return {
        name: np.where(end >= trial.state_max, np.inf, _TRIAL_MARGIN * end * units.of(name))
        for name, end in ends.items()
    }


def _spread(value: Any, node: Neuron) -> Array:
    """The array over the population; a constant stays one number in memory."""
    array = np.asarray(value)
    if array.size and np.all(array == array.flat[0]):
        array = array.flat[0]
    return np.broadcast_to(array, node.shape)
