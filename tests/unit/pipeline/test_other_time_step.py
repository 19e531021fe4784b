"""Another dt by --override: all that follows from the length of a step changes with it."""

from __future__ import annotations

import norse.torch as snn
import numpy as np
import pytest
import torch

from norse_export.errors import GraphError
from norse_export.frontend.trace import trace
from norse_export.interpret import interpret
from norse_export.ir.delay import Delay
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import LIF
from norse_export.ir.stages import ContinuousNode
from norse_export.ir.step_choice import StepChoice
from norse_export.passes.discretise import discretise
from norse_export.pipeline.time_step import with_steps

F32 = np.float32


def delayed(delay: float) -> Graph[ContinuousNode]:
    lif = LIF(shape=(2,), dt=1e-3, tau_mem=np.full(2, 1e-2, F32), v_leak=F32(0), v_th=F32(0.05), v_reset=F32(0))
    nodes = {"in": Input((2,)), "d": Delay(np.full(2, delay), 1e-3), "lif": lif, "out": Output((2,))}
    return Graph(nodes, (Edge("in", "d"), Edge("d", "lif"), Edge("lif", "out")))


@pytest.mark.parametrize(("dt", "steps"), [(1e-3, 4), (2e-3, 2), (5e-4, 8)])
def test_a_delay_lasts_as_many_seconds_as_before(dt: float, steps: int) -> None:
    graph, _ = with_steps(delayed(4e-3), StepChoice(dt=dt, override=True))
    assert graph.nodes["d"].steps.tolist() == [steps, steps]  # type: ignore[union-attr]


def test_a_delay_that_is_no_whole_number_of_the_new_steps_is_refused() -> None:
    with pytest.raises(GraphError, match=r"1\.33333") as caught:
        with_steps(delayed(4e-3), StepChoice(dt=3e-3, override=True))
    assert caught.value.where.startswith("d")


def coupled(dt: float) -> snn.LIFMCRecurrentCell:
    torch.manual_seed(0)
    return snn.LIFMCRecurrentCell(4, 4, g_coupling=torch.rand(4, 4) * 40, dt=dt)


def test_compartments_are_coupled_for_as_long_as_a_step_lasts() -> None:
    """As Norse's own model with that dt: LIFMC multiplies its conductances with dt."""
    raster = (torch.rand(40, 2, 4, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    own = trace(snn.RecurrentSequential(coupled(5e-4)), raster).graph
    changed, _ = with_steps(
        trace(snn.RecurrentSequential(coupled(1e-3)), raster).graph, StepChoice(dt=5e-4, override=True)
    )
    name = next(name for name, node in own.nodes.items() if isinstance(node, Input))
    runs = [interpret(discretise(graph), {name: raster.numpy()}) for graph in (own, changed)]
    for node, states in runs[0].final_state.items():
        for variable, value in states.items():
            np.testing.assert_allclose(runs[1].final_state[node][variable], value, rtol=1e-5, atol=1e-6)
    assert any(raster.any() for raster in runs[0].spikes.values())
