"""What Loihi holds: registers, cores and chips, each number with its source. What nobody published is None.

N: nengo-loihi 1.1.0 (nengo_loihi/hardware/nxsdk_objects.py, validate.py), which checks these before it loads a chip.
D: Davies et al., "Loihi: A Neuromorphic Manycore Processor with On-Chip Learning", IEEE Micro 38(1), 2018.
B: Intel, "Taking Neuromorphic Computing to the Next Level with Loihi 2", technology brief, 2021, comparison table (seen
as quoted in other documents).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Registers (lava-nc 0.10.0, lava/proc/lif/models.py: declared precisions; Lava checks none of them)
DECAY_MAX = 4095  # du, dv: 12 bits, unsigned
THRESHOLD_MAX = 131071  # 17 bits, unsigned
BIAS_MIN, BIAS_MAX = -4096, 4095  # 13 bits, signed
MIXED_MIN, MIXED_MAX = -256, 254  # 8 bits and a sign, even
MIXED_ODD_MIN, MIXED_ODD_MAX = -128, 127  # within these weights of 8 bits may be odd, with weight_exp = -1
ONE_SIGN_MAX = 255

# Encoding of synapses (nengo-loihi, nxsdk_objects.py, Synapse: bits_per_axon)
SYNAPSES_PER_CHUNK, CHUNK_HEADER_BITS, MEMORY_WORD_BITS = 64, 10, 64
INDEX_BITS = (6, 12)  # least and most bits of a target's index, where not every synapse of a stretch is there

COMPARTMENTS, MEMORY = "compartments", "synapse memory in bits"
AXONS_IN, AXONS_OUT = "axons in", "axons out"
DECAYS, THRESHOLDS = "distinct decays", "distinct thresholds"
CORES, NEURONS, SYNAPSES = "cores", "neurons", "synapses"

_N, _D = "nengo-loihi 1.1.0", "Davies et al. 2018"
_B = "Intel, Loihi 2 technology brief, 2021"
_UNKNOWN = "not published"


@dataclass(frozen=True, slots=True)
class Figure:
    """How much there is of something, None where that is not published; and who says so."""

    value: int | None
    source: str


@dataclass(frozen=True, slots=True)
class ChipLimits:
    """A kind of chip: what each core of it holds, and what the whole of it does."""

    name: str
    core: Mapping[str, Figure]
    chip: Mapping[str, Figure]

    @property
    def cores(self) -> int:
        """Cores of one chip."""
        return self.chip[CORES].value or 1

    @property
    def unknown(self) -> tuple[str, ...]:
        """What is not published of a core."""
        return tuple(name for name, figure in self.core.items() if figure.value is None)


LOIHI1 = ChipLimits(
    "Loihi 1",
    {
        COMPARTMENTS: Figure(1024, f"{_N}; {_D}"),
        MEMORY: Figure(16384 * MEMORY_WORD_BITS, f"{_N}: 16384 words of 64 bits"),
        AXONS_IN: Figure(4096, _N),
        AXONS_OUT: Figure(4096, _N),
        DECAYS: Figure(32, f"{_N}: compartment configurations of a core"),
        THRESHOLDS: Figure(8, f"{_N}: MAX_VTH_CFGS of nxsdk_objects.py; validate.py allows 16"),
    },
    {
        CORES: Figure(128, f"{_N}; {_D}"),
        NEURONS: Figure(128 * 1024, _D),
        SYNAPSES: Figure(128_000_000, _B),
    },
)
LOIHI2 = ChipLimits(
    "Loihi 2",
    {
        COMPARTMENTS: Figure(8192, f"{_B}: up to"),
        MEMORY: Figure(192 * 1024 * 8, f"{_B}: 192 KB for synapses and neurons; assumed: all of it for synapses"),
        AXONS_IN: Figure(None, _UNKNOWN),
        AXONS_OUT: Figure(None, _UNKNOWN),
        DECAYS: Figure(None, _UNKNOWN),
        THRESHOLDS: Figure(None, _UNKNOWN),
    },
    {
        CORES: Figure(120, f"{_B}: 128; several papers have 120 on the boards"),
        NEURONS: Figure(1_000_000, _B),
        SYNAPSES: Figure(120_000_000, _B),
    },
)
CHIPS = (LOIHI2, LOIHI1)
NAMES = {"loihi2": LOIHI2, "loihi1": LOIHI1}  # as --chip names them
