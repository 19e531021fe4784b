"""Where sPyNNaker puts cores on a board, as far as it can be foretold: chips, and routing entries of a single chip.

The populations of a network are placed in their order, each on chips that are linked to one another: from the first
chip that is not full, onto neighbours. The first chip has a core less, for it holds the connection to the host.

Sources: SpiNNaker_PACMAN 7.4.1: application_placer.py, merged_routing_table_generator.py, app_vertex_routing_info.py,
application_router.py; SpiNNMachine 7.4.1: version_5.py (the board that sPyNNaker takes as the pattern of all, with its
chips of 17 cores), link directions of machine.py; SpiNNFrontEndCommon 7.4.1: the monitors' memory, measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby

Chip = tuple[int, int]

SDRAM_BYTES = 123_469_792  # of a chip
MONITOR_BYTES = 488_476  # of it, for the monitor that every chip has
GATHERER_BYTES = 477_250  # and for the one with the connection to the host
_HOST: Chip = (0, 0)
_FIRST_ROWS = (0, 0, 0, 0, 0, 1, 2, 3)  # of each column of the board
_LAST_ROWS = (3, 4, 5, 6, 7, 7, 7, 7)
_FEWER = {(1, 1), (1, 3), (3, 1), (3, 3), (3, 5), (5, 2), (5, 4), (5, 6)}  # of 17 cores
_LINKS = ((1, 0), (1, 1), (0, 1), (-1, 0), (-1, -1), (0, -1))
_CORES = 16  # of 18, for applications: one is the monitor, one the extra monitor
CHIPS = tuple((x, y) for x in range(8) for y in range(_FIRST_ROWS[x], _LAST_ROWS[x] + 1))


def cores_of(chip: Chip) -> int:
    """Cores of a chip that applications can have."""
    return _CORES - (chip in _FEWER) - (chip == _HOST)


@dataclass(slots=True)
class _Board:
    """Cores and bytes that are taken of each chip, and chips that are full."""

    cores: dict[Chip, int] = field(default_factory=lambda: dict.fromkeys(CHIPS, 0))
    bytes: dict[Chip, int] = field(
        default_factory=lambda: {chip: MONITOR_BYTES + GATHERER_BYTES * (chip == _HOST) for chip in CHIPS}
    )
    full: set[Chip] = field(default_factory=set)

    def looks_full(self, chip: Chip) -> bool:
        room = SDRAM_BYTES - MONITOR_BYTES
        if self.cores[chip] == cores_of(chip) or self.bytes[chip] > room - room // _CORES:
            self.full.add(chip)
        return chip in self.full


def place(planned: Sequence[Sequence[int]]) -> list[list[Chip]] | None:
    """The chip of every core of every population, from the bytes that are planned for each; None: more than a board."""
    board, found = _Board(), []
    fresh: Iterator[Chip] = iter(CHIPS)
    again: list[Chip] = []  # chips that populations began on, to be tried first
    for cores in planned:
        tried: list[Chip] = []
        chips: list[Chip] | None = None
        while chips is None:
            start = next((chip for chip in chain(_taken(again), fresh) if chip not in board.full), None)
            if start is None:
                return None
            tried.append(start)
            chips = _from(start, cores, board)
        for chip, size in zip(chips, cores, strict=True):
            board.cores[chip] += 1
            board.bytes[chip] += size
        again += tried
        found.append(chips)
    return found


def _taken(chips: list[Chip]) -> Iterator[Chip]:
    while chips:
        yield chips.pop(0)


def _from(start: Chip, cores: Sequence[int], board: _Board) -> list[Chip] | None:
    """Chips for the cores of a population from this chip on; None: there is no room for all on linked chips."""
    found: list[Chip] = []
    seen: set[Chip] = set()
    neighbours: dict[Chip, None] = {start: None}
    chip, free, used = None, 0, 0
    for size in cores:
        while chip is None or free < 1 or used + size > SDRAM_BYTES:
            if not neighbours:
                return None
            chip = next(iter(neighbours))
            del neighbours[chip]
            free = 0
            if board.looks_full(chip):
                continue
            seen.add(chip)
            free, used = cores_of(chip) - board.cores[chip], board.bytes[chip]
            if used + size > SDRAM_BYTES:
                free = 0
                continue
            linked = ((chip[0] + x, chip[1] + y) for x, y in _LINKS)
            neighbours |= dict.fromkeys(
                one for one in linked if one in board.cores and one not in board.full and one not in seen
            )
        found.append(chip)
        free, used = free - 1, used + size
    return found


def entries(targets: Sequence[frozenset[int]]) -> int:
    """Routing entries of a population on a chip that holds the whole network.

    targets: for each of its cores the numbers of the cores that it sends to. Those that send to the same are merged, in
    aligned blocks of a power of two.
    """
    if not any(targets):
        return 0
    if len(set(targets)) == 1:
        return 1
    count, index = 0, 0
    for sent, group in groupby(targets):
        length = len(list(group))
        if sent:
            count += _blocks(index, length, last=index + length == len(targets))
        index += length
    return count


def _blocks(index: int, length: int, *, last: bool) -> int:
    """Blocks of a run of cores that send to the same; the last of a population may reach beyond its end."""
    count, done = 0, 0
    while done < length:
        at = index + done
        step = at & -at if at else 1 << (length - 1).bit_length()
        if step > length - done and not last:
            left = length - done
            return count + left.bit_count()
        count, done = count + 1, done + step
    return count
