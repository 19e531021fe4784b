"""Whether a program is one: for programs that come from a file, and that no step has left."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from norse_export.errors import Finding, GraphError
from norse_export.program.operations import MAX_BITS, STOCHASTIC, Instruction, Op
from norse_export.program.philox import MAX_STREAMS
from norse_export.program.program import Program

MAX_INSTRUCTIONS = 4096
MAX_CONSTANT = 2**MAX_BITS


class _Kind(Enum):
    """What a value is."""

    NUMBER = "number"
    TRUTH = "truth value"
    ANY = "either"
    SAME = "either, but that of the operand before"


_NUMBER, _TRUTH, _ANY, _SAME = _Kind

# Operands of each operation of whole numbers, what it gives, and how many constants it has.
_SIGNATURES: dict[Op, tuple[tuple[_Kind, ...], _Kind, int]] = {
    Op.PORT: ((), _NUMBER, 0),
    Op.STATE: ((), _NUMBER, 0),
    Op.CLOCK: ((), _NUMBER, 0),
    Op.RANDOM: ((), _NUMBER, 0),
    Op.PARAMETER: ((), _NUMBER, 0),
    Op.CONSTANT: ((), _NUMBER, 1),
    Op.ADD: ((_NUMBER, _NUMBER), _NUMBER, 0),
    Op.SUB: ((_NUMBER, _NUMBER), _NUMBER, 0),
    Op.MUL: ((_NUMBER, _NUMBER), _NUMBER, 0),
    Op.NEG: ((_NUMBER,), _NUMBER, 0),
    Op.ABS: ((_NUMBER,), _NUMBER, 0),
    Op.MIN: ((_NUMBER, _NUMBER), _NUMBER, 0),
    Op.MAX: ((_NUMBER, _NUMBER), _NUMBER, 0),
    Op.GREATER: ((_NUMBER, _NUMBER), _TRUTH, 0),
    Op.GREATER_EQUAL: ((_NUMBER, _NUMBER), _TRUTH, 0),
    Op.EQUAL: ((_ANY, _SAME), _TRUTH, 0),
    Op.AND: ((_TRUTH, _TRUTH), _TRUTH, 0),
    Op.OR: ((_TRUTH, _TRUTH), _TRUTH, 0),
    Op.NOT: ((_TRUTH,), _TRUTH, 0),
    Op.WHERE: ((_TRUTH, _ANY, _SAME), _SAME, 0),
    Op.SHIFT_LEFT: ((_NUMBER,), _NUMBER, 1),
    Op.SHIFT_RIGHT: ((_NUMBER,), _NUMBER, 1),
    Op.MUL_SHIFT: ((_NUMBER, _NUMBER), _NUMBER, 1),
    Op.SATURATE: ((_NUMBER,), _NUMBER, 2),
    Op.WRAP: ((_NUMBER,), _NUMBER, 1),
    Op.WRAP_ONCE: ((_NUMBER,), _NUMBER, 2),
}
_GIVEN = (Op.PORT, Op.STATE, Op.CLOCK, Op.RANDOM, Op.PARAMETER)  # in the order in which they begin a program
_NAMED = (Op.PORT, Op.STATE, Op.RANDOM, Op.PARAMETER)
_ROUNDED = (Op.SHIFT_RIGHT, Op.MUL_SHIFT)
_SHIFTS = (Op.SHIFT_LEFT, *_ROUNDED)


def check_program(program: Program) -> None:
    """Refuse what no step of whole numbers could have left.

    Only operations of the closed set stand in it, each as `operations` would record it. Operands stand before their
    instruction and are of the right kind, whole numbers or truth values; constants and widths are in range, a rounding
    stands where one belongs; what is given comes first, in order, each name once; states are whole numbers. What values
    a program takes on is the affair of ranges.py.

    Raises:
        GraphError: any of this does not hold; the first violation of every instruction is a finding.
    """
    findings = []
    if len(program.instructions) > MAX_INSTRUCTIONS:
        message = f"{len(program.instructions)} instructions; {MAX_INSTRUCTIONS} are possible"
        findings.append(_finding("program", message))
    else:
        kinds: list[_Kind] = []
        for number, step in enumerate(program.instructions):
            kind, fault = _judged(step, kinds)
            kinds.append(kind)
            if fault:
                findings.append(_finding(f"program, %{number}", fault))
        findings += [_finding("program", fault) for fault in (*_order(program), *_results(program, kinds))]
    if findings:
        raise GraphError.of(findings)


def _judged(step: Instruction, kinds: list[_Kind]) -> tuple[_Kind, str | None]:
    """What the instruction gives, and the first thing that is wrong with it."""
    if step.op not in _SIGNATURES:
        return _NUMBER, f"{step.op}, which only steps of real numbers have"
    wanted, gives, constants = _SIGNATURES[step.op]
    if step.rounding is STOCHASTIC and step.op in _ROUNDED:
        wanted = (*wanted, _NUMBER)
    result = _NUMBER if gives is _SAME else gives
    if len(step.operands) != len(wanted) or len(step.constants) != constants:
        return result, f"{step.op} with {len(step.operands)} operands and {len(step.constants)} constants"
    if any(not 0 <= operand < len(kinds) for operand in step.operands):
        return result, f"{step.op} of values {step.operands}, which do not all stand before it"
    given = [kinds[operand] for operand in step.operands]
    if gives is _SAME:
        result = given[-1]
    for position, kind in enumerate(wanted):
        asked = given[position - 1] if kind is _SAME else kind
        if asked is not _ANY and given[position] is not asked:
            return result, f"{step.op} of a {given[position].value} as operand {position}"
    return result, _wrong_constants(step) or _wrong_texts(step)


def _wrong_constants(step: Instruction) -> str | None:
    values = step.constants
    if any(type(value) is not int or abs(value) > MAX_CONSTANT for value in values):
        return f"{step.op} with a number that is none, or beyond {MAX_BITS} bits"
    if step.op in _SHIFTS and not 0 <= values[0] <= (32 if step.rounding is STOCHASTIC else MAX_BITS):
        return f"{step.op} by {values[0]} bits"
    if step.op is Op.WRAP and not 1 <= values[0] <= MAX_BITS:
        return f"wrap to {values[0]} bits"
    if step.op in (Op.SATURATE, Op.WRAP_ONCE) and values[0] > values[1]:
        return f"{step.op} to an empty range: {values[0]} to {values[1]}"
    return None


def _wrong_texts(step: Instruction) -> str | None:
    if (step.rounding is not None) is not (step.op in _ROUNDED):
        return f"{step.op} {'without' if step.op in _ROUNDED else 'with'} a rounding"
    if bool(step.name) is not (step.op in _NAMED):
        return f"{step.op} {'without' if step.op in _NAMED else 'with'} a name"
    return None


def _order(program: Program) -> Iterator[str]:
    ops = [step.op for step in program.instructions]
    given = [op for op in ops if op in _GIVEN]
    if ops[: len(given)] != given or given != sorted(given, key=_GIVEN.index):
        yield "ports, states, clock, random numbers and parameters do not come first, in this order"
    names = [step.name for step in program.instructions if step.op in _NAMED]
    if len(set(names)) != len(names):
        yield f"a name that stands for two things: {next(name for name in names if names.count(name) > 1)!r}"
    if given.count(Op.CLOCK) > 1:
        yield "two clocks"
    if given.count(Op.RANDOM) > MAX_STREAMS:
        yield f"more than {MAX_STREAMS} streams of random numbers"


def _results(program: Program, kinds: list[_Kind]) -> Iterator[str]:
    observed = [number for _, number in program.observe]
    spike = () if program.spike is None else (program.spike,)
    if any(not 0 <= number < len(kinds) for number in (*program.state, *spike, program.output, *observed)):
        yield "it gives a value that it does not have"
    elif any(kinds[number] is not _NUMBER for number in program.state):
        yield "a state that is a truth value"
    if len(program.state) != len(program.variables):
        yield f"it gives {len(program.state)} state values for {program.variables}"
    names = [name for name, _ in program.observe]
    if len(set(names)) != len(names) or not all(names):
        yield "an observable without a name of its own"


def _finding(where: str, message: str) -> Finding:
    return Finding("program", "error", where, message, "get the file again from its source, or export the model again")
