"""Every choice of discretisation against oracles written anew: exact fractions, and equations in decimal numbers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norse_export.interpret import interpret
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import KINDS, NeuronModel
from norse_export.ir.schemes import EULER, SCHEMES, coefficient
from norse_export.ir.step_choice import choices_of, fields_of
from norse_export.ir.step_words import CHOICES
from norse_export.passes.discretise import discretise

KINDS_OF_NIR = ("CubaLIF", "CubaLI", "LIF", "LI", "IF")
DT = 2.0**-10
STEPS = 5  # so many that every value of the grid has a place in float32


def combinations() -> list[tuple[str, dict[str, str]]]:
    """Every kind with every combination of the choices that it has."""
    found = []
    for name in KINDS_OF_NIR:
        known = choices_of(KINDS[name])
        found += [(name, dict(zip(known, words, strict=True))) for words in product(*(CHOICES[k] for k in known))]
    return found


def test_the_combinations_are_all_there() -> None:
    counted = {name: sum(kind == name for kind, _ in combinations()) for name in KINDS_OF_NIR}
    assert counted == {"CubaLIF": 2 * 2 * 2 * 3, "CubaLI": 2 * 2, "LIF": 2 * 2 * 3, "LI": 2, "IF": 2 * 3}


def run(node: NeuronModel, x: np.ndarray[Any, Any], dtype: str) -> tuple[Any, Mapping[str, Any]]:
    """What a population alone sends, [T], and its states after each step."""
    nodes = {"input": Input((1,), dtype=dtype), "n": node, "output": Output((1,))}
    graph = discretise(Graph(nodes, (Edge("input", "n"), Edge("n", "output"))))
    done = interpret(graph, {"input": x.reshape(-1, 1, 1)}, dtype=dtype, states=True)
    return done.outputs["output"][:, 0, 0], {k: v[:, 0, 0] for k, v in done.observables["n"].items()}


class Oracle:
    """NIR's neurons in exact numbers, from the equations: y becomes y + c (y_inf - y)."""

    def __init__(self, kind: str, words: Mapping[str, str], p: Mapping[str, Any], zero: Any) -> None:
        self.kind, self.words, self.p = kind, words, p
        self.v = p["v_reset"] if kind == "IF" else p["v_leak"]
        self.current = zero  # NIR's I, before its decay

    def step(self, x: Any) -> Any:
        p, before = self.p, self.current
        if self.kind in ("CubaLIF", "CubaLI"):
            self.current = (1 - p["beta"]) * before + x
            seen = self.current if self.words["order"] == "synapse-first" else before
        else:
            seen = x
        self.v = self.v + x if self.kind == "IF" else (1 - p["alpha"]) * self.v + p["alpha"] * (p["v_leak"] + seen)
        if self.kind in ("CubaLI", "LI"):
            return self.v
        fired = self.v >= p["v_th"] if self.words["threshold"] == "ge" else self.v > p["v_th"]
        if fired:
            self.v = {"value": p["v_reset"], "zero": 0 * self.v, "subtract": self.v - p["v_th"]}[self.words["reset"]]
        return type(self.v)(fired)

    def noted(self) -> Any:
        """The current as a population keeps it: after its decay where the synapse goes first."""
        first = self.words.get("order") == "synapse-first"
        return (1 - self.p["beta"]) * self.current if first else self.current


