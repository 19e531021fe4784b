"""What an artefact says about where it comes from; no dates, paths or host names, so that bytes repeat."""

from __future__ import annotations

from importlib.metadata import version as installed_version

from norse_export.ir.graph import Graph
from norse_export.ir.stages import ContinuousNode
from norse_export.pipeline.model import Model


def version() -> str:
    """The version of norse_export."""
    return installed_version("norse-export")


def with_provenance(model: Model, target: str, *, verified: bool) -> Graph[ContinuousNode]:
    """The model's graph with its origin in the metadata."""
    graph = model.graph
    origin = {
        "norse_export_version": version(),
        "source_kind": model.kind,
        "source_digest": model.digest,
        "target": target,
        "verified": "equal to the reference when it was written" if verified else "no: written with --no-verify",
    }
    return Graph(graph.nodes, graph.edges, {**graph.metadata, **origin})
