"""What is possible in a continuous graph, but hardly meant: warnings, never errors."""

from __future__ import annotations

from collections.abc import Iterator

from norse_export.errors import Finding
from norse_export.ir.arrays import compact, first_true
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Linear, Scale
from norse_export.ir.neurons import CobaLIF, NeuronModel
from norse_export.ir.notes import named
from norse_export.ir.stages import ContinuousNode

ENCODERS = "encoders"  # in the graph's metadata: modules before the graph's inputs, whose rasters the inputs take
IMAGES = "images"  # in the graph's metadata: inputs of which the model takes one image, shown at each step
READOUTS = "readouts"  # in the graph's metadata: outputs of which the model gives something made of all steps, and what
STATES = "recorded_states"  # in the graph's metadata: populations of whose states the model returns a record, too
COUNTED = "counted_in_steps"  # in the graph's metadata: frameworks without a dt, from which the populations come


def doubts(graph: Graph[ContinuousNode]) -> tuple[Finding, ...]:
    """Give a warning for each layer of zeros, coefficient above 1, and threshold that is passed without an input.

    And a note where the model's framework counts time in steps, so that dt is assumed, and a warning for what the model
    does before the graph's inputs and behind its outputs.
    """
    of_nodes = (finding for name, node in graph.nodes.items() for finding in _of_node(name, node))
    return (*_assumed(graph), *_outside(graph), *of_nodes)


def _assumed(graph: Graph[ContinuousNode]) -> Iterator[Finding]:
    if (framework := graph.metadata.get(COUNTED)) is None:
        return
    steps = {node.dt for node in graph.nodes.values() if isinstance(node, NeuronModel)}
    message = f"{framework} counts time in steps: a step of {', '.join(f'{dt:g}' for dt in sorted(steps))} s is assumed"
    yield Finding("assumed", "note", "the graph", message, "give another with --dt: no spike depends on it")


def _outside(graph: Graph[ContinuousNode]) -> Iterator[Finding]:
    """What the model does before the inputs of the graph, and with what its outputs give."""
    for name, path in named(graph, ENCODERS).items():
        message = f"the encoder {path!r} is no part of what is exported: this input takes the raster that it gives"
        yield Finding("boundary", "warning", name, message, "encode on the host, as the model does")
    for name in named(graph, IMAGES):
        message = "the model takes one image, which it shows at every step: this input is the image at each step"
        fix = "targets that take spikes alone need an encoder of Norse's: save with encoders='boundary'"
        yield Finding("boundary", "note", name, message, fix)
    for name, how in named(graph, READOUTS).items():
        message = (
            f"the model makes of all steps: {how}; that is no part of what is exported: this output gives each step"
        )
        yield Finding("boundary", "warning", name, message, "read it out on the host, over all steps")

    for name in named(graph, STATES):
        message = "the model returns a record of its states beside the output: it is no output of what is exported"
        fix = (
            "norse-export run -o TRACE gives every state at every step; to have membranes of snnTorch as an output, "
            "return a list, [spikes, membranes], or the membranes alone"
        )
        yield Finding("boundary", "warning", name, message, fix)


def _of_node(name: str, node: ContinuousNode) -> Iterator[Finding]:
    weights = node.weight if isinstance(node, Linear | Conv) else node.scale if isinstance(node, Scale) else None
    if weights is not None and not weights.any():
        fix = "check that the trained weights were loaded"
        yield Finding("zero_layer", "warning", name, "every weight of the layer is 0: nothing passes it", fix)
    if isinstance(node, NeuronModel):
        yield from _overshooting(name, node)
        if node.kind is CobaLIF:
            message = (
                "Norse's CobaLIF leaves its input aside (as of norse 1.1.0): the neurons hear their own spikes alone"
            )
            yield Finding(
                "input_ignored", "warning", name, message, "use another kind of neuron, or know that it is so"
            )
        if node.spikes:
            yield from _always_firing(name, node)


def _overshooting(name: str, node: NeuronModel) -> Iterator[Finding]:
    for field, tau in node.kind.rates.items():
        if field in node.kind.free or (index := first_true(compact(node[field]) > 1)) is None:
            continue
        message = f"dt/{tau}{list(index)} = {node[field][index]:g} is above 1: each step overshoots its goal"
        yield Finding(
            "tau", "warning", name, message, f"give a {tau} of dt or more, in seconds (not ms), or choose a smaller dt"
        )


def _always_firing(name: str, node: NeuronModel) -> Iterator[Finding]:
    for field in ("v_leak", "v_rest", "v_reset"):
        level = node.get(field)
        if level is not None and (index := first_true(compact(node["v_th"]) <= compact(level))) is not None:
            message = f"v_th{list(index)} = {node['v_th'][index]:g} is not above {field} = {level[index]:g}"
            yield Finding("threshold", "warning", name, message, "check the threshold: the neuron fires by itself")
            return
