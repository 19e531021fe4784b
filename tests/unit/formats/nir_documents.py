"""Documents of every NIR primitive for tests, and equality to the bit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from norse_export.files.limits import Limits
from norse_export.formats.nir.document import NIRDocument, NIRNode
from norse_export.formats.nir.hdf5 import document_of, parse

F32 = np.float32


def floats(*shape: int, seed: int = 0, dtype: Any = F32) -> np.ndarray:
    """Positive values, so that they serve as time constants too."""
    return np.random.default_rng(seed).uniform(0.1, 2.0, shape).astype(dtype)


def neurons(type_: str, *names: str, n: int = 3) -> NIRNode:
    return NIRNode(type_, {name: floats(n, seed=k) for k, name in enumerate(names)})


# type -> (node, input shape, output shape)
NODES: dict[str, tuple[NIRNode, tuple[int, ...], tuple[int, ...]]] = {
    "Affine": (NIRNode("Affine", {"weight": floats(4, 3), "bias": floats(4)}), (3,), (4,)),
    "Linear": (NIRNode("Linear", {"weight": floats(4, 3, dtype=np.float64)}), (3,), (4,)),
    "Scale": (NIRNode("Scale", {"scale": floats(2, 3)}), (2, 3), (2, 3)),
    "Threshold": (NIRNode("Threshold", {"threshold": floats(3)}), (3,), (3,)),
    "Delay": (NIRNode("Delay", {"delay": np.array([0.0, 0.001, 0.002])}), (3,), (3,)),
    "I": (neurons("I", "r"), (3,), (3,)),
    "IF": (neurons("IF", "r", "v_threshold", "v_reset"), (3,), (3,)),
    "LI": (neurons("LI", "tau", "r", "v_leak"), (3,), (3,)),
    "LIF": (neurons("LIF", "tau", "r", "v_leak", "v_threshold", "v_reset"), (3,), (3,)),
    "CubaLI": (neurons("CubaLI", "tau_syn", "tau_mem", "r", "v_leak", "w_in"), (3,), (3,)),
    "CubaLIF": (
        neurons("CubaLIF", "tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
        (3,),
        (3,),
    ),
    "Conv1d": (
        NIRNode(
            "Conv1d",
            {
                "input_shape": 9,
                "weight": floats(4, 2, 3),
                "stride": 2,
                "padding": 1,
                "dilation": 1,
                "groups": 1,
                "bias": floats(4),
            },
        ),
        (2, 9),
        (4, 5),
    ),
    "Conv2d": (
        NIRNode(
            "Conv2d",
            {
                "input_shape": np.array([6, 6]),
                "weight": floats(4, 2, 3, 3),
                "stride": np.array([1, 1]),
                "padding": np.array([0, 0]),
                "dilation": np.array([1, 1]),
                "groups": 1,
                "bias": floats(4),
            },
        ),
        (2, 6, 6),
        (4, 4, 4),
    ),
    "SumPool2d": (
        NIRNode(
            "SumPool2d", {"kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.array([0, 0])}
        ),
        (2, 6, 6),
        (2, 3, 3),
    ),
    "AvgPool2d": (
        NIRNode(
            "AvgPool2d", {"kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.array([0, 0])}
        ),
        (2, 6, 6),
        (2, 3, 3),
    ),
    "Flatten": (
        NIRNode("Flatten", {"input_type": np.array([2, 3]), "start_dim": 0, "end_dim": -1}),
        (2, 3),
        (6,),
    ),
}
METADATA = {
    "dt": 1e-4,
    "scheme": "euler",
    "steps": 3,
    "exact": True,
    "empty": {},
    "nested": {"reset": "value", "inner": {"delay_steps": 1, "ü": -0.0}},
}


def chain(
    node: NIRNode | NIRDocument, shape_in: tuple[int, ...], shape_out: tuple[int, ...], *, metadata: Any = None
) -> NIRDocument:
    nodes = {
        "input": NIRNode("Input", {"shape": np.array(shape_in)}),
        "node.0": node,
        "output": NIRNode("Output", {"shape": np.array(shape_out)}),
    }
    return NIRDocument("1.0.8", nodes, (("input", "node.0"), ("node.0", "output")), metadata or {})


def of(type_: str, *, metadata: Any = None) -> NIRDocument:
    """Input -> one node of this type -> Output."""
    return chain(*NODES[type_], metadata=metadata)


def lif_chain(**changed: Any) -> NIRDocument:
    """Input [2] -> Linear -> LIF [3] -> Output [3]; `changed` replaces or adds nodes."""
    nodes = {
        "input": NIRNode("Input", {"shape": np.array([2])}),
        "fc": NIRNode("Linear", {"weight": floats(3, 2)}),
        "lif": NODES["LIF"][0],
        "output": NIRNode("Output", {"shape": np.array([3])}),
    }
    edges = (("input", "fc"), ("fc", "lif"), ("lif", "output"))
    return NIRDocument("1.0.8", {**nodes, **changed}, edges)


def read(path: Path, limits: Limits | None = None) -> NIRDocument:
    with path.open("rb") as file:
        return document_of(*parse(file, limits or Limits()))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def identical(a: Any, b: Any) -> bool:
    """Equal in structure, type, dtype, shape and every bit; the order of names does not matter."""
    if isinstance(a, NIRDocument | NIRNode):
        parts = ("type", "fields", "metadata") if isinstance(a, NIRNode) else ("version", "nodes", "metadata")
        same = type(a) is type(b) and all(identical(getattr(a, part), getattr(b, part)) for part in parts)
        return same and (isinstance(a, NIRNode) or sorted(a.edges) == sorted(b.edges))
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and set(a) == set(b) and all(identical(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray):
        if not isinstance(b, np.ndarray) or (a.dtype, a.shape) != (b.dtype, b.shape):
            return False
        return a.tolist() == b.tolist() if a.dtype == object else a.tobytes() == b.tobytes()
    return type(a) is type(b) and (a.hex() == b.hex() if isinstance(a, float) else bool(a == b))
