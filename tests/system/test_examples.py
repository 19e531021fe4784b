"""The examples, exported as a user does it: every layer fires, every spike is equal, and nir reads the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def _exported(cli: Callable[..., Any], tmp_path: Path, model: Path, *more: object) -> dict[str, Any]:
    ended = cli(model, "--target", "nir", "-o", tmp_path / "out.nir", "--json", *more)
    assert ended.code == 0, ended.err
    document = json.loads(ended.out)
    assert document["status"] == "ok"
    return document["result"]["parity"][0]


@pytest.mark.parametrize("example", ["digits", "tutorial"])
def test_every_spike_of_an_example_is_equal(example: str, cli: Callable[..., Any], tmp_path: Path) -> None:
    parity = _exported(cli, tmp_path, EXAMPLES / example / "model.pt")
    layers = [layer for layer in parity["layers"] if layer["spikes_expected"]]
    assert parity["equal"]
    assert not parity["vacuous"]
    assert sum(layer["differing"] for layer in parity["layers"]) == 0
    assert len(layers) == {"digits": 3, "tutorial": 2}[example]
    graph = nir.read(tmp_path / "out.nir")  # the type check is on by default
    assert {"CubaLIF", "Conv2d"} <= {type(node).__name__ for node in graph.nodes.values()}


@pytest.mark.parametrize("example", ["digits", "tutorial"])
def test_an_example_compares_enough_spikes(example: str, cli: Callable[..., Any], tmp_path: Path) -> None:
    inputs = ("--inputs", EXAMPLES / "digits" / "test.npz") if example == "digits" else ()
    parity = _exported(cli, tmp_path, EXAMPLES / example / "model.pt", *inputs)
    spikes = sum(layer["spikes_expected"] for layer in parity["layers"])
    neuron_layers = [layer for layer in parity["layers"] if layer["spikes_expected"]]
    assert spikes >= 100_000
    assert all(layer["differing"] == 0 for layer in neuron_layers) or parity["explained_flips"] > 0
    if example == "digits":
        expected, actual = parity["accuracy"]
        assert expected == actual > 0.95


def _in_integers(cli: Callable[..., Any], tmp_path: Path, example: str, *more: object) -> dict[str, Any]:
    ended = cli(EXAMPLES / example / "model.pt", "--target", "sim", "-o", tmp_path / "out.sim", "--json", *more)
    assert ended.code == 0, ended.err
    return dict(json.loads(ended.out)["result"])


def test_digits_in_whole_numbers_of_8_bits_cost_at_most_a_point_of_accuracy(
    cli: Callable[..., Any], tmp_path: Path
) -> None:
    result = _in_integers(cli, tmp_path, "digits", "--inputs", EXAMPLES / "digits" / "test.npz")
    proof, price = result["parity"]
    assert (proof["rung"], proof["equal"], price["rung"]) == (3, True, 2)
    assert all(layer["differing"] == 0 for layer in proof["layers"])
    assert sum(layer["spikes_expected"] for layer in proof["layers"]) > 1_000_000
    expected, actual = price["accuracy"]
    assert actual >= expected - 0.01
    prices = {layer["node"]: layer for layer in result["targets"][0]["prices"]}
    assert all(prices[name]["spikes_before"] for name in ("1", "4", "7"))
    assert all(one["error_rms"] < 0.02 for layer in prices.values() for one in layer["projections"])


def test_the_tutorial_in_whole_numbers_is_proved_and_priced(cli: Callable[..., Any], tmp_path: Path) -> None:
    proof, price = _in_integers(cli, tmp_path, "tutorial")["parity"]
    assert proof["equal"]
    layers = {layer["node"]: layer for layer in price["layers"] if layer["spikes_expected"]}
    assert len(layers) == 2
    assert all(layer["jaccard"] > 0.5 for layer in layers.values())
