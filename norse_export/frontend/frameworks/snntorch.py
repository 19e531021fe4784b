"""snnTorch's neurons -> populations: Leaky, Synaptic, Alpha, RLeaky, RSynaptic.

Decays, thresholds and weights are taken as snnTorch computes with them. It counts time in steps: dt is assumed, and
told; nothing of what a step computes depends on it.

Source: snntorch 1.0.0, snntorch/_neurons; counted_steps.py has the equations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.frontend.builder import Builder, Value
from norse_export.frontend.frameworks.counted import ASSUMED_DT, initial_states, per_sample_batch, settings
from norse_export.frontend.frameworks.snntorch_checks import problem, problems
from norse_export.frontend.frameworks.table import Advance, Framework, Outcome, Parameters, Ports, States
from norse_export.frontend.leaf import Call, Rule, refused_axes
from norse_export.ir.layers import Conv, Linear, Scale
from norse_export.ir.neurons import SNNTORCH_KINDS, SNNTORCH_READ_KINDS, NeuronModel
from norse_export.program.counted_steps import SNNTORCH, SNNTORCH_READ

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Class:
    """One of snnTorch's classes: the steps it has, the states that it keeps, and where its parameters come from.

    keeps: attributes of the module, in the order in which forward takes and gives them; "spk" is what it sends.
    parameters: of the step -> attribute of the module; decays are clamped to 0..1 in every step. zero: the step of
    reset_mechanism="zero".
    """

    name: str
    step: str
    keeps: tuple[str, ...]
    parameters: Mapping[str, str]
    zero: str = "zero"

    def family(self, module: Any) -> str:
        """The dynamics of a module."""
        reset = str(module.reset_mechanism)
        delayed = getattr(module, "reset_delay", True) or reset == "none"
        return f"{self.step}_{self.zero if reset == 'zero' else reset}{'' if delayed else '_now'}"


_LEAK = {"decay_v": "beta", "v_th": "threshold"}
_STATES = {"mem": "v", "syn": "i", "syn_exc": "i_e", "syn_inh": "i_i"}
CLASSES = (
    _Class("Leaky", "leaky", ("mem",), _LEAK, zero="decayed"),
    _Class("RLeaky", "leaky", ("spk", "mem"), _LEAK),
    _Class("Synaptic", "synaptic", ("syn", "mem"), {**_LEAK, "decay_i": "alpha"}),
    _Class("RSynaptic", "synaptic", ("spk", "syn", "mem"), {**_LEAK, "decay_i": "alpha"}),
    _Class(
        "Alpha",
        "alpha",
        ("syn_exc", "syn_inh", "mem"),
        {"decay_e": "alpha", "decay_i": "beta", "scale": "", "v_th": "threshold"},
    ),
)


def _classes() -> dict[type, _Class]:
    package = import_module("snntorch")
    return {getattr(package, found.name): found for found in CLASSES}


def rules() -> dict[type, Rule]:
    """The table: module class -> rule."""
    return {cls: partial(_rule, found=found) for cls, found in _classes().items()}


def _given(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], x: Any) -> Any:
    """The state that a call starts from: what is passed in, else what is kept; zeros where that does not fit."""
    found = _classes()[type(module)]
    passed = dict(zip(found.keeps, args[1:], strict=False)) | {k: v for k, v in kwargs.items() if k in found.keeps}
    held = {name: getattr(module, name) if passed.get(name) is None else passed[name] for name in found.keeps}
    shape = getattr(x, "shape", None)
    if all(tuple(value.shape) != shape for value in held.values()):
        return None
    return tuple(value if tuple(value.shape) == shape else value.new_zeros(shape) for value in held.values())


def _outcome(module: Any, result: Any) -> Outcome:
    sent = result[0] if isinstance(result, tuple) else result
    found = _classes()[type(module)]
    kept = tuple(getattr(module, name) for name in found.keeps)
    return Outcome(sent, kept, module.mem if _is_read(module, found) else None)


def _is_read(module: Any, found: _Class) -> bool:
    """Whether the membrane of a neuron may be read: a recurrent one hears its own spikes."""
    return "spk" not in found.keeps and found.family(module) in SNNTORCH_READ


def _variables(module: Any, result: Any) -> Mapping[str, Any]:
    return {_STATES[name]: getattr(module, name) for name in _classes()[type(module)].keeps if name in _STATES}


def _hidden(module: Any) -> tuple[dict[str, Any], tuple[str, ...]] | None:
    found = _classes().get(type(module))
    return None if found is None else (module._buffers, found.keeps)


def _rule(call: Call, builder: Builder, *, found: _Class) -> Value:
    """A population, and where it is recurrent what it sends itself: (decay + x) + recurrent(spk)."""
    module, path = call.module, call.path
    errors = [*problems(call)]
    for error in errors:
        builder.note(error)
    if errors:
        return Value(None, call.x.lead)
    recurrent = "spk" in found.keeps
    if recurrent and module.all_to_all and module.linear_features and len(call.features) != 1:
        return refused_axes(call, builder)
    out = builder.add(path, partial(_population, call, found), 1, (call.x, "x"))
    if _is_read(module, found) and out.node is not None:
        builder.add_membrane(path, partial(_population, call, found, read=True), (call.x, "x"))
    if recurrent and out.node is not None and not out.silent:
        back = builder.add(f"{path}.recurrent", partial(_weights, call), 1)
        if back.node is not None:
            builder.connect(out.node, back.node, "x", delay_steps=1)
            builder.connect(back.node, out.node, "r", delay_steps=0)
    return out


def _weights(call: Call) -> Linear | Conv | Scale:
    """What takes a population's spikes back to itself."""
    module = call.module
    layer = module.recurrent
    if not module.all_to_all:
        factor = np.broadcast_to(call.array(layer.V).astype(call.x_dtype), call.features)
        return Scale(factor)
    bias = None if layer.bias is None else call.array(layer.bias)
    if module.linear_features:
        return Linear(call.array(layer.weight), bias)
    return Conv(weight=call.array(layer.weight), bias=bias, size=call.features[1:], padding=tuple(layer.padding))


