"""Steps per second of the Scan form on onnxruntime against Norse eager, in one run, on one thread each.

Linear(784, 512) - LIF - Linear(512, 10) - LI, batch 1, 100 steps. Both spike alike, which is checked first.

python benchmarks/onnx_scan.py [--steps 100] [--repeats 30]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import norse.torch as snn
import numpy as np
import onnxruntime
import torch
from measure import machine
from torch import nn

import norse_export
from norse_export import registry
from norse_export.passes.discretise import discretise

GOAL = 4.0


def seconds(run: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Interleave the two, take the minimum of each, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = snn.SequentialState(nn.Linear(784, 512), snn.LIFCell(), nn.Linear(512, 10), snn.LICell())
    with torch.no_grad():
        model[0].weight.mul_(6)
    raster = (torch.rand(arguments.steps, 1, 784) < 0.1).float()
    traced = norse_export.trace(model, raster)

    def eager() -> None:
        state = None
        with torch.no_grad():
            for frame in raster:
                _, state = model(frame, state)

    with tempfile.TemporaryDirectory() as name:
        target = registry.load("onnx")
        target.emit(discretise(traced.graph), Path(name))
        done = target.run(Path(name), traced.inputs)
        differing = int(np.sum(done.spikes["1"] != traced.reference.spikes["1"]))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(Path(name) / "model.onnx"), options)
        frames = raster.numpy()
        times = [
            (seconds(eager), seconds(lambda: session.run(None, {"input": frames}))) for _ in range(arguments.repeats)
        ]
    norse, scan = (min(one) for one in zip(*times[1:], strict=True))
    record = {
        "name": "onnx_scan",
        "ratio": round(norse / scan, 2),
        "goal": GOAL,
        "steps_per_second": {"norse eager": round(arguments.steps / norse), "onnx scan": round(arguments.steps / scan)},
        "spikes": int(done.spikes["1"].sum()),
        "differing": differing,
        "onnxruntime": onnxruntime.__version__,
        "torch": torch.__version__,
        "machine": machine(),
    }
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
