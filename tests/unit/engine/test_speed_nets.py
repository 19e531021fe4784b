"""The nets of the speed goals give the spikes that the speed limit's kernel is known to give."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from norse_export.engine.network import compile_network


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # of the limit's own script
@pytest.mark.parametrize("name", ["W1b1", "W2", "W3", "W4"])
@pytest.mark.parametrize("threads", [1, 2])
def test_totals_are_those_of_the_limit(name: str, threads: int, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (shared / "limit/limit.py").is_file() or shutil.which("gcc") is None:
        pytest.skip("no limit/limit.py in the shared data, or no gcc to build it with")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "benchmarks"))
    monkeypatch.setenv("NORSE_EXPORT_SHARED", str(shared))
    from sim_nets import events_of, graph_of, limit_module

    limit: Any = limit_module()
    kernel = limit.Limit(name)
    network = compile_network(graph_of(kernel))
    by_raster = network.run({"input": kernel.d["x"]}, threads=threads)
    by_events = network.run_events({"input": events_of(kernel)}, steps=kernel.T, samples=kernel.B, threads=threads)
    for run in (by_raster.run, by_events.run):
        assert [int(spikes.sum()) for spikes in run.spikes.values()] == limit.KNOWN[name]
