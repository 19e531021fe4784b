"""One population of the nengo-loihi emulator, as its discretised registers describe it -> fixed graph, law `loihi1`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from norse_export.errors import UsageError
from norse_export.ir.fixed import DenseSynapses, FixedInput, Population
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.stages import FixedNode

from . import law
from .lava_graph import INPUT, STEP_SECONDS
from .layers import whole_numbers

POPULATION = "0"
_NEEDED = ("W", "decay_u", "decay_v", "vth", "bias", "refract_delay", "vmin", "vmax")
# What a recording holds beside the network: nothing is computed from it.
_RECORDED = ("raster", "u", "v", "s", "meta")


def loihi1_graph(given: Mapping[str, Any], source: FixedInput) -> Graph[FixedNode]:
    """The graph of one dict; weights W and R are in units of the states, their exponent included.

    Raises:
        UsageError: a key is missing or unknown.
        UnsupportedError: a number is not whole.
        GraphError: shapes that do not belong together.
    """
    if unknown := sorted(map(str, given.keys() - {*_NEEDED, *_RECORDED, "R"})):
        raise UsageError(f"unknown key {unknown[0]!r}", where="layer 0", fix=f"use {', '.join((*_NEEDED, 'R'))}")
    if missing := [key for key in _NEEDED if given.get(key) is None]:
        raise UsageError(f"{missing[0]!r} is missing", where="layer 0", fix=f"give {', '.join(_NEEDED)}")
    read = (*_NEEDED, "R") if given.get("R") is not None else _NEEDED
    number = {key: whole_numbers(given[key], name=key, where="layer 0") for key in read}
    v_min, v_max = (int(number[key].reshape(-1)[0]) if number[key].size == 1 else None for key in ("vmin", "vmax"))
    if v_min is None or v_max is None or number["W"].ndim != 2 or v_min > v_max:
        raise UsageError("vmin and vmax are one number each, W a matrix", where="layer 0", fix="give W [N, N_in]")
    shape = (number["W"].shape[0],)
    population = Population(
        program=law.loihi1_lif(v_min, v_max).trace(),
        shape=shape,
        parameters={
            "u_keep": law.current_keep(number["decay_u"]),
            "v_keep": law.voltage_keep(number["decay_v"]),
            "bias": number["bias"],
            "v_th": number["vth"],
            "refract_delay": number["refract_delay"],
        },
        initial_state=dict.fromkeys(("u", "v", "refractory"), np.asarray(0)),
        dt=STEP_SECONDS,
    )
    nodes: dict[str, FixedNode] = {INPUT: source, POPULATION: population}
    edges = []
    for name, key, sender in (("0.synapses", "W", INPUT), ("0.recurrent", "R", POPULATION)):
        if key in number:
            nodes[name] = DenseSynapses(number[key].astype(np.int32), nodes[sender].output_shape, shape)
            edges += [Edge(sender, name, delay_steps=law.SYNAPSE_STEPS), Edge(name, POPULATION, "a")]
    return Graph(nodes, tuple(edges))