def _population(call: Call, found: _Class, *, read: bool = False) -> NeuronModel:
    """The population; read: the one that sends the membrane."""
    module, dtype = call.module, call.x_dtype
    kind = (SNNTORCH_READ_KINDS if read else SNNTORCH_KINDS)[found.family(module)]
    names = [name for name in found.parameters if name in kind.dynamics.parameters]
    values = {name: _parameter(call, name, found.parameters[name]) for name in names}
    starts = initial_states(call, [_STATES.get(name, "z") for name in found.keeps])
    own = {f"{state}0": value.astype(dtype) for state, value in starts.items()}
    recurrent = "spk" in found.keeps
    return kind(shape=call.features, dt=ASSUMED_DT, dtype=dtype, recurrent=recurrent, **values, **own)


def _parameter(call: Call, name: str, source: str) -> Array:
    """A parameter in the float type of the states, as a step of snnTorch's computes with it."""
    module = call.module
    if name == "scale":  # Alpha's tau_alpha, which is computed in every step
        import torch

        a, b = (value.clamp(0, 1) for value in (module.alpha, module.beta))
        made = torch.log(a) / (torch.log(b) - torch.log(a)) + 1
        return per_sample_batch(made.detach().numpy(), call).astype(call.x_dtype)
    held = getattr(module, source)
    value = held.clamp(0, 1) if name.startswith("decay") else held
    return per_sample_batch(np.array(value.detach().numpy()), call).astype(call.x_dtype)


def _stepping(name: str) -> Advance:
    """A module of snnTorch's as the step of a family: made once, called with the states."""
    modules: list[Any] = []

    def advance(ports: Ports, states: States, parameters: Parameters) -> tuple[Any, States]:
        if not modules:
            modules.append(_module(name, len(ports) > 1, parameters))
        module = modules[0]
        given = dict(zip(_states(name), states, strict=True))
        held = {attribute: given[state] for attribute, state in _STATES.items() if state in given}
        spk = {"spk": ports[1]} if len(ports) > 1 else {}
        result = module(ports[0], **spk, **held)
        after = {_STATES[key]: getattr(module, key) for key in held}
        return module.mem if name in _READ else result[0], tuple(after[state] for state in _states(name))

    return advance


def _states(name: str) -> tuple[str, ...]:
    return SNNTORCH[_READ.get(name, name)][1]


def _module(name: str, recurrent: bool, parameters: Parameters) -> Any:
    """A neuron with these parameters; a recurrent one hands what arrives at r through as it is."""
    step, mechanism, *now = _READ.get(name, name).split("_")
    found = next(one for one in CLASSES if one.step == step and ("spk" in one.keeps) is recurrent)
    package = import_module("snntorch")
    options: dict[str, Any] = {"reset_mechanism": "zero" if mechanism == "decayed" else mechanism}
    if step != "alpha":
        options["reset_delay"] = not now
    if recurrent:
        options |= {"all_to_all": False, "V": 1.0}
    own = {source: parameters[key] for key, source in found.parameters.items() if source and key in parameters}
    with settings(package.SpikingNeuron, "instances"):  # a list of all neurons that were ever made
        return getattr(package, found.name)(**own, **options).to(next(iter(own.values())).dtype)


def _steps() -> dict[str, Callable[[], Advance]]:
    """Those of which a module of snnTorch's does just that: RSynaptic raises where its reset is not delayed."""
    found: dict[str, Callable[[], Advance]] = {}
    for name in SNNTORCH:
        if name not in ("leaky_zero", "leaky_zero_now"):  # of RLeaky alone
            found[name] = partial(_stepping, name)
        if not name.startswith("alpha") and "decayed" not in name and name not in _RAISE:
            found[f"{name}_recurrent"] = partial(_stepping, name)
    return found | {read: partial(_stepping, read) for read, name in _READ.items() if name in found}


_READ = {read: name for name, read in SNNTORCH_READ.items()}  # family -> the one that spikes
_RAISE = ("synaptic_subtract_now", "synaptic_zero_now")

FRAMEWORK = Framework(
    package="snntorch",
    counted=True,
    title="snnTorch",
    extra="snntorch",
    rules=rules,
    populations=lambda: frozenset(_classes()),
    given=_given,
    carry="pass on the states that the neuron gave in the step before, unchanged, or use init_hidden=True",
    sequence="give the neuron init_hidden=True in a torch.nn.Sequential: it then keeps its state itself",
    outcome=_outcome,
    variables=_variables,
    problem=problem,
    hidden=_hidden,
    library=("snntorch.",),
    steps=_steps(),
)
