"""Two runs compared: what is equal, what is explained, what follows from it, and what must fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from norse_export.compare import Comparison, Divergence, compare
from norse_export.compare import judge as judging
from norse_export.errors import UsageError
from norse_export.ir.run import Bounded, Bounds, Run

Array = NDArray[Any]
T, B = 6, 3


def reference(**changes: Any) -> Run:
    """Populations a [2, 2] and b [3] in this depth, an integrator's output, final states."""
    generator = np.random.default_rng(0)
    values: dict[str, Any] = {
        "spikes": {"a": generator.random((T, B, 2, 2)) < 0.5, "b": generator.random((T, B, 3)) < 0.5},
        "outputs": {"output": generator.normal(size=(T, B, 4)).astype(np.float32)},
        "final_state": {"a": {"v": generator.normal(size=(B, 2, 2))}, "li": {"v": generator.normal(size=(B, 4))}},
        "ran_by": "reference",
    }
    return Run(**{**values, **changes})


REFERENCE = reference()


def copied(value: Any) -> Any:
    return {key: copied(part) for key, part in value.items()} if hasattr(value, "items") else np.array(value)


def changed(run: Run, *cells: tuple[str, str, tuple[int, ...]], by: float = 1.0) -> Run:
    """The run with cells of spikes flipped, of outputs moved: (kind, node, index). State: ("state", "a.v", index)."""
    spikes, outputs, states = copied(run.spikes), copied(run.outputs), copied(run.final_state)
    for kind, name, index in cells:
        if kind == "spikes":
            spikes[name][index] ^= True
        elif kind == "outputs":
            outputs[name][index] += by
        else:
            node, variable = name.split(".")
            states[node][variable][index] += by
    return Run(spikes, outputs, "actual", final_state=states)


def bounds(
    run: Run,
    near: tuple[tuple[str, tuple[int, ...]], ...] = (),
    *,
    error: float = 0.25,
    own: Run | None = None,
    against: tuple[tuple[str, tuple[int, ...]], ...] = (),
    exact: frozenset[str] = frozenset(),
) -> Any:
    """Margins of 1 that agree with the spikes followed, of 0.1 at the cells that are near; every bound is `error`.

    Values are those of `run`; along other spikes than its, those of `own`, with margins that disagree at `against`.
    """

    def of(part: Array, along: Mapping[str, Array]) -> Bounds:
        followed = run if all(np.array_equal(along[n], run.spikes[n][:, part]) for n in along) else own or run
        margins = {name: np.where(raster, 1.0, -1.0) for name, raster in run.spikes.items()}
        for name, raster in along.items():
            margins[name][:, part] = np.where(raster, 1.0, -1.0)
        for name, index in near:
            margins[name][index] *= 0.1
        for name, index in against if followed is not run else ():
            margins[name][index] *= -1

        def bounded(value: Array) -> Bounded:
            return Bounded(value.astype(np.float64), np.full(value.shape, error))

        return Bounds(
            {name: bounded(margin[:, part]) for name, margin in margins.items()},
            {name: bounded(sent[:, part]) for name, sent in followed.outputs.items()},
            {node: {k: bounded(v[part]) for k, v in states.items()} for node, states in followed.final_state.items()},
            exact,
        )

    return of


def layer(comparison: Comparison, node: str) -> Any:
    (found,) = (found for found in comparison.layers if found.node == node)
    return found


