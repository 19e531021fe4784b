"""The laws of Loihi against recordings of Lava, netx and nengo-loihi: bit for bit, and each fault seeded is seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loihi_faults import LOIHI_FAULTS
from numpy.typing import NDArray
from program_faults import faults, programs_of, with_program

from norse_export.engine.network import compile_network
from norse_export.errors import UnsupportedError
from norse_export.files.limits import Limits
from norse_export.interpret import fixed
from norse_export.program.program import Program
from norse_export.targets.loihi import emulate, emulate_net
from norse_export.targets.loihi.emulation import Prepared, prepare, prepare_net
from norse_export.targets.loihi.layers import as_correlation
from norse_export.targets.loihi.netx import load_net

Arrays = Mapping[str, NDArray[Any]]
GOLDENS = Path(__file__).parents[2] / "goldens" / "loihi"
REFUSED = {
    "atrlif": "neurons ATRLIF",
    "float_lif": "not whole",
    "float_lifrefractory": "neurons LIFRefractory",
}
LAVA = sorted(path.stem for path in (GOLDENS / "lava").iterdir() if path.stem not in REFUSED)
NETX = sorted(path.stem for path in (GOLDENS / "netx").glob("*.npz"))
NENGO = sorted(path.stem for path in (GOLDENS / "nengo_loihi").iterdir())
ALL = [*(("lava", name) for name in LAVA), *(("netx", name) for name in NETX), *(("nengo_loihi", n) for n in NENGO)]
TYPES = {"u": np.int32, "v": np.int32, "s": np.int8}


@cache
def golden(kind: str, name: str) -> Arrays:
    with np.load(GOLDENS / kind / f"{name}.npz") as file:
        return dict(file)


def layers_of(name: str) -> list[dict[str, Any]]:
    """The layers of a Lava recording as `emulate` takes them."""
    held = golden("lava", name)
    described = json.loads(str(held["meta"]))["layers"]
    prefixes = [f"L{number}_" for number in range(len(described))]
    return [
        layer | {key.removeprefix(prefix): held[key] for key in held if key.startswith(prefix)}
        for prefix, layer in zip(prefixes, described, strict=True)
    ]


def recorded(kind: str, name: str) -> list[dict[str, NDArray[Any]]]:
    """u, v and s of each layer."""
    held = golden(kind, name)
    prefix = {"lava": "L{}_", "netx": "B{}_", "nengo_loihi": ""}[kind]
    found = []
    while (start := prefix.format(len(found))) + "u" in held and not (found and not prefix):
        found.append({key: held[start + key] for key in TYPES})
    return found


@cache
def prepared(kind: str, name: str) -> Prepared:
    held = golden(kind, name)
    match kind:
        case "lava":
            return prepare(layers_of(name), held["raster"], "lava")
        case "netx":
            return prepare_net(GOLDENS / kind / f"{name}.net", held["raster"], Limits())
        case _:
            return prepare([held], held["raster"], "loihi1")


def differing(expected: list[dict[str, NDArray[Any]]], actual: list[dict[str, NDArray[Any]]]) -> list[str]:
    """Where two recordings are not the same, bit for bit and type for type."""
    assert len(expected) == len(actual)
    return [
        f"{number}.{key}"
        for number, (a, b) in enumerate(zip(expected, actual, strict=True))
        for key in TYPES
        if a[key].dtype != b[key].dtype or not np.array_equal(a[key], b[key])
    ]


def test_all_recordings_are_there() -> None:
    assert (len(LAVA), len(NETX), len(NENGO)) == (54, 4, 5)
    assert all((GOLDENS / "lava" / f"{name}.npz").is_file() for name in REFUSED)
    assert sum(len(recorded(kind, name)) for kind, name in ALL) == 76


@pytest.mark.parametrize("name", LAVA)
def test_a_network_is_lavas_bit_for_bit(name: str) -> None:
    assert differing(recorded("lava", name), emulate(layers_of(name), golden("lava", name)["raster"])) == []


@pytest.mark.parametrize("name", NENGO)
def test_a_population_is_nengo_loihis_bit_for_bit(name: str) -> None:
    held = golden("nengo_loihi", name)
    assert differing(recorded("nengo_loihi", name), emulate([held], held["raster"], law="loihi1")) == []


@pytest.mark.parametrize("name", NETX)
def test_a_net_is_netxs_bit_for_bit_from_its_file_alone(name: str, tmp_path: Path) -> None:
    path = tmp_path / "alone.net"
    shutil.copy(GOLDENS / "netx" / f"{name}.net", path)
    assert differing(recorded("netx", name), emulate_net(path, golden("netx", name)["raster"])) == []


@pytest.mark.parametrize("name", NETX)
def test_a_net_is_loaded_as_netx_does(name: str) -> None:
    held = golden("netx", name)
    described = json.loads(str(held["meta"]))
    layers = load_net(GOLDENS / "netx" / f"{name}.net", Limits()).layers
    for number, (layer, expected) in enumerate(zip(layers, described["loaded"], strict=True)):
        parameters = layer.neurons.parameters
        assert 4096 - int(parameters["u_keep"]) - 1 == expected["du"]
        assert 4096 - int(parameters["v_keep"]) == expected["dv"]
        assert int(parameters["v_th"]) == expected["vth"] << 6
        assert layer.forward.weight_exp == expected["weight_exp"]
        assert layer.forward.num_weight_bits == expected["num_weight_bits"]
        if f"B{number}_W_loaded" in held:
            assert np.array_equal(layer.forward.weight, held[f"B{number}_W_loaded"])


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_the_engine_is_the_recording_bit_for_bit(kind: str, name: str) -> None:
    given = prepared(kind, name)
    run = compile_network(given.graph).run(given.inputs, states=True).run
    assert differing(recorded(kind, name), given.states_of(run)) == []


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_integers_of_the_chip_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedError, match=REFUSED[name]) as caught:
        emulate(layers_of(name), golden("lava", name)["raster"])
    assert caught.value.where == "layer 0"
    assert caught.value.fix


def test_lavas_kernels_are_torchs_turned() -> None:
    count = 0
    for name in LAVA:
        for layer in layers_of(name):
            if layer["syn"] == "conv":
                count += 1
                assert np.array_equal(as_correlation(layer["W"]), layer["W_torch"])
    assert count == 6


# Faults that no recording shows, each with the reason; the random networks of tests/property show them.
UNSEEN = {
    "lava_lif %11 wrap_once constants=(-8388608, 8388607)": "no current is +-2^23 exactly",
    "lava_lif %15 wrap constants=(62,)": "u and the bias would have to leave 31 bits together",
    "lava_lif %15 wrap op=saturate constants=(-8388608, 8388607)": "the saturation behind it does nearly the same",
    "loihi1_lif %10 wrap constants=(62,)": "no input leaves 22 bits",
    "loihi1_lif %10 wrap op=saturate constants=(-8388608, 8388607)": "no input leaves 22 bits",
    "loihi1_lif %14 wrap constants=(62,)": "no bias takes a current out of 24 bits",
    "loihi1_lif %14 wrap op=saturate constants=(-8388608, 8388607)": "no bias takes a current out of 24 bits",
    "loihi1_lif %22 greater op=greater_equal": "no v meets its threshold",
}


def seen(kind: str, correct: Program, number: int) -> bool:
    """Whether some recording of a kind differs from what the program with one fault gives."""
    for name in (name for k, name in ALL if k == kind):
        given = prepared(kind, name)
        for program in programs_of(given.graph):
            if program.structure == correct.structure:
                wrong = [p for _, p in faults(program, LOIHI_FAULTS)][number]
                run = fixed.emulate(with_program(given.graph, program, wrong), given.inputs, states=True)
                if differing(recorded(kind, name), given.states_of(run)):
                    return True
    return False


@pytest.mark.parametrize(
    ("family", "kind", "name"),
    [
        pytest.param("lava_lif", "lava", "lif_exc", marks=pytest.mark.bulk),
        ("loihi1_lif", "nengo_loihi", "ng_lif"),
    ],
)
def test_the_recordings_show_every_fault_of_one_instruction(family: str, kind: str, name: str) -> None:
    (correct,) = programs_of(prepared(kind, name).graph)
    named = [fault for fault, _ in faults(correct, LOIHI_FAULTS)]
    unseen = [f"{family} {fault}" for number, fault in enumerate(named) if not seen(kind, correct, number)]
    assert sorted(unseen) == sorted(fault for fault in UNSEEN if fault.startswith(family))
