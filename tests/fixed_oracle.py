"""A second executor of fixed graphs, written differently: plain Python integers, one synapse and neuron at a time.

It follows the docstrings of the operations, of the random numbers and of the nodes, and calls none of them: no arrays,
no numpy arithmetic, integers of any size. Beside what a run gives it counts what happened: sums that were narrowed,
cells that were saturated, synapses that an event went through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from math import prod
from typing import Any

from scalar_oracle import _conv, _indices, _linear, _pool

from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population, SparseSynapses
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Flatten, Linear, Output, Pool, Scale, Sum
from norse_export.program.operations import Instruction, Op, Rounding
from norse_export.program.program import Program

Numbers = list[Any]  # of one sample of one step, in C order
SYNAPSES = (DenseSynapses, ConvSynapses, SparseSynapses)


@dataclass
class Counts:
    """What happened in a run, over all samples and steps.

    narrowed: by population and number of a narrowing instruction, how often it changed a value. saturated: by
    population and port, the cells whose sum was above the largest. synaptic: by synapses node, how many synapses
    something other than 0 was sent into. spikes: by population, values other than 0. largest: the largest magnitude of
    any integer.
    """

    narrowed: Counter[tuple[str, int]] = field(default_factory=Counter)
    saturated: Counter[tuple[str, str]] = field(default_factory=Counter)
    synaptic: Counter[str] = field(default_factory=Counter)
    spikes: Counter[str] = field(default_factory=Counter)
    largest: int = 0


class Sample:
    """One sample of a run; lists over steps of lists over cells."""

    def __init__(
        self, graph: Graph[Any], rasters: Mapping[str, list[Numbers]], number: int, counts: Counts, wiring: Wiring
    ) -> None:
        self.graph, self.rasters, self.number, self.counts, self.wiring = graph, rasters, number, counts, wiring
        self.sent: dict[str, list[Numbers]] = {name: [] for name in graph.nodes}
        self.spikes: dict[str, list[Numbers]] = {}
        self.observed: dict[str, dict[str, list[Numbers]]] = {}
        self.state: dict[str, list[dict[str, int]]] = {
            name: [
                {variable: int(values.ravel()[cell]) for variable, values in node.initial_state.items()}
                for cell in range(prod(node.shape))
            ]
            for name, node in graph.nodes.items()
            if isinstance(node, Population)
        }
        for t in range(len(next(iter(rasters.values())))):
            waiting = list(graph.nodes)
            while waiting:
                name = next(name for name in waiting if self._is_ready(name, t))
                waiting.remove(name)
                self.sent[name].append(self._send(name, graph.nodes[name], t))

    def _is_ready(self, name: str, t: int) -> bool:
        edges = self.wiring.incoming[name]
        return all(edge.delay_steps > t or len(self.sent[edge.source]) > t - edge.delay_steps for edge in edges)

    def _arriving(self, name: str, port: str, cells: int, t: int) -> Numbers:
        total: Numbers = [0] * cells
        for edge in self.wiring.incoming[name]:
            if edge.port == port and edge.delay_steps <= t:
                for cell, value in enumerate(self.sent[edge.source][t - edge.delay_steps]):
                    total[cell] += value
        return total

    def _send(self, name: str, node: Any, t: int) -> Numbers:
        if isinstance(node, FixedInput):
            return self.rasters[name][t]
        if isinstance(node, Population):
            return self._population(name, node, t)
        x = self._arriving(name, "x", prod(node.input_shape), t)
        return self._synapses(name, node, x) if isinstance(node, SYNAPSES) else _layer(node, x)

    def _synapses(self, name: str, node: Any, x: Numbers) -> Numbers:
        total = [0] * prod(node.output_shape)
        for source, value in enumerate(x):
            if value:
                synapses = self.wiring.synapses[name][source]
                self.counts.synaptic[name] += len(synapses)
                for target, weight in synapses:
                    total[target] += weight * value
        return [_deliver(value, node.delivery.wrap_bits, node.delivery.shift) for value in total]

    def _population(self, name: str, node: Population, t: int) -> Numbers:
        cells = prod(node.shape)
        ports = {port: self._arriving(name, port, cells, t) for port in node.ports}
        for port, top in node.saturated.items():
            self.counts.saturated[name, port] += sum(value > top for value in ports[port])
            ports[port] = [top if value > top else value for value in ports[port]]
        step, sent = self.wiring.steps[name], []
        spikes: Numbers = []
        observed: dict[str, Numbers] = {key: [] for key in (*node.program.variables, *dict(node.program.observe))}
        for cell in range(cells):
            given = {**self.wiring.parameters[name][cell], **self.state[name][cell]}
            given |= {port: values[cell] for port, values in ports.items()}
            for stream, key in enumerate(node.program.random):
                given[key] = philox(node.seed, (cell, t, self.number, 256 * node.key + stream))
            state, spike, output, seen = step(given, t)
            self.state[name][cell] = state
            sent.append(output if node.spikes else float(output) * self.wiring.units[name][cell])
            spikes.append(spike)
            for key, value in (state | seen).items():
                observed[key].append(value)
        if node.spikes:
            self.spikes.setdefault(name, []).append(spikes)
            self.counts.spikes[name] += sum(value != 0 for value in spikes)
        for key, values in observed.items():
            self.observed.setdefault(name, {}).setdefault(key, []).append(values)
        return sent


@dataclass
class Wiring:
    """What is the same for all samples: edges, the list of synapses of each source, parameters and steps."""

    incoming: dict[str, list[Any]]
    synapses: dict[str, list[list[tuple[int, int]]]]
    parameters: dict[str, list[dict[str, int]]]
    units: dict[str, list[float]]
    steps: dict[str, Callable[[dict[str, int], int], Any]]


@dataclass
class OracleRun:
    """The samples of a run, in order, and what happened in them."""

    samples: list[Sample]
    counts: Counts


def run(graph: Graph[Any], inputs: Mapping[str, Any], first_sample: int = 0) -> OracleRun:
    """Run a fixed graph on rasters [T, B, *shape], sample by sample."""
    counts = Counts()
    populations = {name: node for name, node in graph.nodes.items() if isinstance(node, Population)}
    wiring = Wiring(
        incoming={name: [edge for edge in graph.edges if edge.target == name] for name in graph.nodes},
        synapses={name: _synapses(node) for name, node in graph.nodes.items() if isinstance(node, SYNAPSES)},
        parameters={
            name: [
                {key: int(values.ravel()[cell]) for key, values in node.parameters.items()}
                for cell in range(prod(node.shape))
            ]
            for name, node in populations.items()
        },
        units={
            name: node.unit["v"].ravel().tolist() if "v" in node.unit else [1.0] * prod(node.shape)
            for name, node in populations.items()
        },
        steps={name: _stepper(name, node.program, counts) for name, node in populations.items()},
    )
    samples = []
    for number in range(next(iter(inputs.values())).shape[1]):
        rasters = {name: [list(map(int, step[number].ravel())) for step in raster] for name, raster in inputs.items()}
        samples.append(Sample(graph, rasters, first_sample + number, counts, wiring))
    return OracleRun(samples, counts)


def _synapses(node: Any) -> list[list[tuple[int, int]]]:
    """For each source cell its synapses: target cell and weight."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(prod(node.input_shape))]
    if isinstance(node, DenseSynapses):
        for target, row in enumerate(node.weight.tolist()):
            for source, weight in enumerate(row):
                found[source].append((target, weight))
    elif isinstance(node, SparseSynapses):
        starts, targets, weights = node.starts.tolist(), node.targets.tolist(), node.weight.tolist()
        for source in range(len(found)):
            for number in range(starts[source], starts[source + 1]):
                found[source].append((targets[number], weights[number]))
    else:
        for source, target, weight in _windows(node):
            found[source].append((target, weight))
    return found


