"""The law of a model of floats in words: what its populations have in common, and in what they differ."""

from __future__ import annotations

from norse_export.ir.doubts import COUNTED
from norse_export.ir.graph import Graph
from norse_export.ir.neurons import NeuronModel
from norse_export.ir.stages import ContinuousNode
from norse_export.ir.step_choice import words_of
from norse_export.ir.step_words import CHOICES

_SAID = {
    "euler": "forward Euler",
    "exponential": "exponential steps",
    "synapse-first": "synapse first",
    "membrane-first": "membrane first",
    "gt": "strict threshold",
    "ge": "a spike at the threshold too",
    "value": "reset to a value",
    "zero": "reset to 0",
    "subtract": "reset by subtraction",
}
_NO_CHOICE = "steps that leave no choice"


def float_law(graph: Graph[ContinuousNode]) -> str:
    """How a model steps: the choices of its populations, and whose own the steps of the others are.

    Where populations differ in a choice, all words are given; `norse-export inspect -v` tells them apart. There may be
    populations, and nothing to choose: an integrator without leak and threshold has but one step.
    """
    populations = [node for node in graph.nodes.values() if isinstance(node, NeuronModel)]
    found: dict[str, dict[str, None]] = {name: {} for name in CHOICES}
    for node in populations:
        scheme = {"scheme": node.scheme} if node.kind.rates else {}
        for name, word in (scheme | words_of(node)).items():
            found[name][_SAID[word]] = None
    own = [f"{graph.metadata[COUNTED]}'s own steps"] if COUNTED in graph.metadata else []
    said = (" or ".join(words) for words in found.values() if words)
    nothing = _NO_CHOICE if populations else "no populations"
    return f"float: {', '.join((*own, *said)) or nothing}"
