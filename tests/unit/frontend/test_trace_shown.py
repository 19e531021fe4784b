"""One image that a model shows at every step by itself: its graph takes the image at each step, and does the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from torch import nn
from traced_models import Stepped, assert_replayed, on_grid, refusal, same, seeded

from norse_export.errors import ExportError, UnsupportedError, UsageError
from norse_export.frontend.replay import replay
from norse_export.frontend.trace import rerun, trace
from norse_export.interpret import interpret
from norse_export.ir.doubts import IMAGES, READOUTS, doubts
from norse_export.passes.discretise import discretise

T = 14
IMAGE = torch.rand((3, 8), generator=torch.Generator().manual_seed(0))
MAPS = torch.rand((3, 1, 6, 6), generator=torch.Generator().manual_seed(1))
Run = Callable[[Any, torch.Tensor], Any]
PLAIN = ["input", "layer", "cell", "readout", "leaky", "output"]


class Shown(Stepped):
    """Two layers, and what a forward of the user's does with them."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.layer, self.other, self.readout = nn.Linear(8, 6), nn.Linear(8, 3), nn.Linear(6, 3)
        self.norm, self.back, self.run, self.leaky = nn.BatchNorm1d(6), nn.Linear(6, 6), run, snn.LICell()
        self.cell, self.second, self.whole, self.held = snn.LIFCell(), snn.LIFCell(), snn.LIF(), snn.LI()


def _each_time(m: Any, x: torch.Tensor) -> torch.Tensor:
    states, outputs = (None, None), []
    for _ in range(T):
        v, states = m.step(m.layer(x), states)
        outputs.append(v)
    return torch.stack(outputs)


def _ahead(m: Any, x: torch.Tensor) -> torch.Tensor:
    states, outputs, current = (None, None), [], m.layer(x)
    for _ in range(T):
        v, states = m.step(current, states)
        outputs.append(v)
    return torch.stack(outputs)


def _started(m: Any, x: torch.Tensor) -> torch.Tensor:
    states, outputs = (None, None), []
    for _ in range(T):
        if states[0] is None:
            states = (m.cell.initial_state(m.layer(x)), None)
        v, states = m.step(m.layer(x), states)
        outputs.append(v)
    return torch.stack(outputs)


def _over(m: Any, raster: torch.Tensor) -> torch.Tensor:
    states, outputs = (None, None), []
    for part in raster:
        v, states = m.step(m.layer(part), states)
        outputs.append(v)
    return torch.stack(outputs)


def _raster(m: Any, raster: torch.Tensor) -> torch.Tensor:
    return m.held(m.readout(m.whole(m.layer(raster))[0]))[0]


def _beside(m: Any, x: torch.Tensor) -> torch.Tensor:
    """A branch of the image alone, first used in the middle of a step."""
    a = b = None
    outputs = []
    for _ in range(T):
        z, a = m.cell(m.layer(x), a)
        y, b = m.second(m.readout(z) + m.other(x), b)
        outputs.append(y)
    return torch.stack(outputs)


def _two_loops(m: Any, x: torch.Tensor) -> torch.Tensor:
    a = b = None
    spikes, outputs = [], []
    for _ in range(T):
        z, a = m.cell(m.layer(x), a)
        spikes.append(z)
    for z in spikes:
        v, b = m.leaky(m.readout(z), b)
        outputs.append(v)
    return torch.stack(outputs)


def _steps_of_functions(m: Any, x: torch.Tensor) -> torch.Tensor:
    state = snn.LIFFeedForwardState(torch.zeros(len(x), 6, dtype=x.dtype), torch.zeros(len(x), 6, dtype=x.dtype))
    outputs = []
    for _ in range(T):
        z, state = snn.lif_feed_forward_step(m.layer(x), state, snn.LIFParameters())
        outputs.append(z)
    return torch.stack(outputs)