def _windows(node: ConvSynapses) -> Iterator[tuple[int, int, int]]:
    """out[c, y, x] = sum of weight[c, k, i, j] * in[c's group, y stride + i dilation - padding, x ...]."""
    (channels, rows, columns), weight = node.input_shape, node.weight.tolist()
    height = (rows + 2 * node.padding[0] - node.dilation[0] * (len(weight[0][0]) - 1) - 1) // node.stride[0] + 1
    width = (columns + 2 * node.padding[1] - node.dilation[1] * (len(weight[0][0][0]) - 1) - 1) // node.stride[1] + 1
    together = channels // node.groups
    for c, kernel in enumerate(weight):
        group = c // (len(weight) // node.groups)
        for y, x, k in product(range(height), range(width), range(together)):
            for i, line in enumerate(kernel[k]):
                for j, value in enumerate(line):
                    row = y * node.stride[0] + i * node.dilation[0] - node.padding[0]
                    column = x * node.stride[1] + j * node.dilation[1] - node.padding[1]
                    if 0 <= row < rows and 0 <= column < columns:
                        source = ((group * together + k) * rows + row) * columns + column
                        yield source, (c * height + y) * width + x, value


def _deliver(total: int, wrap_bits: int | None, shift: int) -> int:
    if wrap_bits is not None:
        total = _wrapped(total, wrap_bits)
    return total * 2**shift if shift >= 0 else total // 2**-shift


def _layer(node: Any, x: Numbers) -> Numbers:
    signal = dict(zip(_indices(node.input_shape), map(float, x), strict=True))
    match node:
        case Output() | Sum() | Flatten():
            return list(signal.values())
        case Scale():
            return [float(node.scale[index]) * value for index, value in signal.items()]
        case Linear():
            return list(_linear(node, signal).values())
        case Conv():
            return list(_conv(node, signal).values())
        case Pool():
            return list(_pool(node, signal).values())
    raise TypeError(node)