eighths = st.integers(-8, 8).map(lambda k: Fraction(k, 8))
halves = st.sampled_from([Fraction(1, 2), Fraction(1, 4), Fraction(3, 4), Fraction(1)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("kind", "words"), combinations(), ids=lambda v: v if isinstance(v, str) else "-".join(v.values())
)
@settings(max_examples=25)
@given(
    st.fixed_dictionaries(
        {"alpha": halves, "beta": halves, "v_leak": eighths, "v_reset": eighths, "v_th": eighths.map(abs)}
    ),
    st.lists(st.integers(-4, 8).map(lambda k: Fraction(k, 4)), min_size=STEPS, max_size=STEPS),
)
def test_every_combination_is_exact_on_a_grid(
    dtype: str, kind: str, words: dict[str, str], p: dict[str, Fraction], x: list[Fraction]
) -> None:
    model, chosen = KINDS[kind], fields_of(words)
    scheme = chosen.get("scheme", EULER)
    values: dict[str, Any] = {name: np.float64(p[name]) for name in (*model.levels, *model.rates)}
    for rate, tau in model.rates.items():  # the tau that has this coefficient, and the coefficient exactly
        c = float(p[rate])
        ratio = c if scheme == EULER else -np.log1p(-c) if c < 1 else np.inf
        if np.isinf(ratio):
            return  # 1 - exp(-dt/tau) is below 1
        values[tau] = np.float64(DT / ratio)
    node = model(shape=(1,), dt=DT, dtype=dtype, **values, **chosen)
    oracle = Oracle(kind, words, p, Fraction(0))
    sent, states = run(node, np.array(x, np.float64), dtype)
    for t, arriving in enumerate(x):
        assert Fraction(float(sent[t])) == oracle.step(arriving)
        assert Fraction(float(states["v"][t])) == oracle.v
        if "i" in states:
            assert Fraction(float(states["i"][t])) == oracle.noted()


@pytest.mark.parametrize(
    ("kind", "words"), combinations(), ids=lambda v: v if isinstance(v, str) else "-".join(v.values())
)
@settings(max_examples=15)
@given(
    st.fixed_dictionaries({name: st.floats(2e-3, 0.1) for name in ("tau_mem", "tau_syn")}),
    st.fixed_dictionaries({name: st.floats(-0.5, 0.5) for name in ("v_leak", "v_reset")}),
    st.fixed_dictionaries({name: st.floats(0.1, 3) for name in ("r", "w_in")}),
    st.lists(st.floats(-1, 1), min_size=30, max_size=30),
)
def test_physics_becomes_steps_as_the_equations_say(
    kind: str, words: dict[str, str], tau: dict[str, float], levels: dict[str, float], gains: dict[str, float],
    x: list[float],
) -> None:  # fmt: skip
    """From tau, r and w_in to states, in float64: to 1e-12 of the largest. Below threshold, for a spike jumps."""
    model, dt = KINDS[kind], 1e-3
    values = {name: np.float64(value) for name, value in {**tau, **levels, **gains, "v_th": 1e9}.items()}
    known = {*model.levels, *model.gains, *model.rates.values()}
    given_values: dict[str, Any] = {name: value for name, value in values.items() if name in known}
    node = model(shape=(1,), dt=dt, dtype="float64", **given_values, **fields_of(words))
    with localcontext() as context:
        context.prec = 40
        exact = {name: Decimal(float(value)) for name, value in values.items()}
        for rate, name in (("alpha", "tau_mem"), ("beta", "tau_syn")):
            ratio = Decimal(dt) / exact[name]
            exact[rate] = ratio if words.get("scheme", EULER) == EULER else 1 - (-ratio).exp()
        gain = {"IF": exact["r"] * Decimal(dt), "LIF": exact["r"], "LI": exact["r"]}
        scale = gain.get(kind, exact["r"] * exact["w_in"] * exact["beta"])
        oracle = Oracle(kind, words, exact, Decimal(0))
        expected = []
        for arriving in x:
            oracle.step(scale * Decimal(arriving))
            expected.append(float(oracle.v))
    _, states = run(node, np.array(x), "float64")
    np.testing.assert_allclose(states["v"], expected, rtol=0, atol=1e-12 * max(1, np.abs(expected).max()))


@given(st.floats(1e-4, 1), st.sampled_from(["LIF", "LI"]), st.floats(-2, 2), st.floats(-0.5, 0.5))
def test_an_exponential_step_is_the_solution_while_what_arrives_is_constant(
    tau: float, kind: str, x: float, v_leak: float
) -> None:
    """v(t) = v_inf + (v(0) - v_inf) exp(-t/tau), at t = 40 ms, in steps of 1 ms and in one of 40 ms."""
    values: dict[str, Any] = {"tau_mem": np.float64(tau), "v_leak": np.float64(v_leak), "v0": np.float64(0.25)}
    if kind == "LIF":
        values |= {"v_th": np.float64(1e9), "v_reset": np.float64(0)}
    v_inf = v_leak + x
    expected = v_inf + (0.25 - v_inf) * np.exp(-0.04 / tau)
    for dt, steps in ((1e-3, 40), (0.04, 1)):
        node = KINDS[kind](shape=(1,), dt=dt, dtype="float64", **values, scheme="exponential")
        _, states = run(node, np.full(steps, x), "float64")
        assert abs(states["v"][-1] - expected) <= 1e-12 * max(1.0, abs(v_inf))


def test_forward_euler_is_not_that_solution() -> None:
    values: dict[str, Any] = {"tau_mem": np.float64(0.01), "v_leak": np.float64(0), "v0": np.float64(1)}
    node = KINDS["LI"](shape=(1,), dt=1e-3, dtype="float64", **values)
    _, states = run(node, np.zeros(10), "float64")
    assert states["v"][-1] == pytest.approx(0.9**10, rel=1e-12)
    assert abs(states["v"][-1] - np.exp(-1)) > 0.01


@given(st.floats(1e-6, 1.0), st.floats(1e-6, 1e3), st.sampled_from(SCHEMES))
def test_coefficients_are_those_of_their_formula(dt: float, tau: float, scheme: Any) -> None:
    with localcontext() as context:
        context.prec = 40
        ratio = Decimal(dt) / Decimal(tau)
        exact = ratio if scheme == "euler" else 1 - (-ratio).exp()
    found = float(coefficient(dt, np.float64(tau), scheme))
    assert abs(Decimal(found) - exact) <= Decimal(4 * np.finfo(np.float64).eps) * abs(exact)
