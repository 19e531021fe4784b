"""What a condition says about the values that it is made of: intervals are narrower in a branch of `where`.

After `where(v > v_th, v_reset, v)` the kept v is at most v_th. A `World` is the program under such facts: what they
touch is computed again on the narrowed operands, the rest is as without them. A condition that fails in several ways
(`not (a & b)`) gives a world for each; the range in the branch is that of all of them together.

Besides, a value that goes a part of the way to another, a + (b - a) k / 2^s, lies between the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from norse_export.program.interval import Interval, hull, kept_by, meet, result, within
from norse_export.program.operations import COMPARED, Instruction, Op

Facts = dict[int, Interval]
_MOST_WAYS = 8  # in which a condition may come about; beyond, it says nothing


class Worlds:
    """The values of a whole program, and its branches; `given` holds the range of each instruction without operands."""

    def __init__(self, instructions: Sequence[Instruction], given: Mapping[int, Interval]) -> None:
        self.instructions, self._given = instructions, given
        self.values: list[Interval] = []
        self._known: dict[tuple[tuple[int, Interval], ...], dict[int, Interval | None]] = {}
        self._differences = {step.operands: n for n, step in enumerate(instructions) if step.op is Op.SUB}
        for number, step in enumerate(instructions):
            self.values.append(given[number] if number in given else self._result(step))

    def cases(self, condition: int, *, holds: bool) -> Iterator[Worlds]:
        """The program where a condition holds, or fails, in each way in which it can."""
        for facts in self._ways(condition, holds=holds):
            narrowed = {number: met for number, fact in facts.items() if (met := meet(fact, self.values[number]))}
            if len(narrowed) == len(facts):
                known = {number: met for number, met in narrowed.items() if number in self._given}
                yield Worlds(self.instructions, {**self._given, **known, condition: narrowed[condition]})

    def _result(self, step: Instruction) -> Interval:
        operands = tuple(self.values[operand] for operand in step.operands)
        if step.op in (Op.ADD, Op.SUB) and (way := self._on_the_way(step)):
            return meet(result(step, operands), way) or way
        if step.op is not Op.WHERE or operands[0][0] == operands[0][1]:
            return result(step, operands)
        condition, chosen, otherwise = step.operands
        taken = hull(self._branch(condition, chosen, holds=True), self._branch(condition, otherwise, holds=False))
        return taken or result(step, operands)

    def _on_the_way(self, step: Instruction) -> Interval | None:
        """Of a + (b - a) k / 2^s, and of b - (b - a) k / 2^s, with 0 <= k <= 2^s: a to b, which no rounding leaves.

        None for any other sum.
        """
        pairs = (step.operands, step.operands[::-1]) if step.op is Op.ADD else (step.operands,)
        for start, part in pairs:
            share = self.instructions[part]
            if share.op is not Op.MUL_SHIFT:
                continue
            for way, k in (share.operands[:2], share.operands[1::-1]):
                apart = self.instructions[self._unnarrowed(way)]
                fits = apart.op is Op.SUB and start == apart.operands[step.op is Op.ADD]
                if fits and within(self.values[k], (0, 1 << share.constants[0])):
                    return hull(*(self.values[end] for end in apart.operands))
        return None

    def _unnarrowed(self, number: int) -> int:
        """The value that a narrowing instruction leaves as it is, or the value itself."""
        step = self.instructions[number]
        kept = kept_by(step)
        if kept is None or not within(self.values[step.operands[0]], kept):
            return number
        return self._unnarrowed(step.operands[0])

    def _branch(self, condition: int, value: int, *, holds: bool) -> Interval | None:
        """The range of a value in a branch; None for a branch that is never taken."""
        found: Interval | None = None
        for facts in self._ways(condition, holds=holds):
            narrowed = {number: meet(fact, self.values[number]) for number, fact in facts.items()}
            if all(narrowed.values()):
                useful = {n: fact for n, fact in narrowed.items() if fact is not None and fact != self.values[n]}
                found = hull(found, self._under(useful, value))
        return found

    def _under(self, facts: Facts, value: int) -> Interval | None:
        """The range of a value under the facts."""
        if not facts:
            return self.values[value]
        known = self._known.setdefault(tuple(sorted(facts.items())), {})
        first = min(facts)
        needed, stack = set(), [value]
        while stack:
            number = stack.pop()
            if number < first or number in known or number in needed:
                continue
            needed.add(number)
            operands = self.instructions[number].operands
            if number not in facts or any(operand in facts for operand in operands):
                stack.extend(operands)
        for number in sorted(needed):
            known[number] = self._again(number, facts, known)
        return known.get(value, self.values[value])

    def _again(self, number: int, facts: Facts, known: dict[int, Interval | None]) -> Interval | None:
        range_ = meet(self.values[number], facts.get(number, self.values[number]))
        step = self.instructions[number]
        if not step.operands or any(operand >= min(facts) and operand not in known for operand in step.operands):
            return range_
        operands = [known.get(operand, self.values[operand]) for operand in step.operands]
        if step.op is Op.WHERE and operands[0] is not None:
            chosen = operands[1] if operands[0][1] else None
            return meet(range_, hull(chosen, None if operands[0][0] else operands[2]))
        there = [operand for operand in operands if operand is not None]
        return meet(range_, result(step, tuple(there))) if len(there) == len(operands) else None

    def _ways(self, condition: int, *, holds: bool) -> list[Facts]:
        """How the condition can hold, or fail: each way as facts about values, not yet met with their ranges."""
        step = self.instructions[condition]
        if step.op is Op.NOT:
            return self._ways(step.operands[0], holds=not holds)
        if step.op in (Op.AND, Op.OR):
            ways = [self._ways(operand, holds=holds) for operand in step.operands]
            if (step.op is Op.AND) is not holds:
                together = [way for operand in ways for way in operand]
            else:
                together = [both for pair in product(*ways) if (both := _merged(*pair)) is not None]
            return together if len(together) <= _MOST_WAYS else [{}]
        facts: Facts = {condition: (int(holds), int(holds))}
        if step.op in COMPARED:
            for number, fact in self._compared(step, holds=holds):
                if (common := meet(facts.get(number, fact), fact)) is None:
                    return []
                facts[number] = common
        return [facts]

    def _compared(self, step: Instruction, *, holds: bool) -> Iterator[tuple[int, Interval]]:
        """What a comparison says about its two operands, and of their difference where the program has it."""
        a, b = step.operands
        if step.op is Op.EQUAL:
            if holds:
                yield from ((a, self.values[b]), (b, self.values[a]))
            else:
                yield from ((a, self._without(a, b)), (b, self._without(b, a)))
            return
        apart = 1 if (step.op is Op.GREATER) is holds else 0  # at least so much between the greater and the smaller
        greater, smaller = (a, b) if holds else (b, a)
        yield greater, (self.values[smaller][0] + apart, max(self.values[greater][1], self.values[smaller][0] + apart))
        yield smaller, (min(self.values[smaller][0], self.values[greater][1] - apart), self.values[greater][1] - apart)
        for pair, sign in (((greater, smaller), 1), ((smaller, greater), -1)):
            number = self._differences.get(pair, len(self.values))
            if number < len(self.values):
                low, high = self.values[number]
                yield number, (apart, max(high, apart)) if sign > 0 else (min(low, -apart), -apart)

    def _without(self, a: int, b: int) -> Interval:
        """The range of a, less the one number that b is, where that stands at an end."""
        (low, high), (other, last) = self.values[a], self.values[b]
        if other != last or low == high:
            return low, high
        return low + (low == other), high - (high == other)


def _merged(a: Facts, b: Facts) -> Facts | None:
    both = dict(a)
    for number, fact in b.items():
        met = meet(both.get(number, fact), fact)
        if met is None:
            return None
        both[number] = met
    return both
