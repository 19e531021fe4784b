#!/usr/bin/env python3
"""Runs the network of this folder on SpiNNaker through sPyNNaker, and compares its spikes with those expected.

    python deploy.py                     on the machine of your own sPyNNaker configuration
    python deploy.py --machine HOST      on the board of that name or address
    python deploy.py --virtual           maps the network only: nothing runs
    python deploy.py --sample 3          another of the stored samples than the first, 0
    python deploy.py --raster FILE       samples of your own

Exit code: 0 where every spike and membrane is as expected (with --virtual: where the network was mapped), 1 where one
is not, 2 where it was called wrongly, or has nothing to play.

It needs sPyNNaker (pip install 'sPyNNaker==1!7.4.1') and numpy, and not norse-export. With --machine or --virtual it
writes a configuration of its own and leaves yours alone. It plays a sample of recording.safetensors, which lies beside
it; norse_export.targets.spinnaker.write_raster writes such a file for other rasters. A step of the network is 1 ms.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parent
STORED = FOLDER / "recording.safetensors"
STEP_MS = 1.0
ONE = 2.0**15  # of s16.15
TYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1", "BOOL": "|b1"}
RECEPTORS = {"exc": ("excitatory", 1), "inh": ("inhibitory", -1)}
# Our name of a parameter word: the name that sPyNNaker has for it.
PARAMETERS = {
    "v_rest": "v_rest",
    "cm": "cm",
    "tau_m": "tau_m",
    "i_offset": "i_offset",
    "v_reset": "v_reset",
    "tau_refrac": "tau_refrac",
    "v_thresh": "v_thresh",
    "tau_syn_exc": "tau_syn_E",
    "tau_syn_inh": "tau_syn_I",
}
STATES = ("v", "isyn_exc", "isyn_inh", "refract_timer")  # the last in steps


def main(arguments: list[str] | None = None) -> int:
    """Build the network, run it, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--raster", type=Path, default=STORED, help="what to play, and what to expect")
    parser.add_argument("--sample", type=int, default=0, help="which of the samples to play, from 0")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--machine", help="name or address of a board")
    where.add_argument("--virtual", action="store_true", help="map the network onto a virtual board; nothing runs")
    parser.add_argument("--board", type=int, default=5, help="version of the board: 5 (48 chips) or 3 (4 chips)")
    chosen = parser.parse_args(arguments)
    try:
        metadata, tensors = read(FOLDER / "network.safetensors")
        network = json.loads(metadata["norse_export_spinnaker"])
        expected = sample(chosen.raster.resolve(), chosen.sample)
        if chosen.machine or chosen.virtual:
            configure(chosen.machine, chosen.board)
        sim = importlib.import_module("pyNN.spiNNaker")
    except ImportError as error:
        return refuse(f"{error}: install sPyNNaker (pip install 'sPyNNaker==1!7.4.1')")
    except (OSError, KeyError, ValueError) as error:
        return refuse(str(error))
    sim.setup(timestep=STEP_MS)
    populations = build(sim, network, tensors, expected)
    steps = next(array.shape[0] for name, array in expected.items() if name.startswith("input."))
    sim.run((steps + 1) * STEP_MS)
    wrong = 0 if chosen.virtual else compare(network, populations, expected, steps)
    sim.end()
    say("mapped; nothing ran" if chosen.virtual else f"{wrong} cells differ")
    return int(wrong > 0)


def sample(path: Path, number: int) -> dict[str, Any]:
    """One of the samples that are stored, each array [T, n]."""
    if not path.exists():
        text = "this folder stores no raster (it was written with --no-verify); give one: --raster FILE"
        raise FileNotFoundError(text if path == STORED else f"{path}: no such file")
    metadata, tensors = read(path)
    if "norse_export_spinnaker_recording" not in metadata:
        raise ValueError(f"{path} holds no recording for this script")
    count = min(array.shape[1] for array in tensors.values())
    if not 0 <= number < count:
        raise ValueError(f"--sample {number}: {path.name} holds {count}, from 0 to {count - 1}")
    return {name: array[:, number] for name, array in tensors.items()}


def configure(machine: str | None, board: int) -> None:
    """A configuration in a new home folder: sPyNNaker reads no other, and writes its reports there."""
    if machine and (machine.split() != [machine] or "%" in machine):
        raise ValueError(f"--machine {machine!r}: give a name or an address")
    home = Path(tempfile.mkdtemp(prefix="spinnaker-"))
    kind = f"machine_name = {machine}" if machine else "virtual_board = True"
    (home / ".spynnaker.cfg").write_text(
        f"[Machine]\n{kind}\nversion = {board}\n[Mode]\nmode = Debug\n[Reports]\nwrite_network_graph = False\n"
    )
    os.environ["HOME"] = str(home)
    os.chdir(home)
    say(f"configuration and reports: {home}")


