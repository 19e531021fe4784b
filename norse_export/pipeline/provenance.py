"""What an artefact says about where it comes from; no dates, paths or host names, so that bytes repeat."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version as installed_version

from norse_export.formats.nir.document import FOREIGN_KEY, KEPT_KEY
from norse_export.ir.graph import Graph
from norse_export.ir.stages import ContinuousNode
from norse_export.pipeline.choices import IntegerChoice
from norse_export.pipeline.model import Model
from norse_export.pipeline.rasters import Chosen


def version() -> str:
    """The version of norse_export."""
    return installed_version("norse-export")


def without_file(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata without what only a .nir file can take up again: other tools' metadata, and how their file was made."""
    return {key: text for key, text in metadata.items() if key not in (FOREIGN_KEY, KEPT_KEY)}


def with_provenance(
    model: Model, target: str, chosen: Chosen | None, integers: IntegerChoice | None = None
) -> Graph[ContinuousNode]:
    """The model's graph with its origin in the metadata, and how the artefact was compared before it got its name.

    integers: what was asked for, of an artefact of whole numbers: these equal themselves in another execution, and have
    a price.
    """
    asked = {} if integers is None else {"precision": integers.precision, "chip": integers.chip}
    origin = {
        "norse_export_version": version(),
        "source_kind": model.kind,
        "source_digest": model.digest,
        "target": target,
        "verified": "no: written with --no-verify" if chosen is None else _compared(chosen, integers),
        **{name: choice for name, choice in asked.items() if choice is not None},
    }
    graph = model.graph
    return Graph(graph.nodes, graph.edges, {**graph.metadata, **origin})


def _compared(chosen: Chosen, integers: IntegerChoice | None) -> str:
    """The file stands under its name only if the comparison said equal, so that this is true where it is read."""
    spikes = chosen.truth.run.spikes
    silent = [name for name, raster in spikes.items() if not raster.any()]
    rung = "the framework (rung 0)" if chosen.truth.rung == 0 else "the interpreter (rung 1)"
    on = f"on {chosen.kind} inputs, {chosen.summary.steps} steps, {chosen.summary.samples} samples"
    told = (
        f"equal to {rung} {on}" if integers is None else f"run twice with equal bits, and priced against {rung}, {on}"
    )
    return f"{told}; vacuous, for these never fired: {', '.join(silent)}" if silent else told
