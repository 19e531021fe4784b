"""The examples, exported as a user does it: every layer fires, every spike is equal, and nir reads the file."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import nir
import numpy as np
import pytest
import torch

import norse_export
from norse_export.interpret import interpret
from norse_export.passes.discretise import discretise

pytestmark = pytest.mark.usefixtures("parsed_here")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def _exported(here: Callable[..., Any], tmp_path: Path, model: Path, *more: object) -> dict[str, Any]:
    ended = here(model, "--target", "nir", "-o", tmp_path / "out.nir", "--json", *more)
    assert ended.code == 0, ended.err
    document = json.loads(ended.out)
    assert document["status"] == "ok"
    return document["result"]["parity"][0]


def _layers(parity: dict[str, Any]) -> list[dict[str, Any]]:
    """The layers of neurons."""
    return [layer for layer in parity["layers"] if layer["spikes_expected"]]


@pytest.mark.parametrize(("example", "layers", "spikes"), [("digits", 3, 10_000), ("tutorial", 2, 100_000)])
def test_every_spike_of_an_example_is_equal(
    example: str, layers: int, spikes: int, here: Callable[..., Any], tmp_path: Path
) -> None:
    parity = _exported(here, tmp_path, EXAMPLES / example / "model.pt")
    assert parity["equal"]
    assert not parity["vacuous"]
    assert sum(layer["differing"] for layer in parity["layers"]) == 0
    assert len(_layers(parity)) == layers
    assert sum(layer["spikes_expected"] for layer in _layers(parity)) >= spikes
    graph = nir.read(tmp_path / "out.nir")  # the type check is on by default
    assert {"CubaLIF", "Conv2d"} <= {type(node).__name__ for node in graph.nodes.values()}


def test_the_digits_are_equal_and_right_on_all_test_images(here: Callable[..., Any], tmp_path: Path) -> None:
    digits = EXAMPLES / "digits"
    parity = _exported(here, tmp_path, digits / "model.pt", "--inputs", digits / "test.npz")
    assert sum(layer["spikes_expected"] for layer in _layers(parity)) >= 100_000
    assert all(layer["differing"] == 0 for layer in _layers(parity)) or parity["explained_flips"] > 0
    expected, actual = parity["accuracy"]
    assert expected == actual > 0.95


def _in_integers(here: Callable[..., Any], tmp_path: Path, example: str, *more: object) -> dict[str, Any]:
    ended = here(EXAMPLES / example / "model.pt", "--target", "sim", "-o", tmp_path / "out.sim", "--json", *more)
    assert ended.code == 0, ended.err
    return dict(json.loads(ended.out)["result"])


def test_digits_in_whole_numbers_of_8_bits_cost_at_most_a_point_of_accuracy(
    here: Callable[..., Any], tmp_path: Path
) -> None:
    result = _in_integers(here, tmp_path, "digits", "--inputs", EXAMPLES / "digits" / "test.npz")
    proof, price = result["parity"]
    assert (proof["rung"], proof["equal"], price["rung"]) == (3, True, 2)
    assert all(layer["differing"] == 0 for layer in proof["layers"])
    assert sum(layer["spikes_expected"] for layer in proof["layers"]) > 1_000_000
    expected, actual = price["accuracy"]
    assert actual >= expected - 0.01
    prices = {layer["node"]: layer for layer in result["targets"][0]["prices"]}
    assert all(prices[name]["spikes_before"] for name in ("1", "4", "7"))
    assert all(one["error_rms"] < 0.02 for layer in prices.values() for one in layer["projections"])


def test_the_tutorial_in_whole_numbers_is_proved_and_priced(here: Callable[..., Any], tmp_path: Path) -> None:
    proof, price = _in_integers(here, tmp_path, "tutorial")["parity"]
    assert proof["equal"]
    layers = {layer["node"]: layer for layer in price["layers"] if layer["spikes_expected"]}
    assert len(layers) == 2
    assert all(layer["jaccard"] > 0.5 for layer in layers.values())


MEMORY = EXAMPLES / "memory"
SEQUENCES = MEMORY / "test.npz"


def _script(name: str) -> ModuleType:
    """A script of the memory example."""
    spec = importlib.util.spec_from_file_location(f"example_memory_{name}", MEMORY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _in_norse() -> tuple[torch.Tensor, torch.Tensor, float]:
    """Outputs and spikes [T, B, N] of the trained network in Norse itself on the held-out sequences; their accuracy."""
    train, trained = _script("train"), norse_export.load(MEMORY / "model.pt")
    model = train.build()
    with np.load(SEQUENCES) as stored, torch.no_grad():
        held_out = sys.modules["task"].asked(torch.from_numpy(stored["input"]).float())
        for name, weight in model.named_parameters():
            weight.copy_(torch.tensor(trained.graph.nodes[name].weight))
        outputs, spikes = train.unrolled(model, held_out.raster)
    return outputs, spikes, train.accuracy(outputs, held_out)


def _recorded(here: Callable[..., Any], trace: Path, file: Path) -> dict[str, Any]:
    """What `norse-export run` records on the held-out sequences, by node."""
    ended = here("run", file, "--inputs", SEQUENCES, "-o", trace)
    assert ended.code == 0, ended.err
    return dict(nir.read_data(trace).nodes)


def test_the_memory_recalls_more_than_95_percent_as_in_norse(here: Callable[..., Any], tmp_path: Path) -> None:
    nodes = _recorded(here, tmp_path / "trace.nir", MEMORY / "model.pt")
    _, spikes, accuracy = _in_norse()
    assert _script("recall").recalled_share(tmp_path / "trace.nir", SEQUENCES) == accuracy > 0.95
    differing = (nodes["0"].observables["spikes"].data.swapaxes(0, 1) != spikes.numpy().astype(bool)).sum()
    assert spikes.sum() > 50_000
    assert differing == 0


def test_the_memory_asks_in_its_spikes_for_what_norses_task_asks() -> None:
    task = _script("task")
    drawn = task.sequences(64, seed=3)
    asked = task.asked(drawn.raster)
    assert torch.equal(asked.bits, drawn.bits)
    assert torch.equal(asked.recall, drawn.recall)
    assert 0 < drawn.bits.sum() < 64


def test_the_memory_is_run_without_a_differing_spike_on_its_stored_sequences() -> None:
    trained = norse_export.load(MEMORY / "model.pt")
    assert trained.stored is not None
    rasters, truth = trained.stored
    run = interpret(discretise(trained.graph), rasters)
    assert truth.run.spikes["0"].sum() > 1000
    np.testing.assert_array_equal(run.spikes["0"], truth.run.spikes["0"])


def test_nir_cannot_hold_the_memory_and_says_so(here: Callable[..., Any], tmp_path: Path) -> None:
    ended = here(MEMORY / "model.pt", "--target", "nir", "-o", tmp_path / "out.nir")
    assert ended.code == 3
    assert "LSNN" in ended.err
    assert "where: 0" in ended.err
    assert not (tmp_path / "out.nir").exists()


def test_the_memory_remembers_in_whole_numbers(here: Callable[..., Any], tmp_path: Path) -> None:
    proof, price = _in_integers(here, tmp_path, "memory")["parity"]
    assert (proof["rung"], proof["equal"], price["rung"]) == (3, True, 2)
    assert sum(layer["spikes_expected"] or 0 for layer in proof["layers"]) > 1000
    _recorded(here, tmp_path / "trace.nir", tmp_path / "out.sim")
    assert _script("recall").recalled_share(tmp_path / "trace.nir", SEQUENCES) > 0.95
