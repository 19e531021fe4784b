"""The interpreter: runs a discrete graph in float arithmetic, and bounds how far another float run may be from it."""

from norse_export.interpret.bounded import Bounded, Bounds, interpret_bounded
from norse_export.interpret.plain import checked_inputs, interpret, model_dtype

__all__ = ["Bounded", "Bounds", "checked_inputs", "interpret", "interpret_bounded", "model_dtype"]
