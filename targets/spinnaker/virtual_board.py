#!/usr/bin/env python3
"""Maps a network onto a virtual board with the real sPyNNaker, and tells what became of it. vendor.py runs it.

    python virtual_board.py        in a folder with deploy.py, network.safetensors and raster.safetensors

It needs sPyNNaker and numpy, and not norse-export; the caller gives it a home folder of its own. board.json is written
beside it: the version, every core with its neurons, place and planned memory, the routing tables before they are
compressed, the key with which each population sends, and where the image of the memory is.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent


def main() -> int:
    """Build the network as deploy.py does, map it, write board.json."""
    deploy = importlib.import_module("deploy")
    metadata, tensors = deploy.read(FOLDER / "network.safetensors")
    _, raster = deploy.read(FOLDER / "raster.safetensors")
    sim = importlib.import_module("pyNN.spiNNaker")
    sim.setup(timestep=deploy.STEP_MS)
    deploy.build(sim, json.loads(metadata["norse_export_spinnaker"]), tensors, raster)
    steps = max(len(array) for array in raster.values())
    sim.run((steps + 1) * deploy.STEP_MS)
    (FOLDER / "board.json").write_text(json.dumps(told()))
    sim.end()
    return 0


def told() -> dict[str, Any]:
    """What sPyNNaker knows of the network that it mapped."""
    view = importlib.import_module("spynnaker.pyNN.data").SpynnakerDataView
    tables = view.get_precompressed()
    return {
        "version": importlib.import_module("importlib.metadata").version("sPyNNaker"),
        "planned_steps": view.get_plan_n_timestep(),
        "cores": [
            core(one, view.get_plan_n_timestep()) for one in view.iterate_placemements() if one.vertex.app_vertex
        ],
        "routers": [[table.x, table.y, table.number_of_entries] for table in tables.routing_tables],
        "keys": list(keys(view)),
        "database": view.get_ds_database_path(),
    }


def core(placement: Any, planned_steps: int) -> dict[str, Any]:
    """One core: label of its population, first and last neuron, place, bytes of SDRAM."""
    memory, held = placement.vertex.sdram_required, placement.vertex.vertex_slice
    return {
        "label": placement.vertex.app_vertex.label,
        "first": int(held.lo_atom),
        "last": int(held.hi_atom),
        "place": [placement.x, placement.y, placement.p],
        "fixed_bytes": int(memory.fixed),
        "step_bytes": float(memory.per_timestep),
        "sdram_bytes": int(memory.get_total_sdram(planned_steps)),
    }


def keys(view: Any) -> Any:
    """Label and key of every population that sends spikes."""
    infos = view.get_routing_infos()
    for vertex in view.iterate_vertices():
        for partition in infos.get_partitions_from(vertex):
            yield [vertex.label, int(infos.get_info_from(vertex, partition).key)]


if __name__ == "__main__":
    sys.exit(main())
