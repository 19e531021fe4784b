"""What counting the cycles of the reference machine costs: a run with it against the run alone, and flits a second.

NORSE_EXPORT_SHARED=folder OMP_NUM_THREADS=1 python benchmarks/cycles.py [--rounds 7]

The nets of the speed goals, placed as target `sim` places them; rasters in, rasters out. CPU time on one thread, the
minimum of interleaved rounds. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from measure import machine
from sim import fastest
from sim_nets import WORKLOADS, graph_of, limit_module

from norse_export.engine.machine.config import MachineConfig
from norse_export.engine.machine.events import cycles
from norse_export.engine.machine.load import load
from norse_export.engine.network import compile_network
from norse_export.passes.map import place
from norse_export.targets.sim.limits import core_limits, machine_for

GOAL = 2.0


def with_cycles(limit: Any, name: str, rounds: int) -> dict[str, Any]:
    """One workload: the ratio, the mesh, and what was counted."""
    kernel = limit.Limit(name, 1, **WORKLOADS[name])
    graph = graph_of(kernel)
    placement = place(graph, core_limits(MachineConfig()))
    network, tables = compile_network(graph), load(graph, placement, machine_for(graph, MachineConfig()))
    raster = {"input": kernel.d["x"].astype(bool)}

    def counted() -> Any:
        events = network.run(raster, events=True).events
        assert events is not None
        return cycles(tables, events, detail=False)

    summary = counted().summary()
    assert summary["cycles"] > 0
    assert summary["flits"] > 0
    seconds = fastest({"run": lambda: network.run(raster), "with": counted}, rounds, time.process_time)
    ratio = round(seconds["with"] / seconds["run"], 3)
    return {
        "ratio": ratio,
        "goal": GOAL,
        "met": ratio <= GOAL,
        "mesh": [placement.width, placement.height],
        "run_ms": round(seconds["run"] * 1e3, 3),
        "flits": summary["flits"],
        "mega_flits_per_s": round(summary["flits"] / max(seconds["with"] - seconds["run"], 1e-9) / 1e6, 1),
        "cycles_per_step": summary["cycles_per_step"],
    }


def main() -> None:
    """Measure every workload, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default=",".join(WORKLOADS))
    arguments = parser.parse_args()
    limit = limit_module()
    if limit is None:
        print("NORSE_EXPORT_SHARED names no folder with limit/limit.py: nothing is measured", file=sys.stderr)
        return
    found = {name: with_cycles(limit, name, arguments.rounds) for name in arguments.only.split(",")}
    print(json.dumps({"name": "cycles", "workloads": found, "machine": machine()}, indent=1))


if __name__ == "__main__":
    main()
