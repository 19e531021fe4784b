"""Target `onnx`: models that any ONNX runtime executes, neurons kept as neurons."""

from .target import OnnxTarget

__all__ = ["OnnxTarget"]
