"""Two runs of the same network on the same raster -> the first cell that differs, and exact counts for each layer."""

from norse_export.compare.compare import compare, decisions
from norse_export.compare.comparison import Comparison, Divergence, LayerParity

__all__ = ["Comparison", "Divergence", "LayerParity", "compare", "decisions"]