def test_equal_runs_are_equal() -> None:
    got = compare(REFERENCE, replace(REFERENCE, ran_by="actual"), rung=1)
    assert got.equal
    assert not got.vacuous
    assert got.first_divergence is None
    assert (got.steps, got.samples, got.rung) == (T, B, 1)
    assert (got.reference, got.actual) == ("reference", "actual")
    assert [(found.node, found.kind) for found in got.layers] == [
        ("a", "spikes"),
        ("b", "spikes"),
        ("li", "values"),
        ("output", "values"),
    ]
    assert got.spikes == sum(raster.sum() for raster in REFERENCE.spikes.values())
    for name in "ab":
        found = layer(got, name)
        assert found.spikes_expected == found.spikes_actual == REFERENCE.spikes[name].sum()
        assert (found.jaccard, found.van_rossum, found.victor_purpura) == (1.0, 0.0, 0.0)
        assert (found.differing, found.explained, found.consequences) == (0, 0, 0)
    assert layer(got, "a").states_equal is True
    assert layer(got, "b").states_equal is None
    assert layer(got, "li").states_max_abs == 0.0
    values = layer(got, "output")
    assert (values.jaccard, values.van_rossum, values.victor_purpura) == (1.0, 0.0, 0.0)
    assert (values.spikes_expected, values.spikes_actual, values.explained, values.consequences) == (0, 0, 0, 0)
    assert got.allowed_flips == 0


@pytest.mark.parametrize(
    ("cell", "quantity"),
    [
        (("spikes", "a", (2, 1, 0, 1)), "spikes"),
        (("spikes", "b", (5, 2, 2)), "spikes"),
        (("outputs", "output", (0, 0, 3)), "output"),
        (("state", "a.v", (2, 1, 1)), "v"),
        (("state", "li.v", (0, 3)), "v"),
    ],
)
@pytest.mark.parametrize("with_bounds", [False, True])
def test_one_cell_that_differs_is_found_and_named(cell: Any, quantity: str, with_bounds: bool) -> None:
    actual = changed(REFERENCE, cell)
    got = compare(REFERENCE, actual, rung=1, bounds=bounds(REFERENCE) if with_bounds else None)
    assert not got.equal
    kind, name, index = cell
    node = name.partition(".")[0]
    step, sample, *rest = (T - 1, *index) if kind == "state" else index
    assert got.first_divergence is not None
    found = got.first_divergence
    assert (found.node, found.step, found.sample, found.index) == (node, step, sample, tuple(rest))
    assert found.quantity == quantity
    assert abs(found.expected - found.actual) == pytest.approx(1)
    if kind == "state":
        assert layer(got, node).states_equal is False
        assert layer(got, node).states_max_abs == pytest.approx(1)
    else:
        assert layer(got, node).differing == 1
        assert layer(got, node).explained == 0


def test_every_single_changed_cell_fails_the_comparison() -> None:
    """A comparison that must fail, fails: each cell of all that two runs hold."""
    cells: list[Any] = [
        ("spikes", n, index) for n, raster in REFERENCE.spikes.items() for index in np.ndindex(raster.shape)
    ]
    cells += [("outputs", "output", index) for index in np.ndindex(T, B, 4)]
    cells += [("state", "a.v", index) for index in np.ndindex(B, 2, 2)]
    cells += [("state", "li.v", index) for index in np.ndindex(B, 4)]
    for cell in cells:
        for bounding in (None, bounds(REFERENCE)):
            assert not compare(REFERENCE, changed(REFERENCE, cell), rung=1, bounds=bounding).equal, cell


def test_a_flip_near_the_threshold_is_explained_and_what_follows_is_its_consequence() -> None:
    flip = ("a", (2, 1, 0, 1))
    actual = changed(
        REFERENCE,
        ("spikes", *flip),
        ("spikes", "a", (2, 1, 1, 1)),
        ("spikes", "b", (2, 1, 0)),
        ("spikes", "b", (4, 1, 2)),
        ("outputs", "output", (2, 1, 0)),
        ("outputs", "output", (5, 1, 0)),
        ("state", "li.v", (1, 0)),
    )
    got = compare(REFERENCE, actual, rung=1, bounds=bounds(REFERENCE, (flip,), own=actual))
    assert got.equal
    assert got.first_divergence is None
    assert (got.explained_flips, got.allowed_flips) == (1, 1)
    assert [(found.differing, found.explained, found.consequences) for found in got.layers] == [
        (2, 1, 1),
        (2, 0, 2),
        (0, 0, 0),
        (0, 0, 0),
    ]
    assert layer(got, "a").jaccard < 1
    assert layer(got, "a").van_rossum > 0
    assert layer(got, "a").victor_purpura > 0


