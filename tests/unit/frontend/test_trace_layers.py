"""Every layer between the neurons, with its options: traced, run and compared with torch."""

from __future__ import annotations

from typing import Any

import norse.torch as snn
import pytest
import torch
from torch import nn
from traced_models import equal, judged, on_grid, refusal, same, seeded, spikes

from norse_export.errors import UnsupportedError
from norse_export.frontend.frameworks import torch_nn
from norse_export.frontend.trace import trace
from norse_export.ir.layers import Conv, Flatten, Linear, Pool

QUICK = snn.LIFParameters(v_th=torch.tensor(0.2), tau_mem_inv=torch.tensor(300.0))

# name -> (layers, feature shape of the input)
LAYERS: dict[str, tuple[list[nn.Module], tuple[int, ...]]] = {
    "linear": ([nn.Linear(7, 5)], (7,)),
    "linear without bias": ([nn.Linear(7, 5, bias=False)], (7,)),
    "linear of one to many": ([nn.Linear(1, 9)], (1,)),
    "conv1d": ([nn.Conv1d(2, 3, 3)], (2, 9)),
    "conv1d without bias, stride": ([nn.Conv1d(2, 3, 2, stride=3, bias=False)], (2, 9)),
    "conv1d same, dilation": ([nn.Conv1d(2, 3, 3, padding="same", dilation=2)], (2, 9)),
    "conv1d valid, groups": ([nn.Conv1d(4, 6, 3, padding="valid", groups=2)], (4, 9)),
    "conv1d padding": ([nn.Conv1d(2, 3, 3, padding=(2,))], (2, 5)),
    "conv2d": ([nn.Conv2d(2, 3, 3)], (2, 6, 7)),
    "conv2d without bias": ([nn.Conv2d(2, 3, 3, bias=False)], (2, 6, 7)),
    "conv2d rectangular": ([nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(0, 2))], (2, 6, 7)),
    "conv2d same": ([nn.Conv2d(2, 3, (3, 5), padding="same")], (2, 6, 7)),
    "conv2d same, dilation": ([nn.Conv2d(2, 3, (2, 3), padding="same", dilation=(2, 1))], (2, 6, 7)),
    "conv2d valid, dilation": ([nn.Conv2d(2, 3, 3, padding="valid", dilation=(1, 2))], (2, 6, 7)),
    "conv2d groups": ([nn.Conv2d(4, 6, 3, groups=2)], (4, 6, 7)),
    "conv2d depthwise": ([nn.Conv2d(4, 8, 3, groups=4)], (4, 6, 7)),
    "conv2d stride that leaves a rest": ([nn.Conv2d(2, 3, 3, stride=2)], (2, 6, 8)),
    "average pooling": ([nn.AvgPool2d(2)], (2, 6, 7)),
    "average pooling with padding": ([nn.AvgPool2d(3, stride=2, padding=1)], (2, 6, 7)),
    "average pooling without the padding it has not": ([nn.AvgPool2d(2, count_include_pad=False)], (2, 6, 7)),
    "average pooling, rectangular": ([nn.AvgPool2d((2, 3), stride=(1, 2))], (2, 6, 7)),
    "max pooling": ([nn.MaxPool2d(2)], (2, 6, 7)),
    "max pooling with padding": ([nn.MaxPool2d(3, stride=2, padding=1)], (2, 6, 7)),
    "max pooling, rectangular": ([nn.MaxPool2d((3, 2), stride=(2, 1))], (2, 6, 7)),
    "sum pooling": ([nn.LPPool2d(1, 2)], (2, 6, 7)),
    "sum pooling, stride": ([nn.LPPool2d(1, (2, 3), stride=(1, 2))], (2, 6, 7)),
    "adaptive average pooling": ([nn.AdaptiveAvgPool2d((3, 2))], (2, 6, 8)),
    "adaptive average pooling of whole maps": ([nn.AdaptiveAvgPool2d(1)], (2, 4, 8)),
    "adaptive average pooling of one axis": ([nn.AdaptiveAvgPool2d((None, 2))], (2, 5, 8)),
    "adaptive average pooling to the size that maps have": ([nn.AdaptiveAvgPool2d(6)], (2, 6, 6)),
    "adaptive max pooling": ([nn.AdaptiveMaxPool2d((3, 2))], (2, 6, 8)),
    "average pooling of one axis": ([nn.AvgPool1d(4, stride=2, padding=1)], (2, 9)),
    "average pooling of one axis without padding": ([nn.AvgPool1d(2)], (3, 8)),
    "zeros around maps": ([nn.ZeroPad2d((1, 0, 2, 1)), nn.Conv2d(2, 3, 3)], (2, 4, 5)),
    "flatten": ([nn.Flatten()], (2, 3, 4)),
    "flatten to the last but one": ([nn.Flatten(1, -2), nn.Conv1d(6, 3, 2)], (2, 3, 4)),
    "flatten from the end": ([nn.Flatten(-2)], (2, 3, 4)),
    "flatten what is flat": ([nn.Flatten()], (5,)),
    "dropout and identity": ([nn.Dropout(), nn.Identity(), nn.Linear(7, 5), nn.Dropout(inplace=True)], (7,)),
    "relu": ([nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 4)], (7,)),
    "relu6": ([nn.Linear(7, 5), nn.ReLU6()], (7,)),
    "hardtanh": ([nn.Linear(7, 5), nn.Hardtanh(-0.5, 2.0), nn.Linear(5, 4)], (7,)),
    "leaky relu": ([nn.Linear(7, 5), nn.LeakyReLU(0.25), nn.Linear(5, 4)], (7,)),
    "dropout of channels": ([nn.Conv2d(2, 3, 3), nn.Dropout2d()], (2, 6, 7)),
    "dropout of volumes": ([nn.Unflatten(1, (2, 2, 2)), nn.Dropout3d(), nn.Flatten()], (8, 3)),
    "dropout that keeps the mean": ([nn.Linear(7, 5), nn.AlphaDropout(), nn.FeatureAlphaDropout()], (7,)),
    "unflatten": ([nn.Linear(7, 12), nn.Unflatten(1, (3, 2, 2)), nn.Conv2d(3, 2, 2)], (7,)),
    "unflatten the last axis": ([nn.Unflatten(-1, (2, -1)), nn.Conv2d(2, 3, 2)], (2, 16)),
    "dropout of channels of one axis": ([nn.Conv1d(2, 3, 3), nn.Dropout1d()], (2, 6)),
}


