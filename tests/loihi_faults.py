"""What a law of Loihi written carelessly would do in place of each kind of instruction."""

from __future__ import annotations

from typing import Any

from program_faults import Changes

from norse_export.program.operations import Op, Rounding

SATURATES: dict[str, Any] = {"op": Op.SATURATE, "constants": (-(2**23), 2**23 - 1)}
LOIHI_FAULTS: Changes = {
    Op.MUL_SHIFT: ({"rounding": Rounding.FLOOR}, {"rounding": Rounding.HALF_EVEN}),
    Op.SHIFT_LEFT: ({"constants": (5,)},),
    Op.WRAP_ONCE: (
        {"op": Op.WRAP, "constants": (24,)},
        {"constants": (-(2**23), 2**23 - 1)},
        {"constants": (-(2**23) + 1, 2**23 - 1)},
        SATURATES,
    ),
    Op.WRAP: ({"constants": (62,)}, SATURATES),
    Op.SATURATE: ({"op": Op.WRAP, "constants": (24,)}, {"constants": (-(2**30), 2**30)}),
    Op.GREATER: ({"op": Op.GREATER_EQUAL},),
    Op.GREATER_EQUAL: ({"op": Op.GREATER},),
    Op.SUB: ({"op": Op.ADD},),
    Op.ADD: ({"op": Op.SUB},),
    Op.MAX: ({"op": Op.MIN},),
}
