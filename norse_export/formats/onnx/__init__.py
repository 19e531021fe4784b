"""ONNX: a discrete graph as a model of one step, and as that step under a Scan over time."""