def test_every_rule_for_a_layer_is_in_the_battery() -> None:
    used = {type(layer) for layers, _ in LAYERS.values() for layer in layers}
    assert {nn.BatchNorm1d, nn.BatchNorm2d, snn.LConv2d} == set(torch_nn.rules()) - used  # test_trace_batch_norm.py


def _between(name: str) -> tuple[nn.Module, torch.Tensor]:
    """The layers between two populations: a layer gets real spikes, and is seen through spikes."""
    layers, shape = LAYERS[name]
    model = snn.SequentialState(snn.LIFCell(p=QUICK), *layers, snn.LIFCell(p=QUICK))
    x = 8 * spikes(30, 3, *shape, rate=0.25, seed=len(name))
    return seeded(model, gain=20.0, seed=1), x


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_stays_within_the_margin(name: str, dtype: torch.dtype) -> None:
    model, x = _between(name)
    equal(model.to(dtype), x.to(dtype))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_on_a_power_of_two_grid_differs_nowhere(name: str) -> None:
    model, x = _between(name)
    traced = equal(on_grid(model, bits=5), x, exact=True)
    assert all(layer.states_max_abs == 0.0 for layer in judged(traced, exact=True).layers)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_as_the_readout_gives_the_values_of_torch(name: str) -> None:
    layers, shape = LAYERS[name]
    model = on_grid(seeded(snn.SequentialState(snn.LIFCell(p=QUICK), *layers), gain=3.0), bits=5)
    equal(model, 8 * spikes(30, 3, *shape, rate=0.25), exact=True)


