"""The classes of Norse that may stand in a file of torch.save: every neuron of `norse_families`, and what holds them.

What a class of neurons holds follows from its form (norse 1.1.0, `norse/torch/module/snn.py`):

    SNNCell, SNN                      activation, activation_sparse, state_fallback, p, dt
    SNNRecurrentCell, SNNRecurrent    those, and input_size, hidden_size, autapses, weights
    SNN, SNNRecurrent                 and record_states
    LILinearCell, CobaLIFCell         input_size, hidden_size, p, dt, weights: they come from no base class

Source of the rest: norse 1.1.0, `norse/torch/module`, `norse/torch/functional` and `norse/torch/models`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from norse_export.frontend.frameworks.norse_families import FAMILIES, Form, NorseFamily
from norse_export.frontend.saved.attribute_fields import (
    DTYPE,
    FLAG,
    FLAGS,
    INDICES,
    NONE,
    OWN_STATE,
    TENSOR,
    TEXT,
    VALUE,
    Field,
    function,
    parameters_of,
    whole,
)
from norse_export.frontend.saved.module_class import Children, ModuleClass

_F, _M, _MODELS = "norse.torch.functional", "norse.torch.module", "norse.torch.models"

#: Steps that an encoder may give for one sample: a file can ask for as many as it likes, and memory has an end.
MOST_STEPS = 100_000

# Parameters of neurons

_TUPLES: dict[str, str] = {}
for _family in FAMILIES:  # a tuple lives where the first family that has it does
    _TUPLES.setdefault(_family.parameters, f"{_family.functional}.{_family.parameters}")

_THRESHOLD = {"v_th": VALUE, "v_reset": VALUE, "method": TEXT, "alpha": VALUE}
_BOX = {"tau_mem_inv": VALUE, "v_leak": VALUE}
_LEAK = {"tau_syn_inv": VALUE, **_BOX}
_EX = {"delta_T": VALUE, **_LEAK, **_THRESHOLD}
_RESET = {"reset_method": function(f"{_F}.reset.reset_value", f"{_F}.reset.reset_subtract")}
_IZHIKEVICH = f"{_F}.izhikevich"
_BEHAVIOUR, _STATE = f"{_IZHIKEVICH}.IzhikevichSpikingBehavior", f"{_IZHIKEVICH}.IzhikevichState"


def _values(names: str) -> dict[str, Field]:
    return dict.fromkeys(names.split(), VALUE)


#: The named tuples that hold a neuron's parameters: their fields in order.
PARAMETERS: Mapping[str, Mapping[str, Field]] = {
    _TUPLES["LIFParameters"]: {**_LEAK, **_THRESHOLD},
    _TUPLES["LIFBoxParameters"]: {**_BOX, **_THRESHOLD, **_RESET},
    _TUPLES["LIParameters"]: dict(_LEAK),
    _TUPLES["LIBoxParameters"]: dict(_BOX),
    _TUPLES["IAFParameters"]: dict(_THRESHOLD),
    _TUPLES["LSNNParameters"]: {
        **_values("tau_syn_inv tau_mem_inv tau_adapt_inv v_leak v_th v_reset beta"),
        "method": TEXT,
        "alpha": VALUE,
    },
    _TUPLES["LIFRefracParameters"]: {"lif": parameters_of(_TUPLES["LIFParameters"]), "rho_reset": VALUE},
    _TUPLES["LIFExParameters"]: dict(_EX),
    _TUPLES["LIFAdExParameters"]: {**_values("adaptation_current adaptation_spike delta_T tau_ada_inv"), **_EX},
    _TUPLES["LIFAdExRefracParameters"]: {
        "lif_adex": parameters_of(_TUPLES["LIFAdExParameters"]),
        "rho_reset": VALUE,
    },
    _TUPLES["IzhikevichParameters"]: {**_values("a b c d sq mn bias v_th tau_inv"), "method": TEXT, "alpha": VALUE},
    _TUPLES["CobaLIFParameters"]: {
        **_values("tau_syn_exc_inv tau_syn_inh_inv c_m_inv g_l e_rev_I e_rev_E v_rest v_reset v_thresh"),
        "method": TEXT,
        "alpha": VALUE,
    },
    _STATE: _values("v u"),
    _BEHAVIOUR: {"p": parameters_of(_TUPLES["IzhikevichParameters"]), "s": parameters_of(_STATE)},
}

#: Where norse 1.1.0 says that two of them live (see `torch_save.enable_torch_save`).
ALIASES = {f"norse.torch.utils.pytree.{name}": _TUPLES[name] for name in ("LIFParameters", "LIFBoxParameters")}

# Neurons

# Families whose classes take the step with an adjoint, where asked to; and classes that have a step for sparse input.
_ADJOINT = ("lif", "lif_refrac", "lsnn")
_SPARSE = ("LIFCell", "LIF", "LIFRecurrentCell", "LIFRecurrent", "LIFRefracRecurrent")


def _steps(family: NorseFamily, step: str, suffix: str = "") -> tuple[str, ...]:
    """The full names of a step: as it is, and with an adjoint."""
    plain = f"{family.functional}.{step}{suffix}"
    file = family.functional.rpartition(".")[2]
    if file not in _ADJOINT:
        return (plain,)
    return plain, f"{_F}.adjoint.{file}_adjoint.{step.removesuffix('_step')}_adjoint_step{suffix}"


def _steps_of(family: NorseFamily, name: str, form: Form) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What may be a class's activation, and its activation for sparse input."""
    step = family.step if form.weights else family.feed_forward
    if form.own_forward or step is None:
        return (), ()
    return _steps(family, step), _steps(family, step, "_sparse") if name in _SPARSE else ()


