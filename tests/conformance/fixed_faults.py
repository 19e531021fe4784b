"""Deliberately wrong executions: the suite has to tell each of them from the right one.

A fault of a law, of weights or of edges is a change of the graph; a fault of the machinery is a change of the emulator
while it runs. Each names the case that is there to expose it; that a case exposes it at all shows that it is a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from faulty_conv import conv_faults
from faulty_programs import program_faults
from fixed_builder import Case
from numpy.typing import NDArray

from norse_export.interpret import fixed
from norse_export.ir.fixed import Delivery, DenseSynapses, Population, SparseSynapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.run import Run
from norse_export.program import operations
from norse_export.program.operations import FLOOR, Rounding

Array = NDArray[Any]
Execution = Callable[[Case, pytest.MonkeyPatch], Run]


@dataclass(frozen=True)
class Fault:
    """A wrong execution, and the name of the case that is to expose it."""

    name: str
    exposed_by: str
    execute: Execution


def run(case: Case) -> Run:
    return fixed.emulate(case.graph, case.inputs, states=True)


def of_graph(change: Callable[[Graph[Any]], Graph[Any]]) -> Execution:
    return lambda case, patch: run(Case(change(case.graph), case.inputs))


def of_nodes(kind: Any, change: Callable[[Any], Any]) -> Execution:
    return of_graph(lambda graph: graph.map(lambda _, node: change(node) if isinstance(node, kind) else node))


def of_edges(change: Callable[[Edge], Edge]) -> Execution:
    return of_graph(lambda graph: Graph(graph.nodes, tuple(change(edge) for edge in graph.edges)))


def of_emulator(change: Callable[[pytest.MonkeyPatch], None]) -> Execution:
    def execute(case: Case, patch: pytest.MonkeyPatch) -> Run:
        with patch.context() as undone:
            change(undone)
            return run(case)

    return execute


# Edges


def _without_delays(graph: Graph[Any]) -> Graph[Any]:
    looped = {edge for edge in graph.edges if edge.delay_steps and _leads_back(graph, edge)}
    return Graph(graph.nodes, tuple(replace(e, delay_steps=1 if e in looped else 0) for e in graph.edges))


def _leads_back(graph: Graph[Any], edge: Edge) -> bool:
    reached, waiting = set(), [edge.target]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [other.target for other in graph.outgoing(name)]
    return edge.source in reached


def _later(edge: Edge) -> Edge:
    return replace(edge, delay_steps=edge.delay_steps + (edge.delay_steps > 0))


def _ring_of_8(edge: Edge) -> Edge:
    return replace(edge, delay_steps=edge.delay_steps % 8)


def _first_projection_only(graph: Graph[Any]) -> Graph[Any]:
    seen: set[tuple[str, str]] = set()
    dropped: set[str] = set()
    for edge in graph.edges:
        if isinstance(graph.nodes[edge.target], Population):
            dropped |= {edge.source} if (edge.target, edge.port) in seen else set()
            seen.add((edge.target, edge.port))
    nodes = {name: node for name, node in graph.nodes.items() if name not in dropped}
    return Graph(nodes, tuple(edge for edge in graph.edges if not {edge.source, edge.target} & dropped))


def _ports_exchanged(graph: Graph[Any]) -> Graph[Any]:
    def other(edge: Edge) -> Edge:
        ports = graph.nodes[edge.target].ports
        return replace(edge, port=ports[len(ports) - 1 - ports.index(edge.port)])

    return Graph(graph.nodes, tuple(map(other, graph.edges)))


# Weights and deliveries

SYNAPSES = fixed.Synapses


def _transposed(node: DenseSynapses) -> DenseSynapses:
    square = node.weight.shape[0] == node.weight.shape[1]
    return replace(node, weight=node.weight.T.copy()) if square else node


def _last_of_a_pair(node: SparseSynapses) -> SparseSynapses:
    """Of several synapses between one pair of cells the last counts alone."""
    weight = node.weight.copy()
    source = np.repeat(np.arange(len(node.starts) - 1), np.diff(node.starts))
    pairs = list(zip(source.tolist(), node.targets.tolist(), strict=True))
    for number, pair in enumerate(pairs):
        if pair in pairs[number + 1 :]:
            weight[number] = 0
    return replace(node, weight=weight)


def _neighbours_synapses(node: SparseSynapses) -> SparseSynapses:
    """The list of each source begins one synapse too late."""
    return replace(node, starts=np.array([0, *np.minimum(node.starts[1:-1] + 1, node.starts[-1]), node.starts[-1]]))


def _each_weight_shifted(node: Any) -> Any:
    right = max(0, -node.delivery.shift)
    delivery = replace(node.delivery, shift=max(0, node.delivery.shift))
    return replace(node, weight=node.weight >> right, delivery=delivery)


def _low_bit_dropped(node: Any) -> Any:
    return replace(node, weight=node.weight & ~np.ones_like(node.weight))


def _symmetric(node: Any) -> Any:
    return replace(node, weight=np.maximum(node.weight, -np.iinfo(node.weight.dtype).max))


def _unsigned(node: Any) -> Any:
    wide = node.weight.astype(np.int32)
    return replace(node, weight=wide % 256 if node.weight.dtype == np.int8 else wide)


def _without(**delivery: Any) -> Callable[[Any], Any]:
    return lambda node: replace(node, delivery=replace(node.delivery, **delivery))


def _shifted_then_wrapped(patch: pytest.MonkeyPatch) -> None:
    right = fixed.delivered

    def wrong(delivery: Delivery, total: Array) -> Array:
        shifted = right(replace(delivery, wrap_bits=None), total)
        return right(replace(delivery, shift=0), shifted)

    patch.setattr(fixed, "delivered", wrong)


def _delivered_toward_zero(patch: pytest.MonkeyPatch) -> None:
    def wrong(a: Array, bits: int, rounding: Rounding) -> Any:
        return operations.shift_right(a, bits, operations.TOWARD_ZERO if rounding is FLOOR else rounding)

    patch.setattr(fixed, "shift_right", wrong)


# Events and sums


def _of_events(change: Callable[[Array], Array]) -> Callable[[pytest.MonkeyPatch], None]:
    right = fixed.summed
    return lambda patch: patch.setattr(fixed, "summed", lambda name, node, x: right(name, node, change(x)))


def _of_sums(change: Callable[[Array], Array]) -> Callable[[pytest.MonkeyPatch], None]:
    right = fixed.summed
    return lambda patch: patch.setattr(fixed, "summed", lambda name, node, x: change(right(name, node, x)))


def _narrow_sums(total: Array) -> Array:
    return total.astype(np.int16).astype(np.int64)


def _each_projection_saturates(patch: pytest.MonkeyPatch) -> None:
    """The sum over projections does not, only each of them."""
    tops = {"exc": 50, "inh": 20}
    right = fixed.summed

    def wrong(name: str, node: Any, x: Array) -> Array:
        top = next((top for port, top in tops.items() if f".{port}." in name), None)
        total = right(name, node, x)
        return total if top is None else np.minimum(total, top)

    patch.setattr(fixed, "summed", wrong)
    population = fixed._Integers.population

    def unsaturated(self: Any, name: str, node: Population, ports: Any) -> Array:
        return population(self, name, replace(node, saturated={}), ports)

    patch.setattr(fixed._Integers, "population", unsaturated)


def _spikes_for_payloads(node: Population) -> Population:
    program = node.program
    return replace(node, program=replace(program, output=program.output if program.spike is None else program.spike))


# States


def _state_kept_between_samples(case: Case, patch: pytest.MonkeyPatch) -> Run:
    """Each sample begins with the state that the one before it left."""
    graph, runs = case.graph, []
    for sample in range(next(iter(case.inputs.values())).shape[1]):
        raster = {name: values[:, sample : sample + 1] for name, values in case.inputs.items()}
        runs.append(fixed.emulate(graph, raster, states=True, first_sample=sample))
        left = runs[-1].final_state
        graph = graph.map(
            lambda name, node, left=left: (
                replace(node, initial_state={key: value[0] for key, value in left[name].items()})
                if isinstance(node, Population)
                else node
            )
        )
    return _joined(runs)


def _joined(runs: list[Run]) -> Run:
    def joined(each: list[Mapping[str, Array]], axis: int) -> dict[str, Array]:
        return {name: np.concatenate([arrays[name] for arrays in each], axis) for name in each[0]}

    return Run(
        spikes=joined([r.spikes for r in runs], 1),
        outputs=joined([r.outputs for r in runs], 1),
        ran_by="emulation",
        observables={n: joined([r.observables[n] for r in runs], 1) for n in runs[0].observables},
        final_state={n: joined([r.final_state[n] for r in runs], 0) for n in runs[0].final_state},
    )


def _no_state(variable: str) -> Execution:
    def change(node: Population) -> Population:
        return replace(node, initial_state={k: v * (k != variable) for k, v in node.initial_state.items()})

    return of_nodes(Population, change)


def _parameter(name: str, change: Callable[[Array], Array]) -> Execution:
    def changed(node: Population) -> Population:
        return replace(node, parameters={k: change(v) if k == name else v for k, v in node.parameters.items()})

    return of_nodes(Population, changed)


def _first_neurons(node: Population) -> Population:
    """All neurons have the parameters of the first."""
    return replace(node, parameters={k: np.full(node.shape, v.flat[0]) for k, v in node.parameters.items()})


# Time, random numbers, rounding


def _clock_from_1(patch: pytest.MonkeyPatch) -> None:
    right = fixed.evaluate
    patch.setattr(fixed, "evaluate", lambda program, values, t: right(program, values, t + 1))


def _of_random(**constant: Any) -> Execution:
    """Random numbers that do not depend on something they should depend on."""
    right = fixed.random_words

    def change(patch: pytest.MonkeyPatch) -> None:
        def wrong(seed: int, **counter: Any) -> Any:
            given = {"seed": seed, **counter}
            kept = {key: (make(given[key]) if callable(make) else make) for key, make in constant.items()}
            given |= kept
            return right(given.pop("seed"), **given)

        patch.setattr(fixed, "random_words", wrong)

    return of_emulator(change)


def _divided(wrong: Callable[..., Any]) -> Execution:
    right = operations._divided
    return of_emulator(lambda patch: patch.setattr(operations, "_divided", lambda *args: wrong(right, *args)))


def _half_up(right: Any, a: Any, bits: int, rounding: Rounding, noise: Any) -> Any:
    if rounding is not Rounding.HALF_EVEN or not bits:
        return right(a, bits, rounding, noise)
    return (a + (1 << (bits - 1))) >> bits


def _half_away(right: Any, a: Any, bits: int, rounding: Rounding, noise: Any) -> Any:
    size = _half_up(right, np.abs(a), bits, rounding, noise)
    return np.where(a < 0, -size, size) if rounding is Rounding.HALF_EVEN else right(a, bits, rounding, noise)


def _lowest_noise(right: Any, a: Any, bits: int, rounding: Rounding, noise: Any) -> Any:
    if noise is None:
        return right(a, bits, rounding, noise)
    return (a + (np.asarray(noise) & ((1 << bits) - 1))) >> bits


def _products_of_32_bits(right: Any, a: Any, bits: int, rounding: Rounding, noise: Any) -> Any:
    return right(np.asarray(a).astype(np.int32).astype(np.int64), bits, rounding, noise)


def _no_unit(node: Population) -> Population:
    return replace(node, unit={})


FAULTS: tuple[Fault, ...] = (
    *(Fault(name, case, of_nodes(Population, change)) for name, case, change in program_faults()),
    *(Fault(name, "convolutions", of_nodes(fixed.ConvSynapses, change)) for name, change in conv_faults()),
    Fault("missing_delay", "delays_of_0_to_5_steps", of_graph(_without_delays)),
    Fault("missing_delay_in_a_loop", "loops_of_one_and_of_three_steps", of_graph(_without_delays)),
    Fault("delay_off_by_one", "delays_of_0_to_5_steps", of_edges(_later)),
    Fault("ring_too_short_for_a_delay", "a_delay_longer_than_the_run", of_edges(_ring_of_8)),
    Fault("second_projection_dropped", "several_projections_onto_one_port", of_graph(_first_projection_only)),
    Fault("ports_exchanged", "two_ports_of_which_sums_saturate", of_graph(_ports_exchanged)),
    Fault("weights_transposed", "loops_of_one_and_of_three_steps", of_nodes(DenseSynapses, _transposed)),
    Fault("last_synapse_of_a_pair_wins", "synapses_that_stand_twice", of_nodes(SparseSynapses, _last_of_a_pair)),
    Fault("synapse_lists_off_by_one", "synapses_that_stand_twice", of_nodes(SparseSynapses, _neighbours_synapses)),
    Fault("lowest_bit_of_weights_dropped", "delays_of_0_to_5_steps", of_nodes(SYNAPSES, _low_bit_dropped)),
    Fault("most_negative_weight_clipped", "sums_that_are_shifted", of_nodes(SYNAPSES, _symmetric)),
    Fault("weights_unsigned", "decays_of_numbers_below_zero", of_nodes(SYNAPSES, _unsigned)),
    Fault("shift_of_each_weight", "sums_that_are_shifted", of_nodes(SYNAPSES, _each_weight_shifted)),
    Fault("shift_dropped", "sums_that_are_shifted", of_nodes(SYNAPSES, _without(shift=0))),
    Fault("shift_toward_zero", "sums_that_are_shifted", of_emulator(_delivered_toward_zero)),
    Fault("wrap_dropped", "sums_that_are_wrapped_and_then_shifted", of_nodes(SYNAPSES, _without(wrap_bits=None))),
    Fault("shift_before_wrap", "sums_that_are_wrapped_and_then_shifted", of_emulator(_shifted_then_wrapped)),
    Fault(
        "negative_events_dropped", "events_below_zero_and_beyond_one", of_emulator(_of_events(lambda x: x * (x > 0)))
    ),
    Fault("events_have_no_size", "events_below_zero_and_beyond_one", of_emulator(_of_events(np.sign))),
    Fault("events_are_true_or_false", "several_spikes_in_a_step", of_emulator(_of_events(lambda x: x != 0))),
    Fault("sums_of_16_bits", "states_of_32_bits", of_emulator(_of_sums(_narrow_sums))),
    Fault("each_projection_saturates", "two_ports_of_which_sums_saturate", of_emulator(_each_projection_saturates)),
    Fault(
        "port_saturation_dropped",
        "two_ports_of_which_sums_saturate",
        of_nodes(Population, lambda node: replace(node, saturated={})),
    ),
    Fault("payload_dropped", "events_below_zero_and_beyond_one", of_nodes(Population, _spikes_for_payloads)),
    Fault("state_not_reset_between_samples", "samples_that_differ", _state_kept_between_samples),
    Fault("initial_v_dropped", "initial_states", _no_state("v")),
    Fault("initial_i_dropped", "initial_states", _no_state("i")),
    Fault("initial_refractory_dropped", "initial_states", _no_state("refractory")),
    Fault("i_bias_dropped", "biases", _parameter("i_bias", np.zeros_like)),
    Fault("v_bias_dropped", "biases", _parameter("v_bias", np.zeros_like)),
    Fault("reset_to_zero", "resets_with_an_overshoot", _parameter("v_reset", np.zeros_like)),
    Fault("threshold_off_by_one", "the_threshold_is_met_exactly", _parameter("v_th", lambda v: v + 1)),
    Fault("decay_off_by_one", "decays_of_numbers_below_zero", _parameter("v_keep", lambda v: v - 1)),
    Fault("parameters_of_the_first_neuron", "resets_with_an_overshoot", of_nodes(Population, _first_neurons)),
    Fault("clock_from_1", "the_number_of_the_step", of_emulator(_clock_from_1)),
    Fault("random_without_step", "random_numbers", _of_random(step=0)),
    Fault("random_without_sample", "random_numbers", _of_random(sample=0)),
    Fault("random_without_neuron", "random_numbers", _of_random(neuron=np.zeros_like)),
    Fault("random_without_key", "random_numbers", _of_random(node=0)),
    Fault("random_without_stream", "random_numbers", _of_random(stream=0)),
    Fault("random_of_half_the_seed", "random_numbers", _of_random(seed=lambda seed: seed & 0xFFFFFFFF)),
    Fault("noise_of_the_lowest_bits", "random_numbers", _divided(_lowest_noise)),
    Fault("ties_up", "decays_that_end_in_ties", _divided(_half_up)),
    Fault("ties_away_from_zero", "decays_that_end_in_ties", _divided(_half_away)),
    Fault("products_of_32_bits", "loihi", _divided(_products_of_32_bits)),
    Fault("unit_dropped", "readouts_in_the_units_of_the_model", of_nodes(Population, _no_unit)),
)
