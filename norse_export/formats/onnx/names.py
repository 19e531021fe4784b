"""Names in an ONNX graph: the user's own, and others beside them that nothing else has."""

from __future__ import annotations

from collections.abc import Iterable


class Names:
    """Names that are taken."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = set(taken)

    def fresh(self, wanted: str) -> str:
        """The name, with underscores behind it until nothing else has it."""
        while wanted in self.taken:
            wanted += "_"
        self.taken.add(wanted)
        return wanted