def _neuron(family: NorseFamily, name: str, form: Form) -> ModuleClass:
    """What a class of a family's holds."""
    arguments = {"p": parameters_of(_TUPLES[family.parameters]), "dt": VALUE}
    afterwards = {"record_states"}
    if family.parameters == "IzhikevichParameters":  # its constructors take the behaviour, of which p is a part
        arguments["spiking_method"] = parameters_of(_BEHAVIOUR)
        afterwards.add("p")
    if form.weights in ("input", "conductances"):
        weights = ("input_weights", "recurrent_weights") if form.weights == "conductances" else ("input_weights",)
        sizes = {"input_size": whole(1), "hidden_size": whole(1)}
        return ModuleClass(arguments={**sizes, **arguments}, weights=weights, bare=True)
    if form.weights:
        arguments |= {"input_size": TENSOR, "hidden_size": TENSOR, "autapses": FLAG}
    if form.lead == 2:
        arguments["record_states"] = FLAG
    step, sparse = (function(*names) if names else NONE for names in _steps_of(family, name, form))
    coupling = (family.attributes["g"],) if "g" in family.attributes else ()
    return ModuleClass(
        arguments=arguments,
        derived={"activation": step, "activation_sparse": sparse, "state_fallback": OWN_STATE},
        weights=("input_weights", "recurrent_weights", *coupling) if form.weights else (),
        afterwards=frozenset(afterwards & arguments.keys()),
    )


def _neurons() -> Iterator[tuple[NorseFamily, str, Form]]:
    for family in FAMILIES:
        for name, form in family.classes.items():
            yield family, name, form


#: Functions that a known class may hold.
FUNCTIONS = frozenset(
    {
        *(step for neuron in _neurons() for steps in _steps_of(*neuron) for step in steps),
        f"{_F}.reset.reset_value",
        f"{_F}.reset.reset_subtract",
    }
)

# Encoders, containers, models

_ENCODER = {"seq_length": whole(1, MOST_STEPS)}
_POISSON = ModuleClass(arguments={**_ENCODER, "f_max": VALUE, "dt": VALUE})
_LIF_ENCODER = ModuleClass(arguments={**_ENCODER, "p": parameters_of(_TUPLES["LIFParameters"]), "dt": VALUE})
_CONV_NET = {"features": whole(0), "dtype": DTYPE}
_LAYERS, _POPULATIONS = ("conv1", "conv2", "fc1"), ("lif0", "lif1", "lif2")

NORSE: Mapping[str, ModuleClass] = {
    **{f"{family.module}.{name}": _neuron(family, name, form) for family, name, form in _neurons()},
    f"{_M}.sequential.SequentialState": ModuleClass(
        arguments={"stateful_layers": FLAGS, "return_hidden": FLAG}, children=Children.NUMBERED
    ),
    f"{_M}.sequential.RecurrentSequential": ModuleClass(arguments={"output_modules": INDICES}, children=("module",)),
    f"{_M}.lift.Lift": ModuleClass(arguments={"is_stateful": FLAG}, children=("lifted_module",)),
    f"{_M}.encode.ConstantCurrentLIFEncoder": _LIF_ENCODER,
    f"{_M}.encode.PoissonEncoder": _POISSON,
    f"{_M}.encode.SignedPoissonEncoder": _POISSON,
    f"{_M}.encode.SpikeLatencyEncoder": ModuleClass(),
    f"{_M}.encode.SpikeLatencyLIFEncoder": _LIF_ENCODER,
    f"{_MODELS}.conv.ConvNet": ModuleClass(arguments=_CONV_NET, children=(*_LAYERS, "out", *_POPULATIONS)),
    f"{_MODELS}.conv.ConvNet4": ModuleClass(arguments=_CONV_NET, children=(*_LAYERS, *_POPULATIONS, "out")),
    f"{_MODELS}.vgg.VGG": ModuleClass(children=("features", "avgpool", "classifier")),
    f"{_MODELS}.mobilenet.ConvBNReLU": ModuleClass(children=("0", "1", "2")),
    f"{_MODELS}.mobilenet.InvertedResidual": ModuleClass(
        arguments={"stride": whole(1), "use_res_connect": FLAG}, children=("conv",)
    ),
    f"{_MODELS}.mobilenet.MobileNetV2": ModuleClass(
        arguments={"last_channel": whole(1)}, children=("features", "pool", "classifier")
    ),
}
