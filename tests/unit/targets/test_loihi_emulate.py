"""Networks given as dicts: what is taken, what is refused, and the programs of the laws as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from norse_export.errors import ExportError, GraphError, UnsupportedError, UsageError
from norse_export.ir.fixed import Population
from norse_export.program.program import Family
from norse_export.targets.loihi import emulate
from norse_export.targets.loihi.emulation import prepare
from norse_export.targets.loihi.law import (
    LAVA_LIF,
    LAVA_LIF_RESET,
    LAVA_TERNARY,
    LAVA_TERNARY_UNSIGNED,
    SignMode,
    effective_weights,
    lava_bias,
    loihi1_lif,
)

W = np.array([[60, -40, 20], [8, 90, -70]])
LAYER: dict[str, Any] = {"W": W, "du": 400, "dv": 200, "vth": 60}
TERNARY: dict[str, Any] = {"W": W, "neuron": "TernaryLIF", "du": 1000, "dv": 200, "vth_hi": 40, "vth_lo": -20}
LOIHI1: dict[str, Any] = {
    "W": W * 64,
    "decay_u": [100, 200],
    "decay_v": [10, 20],
    "vth": [6000, 7000],
    "bias": [3, 4],
    "refract_delay": [1, 2],
    "vmin": 0,
    "vmax": 2**23 - 1,
}
RASTER = np.random.default_rng(3).random((40, 3)) < 0.5
IMAGES = np.random.default_rng(4).random((6, 4, 3, 2)) < 0.5
KERNEL = np.ones((1, 2, 2, 2), int)


def same(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> bool:
    return all(np.array_equal(x[key], y[key]) for x, y in zip(a, b, strict=True) for key in "uvs")


def test_a_result_is_of_the_types_and_shapes_that_are_promised() -> None:
    (states,) = emulate([LAYER], RASTER)
    assert {key: (str(value.dtype), value.shape) for key, value in states.items()} == {
        "u": ("int32", (40, 2)),
        "v": ("int32", (40, 2)),
        "s": ("int8", (40, 2)),
    }
    assert states["s"].any()
    (image,) = emulate([{"syn": "conv", "W": KERNEL, "vth": 1}], IMAGES)
    assert image["s"].shape == (6, 3, 2, 1)


def test_a_spike_arrives_a_step_after_it_was_sent_in_each_layer() -> None:
    raster = np.zeros((8, 1), bool)
    raster[2] = True
    layer = {"W": [[100]], "du": 4095, "dv": 4096, "vth": 50}
    sent = [np.flatnonzero(states["s"]).tolist() for states in emulate([layer] * 3, raster)]
    assert sent == [[3], [4], [5]]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float64])
def test_a_raster_may_be_of_any_type_that_holds_whole_numbers(dtype: type) -> None:
    assert same(emulate([LAYER], RASTER.astype(dtype)), emulate([LAYER], RASTER))


def test_without_message_bits_whatever_is_not_0_counts_as_1() -> None:
    graded = RASTER * np.array([5, -3, 1])
    assert same(emulate([LAYER], graded), emulate([LAYER], RASTER))
    assert not same(emulate([LAYER | {"num_message_bits": 8}], graded), emulate([LAYER], RASTER))


def test_keys_of_a_recording_are_known_and_change_nothing() -> None:
    recorded = {"n_spikes": 3, "recurrent": False, "shape": [2], "u": RASTER, "s": RASTER, "W_torch": W, "R": None}
    assert same(emulate([LAYER | recorded], RASTER), emulate([LAYER], RASTER))


def test_values_of_images_stand_in_lavas_layout() -> None:
    bias = np.arange(6).reshape(3, 2, 1)
    layer = {"syn": "conv", "W": KERNEL * 0, "dv": 4096, "vth": 3, "bias_mant": bias, "bias_exp": 6}
    (states,) = emulate([layer], IMAGES)
    assert np.array_equal(states["s"], np.broadcast_to(bias > 3, (6, 3, 2, 1)))
    with pytest.raises(GraphError, match="bias has shape"):
        emulate([layer | {"bias_mant": bias.transpose(1, 0, 2)}], IMAGES)


def test_a_ternary_layer_between_signed_and_unsigned_synapses_is_computed_twice() -> None:
    back = np.array([[0, 50], [-30, 0]])
    layers = [TERNARY | {"R": back}, LAYER | {"W": W[:, :2], "num_message_bits": 2}]
    graph = prepare(layers, RASTER, "lava").graph
    assert [name for name, node in graph.nodes.items() if isinstance(node, Population)] == ["0", "0.unsigned", "1"]
    (first, _) = emulate(layers, RASTER)
    assert first["s"].min() == -1
    assert first["s"].max() == 1


def test_loihi1_takes_the_dict_of_a_recording() -> None:
    recorded = {"raster": RASTER, "meta": "{}", "u": RASTER, "v": RASTER, "s": RASTER, "R": None}
    assert same(emulate([LOIHI1 | recorded], RASTER, law="loihi1"), emulate([LOIHI1], RASTER, law="loihi1"))


REFUSED: dict[str, tuple[Callable[[], Any], type[ExportError], str, str]] = {
    "no law": (lambda: emulate([LAYER], RASTER, law="loihi3"), UsageError, "no law named 'loihi3'", "law"),  # type: ignore[arg-type]
    "no layers": (lambda: emulate([], RASTER), UsageError, "without layers", "layers"),
    "two": (lambda: emulate([LOIHI1] * 2, RASTER, law="loihi1"), UsageError, "2 layers", "layers"),
    "key": (lambda: emulate([LAYER | {"vht": 3}], RASTER), UsageError, "unknown key 'vht'", "layer 0"),
    "no vth": (lambda: emulate([{"W": W}], RASTER), UsageError, "'vth' is missing", "layer 0"),
    "no W": (lambda: emulate([{"vth": 3}], RASTER), UsageError, "'W' is missing", "layer 0"),
    "no delays": (lambda: emulate([LAYER | {"syn": "delay"}], RASTER), UsageError, "'delays' is missing", "layer 0"),
    "delays": (
        lambda: emulate([LAYER | {"syn": "delay", "delays": np.full(W.shape, 64)}], RASTER),
        UnsupportedError,
        "64 steps",
        "layer 0",
    ),
    "delay shape": (lambda: emulate([LAYER | {"delays": W[0]}], RASTER), UsageError, "delays have shape", "layer 0"),
    "synapses": (lambda: emulate([LAYER | {"syn": "plastic"}], RASTER), UnsupportedError, "'plastic'", "layer 0"),
    "neurons": (
        lambda: emulate([LAYER, LAYER | {"neuron": "ATRLIF"}], RASTER),
        UnsupportedError,
        "neurons ATRLIF",
        "layer 1",
    ),
    "float": (lambda: emulate([LAYER | {"du": 0.3}], RASTER), UnsupportedError, "du is not whole", "layer 0"),
    "wide": (lambda: emulate([LAYER | {"du": 2**40}], RASTER), UnsupportedError, "du leaves 32 bits", "layer 0"),
    "text": (lambda: emulate([LAYER | {"du": "x"}], RASTER), UsageError, "du holds", "layer 0"),
    "sign": (lambda: emulate([LAYER | {"sign_mode": "odd"}], RASTER), UsageError, "sign_mode 'odd'", "layer 0"),
    "exponent": (lambda: emulate([LAYER | {"weight_exp": 32}], RASTER), UnsupportedError, "weight_exp", "layer 0"),
    "interval": (
        lambda: emulate([LAYER | {"neuron": "LIFReset", "reset_interval": 0}], RASTER),
        UsageError,
        "reset_interval = 0",
        "layer 0",
    ),
    "recurrent": (lambda: emulate([LAYER | {"recurrent": True}], RASTER), UsageError, "no weights R", "layer 0"),
    "recurrent conv": (
        lambda: emulate([{"syn": "conv", "W": KERNEL, "vth": 1, "R": W}], IMAGES),
        UnsupportedError,
        "recurrent convolution",
        "layer 0",
    ),
    "shape": (lambda: emulate([LAYER | {"shape": [3]}], RASTER), GraphError, "said to have shape", "layer 0"),
    "chain": (lambda: emulate([LAYER, LAYER], RASTER), GraphError, "do not lead from", "layer 1"),
    "image": (lambda: emulate([{"syn": "conv", "W": KERNEL, "vth": 1}], RASTER), GraphError, "no conv", "layer 0"),
    "raster axes": (lambda: emulate([LAYER], RASTER[0]), UsageError, "wrong input shape", "raster"),
    "raster values": (lambda: emulate([LAYER], np.full((3, 3), np.nan)), UsageError, "32 bits", "raster"),
    "raster fraction": (
        lambda: emulate([LAYER | {"num_message_bits": 8}], RASTER * 0.5),
        UsageError,
        "not whole",
        "input",
    ),
    "loihi1 key": (lambda: emulate([LOIHI1 | {"du": 3}], RASTER, law="loihi1"), UsageError, "key 'du'", "layer 0"),
    "loihi1 none": (lambda: emulate([LOIHI1 | {"W": None}], RASTER, law="loihi1"), UsageError, "'W' is", "layer 0"),
    "loihi1 vmin": (lambda: emulate([LOIHI1 | {"vmin": 2**24}], RASTER, law="loihi1"), UsageError, "vmin", "layer 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_law_takes_is_refused_with_place_and_remedy(name: str) -> None:
    call, kind, message, where = REFUSED[name]
    with pytest.raises(ExportError, match=message) as caught:
        call()
    assert type(caught.value) is kind
    assert caught.value.where == where
    assert caught.value.fix


def test_dropped_bits_of_weights_go_down_for_mixed_and_towards_zero_for_inhibitory_ones() -> None:
    weight = np.array([-3, -256, -257, 5, 256])
    assert effective_weights(weight, SignMode.MIXED, 8).tolist() == [-4, -256, -256, 4, 254]
    assert effective_weights(-np.abs(weight), SignMode.INHIBITORY, 7).tolist() == [-2, -254, -254, -4, -254]
    assert effective_weights(weight, SignMode.EXCITATORY, 8).tolist() == [0, 0, 0, 5, 255]


def test_a_bias_is_stored_in_16_bits_and_shifted_in_32() -> None:
    mantissa = np.array([40000, 5, -5, 1, 1, -1])
    assert lava_bias(mantissa, np.array([0, 7, -1, 31, 32, -40])).tolist() == [-25536, 640, -3, -(2**31), 0, -1]


@pytest.mark.parametrize(
    "family",
    [LAVA_LIF, LAVA_LIF_RESET, LAVA_TERNARY, LAVA_TERNARY_UNSIGNED, loihi1_lif(-1023, 2**23 - 1)],
    ids=lambda family: family.name,
)
def test_the_programs_of_the_laws(family: Family, golden: Callable[[str, str], None]) -> None:
    golden(f"programs/{family.name}.txt", f"{family.trace()}\n")


ODD: tuple[Any, ...] = (None, "x", {}, np.nan, 2**40, [[1, 2], [3]], np.zeros((0, 3)), np.zeros((2,) * 5), 1j, object())


@pytest.mark.parametrize("law", ["lava", "loihi1"])
def test_odd_values_of_any_key_are_errors_with_a_remedy(law: Any) -> None:
    lava = {"W": np.ones((2, 3), int), "R": np.eye(2, dtype=int), "vth": 3, "du": 10, "dv": 20, "u0": 1, "v0": 1}
    lava |= {"bias_mant": 1, "bias_exp": 0, "weight_exp": 0, "num_weight_bits": 8, "sign_mode": "mixed"}
    loihi1: dict[str, Any] = {"W": np.ones((2, 3), int), "vmin": -100, "vmax": 2**20}
    loihi1 |= {key: np.ones(2, int) for key in ("decay_u", "decay_v", "vth", "bias", "refract_delay")}
    given, raster, refused = (lava if law == "lava" else loihi1), np.ones((5, 3), np.uint8), 0
    assert len(emulate([given], raster, law=law)) == 1
    for key in given:
        for value in ODD:
            try:
                emulate([given | {key: value}], raster, law=law)
            except ExportError as error:
                refused += bool(error.where and error.fix)
    assert refused > len(given) * (len(ODD) - 4)  # None and numbers are defaults of many


@pytest.mark.parametrize("layers", [None, 1.5, "x", {}, [1], [[]], [None]])
def test_what_is_no_list_of_dicts_is_a_wrong_call(layers: Any) -> None:
    with pytest.raises(UsageError) as caught:
        emulate(layers, np.ones((5, 3), np.uint8))
    assert caught.value.where in ("layers", "layer 0")


@pytest.mark.parametrize("raster", [*ODD, np.full((5, 3), 0.5), np.full((5, 3), 2.0**40), np.full((5, 3), np.nan)])
def test_odd_rasters_are_errors_with_a_remedy(raster: Any) -> None:
    layer = {"W": np.ones((2, 3), int), "vth": 3, "num_message_bits": 8}
    with pytest.raises(ExportError) as caught:
        emulate([layer], raster)
    assert caught.value.fix
