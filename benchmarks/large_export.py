"""A saved dense model of 100 million parameters to a file (--no-verify): time against raw write and fsync; memory.

python benchmarks/large_export.py [--parameters 100000000] [--target nir]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import command, machine, weighed

from norse_export.formats.saved import SavedModel, write_saved
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Linear, Output
from norse_export.ir.neurons import CubaLIF
from norse_export.target import Run

REPEATS = 5
TIME_GOALS = {"nir": 5}  # times a raw write of the weights; what other targets take is measured, and has no goal
MEMORY_GOALS = {"nir": 2, "onnx": 1.3}  # of the size of the weights


def dense_model(parameters: int) -> SavedModel:
    """Input -> Linear -> LIF -> Output with a square weight of that many numbers, as norse_export.save leaves it."""
    n = math.isqrt(parameters)
    weight = np.random.default_rng(0).normal(0, 1 / math.sqrt(n), (n, n)).astype(np.float32)
    lif = CubaLIF(
        shape=(n,),
        dt=1e-3,
        tau_mem=np.float64(1e-2),
        tau_syn=np.float64(5e-3),
        v_leak=np.float32(0),
        v_th=np.float32(1),
        v_reset=np.float32(0),
    )
    nodes = {"input": Input((n,)), "0": Linear(weight), "1": lif, "output": Output((n,))}
    edges = (Edge("input", "0"), Edge("0", "1"), Edge("1", "output"))
    silent = np.zeros((1, 1, n), dtype=bool)
    state = {"1": {"v": np.zeros((1, n), np.float32), "i": np.zeros((1, n), np.float32)}}
    reference = Run({"1": silent}, {"output": silent}, "no run: a benchmark", final_state=state)
    return SavedModel(Graph(nodes, edges), {"input": silent.astype(np.float32)}, reference, {})


def raw_write(path: Path, data: memoryview) -> float:
    """Wall seconds of writing the bytes and forcing them to the disk."""
    start = time.perf_counter()
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - start


def main() -> None:
    """Interleave the two, take the minimum of each, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parameters", type=int, default=100_000_000)
    parser.add_argument("--target", choices=MEMORY_GOALS, default="nir")
    chosen = parser.parse_args()
    parameters, target = chosen.parameters, chosen.target
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        with (folder / "model.pt").open("wb") as file:
            write_saved(file, dense_model(parameters))
        data = memoryview(bytes(parameters * 4))
        raw, ours, memory = [], [], []
        for _ in range(REPEATS):
            raw.append(raw_write(folder / "raw.bin", data))
            arguments = [
                str(folder / "model.pt"),
                "--target",
                target,
                "--no-verify",
                "--force",
                "--max-bytes",
                str(max(2**30, parameters * 5)),
                "-o",
                str(folder / "written"),
            ]
            seconds, peak = weighed([command(), *arguments])
            ours.append(seconds)
            memory.append(peak)
        path = folder / "written"
        files = path.iterdir() if path.is_dir() else (path,)
        written = sum(file.stat().st_size for file in files)
    if written < parameters * 4:
        raise SystemExit("the artefact is smaller than its weights: nothing was measured")
    record = {
        "name": "large_export",
        "target": target,
        "parameters": parameters,
        "time_ratio": round(min(ours) / min(raw), 3),
        "time_goal": TIME_GOALS.get(target),
        "memory_ratio": round(max(memory) / (parameters * 4), 3),
        "memory_goal": MEMORY_GOALS[target],
        "export_seconds": ours,
        "raw_write_fsync_seconds": raw,
        "peak_bytes_all_processes": memory,
        "machine": machine(),
    }
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
