"""Populations in continuous time: coefficients, gains, defaults, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_nets import DT, cuba_li, cuba_lif

from norse_export.errors import GraphError
from norse_export.ir.neurons import IF, KINDS, LI, LIF, Kind, NeuronModel, unit_gain
from norse_export.ir.stages import Neuron
from norse_export.program.families import FAMILIES, Rule

F = np.float32
ONE = F(1)
ULP = np.finfo(np.float64).eps


def lif(**changes: Any) -> NeuronModel:
    values = {"tau_mem": np.float64(1e-2), "v_leak": F(0), "v_th": ONE, "v_reset": F(0), **changes}
    return LIF(**{"shape": (3,), "dt": DT, **values})


def test_every_parameter_is_one_value_for_each_neuron_and_read_only() -> None:
    node = cuba_lif((2, 3), v_th=np.arange(3, dtype=F))
    assert node.input_shape == node.output_shape == (2, 3)
    assert tuple(node.values) == ("tau_mem", "tau_syn", "r", "v_leak", "v_th", "v_reset", "alpha", "beta", "v0", "i0")
    for array in node.values.values():
        assert array.shape == (2, 3)
        assert not array.flags.writeable
    np.testing.assert_array_equal(node["v_th"], [[0, 1, 2], [0, 1, 2]])


def test_initial_states_are_the_frameworks() -> None:
    node = cuba_lif((2,), v_leak=0.25, v_reset=-1.0)
    assert node["v0"].tolist() == [0.25, 0.25]
    assert node["i0"].tolist() == [0, 0]
    integrate = IF(shape=(2,), dt=DT, v_th=ONE, v_reset=F(-1))
    assert integrate["v0"].tolist() == [-1, -1]
    given = cuba_lif((2,), v0=0.5, i0=2.0)
    assert given["v0"].tolist() == [0.5, 0.5]
    assert given["i0"].tolist() == [2, 2]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_coefficient_that_is_not_given_is_dt_over_tau_divided_in_float64(dtype: str) -> None:
    node = cuba_lif((1,), tau_mem=np.float64(0.003), tau_syn=np.float64(0.007), dtype=dtype)
    assert node["alpha"].dtype == node["beta"].dtype == dtype
    assert node["alpha"][0] == np.dtype(dtype).type(0.001 / 0.003)
    assert node["beta"][0] == np.dtype(dtype).type(0.001 / 0.007)


def test_tau_from_a_float32_coefficient_gives_it_back_exactly() -> None:
    """tau := dt / coefficient in float64, for 100,000 random coefficients and time steps."""
    generator = np.random.default_rng(0)
    for dt in (1e-3, 1e-4, 0.1, 1 / 3, *generator.uniform(1e-6, 1, 16)):
        alpha = np.exp(generator.uniform(np.log(1e-30), np.log(1.999), 5000)).astype(F)
        with_it = lif(shape=alpha.shape, dt=float(dt), tau_mem=dt / alpha.astype(np.float64), alpha=alpha)
        without = with_it.changed(alpha=None)
        assert with_it["alpha"].tobytes() == without["alpha"].tobytes() == alpha.tobytes()


def test_recomputing_a_coefficient_from_the_time_constant_would_not() -> None:
    """Why the coefficient is recorded: fl32(dt) * fl32(1/tau) is another number than fl32(dt / tau) for many tau."""
    tau = np.random.default_rng(0).uniform(1e-3, 1, 10_000)
    frameworks = F(DT) * (1 / tau).astype(F)
    assert 0.2 < np.mean(frameworks != (DT / tau).astype(F)) < 0.8


def test_a_coefficient_of_zero_is_legal_and_means_an_infinite_time_constant() -> None:
    node = lif(tau_mem=np.array([1e-2, np.inf, 1e-2]))
    assert node["alpha"].tolist() == [F(0.1), 0, F(0.1)]
    assert lif(tau_mem=np.float64(np.inf), alpha=F(0))["alpha"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("tau", [1e-3, 0.6e-3])
def test_a_coefficient_of_one_or_just_below_two_is_legal(tau: float) -> None:
    assert lif(tau_mem=np.float64(tau))["alpha"].tolist() == [F(DT / tau)] * 3


def test_a_float64_model_keeps_its_coefficient() -> None:
    alpha = np.nextafter(0.1, 1)
    node = lif(tau_mem=np.float64(DT / alpha), alpha=alpha, dtype="float64")
    assert node["alpha"][0] == alpha


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"dt": 0.0}, "dt", "dt = 0.0 s"),
    ({"dt": -1e-3}, "dt", "dt = -0.001 s"),
    ({"dt": float("nan")}, "dt", "dt = nan s"),
    ({"dt": float("inf")}, "dt", "dt = inf s"),
    ({"dtype": "float16"}, "dtype", "dtype float16"),
    ({"shape": (0,)}, "shape", "a population of shape (0,)"),
    ({"shape": (3, -1)}, "shape", "a population of shape (3, -1)"),
    ({"tau_mem": np.array([1.0, 0.0, 1.0])}, "tau", "tau_mem[1] = 0.0: a time constant must be above 0"),
    ({"tau_mem": np.array([1.0, 1.0, -2.0])}, "tau", "tau_mem[2] = -2.0"),
    ({"tau_mem": np.float64(-np.inf)}, "tau", "tau_mem[0] = -inf"),
    ({"tau_mem": np.array([1.0, np.nan, 1.0])}, "nan", "tau_mem[1] = nan"),
    ({"tau_mem": np.array([1, 2, 3])}, "dtype", "tau_mem has dtype int64"),
    ({"tau_mem": np.array([1j])}, "dtype", "tau_mem has dtype complex128"),
    ({"tau_mem": np.ones(4)}, "shape", "tau_mem has shape (4,), the population has (3,)"),
    ({"tau_mem": np.array([1.0, 5e-4, 1.0])}, "tau", "tau_mem[1] = 0.0005 s is half of dt = 0.001 s or less"),
    ({"tau_mem": np.array([1.0, 1.0, 1e-320])}, "tau", "tau_mem[2] = 9.99989e-321 s is half of dt"),
    ({"alpha": F(0.2)}, "coefficient", "alpha[0] = 0.2 is not dt/tau_mem = 0.1"),
    ({"alpha": F(-0.1)}, "coefficient", "alpha[0] = -0.1 is not dt/tau_mem"),
    ({"alpha": F(np.nan)}, "nan", "alpha[] is nan"),
    ({"alpha": np.array([1j])}, "dtype", "alpha has dtype complex128"),
    ({"v_th": np.array([1.0, np.inf, 1.0])}, "nan", "v_th[1] is inf"),
    ({"v_th": np.zeros(2)}, "shape", "v_th has shape (2,)"),
    ({"v_reset": np.array("0")}, "dtype", "v_reset has dtype <U1"),
    ({"v_leak": np.float16(0)}, "dtype", "v_leak has dtype float16"),
    ({"v0": np.float64(np.nan)}, "nan", "v0[] is nan"),
    ({"r": np.float64(np.inf)}, "nan", "r[] is inf"),
]


@pytest.mark.parametrize(("changes", "kind", "what"), BAD, ids=[what for *_, what in BAD])
def test_an_impossible_population_is_refused_by_field_index_and_value(
    changes: dict[str, Any], kind: str, what: str
) -> None:
    with pytest.raises(GraphError) as caught:
        lif(**changes)
    (finding,) = caught.value.findings
    assert finding.kind == kind
    assert what in finding.message
    assert finding.where == "LIF"
    assert finding.fix


@pytest.mark.parametrize("node", [cuba_lif((2,)), cuba_li((2,))])
def test_the_synapse_is_checked_as_the_membrane_is(node: NeuronModel) -> None:
    with pytest.raises(GraphError, match=r"tau_syn\[\] = 0.0|tau_syn\[0\] = 0.0"):
        node.changed(tau_syn=np.float64(0), beta=None)
    with pytest.raises(GraphError, match="half of dt"):
        node.changed(tau_syn=np.float64(DT / 2), beta=None)
    with pytest.raises(GraphError, match="half of dt"):
        node.changed(dt=1.0, alpha=None, beta=None)


def test_a_gain_within_two_units_in_the_last_place_of_one_is_one() -> None:
    below = [1 - k * ULP / 2 for k in range(6)]
    above = [1 + k * ULP for k in range(4)]
    assert [float(g) for g in unit_gain(np.array(above))] == [1, 1, 1, 1 + 3 * ULP]
    assert [float(g) for g in unit_gain(np.array(below))] == [1, 1, 1, 1, 1, 1 - 5 * ULP / 2]


def test_norses_gains_are_one_for_any_time_constant() -> None:
    """w_in = tau_syn/dt, written to a file in float64 and read back."""
    tau = np.exp(np.random.default_rng(0).uniform(np.log(1e-4), np.log(10), 100_000))
    for dt in (1e-4, 1e-3 / 7):
        node = cuba_lif(tau.shape, tau_syn=tau, w_in=tau / dt, dt=dt, dtype="float64")
        assert (node.gain == 1).all()
        assert (IF(shape=(1,), dt=dt, v_th=ONE, v_reset=F(0), r=np.float64(1 / dt)).gain == 1).all()


def test_gains_of_others_are_what_an_input_is_multiplied_by() -> None:
    assert cuba_lif((2,), w_in=1.0, r=3.0, tau_syn=np.float64(5e-3)).gain == pytest.approx([0.6, 0.6], rel=1e-15)
    assert cuba_li((2,), r=3.0).gain.tolist() == [3, 3]
    assert lif(r=np.array([1.0, 2.0, 0.0])).gain.tolist() == [1, 2, 0]
    assert LI(shape=(1,), dt=DT, tau_mem=np.float64(1), v_leak=F(0), r=F(0.5)).gain.tolist() == [0.5]
    assert IF(shape=(1,), dt=DT, v_th=ONE, v_reset=F(0), r=np.float64(1)).gain.tolist() == [DT]
    assert IF(shape=(2,), dt=DT, v_th=ONE, v_reset=F(0)).gain.tolist() == [1, 1]


def test_a_recurrent_population_has_a_second_port_and_no_gain() -> None:
    assert cuba_lif((2,)).ports == ("x",)
    assert cuba_lif((2,), recurrent=True).ports == ("x", "r")
    refusal = r"a recurrent population with a gain of its input \(r, w_in\) other than 1"
    with pytest.raises(GraphError, match=refusal) as caught:
        cuba_lif((2,), recurrent=True, r=2.0)
    assert caught.value.findings[0].kind == "gain"
    with pytest.raises(GraphError, match=r"a recurrent population with ports of its own \(e, i\)") as caught:
        made(KINDS["CobaLIF"], recurrent=True)
    assert caught.value.findings[0].kind == "ports"


def test_a_large_population_of_equal_neurons_takes_no_memory() -> None:
    shape = (10**6, 10**6)
    populations = [
        cuba_lif(shape, w_in=1.0),
        cuba_li(shape, w_in=1.0),
        lif(shape=shape, r=np.float64(2)),
        LI(shape=shape, dt=DT, tau_mem=np.float64(1), v_leak=F(0)),
        IF(shape=shape, dt=DT, v_th=ONE, v_reset=F(0)),
    ]
    for node in populations:
        assert node.changed(dt=node.dt).gain.strides == (0, 0)
        assert all(value.strides == (0, 0) for value in node.values.values())


def neuron(**changes: Any) -> Neuron:
    values: dict[str, Any] = {
        "family": FAMILIES["if"],
        "shape": (2,),
        "parameters": {"v_th": ONE, "v_reset": F(0)},
        "initial_state": {"v": F(0)},
        "dt": DT,
    }
    return Neuron(**{**values, **changes})


def test_a_neuron_of_the_discrete_graph_has_its_familys_ports() -> None:
    node = neuron()
    assert node.ports == ("x",)
    assert node.spikes
    assert node.input_shape == node.output_shape == (2,)
    assert node.parameters["v_th"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"parameters": {"v_th": ONE}}, "family if has parameters"),
        ({"parameters": {"v_reset": ONE, "v_th": ONE}}, "family if has parameters"),
        ({"initial_state": {"v": ONE, "i": ONE}}, "family if has initial_state"),
        ({"initial_state": {"v": np.zeros(3)}}, "v has shape"),
        ({"parameters": {"v_th": ONE, "v_reset": F(np.nan)}}, "v_reset[] is nan"),
        ({"dt": 0.0}, "dt = 0.0 s"),
        ({"dt": float("nan")}, "dt = nan s"),
    ],
)
def test_an_impossible_neuron_of_the_discrete_graph_is_refused(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(GraphError) as caught:
        neuron(**changes)
    assert what in caught.value.what
    assert caught.value.where == "Neuron"
    assert caught.value.fix


def made(kind: Kind, **changes: Any) -> NeuronModel:
    """Two neurons of any kind, with a number for everything that it asks for."""
    values: dict[str, Any] = dict.fromkeys(kind.levels, F(0.5)) | dict.fromkeys(kind.rates.values(), np.float64(1e-2))
    values |= {name: np.zeros((2, 2), F) for name in kind.dynamics.matrices}
    values |= {name: F(5) for name in kind.levels if name == "rho_reset"}
    return kind(**{"shape": (2,), "dt": DT, **values, **changes})


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_has_the_values_of_its_dynamics_and_no_others(kind: Kind) -> None:
    node = made(kind)
    assert set(kind.dynamics.parameters) <= set(node.values) == set(kind.names) - {"w_in", "r"} | set(kind.defaults)
    assert node.kind is kind
    assert node.spikes == ("v_th" in kind.dynamics.parameters and not kind.name.endswith("Membrane"))
    assert node.ports == kind.dynamics.ports
    assert (node.gain == 1).all()
    for coefficient, tau in kind.rates.items():
        np.testing.assert_array_equal(node[coefficient], (DT / node[tau]).astype(F))
    for value in node.values.values():
        assert not value.flags.writeable
    with pytest.raises(TypeError, match=f"{kind.name} has no wrong"):
        made(kind, wrong=F(1))
    for name in (*kind.rates.values(), *(level for level in kind.levels if level not in kind.defaults)):
        with pytest.raises(TypeError, match=f"{kind.name} needs {name}"):
            node.changed(**{name: None}, **dict.fromkeys(kind.rates))


def test_initial_states_of_the_other_kinds_are_norses() -> None:
    for name, state, start in (("LSNN", "b0", "v_th"), ("LIFRefrac", "v0", "v_leak"), ("LIFAdEx", "v0", "v_leak")):
        node = made(KINDS[name], **{start: F(0.75)})
        assert node[state].tolist() == [0.75, 0.75]
    for name, state in (
        ("LSNN", "i0"),
        ("LIFRefrac", "rho0"),
        ("LIFAdEx", "a0"),
        ("Izhikevich", "v0"),
        ("CobaLIF", "v0"),
    ):
        assert made(KINDS[name])[state].tolist() == [0, 0]


def test_a_coupling_is_a_matrix_over_all_neurons() -> None:
    g = np.arange(36, dtype=F).reshape(6, 6)
    node = made(KINDS["LIFMC"], shape=(2, 3), g=g)
    np.testing.assert_array_equal(node["g"], g)
    for wrong in (np.zeros((2, 3), F), np.zeros((6, 5), F), np.zeros(6, F), F(1)):
        with pytest.raises(GraphError, match=r"the population has 6 neurons") as caught:
            made(KINDS["LIFMC"], shape=(2, 3), g=wrong)
        assert (caught.value.findings[0].kind, caught.value.fix) == ("shape", "give [6, 6]")
    with pytest.raises(GraphError, match=r"g\[0, 1\] is nan"):
        made(KINDS["LIFMC"], g=np.array([[0, np.nan], [0, 0]], F))


@pytest.mark.parametrize("steps", [0.1, 2.5, -1.0])
def test_steps_of_rest_are_whole(steps: float) -> None:
    with pytest.raises(GraphError, match=r"rho_reset = .*: steps of rest are counted") as caught:
        made(KINDS["LIFRefrac"], rho_reset=F(steps))
    assert caught.value.findings[0].kind == "steps"
    with pytest.raises(GraphError, match=r"rho_reset\[1\] is nan"):
        made(KINDS["LIFRefrac"], rho_reset=np.array([2, np.nan], F))


def test_a_recovery_may_run_away_and_no_leak_has_no_largest_rate() -> None:
    """Izhikevich's a is negative in two of Norse's behaviours, and its v has no leak of its own."""
    node = made(KINDS["Izhikevich"], tau_ada=np.float64(-0.05), tau_mem=np.float64(DT / 4))
    assert node["zeta"].tolist() == [F(-0.02)] * 2
    assert node["alpha"].tolist() == [4.0, 4.0]
    with pytest.raises(GraphError, match="tau_ada"):
        made(KINDS["Izhikevich"], tau_ada=np.float64(0))
    with pytest.raises(GraphError, match="tau_mem"):
        made(KINDS["Izhikevich"], tau_mem=np.float64(-0.05))
    for name in ("LSNN", "LIFAdEx"):
        with pytest.raises(GraphError, match=r"tau_ada\[0\] = -0.05: a time constant must be above 0"):
            made(KINDS[name], tau_ada=np.float64(-0.05))
        with pytest.raises(GraphError, match="half of dt"):
            made(KINDS[name], tau_ada=np.float64(DT / 2))
    assert made(KINDS["CobaLIF"], c_m=np.float64(DT / 8))["gamma"].tolist() == [8, 8]
    with pytest.raises(GraphError, match="half of dt"):
        made(KINDS["CobaLIF"], tau_syn_e=np.float64(DT / 8))


def test_a_changed_population_keeps_what_is_not_changed() -> None:
    rule = Rule(reset="subtract")
    node = lif(v_th=F(2), v0=F(0.5), dtype="float64", rule=rule)
    other = node.changed(v_leak=F(0.25))
    assert (other.kind, other.shape, other.dt, other.dtype, other.rule) == (LIF, (3,), DT, "float64", rule)
    assert other["v_leak"].tolist() == [0.25] * 3
    for name in set(node.values) - {"v_leak"}:
        np.testing.assert_array_equal(other[name], node[name])
    assert node["v_leak"].tolist() == [0] * 3
    assert node.changed(rule=Rule()).rule == Rule()
    assert node.changed(v0=None, v_leak=F(0.25))["v0"].tolist() == [0.25] * 3
    assert node.get("nothing") is None
    with pytest.raises(KeyError):
        node["nothing"]
