"""Faults of laws, as changes of any integer program: (name, the case that exposes it, the change of a population)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from norse_export.ir.fixed import Population
from norse_export.program.operations import FLOOR, TOWARD_ZERO, Instruction, Op
from norse_export.program.program import Program

Change = Callable[[Population], Population]
Rule = Callable[[Program, int, Instruction], Instruction]


def each(rule: Rule) -> Change:
    """Change instructions, one by one."""

    def change(node: Population) -> Population:
        program = node.program
        steps = tuple(rule(program, number, step) for number, step in enumerate(program.instructions))
        return replace(node, program=replace(program, instructions=steps))

    return change


def inserted(program: Program, at: int, *steps: Instruction) -> Program:
    """Put instructions in front of instruction `at`; the numbers of what follows move up."""

    def moved(number: int) -> int:
        return number + len(steps) * (number >= at)

    def renumbered(step: Instruction) -> Instruction:
        return replace(step, operands=tuple(map(moved, step.operands)))

    given = program.instructions
    return Program(
        instructions=(*given[:at], *steps, *map(renumbered, given[at:])),
        state=tuple(map(moved, program.state)),
        spike=None if program.spike is None else moved(program.spike),
        output=moved(program.output),
        observe=tuple((name, moved(number)) for name, number in program.observe),
    )


def named(program: Program, op: Op, name: str) -> int | None:
    """Number of a port, state or parameter; None where there is none."""
    found = (number for number, step in enumerate(program.instructions) if (step.op, step.name) == (op, name))
    return next(found, None)


def _is_threshold(program: Program, step: Instruction) -> bool:
    threshold = named(program, Op.PARAMETER, "v_th")
    return step.op in (Op.GREATER, Op.GREATER_EQUAL) and threshold in step.operands


def _compared(chosen: Op) -> Change:
    return each(lambda p, n, step: replace(step, op=chosen) if _is_threshold(p, step) else step)


def _rounded(program: Program, number: int, step: Instruction) -> Instruction:
    return replace(step, rounding=TOWARD_ZERO) if step.rounding is FLOOR else step


def _of_saturate(change: Callable[[int, int], Instruction]) -> Change:
    def rule(program: Program, number: int, step: Instruction) -> Instruction:
        return replace(change(*step.constants), operands=step.operands) if step.op is Op.SATURATE else step

    return each(rule)


def _bits(high: int) -> int:
    return high.bit_length() + 1


def _saturate(low: int, high: int) -> Instruction:
    return Instruction(Op.SATURATE, constants=(low, high))


def _wrap(bits: int) -> Instruction:
    return Instruction(Op.WRAP, constants=(bits,))


def _of_wrap(change: Callable[[int], Instruction]) -> Change:
    def rule(program: Program, number: int, step: Instruction) -> Instruction:
        return replace(change(step.constants[0]), operands=step.operands) if step.op is Op.WRAP else step

    return each(rule)


def _of_wrap_once(change: Callable[[int, int], Instruction]) -> Change:
    def rule(program: Program, number: int, step: Instruction) -> Instruction:
        return replace(change(*step.constants), operands=step.operands) if step.op is Op.WRAP_ONCE else step

    return each(rule)


def _subtracts_threshold(node: Population) -> Population:
    """Where the law resets to a value, subtract the threshold."""
    program = node.program
    reset, threshold = (named(program, Op.PARAMETER, name) for name in ("v_reset", "v_th"))
    numbers = [n for n, step in enumerate(program.instructions) if step.op is Op.WHERE and step.operands[1] == reset]
    if reset is None or threshold is None or not numbers:
        return node
    (at,) = numbers
    before = program.instructions[at].operands[2]
    program = inserted(program, at, Instruction(Op.SUB, (before, threshold)))
    steps = list(program.instructions)
    spike, _, kept = steps[at + 1].operands
    steps[at + 1] = replace(steps[at + 1], operands=(spike, at, kept))
    return replace(node, program=replace(program, instructions=tuple(steps)))


def _spike_before_update(program: Program, number: int, step: Instruction) -> Instruction:
    v = named(program, Op.STATE, "v")
    return replace(step, operands=(v or 0, step.operands[1])) if _is_threshold(program, step) else step


def _refractory(by: int) -> Change:
    """After a spike the membrane rests so many steps more."""

    def change(node: Population) -> Population:
        program = node.program
        if "refractory" not in program.variables:
            return node
        chosen = program.instructions[program.state[program.variables.index("refractory")]].operands[1]
        steps = list(program.instructions)
        steps[chosen] = replace(steps[chosen], constants=(steps[chosen].constants[0] + by,))
        return replace(node, program=replace(program, instructions=tuple(steps)))

    return change


def _current_rests_too(node: Population) -> Population:
    """While the membrane rests, the current stands still."""
    program = node.program
    i, rest = (named(program, Op.STATE, name) for name in ("i", "refractory"))
    if i is None or rest is None:
        return node
    at, number = len(program.instructions), program.variables.index("i")
    steps = (
        Instruction(Op.CONSTANT, constants=(0,)),
        Instruction(Op.GREATER, (rest, at)),
        Instruction(Op.WHERE, (at + 1, i, program.state[number])),
    )
    state = tuple(at + 2 if k == number else value for k, value in enumerate(program.state))
    return replace(node, program=replace(program, instructions=(*program.instructions, *steps), state=state))


def _membrane_first(node: Population) -> Population:
    """The membrane takes the current of the step before: it is updated in front of the synapse."""
    program = node.program
    i, v = (named(program, Op.STATE, name) for name in ("i", "v"))
    if i is None or v is None or "i_keep" not in program.parameters:
        return node
    keep = named(program, Op.PARAMETER, "i_keep")
    drive = next(step.operands[0] for step in program.instructions if step.op is Op.MUL_SHIFT and keep in step.operands)

    def rule(_: Program, number: int, step: Instruction) -> Instruction:
        if step.op is not Op.ADD or drive not in step.operands:
            return step
        return replace(step, operands=tuple(i if operand == drive else operand for operand in step.operands))

    return each(rule)(node)


def _decay_before_input(node: Population) -> Population:
    """What arrived does not decay in its first step: i' = decayed i + x."""
    program = node.program
    i, keep = named(program, Op.STATE, "i"), named(program, Op.PARAMETER, "i_keep")
    if i is None or keep is None:
        return node

    def rule(_: Program, number: int, step: Instruction) -> Instruction:
        if step.op is not Op.MUL_SHIFT or keep not in step.operands:
            return step
        return replace(step, operands=(i, *step.operands[1:]))

    changed = each(rule)(node).program
    old = next(s.operands[0] for s in program.instructions if s.op is Op.MUL_SHIFT and keep in s.operands)
    number = program.variables.index("i")
    at = len(changed.instructions)
    steps = (Instruction(Op.SUB, (old, i)), Instruction(Op.ADD, (changed.state[number], at)))
    state = tuple(at + 1 if k == number else value for k, value in enumerate(changed.state))
    return replace(node, program=replace(changed, instructions=(*changed.instructions, *steps), state=state))


