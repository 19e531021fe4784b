"""How many bits the values of an integer program take, its products and what rounding adds to them included."""

from __future__ import annotations

from norse_export.errors import UnsupportedError
from norse_export.program.interval import Interval, bits_of, product, within
from norse_export.program.operations import Instruction, Op, Rounding
from norse_export.program.program import Program


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


def check_int64(program: Program, values: tuple[Interval, ...], unbounded: tuple[str, ...]) -> None:
    """Refuse a program whose values 64 bits may not hold. unbounded: states for which no bound was found.

    Raises:
        UnsupportedError: it names the first such value, and the states.
    """
    room = bits_of(64)
    for number, step in enumerate(program.instructions):
        range_ = values[number]
        if step.op is Op.MUL_SHIFT:
            range_ = _summed(step, product(*(values[operand] for operand in step.operands[:2])))
        elif step.op is Op.SHIFT_RIGHT:
            range_ = _summed(step, values[step.operands[0]])
        if within(range_, room) and within(values[number], room):
            continue
        message = f"value %{number} of the neuron's program ({step.op}) "
        if unbounded:
            one = len(unbounded) == 1
            what = f"{'state' if one else 'states'} {' and '.join(unbounded)}"
            message = f"nothing bounds the {what} of the neuron over many steps, and {message}may leave 64 bits"
            fix = f"narrow the {what} in the program (saturate or wrap), or let {'it' if one else 'them'} decay"
        else:
            message += f"lies in {range_[0]} to {range_[1]}, which 64 bits do not hold"
            fix = "narrow the values before it (saturate or wrap), or give smaller parameters"
        raise UnsupportedError(message, where=f"%{number} = {step.op}", fix=fix)


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
