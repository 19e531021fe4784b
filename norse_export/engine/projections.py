"""The projections of a graph made ready for their kernels: see packing.py for each kind."""

from __future__ import annotations

from collections.abc import Mapping

from norse_export.engine.packing import Form, Packed, pack
from norse_export.engine.population import PackedPopulation
from norse_export.engine.recordings import has_values
from norse_export.ir.bounds import Sums
from norse_export.ir.fixed import ConvSynapses, Delivery, FixedInput, Synapses
from norse_export.ir.graph import Graph
from norse_export.ir.stages import FixedNode
from norse_export.program.interval import Interval, bits_of, within


def packed_projections(
    graph: Graph[FixedNode], populations: Mapping[str, PackedPopulation], sums: Mapping[str, Sums]
) -> dict[str, dict[str, Packed]]:
    """Every projection of a graph, packed for each of its sources."""
    return {
        name: _packed(graph, name, node, populations, sums[name].exact)
        for name, node in graph.nodes.items()
        if isinstance(node, Synapses)
    }


def _packed(
    graph: Graph[FixedNode], name: str, node: Synapses, populations: Mapping[str, PackedPopulation], exact: Interval
) -> dict[str, Packed]:
    """It adds straight to the port where nothing else becomes of its sums."""
    targets = graph.outgoing(name)
    alone = len(targets) == 1 and targets[0].target in populations and node.delivery == Delivery()
    target = populations[targets[0].target] if alone and not isinstance(node, ConvSynapses) else None
    sources = dict.fromkeys(edge.source for edge in graph.incoming(name))
    values = {source: _has_values(graph, source, populations) for source in sources}
    form = Form(
        _own_type(node, exact) if target is None else target.dtype,
        direct=target is not None,
        target=None if target is None else target.order,
        values=any(values.values()),
    )
    orders = {source: populations[source].order if source in populations else None for source in sources}
    return {source: pack(node, form, orders[source], values=values[source]) for source in sources}


def _own_type(node: Synapses, exact: Interval) -> str:
    """The narrowest element type that holds all sums."""
    widths = (16, 32, 64) if isinstance(node, ConvSynapses) else (32, 64)
    return next(f"int{bits}" for bits in widths if bits == 64 or within(exact, bits_of(bits)))


def _has_values(graph: Graph[FixedNode], name: str, populations: Mapping[str, PackedPopulation]) -> bool:
    node = graph.nodes[name]
    return has_values(node) if isinstance(node, FixedInput) else populations[name].values
