"""SpikingJelly's neurons and layers (activation_based): IFNode, LIFNode, ParametricLIFNode, in both step modes.

A neuron keeps its membrane itself. In step mode "m" a module takes a whole raster: neurons step through it, layers take
time and batch as one axis. Time counts in steps: dt is assumed, and told; no value that a step computes depends on it.

Source: spikingjelly 2.0.0, spikingjelly/activation_based/{neuron,layer}; counted_steps.py has the equations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.frontend.builder import Builder, Value
from norse_export.frontend.frameworks import torch_nn
from norse_export.frontend.frameworks.counted import ASSUMED_DT, initial_states
from norse_export.frontend.frameworks.spikingjelly_checks import problems
from norse_export.frontend.frameworks.table import Advance, Framework, Outcome, Parameters, Ports, States
from norse_export.frontend.leaf import Call, Rule, refused
from norse_export.frontend.recording import Recording
from norse_export.ir.neurons import IF, SPIKINGJELLY_KINDS, Kind, NeuronModel
from norse_export.program.families import Rule as StepRule

Array = NDArray[Any]
_PACKAGE = "spikingjelly.activation_based"
_SAME = {  # SpikingJelly's layers, which are torch's in step mode "s"
    "Linear": "Linear",
    "Conv1d": "Conv1d",
    "Conv2d": "Conv2d",
    "AvgPool2d": "AvgPool2d",
    "MaxPool2d": "MaxPool2d",
    "BatchNorm1d": "BatchNorm1d",
    "BatchNorm2d": "BatchNorm2d",
}
_NODES = ("IFNode", "LIFNode", "ParametricLIFNode")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The modules of SpikingJelly that the table names."""

    base: Any
    neuron: Any
    layer: Any

    @classmethod
    def now(cls) -> _Loaded:
        """Imported, which they are where a model is made of them."""
        return cls(*(import_module(f"{_PACKAGE}.{name}") for name in ("base", "neuron", "layer")))


def _nodes() -> frozenset[type]:
    neuron = _Loaded.now().neuron
    return frozenset(getattr(neuron, name) for name in _NODES)


def rules() -> dict[type, Rule]:
    """The table: module class -> rule."""
    from torch import nn

    layer, torchs = _Loaded.now().layer, torch_nn.rules()
    found: dict[type, Rule] = dict.fromkeys(_nodes(), _node)
    found |= {getattr(layer, name): partial(_layer, rule=torchs[getattr(nn, same)]) for name, same in _SAME.items()}
    found[layer.Flatten] = _flatten
    return found | {layer.Dropout: _dropout, layer.Dropout2d: _dropout}


def _layer(call: Call, builder: Builder, *, rule: Rule) -> Value:
    """One of torch's layers, step by step or over a whole raster."""
    multi = call.module.step_mode == "m"
    if multi and call.x.lead != 2:
        message = f"{type(call.module).__name__} in step mode 'm' takes a raster, but is called once a step"
        return refused(call, builder, "time_axis", message, "use step_mode='s', or save with time='inside'")
    return rule(replace(call, lead=2) if multi else call, builder)


def _flatten(call: Call, builder: Builder) -> Value:
    """In step mode "m" the axes are counted without that of time."""
    late = 1 if call.module.step_mode == "m" else 0
    first, last = (axis + late if axis >= 0 else axis for axis in (call.module.start_dim, call.module.end_dim))
    return torch_nn.flatten(call.path, call.x, call.x_shape, (first, last), builder)


def _dropout(call: Call, builder: Builder) -> Value:
    if call.module.training and call.module.p != 0:
        message = f"{type(call.module).__name__} in training mode is random"
        return refused(call, builder, "training", message, "call model.eval() before saving")
    return call.x


def _whole(module: Any) -> bool:
    """Whether a module is in step mode "m", or a container that is always."""
    loaded = _Loaded.now()
    if isinstance(module, loaded.base.MultiStepModule):
        return True
    return isinstance(module, loaded.base.StepModule) and getattr(module, "_step_mode", "s") == "m"


def _given(module: Any, _: Any, __: Any, x: Any) -> Any:
    """The membrane that a call starts from; None: the value that it is reset to."""
    if type(module) not in _nodes():
        return None
    v, shape = module.v, tuple(getattr(x, "shape", ()))
    if not hasattr(v, "shape"):
        return None if v == (0.0 if module.v_reset is None else module.v_reset) else (v,)
    return (v,) if tuple(v.shape) == (shape[1:] if module.step_mode == "m" else shape) else None


def _outcome(module: Any, result: Any) -> Outcome:
    return Outcome(result, (module.v,) if type(module) in _nodes() else None)


