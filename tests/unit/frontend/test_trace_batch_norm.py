"""Batch normalisation is folded into the layer before it, and the margin covers what folding rounds differently."""

from __future__ import annotations

import norse.torch as snn
import numpy as np
import pytest
import torch
from torch import nn
from traced_models import equal, interpreted, kinds, refusal, seeded, spikes

from norse_export.errors import GraphError, UnsupportedError
from norse_export.frontend.frameworks.torch_nn import fold
from norse_export.frontend.trace import trace
from norse_export.interpret import interpret_bounded
from norse_export.ir.layers import Conv, Linear
from norse_export.passes.discretise import discretise

QUICK = snn.LIFParameters(v_th=torch.tensor(0.2))


def normalised(layer: nn.Module, norm: nn.Module, *, offset: float = 0.0, seed: int = 0) -> nn.Sequential:
    """The layer and its normalisation, as if trained; `offset` in the bias is taken away again by the mean."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(like: torch.Tensor) -> torch.Tensor:
        return torch.rand(like.shape, generator=generator)

    with torch.no_grad():
        layer.weight.copy_(drawn(layer.weight) - 0.4)
        shift = torch.zeros_like(norm.running_mean)
        if layer.bias is not None:
            layer.bias.copy_(offset * (drawn(layer.bias) + 0.5))
            shift = layer.bias.detach().clone()
        norm.running_mean.copy_(shift + drawn(norm.running_mean) * 0.4)
        norm.running_var.copy_(drawn(norm.running_var) * 2 + 1e-3)
        if norm.affine:
            norm.weight.copy_(6 * drawn(norm.weight) - 2)
            norm.bias.copy_(drawn(norm.bias) - 0.3)
    return nn.Sequential(layer, norm).eval()


CASES: dict[str, tuple[nn.Module, nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(12, 8), nn.BatchNorm1d(8), (12,)),
    "linear without bias": (nn.Linear(12, 8, bias=False), nn.BatchNorm1d(8), (12,)),
    "linear, not affine": (nn.Linear(12, 8), nn.BatchNorm1d(8, affine=False), (12,)),
    "conv1d": (nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), (2, 8)),
    "conv2d": (nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), (2, 6, 6)),
    "conv2d without bias": (nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), (2, 6, 6)),
    "conv2d groups, not affine": (nn.Conv2d(2, 4, 3, groups=2), nn.BatchNorm2d(4, affine=False), (2, 6, 6)),
    "conv2d, large eps": (nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, eps=0.5), (2, 6, 6)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CASES)
def test_a_folded_normalisation_stays_within_the_margin(name: str, dtype: torch.dtype) -> None:
    layer, norm, shape = CASES[name]
    front = normalised(layer, norm)
    model = snn.SequentialState(*front, snn.LIFCell(p=QUICK), nn.Flatten(), snn.LICell()).to(dtype)
    traced = equal(model, spikes(40, 3, *shape).to(dtype))
    model.float()
    folded = traced.graph.nodes["0"]
    assert isinstance(folded, Linear | Conv)
    assert folded.bias is not None
    assert folded.folded is not None
    assert "1" not in traced.graph.nodes


@pytest.mark.parametrize("name", CASES)
def test_folding_in_float64_gives_the_values_of_torch(name: str) -> None:
    layer, norm, shape = CASES[name]
    traced = trace(normalised(layer, norm).double(), spikes(6, 4, *shape).double())
    expected = traced.reference.outputs["output"]
    assert np.abs(interpreted(traced).outputs["output"] - expected).max() < 1e-12
    layer.float()
    norm.float()


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("inputs", [2, 40, 1500])
def test_the_bound_holds_where_bias_and_mean_cancel(inputs: int, offset: float) -> None:
    """torch adds the large bias to the sum and takes the large mean away: what is lost there the bound must cover."""
    worst = 0.0
    for seed in range(5):
        model = normalised(nn.Linear(inputs, 20), nn.BatchNorm1d(20), offset=offset, seed=seed)
        traced = trace(model, spikes(4, 8, inputs, seed=seed))
        bounded = interpret_bounded(discretise(traced.graph), traced.inputs, {}, dtype="float32").outputs["output"]
        for run in (traced.reference, interpreted(traced)):
            off = np.abs(run.outputs["output"].astype(np.float64) - bounded.value)
            assert (off <= bounded.error).all()
            worst = max(worst, float(off.max()))
    assert worst > 0.0


def test_folding_gives_the_layer_of_the_graph() -> None:
    layer, norm, shape = CASES["conv2d"]
    model = normalised(layer, norm)
    plain, folded = (trace(part, spikes(2, 2, *shape)).graph.nodes for part in (model[0], model))
    conv = plain["Conv2d"]
    assert isinstance(conv, Conv)
    made = fold(conv, norm)
    assert np.array_equal(made.weight, folded["0"].weight)
    assert not np.array_equal(made.weight, conv.weight)
    assert (made.stride, made.size) == (conv.stride, conv.size)


def test_a_normalisation_behind_something_unknown_is_passed_over() -> None:
    model = nn.Sequential(nn.Softmax(-1), nn.BatchNorm1d(4)).eval()
    assert kinds(refusal(model, spikes(3, 2, 4))) == ["module"]


def test_a_layer_that_is_used_twice_is_folded_at_each_place() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared = nn.Linear(4, 4)
            self.norm, self.other = nn.BatchNorm1d(4), nn.BatchNorm1d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.other(self.shared(self.norm(self.shared(x))))

    model = seeded(Twice())
    with torch.no_grad():
        model.norm.running_mean.fill_(0.25)
        model.other.running_var.fill_(4.0)
    graph = equal(model, spikes(8, 3, 4)).graph
    first, second = graph.nodes["shared"], graph.nodes["shared@2"]
    assert isinstance(first, Linear)
    assert isinstance(second, Linear)
    assert not np.array_equal(first.weight, second.weight)


def test_folding_leaves_the_layers_of_the_model_alone() -> None:
    layer, norm, shape = CASES["linear"]
    model = normalised(layer, norm)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trace(model, spikes(3, 2, *shape))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


class Branching(nn.Module):
    """The value before the normalisation is used too."""

    def __init__(self, early: bool) -> None:
        super().__init__()
        self.layer, self.norm, self.early = nn.Linear(4, 4), nn.BatchNorm1d(4), early
        self.side = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.layer(x)
        if self.early:
            side = self.side(h)
            return side + self.norm(h)
        return self.norm(h) + h


@pytest.mark.parametrize("early", [True, False])
def test_a_normalisation_that_is_not_the_only_one_to_take_the_value_is_refused(early: bool) -> None:
    findings = refusal(Branching(early).eval(), spikes(3, 2, 4), error=UnsupportedError)
    assert kinds(findings)[0] == "batch_norm"


@pytest.mark.parametrize(
    "layers",
    [
        [nn.BatchNorm1d(4)],
        [nn.Linear(4, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4)],
        [nn.Linear(4, 4), nn.Flatten(), nn.BatchNorm1d(4)],
    ],
    ids=["at the input", "twice", "behind a flatten"],
)
def test_a_normalisation_without_a_layer_of_its_own_is_refused(layers: list[nn.Module]) -> None:
    (finding,) = refusal(nn.Sequential(*layers).eval(), spikes(3, 2, 4), error=UnsupportedError)
    assert (finding.kind, finding.where) == ("batch_norm", str(len(layers) - 1))


def test_a_variance_that_gives_no_number_is_an_impossible_model() -> None:
    model = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2, eps=0.0)).eval()
    with torch.no_grad():
        model[1].running_var.copy_(torch.tensor([1.0, 0.0]))
    (finding,) = refusal(model, spikes(3, 2, 4), error=GraphError)
    assert (finding.kind, finding.where) == ("nan", "1")
    assert "[1" in finding.message