def test_options_reach_the_nodes() -> None:
    model = nn.Sequential(
        nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2, bias=False),
        nn.AvgPool2d((2, 3), stride=(1, 2), padding=(1, 0)),
        nn.Flatten(1, 2),
    ).eval()
    graph = trace(model, spikes(2, 3, 4, 8, 9)).graph
    conv, pool, flat = (graph.nodes[name] for name in "012")
    assert isinstance(conv, Conv)
    assert (conv.size, conv.stride, conv.padding, conv.dilation, conv.groups, conv.bias) == (
        (8, 9), (2, 1), (1, 0), (1, 2), 2, None,
    )  # fmt: skip
    assert conv.weight.tobytes() == model[0].weight.detach().numpy().tobytes()
    assert isinstance(pool, Pool)
    assert (pool.kind, pool.kernel, pool.stride, pool.padding) == ("avg", (2, 3), (1, 2), (1, 0))
    assert isinstance(flat, Flatten)
    assert flat.axes == (0, 1)
    assert [type(node).__name__ for node in graph.nodes.values()] == ["Input", "Conv", "Pool", "Flatten", "Output"]


def test_same_padding_is_that_of_torch() -> None:
    graph = trace(nn.Conv2d(1, 1, (3, 5), padding="same", dilation=(2, 1)).eval(), spikes(2, 1, 1, 8, 8)).graph
    conv = graph.nodes["Conv2d"]
    assert isinstance(conv, Conv)
    assert conv.padding == (2, 2)
    assert conv.output_shape == (1, 8, 8)


def test_what_is_elided_leaves_no_node() -> None:
    model = nn.Sequential(nn.Identity(), nn.Conv2d(2, 2, 2), nn.Dropout(0.3), nn.Dropout2d(0.5)).eval()
    assert list(trace(model, spikes(2, 2, 2, 3, 3)).graph.nodes) == ["input", "1", "output"]


def test_a_dropout_of_nothing_may_stay_in_training() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.0))
    assert model.training
    assert isinstance(trace(model, spikes(2, 2, 3)).graph.nodes["0"], Linear)


REFUSED: dict[str, tuple[nn.Module, tuple[int, ...], str]] = {
    "linear on a map": (nn.Linear(4, 2), (3, 4), "linear_axes"),
    "linear on a number": (nn.Linear(2, 2), (), "linear_axes"),
    "conv of a sample without a batch": (nn.Conv2d(2, 3, 3), (6, 6), "spatial_axes"),
    "conv1d of a sample without a batch": (nn.Conv1d(2, 3, 3), (6,), "spatial_axes"),
    "conv with reflections": (nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 6, 6), "conv_padding"),
    "conv same, even kernel": (nn.Conv2d(2, 3, 2, padding="same"), (2, 6, 6), "conv_padding"),
    "pooling up": (nn.AvgPool2d(2, ceil_mode=True), (2, 5, 5), "pool_ceil"),
    "max pooling up": (nn.MaxPool2d(2, ceil_mode=True), (2, 5, 5), "pool_ceil"),
    "sum pooling up": (nn.LPPool2d(1, 2, ceil_mode=True), (2, 5, 5), "pool_ceil"),
    "pooling with a divisor": (nn.AvgPool2d(2, divisor_override=3), (2, 4, 4), "pool_divisor"),
    "pooling without its padding": (nn.AvgPool2d(2, padding=1, count_include_pad=False), (2, 4, 4), "pool_padding"),
    "pooling with dilation": (nn.MaxPool2d(2, dilation=2), (2, 5, 5), "pool_dilation"),
    "pooling of squares": (nn.LPPool2d(2, 2), (2, 4, 4), "pool_norm"),
    "flatten over the batch": (nn.Flatten(0), (2, 3), "flatten_axes"),
    "unflatten of the batch": (nn.Unflatten(0, (1, -1)), (4,), "flatten_axes"),
    "dropout in training": (nn.Dropout(0.5).train(), (4,), "training"),
    "batch norm in training": (nn.BatchNorm1d(4).train(), (4,), "training"),
    "batch norm without statistics": (nn.BatchNorm1d(4, track_running_stats=False), (4,), "training"),
}


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", REFUSED)
def test_an_option_that_is_not_supported_is_refused_by_name(name: str) -> None:
    layer, shape, kind = REFUSED[name]
    training = "in training" in name
    model = nn.Sequential(nn.Identity(), layer.train(training))
    (finding,) = refusal(model, spikes(3, 2, *shape))
    assert (finding.kind, finding.where) == (kind, "1")
    assert finding.severity == "error"


