"""What is not understood is refused: by name, with the module's path and the user's line, and all of it at once."""

from __future__ import annotations

import re
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from norse.torch.functional.lif import LIFFeedForwardState, lif_feed_forward_step
from norse.torch.functional.lif_mc import lif_mc_feed_forward_step
from torch import nn
from traced_models import kinds, refusal, same, seeded, spikes

from norse_export.errors import GraphError, UnsupportedError, UsageError
from norse_export.frontend.trace import trace
from norse_export.ir.layers import Scale

X = spikes(5, 3, 6)
HERE = re.escape(__file__)


class Bad(nn.Module):
    """Five things that are not supported, in two modules."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.inner = nn.Linear(6, 6), Inner()
        self.cell = snn.LIFCell(p=snn.LIFParameters(tau_mem_inv=torch.tensor(-1.0)))

    def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        h = self.layer(x)
        h = self.inner(h) + torch.sin(h)
        z, state = self.cell(h, state)
        h = self.layer(x)
        return z + torch.cat([h[:, :3], h[:, 3:]], -1).cos(), state


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.activation = nn.Softmax(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(x) + self.activation(x)


def test_five_bad_things_give_five_findings() -> None:
    findings = refusal(Bad().eval(), X, error=UnsupportedError)
    assert [(finding.kind, finding.where.split(",")[0]) for finding in findings] == [
        ("operation", "inner"),
        ("module", "inner.activation"),
        ("operation", "Bad"),
        ("tau", "cell"),
        ("operation", "Bad"),
    ]
    assert [finding.message.split()[2] for finding in findings if finding.kind == "operation"] == ["exp", "sin", "cos"]
    assert all(re.search(rf", {HERE}:\d+$", f.where) for f in findings if f.kind == "operation")
    assert len({finding.where for finding in findings}) == 5


def test_the_line_is_that_of_the_users_own_code() -> None:
    (finding,) = refusal(Once(lambda x: torch.exp(x)), X)
    line = int(finding.where.rsplit(":", 1)[1])
    with open(__file__) as source:
        assert "torch.exp(x)" in source.readlines()[line - 1]


class Once(nn.Module):
    """Applies a function to the output of a layer."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.layer, self.function = nn.Linear(6, 6), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.layer(x))


OPERATIONS: dict[str, Any] = {
    "mul by a constant for each sample": lambda x: x * torch.ones(3, 1),
    "add of a constant for each sample": lambda x: x + torch.arange(3.0).reshape(3, 1),
    "division of a constant": lambda x: 1 / x,
    "another activation": lambda x: nn.functional.elu(x),
    "power": lambda x: x**3,
    "index of the batch": lambda x: x[:2],
    "add with a factor": lambda x: torch.add(x, x, alpha=2),
    "add into a tensor": lambda x: torch.add(x, x, out=torch.empty_like(x)),
    "matmul of constants first": lambda x: torch.eye(3) @ x,
    "transpose": lambda x: x.t(),
    "property": lambda x: x.T,
    "view": lambda x: x.view(9, 2),
    "reshape": lambda x: x.reshape(-1, 3),
    "view of the batch": lambda x: x.view(-1),
    "view of another type": lambda x: x.view(torch.int32),
    "cat": lambda x: torch.cat([x, x]),
    "where": lambda x: torch.where(x > 0, x, x),
    "softmax": lambda x: x.softmax(1),
    "norm": lambda x: x / x.norm(),
    "in place": lambda x: x.zero_(),
    "set": lambda x: x.__setitem__(0, 0.0) or x,
    "cast": lambda x: x.double(),
    "cast of another": lambda x: torch.ones(3, 6).type_as(x) + x,
    "cast of another to its type": lambda x: torch.ones(3, 6).to(x) + x,
    "data": lambda x: x.data,
    "flatten the batch": lambda x: x.flatten(),
    "random": lambda x: x + torch.rand_like(x),
    "noise": lambda x: torch.bernoulli(x.clamp(0, 1)),
}


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_refused_with_its_line(name: str) -> None:
    findings = refusal(Once(OPERATIONS[name]), X, error=UnsupportedError)
    assert {finding.kind for finding in findings} <= {"operation", "flatten_axes"}
    assert all(finding.where.startswith("Once, ") or finding.where == "flatten" for finding in findings)