def _hidden(module: Any) -> tuple[dict[str, Any], tuple[str, ...]] | None:
    memories = vars(module).get("_memories")
    if not isinstance(module, _Loaded.now().base.MemoryModule) or memories is None:
        return None
    return memories, tuple(memories)


def _node(call: Call, builder: Builder) -> Value:
    errors = [*problems(call)]
    for error in errors:
        builder.note(error)
    if errors:
        return Value(None, call.x.lead)
    return builder.add(call.path, partial(_population, call), call.x.lead, (call.x, "x"))


def _population(call: Call) -> NeuronModel:
    module, dtype = call.module, call.x_dtype
    name = type(module).__name__
    rest = np.asarray(0.0 if module.v_reset is None else module.v_reset, np.float64).astype(dtype)
    values: dict[str, Any] = {"v_th": np.asarray(module.v_threshold, np.float64).astype(dtype), "v_reset": rest}
    kind: Kind = IF
    if name != "IFNode":
        values["v_leak"] = rest
        step = "quotient" if name == "LIFNode" else "share"
        kind = SPIKINGJELLY_KINDS[f"lif_{step}" if module.decay_input else f"lif_{step}_whole"]
    if name == "LIFNode":
        values["tau_steps"] = np.asarray(module.tau, np.float64).astype(dtype)
    elif name == "ParametricLIFNode":
        values["share"] = np.array(module.w.detach().sigmoid().numpy()).astype(dtype)
    values |= {f"{state}0": value.astype(dtype) for state, value in initial_states(call, ["v"]).items()}
    rule = StepRule(threshold="ge", reset="subtract" if module.v_reset is None else "value")
    return kind(shape=call.features, dt=ASSUMED_DT, dtype=dtype, rule=rule, **values)


def _over_steps(
    recording: Recording,
    original: Callable[..., Any],
    module: Any,
    path: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """SeqToANNContainer: its layers take time and batch as one axis; they are recorded on one step."""
    raster = next(iter((*args, *kwargs.values())), None)
    x = None if raster is None else recording.value(raster)
    with recording.pause():
        result = original(module, *args, **kwargs)
        step = None if raster is None or x is None or x.lead != 2 else raster[0].clone()
    if step is None or x is None:
        message = "SeqToANNContainer is applied to something that is no raster with a time axis"
        recording.builder.refuse("time_axis", path, message, "save with time='inside', or take its layers out of it")
        recording.track(result, Value(None, 0))
        return result
    before = set(recording.builder.nodes)
    recording.track(step, Value(x.node, 1, time=x.time, silent=x.silent, number=x.number))
    for layer in module:
        step = layer(step)
    made = recording.value(step)
    recording.over_time += [name for name in recording.builder.nodes if name not in before]
    recording.track(result, Value(None, 2) if made is None else replace(made, lead=2))
    return result


def _stepping(family: str) -> Advance:
    """SpikingJelly's function of a step, called with the numbers of a population, which are one for all its neurons."""
    functional, surrogate = (import_module(f"{_PACKAGE}.{name}") for name in ("functional", "surrogate"))
    soft, fires = "subtract" in family, surrogate.Sigmoid()

    def advance(ports: Ports, states: States, parameters: Parameters) -> tuple[Any, States]:
        import torch

        p = {name: float(value.reshape(-1)[0]) for name, value in parameters.items()}
        if any(bool((value != p[name]).any()) for name, value in parameters.items()):
            raise ValueError(f"{family} with parameters that differ between neurons is not SpikingJelly's")
        reset = None if soft else p["v_reset"]
        with torch.no_grad():
            if family.startswith("if"):
                z, v = functional.if_step(ports[0], states[0], p["v_th"], reset, fires)
            else:
                decays = "whole" not in family
                z, v = functional.lif_step(ports[0], states[0], p["tau_steps"], decays, p["v_th"], reset, fires)
        return z, (v,)

    return advance


FRAMEWORK = Framework(
    package="spikingjelly",
    counted=True,
    title="SpikingJelly",
    extra="spikingjelly",
    rules=rules,
    populations=_nodes,
    given=_given,
    carry="let the neuron keep its membrane: call functional.reset_net between rasters, and not between steps",
    sequence="give the neuron alone its input: it gives spikes alone",
    outcome=_outcome,
    variables=lambda module, result: {"v": module.v},
    whole=_whole,
    hidden=_hidden,
    library=("spikingjelly.",),
    inside=(f"{_PACKAGE}.layer.container", f"{_PACKAGE}.model"),
    special=lambda: {_Loaded.now().layer.SeqToANNContainer: _over_steps},
    steps={
        name: partial(_stepping, name)
        for step in ("if", "lif_quotient", "lif_quotient_whole")
        for name in (f"{step}_ge", f"{step}_ge_subtract")
    },
)
