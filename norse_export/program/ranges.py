"""The range of every value of an integer program: over one step, and over any number of steps.

Over any number of steps the states are bounded by an inductive range: one that holds the initial states and that a
step does not leave. It is found by plain interval arithmetic: an end that a step passes moves to a power of two, until
none is passed; then the ends are moved back as far as they are found inductive. `saturate` and `wrap` make a range
inductive, a decay too; a state that only adds up has none, and is said to diverge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from norse_export.program.branches import Worlds
from norse_export.program.interval import WORD, Interval, covering, kept_by, within
from norse_export.program.operations import COMPARED, Op
from norse_export.program.program import Program
from norse_export.program.widths import check_int64

CLOCK: Interval = (0, 2**31 - 1)  # numbers of steps
FARTHEST = 2**62  # beyond it a state diverges: so far, 64 bits still hold the sum of two
_NAMED = (Op.PORT, Op.STATE, Op.PARAMETER, Op.RANDOM)
_ROUNDS = 8  # of guessing where the ends go: those of one state depend on those of another
_FARTHER = 4  # an end that goes on moving moves up to 2^3 times as far
_TURNS = 2  # of doing so for all states together, and then for each end by itself
_FINE = 64  # an end is where it belongs when less than this part of it could be gained
KEPT = 256  # results: a graph is compiled more than once, for one, when an artefact is written and run
_ASKED = 2  # conditions: each doubles the cases
_PARTS = (32, 3)  # what a guess leaves of the way, a cautious one the more
State = Mapping[str, Interval]


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
    return _state_ranges(program, tuple({**ports, **parameters}.items()), tuple(initial.items()))


@lru_cache(KEPT)
def _state_ranges(
    program: Program, given: tuple[tuple[str, Interval], ...], initial: tuple[tuple[str, Interval], ...]
) -> Ranges:
    analysis = _Analysis(program, dict(given))
    state = _widened(analysis, dict(initial))
    if _unbounded(state) and (asked := _asked(program)):  # most programs need no cases
        analysis = _Analysis(program, dict(given), asked)
        state = _widened(analysis, dict(initial))
    state = _narrowed(analysis, dict(initial), state)
    values, unbounded = tuple(analysis.values(state)), _unbounded(state)
    check_int64(program, values, unbounded)
    return Ranges(values, MappingProxyType(state), proven(program, values), bool(unbounded))


def _unbounded(state: State) -> tuple[str, ...]:
    """Names of the states that diverge."""
    return tuple(name for name, (low, high) in state.items() if max(-low, high) >= FARTHEST)


def _asked(program: Program) -> tuple[int, ...]:
    """The first few comparisons of a state with a number or a parameter: what a step does may depend on them alone."""
    plain = (Op.STATE, Op.PARAMETER, Op.CONSTANT)
    found = []
    for number, step in enumerate(program.instructions):
        kinds = [program.instructions[operand].op for operand in step.operands]
        if step.op in COMPARED and Op.STATE in kinds and set(kinds) <= set(plain):
            found.append(number)
    return tuple(found[:_ASKED])


def _narrowed(analysis: _Analysis, initial: State, state: State) -> State:
    """An inductive range made as small as is found."""
    for _ in range(_TURNS):
        before, state = state, _moved_back(analysis, initial, _tightened(analysis, initial, state))
        if state == before:
            break
    return state


def proven(program: Program, values: tuple[Interval, ...]) -> frozenset[int]:
    """Numbers of the narrowing instructions that never change a value."""
    kept = ((number, step, kept_by(step)) for number, step in enumerate(program.instructions))
    return frozenset(number for number, step, range_ in kept if range_ and within(values[step.operands[0]], range_))


class _Analysis:
    """A program with what does not change while its states are bounded.

    asked: conditions of which both cases are looked at apart, for the whole step.
    """

    def __init__(
        self, program: Program, given: Mapping[str, Interval] | None = None, asked: tuple[int, ...] = ()
    ) -> None:
        self.program = program
        self.given = dict(given or {})
        self.asked = asked

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
        cases = [Worlds(self.program.instructions, leaves)]
        if not self.asked:
            return cases[0].values
        for condition in self.asked:
            cases = [case for each in cases for holds in (True, False) for case in each.cases(condition, holds=holds)]
        return [covering(*ranges) for ranges in zip(*(case.values for case in cases), strict=True)]

    def after(self, state: State) -> State:
        """The states after one step, none beyond FARTHEST."""
        values = self.values(state)
        limits = (-FARTHEST, FARTHEST)
        return {
            name: tuple(min(max(end, limits[0]), limits[1]) for end in values[number])  # type: ignore[misc]
            for name, number in zip(self.program.variables, self.program.state, strict=True)
        }

    def marks(self) -> list[int]:
        """Where an end is likely to belong: ends of parameters, and of what is narrowed."""
        kept = [range_ for step in self.program.instructions if (range_ := kept_by(step))]
        return [end for range_ in (*kept, *(self.given[name] for name in self.program.parameters)) for end in range_]

    def is_inductive(self, state: State) -> bool:
        """Whether no step leaves the states."""
        return all(within(after, state[name]) for name, after in self.after(state).items())

    def reached(self, initial: State, state: State) -> State:
        """The initial states, and the states after one step."""
        after = self.after(state)
        return {name: (min(low, after[name][0]), max(high, after[name][1])) for name, (low, high) in initial.items()}


def _widened(analysis: _Analysis, initial: State) -> State:
    """An inductive range: an end moves to a number that stands in the program, or to a power of two before it.

    An end that goes on moving moves ever farther at once.
    """
    state, moves, marks = dict(initial), dict.fromkeys(initial, 1), analysis.marks()
    while True:
        after = analysis.after(state)
        passed = {name for name in state if not within(after[name], state[name])}
        if not passed:
            return state
        for name in passed:
            (low, high), (least, greatest) = state[name], after[name]
            low = low if least >= low else -_next(-least, [-mark for mark in marks], moves[name])
            high = high if greatest <= high else _next(greatest, marks, moves[name])
            state[name] = (low, high)
            moves[name] = min(moves[name] + 1, _FARTHER)


def _next(value: int, marks: list[int], more: int) -> int:
    """The smallest mark that is not below the value, or the smallest such power of two times 2^(more - 1)."""
    power = 1 << ((value - 1).bit_length() + more - 1) if value > 0 else 0
    return min([min(power, max(value, FARTHEST)), *(mark for mark in marks if mark >= value)])


def _tightened(analysis: _Analysis, initial: State, state: State) -> State:
    """A smaller range that holds all that is reached, within an inductive one.

    What a step makes of a range, and the initial states, hold all that is reached again. Under a decay the ends move
    toward their limit by a constant factor: it is guessed from three ranges, and taken if it is inductive.
    """
    first = state
    for _ in range(_ROUNDS):
        second = analysis.reached(initial, first)
        third = analysis.reached(initial, second)
        if third == second:
            return third
        first = third
        for part in _PARTS:
            guess = {
                name: (
                    -_limit(-first_[0], -second[name][0], -third[name][0], -initial[name][0], part),
                    _limit(first_[1], second[name][1], third[name][1], initial[name][1], part),
                )
                for name, first_ in state.items()
            }
            if analysis.is_inductive(guess):
                first = guess
                break
        state = first
    return first


def _moved_back(analysis: _Analysis, initial: State, state: State) -> State:
    """An inductive range with each end moved by itself as far as a search finds, for what a step leaves as it is."""
    for name in initial:
        for side in (0, 1):
            state = _end_moved_back(analysis, initial[name][side], state, name, side)
    return state


def _end_moved_back(analysis: _Analysis, least: int, state: State, name: str, side: int) -> State:
    """One end moved: where a guess fails, what a step makes of it is the least that can hold."""
    sign = 1 if side else -1  # what follows is in terms of the upper end
    least, end = sign * least, sign * state[name][side]
    turn = 0
    while least < end:
        near = end - max(1, abs(end) // _FINE)
        guess = max(least, near) if turn == 2 else (least + end) // 2 if turn > 2 and turn % 2 else least
        tried = {**state, name: (state[name][0], guess) if side else (-guess, state[name][1])}
        after = analysis.after(tried)
        if all(within(after[other], tried[other]) for other in tried):
            state, end = tried, guess
        else:
            least = min(max(guess + 1, sign * after[name][side]), end)
            if turn == 2 or (turn > 2 and end - least <= abs(end) // _FINE):
                break
        turn += 1
    return state


def _limit(first: int, second: int, third: int, least: int, part: int) -> int:
    """Where an upper end goes that was at the first, the second, the third place; one `part`-th of the way is left."""
    fast, slow = first - second, second - third
    if slow <= 0:
        return third
    away = slow * slow // (fast - slow) if fast > slow else third - least
    return max(least, third - away + away // part + 1)