def _stepper(name: str, program: Program, counts: Counts) -> Callable[[dict[str, int], int], Any]:
    """One step of one neuron: values by name and t -> (state by name, spike, what is sent, what is observed)."""
    rules = [_rule(name, number, step, counts) for number, step in enumerate(program.instructions)]

    def step(given: dict[str, int], t: int) -> Any:
        values: list[int] = []
        for rule in rules:
            values.append(rule(values, given, t))
        counts.largest = max(counts.largest, max(values), -min(values))
        state = {variable: values[number] for variable, number in zip(program.variables, program.state, strict=True)}
        spike = None if program.spike is None else values[program.spike]
        return state, spike, values[program.output], {key: values[number] for key, number in program.observe}

    return step


_BINARY: dict[Op, Callable[[int, int], int]] = {
    Op.ADD: lambda a, b: a + b,
    Op.SUB: lambda a, b: a - b,
    Op.MUL: lambda a, b: a * b,
    Op.MIN: lambda a, b: a if a < b else b,
    Op.MAX: lambda a, b: a if a > b else b,
    Op.GREATER: lambda a, b: a > b,
    Op.GREATER_EQUAL: lambda a, b: a >= b,
    Op.EQUAL: lambda a, b: a == b,
    Op.AND: lambda a, b: bool(a) and bool(b),
    Op.OR: lambda a, b: bool(a) or bool(b),
}


def _rule(name: str, number: int, step: Instruction, counts: Counts) -> Callable[[list[int], dict[str, int], int], int]:
    op, key = step.op, step.name
    a, b, c = (*step.operands, 0, 0, 0)[:3]
    first, second = (*step.constants, 0, 0)[:2]
    if op in (Op.PORT, Op.STATE, Op.PARAMETER, Op.RANDOM):
        return lambda v, given, t: given[key]
    if op in _BINARY:
        both = _BINARY[op]
        return lambda v, given, t: both(v[a], v[b])
    if op in (Op.SATURATE, Op.WRAP, Op.WRAP_ONCE):
        return _narrowing((name, number), op, a, first, second, counts)
    noise = step.operands[-1] if step.rounding is Rounding.STOCHASTIC else None
    random: Callable[[list[int]], int] = (lambda v: 0) if noise is None else (lambda v: v[noise])
    rounding = step.rounding or Rounding.FLOOR
    match op:
        case Op.CLOCK:
            return lambda v, given, t: t
        case Op.CONSTANT:
            return lambda v, given, t: first
        case Op.NEG:
            return lambda v, given, t: 0 - v[a]
        case Op.ABS:
            return lambda v, given, t: v[a] if v[a] >= 0 else 0 - v[a]
        case Op.NOT:
            return lambda v, given, t: not v[a]
        case Op.WHERE:
            return lambda v, given, t: v[b] if v[a] else v[c]
        case Op.SHIFT_LEFT:
            return lambda v, given, t: v[a] * 2**first
        case Op.SHIFT_RIGHT:
            return lambda v, given, t: _divided(v[a], first, rounding, random(v))
        case Op.MUL_SHIFT:
            return lambda v, given, t: _divided(v[a] * v[b], first, rounding, random(v))
    raise TypeError(op)


def _narrowing(
    where: tuple[str, int], op: Op, a: int, first: int, second: int, counts: Counts
) -> Callable[[list[int], dict[str, int], int], int]:
    def narrowed(v: list[int], given: dict[str, int], t: int) -> int:
        value = v[a]
        if op is Op.WRAP:
            result = _wrapped(value, first)
        elif op is Op.SATURATE:
            result = first if value < first else second if value > second else value
        else:
            span = second - first + 1
            result = value + span if value < first else value - span if value > second else value
        if result != value:
            counts.narrowed[where] += 1
        return result

    return narrowed


def _wrapped(value: int, bits: int) -> int:
    rest = value % 2**bits
    return rest - 2**bits if rest >= 2 ** (bits - 1) else rest


def _divided(a: int, bits: int, rounding: Rounding, noise: int) -> int:
    match rounding:
        case Rounding.FLOOR:
            return a // 2**bits
        case Rounding.TOWARD_ZERO:
            return a // 2**bits if a >= 0 else -((-a) // 2**bits)
        case Rounding.HALF_EVEN:
            return round(Fraction(a, 2**bits))
        case Rounding.STOCHASTIC:
            return (a + noise // 2 ** (32 - bits)) // 2**bits


def philox(seed: int, counter: tuple[int, int, int, int]) -> int:
    """Philox 4x32-10: the first word for a counter of four words and a key of two, the seed's halves."""
    word = 2**32
    c, key = list(counter), [seed % word, seed // word]
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c[0], word)
        high1, low1 = divmod(0xCD9E8D57 * c[2], word)
        c = [high1 ^ c[1] ^ key[0], low1, high0 ^ c[3] ^ key[1], low0]
        key = [(key[0] + 0x9E3779B9) % word, (key[1] + 0xBB67AE85) % word]
    return c[0]
