"""Models for the tests of our model file, and ways to write and read them. Not tests."""

from __future__ import annotations

import io
import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from norse_export.files.limits import Limits
from norse_export.formats import safetensors_file
from norse_export.formats.saved import SavedModel, parse, read_saved, write_saved
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Pool
from norse_export.ir.neurons import LIF, CubaLI, CubaLIF, Kind, NeuronModel
from norse_export.ir.run import Run
from norse_export.ir.stages import ContinuousNode

T, B = 5, 3
R = np.random.default_rng(0)
STATES = {"1": ("v",), "5": ("v", "i"), "6": ("v", "i")}  # of the populations of MODEL


def real(*shape: int, dtype: str = "float32") -> Any:
    return R.normal(size=shape).astype(dtype)


def neuron(kind: Kind, shape: tuple[int, ...], dtype: str = "float32", **values: Any) -> NeuronModel:
    """A population with a value of its own for each neuron, time constant, level and membrane."""
    made: dict[str, Any] = {"shape": shape, "dt": 0.0013, "dtype": dtype}
    for name in (*kind.rates.values(), *kind.levels, *list(kind.initial.values())[:1]):
        if name in kind.rates.values():
            made[name] = R.uniform(0.004, 0.04, shape)
        elif name in kind.dynamics.matrices:
            made[name] = real(prod(shape), prod(shape), dtype=dtype)
        elif name == "rho_reset":  # steps
            made[name] = R.integers(1, 9, shape).astype(dtype)
        else:
            made[name] = real(*shape, dtype=dtype)
    return kind(**{**made, **values})


def model(**changes: Any) -> SavedModel:
    """A small model with every kind of layer on its way, a loop, and two outputs' worth of rasters."""
    nodes: dict[str, ContinuousNode] = {
        "input": Input((2, 4, 4)),
        "0": Conv(real(2, 2, 3, 3), (4, 4), padding=(1, 1)),
        "1": neuron(LIF, (2, 4, 4), v_th=np.float32(0.5)),
        "2": Pool("avg", (2, 4, 4), (2, 2), (2, 2)),
        "3": Flatten((2, 2, 2)),
        "4": Linear(real(3, 8), real(3)),
        "5": neuron(CubaLIF, (3,), recurrent=True),
        "5.recurrent_weights": Linear(real(3, 3)),
        "6": neuron(CubaLI, (3,)),
        "output": Output((3,)),
    }
    edges = (
        Edge("input", "0"), Edge("0", "1"), Edge("1", "2"), Edge("2", "3"), Edge("3", "4"), Edge("4", "5"),
        Edge("5", "5.recurrent_weights", "x", 1), Edge("5.recurrent_weights", "5", "r"), Edge("5", "6"),
        Edge("6", "output"),
    )  # fmt: skip
    shapes = {"1": (2, 4, 4), "5": (3,), "6": (3,)}
    reference = Run(
        spikes={name: R.random((T, B, *shapes[name])) < 0.3 for name in ("1", "5")},
        outputs={"output": real(T, B, 3)},
        ran_by="norse 1.1.0, torch 2.13.0, float32, batch 3, 1 threads",
        final_state={name: {key: real(B, *shapes[name]) for key in states} for name, states in STATES.items()},
    )
    made = {
        "graph": Graph(nodes, edges, {"note": "ünïcode \U0001f9e0", "empty": ""}),
        "inputs": {"input": (R.random((T, B, 2, 4, 4)) < 0.4).astype(np.float32)},
        "reference": reference,
        "provenance": {"norse_export": "0.1.0", "time": "outside"},
    }
    return SavedModel(**{**made, **changes})


MODEL = model()


def written(saved: SavedModel) -> bytes:
    buffer = io.BytesIO()
    write_saved(buffer, saved)
    return buffer.getvalue()


def read(data: bytes, tmp_path: Path, limits: Limits | None = None) -> SavedModel:
    path = tmp_path / "m.pt"
    path.write_bytes(data)
    with path.open("rb") as file:
        return read_saved(file, name="m.pt", limits=limits or Limits())


def taken_apart(saved: SavedModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """Description and arrays as they go to the container."""
    kept: dict[str, Any] = {}

    def keep(file: Any, arrays: Any, metadata: Any) -> None:
        kept.update(arrays=arrays, document=json.loads(metadata["norse_export"]))

    original, safetensors_file.write = safetensors_file.write, keep  # type: ignore[assignment]
    try:
        write_saved(io.BytesIO(), saved)
    finally:
        safetensors_file.write = original
    return kept["document"], kept["arrays"]


DOCUMENT, ARRAYS = taken_apart(MODEL)


class InProcess:
    """Reads a file without a child process, as thousands of mutations need it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from norse_export.files.child import Parsed
        from norse_export.formats import graph_file

        monkeypatch.setattr(graph_file, "parse_in_child", lambda _, file, *, name, limits: Parsed(*parse(file, limits)))

    def read(self, document: Any, arrays: Any, limits: Limits | None = None) -> SavedModel:
        text = json.dumps(document)
        buffer = Named()
        safetensors_file.write(buffer, arrays, {"norse_export": text})
        buffer.seek(0)
        return read_saved(buffer, name="m.pt", limits=limits or Limits())


class Named(io.BytesIO):
    name = "m.pt"