class Lifted(nn.Module):
    """A convolution of a whole raster."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.conv, self.cell = snn.LConv2d(2, 4, 3, **options), snn.LIF(QUICK)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(self.conv(x))[0]


@pytest.mark.parametrize("options", [{}, {"stride": (2, 1), "padding": (1, 2)}, {"dilation": 2}, {"groups": 2}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_convolution_of_rasters_is_one_of_each_step(options: dict[str, Any], dtype: torch.dtype) -> None:
    model = on_grid(seeded(Lifted(**options), gain=8.0)).to(dtype)
    traced = same(model, spikes(12, 2, 2, 7, 6).to(dtype), exact=True)
    assert list(traced.graph.nodes) == ["input", "conv", "cell", "output"]
    assert traced.time == "inside"


def test_a_convolution_of_rasters_that_mixes_steps_is_refused() -> None:
    model = Lifted()
    model.conv.stride = (1, 1, 2)
    found = refusal(model.eval(), spikes(12, 2, 2, 7, 6))
    assert (found[0].kind, found[0].where) == ("conv_padding", "conv")


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_padding_of_a_convolution_of_rasters_that_is_a_text_is_refused_by_name(padding: str, later: bool) -> None:
    model = Lifted() if later else Lifted(padding=padding)
    if later:
        model.conv.padding = padding  # which torch takes, and Norse's constructor does not
    (finding,) = refusal(model.eval(), spikes(12, 2, 2, 7, 6), error=UnsupportedError)
    assert (finding.kind, finding.where) == ("conv_padding", "conv")
    assert "as a text" in finding.message
    assert "as numbers" in finding.fix


WITH_REMEDY = {
    nn.LayerNorm: "BatchNorm", nn.Softmax: "leave it out of the model", nn.Sigmoid: "ReLU",
    nn.ConvTranspose2d: "as channels", nn.Upsample: "as channels",
}  # fmt: skip


@pytest.mark.parametrize("kind", WITH_REMEDY, ids=lambda kind: kind.__name__)
def test_a_layer_that_no_graph_has_is_refused_with_what_to_do_instead(kind: type[nn.Module]) -> None:
    made = {
        nn.LayerNorm: lambda: kind(4),
        nn.ConvTranspose2d: lambda: kind(2, 2, 2),
        nn.Upsample: lambda: kind(None, 2),
    }
    layer = made.get(kind, kind)()
    shape = (2, 4, 4) if kind in (nn.ConvTranspose2d, nn.Upsample) else (4,)
    (finding,) = refusal(nn.Sequential(nn.Identity(), layer).eval(), spikes(3, 2, *shape))
    assert (finding.kind, finding.where) == ("module", "1")
    assert WITH_REMEDY[kind] in finding.fix


def test_pooling_with_indices_is_refused_by_name() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.MaxPool2d(2, return_indices=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.pool(x)[0]

    (finding,) = refusal(Pooled(), spikes(3, 2, 2, 4, 4))
    assert (finding.kind, finding.where) == ("pool_dilation", "pool")


@pytest.mark.parametrize("layer", [nn.Conv2d(4, 3, 3), nn.AvgPool2d(2), nn.MaxPool2d(2), nn.LPPool2d(1, 2)])
def test_maps_need_lift_where_time_stands_before_the_batch(layer: nn.Module) -> None:
    """torch would take [T, B, H, W] for [batch, channels, H, W]."""
    model = snn.SequentialState(layer, snn.LIF()).eval()
    (finding,) = refusal(model, spikes(5, 4, 6, 6))
    assert (finding.kind, finding.where) == ("time_axis", "0")
    assert "Lift" in finding.fix


def test_batch_norm_on_a_raster_needs_lift() -> None:
    model = snn.SequentialState(nn.Linear(4, 4), nn.BatchNorm1d(5), snn.LIF()).eval()
    (finding,) = refusal(model, spikes(3, 5, 4))
    assert (finding.kind, finding.where) == ("time_axis", "1")


def test_a_flatten_of_time_is_refused() -> None:
    model = snn.SequentialState(nn.Flatten(1), snn.LIF()).eval()
    (finding,) = refusal(model, spikes(3, 5, 4))
    assert finding.kind == "flatten_axes"
    assert finding.fix == "use start_dim=2"