FORMS: dict[str, tuple[Run, list[str]]] = {
    "a layer at each step": (_each_time, PLAIN),
    "a layer ahead of the loop": (_ahead, PLAIN),
    "a first state of a layer's shape": (_started, PLAIN),
    "repeat": (lambda m, x: _over(m, x.unsqueeze(0).repeat(T, 1, 1)), PLAIN),
    "repeat with a new axis": (lambda m, x: _over(m, x.repeat(T, 1, 1)), PLAIN),
    "expand": (lambda m, x: _over(m, x[None].expand(T, *x.shape)), PLAIN),
    "stack": (lambda m, x: _over(m, torch.stack([x] * T)), PLAIN),
    "cat": (lambda m, x: _over(m, torch.cat([x.unsqueeze(0) for _ in range(T)])), PLAIN),
    "repeat_interleave": (lambda m, x: _over(m, x.unsqueeze(0).repeat_interleave(T, 0)), PLAIN),
    "whole rasters": (
        lambda m, x: _raster(m, x.expand(T, -1, -1)),
        ["input", "layer", "whole", "readout", "held", "output"],
    ),
    "what a layer gives, repeated": (
        lambda m, x: m.whole(m.layer(x).unsqueeze(0).repeat(T, 1, 1))[0],
        ["input", "layer", "whole", "output"],
    ),
    "a branch of the image": (_beside, ["input", "layer", "cell", "readout", "other", "add", "second", "output"]),
    "two loops": (_two_loops, PLAIN),
    "steps of functions": (_steps_of_functions, ["input", "layer", "lif", "output"]),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_image_that_the_model_shows_is_the_input_at_each_step(name: str, dtype: torch.dtype) -> None:
    run, nodes = FORMS[name]
    model, image = on_grid(seeded(Shown(run), gain=6.0)).to(dtype), torch.round(IMAGE * 64).to(dtype) / 64
    traced = same(model, image, exact=True)
    assert list(traced.graph.nodes) == nodes
    assert not any(edge.delay_steps for edge in traced.graph.edges)
    assert traced.graph.metadata[IMAGES] == '["input"]'
    assert traced.images == ("input",)
    assert traced.time == "inside"
    assert np.array_equal(traced.inputs["input"], image.expand(T, 3, 8).numpy())
    assert any("one image, which it shows at every step" in finding.message for finding in doubts(traced.graph))


def test_another_image_is_shown_as_the_model_does() -> None:
    model = seeded(Shown(_each_time), gain=6.0)
    traced, graph = trace(model, IMAGE), discretise(trace(model, IMAGE).graph)
    other = {"input": np.repeat(np.random.default_rng(3).random((1, 2, 8), dtype=np.float32), T, 0)}
    run = rerun(model, traced, other)
    assert run.spikes["cell"].any()
    assert_replayed(run, replay(graph, other))
    assert np.array_equal(run.spikes["cell"], interpret(graph, other).spikes["cell"])


@pytest.mark.parametrize(("raster", "words"), [(slice(5), "5 steps"), (None, "images that change")])
def test_a_model_that_shows_one_image_cannot_be_run_on_others(raster: slice | None, words: str) -> None:
    model = seeded(Shown(_each_time), gain=6.0)
    traced = trace(model, IMAGE)
    changed = np.random.default_rng(0).random((T, 3, 8), dtype=np.float32)
    inputs = {"input": changed if raster is None else traced.inputs["input"][raster]}
    with pytest.raises(UsageError, match=words) as caught:
        rerun(model, traced, inputs)
    assert caught.value.findings[0].kind == "images"
    assert str(T) in caught.value.findings[0].fix


def test_an_encoder_that_is_not_used_shows_nothing() -> None:
    class Unused(Shown):
        def __init__(self) -> None:
            super().__init__(_each_time)
            self.encoder = snn.ConstantCurrentLIFEncoder(T)

    model = seeded(Unused(), gain=6.0)
    traced = trace(model, IMAGE)
    assert traced.own == ("input",)
    for raster, words in (
        (traced.inputs["input"][:5], "5 steps"),
        (np.random.default_rng(0).random((T, 3, 8), dtype=np.float32), "images that change"),
    ):
        with pytest.raises(UsageError, match=words):
            rerun(model, traced, {"input": raster})


class Mixed(nn.Module):
    """Two images: an encoder shows one of them, and the model the other."""

    def __init__(self, turned: bool) -> None:
        super().__init__()
        self.encoder, self.layer, self.other = snn.ConstantCurrentLIFEncoder(T), nn.Linear(8, 6), nn.Linear(8, 6)
        self.cell, self.turned = snn.LIF(), turned

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        image, encoded = (a, self.encoder(b)) if self.turned else (b, self.encoder(a))
        return self.cell(self.layer(encoded) + self.other(image).unsqueeze(0).repeat(T, 1, 1))[0]


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_images_the_one_that_the_model_shows_may_not_change(turned: bool) -> None:
    model = seeded(Mixed(turned), gain=6.0)
    traced, rng = trace(model, (IMAGE * 30, IMAGE)[:: -1 if turned else 1]), np.random.default_rng(0)
    encoded, own = ("b", "a") if turned else ("a", "b")
    assert (set(traced.images), traced.own) == ({"a", "b"}, (own,))
    changed = rng.random((T, 3, 8), dtype=np.float32)
    with pytest.raises(UsageError, match="images that change") as caught:
        rerun(model, traced, {**traced.inputs, own: changed})
    assert caught.value.findings[0].where == own
    other = {**traced.inputs, encoded: 30 * changed}
    run = rerun(model, traced, other)
    assert run.spikes["cell"].any()
    assert np.array_equal(run.spikes["cell"], interpret(discretise(traced.graph), other).spikes["cell"])


@pytest.mark.parametrize("turned", [False, True])
def test_what_an_encoder_gives_beside_an_image_is_a_raster(turned: bool) -> None:
    model = seeded(Mixed(turned), gain=6.0)
    traced = trace(model, (IMAGE * 30, IMAGE)[:: -1 if turned else 1], encoders="boundary")
    encoded, own = ("b", "a") if turned else ("a", "b")
    assert {name: raster.shape for name, raster in traced.inputs.items()} == {"a": (T, 3, 8), "b": (T, 3, 8)}
    assert traced.images == traced.own == (own,)
    assert list(traced.encoded) == [encoded]
    run = rerun(model, traced, traced.inputs)
    found = interpret(discretise(traced.graph), traced.inputs)
    for spikes in (run.spikes["cell"], found.spikes["cell"]):
        assert np.array_equal(spikes, traced.reference.spikes["cell"])
    assert run.spikes["cell"].any()


def test_a_normalised_layer_of_the_image_is_one_layer() -> None:
    def run(m: Any, x: torch.Tensor) -> torch.Tensor:
        state, outputs = None, []
        for _ in range(T):
            z, state = m.cell(m.norm(m.layer(x)), state)
            outputs.append(z)
        return torch.stack(outputs)

    traced = trace(seeded(Shown(run), gain=6.0), IMAGE)
    assert list(traced.graph.nodes) == ["input", "layer", "cell", "output"]
    assert np.array_equal(
        interpret(discretise(traced.graph), traced.inputs).spikes["cell"], traced.reference.spikes["cell"]
    )


def test_a_readout_of_all_steps_is_told() -> None:
    traced = same(seeded(Shown(lambda m, x: _each_time(m, x).max(0).values), gain=6.0), IMAGE)
    assert traced.graph.metadata[READOUTS] == '{"output": "max"}'
    assert traced.reference.outputs["output"].shape == (T, 3, 3)


def _late(m: Any, x: torch.Tensor) -> torch.Tensor:
    state, outputs, z = None, [], torch.zeros(len(x), 6)
    for _ in range(T):
        z, state = m.cell(m.layer(x) + m.back(z), state)
        outputs.append(z)
    return torch.stack(outputs)


def _growing(m: Any, x: torch.Tensor) -> torch.Tensor:
    state, outputs = None, []
    for t in range(T):
        z, state = m.cell(m.layer(x) * (1.0 + t), state)
        outputs.append(z)
    return torch.stack(outputs)


def _dimmed(m: Any, x: torch.Tensor) -> torch.Tensor:
    state, outputs = None, []
    for t in range(T):
        z, state = m.cell(m.layer(x) if t < 5 else m.layer(x) * 0.5, state)
        outputs.append(z)
    return torch.stack(outputs)


@pytest.mark.parametrize("run", [_late, _growing, _dimmed])
def test_steps_that_differ_are_refused(run: Run) -> None:
    findings = refusal(seeded(Shown(run), gain=6.0), IMAGE, error=UnsupportedError)
    assert [finding.kind for finding in findings] == ["control_flow"]
    assert "repeat the image first" in findings[0].fix


def test_feedback_is_exported_where_the_image_is_repeated_as_the_remedy_says() -> None:
    def run(m: Any, x: torch.Tensor) -> torch.Tensor:
        state, outputs, z = None, [], torch.zeros(len(x), 6)
        for part in x.unsqueeze(0).expand(T, *x.shape):
            z, state = m.cell(m.layer(part) + m.back(z), state)
            outputs.append(z)
        return torch.stack(outputs)

    graph = same(on_grid(seeded(Shown(run), gain=6.0)), torch.round(IMAGE * 64) / 64, exact=True).graph
    assert [(e.source, e.target) for e in graph.edges if e.delay_steps] == [("cell", "back")]


def test_a_raster_without_a_batch_axis_is_no_image() -> None:
    findings = refusal(seeded(Shown(lambda m, x: m.cell(m.layer(x))[0])), IMAGE)
    assert "the two axes of (3, 8) are time and batch" in findings[0].message
    assert "unsqueeze(1)" in findings[0].fix
    with pytest.raises(ExportError):
        trace(seeded(Shown(lambda m, x: m.whole(m.layer(x).unsqueeze(0))[0])), IMAGE)


def test_samples_are_no_steps() -> None:
    """A raster repeated along the batch is not shown at every step."""
    findings = refusal(seeded(Shown(lambda m, x: m.whole(m.layer(x).repeat(2, 1))[0])), IMAGE)
    assert findings[0].kind in ("operation", "linear_axes")
