"""The primitives of NIR 1.0.8 and their fields: the one table that reading, checking and writing share.

Source: nir 1.0.8, nir/ir/*.py (the dataclasses) and nir/serialization.py (what may be missing in a file).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

GRAPH = "NIRGraph"


class Kind(Enum):
    """What a field holds; the value is how it is called in messages."""

    NUMBERS = "an array of numbers"
    SIZES = "a list of sizes"
    INTEGER = "an integer"
    INTEGERS = "an integer, or one for each spatial axis"
    PADDING = "an integer, one for each spatial axis, 'same' or 'valid'"


class Rule(Enum):
    """How the sizes of a primitive's input and output follow from its fields."""

    PORT = "shape"  # Input, Output
    ELEMENTWISE = "elementwise"  # one value for each neuron
    LINEAR = "linear"  # weight [out, in]
    CONV = "conv"  # weight [C_out, C_in / groups, kernel...]
    POOL = "pool"
    FLATTEN = "flatten"


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `least` bounds integers, `positive` (above 0) and `non_negative` bound numbers.

    A field that is not required may be missing in a file; nir then takes v_reset = 0, w_in = 1, start_dim = 1,
    end_dim = -1, and an unknown shape. `scalar` allows one value for all neurons.
    """

    name: str
    kind: Kind = Kind.NUMBERS
    required: bool = True
    least: int | None = None
    positive: bool = False
    non_negative: bool = False
    scalar: bool = False


@dataclass(frozen=True, slots=True)
class Primitive:
    """A node type: its fields by name, its rule of sizes, and its number of spatial axes (convolutions and pools)."""

    fields: Mapping[str, Field]
    rule: Rule
    axes: int = 0


def _primitive(rule: Rule, *fields: Field, axes: int = 0) -> Primitive:
    return Primitive(MappingProxyType({f.name: f for f in fields}), rule, axes)


def _numbers(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name) for name in names)


def _time(name: str) -> Field:
    return Field(name, positive=True)


def _conv(axes: int) -> Primitive:
    return _primitive(
        Rule.CONV,
        Field("input_shape", Kind.INTEGERS, required=False, least=1),
        Field("weight"),
        Field("stride", Kind.INTEGERS, least=1),
        Field("padding", Kind.PADDING, least=0),
        Field("dilation", Kind.INTEGERS, least=1),
        Field("groups", Kind.INTEGER, least=1),
        Field("bias"),
        axes=axes,
    )


def _pool() -> Primitive:
    return _primitive(
        Rule.POOL,
        Field("kernel_size", Kind.INTEGERS, least=1),
        Field("stride", Kind.INTEGERS, least=1),
        Field("padding", Kind.INTEGERS, least=0),
        axes=2,
    )


_SHAPE = Field("shape", Kind.SIZES, least=1)
_RESET = Field("v_reset", required=False)
_W_IN = Field("w_in", required=False, scalar=True)

PRIMITIVES: Mapping[str, Primitive] = MappingProxyType(
    {
        "Affine": _primitive(Rule.LINEAR, *_numbers("weight", "bias")),
        "AvgPool2d": _pool(),
        "Conv1d": _conv(1),
        "Conv2d": _conv(2),
        "CubaLI": _primitive(Rule.ELEMENTWISE, _time("tau_syn"), _time("tau_mem"), *_numbers("r", "v_leak"), _W_IN),
        "CubaLIF": _primitive(
            Rule.ELEMENTWISE,
            _time("tau_syn"),
            _time("tau_mem"),
            *_numbers("r", "v_leak", "v_threshold"),
            _RESET,
            _W_IN,
        ),
        "Delay": _primitive(Rule.ELEMENTWISE, Field("delay", non_negative=True)),
        "Flatten": _primitive(
            Rule.FLATTEN,
            Field("input_type", Kind.SIZES, required=False, least=1),
            Field("start_dim", Kind.INTEGER, required=False),
            Field("end_dim", Kind.INTEGER, required=False),
        ),
        "I": _primitive(Rule.ELEMENTWISE, *_numbers("r")),
        "IF": _primitive(Rule.ELEMENTWISE, *_numbers("r", "v_threshold"), _RESET),
        "Input": _primitive(Rule.PORT, _SHAPE),
        "LI": _primitive(Rule.ELEMENTWISE, _time("tau"), *_numbers("r", "v_leak")),
        "LIF": _primitive(Rule.ELEMENTWISE, _time("tau"), *_numbers("r", "v_leak", "v_threshold"), _RESET),
        "Linear": _primitive(Rule.LINEAR, *_numbers("weight")),
        "Output": _primitive(Rule.PORT, _SHAPE),
        "Scale": _primitive(Rule.ELEMENTWISE, *_numbers("scale")),
        "SumPool2d": _pool(),
        "Threshold": _primitive(Rule.ELEMENTWISE, *_numbers("threshold")),
    }
)