def _one_spike_a_step(node: Population) -> Population:
    """Spikes are counted no further than 1; the membrane is reset as often as before."""
    program = node.program
    if program.spike is None or program.instructions[program.spike].op is not Op.ADD:
        return node
    at = len(program.instructions)
    steps = (Instruction(Op.CONSTANT, constants=(1,)), Instruction(Op.MIN, (program.spike, at)))
    changed = replace(program, instructions=(*program.instructions, *steps), spike=at + 1, output=at + 1)
    return replace(node, program=changed)


def _observes_after(node: Population) -> Population:
    """Where the law records the membrane before the step, record it after."""
    program = node.program
    state = dict(zip(program.variables, program.state, strict=True))
    observe = tuple((name, state.get(name, number)) for name, number in program.observe)
    return replace(node, program=replace(program, observe=observe))


def _unsigned_clock(program: Program, number: int, step: Instruction) -> Instruction:
    return replace(step, op=Op.GREATER_EQUAL) if step.op is Op.EQUAL else step


SATURATES, WRAPS = "states_at_the_edges_of_a_width_that_saturates", "states_at_the_edges_of_a_width_that_wraps"


def program_faults() -> Iterator[tuple[str, str, Change]]:
    """The four of every law first."""
    yield "not_strict", "the_threshold_is_met_exactly", _compared(Op.GREATER_EQUAL)
    yield "rounds_toward_zero", "decays_of_numbers_below_zero", each(_rounded)
    yield "never_saturates", SATURATES, _of_saturate(lambda low, high: _saturate(-(2**62), 2**62))
    yield "subtracts_threshold", "resets_with_an_overshoot", _subtracts_threshold
    yield "strict", "the_threshold_is_met_exactly", _compared(Op.GREATER)
    yield "wraps_instead_of_saturating", SATURATES, _of_saturate(lambda low, high: _wrap(_bits(high)))
    yield "saturates_one_bit_wider", SATURATES, _of_saturate(lambda low, high: _saturate(2 * low, 2 * high + 1))
    yield "saturates_one_bit_narrower", SATURATES, _of_saturate(lambda low, high: _saturate(low // 2, high // 2))
    yield "saturates_symmetrically", SATURATES, _of_saturate(lambda low, high: _saturate(-high, high))
    yield "never_wraps", WRAPS, _of_wrap(lambda bits: _wrap(62))
    yield "wraps_one_bit_wider", WRAPS, _of_wrap(lambda bits: _wrap(bits + 1))
    yield "saturates_instead_of_wrapping", WRAPS, _of_wrap(lambda b: _saturate(-(1 << (b - 1)), (1 << (b - 1)) - 1))
    yield "saturates_instead_of_wrapping_once", "loihi", _of_wrap_once(_saturate)
    yield (
        "wraps_once_one_too_late",
        "loihi",
        _of_wrap_once(lambda low, high: Instruction(Op.WRAP_ONCE, constants=(low, high + 1))),
    )
    yield "spike_test_before_update", "the_threshold_is_met_exactly", each(_spike_before_update)
    yield "refractory_one_step_longer", "refractory_neurons", _refractory(1)
    yield "refractory_one_step_shorter", "refractory_neurons", _refractory(-1)
    yield "current_rests_too", "refractory_neurons", _current_rests_too
    yield "membrane_before_synapse", "decays_of_numbers_below_zero", _membrane_first
    yield "decay_before_input", "decays_of_numbers_below_zero", _decay_before_input
    yield "one_spike_a_step", "several_spikes_in_a_step", _one_spike_a_step
    yield "observes_after_the_step", "the_number_of_the_step", _observes_after
    yield "equality_as_order", "the_number_of_the_step", each(_unsigned_clock)
