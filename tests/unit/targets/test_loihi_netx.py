"""What netx makes of a .net file, its defects by name, and files that are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from net_files import NEURON, conv, dense, write_net

from norse_export.errors import (
    ExportError,
    GraphError,
    InputFileError,
    LimitError,
    UnsafeFileError,
    UnsupportedError,
    UsageError,
)
from norse_export.files.limits import Limits
from norse_export.targets.loihi import emulate, emulate_net
from norse_export.targets.loihi.law import effective_weights, sign_mode_of
from norse_export.targets.loihi.netx import load_net, optimised

pytestmark = pytest.mark.bulk  # the default suite has the recordings, and whole exports

W = np.array([[2, -6, 40], [64, -128, 8]])
RASTER = np.random.default_rng(7).random((30, 3)) < 0.4
IMAGES = np.random.default_rng(8).random((12, 4, 3, 1)) < 0.4  # (W, H, C)
KERNEL = np.array([[[[30, -20], [64, 90]]]])


def loaded_effect(weight: Any) -> Any:
    """The weights that a synapse of netx adds, its exponent included."""
    used, bits, exponent = optimised(np.asarray(weight))
    effective = effective_weights(used, sign_mode_of(used), bits)
    return effective >> -exponent if exponent < 0 else effective << exponent


def run(path: Path, layers: list[dict[str, Any]], raster: Any = RASTER) -> list[dict[str, Any]]:
    return emulate_net(write_net(path / "a.net", layers), raster)


def same(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> bool:
    return all(np.array_equal(x[key], y[key]) for x, y in zip(a, b, strict=True) for key in "uvs")


# Weights


@pytest.mark.parametrize("seed", range(20))
def test_an_ordinary_dense_layer_is_loaded_without_loss(seed: int) -> None:
    rng = np.random.default_rng(seed)
    top = int(rng.integers(3, 128))
    mixed = 2 * rng.integers(-top, top, (4, 5))
    mixed[0, :2] = 1 - top, top - 1
    positive, negative = rng.integers(1, 256, (4, 5)), -rng.integers(3, 256, (4, 5))
    negative[0, 0] = -3 * (1 << int(rng.integers(0, 7)))
    negative = np.maximum(negative, negative[0, 0])
    for weight in (mixed, positive, negative):
        assert np.array_equal(loaded_effect(weight), weight)


def test_odd_mixed_weights_are_kept_up_to_127_and_beyond_take_9_bits() -> None:
    small, large = np.array([[127, -3]]), np.array([[129, -3]])
    assert np.array_equal(loaded_effect(small), small)
    assert optimised(small)[1] == 8
    assert np.array_equal(loaded_effect(large), large)
    assert optimised(large)[1] == 9


def test_mixed_weights_are_clipped() -> None:
    assert loaded_effect([[300, -2]]).tolist() == [[254, -2]]
    assert loaded_effect([[300, -300]]).tolist() == [[254, -256]]
    assert loaded_effect([[2, -300]]).tolist() == [[2, -256]]


@pytest.mark.parametrize("least", [-1, -4, -64, -256])
def test_a_layer_of_negative_weights_with_a_power_of_two_as_least_is_dead(least: int) -> None:
    assert not loaded_effect([[least, least]]).any()


def test_a_power_of_two_is_halved_where_the_greatest_weight_is_0() -> None:
    assert loaded_effect([[-128, 0]]).tolist() == [[-64, 0]]
    assert loaded_effect([[-96, 0]]).tolist() == [[-96, 0]]


def test_excitatory_weights_beyond_255_load_as_zeros() -> None:
    assert loaded_effect([[256, 1]]).tolist() == [[0, 0]]
    assert loaded_effect([[255, 1]]).tolist() == [[255, 1]]


# Layers


def test_a_dense_layer_is_lavas_with_the_bias_shifted_by_6(tmp_path: Path) -> None:
    bias = np.array([3.9, -7.0])
    given = {"W": W, "du": 1023, "dv": 128, "vth": 80, "bias_mant": [3, -7], "bias_exp": 6}
    assert same(run(tmp_path, [dense(W, bias=bias)]), emulate([given], RASTER))


def test_fractions_of_weights_are_cut_off(tmp_path: Path) -> None:
    assert same(run(tmp_path, [dense(W + np.sign(W) * 0.9)]), run(tmp_path, [dense(W)]))


def test_no_current_decay_gives_the_register_no_chip_has(tmp_path: Path) -> None:
    layer = dense(W, neuron=dict(NEURON, iDecay=0))
    assert same(run(tmp_path, [layer]), emulate([{"W": W, "du": -1, "dv": 128, "vth": 80}], RASTER))


def test_a_dense_layer_without_neurons_integrates_up_to_2_to_the_17(tmp_path: Path) -> None:
    given = {"W": W, "du": -1, "dv": 4096, "vth": 1 << 17}
    assert same(run(tmp_path, [dense(W, neuron=None)]), emulate([given], RASTER))


def test_thresholds_may_differ_between_neurons(tmp_path: Path) -> None:
    layer = dense(W, neuron=dict(NEURON, vThMant=np.array([20, 900])))
    assert same(run(tmp_path, [layer]), emulate([{"W": W, "du": 1023, "dv": 128, "vth": [20, 900]}], RASTER))


def test_flat_weights_are_a_matrix(tmp_path: Path) -> None:
    layer = dense(W) | {"weight": W.reshape(-1).astype(np.float32)}
    assert same(run(tmp_path, [layer]), run(tmp_path, [dense(W)]))


@pytest.mark.parametrize(
    ("delay", "expected"),
    [
        (3, np.full((2, 3), 3)),
        ([1, 4], [[1, 1, 1], [4, 4, 4]]),
        ([0, 2, 5], [[0, 2, 5], [0, 2, 5]]),
        ([1.9, 70], [[1, 1, 1], [62, 62, 62]]),
    ],
    ids=["one", "destinations", "sources", "floor and clip"],
)
def test_delays_stand_for_destinations_or_sources(delay: Any, expected: Any, tmp_path: Path) -> None:
    (layer,) = load_net(write_net(tmp_path / "a.net", [dense(W, delay=np.asarray(delay))]), Limits()).layers
    assert np.array_equal(layer.forward.delays, expected)


def test_with_as_many_inputs_as_neurons_delays_stand_for_destinations(tmp_path: Path) -> None:
    net = [dense([[2, -6], [64, -128]], delay=np.array([1, 4]))]
    (layer,) = load_net(write_net(tmp_path / "a.net", net), Limits()).layers
    assert layer.forward.delays is not None
    assert layer.forward.delays.tolist() == [[1, 1], [4, 4]]


def test_a_recurrent_layer_scales_each_of_its_matrices(tmp_path: Path) -> None:
    recurrent = np.array([[2, -4], [6, 8]])
    net = [dense(W) | {"type": "dense_rec", "weight_rec": recurrent.astype(np.float32)}]
    given = {"W": W, "R": recurrent, "du": 1023, "dv": 128, "vth": 80}
    assert same(run(tmp_path, net), emulate([given], RASTER))


def test_a_convolution_is_lavas_and_its_delay_is_not_read(tmp_path: Path) -> None:
    net = [
        {"type": "input", "shape": np.array([1, 3, 4])},
        conv(KERNEL[..., np.newaxis], [1, 2, 3], bias=np.array([5.0]), delay=np.array(4)),
        {"type": "flatten", "shape": np.array([6])},
        dense(np.arange(12).reshape(2, 6)),
    ]
    neurons = {"du": 1023, "dv": 128, "vth": 80}
    kernel = KERNEL[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
    given = [
        {"syn": "conv", "W": kernel, "bias_mant": 5, "bias_exp": 6, **neurons},
        {"W": np.arange(12).reshape(2, 6), **neurons},
    ]
    actual = run(tmp_path, net, IMAGES)
    assert same(actual, emulate(given, IMAGES))
    assert actual[0]["s"].shape == (12, 3, 2, 1)


def test_a_group_simulation_and_unknown_datasets_are_not_read(tmp_path: Path) -> None:
    path = write_net(tmp_path / "a.net", [dense(W, inFeatures=3, weight_exp="text")])
    with h5py.File(path, "a") as file:
        file["simulation/dt"] = 1
    assert same(emulate_net(path, RASTER), run(tmp_path, [dense(W)]))


def test_a_loop_of_zeros_loads_beside_other_weights_and_does_nothing(tmp_path: Path) -> None:
    """netx derives bits and exponent from both matrices together: seen to load in lava-dl 0.6.0."""
    loop = run(tmp_path, [dense(W) | {"type": "dense_rec", "weight_rec": np.zeros((2, 2))}])
    plain = run(tmp_path, [dense(W)])
    assert all(np.array_equal(loop[0][name], plain[0][name]) for name in ("u", "v", "s"))
    assert loop[0]["s"].any()


# Refusals

NETS: dict[str, tuple[list[dict[str, Any]], type[ExportError], str]] = {
    "zeros": ([dense(W * 0)], UnsupportedError, "all weights are 0"),
    "recurrent zeros": (
        [dense(W * 0) | {"type": "dense_rec", "weight_rec": np.zeros((2, 2))}],
        UnsupportedError,
        "all weights are 0",
    ),
    "messageBits": ([dense(W, neuron=dict(NEURON, messageBits=8))], UnsupportedError, "messageBits"),
    "SDNN": ([dense(W, neuron=dict(NEURON, type="SDNN"))], UnsupportedError, "'SDNN'"),
    "fraction": ([dense(W, neuron=dict(NEURON, vThMant=80.5))], UnsupportedError, "vThMant is not whole"),
    "two decays": ([dense(W, neuron=dict(NEURON, iDecay=np.array([1, 2])))], UnsupportedError, "differ between"),
    "input neuron": ([{"type": "input", "shape": np.array([3]), "neuron": NEURON}], UnsupportedError, "input layer"),
    "late input": ([dense(W), {"type": "input", "shape": np.array([3])}], UnsupportedError, "behind others"),
    "pool": ([dense(W), {"type": "pool"}], UnsupportedError, "'pool'"),
    "unknown": ([{"type": "attention"}], UnsupportedError, "'attention'"),
    "complex": ([dense(W) | {"weight": {"real": W, "imag": W}}], UnsupportedError, "complex"),
    "late conv": ([dense(W), conv(KERNEL, [1, 2, 3])], UnsupportedError, "behind a dense"),
    "flatten first": ([{"type": "flatten"}, dense(W)], UnsupportedError, "without images"),
    "no flatten": ([conv(KERNEL, [1, 2, 3]), dense(W)], UnsupportedError, "without flatten"),
    "bare conv": ([conv(KERNEL, [1, 2, 3], neuron=None)], UnsupportedError, "without neurons"),
    "delay axes": ([dense(W, delay=np.ones((2, 3)))], UnsupportedError, "delays of shape"),
    "negative delay": ([dense(W, delay=-1)], UnsupportedError, "from -1"),
    "delays": ([dense(W, delay=np.ones(5))], GraphError, "5 delays"),
    "recurrent delay": ([dense(W, delay=1) | {"type": "dense_rec", "weight_rec": W}], UnsupportedError, "delays in"),
    "shape": ([dense(W, shape=np.array([3]))], GraphError, "the layer has 3 neurons"),
    "kernel": ([conv(KERNEL[0], [1, 2, 3])], GraphError, "a kernel of shape"),
    "conv shape": ([conv(KERNEL, [1, 3, 2])], GraphError, "the layer is said to have shape"),
    "nan": ([dense(W) | {"weight": np.full((2, 3), np.nan)}], InputFileError, "beyond 32 bits"),
    "huge": ([dense(W) | {"weight": np.full((2, 3), 1e30)}], InputFileError, "beyond 32 bits"),
    "empty": ([dense(W) | {"weight": np.zeros((2, 0))}], InputFileError, "weight has shape"),
    "no weight": ([{"type": "dense", "shape": np.array([3])}], InputFileError, "weight is missing"),
    "no decay": ([dense(W, neuron={"type": "CUBA"})], InputFileError, "iDecay is missing"),
    "no size": ([dense(W, shape=np.array([0]))], InputFileError, "a shape"),
    "stride": ([conv(KERNEL, [1, 2, 3], stride=np.array([1, 1, 1]))], InputFileError, "3 numbers"),
    "stride 0": ([conv(KERNEL, [1, 2, 3], stride=np.array(0))], GraphError, "no convolution"),
    "endless": ([conv(KERNEL, [1, 2**20, 2**20], padding=np.array(2**19))], LimitError, "too large"),
    "text": ([dense(W, bias="three")], InputFileError, "a text, where numbers"),
    "no type": ([{"shape": np.array([3])}], InputFileError, "no type"),
    "no neurons": ([{"type": "input", "shape": np.array([3])}], InputFileError, "no layer"),
    "no layers": ([], InputFileError, "no layers under"),
}


@pytest.mark.parametrize("name", NETS)
def test_what_netx_cannot_load_is_refused_by_name(name: str, tmp_path: Path) -> None:
    layers, kind, message = NETS[name]
    spatial = any(layer.get("type") == "conv" for layer in layers[:1])
    with pytest.raises(ExportError, match=message) as caught:
        run(tmp_path, layers, IMAGES if spatial else RASTER)
    assert type(caught.value) is kind
    assert caught.value.where
    assert caught.value.fix


def test_a_raster_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    net = [{"type": "input", "shape": np.array([1, 3, 4])}, conv(KERNEL, [1, 2, 3])]
    for raster in (IMAGES.transpose(0, 2, 1, 3), RASTER):
        with pytest.raises(UsageError, match="wrong input shape") as caught:
            run(tmp_path, net, raster)
        assert caught.value.fix == "give [T, W, H, C] with (4, 3, 1)"
    with pytest.raises(UsageError, match="wrong input shape"):
        run(tmp_path, [dense(W)], IMAGES)
    with pytest.raises(GraphError, match=r"weights \(2, 3\) do not lead"):
        run(tmp_path, [dense(W)], RASTER[:, :2])


def renamed(file: h5py.File) -> None:
    file.move("layer/0", "layer/7")


def linked(file: h5py.File) -> None:
    file["layer/0/bias"] = h5py.SoftLink("/layer/0/shape")


def outside(file: h5py.File) -> None:
    file["layer/0/bias"] = h5py.ExternalLink("other.h5", "/bias")


def long_type(file: h5py.File) -> None:
    del file["layer/0/type"]
    file["layer/0/type"] = np.array([b"x" * 100])


def group_as_layer(file: h5py.File) -> None:
    del file["layer/0"]
    file["layer/0"] = 3


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (renamed, InputFileError),
        (linked, UnsafeFileError),
        (outside, UnsafeFileError),
        (long_type, ExportError),
        (group_as_layer, InputFileError),
    ],
    ids=["numbering", "soft link", "external link", "long type", "no group"],
)
def test_hostile_files_are_refused(
    damage: Callable[[h5py.File], None], kind: type[ExportError], tmp_path: Path
) -> None:
    path = write_net(tmp_path / "a.net", [dense(W)])
    with h5py.File(path, "a") as file:
        damage(file)
    with pytest.raises(kind) as caught:
        emulate_net(path, RASTER)
    assert caught.value.fix


@pytest.mark.parametrize("keep", [0, 10, 700, -1])
def test_truncated_files_and_others_are_refused(keep: int, tmp_path: Path) -> None:
    path = write_net(tmp_path / "a.net", [dense(W)])
    path.write_bytes(path.read_bytes()[:keep] if keep else b"text")
    with pytest.raises(InputFileError):
        emulate_net(path, RASTER)


def test_a_file_beyond_the_limits_is_refused_and_a_missing_one(tmp_path: Path) -> None:
    path = write_net(tmp_path / "a.net", [dense(W)])
    with pytest.raises(ExportError, match="too large"):
        emulate_net(path, RASTER, limits=Limits(max_objects=5))
    with pytest.raises(InputFileError, match="no such file"):
        emulate_net(tmp_path / "none.net", RASTER)
