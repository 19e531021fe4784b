"""The range of every value of an integer program: over one step, and over any number of steps.

Over any number of steps the states are bounded by an inductive range: one that holds the initial states and that a
step does not leave. It is found by plain interval arithmetic: an end that a step passes moves to the next power of two,
until none is passed; then each end is moved back as far as it stays inductive. `saturate` and `wrap` make a range
inductive, a decay too; a state that only adds up has none, and is said to diverge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from norse_export.errors import UnsupportedError
from norse_export.program.branches import Worlds
from norse_export.program.interval import WORD, Interval, bits_of, kept_by, product, within
from norse_export.program.operations import Instruction, Op, Rounding
from norse_export.program.program import Program

CLOCK: Interval = (0, 2**31 - 1)  # numbers of steps
FARTHEST = 2**62  # beyond it a state diverges
_NAMED = (Op.PORT, Op.STATE, Op.PARAMETER, Op.RANDOM)
_FINE = 64  # an end is moved back until this part of it is left to gain
_ROUNDS = 4  # of moving each end back: the ends of one state depend on those of another


@dataclass(frozen=True, slots=True)
class Ranges:
    """What bounds a program over any number of steps.

    values: of each instruction. state: of each state variable, before and after every step. proven: numbers of the
    `saturate`, `wrap` and `wrap_once` instructions that never change a value. diverged: some state has no bound below
    2^62; it is taken to lie within, which nothing proves, and all else holds for as long as it does.
    """

    values: tuple[Interval, ...]
    state: Mapping[str, Interval]
    proven: frozenset[int]
    diverged: bool


def intervals(program: Program, given: Mapping[str, Interval]) -> tuple[Interval, ...]:
    """The range of each instruction over one step; of a boolean (0, 1).

    given: ports, states and parameters by name; random streams and "t" have their own range where they are not given.
    """
    return tuple(_Analysis(program).values(given))


def state_ranges(
    program: Program,
    ports: Mapping[str, Interval],
    parameters: Mapping[str, Interval],
    initial: Mapping[str, Interval],
) -> Ranges:
    """The ranges over any number of steps.

    Raises:
        UnsupportedError: 64 bits do not hold some value, or some product before it is divided.
    """
    analysis = _Analysis(program, {**ports, **parameters})
    state, diverged = _widened(analysis, initial)
    state = _tightened(analysis, initial, state)
    values = tuple(analysis.values(state))
    _check_int64(program, values)
    return Ranges(values, MappingProxyType(state), proven(program, values), diverged)


def proven(program: Program, values: tuple[Interval, ...]) -> frozenset[int]:
    """Numbers of the narrowing instructions that never change a value."""
    kept = ((number, step, kept_by(step)) for number, step in enumerate(program.instructions))
    return frozenset(number for number, step, range_ in kept if range_ and within(values[step.operands[0]], range_))


def fits(program: Program, values: tuple[Interval, ...], bits: int = 32) -> bool:
    """Whether arithmetic of so many bits, signed, can run the program.

    Every value fits, every written number, and of a product by parts, (a >> s) k and (a & (2^s - 1)) k, both parts; of
    one that is rounded toward zero also the parts of the magnitudes, and of a stochastic one the lower part with what
    is added to it. Random numbers are exempt: of each only the highest bits are taken.
    """
    room = bits_of(bits)
    for number, step in enumerate(program.instructions):
        if step.op is not Op.RANDOM and not within(values[number], room):
            return False
        if step.op in (Op.SHIFT_LEFT, Op.SHIFT_RIGHT, Op.MUL_SHIFT) and step.constants[0] >= bits:
            return False
        if step.op in (Op.SATURATE, Op.WRAP_ONCE) and not all(within((c, c), room) for c in step.constants):
            return False
        if step.op is Op.MUL_SHIFT and not all(within(part, room) for part in _parts(step, values)):
            return False
        if step.op is Op.SHIFT_RIGHT and not within(_summed(step, values[step.operands[0]]), room):
            return False
    return True


class _Analysis:
    """A program with what does not change while its states are bounded."""

    def __init__(self, program: Program, given: Mapping[str, Interval] | None = None) -> None:
        self.program = program
        self.given = dict(given or {})

    def values(self, state: Mapping[str, Interval]) -> list[Interval]:
        """The range of each instruction."""
        names = {**dict.fromkeys(self.program.random, WORD), "t": CLOCK, **self.given, **state}
        leaves: dict[int, Interval] = {}
        for number, step in enumerate(self.program.instructions):
            if step.op in _NAMED:
                leaves[number] = names[step.name]
            elif step.op is Op.CLOCK:
                leaves[number] = names["t"]
            elif step.op is Op.CONSTANT:
                leaves[number] = (step.constants[0], step.constants[0])
        return Worlds(self.program.instructions, leaves).values

    def after(self, state: Mapping[str, Interval]) -> dict[str, Interval]:
        """The states after one step, none beyond FARTHEST."""
        values = self.values(state)
        limits = (-FARTHEST, FARTHEST)
        return {
            name: tuple(min(max(end, limits[0]), limits[1]) for end in values[number])  # type: ignore[misc]
            for name, number in zip(self.program.variables, self.program.state, strict=True)
        }

    def is_inductive(self, state: Mapping[str, Interval]) -> bool:
        """Whether no step leaves the states."""
        return all(within(after, state[name]) for name, after in self.after(state).items())


def _widened(analysis: _Analysis, initial: Mapping[str, Interval]) -> tuple[dict[str, Interval], bool]:
    """An inductive range with powers of two for ends, and whether it is one only for being cut off."""
    state = dict(initial)
    while True:
        after = analysis.after(state)
        passed = {name for name in state if not within(after[name], state[name])}
        if not passed:
            return state, any(max(-low, high) >= FARTHEST for low, high in state.values())
        for name in passed:
            (low, high), (least, greatest) = state[name], after[name]
            low = low if least >= low else -_power(-least) if least < 0 else least
            high = high if greatest <= high else _power(greatest) if greatest > 0 else greatest
            state[name] = (low, high)


def _power(value: int) -> int:
    """The smallest power of two that is not below a positive value."""
    return 1 << (value - 1).bit_length()


def _tightened(analysis: _Analysis, initial: Mapping[str, Interval], state: dict[str, Interval]) -> dict[str, Interval]:
    """A smaller inductive range within an inductive one."""
    for _ in range(_ROUNDS):
        before = state
        state = _reached(analysis, initial, state)
        for name in state:
            for end in (0, 1):
                state = _moved_back(analysis, initial, state, name, end)
        if state == before:
            break
    return _reached(analysis, initial, state)


def _reached(analysis: _Analysis, initial: Mapping[str, Interval], state: dict[str, Interval]) -> dict[str, Interval]:
    """What a step makes of the range, and the initial states: what is reached at all lies in both."""
    for _ in range(_ROUNDS):
        after = analysis.after(state)
        smaller = {name: (min(low, after[name][0]), max(high, after[name][1])) for name, (low, high) in initial.items()}
        if smaller == state or not analysis.is_inductive(smaller):
            break
        state = smaller
    return state


def _moved_back(
    analysis: _Analysis, initial: Mapping[str, Interval], state: dict[str, Interval], name: str, end: int
) -> dict[str, Interval]:
    """The range with one end of one state moved toward the initial ones as far as a search by halves finds."""
    good, bad = state[name][end], initial[name][end]
    while abs(good - bad) > abs(good) // _FINE:
        middle = (good + bad) // 2 if end == 1 else -((-good - bad) // 2)
        tried = {**state, name: (middle, state[name][1]) if end == 0 else (state[name][0], middle)}
        if analysis.is_inductive(tried):
            good, state = middle, tried
        elif bad == middle:
            break
        else:
            bad = middle
    return state


def _parts(step: Instruction, values: tuple[Interval, ...]) -> list[Interval]:
    """The partial products of a product by parts."""
    a, k = values[step.operands[0]], values[step.operands[1]]
    bits, largest = step.constants[0], max(-k[0], k[1])
    parts = [product((a[0] >> bits, a[1] >> bits), k), _summed(step, product(_low(a, bits), k))]
    if step.rounding is Rounding.TOWARD_ZERO:
        size = (0, max(-a[0], a[1]))
        parts += [size, (0, (size[1] >> bits) * largest), (0, _low(size, bits)[1] * largest)]
    return parts


def _low(a: Interval, bits: int) -> Interval:
    """The range of a & (2^bits - 1)."""
    if a[0] >> bits == a[1] >> bits:
        return a[0] - (a[0] >> bits << bits), a[1] - (a[1] >> bits << bits)
    return 0, (1 << bits) - 1


def _summed(step: Instruction, a: Interval) -> Interval:
    """A number with what its rounding adds to it before it is divided."""
    more = (1 << step.constants[0]) - 1 if step.rounding is Rounding.STOCHASTIC else 0
    less = -a[0] if step.rounding is Rounding.TOWARD_ZERO else a[1]
    return a[0], max(a[1] + more, less)


def _check_int64(program: Program, values: tuple[Interval, ...]) -> None:
    room = bits_of(64)
    for number, step in enumerate(program.instructions):
        range_ = values[number]
        if step.op is Op.MUL_SHIFT:
            range_ = _summed(step, product(*(values[operand] for operand in step.operands[:2])))
        elif step.op is Op.SHIFT_RIGHT:
            range_ = _summed(step, values[step.operands[0]])
        if not (within(range_, room) and within(values[number], room)):
            raise UnsupportedError(
                f"a value of the program lies in {range_[0]} to {range_[1]}, which 64 bits do not hold",
                where=f"%{number} = {step.op}",
                fix="narrow the values before it (saturate or wrap), or give smaller parameters",
            )