def test_states_of_a_sample_with_a_flip_are_judged_along_its_own_spikes() -> None:
    flip = ("a", (2, 0, 0, 1))
    actual = changed(REFERENCE, ("spikes", *flip), ("state", "li.v", (0, 1)), ("state", "li.v", (2, 3)))
    wrong = compare(REFERENCE, actual, rung=1, bounds=bounds(REFERENCE, (flip,)))
    assert wrong.first_divergence is not None
    assert (wrong.first_divergence.node, wrong.first_divergence.sample) == ("li", 0)
    got = compare(REFERENCE, actual, rung=1, bounds=bounds(REFERENCE, (flip,), own=actual))
    assert not got.equal
    assert got.first_divergence is not None
    assert (got.first_divergence.node, got.first_divergence.sample, got.first_divergence.index) == ("li", 2, (3,))


def test_after_an_explained_flip_a_spike_against_its_own_run_is_a_divergence() -> None:
    flip, later = ("a", (2, 1, 0, 1)), ("b", (4, 1, 2))
    actual = changed(REFERENCE, ("spikes", *flip), ("spikes", *later))
    got = compare(REFERENCE, actual, rung=1, bounds=bounds(REFERENCE, (flip,), own=actual, against=(later,)))
    assert not got.equal
    assert got.first_divergence is not None
    assert (got.first_divergence.node, got.first_divergence.step, got.first_divergence.index) == ("b", 4, (2,))
    assert [(found.differing, found.consequences) for found in got.layers][:2] == [(1, 0), (1, 0)]


def test_after_an_explained_flip_a_spike_that_only_the_reference_shares_is_a_divergence_too() -> None:
    flip, later = ("a", (2, 1, 0, 1)), ("b", (4, 1, 2))
    actual = changed(REFERENCE, ("spikes", *flip))
    got = compare(REFERENCE, actual, rung=1, bounds=bounds(REFERENCE, (flip,), own=actual, against=(later,)))
    assert not got.equal
    assert got.first_divergence is not None
    assert got.first_divergence.node == "b"
    assert [(found.differing, found.consequences) for found in got.layers][:2] == [(1, 0), (1, 0)]


def test_after_an_explained_flip_a_spike_within_the_bound_of_its_own_run_is_no_other_flip() -> None:
    """Flips are first differences; the reference, too, is within its bound of the float64 run and not always on it."""
    flip, later = ("a", (2, 1, 0, 1)), ("b", (4, 1, 2))
    actual = changed(REFERENCE, ("spikes", *flip), ("spikes", *later))
    got = compare(REFERENCE, actual, rung=1, bounds=bounds(REFERENCE, (flip, later), own=actual, against=(later,)))
    assert (got.explained_flips, got.allowed_flips) == (1, 1)
    assert got.equal
    assert [(found.differing, found.explained, found.consequences) for found in got.layers][:2] == [
        (1, 1, 0),
        (1, 0, 1),
    ]


def test_nothing_explains_a_flip_of_a_population_whose_inputs_are_exact() -> None:
    flip = ("a", (2, 1, 0, 1))
    actual = changed(REFERENCE, ("spikes", *flip))
    for name, equal in (("a", False), ("b", True)):
        judge = bounds(REFERENCE, (flip,), own=actual, exact=frozenset({name}))
        assert compare(REFERENCE, actual, rung=1, bounds=judge).equal is equal


def test_after_a_divergence_the_layers_behind_are_judged_on() -> None:
    actual = changed(
        REFERENCE, ("spikes", "a", (0, 1, 0, 1)), ("outputs", "output", (4, 1, 2)), ("state", "li.v", (1, 0))
    )
    got = compare(REFERENCE, actual, rung=1, bounds=bounds(REFERENCE))
    assert layer(got, "output").differing == 1
    assert layer(got, "li").states_equal is False


def test_without_bounds_the_same_flip_is_a_divergence() -> None:
    assert not compare(REFERENCE, changed(REFERENCE, ("spikes", "a", (2, 1, 0, 1))), rung=1).equal


