"""The classes that may stand in a file of torch.save, and what each of their attributes must look like.

This table decides what is read; what is not in it is refused by its full name. It is plain data: neither torch nor
Norse is needed to judge a file. `torch_modules` builds the real modules, and a test compares both with the installed
packages, attribute by attribute.

Values are those of the document that `torch_file` gives (JSON): a tuple is a list, a tensor {"tensor": key}, a
function {"function": name}, a bound method {"method": name}, a tuple of parameters {"class": name, "fields": {...}}.

Sources: torch 2.13.0 `torch/nn/modules`, norse 1.1.0 `norse/torch/module` and `norse/torch/functional`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from norse_export.frontend.saved.attribute_fields import (
    FLAG,
    FLAGS,
    INTEGER,
    NONE,
    NONZERO,
    NUMBER,
    OPTIONAL_NUMBER,
    OWN_STATE,
    TENSOR,
    TEXT,
    VALUE,
    Field,
    choice,
    function,
    parameters_of,
    size_or_sizes,
    sizes,
    whole,
)


class Children(Enum):
    """Which children a module has."""

    NONE = "none"
    NAMED = "named"
    NUMBERED = "numbered 0, 1, 2 and so on"
    LIFTED = "one, named lifted_module"


@dataclass(frozen=True, slots=True)
class ModuleClass:
    """One class of modules: everything that may stand in the `__dict__` of its instances.

    arguments: attributes that rebuild the module. derived: attributes that the constructor computes from the
    arguments; they must be what it computes. parameters, buffers: names of which a file holds all.
    """

    arguments: Mapping[str, Field] = field(default_factory=dict)
    derived: Mapping[str, Field] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()
    buffers: tuple[str, ...] = ()
    children: Children = Children.NONE


def _convolution(axes: int) -> ModuleClass:
    padding = sizes(axes, 0)
    return ModuleClass(
        arguments={
            "in_channels": whole(1),
            "out_channels": whole(1),
            "kernel_size": sizes(axes, 1),
            "stride": sizes(axes, 1),
            "padding": Field(
                f"{padding.expected}, 'same' or 'valid'",
                lambda value: padding.accepts(value) or value in ("same", "valid"),
            ),
            "dilation": sizes(axes, 1),
            "groups": whole(1),
            "padding_mode": choice("zeros", "reflect", "replicate", "circular"),
        },
        derived={
            "transposed": choice(False),
            "output_padding": sizes(axes, 0),
            "_reversed_padding_repeated_twice": sizes(2 * axes, 0),
        },
        parameters=("weight", "bias"),
    )


def _normalisation() -> ModuleClass:
    return ModuleClass(
        arguments={
            "num_features": whole(1),
            "eps": NUMBER,
            "momentum": OPTIONAL_NUMBER,
            "affine": FLAG,
            "track_running_stats": FLAG,
        },
        parameters=("weight", "bias"),
        buffers=("running_mean", "running_var", "num_batches_tracked"),
    )


def _dropout() -> ModuleClass:
    return ModuleClass(arguments={"p": NUMBER, "inplace": FLAG})


_TORCH = {
    "torch.nn.modules.container.Sequential": ModuleClass(children=Children.NAMED),
    "torch.nn.modules.linear.Linear": ModuleClass(
        arguments={"in_features": whole(1), "out_features": whole(1)}, parameters=("weight", "bias")
    ),
    "torch.nn.modules.linear.Identity": ModuleClass(),
    "torch.nn.modules.conv.Conv1d": _convolution(1),
    "torch.nn.modules.conv.Conv2d": _convolution(2),
    "torch.nn.modules.flatten.Flatten": ModuleClass(arguments={"start_dim": INTEGER, "end_dim": INTEGER}),
    "torch.nn.modules.pooling.AvgPool2d": ModuleClass(
        arguments={
            "kernel_size": size_or_sizes(1),
            "stride": size_or_sizes(1),
            "padding": size_or_sizes(0),
            "ceil_mode": FLAG,
            "count_include_pad": FLAG,
            "divisor_override": NONZERO,
        }
    ),
    "torch.nn.modules.pooling.MaxPool2d": ModuleClass(
        arguments={
            "kernel_size": size_or_sizes(1),
            "stride": size_or_sizes(1),
            "padding": size_or_sizes(0),
            "dilation": size_or_sizes(1),
            "return_indices": FLAG,
            "ceil_mode": FLAG,
        }
    ),
    "torch.nn.modules.pooling.LPPool2d": ModuleClass(
        arguments={
            "norm_type": NUMBER,
            "kernel_size": size_or_sizes(1),
            "stride": size_or_sizes(1, optional=True),
            "ceil_mode": FLAG,
        }
    ),
    "torch.nn.modules.batchnorm.BatchNorm1d": _normalisation(),
    "torch.nn.modules.batchnorm.BatchNorm2d": _normalisation(),
    "torch.nn.modules.dropout.Dropout": _dropout(),
    "torch.nn.modules.dropout.Dropout2d": _dropout(),
}

_F = "norse.torch.functional"
_LIF, _ADJOINT = f"{_F}.lif", f"{_F}.adjoint.lif_adjoint"


def _neuron(parameters: str, activation: Field, sparse: Field, **more: Field) -> ModuleClass:
    return ModuleClass(
        arguments={"p": parameters_of(parameters), "dt": VALUE, **more},
        derived={"activation": activation, "activation_sparse": sparse, "state_fallback": OWN_STATE},
    )


def _lif(**more: Field) -> ModuleClass:
    return _neuron(
        f"{_LIF}.LIFParameters",
        function(f"{_LIF}.lif_feed_forward_step", f"{_ADJOINT}.lif_feed_forward_adjoint_step"),
        function(f"{_LIF}.lif_feed_forward_step_sparse", f"{_ADJOINT}.lif_feed_forward_adjoint_step_sparse"),
        **more,
    )


def _recurrent_lif(**more: Field) -> ModuleClass:
    """Weights are parameters, or, where the user gave plain tensors, attributes; see `WEIGHTS`."""
    return _neuron(
        f"{_LIF}.LIFParameters",
        function(f"{_LIF}.lif_step", f"{_ADJOINT}.lif_adjoint_step"),
        function(f"{_LIF}.lif_step_sparse", f"{_ADJOINT}.lif_adjoint_step_sparse"),
        input_size=TENSOR,
        hidden_size=TENSOR,
        autapses=FLAG,
        **more,
    )


def _li(**more: Field) -> ModuleClass:
    name = f"{_F}.leaky_integrator"
    return _neuron(f"{name}.LIParameters", function(f"{name}.li_feed_forward_step"), NONE, **more)


def _iaf(**more: Field) -> ModuleClass:
    return _neuron(f"{_F}.iaf.IAFParameters", function(f"{_F}.iaf.iaf_feed_forward_step"), NONE, **more)


#: The weights of recurrent neurons, which stand among the parameters or among the attributes.
WEIGHTS = ("input_weights", "recurrent_weights")
WEIGHT = TENSOR

#: Whether the module is in training mode; every module has it.
TRAINING = FLAG

_M = "norse.torch.module"
_NORSE = {
    f"{_M}.sequential.SequentialState": ModuleClass(
        arguments={"stateful_layers": FLAGS, "return_hidden": FLAG}, children=Children.NUMBERED
    ),
    f"{_M}.lift.Lift": ModuleClass(arguments={"is_stateful": FLAG}, children=Children.LIFTED),
    f"{_M}.lif.LIFCell": _lif(),
    f"{_M}.lif.LIF": _lif(record_states=FLAG),
    f"{_M}.lif.LIFRecurrentCell": _recurrent_lif(),
    f"{_M}.lif.LIFRecurrent": _recurrent_lif(record_states=FLAG),
    f"{_M}.lif_box.LIFBoxCell": _neuron(
        f"{_F}.lif_box.LIFBoxParameters", function(f"{_F}.lif_box.lif_box_feed_forward_step"), NONE
    ),
    f"{_M}.leaky_integrator.LICell": _li(),
    f"{_M}.leaky_integrator.LI": _li(record_states=FLAG),
    f"{_M}.leaky_integrator_box.LIBoxCell": _neuron(
        f"{_F}.leaky_integrator_box.LIBoxParameters",
        function(f"{_F}.leaky_integrator_box.li_box_feed_forward_step"),
        NONE,
    ),
    f"{_M}.iaf.IAFCell": _iaf(),
    f"{_M}.iaf.IAF": _iaf(record_states=FLAG),
}

RECURRENT = frozenset({f"{_M}.lif.LIFRecurrentCell", f"{_M}.lif.LIFRecurrent"})

MODULES: Mapping[str, ModuleClass] = {**_TORCH, **_NORSE}

_THRESHOLD = {"v_th": VALUE, "v_reset": VALUE, "method": TEXT, "alpha": VALUE}
_MEMBRANE = {"tau_mem_inv": VALUE, "v_leak": VALUE}
_RESET = function(f"{_F}.reset.reset_value", f"{_F}.reset.reset_subtract")

#: The named tuples that hold a neuron's parameters: their fields in order.
PARAMETERS: Mapping[str, Mapping[str, Field]] = {
    f"{_LIF}.LIFParameters": {"tau_syn_inv": VALUE, **_MEMBRANE, **_THRESHOLD},
    f"{_F}.lif_box.LIFBoxParameters": {**_MEMBRANE, **_THRESHOLD, "reset_method": _RESET},
    f"{_F}.leaky_integrator.LIParameters": {"tau_syn_inv": VALUE, **_MEMBRANE},
    f"{_F}.leaky_integrator_box.LIBoxParameters": dict(_MEMBRANE),
    f"{_F}.iaf.IAFParameters": dict(_THRESHOLD),
}

#: Where norse 1.1.0 says that two of them live (see `torch_save.enable_torch_save`).
ALIASES = {
    "norse.torch.utils.pytree.LIFParameters": f"{_LIF}.LIFParameters",
    "norse.torch.utils.pytree.LIFBoxParameters": f"{_F}.lif_box.LIFBoxParameters",
}

#: Functions that a known class may hold.
FUNCTIONS = frozenset(
    {
        *(f"{_LIF}.{name}{sparse}" for name in ("lif_step", "lif_feed_forward_step") for sparse in ("", "_sparse")),
        *(
            f"{_ADJOINT}.{name}{sparse}"
            for name in ("lif_adjoint_step", "lif_feed_forward_adjoint_step")
            for sparse in ("", "_sparse")
        ),
        f"{_F}.lif_box.lif_box_feed_forward_step",
        f"{_F}.leaky_integrator.li_feed_forward_step",
        f"{_F}.leaky_integrator_box.li_box_feed_forward_step",
        f"{_F}.iaf.iaf_feed_forward_step",
        f"{_F}.reset.reset_value",
        f"{_F}.reset.reset_subtract",
    }
)

#: Attributes of every module that would be called on the way: they must be empty.
HOOKS = frozenset(
    {
        "_backward_pre_hooks",
        "_backward_hooks",
        "_forward_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_hooks_always_called",
        "_forward_pre_hooks",
        "_forward_pre_hooks_with_kwargs",
        "_state_dict_hooks",
        "_state_dict_pre_hooks",
        "_load_state_dict_pre_hooks",
        "_load_state_dict_post_hooks",
        "forward_state_hooks",
    }
)

#: Attributes of every module that change nothing in what it computes: whether buffers are saved in a state_dict, and
#: of which kind the (absent) backward hooks are.
IRRELEVANT = frozenset({"_non_persistent_buffers_set", "_is_full_backward_hook"})

#: Attributes of every module that are read on their own.
STRUCTURE = frozenset({"training", "_parameters", "_buffers", "_modules"})
