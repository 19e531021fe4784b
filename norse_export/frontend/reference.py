"""Rung 0: runs the torch model itself and records the spikes of every population, the outputs, the final states."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from norse_export.errors import ExportError, UsageError
from norse_export.frontend import norse
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Output
from norse_export.ir.run import Run
from norse_export.ir.stages import IF, LIF, ContinuousNode, CubaLIF

Array = NDArray[Any]


def call_model(model: torch.nn.Module, x: torch.Tensor, state: Any) -> Any:
    """Call the model on one input; an exception of the user's code becomes an error with its place."""
    try:
        return model(x) if state is None else model(x, state)
    except ExportError:
        raise
    except Exception as error:
        raise UsageError(
            f"the model raised {type(error).__name__}: {next(iter(str(error).splitlines()), '')}",
            where=f"{type(model).__name__}, input of shape {tuple(x.shape)}",
            fix="give an example input [T, B, ...] that the model takes, and say time='outside' or 'inside'",
            kind="model_raised",
        ) from error


def reference_run(model: torch.nn.Module, raster: torch.Tensor, time: str, graph: Graph[ContinuousNode]) -> Run:
    """Run the model on a raster [T, B, ...] and give what every population of the graph did."""
    seen: dict[str, _Seen] = {}
    hooks = [
        module.register_forward_hook(
            seen.setdefault(name or type(module).__name__, _Seen(type(module) in norse.sequence_classes()))
        )
        for name, module in model.named_modules(remove_duplicate=True)
        if type(module) in norse.rules()
    ]
    try:
        output = _run(model, raster, time)
    finally:
        for hook in hooks:
            hook.remove()
    spikes, final = {}, {}
    for name in graph.order:
        node = graph.nodes[name]
        if name not in seen:
            continue
        sent, state = seen[name].joined()
        if isinstance(node, CubaLIF | LIF | IF):
            spikes[name] = sent != 0
        shape = (raster.shape[1], *node.output_shape)
        final[name] = {key: np.array(np.broadcast_to(value, shape)) for key, value in state.items()}
    names = [name for name, node in graph.nodes.items() if isinstance(node, Output)]
    return Run(spikes=spikes, outputs=dict.fromkeys(names, output), ran_by=describe(raster), final_state=final)


def describe(raster: torch.Tensor) -> str:
    """What ran, with all that decides the order of float sums: versions, float type, batch, threads."""
    try:
        import norse as package

        framework = f"norse {getattr(package, '__version__', 'of unknown version')}, "
    except ImportError:
        framework = ""
    dtype = str(raster.dtype).removeprefix("torch.")
    threads = torch.get_num_threads()
    return f"{framework}torch {torch.__version__}, {dtype}, batch {raster.shape[1]}, {threads} threads"


@dataclass(slots=True)
class _Seen:
    """What one population returned, call by call: a forward hook."""

    sequence: bool  # whether one call gives the whole raster
    sent: list[Array] = field(default_factory=list)
    state: dict[str, Array] = field(default_factory=dict)

    def __call__(self, module: Any, args: Any, result: Any) -> None:
        self.sent.append(np.array(result[0].detach().cpu().numpy()))
        for name, value in norse.state_of(result).items():
            values = np.array(value.detach().cpu().numpy())
            self.state[name] = values[-1] if getattr(module, "record_states", False) else values

    def joined(self) -> tuple[Array, dict[str, Array]]:
        """The raster [T, B, ...] and the state after the last call."""
        return (self.sent[0] if self.sequence else np.stack(self.sent)), self.state


def _run(model: torch.nn.Module, raster: torch.Tensor, time: str) -> Array:
    if time == "inside":
        result = call_model(model, raster.clone(), None)
        sent = result[0] if isinstance(result, tuple) else result
        return np.array(sent.detach().cpu().numpy())
    steps, state = [], None
    for x in raster:
        result = call_model(model, x.clone(), state)
        sent, state = result if isinstance(result, tuple) else (result, None)
        steps.append(np.array(sent.detach().cpu().numpy()))
    return np.stack(steps)
