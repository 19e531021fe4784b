"""The scale with the best measured spike parity: a search over factors, and the population by itself that is measured.

Each population is judged alone, on the spikes that its sources send in the float model (its own, where it is
recurrent), and not on those of the quantised layers before it. Spikes that differ already at the input change the
output by their own chance, in numbers that hide what the scale does; and scales would be fitted to that chance. So the
layers are searched independently of one another, and what they cost together is measured once, at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.interpret.fixed import emulate
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population, SparseSynapses, Synapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Output
from norse_export.ir.run import Run
from norse_export.ir.stages import FixedNode

Array = NDArray[Any]
Floats = NDArray[np.float64]
Surely = Callable[[Any, Any], bool]
STRETCHES = 12  # of the range of factors down to USUAL of the greatest: one of each is measured
USUAL = 0.3
NARROWER = 0.7  # below it, each stretch is so much shorter than the one before
FINE = 4  # then so many around the best
UPDATE_WORK = 64  # of a neuron's step, in products
EMULATED_WORK = 1 << 28  # of a run: the emulator takes about a tenth of a second


@dataclass(frozen=True, slots=True)
class Link:
    """A projection as it is in the fixed graph: from what, to which port, how many steps later."""

    source: str
    port: str
    delay_steps: int
    synapses: Synapses


def less(new: float, old: float) -> bool:
    """Whether new < old: of measures without chance."""
    return new < old


def fewer(new: float, old: float) -> bool:
    """Whether a number of cells is less than another by more than chance: by twice the standard deviation.

    It is that of the difference of two counts of rare events.
    """
    return new + 2 * float(np.sqrt(new + old)) < old


def smaller(new: float, old: float) -> bool:
    """Whether a sum of squared errors is less than another by more than a twentieth."""
    return new < 0.95 * old


def search(
    factors: tuple[float, float],
    channels: int,
    error: Callable[[Floats], Floats],
    measure: Callable[[Floats], Floats] | None = None,
    *,
    points: int = 1,
    surely: Surely = less,
    rank: Callable[[Any], Any] = float,
) -> Floats:
    """Give for each channel the factor with the best measure, of 1 + FINE and one for each stretch that are measured.

    The range of factors is cut into stretches. From each, every channel takes that of `points` factors with which its
    weights have the least error: the measure is not spent on factors that fit the weights badly. Then factors around
    the best are taken in the same way.

    error, measure: for factors [channels] a number for each channel, of which less is better; where measures are equal
    the error decides, and then the earlier factor: greater ones come first. Without a measure the error decides alone.
    A measure may be counts instead, [channels, n], whose sums `rank` puts into an order, the best first. Channels must
    not depend on one another. surely: whether a measure is so much better than another that this is no chance of the
    inputs. Only then the best factor of the whole layer is taken instead of the greatest, and that of a channel instead
    of the layer's.
    """
    trials, (low, high) = _Trials(error, measure, rank), factors
    trials.judge(np.full(channels, high))
    widths = [0.0]
    for end, width in _stretches(low, high):
        widths.append(width)
        trials.judge(_fitting(np.full(channels, end), width, error, points))
    best = trials.best()
    centre, length = trials.tried[best], 2 * (widths[best] or widths[1]) / FINE
    for number in range(FINE):
        near = np.clip(centre + (FINE // 2 - number) * length, low + length, high)
        trials.judge(_fitting(near, length, error, points))
    return trials.chosen(surely)


@dataclass(frozen=True, slots=True)
class _Trials:
    """Factors that were tried, [channels] each, with their measures and errors; the first is the greatest."""

    error: Callable[[Floats], Floats]
    measure: Callable[[Floats], Floats] | None
    rank: Callable[[Any], Any]
    tried: list[Floats] = field(default_factory=list)
    found: list[Floats] = field(default_factory=list)
    amiss: list[Floats] = field(default_factory=list)

    def judge(self, factor: Floats) -> None:
        """Try a factor."""
        self.tried.append(factor)
        self.amiss.append(self.error(factor))
        self.found.append(self.amiss[-1] if self.measure is None else self.measure(factor))

    def best(self) -> int:
        """Number of the factor that is best for the layer as a whole."""
        sums = [
            (self.rank(found.sum(axis=0)), amiss.sum()) for found, amiss in zip(self.found, self.amiss, strict=True)
        ]
        return min(range(len(sums)), key=sums.__getitem__)

    def chosen(self, surely: Surely) -> Floats:
        """For each channel its own best where that is surely better than the layer's, and so for the layer."""
        best = self.best()
        whole = best if surely(self.found[best].sum(axis=0), self.found[0].sum(axis=0)) else 0
        chosen = np.empty(len(self.tried[0]))
        for channel in range(len(chosen)):
            mine = [row[channel] for row in self.found]
            order = [(self.rank(one), row[channel]) for one, row in zip(mine, self.amiss, strict=True)]
            best = min(range(len(order)), key=order.__getitem__)
            chosen[channel] = self.tried[best if surely(mine[best], mine[whole]) else whole][channel]
        return chosen