def test_a_difference_before_the_explained_flip_is_a_divergence() -> None:
    flip = ("a", (2, 1, 0, 1))
    actual = changed(REFERENCE, ("spikes", *flip), ("outputs", "output", (1, 1, 0)))
    got = compare(REFERENCE, actual, rung=1, bounds=bounds(REFERENCE, (flip,)))
    assert not got.equal
    assert got.first_divergence is not None
    assert (got.first_divergence.node, got.first_divergence.step) == ("output", 1)


def test_a_difference_in_another_sample_is_no_consequence() -> None:
    flip = ("a", (2, 1, 0, 1))
    actual = changed(REFERENCE, ("spikes", *flip), ("spikes", "a", (3, 0, 0, 0)))
    got = compare(REFERENCE, actual, rung=1, bounds=bounds(REFERENCE, (flip,)))
    assert not got.equal
    assert got.first_divergence is not None
    assert (got.first_divergence.sample, got.first_divergence.step) == (0, 3)
    assert got.explained_flips == 1
    assert layer(got, "a").differing == 2
    assert layer(got, "a").consequences == 0


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (("spikes", "b", (1, 0, 0)), ("spikes", "a", (2, 0, 0, 0))),
        (("spikes", "a", (2, 0, 1, 1)), ("spikes", "b", (2, 0, 0))),
        (("spikes", "a", (2, 0, 0, 1)), ("spikes", "a", (2, 0, 1, 0))),
    ],
    ids=["an earlier step", "a layer in front", "a lower index"],
)
def test_only_the_first_difference_of_a_sample_can_be_explained(earlier: Any, later: Any) -> None:
    actual = changed(REFERENCE, earlier, later)
    first = compare(REFERENCE, actual, rung=1, bounds=bounds(REFERENCE, (earlier[1:],)))
    assert first.equal
    assert first.explained_flips == 1
    second = compare(REFERENCE, actual, rung=1, bounds=bounds(REFERENCE, (later[1:],)))
    assert not second.equal
    assert second.explained_flips == 0
    assert second.first_divergence is not None
    assert second.first_divergence.node == earlier[1]


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        ([("spikes", "b", (3, 0, 0)), ("spikes", "a", (4, 1, 0, 0))], ("b", 3, 0, (0,))),
        ([("spikes", "b", (3, 0, 0)), ("spikes", "a", (3, 1, 0, 0))], ("a", 3, 1, (0, 0))),
        ([("spikes", "a", (3, 2, 0, 0)), ("spikes", "a", (3, 1, 1, 1))], ("a", 3, 1, (1, 1))),
        ([("spikes", "a", (3, 1, 1, 0)), ("spikes", "a", (3, 1, 0, 1))], ("a", 3, 1, (0, 1))),
        ([("outputs", "output", (3, 0, 1)), ("spikes", "b", (3, 1, 0))], ("b", 3, 1, (0,))),
        ([("outputs", "output", (2, 0, 1)), ("spikes", "b", (3, 1, 0))], ("output", 2, 0, (1,))),
        ([("outputs", "output", (5, 2, 1)), ("state", "li.v", (0, 0))], ("output", 5, 2, (1,))),
    ],
)
def test_the_first_divergence_is_by_step_then_depth_then_sample_then_index(cells: Any, first: Any) -> None:
    for order in (cells, cells[::-1]):
        found = compare(REFERENCE, changed(REFERENCE, *order), rung=1).first_divergence
        assert found is not None
        assert (found.node, found.step, found.sample, found.index) == first


def test_of_two_outputs_that_differ_at_one_step_the_first_is_named() -> None:
    outputs = {"z": np.zeros((T, B, 2)), "y": np.ones((T, B, 2)), "x": np.arange(B * 2.0 * T).reshape(T, B, 2)}
    run = reference(outputs=outputs)
    cells = [("outputs", "x", (3, 0, 0)), ("outputs", "y", (3, 2, 1)), ("spikes", "b", (3, 2, 2))]
    for first in ("x", "y", "b"):
        found = compare(run, changed(run, *cells), rung=1).first_divergence
        assert found is not None
        assert found.node == {"x": "b", "y": "y", "b": "x"}[first]
        cells = [cell for cell in cells if cell[1] != found.node]


