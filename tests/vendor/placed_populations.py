"""Has sPyNNaker place populations of given numbers of cores, and prints chip and planned bytes of each of their cores.

python placed_populations.py '[5, 100, 3]'      in a home folder with a configuration of a virtual board
"""

from __future__ import annotations

import importlib
import json
import sys
from itertools import pairwise
from typing import Any

PER_CORE = 10


def main() -> None:
    sim = importlib.import_module("pyNN.spiNNaker")
    sim.setup(timestep=1.0)
    made = []
    for number, cores in enumerate(json.loads(sys.argv[1])):
        made.append(sim.Population(cores * PER_CORE, sim.IF_curr_exp(), label=f"p{number}"))
        made[-1].set_max_atoms_per_core(PER_CORE)
    for source, target in pairwise(made):
        sim.Projection(source, target, sim.FromListConnector([(0, 0, 1.0, 1.0)]))
    sim.run(2)
    view = importlib.import_module("spynnaker.pyNN.data").SpynnakerDataView
    found: list[list[Any]] = [[] for _ in made]
    for one in view.iterate_placemements():
        if one.vertex.app_vertex:
            memory = one.vertex.sdram_required.get_total_sdram(view.get_plan_n_timestep())
            found[int(one.vertex.app_vertex.label[1:])].append([one.x, one.y, int(memory)])
    sim.end()
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
