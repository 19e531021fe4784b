"""Run model.net in Lava and compare it with what norse-export computed; exits 0 when all is equal, else 1.

    python run_on_loihi.py                      Lava's bit-accurate models, on the CPU
    python run_on_loihi.py --hardware           a Loihi 2 chip
    python run_on_loihi.py --recording my.npz   another recording

Needs lava-nc and lava-dl (Python 3.10); nothing of norse-export. A recording is an npz file with `input` ([T, *shape],
the raster as model.net takes it: [T, N], or [T, C, H, W] of images), and for block b with neurons `spikes_b` and `v_b`
([T, *shape], after each step, images as [C, H, W]); what is not in it is not compared. 2 means that it could not run.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Parse, run, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hardware", action="store_true", help="run on a Loihi 2 chip instead of the CPU")
    parser.add_argument("--recording", type=Path, default=HERE / "recording.npz")
    given = parser.parse_args()
    try:
        with np.load(given.recording, allow_pickle=False) as file:
            recording = {name: file[name] for name in file.files}
        found = run(HERE / "model.net", recording["input"], hardware=given.hardware)
    except (ImportError, OSError, KeyError, ValueError) as error:
        sys.stderr.write(f"could not run: {type(error).__name__}: {error}\n")
        return 2
    differing = compare(recording, found, hardware=given.hardware)
    sys.stdout.write("equal\n" if differing == 0 else f"{differing} values differ\n")
    return 0 if differing == 0 else 1


def run(net_file: Path, raster: Any, *, hardware: bool) -> dict[str, Any]:
    """Spikes and membranes of every block, [T, *shape]; images as [C, H, W]."""
    source = importlib.import_module("lava.proc.io.source")
    monitors = importlib.import_module("lava.proc.monitor.process")
    conditions = importlib.import_module("lava.magma.core.run_conditions")
    configs = importlib.import_module("lava.magma.core.run_configs")
    hdf5 = importlib.import_module("lava.lib.dl.netx.hdf5")

    net = hdf5.Network(net_config=str(net_file))
    steps = raster.shape[0]
    data = raster.transpose(0, 3, 2, 1) if raster.ndim == 4 else raster
    sender = source.RingBuffer(data=np.moveaxis(data, 0, -1).astype(np.int32))
    sender.s_out.connect(net.inp)
    watched = {}
    blocks = [layer for layer in net.layers if getattr(layer, "neuron", None) is not None]
    for number, block in enumerate(blocks):
        for name, variable in (("spikes", block.neuron.s_out), ("v", block.neuron.v)):
            watched[f"{name}_{number}"] = monitors.Monitor()
            watched[f"{name}_{number}"].probe(variable, steps)
    config = (
        configs.Loihi2HwCfg() if hardware else configs.Loihi2SimCfg(select_tag="fixed_pt", select_sub_proc_model=True)
    )
    net.run(condition=conditions.RunSteps(num_steps=steps), run_cfg=config)
    found = {name: _only(monitor.get_data()) for name, monitor in watched.items()}
    net.stop()
    return found


def compare(recording: dict[str, Any], found: dict[str, Any], *, hardware: bool) -> int:
    """How many values differ; the first of each block is told.

    A chip's probe reads a code, and no membrane, where a neuron spikes: there the spike alone is compared.
    """
    total = 0
    for name, expected in recording.items():
        if name == "input":
            continue
        if name not in found:
            sys.stdout.write(f"{name}: the net has no such block\n")
            total += expected.size
            continue
        differs = np.asarray(found[name]).reshape(expected.shape) != expected
        spikes = recording.get(name.replace("v_", "spikes_"))
        if hardware and spikes is not None and name.startswith("v_"):
            differs &= spikes == 0
        total += int(differs.sum())
        where = f", the first in step {int(np.argwhere(differs)[0][0])}" if differs.any() else ""
        sys.stdout.write(f"{name}: {int(differs.sum())} of {expected.size} differ{where}\n")
    return total


def _only(data: Any) -> Any:
    """The one array of a monitor's data; images, which Lava holds as (W, H, C), as [C, H, W]."""
    while isinstance(data, dict):
        data = next(iter(data.values()))
    array = np.asarray(data)
    return array.transpose(0, 3, 2, 1) if array.ndim == 4 else array


if __name__ == "__main__":
    sys.exit(main())
