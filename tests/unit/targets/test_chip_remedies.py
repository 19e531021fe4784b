"""Whoever follows the remedy for neurons that a chip does not have does not come to the same refusal again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import norse.torch as norse
import pytest
import torch
from norse.torch.functional.reset import reset_subtract
from torch import nn

from norse_export import registry
from norse_export.errors import Finding
from norse_export.files.limits import Limits
from norse_export.frontend.trace import trace
from norse_export.pipeline.choices import IntegerChoice
from norse_export.pipeline.fitting import fitting
from norse_export.pipeline.model import Model, Truth, graph_truth

CHIPS = ("loihi", "spinnaker")
N_IN, N, N_OUT, STEPS = 6, 8, 4, 20
X = (torch.rand((STEPS, 2, N_IN), generator=torch.Generator().manual_seed(0)) < 0.4).float()
SOME = torch.tensor([0.5, 1.0, 1.0, 0.5])
ZERO = {"reset_mechanism": "zero", "reset_delay": False}
NONE = {"reset_mechanism": "none"}
LOOP = {"linear_features": N_OUT}


def refused(model: nn.Module, chip: str) -> list[Finding]:
    """What stands against a model on a chip; its weights are drawn anew, always the same."""
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.copy_(torch.rand(weight.shape, generator=generator) - 0.3)
    traced = trace(model.eval(), X)
    stored = (traced.inputs, Truth(traced.reference, 0))
    made = Model("m", "traced", "", traced.graph, graph_truth(traced.graph), exact=False, stored=stored)
    found = fitting(made, chip, registry.load(chip), IntegerChoice(search=False), Limits())
    assert found.error is None, found.error
    return [finding for finding in found.findings if finding.severity == "error"]


class Read(nn.Module):
    """Neurons of snnTorch behind others that every chip has; given are their membranes or their spikes."""

    def __init__(self, neuron: Any, *, membranes: bool = True, start: float = 0.0) -> None:
        super().__init__()
        import snntorch

        self.fc1, self.first = nn.Linear(N_IN, N), snntorch.Leaky(0.75, reset_mechanism="zero", reset_delay=False)
        self.fc2, self.second, self.membranes, self.start = nn.Linear(N, N_OUT), neuron, membranes, start

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem1, state, given = self.first.init_leaky(), self.second.reset_mem(), []
        state = state if isinstance(state, tuple) else (torch.full((x.shape[1], N_OUT), self.start),)
        for part in x:
            spk1, mem1 = self.first(self.fc1(part), mem1)
            spk2, *state = self.second(self.fc2(spk1), *state)
            given.append(state[-1] if self.membranes else spk2)
        return torch.stack(given)


@dataclass(frozen=True, slots=True)
class Case:
    """A class of snnTorch's and what it is made with; membranes: what is given; start: of the membrane."""

    cls: str
    options: dict[str, Any]
    membranes: bool = False
    start: float = 0.0

    def model(self) -> nn.Module:
        import snntorch

        made = getattr(snntorch, self.cls)
        if self.cls.startswith("R"):
            return nn.Sequential(nn.Linear(N_IN, N_OUT), made(init_hidden=True, **self.options))
        return Read(made(**self.options), membranes=self.membranes, start=self.start)


