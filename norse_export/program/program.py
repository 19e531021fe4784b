"""A neuron family: one step function, and the straight-line program that it leaves when called on symbols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from inspect import Parameter, signature
from typing import Any

from norse_export.program.operations import TRUTHS, Instruction, Op, Symbol, Tape


@dataclass(frozen=True, slots=True)
class Step:
    """What one time step gives: the spikes (None for a family that never spikes), the new state, in order.

    A plain int among the states is a constant: a state that every step ends with.
    `output` is what the neuron sends on; None means the spikes. `observe` names further values that a recording holds.
    """

    state: tuple[Any, ...]
    spike: Any = None
    output: Any = None
    observe: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """A step as data: numbered instructions in the order of execution, and the numbers of what it gives.

    The instructions begin with the ports, the state variables, the clock if it is read, the random streams and the
    parameters, each group in its order.
    """

    instructions: tuple[Instruction, ...]
    state: tuple[int, ...]
    spike: int | None
    output: int
    observe: tuple[tuple[str, int], ...]

    @cached_property
    def ports(self) -> tuple[str, ...]:
        """Names of the input ports, in order."""
        return self._names(Op.PORT)

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Names of the state variables, in order."""
        return self._names(Op.STATE)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters, in order."""
        return self._names(Op.PARAMETER)

    @cached_property
    def random(self) -> tuple[str, ...]:
        """Names of the streams of random numbers, in order."""
        return self._names(Op.RANDOM)

    @cached_property
    def constants(self) -> tuple[int, ...]:
        """The numbers that are written in the program, in the order of its instructions."""
        return tuple(value for step in self.instructions for value in step.constants)

    @cached_property
    def truths(self) -> frozenset[int]:
        """Numbers of the instructions that give a truth value."""
        found = set[int]()
        for number, step in enumerate(self.instructions):
            if step.op in TRUTHS or (step.op is Op.WHERE and found.issuperset(step.operands[1:])):
                found.add(number)
        return frozenset(found)

    @cached_property
    def structure(self) -> tuple[object, ...]:
        """The program without its numbers and names: programs that share it share a compiled kernel."""
        steps = tuple(step.structure for step in self.instructions)
        return (steps, self.state, self.spike, self.output, tuple(number for _, number in self.observe))

    def _names(self, op: Op) -> tuple[str, ...]:
        return tuple(step.name for step in self.instructions if step.op is op)

    def __str__(self) -> str:
        lines = [f"%{number} = {_text(step)}" for number, step in enumerate(self.instructions)]
        spike = "none" if self.spike is None else f"%{self.spike}"
        lines.append(f"spike {spike}  output %{self.output}  state {' '.join(f'%{number}' for number in self.state)}")
        lines.extend(f"observe {name} %{number}" for name, number in self.observe)
        return "\n".join(lines)


def _text(step: Instruction) -> str:
    parts = [str(step.op), step.name, *(f"%{operand}" for operand in step.operands), *map(str, step.constants)]
    return " ".join(part for part in (*parts, step.rounding) if part)


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of neuron: the step function, with its ordered input ports and state variables.

    The step is called as `step(*ports, *state, [t], *random, **parameters)`: t is the number of the step, counted from
    0, for a family with a clock; each name in `random` is a stream of random numbers of 32 bits, one for each neuron
    and step. Its keyword-only arguments are the parameters: `matrices` are [N, N], over the N neurons of a population,
    all others have one value for each neuron.
    """

    name: str
    step: Callable[..., Step]
    ports: tuple[str, ...]
    state: tuple[str, ...]
    clock: bool = False
    random: tuple[str, ...] = ()
    matrices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        arguments = signature(self.step).parameters.values()
        positional = tuple(a.name for a in arguments if a.kind is not Parameter.KEYWORD_ONLY)
        declared = (*self.ports, *self.state, *(("t",) if self.clock else ()), *self.random)
        if positional != declared:
            raise TypeError(f"family {self.name}: step takes {positional}, declared {declared}")

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters, in the order in which the step declares them."""
        arguments = signature(self.step).parameters.values()
        return tuple(a.name for a in arguments if a.kind is Parameter.KEYWORD_ONLY)

    @property
    def spikes(self) -> bool:
        """Whether neurons of this family spike."""
        return self.trace().spike is not None

    def trace(self) -> Program:
        """Call the step once on symbols and give the program that it leaves.

        Raises:
            TypeError: the step uses something outside the operations, or gives what the family does not declare.
        """
        return _trace(self)


@cache
def _trace(family: Family) -> Program:
    tape = Tape()
    given = [tape.record(Op.PORT, name=name) for name in family.ports]
    given += [tape.record(Op.STATE, name=name) for name in family.state]
    given += [tape.record(Op.CLOCK)] if family.clock else []
    given += [tape.record(Op.RANDOM, name=name) for name in family.random]
    parameters = {name: tape.record(Op.PARAMETER, name=name) for name in family.parameters}
    step = family.step(*given, **parameters)
    if len(step.state) != len(family.state):
        raise TypeError(f"family {family.name}: step gives {len(step.state)} state values for {family.state}")

    def number(value: Any) -> int:
        if not isinstance(value, Symbol) or value.tape is not tape:
            raise TypeError(f"family {family.name}: step gives {value!r}, which is no value of the step")
        return value.number

    state = tuple(number(_constant(tape, value)) for value in step.state)  # before the tape is read
    return Program(
        instructions=tuple(tape.instructions),
        state=state,
        spike=None if step.spike is None else number(step.spike),
        output=number(step.spike if step.output is None else step.output),
        observe=tuple((name, number(value)) for name, value in step.observe.items()),
    )


def _constant(tape: Tape, value: Any) -> Any:
    return tape.record(Op.CONSTANT, constants=(value,)) if type(value) is int else value