def test_more_explained_flips_than_one_in_a_million_are_too_many() -> None:
    flips = tuple(("a", (2, sample, 0, 1)) for sample in (0, 1))
    actual = changed(REFERENCE, *(("spikes", *flip) for flip in flips))
    got = compare(REFERENCE, actual, rung=1, bounds=bounds(REFERENCE, flips))
    assert (got.explained_flips, got.allowed_flips) == (2, 1)
    assert not got.equal
    assert got.first_divergence is None


def test_one_flip_in_a_million_neuron_steps_is_allowed() -> None:
    raster = np.zeros((1000, 3, 1000), bool)
    raster[0] = True
    run = Run({"a": raster}, {"output": raster.astype(np.float32)}, "reference")
    flips = tuple(("a", (9, sample, 7)) for sample in range(3))
    actual = changed(run, *(("spikes", *flip) for flip in flips))
    actual = replace(actual, outputs={"output": actual.spikes["a"].astype(np.float32)})
    got = compare(run, actual, rung=1, bounds=bounds(run, flips))
    assert (got.explained_flips, got.allowed_flips) == (3, 3)
    assert got.equal
    assert got.first_divergence is None


@pytest.mark.parametrize(("error", "explained"), [(0.1, True), (0.0999, False), (np.inf, False), (np.nan, False)])
def test_a_flip_is_explained_up_to_its_bound_and_by_a_finite_bound_only(error: float, explained: bool) -> None:
    flip = ("a", (2, 1, 0, 1))
    margins = bounds(REFERENCE, (flip,), error=error)
    reading = Run(REFERENCE.spikes, {}, "reference")
    got = compare(
        reading, replace(changed(REFERENCE, ("spikes", *flip)), outputs={}, final_state={}), rung=1, bounds=margins
    )
    assert got.equal is explained
    assert got.explained_flips == explained


@pytest.mark.parametrize("side", ["reference", "actual", "both"])
@pytest.mark.parametrize("by", [0.2, 0.3, np.nan, np.inf, -np.inf])
def test_a_value_is_equal_within_its_bound_and_nothing_else_is(side: str, by: float) -> None:
    """Each of the two runs has to be near the float64 run; NaN and infinity are near nothing."""
    exact = bounds(REFERENCE)
    moved = changed(REFERENCE, ("outputs", "output", (1, 1, 1)), by=by)
    still = changed(REFERENCE)
    pair = {"reference": (moved, still), "actual": (still, moved), "both": (moved, moved)}[side]
    got = compare(*pair, rung=1, bounds=exact)
    assert got.equal is (by == 0.2)
    assert layer(got, "output").differing == (by != 0.2)


@pytest.mark.parametrize("by", [0.2, 0.3, np.nan, np.inf])
def test_a_final_state_is_equal_within_its_bound_and_nothing_else_is(by: float) -> None:
    got = compare(REFERENCE, changed(REFERENCE, ("state", "li.v", (1, 1)), by=by), rung=1, bounds=bounds(REFERENCE))
    assert got.equal is (by == 0.2)
    assert layer(got, "li").states_max_abs == pytest.approx(by if np.isfinite(by) else np.inf)


@pytest.mark.parametrize("error", [np.nan, np.inf])
def test_a_bound_that_is_not_finite_makes_no_value_equal(error: float) -> None:
    assert not compare(REFERENCE, changed(REFERENCE), rung=1, bounds=bounds(REFERENCE, error=error)).equal


def test_nan_in_both_runs_is_not_equal() -> None:
    moved = changed(REFERENCE, ("outputs", "output", (1, 1, 1)), by=np.nan)
    assert not compare(moved, moved, rung=1).equal


