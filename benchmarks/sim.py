"""The integer engine against the hand-written kernel of the speed limit, and against Norse; growth of time and memory.

NORSE_EXPORT_SHARED=folder OMP_NUM_THREADS=1 python benchmarks/sim.py [--rounds 7] [--only limit,norse,threads,growth]

Ratios of CPU time within one run, on one thread (of wall time for two threads), in interleaved rounds: the minimum of
each. What the limit's kernel counts as spikes, the engine counts too, or nothing is printed. `engine` is given lists of
events, as that kernel is; `run` takes and gives rasters. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from measure import machine
from sim_nets import WORKLOADS, events_of, graph_of, limit_module, listed_net

from norse_export.engine.network import FixedRun, Network, compile_network
from norse_export.engine.recordings import Events

GOALS = {
    "W1b1": (1.25, 1.6),
    "W1b64": (1.25, 1.6),
    "W2": (1.25, 1.6),
    "W4": (1.4, 1.9),
    "W3": (1.7, 1.9),
    "W5": (2.5, 2.7),
}
SLICE = 0.1  # seconds that a measurement repeats for, at least


def fastest(functions: dict[str, Callable[[], Any]], rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds of each function: the minimum over interleaved rounds, each of which repeats it for a while."""
    repeats = {}
    for name, function in functions.items():
        function()
        start = clock()
        function()
        repeats[name] = max(1, math.ceil(SLICE / max(clock() - start, 1e-6)))
    seconds = dict.fromkeys(functions, math.inf)
    for _ in range(rounds):
        for name, function in functions.items():
            start = clock()
            for _ in range(repeats[name]):
                function()
            seconds[name] = min(seconds[name], (clock() - start) / repeats[name])
    return seconds


def against_the_limit(limit: Any, name: str, rounds: int) -> dict[str, Any]:
    """One workload: the ratios, and the spikes that all of them counted."""
    kernel = limit.Limit(name, 1, **WORKLOADS[name])
    network, events = compile_network(graph_of(kernel)), events_of(kernel)
    raster = {"input": kernel.d["x"].astype(bool)}

    def engine() -> FixedRun:
        return network.run_events({"input": events}, steps=kernel.T, samples=kernel.B)

    def public() -> FixedRun:
        return network.run(raster)

    kernel.run()
    counted = [int(count) for count in kernel.cnt][: len(network.nodes.populations)]
    for run in (engine(), public()):
        assert [int(spikes.sum()) for spikes in run.run.spikes.values()] == counted, (name, counted)
    seconds = fastest({"limit": kernel.run, "engine": engine, "run": public}, rounds, time.process_time)
    ratios = {key: round(seconds[key] / seconds["limit"], 3) for key in ("engine", "run")}
    goals = dict(zip(("engine", "run"), GOALS[name], strict=True))
    operations = sum(engine().activity.synaptic_operations.values())
    return {
        "ratio": ratios,
        "goal": goals,
        "met": all(ratios[key] <= goals[key] for key in goals),
        "limit_ms": round(seconds["limit"] * 1e3, 4),
        "engine_gsynop_per_s": round(operations / seconds["engine"] / 1e9, 2),
        "spikes": counted,
    }


def against_norse(limit: Any, batch: int, rounds: int) -> dict[str, Any]:
    """784-512-10 with the same weights as floats, one Norse cell a layer, step by step, as its users run it."""
    import torch
    from norse.torch import LIFCell, LIFParameters, SequentialState

    torch.set_num_threads(1)
    kernel = limit.Limit("W1b1" if batch == 1 else "W1b64")
    cells = LIFParameters(tau_syn_inv=torch.tensor(200.0), tau_mem_inv=torch.tensor(100.0), v_th=torch.tensor(1.0))
    layers: list[torch.nn.Module] = []
    for number in range(2):
        weight = kernel.d[f"q{number}"].astype(np.float32) * np.float32(kernel.d[f"s{number}"])
        layer = torch.nn.Linear(*weight.shape, bias=False)
        layer.weight.data = torch.from_numpy(np.ascontiguousarray(weight.T))
        layers += [layer, LIFCell(cells, dt=0.001)]
    model = SequentialState(*layers)
    x = torch.from_numpy(kernel.d["x"].astype(np.float32))

    def eager() -> Any:
        state, fired = None, []
        with torch.no_grad():
            for step in x:
                spikes, state = model(step, state)
                fired.append(spikes)
        return torch.stack(fired)

    network, raster = compile_network(graph_of(kernel)), {"input": kernel.d["x"].astype(bool)}
    assert bool(eager().any())
    seconds = fastest({"norse": eager, "run": lambda: network.run(raster)}, rounds, time.process_time)
    goal = 20 if batch == 1 else 5
    times = round(seconds["norse"] / seconds["run"], 1)
    return {"times_as_fast": times, "goal": goal, "met": times >= goal, "norse_ms": round(seconds["norse"] * 1e3, 3)}


