"""Every field of every supported module and parameter class is exported or refused, or stands here with the reason.

A field is shown to be exported by changing it: the graph must change with it, or the model must be refused.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import norse.torch as snn
import pytest
import torch
from graph_parts import differences as graph_differences
from norse.torch.functional.reset import reset_subtract
from norse_battery import BATTERY, CLASSES, class_of, has_weights, is_sequence, parameters, population
from torch import nn
from traced_models import seeded, spikes

from norse_export.errors import ExportError
from norse_export.frontend.frameworks import norse, torch_nn
from norse_export.frontend.trace import trace
from norse_export.ir.graph import Graph

FORM = "the shapes of the weights say it"
TRAINING = "acts in training only; a module in training is refused where that changes its output"
BACKWARD = "acts on gradients only"
BUILT = "acts when the module is made, and not afterwards"
RUN = "the container's own forward is run, and what it does is recorded"
FILES = "acts when a state_dict is read or written"
OTHER = "acts in transposed convolutions, or with a padding mode that is refused"
SPARSE = "acts on sparse inputs: the example is made dense"
REPEATED = "says whether hooks are called always or with keywords; the hooks themselves stand in another table"

# What every module has, from nn.Module itself.
BASE: dict[str, str] = {
    "training": TRAINING,
    "_parameters": "each parameter has its own entry",
    "_buffers": "each buffer has its own entry",
    "_non_persistent_buffers_set": FILES,
    "_backward_pre_hooks": BACKWARD,
    "_backward_hooks": BACKWARD,
    "_is_full_backward_hook": BACKWARD,
    "_forward_hooks": "refused: test_hooks_are_refused",
    "_forward_hooks_with_kwargs": REPEATED,
    "_forward_hooks_always_called": REPEATED,
    "_forward_pre_hooks": "refused: test_hooks_are_refused",
    "_forward_pre_hooks_with_kwargs": REPEATED,
    "_state_dict_hooks": FILES,
    "_state_dict_pre_hooks": FILES,
    "_load_state_dict_pre_hooks": FILES,
    "_load_state_dict_post_hooks": FILES,
    "_modules": "the children are modules with entries of their own",
}


class To:
    """The value that a field is changed to."""

    def __init__(self, value: Any) -> None:
        self.value = value


def doubled(tensor: torch.Tensor) -> torch.Tensor:
    return nn.Parameter(2 * tensor.detach() + 0.5) if isinstance(tensor, nn.Parameter) else 2 * tensor + 0.5


DOUBLED = To(doubled)
CONV = {
    "in_channels": FORM, "out_channels": FORM, "kernel_size": FORM, "stride": To((2, 2)), "padding": To((1, 1)),
    "dilation": To((2, 2)), "groups": To(2), "transposed": OTHER, "output_padding": OTHER,
    "padding_mode": To("reflect"), "_reversed_padding_repeated_twice": OTHER, "weight": DOUBLED, "bias": DOUBLED,
}  # fmt: skip
CONV3 = {
    **CONV, "stride": To((2, 2, 1)), "padding": To((1, 1, 0)), "dilation": To((2, 2, 1)),
    **dict.fromkeys(("padding_mode", "bias"), "left aside by the forward of Norse's class"),
}  # fmt: skip
NORM = {
    "num_features": FORM, "eps": To(0.5), "momentum": TRAINING, "affine": BUILT, "track_running_stats": TRAINING,
    "weight": DOUBLED, "bias": DOUBLED, "running_mean": DOUBLED, "running_var": DOUBLED,
    "num_batches_tracked": TRAINING,
}  # fmt: skip
SAME = "the same values either way"
DROPOUT = {"p": TRAINING, "inplace": SAME}
SNN = {
    "activation": To(lambda x, state, p, dt: (x, state)),
    "activation_sparse": SPARSE,
    "state_fallback": To(lambda x: None),
    "p": "each parameter has its own entry",
    "dt": To(0.002),
}
SEQUENCE = {**SNN, "record_states": "the last of the recorded states is taken: test_recorded_states_of_a_sequence..."}
RECURRENT = {
    "autapses": BUILT, "input_size": FORM, "hidden_size": FORM, "input_weights": DOUBLED, "recurrent_weights": DOUBLED,
}  # fmt: skip


def attributes_of(name: str) -> dict[str, Any]:
    """Those of a class of Norse's neurons."""
    if name in ("LILinearCell", "CobaLIFCell"):  # of no base class of Norse's
        held = {key: to for key, to in RECURRENT.items() if key != "autapses"}
        if name == "LILinearCell":
            del held["recurrent_weights"]
        else:
            held["input_weights"] = "left aside by the step of Norse: the input has no effect"
        return {"p": SNN["p"], "dt": SNN["dt"], **held}
    made = {**(SEQUENCE if is_sequence(name) else SNN), **(RECURRENT if has_weights(name) else {})}
    if name.startswith("LIFMC"):
        made |= {"g_coupling": DOUBLED}
    if CLASSES[name] == "Izhikevich":
        made |= {"spiking_method": "its parameters are p; its state is that which initial_state gives"}
    return made


