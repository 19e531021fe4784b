"""Networks of SpiNNaker: delays, ring buffers that saturate, several cores; against an oracle that has the slots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from spinnaker_oracle import Neuron, run_network

from norse_export.errors import UsageError
from norse_export.ir.fixed import DenseSynapses, SparseSynapses
from norse_export.targets.spinnaker import emulate_network
from norse_export.targets.spinnaker.derive import WORDS, Model, derive
from norse_export.targets.spinnaker.network import network

STEPS = 60


def words(model: Model) -> Any:
    """A neuron with R = 10, tau_m = 10 ms, tau_syn = 5 ms, threshold 1, one step refractory."""
    ms = 1 << 15
    given = {"cm": ms, "tau_m": 10 * ms, "dt": ms, "dt_synapse": ms, "dt_input": ms, "tau_refrac": ms}
    given |= {"tau_syn_exc": 5 * ms, "tau_syn_inh": 5 * ms, "v_thresh": 1 << 15}
    return np.array([given.get(name, 0) for name in WORDS[model]])


def held(model: Model, sizes: dict[str, int], seed: int) -> dict[str, Any]:
    """A random network as a mapping: inp -> a -> b, a -> a; signs, delays up to 16 and empty pairs mixed."""
    rng = np.random.default_rng(seed)
    mapping: dict[str, Any] = {"model": np.array(str(model)), "dt": np.array(1.0), "sdram_words": words(model)}
    mapping["spike__inp"] = rng.random((STEPS, sizes["inp"])) < 0.3
    for name in ("a", "b"):
        middle = sizes[name] // 2
        mapping[f"shifts__{name}"] = rng.integers(0, 3, 2)
        mapping[f"slices__{name}"] = np.array([[0, middle - 1], [middle, sizes[name] - 1]])
        mapping[f"log_max_delay__{name}"] = np.array([4, 5])
    for source, target in (("inp", "a"), ("a", "b"), ("a", "a")):
        shape = (sizes[source], sizes[target])
        weight = rng.integers(-(2 ** rng.integers(9, 17, shape)) + 1, 2 ** rng.integers(9, 17, shape))
        mapping[f"w_u16__{source}__{target}"] = np.where(rng.random(shape) < 0.2, 0, weight).astype(np.int32)
        mapping[f"delay__{source}__{target}"] = rng.integers(1, 17, shape).astype(np.int32)
    return mapping


def by_oracle(mapping: dict[str, Any]) -> dict[str, Any]:
    model = Model(str(mapping["model"]))
    derived = {key: int(value[0]) for key, value in derive(model, mapping["sdram_words"][np.newaxis]).items()}
    names = [key.removeprefix("shifts__") for key in mapping if key.startswith("shifts__")]
    slots: dict[str, list[int]] = {}
    for name in names:
        cores = zip(mapping[f"slices__{name}"].tolist(), mapping[f"log_max_delay__{name}"].tolist(), strict=True)
        slots[name] = [2**log for (first, last), log in cores for _ in range(first, last + 1)]
    records = run_network(
        mapping["spike__inp"].astype(int).tolist(),
        {
            name: [Neuron(model is Model.IF_CURR_EXP, derived, mapping[f"shifts__{name}"].tolist()) for _ in cells]
            for name, cells in slots.items()
        },
        {
            (source, target): (mapping[key].tolist(), mapping[f"delay__{source}__{target}"].tolist())
            for key in mapping
            if key.startswith("w_u16__")
            for source, target in [key.removeprefix("w_u16__").split("__")]
        },
        slots,
    )
    return {
        f"{key}__{name}": np.array([[cell[key] for cell in step] for step in steps])
        for name, steps in records.items()
        for key in ("spike", "v_rec", "exc", "inh")
    }


def assert_equal(expected: dict[str, Any], actual: dict[str, Any]) -> None:
    assert set(actual) == set(expected)
    assert [key for key in expected if not np.array_equal(expected[key], actual[key])] == []


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("model", tuple(Model))
def test_random_networks_are_those_of_the_slots(model: Model, seed: int) -> None:
    mapping = held(model, {"inp": 12, "a": 8, "b": 6}, seed)
    expected = by_oracle(mapping)
    assert_equal(expected, emulate_network(mapping))
    assert expected["spike__b"].any()
    assert not expected["spike__b"].all()


def pair(weight: list[list[int]], delay: list[list[int]], spikes: list[list[int]]) -> dict[str, Any]:
    """One input population and one population `a` on one core with 4 slots, shift 0."""
    return {
        "model": "IF_curr_delta",
        "dt": 1.0,
        "sdram_words": words(Model.IF_CURR_DELTA),
        "shifts__a": np.array([0, 0]),
        "slices__a": np.array([[0, len(weight[0]) - 1]]),
        "log_max_delay__a": np.array([2]),
        "w_u16__inp__a": np.array(weight),
        "delay__inp__a": np.array(delay),
        "spike__inp": np.array(spikes, bool),
    }


def test_a_sum_of_weights_saturates_in_each_slot_and_for_each_receptor_type() -> None:
    mapping = pair([[40000, -60000], [30000, -5000]], [[1, 1], [1, 1]], [[1, 1], [0, 0], [0, 0]])
    run = emulate_network(mapping)
    assert run["exc__a"].tolist() == [[0, 0], [65535, 0], [0, 0]]
    assert run["inh__a"].tolist() == [[0, 0], [0, 65000], [0, 0]]


def test_two_projections_saturate_together() -> None:
    mapping = pair([[0]], [[1]], [[1], [0], [0], [0]]) | {
        "w_u16__inp__a": np.array([[65535]]),
        "w_u16__a__a": np.array([[65535]]),
        "delay__a__a": np.array([[1]]),
    }
    mapping["spike__inp"] = np.array([[1], [1], [0], [0]], bool)
    run = emulate_network(mapping)
    assert run["spike__a"].ravel().tolist() == [False, True, False, False]
    assert run["exc__a"].ravel().tolist() == [0, 65535, 65535, 0]
    assert_equal(by_oracle({**mapping, "model": np.array("IF_curr_delta")}), run)


def test_each_synapse_has_its_own_delay() -> None:
    run = emulate_network(pair([[5, 7, 11]], [[1, 2, 3]], [[1], [0], [0], [0], [0]]))
    assert run["exc__a"].tolist() == [[0, 0, 0], [5, 0, 0], [0, 7, 0], [0, 0, 11], [0, 0, 0]]


def test_a_delay_field_of_zero_is_a_whole_turn() -> None:
    run = emulate_network(pair([[5]], [[0]], [[1], [0], [0], [0], [0], [0]]))
    assert run["exc__a"].ravel().tolist() == [0, 0, 0, 0, 5, 0]


def test_what_nothing_is_connected_to_stays_at_rest() -> None:
    run = emulate_network(pair([[0]], [[1]], [[1], [1]]))
    assert not any(values.any() for values in run.values())


def test_only_what_is_named_is_read() -> None:
    mapping = held(Model.IF_CURR_EXP, {"inp": 12, "a": 8, "b": 6}, 0)
    more = mapping | {"w_float__inp__a": None, "v_rec__a": None, "params": "{", "delay_ms__a__a": None}
    assert_equal(emulate_network(mapping), emulate_network(more))


def test_many_synapses_of_one_delay_are_a_matrix_and_few_are_a_list() -> None:
    kinds = []
    for count in (1, 20):
        weight = np.zeros((10, 8), int)
        weight.flat[:count] = 100
        graph = network(pair(weight.tolist(), np.ones((10, 8), int).tolist(), [[0] * 10]))
        kinds.append(type(graph.nodes["inp -> a.exc.1"]))
    assert kinds == [SparseSynapses, DenseSynapses]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"w_u16__inp__a": np.array([[70000]])}, "16 bits"),
        ({"w_u16__inp__a": np.array([[0.5]])}, "dtype float64"),
        ({"w_u16__inp__a": np.array([[1, 2]])}, r"shape \(1, 2\)"),
        ({"delay__inp__a": np.array([[-1]])}, "a delay of -1"),
        ({"delay__inp__a": np.array([[1, 1]])}, r"shape \(1, 2\)"),
        ({"model": "IF_cond_exp"}, "no law"),
        ({"sdram_words": np.zeros(3, int)}, "parameter words of shape"),
        ({"delay__inp__a": None}, "no 'delay__inp__a'"),
        ({"sdram_words": None}, "no 'sdram_words'"),
        ({"slices__a": None}, "no 'slices__a'"),
        ({"log_max_delay__a": None}, "no 'log_max_delay__a'"),
        ({"spike__inp": None}, "no 'spike__inp'"),
    ],
    ids=str,
)
def test_what_the_memory_cannot_hold_is_refused(change: dict[str, Any], what: str) -> None:
    mapping = pair([[1]], [[1]], [[1]]) | change
    with pytest.raises(UsageError, match=what) as caught:
        emulate_network({key: value for key, value in mapping.items() if value is not None})
    assert caught.value.where
    assert caught.value.fix