def read(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Metadata and tensors of a safetensors file."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header, data = json.loads(file.read(length)), file.read()
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        start, stop = entry["data_offsets"]
        tensors[name] = np.frombuffer(data[start:stop], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return metadata, tensors


def build(sim: Any, network: Any, tensors: Any, raster: Any) -> dict[str, Any]:
    """Populations by their names, with their projections."""
    made = {}
    for entry in network["inputs"]:
        spikes = raster[f"input.{entry['label']}"]
        times = [(np.flatnonzero(column) * STEP_MS).tolist() for column in spikes.T]
        source = sim.SpikeSourceArray(spike_times=times if spikes.any() else [])  # it fails on lists that are all empty
        made[entry["name"]] = sim.Population(len(times), source, label=entry["label"])
    for entry in network["populations"]:
        made[entry["name"]] = population(sim, entry, tensors[entry["tensor"]])
    shifts = {entry["name"]: dict(zip(RECEPTORS, entry["shifts"], strict=True)) for entry in network["populations"]}
    for entry in network["projections"]:
        receptor, sign = RECEPTORS[entry["port"]]
        unit = sign * 2.0 ** (shifts[entry["target"]][entry["port"]] - 15)
        starts, targets, weights = (tensors[f"{entry['tensors']}.{part}"] for part in ("starts", "targets", "weights"))
        sources = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        delay = entry["delay_steps"] * STEP_MS
        rows = [(int(i), int(j), float(w) * unit, delay) for i, j, w in zip(sources, targets, weights, strict=True)]
        connector = sim.FromListConnector(rows)
        sim.Projection(made[entry["source"]], made[entry["target"]], connector, receptor_type=receptor)
    return made


def population(sim: Any, entry: Any, words: Any) -> Any:
    """Neurons with the parameters that the words stand for, every one of them exact in s16.15."""
    given = dict(zip(entry["words"], words.astype(np.int64).T, strict=True))
    values = {theirs: plain(given[ours] / ONE) for ours, theirs in PARAMETERS.items() if ours in given}
    size = int(np.prod(entry["shape"]))
    largest = [0.75 * 2.0**shift for shift in entry["shifts"]]  # from which sPyNNaker takes just these shifts
    made = sim.Population(
        size,
        getattr(sim, entry["model"])(**values),
        label=entry["label"],
        additional_parameters={"max_expected_summed_weight": largest},
    )
    made.set_max_atoms_per_core(entry["neurons_per_core"])
    for name in STATES:
        if name == "v" or np.any(given[name]):
            made.initialize(**{name: plain(given[name] if name == "refract_timer" else given[name] / ONE)})
    made.record("v" if entry["readout"] else "spikes")
    return made


def plain(values: Any) -> Any:
    """One number for all neurons, or a list."""
    return values.tolist()[0] if np.all(values == values[0]) else values.tolist()


def compare(network: Any, populations: Any, expected: Any, steps: int) -> int:
    """How many cells differ, over all layers; each is told."""
    total = 0
    for entry in network["populations"]:
        kind = "v" if entry["readout"] else "spikes"
        wanted = expected[f"{kind}.{entry['label']}"].astype(np.int64)
        segment = populations[entry["name"]].get_data(kind).segments[0]
        if entry["readout"]:
            got = np.rint(np.asarray(segment.filter(name="v")[0].magnitude) * ONE).astype(np.int64)[:steps]
        else:
            got = np.zeros_like(wanted)
            for neuron, train in enumerate(segment.spiketrains):
                times = np.rint(np.asarray(train.magnitude) / STEP_MS).astype(np.int64)
                got[times[times < steps], neuron] = 1
        wrong = int(np.count_nonzero(got != wanted)) if got.shape == wanted.shape else wanted.size
        say(f"{entry['label']}: {wrong} of {wanted.size} {'membranes' if entry['readout'] else 'spikes'} differ")
        total += wrong
    return total


def refuse(text: str) -> int:
    """Tell why nothing was done."""
    sys.stderr.write(f"deploy.py: {text}\n")
    return 2


def say(text: str) -> None:
    """To the terminal."""
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