FIELDS: dict[type, dict[str, Any]] = {
    nn.Linear: {"in_features": FORM, "out_features": FORM, "weight": DOUBLED, "bias": DOUBLED},
    nn.Conv1d: {**CONV, "stride": To((2,)), "padding": To((1,)), "dilation": To((2,))},
    nn.Conv2d: CONV,
    nn.Flatten: {"start_dim": To(2), "end_dim": To(2)},
    nn.AvgPool2d: {
        "kernel_size": To(3), "stride": To(1), "padding": To(1), "ceil_mode": To(True),
        "count_include_pad": "acts with padding only: REFUSED of test_trace_layers.py", "divisor_override": To(3),
    },
    nn.MaxPool2d: {
        "kernel_size": To(3), "stride": To(1), "padding": To(1), "dilation": To(2), "return_indices": To(True),
        "ceil_mode": To(True),
    },
    nn.LPPool2d: {"norm_type": To(2), "kernel_size": To(3), "stride": To(1), "ceil_mode": To(True)},
    nn.BatchNorm1d: NORM,
    nn.BatchNorm2d: NORM,
    nn.Dropout: DROPOUT,
    nn.Dropout1d: DROPOUT,
    nn.Dropout2d: DROPOUT,
    nn.Dropout3d: DROPOUT,
    nn.AlphaDropout: DROPOUT,
    nn.FeatureAlphaDropout: DROPOUT,
    nn.Unflatten: {"dim": To(2), "unflattened_size": To((3, 2))},
    snn.LConv2d: CONV3,
    nn.Identity: {},
    nn.ReLU: {"inplace": SAME},
    nn.ReLU6: {"inplace": SAME, "min_val": To(0.5), "max_val": To(2.0)},
    nn.Hardtanh: {"inplace": SAME, "min_val": To(0.5), "max_val": To(2.0)},
    nn.LeakyReLU: {"inplace": SAME, "negative_slope": To(0.5)},
    nn.AvgPool1d: {
        "kernel_size": To((2,)), "stride": To((1,)), "padding": To((1,)), "ceil_mode": To(True),
        "count_include_pad": "acts with padding only: REFUSED of test_trace_layers.py",
    },
    nn.AdaptiveAvgPool2d: {"output_size": To(7)},
    nn.AdaptiveMaxPool2d: {"output_size": To(7), "return_indices": To(True)},
    nn.ZeroPad2d: {"padding": To((1, 0, 0, 0)), "value": "0 whatever it is set to: its forward is that of constants"},
    **{class_of(name): attributes_of(name) for name in CLASSES},
    snn.SequentialState: {"stateful_layers": RUN, "forward_state_hooks": RUN, "return_hidden": RUN},
    snn.Lift: {"is_stateful": RUN},
}  # fmt: skip

SURROGATE = {"method": To("none"), "alpha": BACKWARD}
NO_SURROGATE = (snn.LIParameters, snn.LIBoxParameters)


def parameters_of(family: str) -> dict[str, Any]:
    """Those of a family: every number counts; of a tuple within the tuple they are fields of their own."""
    battery = BATTERY[family]
    found = {**dict.fromkeys(battery.numbers, DOUBLED), **(SURROGATE if battery.parameters not in NO_SURROGATE else {})}
    return found | ({"reset_method": To(reset_subtract)} if family == "LIFBox" else {})


PARAMETERS = {family: parameters_of(family) for family in BATTERY}


def made_population(name: str) -> nn.Module:
    return population(name, parameters(name, each=False))


