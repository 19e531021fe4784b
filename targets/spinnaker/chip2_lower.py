"""Discrete graph -> fixed graph of SpiNNaker 2: weights of 8 bits and the parameters of a NIR file.

With weights s times those of the model and the membrane as V = s (v - v_reset) / alpha, Norse's step

    j = i + x     v1 = v + alpha ((v_leak - v) + j)     spike v1 > v_th, v = v_reset     i' = (1 - beta) j

is J = I + W x, V1 = (1 - alpha) V + J + s (v_leak - v_reset), spike V1 > s (v_th - v_reset) / alpha, V = 0: what the
reader makes of v_leak = s (v_leak - v_reset) and v_threshold = s (v_th - v_reset). A bias is a current at its final
strength from the first step on; in Norse it grows to it with the synapses' time constant.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from math import inf, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding, UnsupportedError
from norse_export.files.limits import Limits
from norse_export.interpret import checked_inputs
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Output
from norse_export.ir.stages import DiscreteNode, FixedNode, Neuron
from norse_export.passes import lower as generic
from norse_export.passes.linear import as_sparse
from norse_export.passes.lowered import InputRange, Lowered
from norse_export.passes.plain import form, plain
from norse_export.passes.prices import layer_prices, measure
from norse_export.passes.quantise import QuantiseChoice, Quantised
from norse_export.passes.scales import WeightPrice
from norse_export.passes.synapse_first import constant_current
from norse_export.program.laws import Law

from .chip2_file import METADATA, document, network
from .chip2_law import LARGEST_WEIGHT, NEVER, fields
from .lower import refuse
from .refusals import error
from .schedule import Schedule, schedule

Array = NDArray[Any]
KINDS = {"cuba_lif": "CubaLIF", "cuba_li": "CubaLIF", "lif": "LIF", "li": "LIF"}  # of NIR, by dynamics
_NOT_HERE = {  # what SpiNNaker 1 has
    "lif_refrac": "a rest after every spike: the reader has no refractory time",
    "if": "no leak: what the reader makes of an IF node is not documented",
}
MOST_PAIRS = 1 << 26  # of neurons between two populations: the reader takes matrices. Chosen
_WIDE = Law(state_bits=32)


def lower(
    graph: Graph[DiscreteNode],
    choice: QuantiseChoice,
    calibration: Mapping[str, Array] | None,
    *,
    ranges: Mapping[str, InputRange] | None,
) -> Quantised:
    """Give a network as SpiNNaker 2 computes it; arguments and what is given back as in lower.py.

    Raises:
        UnsupportedError: whatever the reader or the chip does not have; every one is a finding.
    """
    if calibration is not None:
        calibration = checked_inputs(graph, calibration)
        ranges = ranges or generic.input_ranges(calibration)
    given = generic.lower(graph, ranges)
    lowered = plain(given)
    refuse(lowered)
    plan = schedule(lowered, recorded_late=0)
    _refuse(given, lowered, plan)
    made = {name: _real(lowered, name) for name in lowered.populations}
    scales = {name: _scale([weight for _, weight in real]) for name, real in made.items()}
    whole = {
        (source, name): np.rint(weight * scales[name]).astype(np.int64)
        for name, real in made.items()
        for source, weight in real
    }
    told = _told(lowered, plan, scales)
    fixed = _told_by(network(document(told, whole), where="graph", limits=Limits()).graph, told, lowered)
    measured = None
    if calibration is not None:
        measured = replace(measure(graph, given, fixed, calibration, _WIDE), skew=plan.sent)
    prices = {
        name: (tuple(_price(source, name, weight, scales[name]) for source, weight in real), 0, inf)
        for name, real in made.items()
    }
    table = layer_prices(given, fixed, prices, _WIDE, measured)
    return Quantised(fixed, table, _notes(lowered), given, measured, plan.sent)


def _refuse(given: Lowered, lowered: Lowered, plan: Schedule) -> None:
    """What SpiNNaker 1 has and SpiNNaker 2 has not. given: the network before its neurons became plain ones."""
    found = []
    for name, node in lowered.populations.items():
        own = form(node)
        if own.dynamics in _NOT_HERE:
            message = f"{node.in_words} have {_NOT_HERE[own.dynamics]}"
            found.append(error("family", name, message, "export to spinnaker1"))
            continue
        if own.rule.threshold == "ge":
            message = "it fires at its threshold; that of the chip's neurons is taken to be above it"
            found.append(error("threshold", name, message, "export to spinnaker1"))
        values = {**node.parameters, **node.initial_state}
        rest = values["v_reset"] if node.spikes else 0
        current = given.populations[name].initial_state.get("i", np.zeros(1))
        if np.any(values["v"] != rest) or np.any(current != 0):
            message = "it does not begin at its reset potential without a current: the chip's neurons all do"
            found.append(error("initial_state", name, message, "start the layer at v_reset, or export to spinnaker1"))
        for key, tau in (("alpha", "tau_mem"), ("beta", "tau_syn")):
            if np.any(values.get(key, np.ones(1)) <= 0):
                found.append(error(key, name, f"{key} = dt/{tau} is 0", f"use a finite {tau}"))
    for p in lowered.projections:
        if plan.delays[p.name] != 1:
            message = f"it arrives {plan.delays[p.name]} steps later; the reader takes one delay, 1, for all"
            found.append(error("delay", p.name, message, "use layers in one chain, or export to spinnaker1"))
        pairs = prod(lowered.shape(p.source)) * prod(lowered.shape(p.target))
        if pairs > MOST_PAIRS:
            message = f"a matrix of {pairs} weights; at most {MOST_PAIRS} are written"
            found.append(error("pairs", p.name, message, "make the layers smaller"))
    for name, layer in lowered.host.items():
        sources = [edge.source for edge in lowered.host_edges if edge.target == name]
        if not isinstance(layer, Output) or len(sources) != 1 or sources[0] not in lowered.populations:
            message = "a layer behind the last neurons: a NIR file for this chip has no host"
            found.append(error("host_layer", name, message, "end the model with neurons (LIF or LI)"))
    if found:
        raise UnsupportedError.of(found)


def _gain(node: Neuron) -> Array:
    return np.broadcast_to(np.float64(node.parameters.get("gain", 1.0)), node.shape).reshape(-1)


def _real(lowered: Lowered, name: str) -> list[tuple[str, Array]]:
    """The weights onto a population, float64 [N_out, N_in], one matrix for each source, gains included."""
    found: dict[str, Array] = {}
    for p in lowered.onto(name):
        shape = lowered.shape(p.source)
        listed = as_sparse(p.weights, shape)
        matrix = found.setdefault(p.source, np.zeros((prod(lowered.shape(name)), prod(shape))))
        np.add.at(
            matrix, (listed.targets, np.repeat(np.arange(matrix.shape[1]), np.diff(listed.starts))), listed.weight
        )
    return [(source, matrix * _gain(lowered.populations[name])[:, np.newaxis]) for source, matrix in found.items()]


def _scale(weights: list[Array]) -> float:
    """What a weight of 1 is in whole numbers: the largest weight of a population is 127, as the reader scales them."""
    largest = max((float(np.abs(weight).max(initial=0)) for weight in weights), default=0.0)
    return LARGEST_WEIGHT / largest if largest else 1.0


def _told(lowered: Lowered, plan: Schedule, scales: Mapping[str, float]) -> dict[str, Any]:
    """The network but for its weights: values of all neurons as a number or a list."""
    told: dict[str, Any] = {
        "inputs": list(lowered.inputs),
        "neurons": {},
        "bias": {},
        "shapes": {name: list(lowered.shape(name)) for name in (*lowered.inputs, *lowered.populations)},
        "outputs": {edge.target: edge.source for edge in lowered.host_edges},
        "readouts": [name for name, node in lowered.populations.items() if not node.spikes],
        "scales": dict(scales),
        "dt": next(iter(lowered.populations.values())).dt,
        "skew": dict(plan.sent),
        "metadata": {},
    }
    for name, node in lowered.populations.items():
        kind, scale = KINDS[form(node).dynamics], scales[name]
        real = {key: np.asarray(value).astype(np.float64).reshape(-1) for key, value in node.parameters.items()}
        rest = real.get("v_reset", 0.0)
        values = {
            "dt": np.full(prod(node.shape), told["dt"]),
            "a": real["alpha"],
            "b": real.get("beta", np.ones(1)),
            "v_leak": scale * (real["v_leak"] - rest),
            "v_threshold": scale * (real["v_th"] - rest) if node.spikes else np.full(prod(node.shape), NEVER),
        }
        told["neurons"][name] = [kind, {key: _few(value) for key, value in fields(kind, values).items()}]
        told["bias"][name] = _few(constant_current(lowered, name).reshape(-1) * scale)
    return told


def _few(values: Array) -> Any:
    return float(values[0]) if np.all(values == values[0]) else values.tolist()


def _told_by(graph: Graph[FixedNode], told: dict[str, Any], lowered: Lowered) -> Graph[FixedNode]:
    metadata = {**lowered.metadata, **graph.metadata, METADATA: json.dumps(told)}
    return Graph(graph.nodes, graph.edges, metadata)


def _price(source: str, target: str, weight: Array, scale: float) -> WeightPrice:
    whole = np.rint(weight * scale)
    rms = float(np.sqrt(np.mean(np.square(weight)))) if weight.size else 0.0
    wrong = weight - whole / scale
    return WeightPrice(
        name=f"{source} to {target}",
        bits=8,
        exponent=0,
        scale=(1 / scale, 1 / scale),
        weights=int(weight.size),
        nonzero=int(np.count_nonzero(weight)),
        error_max=float(np.abs(wrong).max(initial=0)) * scale,
        error_rms=float(np.sqrt(np.mean(np.square(wrong)))) / rms if rms else 0.0,
        clipped=0,
        zeroed=int(np.count_nonzero((weight != 0) & (whole == 0))),
    )


def _notes(lowered: Lowered) -> tuple[Finding, ...]:
    """What a user should know."""
    message = "SpiNNaker 2 is emulated by the documented rules of py-spinnaker2's reader; no vendor code was available"
    found = [Finding("unchecked", "warning", "spinnaker2", message, "compare with a chip before you rely on it")]
    message = "its bias is a current at its final strength from the first step on; in the model it grows"
    fix = "leave out the bias, or expect other spikes in the first steps"
    for name, node in lowered.populations.items():
        if "beta" in node.parameters and lowered.constants.get(name):
            found.append(Finding("bias", "note", name, message, fix))
    return tuple(found)
