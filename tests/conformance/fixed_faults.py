"""Deliberately wrong executions: the suite has to tell each of them from the right one.

A fault of a law, of weights or of edges is a change of the graph, which any executor then runs; a fault of the
machinery is a change of the emulator while it runs. Each names the case that is there to expose it: that the case does
shows that it is a fault.
"""

from __future__ import annotations

from dataclasses import dataclass

import faulty_graphs as graphs
import faulty_machinery as machinery
import numpy as np
from faulty_conv import conv_faults
from faulty_graphs import GraphChange, of_edges, of_nodes
from faulty_machinery import Execution, patched
from faulty_programs import program_faults

from norse_export.ir.fixed import ConvSynapses, DenseSynapses, Population, SparseSynapses, Synapses


@dataclass(frozen=True)
class GraphFault:
    """A changed graph, and the name of the case that is to expose it."""

    name: str
    exposed_by: str
    change: GraphChange


@dataclass(frozen=True)
class MachineryFault:
    """A changed emulator, and the name of the case that is to expose it."""

    name: str
    exposed_by: str
    execute: Execution


DELAYS, LOOPS, LISTS = "delays_of_0_to_5_steps", "loops_of_one_and_of_three_steps", "synapses_that_stand_twice"
PORTS, SHIFTS, WRAPS = (
    "two_ports_of_which_sums_saturate",
    "sums_that_are_shifted",
    "sums_that_are_wrapped_and_then_shifted",
)
EVENTS, RESETS, RANDOM = "events_below_zero_and_beyond_one", "resets_with_an_overshoot", "random_numbers"

OF_PROGRAMS = tuple(GraphFault(name, case, of_nodes(Population, change)) for name, case, change in program_faults())
OF_CONVOLUTIONS = tuple(
    GraphFault(name, "convolutions", of_nodes(ConvSynapses, change)) for name, change in conv_faults()
)
OF_GRAPHS = (
    GraphFault("missing_delay", DELAYS, graphs.without_delays),
    GraphFault("missing_delay_in_a_loop", LOOPS, graphs.without_delays),
    GraphFault("delay_off_by_one", DELAYS, of_edges(graphs.later)),
    GraphFault("ring_too_short_for_a_delay", "a_delay_longer_than_the_run", of_edges(graphs.ring_of_8)),
    GraphFault("second_projection_dropped", "several_projections_onto_one_port", graphs.first_projection_only),
    GraphFault("ports_exchanged", PORTS, graphs.ports_exchanged),
    GraphFault("port_saturation_dropped", PORTS, of_nodes(Population, graphs.unsaturated)),
    GraphFault("weights_transposed", LOOPS, of_nodes(DenseSynapses, graphs.transposed)),
    GraphFault("last_synapse_of_a_pair_wins", LISTS, of_nodes(SparseSynapses, graphs.last_of_a_pair)),
    GraphFault("synapse_lists_off_by_one", LISTS, of_nodes(SparseSynapses, graphs.neighbours_synapses)),
    GraphFault("lowest_bit_of_weights_dropped", DELAYS, of_nodes(Synapses, graphs.low_bit_dropped)),
    GraphFault("most_negative_weight_clipped", SHIFTS, of_nodes(Synapses, graphs.symmetric)),
    GraphFault("weights_unsigned", "decays_of_numbers_below_zero", of_nodes(Synapses, graphs.unsigned)),
    GraphFault("shift_of_each_weight", SHIFTS, of_nodes(Synapses, graphs.each_weight_shifted)),
    GraphFault("shift_dropped", SHIFTS, of_nodes(Synapses, graphs.without(shift=0))),
    GraphFault("wrap_dropped", WRAPS, of_nodes(Synapses, graphs.without(wrap_bits=None))),
    GraphFault("payload_dropped", EVENTS, of_nodes(Population, graphs.spikes_for_payloads)),
    GraphFault("initial_v_dropped", "initial_states", graphs.no_state("v")),
    GraphFault("initial_i_dropped", "initial_states", graphs.no_state("i")),
    GraphFault("initial_refractory_dropped", "initial_states", graphs.no_state("refractory")),
    GraphFault("i_bias_dropped", "biases", graphs.parameter("i_bias", np.zeros_like)),
    GraphFault("v_bias_dropped", "biases", graphs.parameter("v_bias", np.zeros_like)),
    GraphFault("reset_to_zero", RESETS, graphs.parameter("v_reset", np.zeros_like)),
    GraphFault("threshold_off_by_one", "the_threshold_is_met_exactly", graphs.parameter("v_th", lambda v: v + 1)),
    GraphFault("decay_off_by_one", "decays_of_numbers_below_zero", graphs.parameter("v_keep", lambda v: v - 1)),
    GraphFault("parameters_of_the_first_neuron", RESETS, of_nodes(Population, graphs.first_neurons)),
    GraphFault("unit_dropped", "readouts_in_the_units_of_the_model", of_nodes(Population, graphs.no_unit)),
)
OF_MACHINERY = (
    MachineryFault("shift_toward_zero", SHIFTS, patched(machinery.delivered_toward_zero)),
    MachineryFault("shift_before_wrap", WRAPS, patched(machinery.shifted_then_wrapped)),
    MachineryFault("negative_events_dropped", EVENTS, machinery.of_events(lambda x: x * (x > 0))),
    MachineryFault("events_have_no_size", EVENTS, machinery.of_events(np.sign)),
    MachineryFault("events_are_true_or_false", "several_spikes_in_a_step", machinery.of_events(lambda x: x != 0)),
    MachineryFault("sums_of_16_bits", "states_of_32_bits", machinery.of_sums(machinery.narrow_sums)),
    MachineryFault("each_projection_saturates", PORTS, patched(machinery.each_projection_saturates)),
    MachineryFault("state_not_reset_between_samples", "samples_that_differ", machinery.state_kept_between_samples),
    MachineryFault("clock_from_1", "the_number_of_the_step", patched(machinery.clock_from_1)),
    MachineryFault("random_without_step", RANDOM, machinery.of_random(step=0)),
    MachineryFault("random_without_sample", RANDOM, machinery.of_random(sample=0)),
    MachineryFault("random_without_neuron", RANDOM, machinery.of_random(neuron=np.zeros_like)),
    MachineryFault("random_without_key", RANDOM, machinery.of_random(node=0)),
    MachineryFault("random_without_stream", RANDOM, machinery.of_random(stream=0)),
    MachineryFault("random_of_half_the_seed", RANDOM, machinery.of_random(seed=lambda seed: seed & 0xFFFFFFFF)),
    MachineryFault("noise_of_the_lowest_bits", RANDOM, machinery.divided(machinery.lowest_noise)),
    MachineryFault("ties_up", "decays_that_end_in_ties", machinery.divided(machinery.half_up)),
    MachineryFault("ties_away_from_zero", "decays_that_end_in_ties", machinery.divided(machinery.half_away)),
    MachineryFault("products_of_32_bits", "loihi", machinery.divided(machinery.products_of_32_bits)),
)