def spiking_output(actual_from: str) -> tuple[Run, Run]:
    """The output is population a; in the actual run it is wired to another one of the same shape."""
    generator = np.random.default_rng(1)
    rasters = {name: generator.random((T, B, 4)) < 0.5 for name in ("a", "b")}
    run = Run(rasters, {"output": rasters["a"].astype(np.float32)}, "reference")
    return run, replace(run, outputs={"output": rasters[actual_from].astype(np.float32)})


def test_an_output_that_is_a_populations_raster_is_judged_with_it() -> None:
    got = compare(*spiking_output("a"), rung=1)
    assert got.equal
    assert [found.node for found in got.layers] == ["a", "b"]


@pytest.mark.parametrize("with_bounds", [False, True])
def test_an_output_wired_to_the_wrong_population_is_found(with_bounds: bool) -> None:
    run, actual = spiking_output("b")
    got = compare(run, actual, rung=1, bounds=bounds(run, error=0.0) if with_bounds else None)
    assert not got.equal
    assert got.first_divergence is not None
    assert got.first_divergence.node == "output"


def test_a_silent_layer_makes_the_comparison_vacuous() -> None:
    silent = {**REFERENCE.spikes, "b": np.zeros((T, B, 3), bool)}
    run = reference(spikes=silent)
    got = compare(run, run, rung=1)
    assert got.equal
    assert got.vacuous
    assert got.silent == ("b",)


@pytest.mark.parametrize(
    ("output", "vacuous"),
    [
        (np.zeros((T, B, 4)), True),
        (np.broadcast_to(np.arange(4.0), (T, B, 4)), True),
        (np.broadcast_to(np.arange(T)[:, None, None], (T, B, 4)), False),
        (np.broadcast_to(np.arange(B)[None, :, None], (T, B, 4)), False),
        (np.arange(4.0).reshape(1, 1, 4), False),
        (np.ones((1, 1, 4)), True),
    ],
    ids=["zeros", "the bias", "a course in time", "one for each sample", "one step", "one step, all equal"],
)
def test_without_populations_a_constant_output_is_vacuous(output: Array, vacuous: bool) -> None:
    run = Run({}, {"output": output}, "reference")
    got = compare(run, run, rung=1)
    assert got.equal
    assert got.vacuous is vacuous


def test_spikes_make_a_constant_output_no_matter() -> None:
    assert not compare(*[reference(outputs={"output": np.zeros((T, B, 4))})] * 2, rung=1).vacuous


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "a population less": ({"spikes": {"a": REFERENCE.spikes["a"]}}, "b"),
    "a population more": ({"spikes": {**REFERENCE.spikes, "c": REFERENCE.spikes["a"]}}, "c"),
    "a step less": ({"spikes": {**REFERENCE.spikes, "a": REFERENCE.spikes["a"][1:]}}, "a"),
    "a sample less": ({"spikes": {**REFERENCE.spikes, "a": REFERENCE.spikes["a"][:, 1:]}}, "a"),
    "another shape": ({"spikes": {**REFERENCE.spikes, "a": REFERENCE.spikes["a"].reshape(T, B, 4)}}, "a"),
    "an output of another shape": ({"outputs": {"output": np.zeros((T, B, 1))}}, "output"),
    "another output": ({"outputs": {"other": REFERENCE.outputs["output"]}}, "other"),
    "no states": ({"final_state": {}}, "a"),
    "another variable": ({"final_state": {**REFERENCE.final_state, "li": {"i": np.zeros((B, 4))}}}, "li"),
    "a state of another shape": ({"final_state": {**REFERENCE.final_state, "li": {"v": np.zeros((B, 1))}}}, "li"),
}