def _stretches(low: float, high: float) -> Iterator[tuple[float, float]]:
    """Upper ends and lengths of the stretches, the greatest first."""
    usual = max(low, USUAL * high)
    width = (high - usual) / STRETCHES
    yield from ((high - number * width, width) for number in range(STRETCHES))
    while usual > low * (1 + 1e-9):
        below = max(low, NARROWER * usual)
        yield usual, usual - below
        usual = below


def _fitting(end: Floats, length: float, error: Callable[[Floats], Floats], points: int) -> Floats:
    """Of `points` factors below and at `end` the one with the least error, for each channel."""
    best, least = end, error(end) if points > 1 else end
    for number in range(1, points):
        given = end - length * number / points
        found = error(given)
        best, least = np.where(found < least, given, best), np.minimum(found, least)
    return best


def alone(population: Population, links: Sequence[Link], sent: Mapping[str, Array]) -> tuple[Graph[FixedNode], Any]:
    """A population by itself: what its sources sent becomes the input. Gives the graph and its rasters."""
    nodes: dict[str, FixedNode] = {}
    rasters = {}
    for source in dict.fromkeys(link.source for link in links):
        raster = sent[source]
        low, high = min(0, int(raster.min())), max(1, int(raster.max()))
        nodes[f"from {source}"] = FixedInput(raster.shape[2:], low, high)
        rasters[f"from {source}"] = raster
    edges = []
    for number, link in enumerate(links):
        nodes[f"synapses {number}"] = link.synapses
        edges.append(Edge(f"from {link.source}", f"synapses {number}", "x", link.delay_steps))
        edges.append(Edge(f"synapses {number}", "population", link.port))
    nodes |= {"population": population, "output": Output(population.shape)}
    edges.append(Edge("population", "output"))
    return Graph(nodes, tuple(edges)), rasters


def response(population: Population, links: Sequence[Link], sent: Mapping[str, Array]) -> Array:
    """What a population by itself sends, [T, B, *shape]: spikes as numbers, or values in the model's units."""
    graph, rasters = alone(population, links, sent)
    return run_fixed(graph, rasters).outputs["output"]


def run_fixed(graph: Graph[FixedNode], rasters: Mapping[str, Array]) -> Run:
    """Run a fixed graph: by the engine, or, where compiling its kernels would take longer, by the emulator.

    Both give the same.
    """
    if by_emulator(graph, rasters):
        return emulate(graph, rasters)
    from norse_export.engine.network import compile_network  # numba is loaded where it is used

    return compile_network(graph).run(rasters).run


def by_emulator(graph: Graph[FixedNode], rasters: Mapping[str, Array]) -> bool:
    """Whether the emulator is done before the engine has compiled its kernels, or there is nothing to compile them."""
    steps, samples = next(iter(rasters.values())).shape[:2]
    if steps * samples * sum(_work(node) for node in graph.nodes.values()) < EMULATED_WORK:
        return True
    from norse_export.engine.kernels.memory import JIT  # numba is loaded where it is used

    return not JIT


def some(inputs: Mapping[str, Array], work: int, budget: int) -> dict[str, Array]:
    """Samples, evenly spread, and then steps from the first, as many as the budget allows; work: of one sample step."""
    steps, samples = next(iter(inputs.values())).shape[:2]
    taken = int(np.clip(budget // max(1, work * steps), 1, samples))
    length = steps if taken > 1 else int(np.clip(budget // max(1, work), min(steps, 32), steps))
    chosen = np.linspace(0, samples - 1, taken).round().astype(np.int64)
    return {name: raster[:length, chosen] for name, raster in inputs.items()}


def work_of(population: Population, links: Sequence[Link]) -> int:
    """What one step of one sample takes, in products of a dense computation."""
    return _work(population) + sum(_work(link.synapses) for link in links)


def _work(node: FixedNode) -> int:
    match node:
        case DenseSynapses() | SparseSynapses():
            return node.weight.size
        case ConvSynapses():
            return prod(node.output_shape) * prod(node.weight.shape[1:])
        case Population():
            return UPDATE_WORK * prod(node.shape)
        case _:
            return prod(node.output_shape)
