"""Runs the chip's laws on arrays: one population fed from its ring buffers, or a whole network.

Both read what the chip's memory holds (parameter words, weights, shifts, delays) and nothing of the model behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import UsageError
from norse_export.interpret import fixed
from norse_export.ir.fixed import Population
from norse_export.program.evaluate import evaluate

from .derive import derive
from .law import OBSERVED, PORTS, RING_MAX, population
from .network import INPUT, entry, network

Array = NDArray[Any]
_RECORDED = (*OBSERVED, "spike", "v_post", "refr")
_DT = 1e-3  # seconds; the law reads dt from the words
_UNSIGNED = tuple(f"{port}_{part}" for port in PORTS for part in ("decay", "init"))  # u0.32
_SIGNED = ("v_init", "v_rest", "r_membrane", "exp_tc", "i_offset", "refract_timer", "v_reset", "t_refract")
_DERIVED = {**dict.fromkeys(_SIGNED, np.int32), **dict.fromkeys(_UNSIGNED, np.uint32), "scale_factor": np.int64}


def emulate(model: str, sdram_words: Any, shifts: Sequence[int], ring: Any) -> dict[str, Array]:
    """Run one population on what its ring buffers hold in each step, bit for bit as the chip does.

    model: IF_curr_exp or IF_curr_delta. sdram_words: raw parameter words [N, W] in the order of derive.WORDS. shifts:
    of the ring buffers to the left, exc and inh. ring: their contents [T, 2, N], exc and inh, 0 to 65535, before the
    shift.

    Gives, each [T, N]: v_rec (v before the update of step t, which is what the chip records), exc and inh (currents
    after the input of step t and before their decay), v_post and refr (v and the refractory counter after the step),
    int32; spike, bool. And, each [N], what the chip derived from the words, under `d_` and the name that
    `derive.derive` has for it: int32, the u0.32 numbers uint32, scale_factor int64.

    Raises:
        UsageError: an unknown model, or words, shifts or contents that the chip could not hold.
    """
    derived = derive(model, sdram_words)
    contents = _checked(ring, derived["v_init"].size)
    neurons = population(model, sdram_words, shifts, shape=contents.shape[2:], dt=_DT)
    rows = steps(neurons, contents)
    return rows | {f"d_{name}": derived[name].astype(kind) for name, kind in _DERIVED.items() if name in derived}


def _checked(ring: Any, neurons: int) -> Array:
    """Contents of ring buffers, as int64 [T, 2, N]."""
    contents = np.asarray(ring)
    wrong = contents.dtype.kind not in "iu" or contents.shape[1:] != (len(PORTS), neurons) or not contents.size
    if wrong or not 0 <= int(contents.min()) <= int(contents.max()) <= RING_MAX:
        message = f"ring buffers of shape {contents.shape} and dtype {contents.dtype}"
        fix = f"give whole numbers from 0 to {RING_MAX} [steps, {len(PORTS)}, {neurons}], at least one step and neuron"
        raise UsageError(message, where="ring", fix=fix)
    return contents.astype(np.int64)


def steps(neurons: Population, contents: Array) -> dict[str, Array]:
    """Evaluate the program step by step and stack what each step gives."""
    program = neurons.program
    state = dict(neurons.initial_state)
    rows: dict[str, list[Array]] = {name: [] for name in _RECORDED}
    for t, arriving in enumerate(contents):
        done = evaluate(program, {**neurons.parameters, **state, **dict(zip(PORTS, arriving, strict=True))}, t)
        state = dict(zip(program.variables, done.state, strict=True))
        seen = {**done.observe, "spike": done.output, "v_post": state["v"], "refr": state["refractory"]}
        for name, row in rows.items():
            row.append(np.broadcast_to(seen[name], neurons.shape))
    return {name: np.stack(row).astype(bool if name == "spike" else np.int32) for name, row in rows.items()}


def emulate_network(mapping: Mapping[str, Any]) -> dict[str, Array]:
    """Run a network on the spikes of its input, bit for bit as the chip does.

    Reads of the mapping what `network` names, and spike__inp [T, n]: the input's spikes. Gives of every other
    population spike__<name> (bool) and v_rec__, exc__ and inh__<name> (int32), each [T, n], as `emulate` does.

    Raises:
        UsageError: something is missing, or cannot be what the chip's memory holds.
    """
    graph = network(mapping)
    raster = entry(mapping, f"spike__{INPUT}")
    run = fixed.emulate(graph, {INPUT: raster[:, np.newaxis].astype(np.int64)}, states=True)
    result: dict[str, Array] = {}
    for name, spikes in run.spikes.items():
        result[f"spike__{name}"] = spikes[:, 0].astype(bool)
        for key in OBSERVED:
            result[f"{key}__{name}"] = run.observables[name][key][:, 0].astype(np.int32)
    return result