@pytest.mark.parametrize(("changes", "where"), OTHERS.values(), ids=OTHERS)
def test_runs_of_different_networks_are_not_compared(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(UsageError, match="the two runs have not the same") as caught:
        compare(REFERENCE, reference(**changes), rung=1)
    assert caught.value.where == where
    assert caught.value.fix


def test_a_reference_without_states_compares_none() -> None:
    assert compare(reference(final_state={}), REFERENCE, rung=1).equal


def test_runs_that_hold_nothing_are_not_compared() -> None:
    with pytest.raises(UsageError, match="neither spikes nor outputs"):
        compare(Run({}, {}, "a"), Run({}, {}, "b"), rung=1)


def test_the_order_of_the_actual_runs_populations_does_not_matter() -> None:
    actual = reference(spikes=dict(reversed(REFERENCE.spikes.items())))
    got = compare(REFERENCE, actual, rung=1)
    assert got.equal
    assert [found.node for found in got.layers][:2] == ["a", "b"]


def test_samples_judged_in_pieces_give_the_same_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    flip = ("a", (2, 1, 0, 1))
    actual = changed(
        REFERENCE,
        ("spikes", *flip),
        ("spikes", "b", (4, 1, 2)),
        ("spikes", "b", (3, 2, 0)),
        ("outputs", "output", (5, 0, 0)),
        ("state", "a.v", (0, 0, 0)),
    )
    asked = []

    def counting(part: Array, along: Mapping[str, Array]) -> Bounds:
        asked.append(part.tolist())
        return bounds(REFERENCE, (flip,), own=actual)(part, along)  # type: ignore[no-any-return]

    whole = compare(REFERENCE, actual, rung=1, bounds=counting)
    assert asked == [[0, 1, 2], [1]]
    asked.clear()
    monkeypatch.setattr(judging, "_CHUNK_BYTES", 1)
    assert compare(REFERENCE, actual, rung=1, bounds=counting) == whole
    assert asked == [[0], [1], [1], [2]]
    assert whole.first_divergence == Divergence("b", 3, 2, (0,), "spikes", *_values(REFERENCE, actual, "b", (3, 2, 0)))


def _values(expected: Run, got: Run, name: str, index: tuple[int, ...]) -> tuple[float, float]:
    return float(expected.spikes[name][index]), float(got.spikes[name][index])


def test_spike_counts_above_one_are_compared_as_numbers() -> None:
    counts = np.array([[[0, 2, 1]]], np.int32)
    run = Run({"a": counts}, {}, "reference")
    got = compare(run, replace(run, spikes={"a": np.array([[[0, 1, 1]]], np.int32)}), rung=1)
    assert not got.equal
    assert (layer(got, "a").spikes_expected, layer(got, "a").spikes_actual) == (3, 2)
    assert got.first_divergence is not None
    assert (got.first_divergence.expected, got.first_divergence.actual) == (2.0, 1.0)


def test_the_distance_of_values_is_their_largest_and_their_mean() -> None:
    actual = changed(REFERENCE, ("outputs", "output", (2, 1, 3)), by=2.0)
    layers = {layer.node: layer for layer in compare(REFERENCE, actual, rung=2).layers}
    size = REFERENCE.outputs["output"].size
    assert layers["output"].values_max_abs == pytest.approx(2.0)
    assert layers["output"].values_mean_abs == pytest.approx(2.0 / size)
    assert layers["a"].values_max_abs is None
    broken = changed(REFERENCE, ("outputs", "output", (2, 1, 3)), by=np.nan)
    assert {layer.node: layer for layer in compare(REFERENCE, broken, rung=2).layers}["output"].values_max_abs == np.inf


def test_a_spike_that_differs_goes_before_values_where_that_is_asked_for() -> None:
    actual = changed(REFERENCE, ("outputs", "output", (0, 0, 0)), ("spikes", "b", (3, 1, 2)))
    plain, spikes = (compare(REFERENCE, actual, rung=2, spikes_first=first).first_divergence for first in (False, True))
    assert plain is not None
    assert spikes is not None
    assert (plain.node, plain.step) == ("output", 0)
    assert (spikes.node, spikes.step, spikes.sample, spikes.index) == ("b", 3, 1, (2,))
    only = compare(REFERENCE, changed(REFERENCE, ("outputs", "output", (0, 0, 0))), rung=2, spikes_first=True)
    assert only.first_divergence == plain
