"""Names in an ONNX graph: the user's own, and others beside them that nothing else has."""

from __future__ import annotations

from collections.abc import Iterable


class Names:
    """Names that are taken."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = set(taken)
        self._last: dict[str, int] = {}

    def fresh(self, wanted: str) -> str:
        """The name, or where something else has it, with the first number behind it that makes it one of its own."""
        name, number = wanted, self._last.get(wanted, 1)
        while name in self.taken:
            number += 1
            name = f"{wanted}_{number}"
        self.taken.add(name)
        self._last[wanted] = number
        return name
