"""Binds the nodes of a network to one thread's memory, in the order in which a step runs them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from norse_export.engine import codegen
from norse_export.engine.calls import Call, Late, Number, Symbol, call
from norse_export.engine.circuit import Circuit
from norse_export.engine.kernels import events, ports, random
from norse_export.engine.packing import Order, Packed, Sums
from norse_export.engine.population import PackedPopulation
from norse_export.engine.recordings import FINAL, OBSERVED, SENT, SPIKES
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population, SparseSynapses, Synapses
from norse_export.program.philox import MAX_STREAMS

FIRST_SAMPLE: Symbol = ("first sample",)


def wire(circuit: Circuit) -> None:
    """Reserve all memory first, for loops; then make the calls."""
    nodes, graph = circuit.nodes, circuit.nodes.graph
    for name, node in graph.nodes.items():
        if isinstance(node, FixedInput) or (isinstance(node, Population) and node.spikes):
            circuit.source(name)
        if isinstance(node, Population):
            _reserve(circuit, name, nodes.populations[name])
    for name in graph.order:
        match graph.nodes[name]:
            case FixedInput():
                circuit.input(name)
            case Population():
                _population(circuit, name, nodes.populations[name])
            case DenseSynapses() | ConvSynapses() | SparseSynapses():
                _projection(circuit, name, nodes.projections[name])
            case _:
                pass  # the host's


def _reserve(circuit: Circuit, name: str, packed: PackedPopulation) -> None:
    """Sums and states of a population; the states are what they are at the beginning of every sample."""
    for port in packed.node.ports:
        circuit.sums[name, port] = circuit.reserve(packed.size, packed.dtype)
    first, pitch = circuit.reserve(packed.initial.size, packed.dtype), packed.initial.strides[0]
    circuit.states[name] = tuple(first + number * pitch for number in range(len(packed.initial)))
    fresh, words = packed.initial.ctypes.data, packed.initial.nbytes // 8
    circuit.begins.append(call(ports.restore, address=first, fresh=fresh, words=words))


def _projection(circuit: Circuit, name: str, by_source: Mapping[str, Packed]) -> None:
    """Add weights for every edge into the synapses, then hand the sums on, unless they are the port's own."""
    graph, packed = circuit.nodes.graph, next(iter(by_source.values()))
    sums = packed.sums
    if sums is None:
        (edge,) = graph.outgoing(name)
        own = circuit.sums[edge.target, edge.port]
    else:
        own = circuit.reserve(sums.size, packed.types["sum_type"])
    operations = circuit.counter("operations", name)
    for edge in graph.incoming(name):
        if edge.delay_steps < circuit.steps:
            source = circuit.sources[edge.source]
            late: dict[str, Number] = {"slots": source.slots, "mask": source.mask, "delay": edge.delay_steps}
            taken = by_source[edge.source]
            numbers = {**taken.numbers, **late, "sums": own, "operations": operations}
            circuit.calls.append(call(taken.kernel, taken.types, **numbers))
    if sums is None:
        return
    for edge in graph.outgoing(name):
        if isinstance(graph.nodes[edge.target], Population):
            target = circuit.nodes.populations[edge.target]
            port = circuit.sums[edge.target, edge.port]
            circuit.calls.append(_delivery(circuit, name, packed, own, target.order, port, target.dtype))
    if (SENT, name) in circuit.recorded:
        _recorded_sums(circuit, name, packed, own, sums)
    words = -(-sums.size * np.dtype(packed.types["sum_type"]).itemsize // 8)
    circuit.calls.append(call(ports.clear, address=own, words=words))


def _delivery(circuit: Circuit, name: str, packed: Packed, own: Late, order: Order, port: Late, port_type: str) -> Call:
    """Add the sums of a projection to a port that stands in the given order."""
    node, sums, own_type = circuit.nodes.graph.nodes[name], packed.sums, packed.types["sum_type"]
    if not isinstance(node, Synapses) or sums is None:
        raise TypeError(f"{name} has no sums of its own")
    types = {"own_type": own_type, "port_type": port_type}
    delivery = node.delivery
    if delivery.wrap_bits is None and delivery.shift == 0 and _same(order, sums.order):
        first = own + sums.first * np.dtype(own_type).itemsize
        rows = {"rows": sums.rows, "run": sums.run, "pitch": sums.pitch}
        return call(ports.deliver_rows, types, own=first, port=port, **rows)
    places = sums.places if order is None else np.ascontiguousarray(sums.places[order])
    circuit.kept.append(places)
    how = {"up": 64 - (delivery.wrap_bits or 64), "left": max(delivery.shift, 0), "right": max(-delivery.shift, 0)}
    size = {"size": places.size, "own_size": sums.size}
    return call(ports.deliver, types, own=own, order=places.ctypes.data, port=port, **how, **size)


def _same(a: Order, b: Order) -> bool:
    return a is b or (a is not None and b is not None and np.array_equal(a, b))


def _recorded_sums(circuit: Circuit, name: str, packed: Packed, own: Late, sums: Sums) -> None:
    """What synapses send to the host: delivered to memory of their own, then recorded."""
    size = sums.places.size
    whole = circuit.reserve(size, "int64")
    circuit.calls.append(_delivery(circuit, name, packed, own, None, whole, "int64"))
    circuit.record(circuit.calls, whole, None, (SENT, name), "int64")
    circuit.calls.append(call(ports.clear, address=whole, words=size))


def _population(circuit: Circuit, name: str, packed: PackedPopulation) -> None:
    """Saturate the ports, draw random numbers, update, and hand on what is sent and recorded."""
    node, program = packed.node, packed.node.program
    observed = packed.variant.observed or any((OBSERVED, name, key) in circuit.recorded for key, _ in program.observe)
    for port, top in node.saturated.items():
        counter = circuit.counter("saturated", name, port)
        numbers = {"size": packed.size, "top": top}
        sums = {"sums": circuit.sums[name, port], "counter": counter}
        circuit.calls.append(call(ports.saturate, {"sum_type": packed.dtype}, **numbers, **sums))
    drawn = [_random(circuit, packed, stream) for stream in range(len(program.random))]
    results = codegen.results(program, observed=observed)
    written = [circuit.reserve(packed.size, packed.result_type(number)) for number in results]
    changed = () if packed.variant.exact else codegen.narrowing(program)
    taken = (
        packed.size,
        *(circuit.sums[name, port] for port in program.ports),
        *circuit.states[name],
        *drawn,
        *packed.parameters,
        *codegen.constants(program, packed.variant.bits),
        *written,
        *((circuit.counter("overflows", name, size=len(changed)),) if changed else ()),
    )
    circuit.calls.append(Call(packed.kernel(observed=observed), taken))
    at = dict(zip(results, written, strict=True))
    if program.spike is not None:
        _events(circuit, name, packed, at[program.output])
    _recordings(circuit, name, packed, at)
    if circuit.keeps and program.spike is not None and _lists_apart(packed):
        kind = circuit.recorded[SPIKES, name]
        kept: dict[str, Number] = {"samples": circuit.samples, "size": kind.cells, **circuit.keeping(name)}
        raster = Late((SPIKES, name))
        circuit.calls.append(call(events.keep_raster, {"number_type": kind.dtype}, raster=raster, **kept))


def _lists_apart(packed: PackedPopulation) -> bool:
    """Whether the lists of what a population sends are not those of its spikes in the graph's order."""
    return packed.values or not packed.sends_spikes or packed.order is not None


def _random(circuit: Circuit, packed: PackedPopulation, stream: int) -> Late:
    """Address of the numbers of one stream, drawn in every step."""
    node, order = packed.node, packed.order
    numbers = circuit.reserve(packed.size, "int64")
    counter = {"low": node.seed & 0xFFFFFFFF, "high": node.seed >> 32, "counter": MAX_STREAMS * node.key + stream}
    places = 0 if order is None else order.ctypes.data
    late = {"numbers": numbers, "first_sample": Late(FIRST_SAMPLE)}
    circuit.calls.append(call(random.draw, size=packed.size, order=places, **counter, **late))
    return numbers


def _events(circuit: Circuit, name: str, packed: PackedPopulation, sent: Late) -> None:
    """List the events of what a population sends; where these are its spikes, set their bytes in the raster too."""
    source, counter = circuit.sources[name], circuit.counter("sent", name, size=circuit.steps)
    ring: dict[str, Number] = {"slots": source.slots, "mask": source.mask, "ring": source.ring, "sent": counter}
    ring["size"] = packed.size
    if packed.values:
        circuit.calls.append(call(events.count_events, {"number_type": packed.dtype}, numbers=sent, **ring))
        return
    raster: Number = Late((SPIKES, name)) if packed.sends_spikes else 0
    order = 0 if packed.order is None else packed.order.ctypes.data
    keeping = circuit.keeping("" if _lists_apart(packed) else name)
    shared = {"flags": sent, "raster": raster, **keeping}
    circuit.calls.append(call(events.spike_events, samples=circuit.samples, order=order, **shared, **ring))


def _recordings(circuit: Circuit, name: str, packed: PackedPopulation, at: dict[int, Late]) -> None:
    """Copy what the run gives: spikes that are not what is sent, or not 0 and 1; observables; final states."""
    program = packed.node.program

    def record(calls: list[Call], source: Late, target: Symbol, dtype: str) -> None:
        if target in circuit.recorded:
            circuit.record(calls, source, packed.order, target, dtype)

    if program.spike is not None and (packed.values or not packed.sends_spikes):
        record(circuit.calls, at[program.spike], (SPIKES, name), packed.result_type(program.spike))
    record(circuit.calls, at[program.output], (SENT, name), packed.result_type(program.output))
    for key, state in zip(program.variables, circuit.states[name], strict=True):
        record(circuit.ends, state, (FINAL, name, key), packed.dtype)
        record(circuit.calls, state, (OBSERVED, name, key), packed.dtype)
    for key, number in program.observe:
        if number in at:
            record(circuit.calls, at[number], (OBSERVED, name, key), packed.result_type(number))