MAKE: dict[type, Any] = {
    nn.Linear: lambda: nn.Linear(6, 6),
    nn.Conv1d: lambda: nn.Conv1d(2, 2, 3),
    nn.Conv2d: lambda: nn.Conv2d(2, 2, 3),
    nn.Unflatten: lambda: nn.Unflatten(1, (2, 3)),
    snn.LConv2d: lambda: snn.LConv2d(2, 2, 3),
    nn.AvgPool2d: lambda: nn.AvgPool2d(2),
    nn.MaxPool2d: lambda: nn.MaxPool2d(2),
    nn.LPPool2d: lambda: nn.LPPool2d(1, 2),
    nn.AvgPool1d: lambda: nn.AvgPool1d(3),
    nn.AdaptiveAvgPool2d: lambda: nn.AdaptiveAvgPool2d(1),
    nn.AdaptiveMaxPool2d: lambda: nn.AdaptiveMaxPool2d(1),
    nn.ZeroPad2d: lambda: nn.ZeroPad2d(1),
    nn.BatchNorm1d: lambda: nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6)),
    nn.BatchNorm2d: lambda: nn.Sequential(nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2)),
    **{class_of(name): partial(made_population, name) for name in CLASSES},
    snn.Lift: lambda: snn.Lift(nn.Linear(6, 6)),
}
MAPS = (
    nn.Conv2d, nn.AvgPool2d, nn.MaxPool2d, nn.LPPool2d, nn.BatchNorm2d, nn.Flatten, nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d, nn.ZeroPad2d, snn.LConv2d,
)  # fmt: skip


def made(kind: type) -> tuple[nn.Module, nn.Module, torch.Tensor]:
    """A model, the module of the class in it, and an input."""
    model = seeded(MAKE.get(kind, kind)())
    module = next(module for module in model.modules() if type(module) is kind)
    shape = (2, 7, 7) if kind in MAPS else (2, 7) if kind in (nn.Conv1d, nn.AvgPool1d) else (6,)
    return model, module, spikes(3, 2, *shape)


def fields_of(kind: type) -> set[str]:
    _, module, _ = made(kind)
    return {*vars(module), *module._parameters, *module._buffers}


def test_every_class_with_a_rule_has_its_fields_here() -> None:
    assert {*torch_nn.rules(), *norse.rules(), snn.SequentialState, snn.Lift} == set(FIELDS)


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_every_attribute_of_a_module_is_accounted_for(kind: type) -> None:
    assert fields_of(kind) == {*FIELDS[kind], *BASE}
    assert set(vars(nn.Module())) == set(BASE)


@pytest.mark.parametrize("family", PARAMETERS)
def test_every_parameter_is_accounted_for(family: str) -> None:
    battery = BATTERY[family]
    fields = {*battery.parameters._fields, *(battery.inner._fields if battery.within else ())} - {battery.within}
    assert fields == set(PARAMETERS[family])


def test_every_class_of_parameters_that_a_module_has_is_here() -> None:
    for name, family in CLASSES.items():
        assert type(made(class_of(name))[1].p) is BATTERY[family].parameters
    assert {class_of(name) for name in CLASSES} == set(norse.rules())


@cache
def unchanged(kind: type) -> Graph[Any]:
    """The graph of the model as it is made."""
    model, _, x = made(kind)
    return trace(model, x).graph


def effect(kind: type, model: nn.Module, x: torch.Tensor) -> list[str]:
    """Where the graph of a changed model is another; or that the model is refused now."""
    try:
        return graph_differences(unchanged(kind), trace(model, x).graph)
    except ExportError as error:
        return [finding.kind for finding in error.findings]


CHANGED = [kind for kind, fields in FIELDS.items() if any(isinstance(to, To) for to in fields.values())]


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("kind", CHANGED, ids=lambda kind: kind.__name__)
def test_a_change_without_effect_would_be_seen(kind: type) -> None:
    model, _, x = made(kind)
    assert effect(kind, model, x) == []


CHANGES = [(kind, name) for kind, fields in FIELDS.items() for name, to in fields.items() if isinstance(to, To)]


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(("kind", "name"), CHANGES, ids=lambda value: getattr(value, "__name__", value))
def test_a_field_that_is_changed_changes_the_graph_or_is_refused(kind: type, name: str) -> None:
    model, module, x = made(kind)
    to = FIELDS[kind][name].value
    value = doubled(getattr(module, name)) if to is doubled else to
    setattr(module, name, value)
    assert effect(kind, model, x)


PARAMETER_CHANGES = [
    (name, field) for name, family in CLASSES.items() for field, to in PARAMETERS[family].items() if isinstance(to, To)
]


@pytest.mark.parametrize(("name", "field"), PARAMETER_CHANGES)
def test_a_parameter_that_is_changed_changes_the_graph_or_is_refused(name: str, field: str) -> None:
    model, module, x = made(class_of(name))
    to, within = PARAMETERS[CLASSES[name]][field].value, BATTERY[CLASSES[name]].within
    holder = module.p if field in module.p._fields else getattr(module.p, within)
    changed = holder._replace(**{field: doubled(getattr(holder, field)) if to is doubled else to})
    p = changed if holder is module.p else module.p._replace(**{within: changed})
    module.p = p
    assert effect(class_of(name), model, x)
