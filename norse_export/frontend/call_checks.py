"""What stands against recording the call of a module, whatever the rule for it says: every reason, each by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.nn.modules import module as torch_module

from norse_export.frontend.builder import Value, is_place_of
from norse_export.frontend.frameworks import norse, torch_nn
from norse_export.frontend.functions.operations import ASK
from norse_export.frontend.recording import Recording, same_state, tensors_in
from norse_export.frontend.step_starts import LATE
from norse_export.frontend.undisturbed import tensors_of

_STEP_ENCODER = (
    ": an encoder that takes one step is no part of the graph",
    ("encode the raster before the model: what the encoder gives is then the model's input"),
)
_STATISTICS = (
    ": it divides by what it measures of the layer at each step, which is no sum of weights",
    "use BatchNorm1d or BatchNorm2d, which is folded into the layer before it, or train without it",
)
_AFTERWARDS = (
    ": it needs all cells of a layer at once",
    "leave it out of the model, and apply it to what the output gives: the largest output stays the largest",
)
_CURVE = (": no target computes its curve", "use ReLU, LeakyReLU, Hardtanh or ReLU6, or let neurons spike instead")
_LARGER = (
    ": it makes maps larger",
    "do it on the host, behind the outputs; or let a Conv2d give the cells as channels, and put them into maps: "
    "x.unflatten, x.permute, x.reshape",
)
WHY = {  # of modules that are refused by name: the reason, and the remedy
    **dict.fromkeys(("LayerNorm", "GroupNorm", "RMSNorm", "InstanceNorm1d", "InstanceNorm2d"), _STATISTICS),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Softmax2d"), _AFTERWARDS),
    **dict.fromkeys(("Sigmoid", "Tanh", "GELU", "SiLU", "ELU", "SELU", "Softplus", "Mish"), _CURVE),
    **dict.fromkeys(("Upsample", "UpsamplingNearest2d", "ConvTranspose1d", "ConvTranspose2d"), _LARGER),
    "LIFCorrelation": (
        ": its weights are arguments, and its state follows the correlation of spikes for plasticity",
        "export the network that was learnt: use norse.torch.LIFRecurrentCell with its weights",
    ),
    **dict.fromkeys(("PoissonEncoderStep", "SignedPoissonEncoderStep", "PopulationEncoder"), _STEP_ENCODER),
}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_GLOBAL_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks")


def known_base(module: Any, recording: Recording) -> type | None:
    """The class with a rule that the class of a module is derived from; None where there is none."""
    return next((base for base in type(module).__mro__[1:] if base in recording.tables.rules), None)


def refused_call(recording: Recording, module: Any, path: str, x: Any, value: Value | None) -> bool:
    """Whether the call cannot be recorded whatever the rule for the module says; says why."""
    builder, name = recording.builder, type(module).__name__
    if type(module) not in recording.tables.rules:
        base = known_base(module, recording)
        why = "" if base is None else f": it is a subclass of {base.__name__}, and may compute something else"
        why, fix = WHY.get(name, (why, ASK)) if base is None else (why, ASK)
        builder.refuse("module", path, f"the module {name} is not supported{why}", fix)
        return True
    if id(module) not in recording.paths and tensors_of(module):
        message = f"this {name} is not a part of the model: it is kept in a plain list or dict, or made in forward"
        fix = "register it: use torch.nn.ModuleList or ModuleDict, or an attribute of its own"
        builder.refuse("unregistered", path, message, fix)
        return True
    if "forward" in vars(module):
        builder.refuse("forward", path, f"the forward of this {name} has been replaced", f"use {name} as it is")
        return True
    if has_hooks(recording, module, path):
        return True
    if value is None:
        message = f"{name} is applied to something that is not the input of this step, nor follows from it"
        fix = (
            "feed layers from the input, or from what the step before sent: zeros before the first step, in a loop "
            "that takes its part of the raster first: x_t = x[t] at the top of the loop"
        )
        builder.refuse("constant_input", path, message, fix)
        return True
    if value.state_of:
        message = f"{name} reads the state of {value.state_of!r}"
        builder.refuse("state", path, message, "feed it what the layer gives, which is its first result")
        return True
    return False


def has_hooks(recording: Recording, module: Any, path: str) -> bool:
    """Whether there are hooks that may change what the module computes; says so."""
    name = type(module).__name__
    if any(getattr(module, hooks) for hooks in _HOOKS):
        message = f"{name} has forward hooks, which may change what it computes"
        recording.builder.refuse("hooks", path, message, "remove the hooks")
        return True
    if any(getattr(torch_module, hooks, None) for hooks in _GLOBAL_HOOKS):
        message = "forward hooks are registered for all modules, which may change what they compute"
        recording.builder.refuse("hooks", "torch.nn.modules.module", message, "remove the hooks")
        return True
    return False


def other_place(recording: Recording, path: str, module: Any, given: Any) -> str:
    """The name of the neurons that a call of a population is of: the module's path, where it is the first of the step.

    A module that keeps no state is used at several places by giving each a state of its own: there are then so many
    populations, of the same parameters. Those behind the first are named as other modules that are called again are.
    """
    home = recording.tables.home(module)
    hides = home is not None and home.hidden(module) is not None
    again = any(same_state(given, recording.calls[name]) for name in recording.calls if is_place_of(name, path))
    if path not in recording.calls or hides or again:
        return path
    place = recording.builder.unique(path)
    while place in recording.calls:  # of a population that could not be added
        place = f"{place}@"
    return place


def check_state(recording: Recording, name: str, given: Any, path: str, module: Any) -> bool:
    """A population starts from a state that does not depend on the input, and is called once a step."""
    state, home = given, recording.tables.home(module)
    if path in recording.calls:
        message = f"{name} is called twice in a step, with the state of the same neurons"
        fix = "give each place its own neuron module"
        if recording.loop is not None and not recording.loop.complete:
            fix = f"{fix}; where the second call belongs to the next step, {LATE}"
        recording.builder.refuse("shared_neurons", path, message, fix)
        return False
    if recording.carried is not None:
        if state is not None and same_state(state, recording.carried.get(path)):
            return True
        message = f"the state of {name} is not carried from step to step as it was returned"
        fix = "return the state from forward and pass it on unchanged, as norse.torch.SequentialState does"
        recording.builder.refuse("state", path, message, fix if home is None else home.carry or fix)
        return False
    foreign = norse.foreign(state) if home is None else home.foreign(state)
    if foreign is not None:
        fix = "pass the state that the neuron gives, or none"
        recording.builder.refuse("initial_state", path, f"{name} starts from {foreign}", fix)
        return False
    if any(recording.value(tensor) is not None for tensor in tensors_in(state)):
        message = f"{name} starts from a state that depends on the input, or on another layer"
        fix = "leave the state out, or start from a constant one"
        recording.builder.refuse("initial_state", path, message, fix)
        return False
    return True


@contextmanager
def explained(recording: Recording, module: Any, path: str) -> Iterator[None]:
    """Where a population raises, and its framework does not say why, say so by name."""
    try:
        yield
    except Exception:
        home = recording.tables.home(module)
        if (error := (torch_nn if home is None else home).problem(module, path)) is not None:
            recording.builder.note(error)
        elif type(module) not in recording.tables.rules and type(module).__name__ in WHY:
            refused_call(recording, module, path, None, None)
        raise