def two_threads(limit: Any, rounds: int) -> dict[str, Any]:
    """W1b64 on two threads against one, by the wall."""
    kernel = limit.Limit("W1b64")
    network, events = compile_network(graph_of(kernel)), {"input": events_of(kernel)}

    def on(threads: int) -> Callable[[], Any]:
        return lambda: network.run_events(events, steps=kernel.T, samples=kernel.B, threads=threads)

    seconds = fastest({"one": on(1), "two": on(2)}, rounds, time.perf_counter)
    times = round(seconds["one"] / seconds["two"], 2)
    return {"times_as_fast": times, "goal": 1.7, "met": times >= 1.7}


def growth(rounds: int) -> dict[str, Any]:
    """Time over spikes x fan-out, without the time that a run without spikes takes; memory over synapses."""
    steps, cells, fan_out = 20, 10_000, 1000
    network, rng = compile_network(listed_net(cells, fan_out, 1000)), np.random.default_rng(0)
    empty = fastest({"empty": _given(network, rng, steps, cells, 0)}, rounds, time.process_time)["empty"]
    curve = []
    for spikes in (1, 10, 100, 1000, 10_000):
        seconds = fastest({"run": _given(network, rng, steps, cells, spikes)}, rounds, time.process_time)["run"]
        curve.append((steps * spikes * fan_out, seconds - empty))
    slope = np.polyfit(*np.log([(operations, max(seconds, 1e-9)) for operations, seconds in curve]).T, 1)[0]
    memory = [
        (n * 100, compile_network(listed_net(n, 100, 1000)).memory_bytes) for n in (10, 100, 1000, 10_000, 100_000)
    ]
    return {
        "operations_and_seconds": curve,
        "exponent": round(float(slope), 3),
        "synapses_and_bytes": memory,
        "bytes_per_synapse": round((memory[-1][1] - memory[0][1]) / (memory[-1][0] - memory[0][0]), 2),
    }


def _given(network: Network, rng: Any, steps: int, cells: int, spikes: int) -> Callable[[], Any]:
    indices = [np.sort(rng.choice(cells, spikes, replace=False)) for _ in range(steps)]
    events = Events(np.arange(steps + 1) * spikes, np.concatenate(indices).astype(np.int32))
    return lambda: network.run_events({"input": events}, steps=steps, samples=1)


def main() -> None:
    """Measure what was asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="limit,norse,threads,growth")
    arguments = parser.parse_args()
    limit, rounds = limit_module(), arguments.rounds
    asked = arguments.only.split(",")
    record: dict[str, Any] = {"name": "sim"}
    if limit is None:
        print("NORSE_EXPORT_SHARED names no folder with limit/limit.py: only the growth is measured", file=sys.stderr)
        asked = ["growth"]
    if "limit" in asked:
        record["against_the_limit"] = {name: against_the_limit(limit, name, rounds) for name in WORKLOADS}
    if "norse" in asked:
        record["against_norse_eager"] = {f"batch {batch}": against_norse(limit, batch, rounds) for batch in (1, 64)}
    if "threads" in asked:
        record["two_threads"] = two_threads(limit, rounds)
    if "growth" in asked:
        record["growth"] = growth(rounds)
    print(json.dumps({**record, "machine": machine()}, indent=1))


if __name__ == "__main__":
    main()
