"""The memory image that sPyNNaker made, against what the artefact says: shifts, parameter words, rows, synapses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding
from norse_export.target import Compared

from . import image
from .derive import Model
from .image import Found
from .limits import Use, totals
from .memory import bits, slots
from .predicted import Neurons, Predicted, Projection

Array = NDArray[Any]
# Words of the structures of a neuron, in their order: neuron, input, threshold, synapses.
_STRUCTURES = {Model.IF_CURR_EXP: (9, 1, 5), Model.IF_CURR_DELTA: (9, 1, 1, 2)}
KINDS = ("cores", "sdram", "shifts", "slots", "parameters", "rows", "weights", "delays")


def compare(network: Predicted, board: Mapping[str, Any]) -> tuple[dict[str, Compared], dict[str, Any], list[Finding]]:
    """Kinds of things with how many there are and differ; what sPyNNaker says of itself; what it decided otherwise.

    board: what virtual_board.py told.
    """
    total, wrong = Counter[str](), Counter[str]()
    keys = {key: label for label, key in board["keys"]}
    cores = {(core["label"], core["first"]): core for core in board["cores"]}
    for label, use in network.use.items():
        for number in range(use.cores):
            first = number * use.neurons_per_core
            core = cores.pop((label, first), None)
            _add(total, wrong, _placed(use, first, core))
            if label in network.neurons and core is not None:
                held = image.regions(Path(board["database"]), tuple(core["place"]))
                last = min(first + use.neurons_per_core, use.neurons)
                _add(total, wrong, _core(network.neurons[label], use, (first, last), held, keys))
    wrong["cores"] += len(cores)
    compared = {kind: Compared(max(total[kind], wrong[kind]), wrong[kind]) for kind in KINDS}
    figures = _figures(board)
    return compared, figures, _decided(totals(network.use), figures)


Counts = dict[str, tuple[int, int]]  # of a kind: how many there are, and how many differ


def _add(total: Counter[str], wrong: Counter[str], counts: Counts) -> None:
    for kind, (all_, differing) in counts.items():
        total[kind] += all_
        wrong[kind] += differing


def _placed(use: Use, first: int, core: Mapping[str, Any] | None) -> Counts:
    """Whether a core is there, with the neurons and the memory that were foretold."""
    last = min(first + use.neurons_per_core, use.neurons) - 1
    there = core is not None and core["last"] == last
    return {
        "cores": (1, int(not there)),
        "sdram": (1, int(core is None or core["sdram_bytes"] != use.sdram_bytes)),
    }


def _core(
    neurons: Neurons, use: Use, span: tuple[int, int], held: Mapping[int, Array], keys: Mapping[int, str]
) -> Counts:
    """Everything on a core of neurons; span: its first neuron, and the one after its last."""
    words = neurons.words[slice(*span)]
    read = image.synapses(held)
    full = min(use.neurons, use.neurons_per_core)
    counts = {
        "shifts": (len(neurons.shifts), sum(a != b for a, b in zip(read.shifts, neurons.shifts, strict=True))),
        "slots": (1, int((read.neuron_bits, read.slots) != (bits(full), slots(full, use.longest_delay)))),
        "parameters": (words.size, _differing_words(held, neurons, words)),
    }
    tables = {keys[key]: list(blocks) for key, blocks in image.tables(held).items() if key in keys}
    total, wrong = Counter[str](), Counter[str]()
    for one in neurons.onto:
        blocks = tables.get(one.source, [])
        block = blocks.pop(0) if blocks else None
        found = None if block is None else _rows(held, read, block, one.sources)
        _add(total, wrong, _projection(one, span, found))
    wrong["rows"] += sum(len(blocks) for blocks in tables.values())  # rows of which the artefact knows nothing
    return counts | {kind: (total[kind], wrong[kind]) for kind in ("rows", "weights", "delays")}


def _differing_words(held: Mapping[int, Array], neurons: Neurons, words: Array) -> int:
    structures = _STRUCTURES[Model(neurons.model)]
    try:
        found = image.parameters(held, structures, len(words))
    except (ValueError, IndexError, KeyError):
        return int(words.size)
    return int(np.count_nonzero(found != words)) if found.shape == words.shape else int(words.size)


def _rows(held: Mapping[int, Array], read: image.Synapses, block: tuple[int, int], sources: int) -> Found | None:
    try:
        return image.rows(held, read, *block, sources)
    except (ValueError, KeyError):
        return None


def _projection(one: Projection, span: tuple[int, int], found: Found | None) -> Counts:
    """Rows and synapses of a projection on a core."""
    here = (one.target_cells >= span[0]) & (one.target_cells < span[1])
    row, neuron, weight = one.source_cells[here], one.target_cells[here] - span[0], one.weights[here].astype(np.int64)
    counts = np.bincount(row, minlength=one.sources)
    if found is None:
        return {"rows": (one.sources, one.sources), "weights": (row.size, row.size), "delays": (row.size, row.size)}
    fitting = (counts == found.counts) & ~found.broken
    wanted = np.lexsort((weight, neuron, row))
    got = np.lexsort((found.weight, found.neuron, found.row))
    wanted, got = wanted[fitting[row[wanted]]], got[fitting[found.row[got]]]
    lost = int(counts[~fitting].sum())  # of rows of another length, in which nothing can be told apart
    rows = row[wanted]
    off_weight = found.weight[got] != weight[wanted]
    off_delay = found.delay[got] != one.delay_steps
    off = off_weight | off_delay | (found.neuron[got] != neuron[wanted]) | (found.kind[got] != one.kind)
    return {
        "rows": (one.sources, int(np.unique(rows[off]).size + np.count_nonzero(~fitting))),
        "weights": (row.size, lost + int(np.count_nonzero(off_weight))),
        "delays": (row.size, lost + int(np.count_nonzero(off_delay))),
    }


def _figures(board: Mapping[str, Any]) -> dict[str, Any]:
    """What sPyNNaker says of the network: cores and chips with neurons or sources, SDRAM, the fullest router."""
    return {
        "cores": len(board["cores"]),
        "chips": len({tuple(core["place"][:2]) for core in board["cores"]}),
        "sdram_bytes": sum(core["sdram_bytes"] for core in board["cores"]),
        "routing_entries": max((entries for *_, entries in board["routers"]), default=0),
    }


def _decided(foretold: Mapping[str, Any], figures: Mapping[str, Any]) -> list[Finding]:
    """Notes of figures that are other than those of the report."""
    found = []
    for name in ("chips", "routing_entries"):
        if isinstance(foretold[name], int) and foretold[name] != figures[name]:
            message = f"{name}: {foretold[name]} were foretold, sPyNNaker took {figures[name]}"
            found.append(Finding("placement", "warning", "network", message, "trust sPyNNaker's figure"))
    return found


__all__ = ["KINDS", "compare"]
