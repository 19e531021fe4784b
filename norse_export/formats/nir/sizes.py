"""What size of signal a node takes and gives, as far as its own fields tell; from declarations, no array is read.

A port is one interval (least, most) for each axis, or None where nothing is known: a kernel has to fit into its input,
so a convolution takes any height from a least one up.
"""

from __future__ import annotations

import math

from .declared import Declared, DeclaredNode
from .primitives import PRIMITIVES, Rule

Port = tuple[tuple[int, float], ...] | None


def ports(node: DeclaredNode) -> tuple[Port, Port]:
    """Give (input, output) of a node whose own fields are sound."""
    primitive = PRIMITIVES[node.type]
    match primitive.rule:
        case Rule.PORT:
            port = _exactly(node.integers("shape"))
            return port, port
        case Rule.ELEMENTWISE:
            shape = max((f.shape for f in node.fields.values()), key=len)
            port = _exactly(shape) if shape else None
            return port, port
        case Rule.LINEAR:
            shape = node.fields["weight"].shape
            return _exactly((*shape[:-2], shape[-1])), _exactly(shape[:-1])
        case Rule.CONV:
            return _conv(node, primitive.axes)
        case Rule.POOL:
            kernel, padding = spread(node.fields["kernel_size"], 2), spread(node.fields["padding"], 2)
            least = tuple((max(1, k - 2 * p), math.inf) for k, p in zip(kernel, padding, strict=True))
            return ((1, math.inf), *least), None
        case Rule.FLATTEN:
            return None, None


def fits(given: Port, taken: Port) -> bool:
    """Tell whether a signal of the one size can enter the other; what is not known fits."""
    if given is None or taken is None:
        return True
    return len(given) == len(taken) and all(
        max(a, b) <= min(a_most, b_most) for (a, a_most), (b, b_most) in zip(given, taken, strict=True)
    )


def described(port: Port) -> str:
    """Give a port as text: `[3, 7 or more, any]`."""

    def axis(least: int, most: float) -> str:
        if least == most:
            return str(least)
        return "any" if least <= 1 else f"{least} or more"

    return "[" + ", ".join(axis(*a) for a in port or ()) + "]"


def spread(declared: Declared, axes: int) -> tuple[int, ...]:
    """Give one integer for each spatial axis of a field that holds one, or one each."""
    values = declared.integers()
    return values * axes if not declared.shape else values


def _exactly(shape: tuple[int, ...]) -> Port:
    return tuple((n, n) for n in shape)


def _conv(node: DeclaredNode, axes: int) -> tuple[Port, Port]:
    channels_out, channels_in, *kernel = node.fields["weight"].shape
    padding = node.fields["padding"]
    pads = (0,) * axes if padding.text == "valid" else None if padding.text == "same" else spread(padding, axes)
    reach = [d * (k - 1) + 1 for d, k in zip(spread(node.fields["dilation"], axes), kernel, strict=True)]
    least = (1,) * axes if pads is None else tuple(max(1, r - 2 * p) for r, p in zip(reach, pads, strict=True))
    total_in = channels_in * node.integers("groups")[0]
    return (
        ((total_in, total_in), *((n, math.inf) for n in least)),
        ((channels_out, channels_out), *((1, math.inf),) * axes),
    )
