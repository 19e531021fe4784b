"""The interpreter: runs a discrete graph in float arithmetic, and bounds how far another float run may be from it."""

from norse_export.interpret.bounded import interpret_bounded
from norse_export.interpret.plain import interpret
from norse_export.ir.rasters import checked_inputs, model_dtype
from norse_export.ir.run import Bounded, Bounds

__all__ = ["Bounded", "Bounds", "checked_inputs", "interpret", "interpret_bounded", "model_dtype"]
