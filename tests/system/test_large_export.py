"""A saved model of a million weights, exported as a user does it: the same weights, no torch, few copies in memory."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from norse_export.formats.saved import SavedModel, write_saved
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Linear, Output
from norse_export.ir.neurons import CubaLIF
from norse_export.ir.run import Run

MILLION = 10**6
COPIES = 2  # of the weights, over all processes; it is 1, and 3 are found
# Between runs the sampled peak of the small export differs by so much: it lies in the imports, and is short.
SLACK = 10 * MILLION
# Imported by any of the processes, this torch says so.
TORCH = "import os, pathlib; pathlib.Path(os.environ['TORCH_WAS_IMPORTED']).touch(); raise RuntimeError('imported')\n"


def dense_model(weight: NDArray[np.float32]) -> SavedModel:
    """Input -> Linear -> LIF -> Output with a square weight, as norse_export.save leaves it."""
    n = len(weight)
    one = np.float32(1)
    lif = CubaLIF(
        shape=(n,),
        dt=1e-3,
        tau_mem=np.float64(1e-2),
        tau_syn=np.float64(5e-3),
        v_leak=0 * one,
        v_th=one,
        v_reset=0 * one,
    )
    nodes = {"input": Input((n,)), "0": Linear(weight), "1": lif, "output": Output((n,))}
    edges = (Edge("input", "0"), Edge("0", "1"), Edge("1", "output"))
    silent = np.zeros((1, 1, n), dtype=bool)
    state = {"1": {"v": np.zeros((1, n), np.float32), "i": np.zeros((1, n), np.float32)}}
    reference = Run({"1": silent}, {"output": silent}, "no run: a test", final_state=state)
    return SavedModel(Graph(nodes, edges), {"input": silent.astype(np.float32)}, reference, {})


@dataclass(frozen=True)
class Exported:
    """What an export wrote, the weights that went in, and the peak of memory over all its processes in bytes."""

    artefact: Path
    weight: NDArray[np.float32]
    peak: int


def exported(folder: Path, parameters: int, *, target: str = "nir", more: tuple[str, ...] = ()) -> Exported:
    """Save a model of that many weights, and export it with the installed command. more: options of it."""
    n = math.isqrt(parameters)
    weight = np.random.default_rng(0).standard_normal((n, n), np.float32)
    weight /= np.float32(math.sqrt(n))
    folder.mkdir()
    with (folder / "model.pt").open("wb") as file:
        write_saved(file, dense_model(weight))
    (folder / "stub" / "torch").mkdir(parents=True)
    (folder / "stub" / "torch" / "__init__.py").write_text(TORCH)
    path = os.pathsep.join(filter(None, (str(folder / "stub"), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "TORCH_WAS_IMPORTED": str(folder / "torch_was_imported")}
    command = [Path(sys.executable).with_name("norse-export"), "model.pt", "--target", target, "--no-verify", *more]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(memory_of(pid) for pid in family(process.pid)))
        time.sleep(0.002)
    assert process.returncode == 0
    assert not (folder / "torch_was_imported").exists()
    return Exported(folder / f"model.{target}", weight, peak)


def family(root: int) -> list[int]:
    """A process and all its descendants."""
    found = [root]
    for pid in found:
        try:
            found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        except OSError:  # it has ended meanwhile
            continue
    return found


def memory_of(pid: int) -> int:
    """Bytes of a process; pages that several share are divided among them. 0 for one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def test_a_million_weights_are_exported_as_they_are_without_torch(tmp_path: Path) -> None:
    done = exported(tmp_path / "small", MILLION)
    with h5py.File(done.artefact, "r") as file:
        written: Any = file["node/nodes/0/weight"]
        assert written.dtype == np.float32
        assert written[()].tobytes() == done.weight.tobytes()
        assert file["node/nodes/0/type"][()] == b"Linear"


def test_the_torch_of_this_test_tells_when_it_is_imported(tmp_path: Path) -> None:
    exported(tmp_path / "one", 16)
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "one" / "stub"),
        "TORCH_WAS_IMPORTED": str(tmp_path / "imported"),
    }
    done = subprocess.run([sys.executable, "-c", "import torch"], env=environment, capture_output=True, check=False)
    assert done.returncode == 1
    assert (tmp_path / "imported").exists()


measured = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no /proc/self/smaps_rollup here")


@measured
@pytest.mark.parametrize(("target", "sizes"), [("nir", (1, 8)), ("onnx", (8, 16))])
def test_the_memory_of_an_export_grows_by_two_copies_of_its_weights_at_most(
    target: str, sizes: tuple[int, int], tmp_path: Path
) -> None:
    small, large = (exported(tmp_path / str(one), one * MILLION, target=target) for one in sizes)
    assert small.peak > small.weight.nbytes  # measured at all
    assert large.peak > small.peak
    grown = large.weight.nbytes - small.weight.nbytes
    assert large.peak - small.peak <= COPIES * grown + SLACK


@measured
@pytest.mark.slow
def test_half_a_billion_weights_are_exported_to_onnx_in_little_more_than_their_own_memory(tmp_path: Path) -> None:
    done = exported(tmp_path / "m", 500 * MILLION, target="onnx", more=("--max-bytes", "4G"))
    size = done.weight.nbytes
    assert size <= done.peak <= 1.3 * size
    folder, row = done.artefact, done.weight[7].copy()
    del done
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    raster = np.zeros((2, 1, len(row)), np.float32)
    raster[0, 0, 3] = 1
    outputs = [one.name for one in session.get_outputs()]
    given = dict(zip(outputs, session.run(None, {"input": raster}), strict=True))
    assert given["output"].shape == raster.shape
    expected = float(row[3]) * (1 - 0.2) ** 2  # its current after two steps: dt / tau_syn is 0.2
    assert given["1.i"][0, 7] == pytest.approx(expected, rel=1e-5)
