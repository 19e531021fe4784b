"""What a user should know of a lowered model beside its prices: overflows, second arrays, their memory, the chip."""

from __future__ import annotations

from math import prod

from norse_export.errors import Finding
from norse_export.ir.graph import Graph
from norse_export.ir.stages import FixedNode

from . import law
from .additions_output import needs_additions
from .chain import Chain, ChainLayer, chain_of
from .fan_out import fan_outs, synapse_bits
from .limits import LOIHI2, NAMES
from .precision import Precision
from .registers import decay_notes, start_notes
from .scaling import Made, Plan, is_proved


def layer_notes(plan: Plan, one: Made) -> list[Finding]:
    """Of one layer: decays, where its states start, and whether they stay in their bits."""
    found = decay_notes(plan.name, plan.node, plan.registers)
    found += start_notes(plan.name, plan.registers, one.started, one.scale, plan.late)
    return found + _overflow_note(plan, one)


def artefact_notes(graph: Graph[FixedNode], precision: Precision, chip: str) -> list[Finding]:
    """Of the whole: what netx does not read, what the mode costs, and that nothing loads it onto another chip."""
    found = []
    chain, _ = chain_of(graph)
    if chain is not None:
        found += [*_addition_note(chain), *_memory_note(chain, precision)]
    if NAMES[chip] is not LOIHI2:
        message = (
            f"nothing loads a .net file onto {NAMES[chip].name}: cores and limits are of that chip, the law is Lava's"
        )
        fix = f"build the network from the integers of report.json, or export for {LOIHI2.name}"
        found.append(Finding("chip", "warning", "chip", message, fix))
    return found


def _addition_note(chain: Chain) -> list[Finding]:
    added = [layer.name for layer in chain.layers if needs_additions(layer)]
    if not added:
        return []
    second = any(layer.more or layer.more_recurrent for layer in chain.layers)
    what = "second arrays of synapses and starting states" if second else "starting states"
    message = f"netx does not read the {what} of {', '.join(added)}: run_on_loihi.py adds them to what netx loads"
    fix = "run the net by the script" + ("" if second else ", or expect other spikes in the first steps")
    return [Finding("additions", "warning" if second else "note", "model.net", message, fix)]


def _memory_note(chain: Chain, precision: Precision) -> list[Finding]:
    if precision is Precision.EVEN8:
        return []
    first, second = (sum(memory_bits(layer)[number] for layer in chain.layers) // 8 for number in (0, 1))
    message = f"precision {precision}: {first:,} bytes of synapse memory, and {second:,} more for second arrays"
    return [Finding("synapse_memory", "note", "chip", message, "use --precision even8 where memory is short")]


def memory_bits(layer: ChainLayer) -> tuple[int, int]:
    """The synapse memory of a layer's first arrays and of its second ones, if it lay on one core."""
    whole = (0, prod(layer.population.shape))
    firsts = [layer.synapses] if layer.recurrent is None else [layer.synapses, layer.recurrent]
    seconds = [*layer.more, *layer.more_recurrent]
    first, second = (sum(synapse_bits(one, fan_outs(one, whole)) for one in arrays) for arrays in (firsts, seconds))
    return first, second


def _overflow_note(plan: Plan, one: Made) -> list[Finding]:
    if plan.readout or is_proved(one):
        return []
    largest = max(-one.reach[0], one.reach[1])
    bound = largest * law.DECAY_UNITY / plan.registers.i_decay * (1 << law.ALIGN_BITS)
    message = (
        f"not proved that the states stay in 24 bits: if all spikes come at once, and on and on, u reaches {bound:.2g}"
        f" of {law.STATE_RANGE:.2g}"
    )
    return [Finding("overflow_bound", "note", plan.name, message, "compare on inputs as strong as those in use")]
