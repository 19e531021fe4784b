"""Random words as ONNX nodes: program/philox.py, Philox 4x32-10, in int64 (which products of 32 and 16 bits fit)."""

from __future__ import annotations

from norse_export.program.philox import M0, M1, ROUNDS, W0, W1

from .bodies import Body
from .integer_bodies import IntegerWriter

PHILOX = "philox4x32"
_INPUTS = ("neuron", "step", "sample", "stream", "key0", "key1")


def philox_body(opset: int) -> Body:
    """A function of counter (neuron, step, sample, stream) and key, all words of 32 bits as int64; gives a word."""
    writer = IntegerWriter(set(_INPUTS))
    c0, c1, c2, c3, k0, k1 = _INPUTS
    for number in range(ROUNDS):
        high0, low0 = _product(writer, c0, M0)
        high1, low1 = _product(writer, c2, M1)
        c0, c2 = (
            writer.add("BitwiseXor", (writer.add("BitwiseXor", (high, word)), key))
            for high, word, key in ((high1, c1, k0), (high0, c3, k1))
        )
        c1, c3 = low1, low0
        if number < ROUNDS - 1:
            k0, k1 = (writer.rest(writer.add("Add", (k, writer.number(w))), 32) for k, w in ((k0, W0), (k1, W1)))
    return writer.body(PHILOX, _INPUTS, (c0,), (writer.names.fresh("word"),), opset)


def _product(writer: IntegerWriter, word: str, factor: int) -> tuple[str, str]:
    """High and low word of a product of words; its parts stay below 2^49."""
    upper = writer.add("Mul", (word, writer.number(factor >> 16)))
    lower = writer.add("Mul", (word, writer.number(factor & 0xFFFF)))
    moved = writer.add("Mul", (writer.rest(upper, 16), writer.number(1 << 16)))
    total = writer.add("Add", (lower, moved))
    return writer.add("Add", (writer.floor(upper, 16), writer.floor(total, 32))), writer.rest(total, 32)
