"""What a graph's metadata say of its nodes by their names: a JSON object or list as a text."""

from __future__ import annotations

import json
from typing import Any

from norse_export.ir.graph import Graph

CLASSES = (
    "classes"  # in the graph's metadata: the class of its framework that each population was made of, for messages
)


def named(graph: Graph[Any], key: str) -> dict[str, str]:
    """What the metadata say, under a key, of nodes that the graph has; nothing where they were changed by hand."""
    try:
        found = json.loads(graph.metadata.get(key, "{}"))
    except (ValueError, RecursionError):
        return {}
    if isinstance(found, list):
        found = {name: "" for name in found if isinstance(name, str)}
    return {name: str(said) for name, said in found.items() if name in graph.nodes} if isinstance(found, dict) else {}