LEAKY, SYNAPTIC = {"beta": 0.8}, {"alpha": 0.6, "beta": 0.8}
#: What is refused; what the remedy says; what has been done as it says.
FOLLOWED: dict[str, tuple[Case, str, list[Case]]] = {
    **{
        f"a membrane of {cls}, reset {words}": (
            Case(cls, {**own, **reset}, membranes=True),
            "use reset_mechanism='none' with beta below 1 where the membrane is the output, or return the spikes, of "
            "Leaky or Synaptic with reset_mechanism='zero' and reset_delay=False; or export",
            [Case(cls, {**own, **NONE}, membranes=True), Case(cls, {**own, **ZERO})],
        )
        for cls, own in (("Leaky", LEAKY), ("Synaptic", SYNAPTIC))
        for words, reset in (("by subtraction", {}), ("to 0", {"reset_mechanism": "zero"}), ("to 0 at once", ZERO))
    },
    "a membrane of Leaky without a leak": (
        Case("Leaky", {"beta": 1.0, **NONE}, membranes=True),
        "use beta below 1; or export",
        [Case("Leaky", {"beta": 0.8, **NONE}, membranes=True)],
    ),
    "a membrane of Synaptic without a leak": (
        Case("Synaptic", {"alpha": 0.6, "beta": 1.0, **NONE}, membranes=True),
        "use beta below 1; or export",
        [Case("Synaptic", {"alpha": 0.6, "beta": 0.8, **NONE}, membranes=True)],
    ),
    "membranes of which some have no leak": (
        Case("Leaky", {"beta": SOME, **NONE}, membranes=True),
        "use one beta below 1 for all neurons of the layer; or export",
        [Case("Leaky", {"beta": 0.8, **NONE}, membranes=True)],
    ),
    "neurons of which some have no leak": (
        Case("Leaky", {"beta": SOME, **ZERO}),
        "use one beta below 1 for all neurons of the layer; or export",
        [Case("Leaky", {"beta": 0.8, **ZERO})],
    ),
    "Synaptic without a leak": (
        Case("Synaptic", {"alpha": 0.6, "beta": 1.0, **ZERO}),
        "use Leaky or Synaptic with reset_mechanism='zero', reset_delay=False and beta below 1; or export",
        [Case("Synaptic", {**SYNAPTIC, **ZERO}), Case("Leaky", {**LEAKY, **ZERO})],
    ),
    "RLeaky without a leak, reset a step later": (
        Case("RLeaky", {"beta": 1.0, "reset_mechanism": "zero", **LOOP}),
        "use Leaky or Synaptic with reset_mechanism='zero', reset_delay=False and beta below 1; or export",
        [Case("Leaky", {**LEAKY, **ZERO}), Case("RLeaky", {**LEAKY, **ZERO, **LOOP})],
    ),
    "a threshold below 0": (
        Case("Leaky", {**LEAKY, **ZERO, "threshold": -0.25}),
        "use a threshold of 0 or more; or export",
        [Case("Leaky", {**LEAKY, **ZERO, "threshold": threshold}) for threshold in (0.0, 0.25)],
    ),
    "a membrane that begins above the threshold": (
        Case("Leaky", {**LEAKY, **ZERO}, start=1.5),
        "start the membrane at the threshold or below; or export",
        [Case("Leaky", {**LEAKY, **ZERO}, start=start) for start in (0.5, 1.0)],
    ),
    **{
        words: (
            case,
            "use Leaky or Synaptic with reset_mechanism='zero' and reset_delay=False; or export",
            [Case("Leaky", {**LEAKY, **ZERO}), Case("Synaptic", {**SYNAPTIC, **ZERO})],
        )
        for words, case in {
            "Leaky, reset by subtraction": Case("Leaky", LEAKY),
            "Synaptic, reset by subtraction": Case("Synaptic", SYNAPTIC),
            "Leaky without a reset": Case("Leaky", {**LEAKY, **NONE}),
            "Synaptic without a reset": Case("Synaptic", {**SYNAPTIC, **NONE}),
            "Alpha": Case("Alpha", {"alpha": 0.9, "beta": 0.8}),
        }.items()
    },
}


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("name", FOLLOWED)
def test_the_remedy_for_neurons_of_snntorch_is_one(name: str, chip: str) -> None:
    pytest.importorskip("snntorch")
    case, said, followed = FOLLOWED[name]
    (finding,) = refused(case.model(), chip)
    assert finding.kind == "family"
    assert finding.fix.startswith(said)
    for mended in followed:
        assert refused(mended.model(), chip) == [], mended


def test_what_rests_for_a_step_on_loihi_is_reset_at_once() -> None:
    pytest.importorskip("snntorch")
    (finding,) = refused(Case("Synaptic", {**SYNAPTIC, "reset_mechanism": "zero"}).model(), "loihi")
    assert finding.fix.startswith("use Leaky or Synaptic with reset_mechanism='zero' and reset_delay=False")
    assert refused(Case("Synaptic", {**SYNAPTIC, **ZERO}).model(), "loihi") == []


def _norse(reset: Any) -> Callable[[], nn.Module]:
    p = norse.LIFBoxParameters(**({} if reset is None else {"reset_method": reset}))
    return lambda: norse.SequentialState(nn.Linear(N_IN, N_OUT), norse.LIFBoxCell(p))


def _spikingjelly(cls: str, **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        from spikingjelly.activation_based import neuron

        return nn.Sequential(nn.Linear(N_IN, N_OUT), getattr(neuron, cls)(**options))

    return make


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(
    ("package", "made", "said", "mended"),
    [
        ("norse", _norse(reset_subtract), "use a reset to a value; or export", _norse(None)),
        (
            "spikingjelly",
            _spikingjelly("LIFNode", v_reset=None),
            "use IFNode, LIFNode or ParametricLIFNode with a v_reset; or export",
            _spikingjelly("LIFNode", v_reset=0.0),
        ),
    ],
)
def test_the_remedy_for_a_reset_by_subtraction_is_one(
    package: str, made: Callable[[], nn.Module], said: str, mended: Callable[[], nn.Module], chip: str
) -> None:
    pytest.importorskip(package)
    (finding,) = refused(made(), chip)
    assert finding.fix.startswith(said)
    assert refused(mended(), chip) == []
