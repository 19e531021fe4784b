"""Order and delays of graphs that say nothing of them."""

from __future__ import annotations

import random
import time

import pytest

from norse_export.formats.nir.structure import Structure, natural_key, structure_of


def found(links: str, neurons: str = "", inputs: str = "i", delays: dict[str, bool] | None = None) -> Structure:
    pairs = [tuple(link.split(">")) for link in links.split()]
    names = dict.fromkeys(name for pair in pairs for name in pair)
    return structure_of(names, pairs, set(inputs.split()), set(neurons.split()), delays)  # type: ignore[arg-type]


def delayed(structure: Structure) -> list[tuple[str, str]]:
    return [(edge.source, edge.target) for edge in structure.edges if edge.delay_steps]


def test_numbers_in_names_sort_by_value() -> None:
    names = ["10", "2", "1.10", "1.9", "b", "a10", "a9", "02", "2x", ""]
    assert sorted(names, key=natural_key) == ["", "1.9", "1.10", "02", "2", "2x", "10", "a9", "a10", "b"]


def test_names_that_differ_only_in_leading_zeros_stay_apart() -> None:
    assert natural_key("01") != natural_key("1")


def test_order_is_topological_and_ties_are_natural() -> None:
    assert found("i>10 i>2 2>o 10>o").names == ("i", "2", "10", "o")
    assert found("b>a i>b").names == ("i", "b", "a")


def test_edges_into_a_node_stand_in_the_order_of_their_sources() -> None:
    structure = found("9>o 10>o i>10 i>9")
    assert [edge.source for edge in structure.edges if edge.target == "o"] == ["9", "10"]


def test_a_loop_is_delayed_behind_its_neuron() -> None:
    structure = found("i>w w>n n>r r>n n>o", neurons="n")
    assert structure.names == ("i", "w", "n", "o", "r")
    assert delayed(structure) == [("n", "r")]
    assert [edge.source for edge in structure.edges if edge.target == "n"] == ["w", "r"]


def test_a_neuron_that_feeds_itself_is_delayed() -> None:
    assert delayed(found("i>n n>n n>o", neurons="n")) == [("n", "n")]


def test_of_two_neurons_on_a_loop_the_last_one_is_delayed() -> None:
    assert delayed(found("i>a a>b b>w w>a b>o", neurons="a b")) == [("b", "w")]


def test_the_loop_may_close_at_a_node_without_a_state() -> None:
    assert delayed(found("i>s s>n n>w w>s n>o", neurons="n")) == [("n", "w")]


def test_a_neuron_outside_the_loop_is_not_delayed() -> None:
    assert delayed(found("i>m i>n m>w n>w w>n n>o", neurons="m n")) == [("n", "w")]
    assert delayed(found("i>z i>n z>w n>w w>n n>o", neurons="z n")) == [("n", "w")]


def test_the_search_starts_at_the_inputs() -> None:
    assert delayed(found("i>b b>a a>b b>o", neurons="a b")) == [("a", "b")]


def test_two_loops_through_one_neuron_are_both_delayed() -> None:
    assert delayed(found("i>n n>v v>n n>w w>n n>o", neurons="n")) == [("n", "v"), ("n", "w")]


def test_without_a_loop_nothing_is_delayed() -> None:
    assert delayed(found("i>a a>b i>b b>o a>o", neurons="a b")) == []


def test_a_loop_without_a_neuron_is_a_finding_that_names_it() -> None:
    structure = found("i>a a>b b>a b>n n>o n>a", neurons="n")
    (finding,) = structure.findings
    assert finding.kind == "loop"
    assert "'a', 'b'" in finding.message
    assert "cycle" in finding.message
    assert finding.fix


def test_every_loop_without_a_neuron_is_found() -> None:
    assert len(found("i>a a>a a>b b>c c>b c>o").findings) == 2


@pytest.mark.parametrize("seed", range(40))
def test_every_loop_of_a_random_graph_is_broken(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    n = rng.randint(3, 12)
    names = [str(k) for k in range(n)]
    links = {(rng.choice(names), rng.choice(names)) for _ in range(rng.randint(n, 3 * n))}
    neurons = {name for name in names if rng.random() < 0.6}
    structure = structure_of(names, links, {"0"}, neurons)
    instant = {(edge.source, edge.target) for edge in structure.edges if not edge.delay_steps}
    assert {(edge.source, edge.target) for edge in structure.edges} == links
    assert sorted(structure.names) == sorted(names)
    forked = {source for source, _ in instant}  # a layer that also leads out of the loop
    assert all(source in neurons or source in forked for source, _ in delayed(structure))
    if not structure.findings:
        assert not _has_cycle(instant)
        assert bool(delayed(structure)) == _has_cycle(links)
    else:
        assert _has_cycle({(a, b) for a, b in links if a not in neurons and b not in neurons})


def _has_cycle(links: set[tuple[str, str]]) -> bool:
    while True:
        targets = {b for _, b in links}
        left = {(a, b) for a, b in links if a in targets}
        if left == links:
            return bool(links)
        links = left


def test_a_large_tangle_takes_seconds() -> None:
    rng = random.Random(1)  # noqa: S311
    names = [str(k) for k in range(20_000)]
    links = {(rng.choice(names), rng.choice(names)) for _ in range(60_000)}
    start = time.perf_counter()
    structure = structure_of(names, links, {"0"}, set(names))
    assert time.perf_counter() - start < 10
    assert delayed(structure)


def test_a_layer_that_also_leads_out_of_a_loop_passes_on_at_once() -> None:
    assert delayed(found("i>n n>scale scale>n scale>o", "n")) == [("scale", "n")]
    assert delayed(found("i>n n>scale scale>n n>o", "n")) == [("n", "scale")]


def test_a_loop_through_a_delay_takes_as_long_as_that() -> None:
    for neurons in ("n", ""):  # with a delay of a step or more no neuron is needed
        structure = found("i>n n>d d>n n>o", neurons, delays={"d": True})
        assert (delayed(structure), structure.findings, structure.lasting) == ([], (), frozenset())


def test_a_delay_that_may_be_none_lasts_a_step_where_a_loop_closes_through_it() -> None:
    structure = found("i>n n>d d>n n>o i>e e>n", "n", delays={"d": False, "e": False})
    assert (delayed(structure), structure.findings, structure.lasting) == ([], (), frozenset({"d"}))
    (finding,) = found("i>s s>d d>s s>o", delays={"d": False}).findings
    assert "a cycle without a neuron" in finding.message


def test_a_loop_beside_one_through_a_delay_takes_a_step() -> None:
    assert delayed(found("i>n n>w w>n n>d d>n n>o", "n", delays={"d": True})) == [("n", "w")]