def test_an_addition_of_two_shapes_is_refused() -> None:
    """torch would spread the one over the other."""

    class Spread(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.narrow = nn.Linear(6, 6), nn.Linear(6, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.wide(x) + self.narrow(x)

    (finding,) = refusal(Spread(), X, error=UnsupportedError)
    assert finding.kind == "operation"
    assert "of one shape only" in finding.message


def test_a_reshape_names_the_remedy() -> None:
    (finding,) = refusal(Once(OPERATIONS["view"]), X)
    assert "x.flatten(1)" in finding.fix


def test_dropout_in_training_is_refused_by_name() -> None:
    (finding,) = refusal(Once(lambda x: nn.functional.dropout(x, 0.5)), X, error=UnsupportedError)
    assert finding.kind == "training"
    assert "dropout in training mode is random" in finding.message
    assert "training=self.training" in finding.fix


MODULES: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "Tanh": (nn.Tanh(), (6,)),
    "Softmax": (nn.Softmax(1), (6,)),
    "LayerNorm": (nn.LayerNorm(6), (6,)),
    "PReLU": (nn.PReLU(), (6,)),
    "Conv3d": (nn.Conv3d(1, 1, 1), (1, 2, 2, 2)),
    "ConvTranspose2d": (nn.ConvTranspose2d(1, 1, 1), (1, 2, 2)),
    "MaxPool1d": (nn.MaxPool1d(2), (2, 4)),
    "AdaptiveAvgPool1d": (nn.AdaptiveAvgPool1d(1), (2, 4)),
    "BatchNorm3d": (nn.BatchNorm3d(1), (1, 2, 2, 2)),
    "GRU": (nn.GRU(6, 3), (6,)),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_without_a_rule_is_refused_with_its_path(name: str) -> None:
    module, shape = MODULES[name]
    model = snn.SequentialState(nn.Identity(), snn.SequentialState(module)).eval()
    findings = refusal(model, spikes(3, 2, *shape), error=UnsupportedError)
    assert [(finding.kind, finding.where) for finding in findings] == [("module", "1.0")]
    assert type(module).__name__ in findings[0].message


class Regularised(nn.Module):
    """Calls a module of Norse's with all that it needs."""

    def __init__(self) -> None:
        super().__init__()
        self.count = snn.RegularizationCell()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.count(x, None)[0]


def test_a_module_of_norse_without_a_rule_is_refused_with_its_path() -> None:
    (finding,) = refusal(Regularised().eval(), X, error=UnsupportedError)
    assert (finding.kind, finding.where) == ("module", "count")
    assert "RegularizationCell" in finding.message


@pytest.mark.parametrize("module", [nn.Softmax(-1), snn.Lift(nn.Softmax(1))], ids=["Softmax", "Softmax in Lift"])
def test_a_module_without_a_rule_is_refused_and_what_follows_is_judged(module: nn.Module) -> None:
    model = snn.SequentialState(module, snn.LIF(p=snn.LIFParameters(tau_mem_inv=torch.tensor(-1.0))), nn.Tanh()).eval()
    findings = refusal(model, X, time="inside", error=UnsupportedError)
    assert kinds(findings) == ["module", "tau", "module"]


def test_a_subclass_is_not_taken_for_its_base() -> None:
    class Leaky(snn.LIFCell):
        def forward(self, x: torch.Tensor, state: Any = None) -> Any:
            z, state = super().forward(x, state)
            return 2 * z, state

    class Scaled(nn.Linear):
        pass

    findings = refusal(seeded(snn.SequentialState(Scaled(6, 6), Leaky())), X)
    assert [(f.kind, f.where) for f in findings] == [("module", "0"), ("module", "1")]
    assert "subclass of Linear" in findings[0].message
    assert "subclass of LIFCell" in findings[1].message


class Hidden(nn.Module):
    """Keeps a module where torch does not see it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.hidden = [module]

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        return self.hidden[0](x) if state is None else self.hidden[0](x, state)


def test_modules_that_torch_does_not_see_are_refused() -> None:
    """Nothing would restore them, nor record their spikes."""
    for module in (nn.Linear(6, 2), snn.LIFCell()):
        (finding,) = refusal(Hidden(module).eval(), X, error=UnsupportedError)
        assert (finding.kind, finding.where) == ("unregistered", type(module).__name__)
        assert "ModuleList" in finding.fix


def test_a_layer_without_tensors_may_be_made_in_forward() -> None:
    assert list(trace(Hidden(nn.Flatten()), X).graph.nodes) == ["input", "Flatten", "output"]
    assert list(trace(Once(lambda x: nn.Identity()(nn.Flatten()(x))), X).graph.nodes)[2] == "Flatten"


def test_a_forward_that_was_replaced_is_seen() -> None:
    model = nn.Sequential(nn.Linear(6, 2)).eval()
    model[0].forward = lambda x: 2 * x
    (finding,) = refusal(model, X)
    assert (finding.kind, finding.where) == ("forward", "0")


def test_a_step_of_norse_on_a_whole_raster_is_named_once() -> None:
    class Functional(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z, _ = lif_feed_forward_step(x, LIFFeedForwardState(torch.zeros(6), torch.zeros(6)), snn.LIFParameters())
            return z

    (finding,) = refusal(Functional(), X, error=UnsupportedError)
    assert (finding.kind, finding.where) == ("time_axis", "lif")
    assert finding.message == "lif_feed_forward_step takes one step, but is given a whole raster"
    assert "Lift" in finding.fix


def test_a_function_of_norse_without_a_rule_is_named_once() -> None:
    class Functional(nn.Module):
        def forward(self, x: torch.Tensor, state: Any = None) -> Any:
            zeros = torch.zeros(3, 6)
            return lif_mc_feed_forward_step(x, state or LIFFeedForwardState(zeros, zeros), torch.eye(6))

    findings = refusal(Functional(), X, error=UnsupportedError)
    assert "norse.torch.functional.lif_mc.lif_mc_feed_forward_step" in findings[0].message
    assert len({finding.message for finding in findings}) == len(findings)


def _hook(*_: Any) -> None:
    return None


HOOKS: dict[str, Any] = {
    "forward": lambda module: module.register_forward_hook(_hook),
    "before": lambda module: module.register_forward_pre_hook(_hook),
    "with keywords": lambda module: module.register_forward_hook(_hook, with_kwargs=True),
}


@pytest.mark.parametrize("name", HOOKS)
@pytest.mark.parametrize("place", ["0", "1", "2", "2.lifted_module"])
def test_hooks_are_refused(name: str, place: str) -> None:
    model = snn.SequentialState(nn.Linear(6, 6), snn.LIF(), snn.Lift(nn.Linear(6, 2))).eval()
    HOOKS[name](model.get_submodule(place))
    (finding,) = refusal(model, X)
    assert (finding.kind, finding.where) == ("hooks", place)


def test_hooks_for_all_modules_are_refused() -> None:
    from torch.nn.modules.module import register_module_forward_hook

    handle = register_module_forward_hook(_hook)
    try:
        findings = refusal(seeded(nn.Linear(6, 2)), X)
    finally:
        handle.remove()
    assert kinds(findings) == ["hooks"]


def test_a_hook_of_a_users_module_is_looked_through() -> None:
    """What it does to the output is recorded like the rest."""
    model = seeded(nn.Sequential(nn.Linear(6, 2)))
    handle = model.register_forward_hook(_hook)
    trace(model, X)
    handle.remove()
    handle = model.register_forward_hook(lambda module, args, result: result * 2)
    doubled = same(model, X).graph.nodes["mul"]
    assert isinstance(doubled, Scale)
    assert np.all(doubled.scale == 2)
    handle.remove()
    model.register_forward_hook(lambda module, args, result: result.exp())
    (finding,) = refusal(model, X)
    assert "exp" in finding.message


def test_reparametrised_weights_are_refused() -> None:
    model = nn.Sequential(torch.nn.utils.parametrizations.weight_norm(nn.Linear(6, 2)))
    assert kinds(refusal(model.eval(), X)) == ["module"]


@pytest.mark.parametrize("wrap", [lambda m: torch.jit.trace(m, X[0]), torch.nn.DataParallel])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wrapped_modules_are_refused_by_name(wrap: Any) -> None:
    (finding,) = refusal(wrap(seeded(nn.Linear(6, 2))), X)
    assert finding.kind == "module"


class Outputs(nn.Module):
    """Gives something else than one tensor and a state."""

    def __init__(self, give: Any) -> None:
        super().__init__()
        self.layer, self.cell, self.give = nn.Linear(6, 6), snn.LIFCell(), give

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        h = self.layer(x)
        z, state = self.cell(h, state)
        return self.give(h, z, state)


GIVEN: dict[str, tuple[Any, str]] = {
    "two outputs and a state": (lambda h, z, s: (z, h, s), "outputs"),
    "a list in a dict": (lambda h, z, s: {"z": [z]}, "outputs"),
    "nothing": (lambda h, z, s: None, "outputs"),
    "a constant": (lambda h, z, s: (torch.ones(3, 6), s), "output"),
    "a state": (lambda h, z, s: (s.v, s), "output"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_models_of_other_or_constant_outputs_are_refused(name: str) -> None:
    give, kind = GIVEN[name]
    findings = refusal(Outputs(give), X, error=UnsupportedError)
    assert kind in kinds(findings)
    assert set(kinds(findings)) <= {kind, "state"}


@pytest.mark.parametrize("give", [lambda h, z, s: (z, h), lambda h, z, s: (z, (s, h))], ids=["alone", "among states"])
def test_an_output_in_the_place_of_the_state_is_what_the_next_step_is_given(give: Any) -> None:
    (finding,) = refusal(Outputs(give), X, error=UsageError)
    assert finding.kind == "model_raised"
    assert finding.where.startswith("cell, in Outputs")


def test_several_outputs_without_the_state_that_the_model_takes_are_refused() -> None:
    (finding,) = refusal(Outputs(lambda h, z, s: [z, h]), X, error=UnsupportedError)
    assert (finding.kind, finding.where) == ("state", "cell")
    assert "not carried" in finding.message


def test_a_layer_on_a_constant_is_refused() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x) + self.b(torch.ones(3, 6))

    findings = refusal(Constant(), X)
    assert [(f.kind, f.where.split(",")[0]) for f in findings] == [("constant_input", "b")]


CELL: dict[str, tuple[dict[str, Any], str]] = {
    "adjoint": ({"method": "adjoint"}, "threshold_method"),
    "NaN threshold": ({"v_th": torch.tensor(float("nan"))}, "nan"),
    "infinite reset": ({"v_reset": torch.tensor([0.0] * 5 + [float("inf")])}, "nan"),
    "NaN tau": ({"tau_mem_inv": torch.tensor(float("nan"))}, "nan"),
    "infinite tau_inv": ({"tau_syn_inv": torch.tensor(float("inf"))}, "nan"),
    "negative tau": ({"tau_mem_inv": torch.tensor([100.0] * 5 + [-1.0])}, "tau"),
    "dt of two tau": ({"tau_syn_inv": torch.tensor(2000.0)}, "tau"),
    "dt beyond two tau": ({"tau_mem_inv": torch.tensor(2500.0)}, "tau"),
}


@pytest.mark.parametrize("name", CELL)
@pytest.mark.parametrize("kind", [snn.LIFCell, snn.LIF])
def test_impossible_parameters_are_refused_where_they_stand(name: str, kind: type) -> None:
    parameters, found = CELL[name]
    model = snn.SequentialState(nn.Identity(), kind(p=snn.LIFParameters(**parameters))).eval()
    error = UnsupportedError if found == "threshold_method" else GraphError
    (finding,) = refusal(model, X, error=error)
    assert (finding.kind, finding.where) == (found, "1")
    for field in parameters:
        assert field.removesuffix("_inv") in finding.message


def test_a_step_just_below_two_tau_is_exported() -> None:
    assert trace(snn.LIFCell(p=snn.LIFParameters(tau_syn_inv=torch.tensor(1999.0))), X).graph.nodes["LIFCell"]


@pytest.mark.parametrize("dt", [0.0, -0.001, float("nan"), float("inf"), torch.tensor([0.001] * 6)])
def test_an_impossible_time_step_is_refused(dt: Any) -> None:
    (finding,) = refusal(snn.LIFCell(dt=dt), X, error=GraphError)
    assert (finding.kind, finding.where) == ("dt", "LIFCell")


@pytest.mark.parametrize("field", ["weight", "bias"])
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused_with_their_index(field: str, value: float) -> None:
    model = seeded(nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2)))
    with torch.no_grad():
        getattr(model[1], field)[1] = value
    (finding,) = refusal(model, X, error=GraphError)
    assert (finding.kind, finding.where) == ("nan", "1")
    assert finding.message.startswith(f"{field}[1")


def test_recurrent_weights_that_are_no_numbers_are_refused() -> None:
    model = snn.LIFRecurrentCell(6, 6)
    with torch.no_grad():
        model.input_weights[0, 0] = float("nan")
        model.recurrent_weights[2, 3] = float("inf")
    findings = refusal(model, X, error=GraphError)
    assert [finding.where for finding in findings] == [
        "LIFRecurrentCell.input_weights",
        "LIFRecurrentCell.recurrent_weights",
    ]


def test_impossible_and_unsupported_are_listed_together() -> None:
    bad = snn.LIFCell(p=snn.LIFParameters(v_th=torch.tensor(float("nan")), tau_mem_inv=torch.tensor(-1.0)))
    findings = refusal(snn.SequentialState(bad, nn.Softmax(-1)), X, error=UnsupportedError)
    assert kinds(findings) == ["tau", "nan", "module"]


def test_a_threshold_function_that_norse_does_not_know_is_refused_by_name() -> None:
    (finding,) = refusal(snn.LIFCell(p=snn.LIFParameters(method="none")), X)
    assert (finding.kind, finding.where) == ("threshold_method", "LIFCell")
    assert "'none'" in finding.message
    assert "heaviside" in finding.fix


OWN: dict[str, tuple[Any, str]] = {
    "activation": (lambda cell: setattr(cell, "activation", lambda x, s, p, dt: (x, s)), "activation"),
    "start": (
        lambda cell: setattr(cell, "state_fallback", lambda x: LIFFeedForwardState(x * 0, x * 0)),
        "initial_state",
    ),
    "start of another": (lambda cell: setattr(cell, "state_fallback", snn.LIFCell().state_fallback), "initial_state"),
}


@pytest.mark.parametrize("name", OWN)
def test_parts_that_the_class_does_not_come_with_are_refused(name: str) -> None:
    change, kind = OWN[name]
    cell = snn.LIFCell()
    change(cell)
    assert kind in kinds(refusal(cell, X))


def test_a_reset_of_ones_own_is_refused_whatever_its_name() -> None:
    def reset_value(z: Any, v: Any, v_reset: Any, v_th: Any) -> Any:
        return v - z * v_th

    cell = snn.LIFBoxCell(p=snn.LIFBoxParameters(reset_method=reset_value))
    assert kinds(refusal(cell, X)) == ["reset_method"]


def test_an_adjoint_cell_that_runs_is_refused_for_its_method() -> None:
    """Norse 1.1.0 itself raises for it; with a step of one's own it runs, and is refused all the same."""
    cell = snn.LIFCell(p=snn.LIFParameters(method="adjoint"))
    cell.activation = lambda x, state, p, dt: lif_feed_forward_step(x, state, p._replace(method="super"), dt)
    assert kinds(refusal(cell, X)) == ["threshold_method"]


@pytest.mark.parametrize("kind", [snn.LIFRecurrentCell, snn.LIFRecurrent])
def test_recurrent_populations_on_maps_are_refused(kind: type) -> None:
    (finding,) = refusal(kind(6, 4), spikes(5, 3, 2, 6), error=UnsupportedError)
    assert (finding.kind, finding.where) == ("linear_axes", kind.__name__)


@pytest.mark.parametrize("give", ["state", "constant"])
def test_lift_of_a_module_that_gives_no_layers_values_is_refused(give: str) -> None:
    class Giving(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = snn.LIFCell()

        def forward(self, x: torch.Tensor, state: Any = None) -> Any:
            state = self.cell(x, state)[1]
            return state.v if give == "state" else torch.ones(3, 6), state

    findings = refusal(snn.Lift(Giving()), X, error=UnsupportedError)
    assert kinds(findings)[0] == ("output" if give == "state" else "constant_output")
    assert findings[0].where == "Lift"


@pytest.mark.parametrize("shape", [(3, 6), (3, 1), (1, 3, 6)])
def test_parameters_with_a_batch_axis_are_refused(shape: tuple[int, ...]) -> None:
    model = snn.LIFCell(p=snn.LIFParameters(v_th=torch.full(shape, 0.5)))
    (finding,) = refusal(model, X)
    assert (finding.kind, finding.where) == ("parameter_shape", "LIFCell")


def test_parameters_of_another_width_are_refused() -> None:
    model = snn.SequentialState(nn.Linear(6, 1), snn.LIFCell(p=snn.LIFParameters(v_th=torch.full((4,), 0.5))))
    (finding,) = refusal(model, X, error=GraphError)
    assert finding.kind == "shape"
