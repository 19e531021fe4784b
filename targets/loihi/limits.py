"""What Loihi holds: registers, cores and chips, each number with its source.

Loihi 1: nengo-loihi 1.1.0 (nengo_loihi/hardware/nxsdk_objects.py, validate.py); Davies et al., IEEE Micro 38(1), 2018.
Loihi 2: Intel, "Taking Neuromorphic Computing to the Next Level with Loihi 2", technology brief, comparison table (seen
as quoted in other documents). What neither says is None, and is told as unknown.
"""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class ChipLimits:
    """One chip. compartments, synapse_bits, in_axons, out_axons: of a core; None: not published."""

    name: str
    cores: int
    compartments: int
    synapse_bits: int
    in_axons: int | None
    out_axons: int | None
    source: str


LOIHI1 = ChipLimits("Loihi 1", 128, 1024, 16384 * 64, 4096, 4096, "nengo-loihi 1.1.0; Davies et al. 2018")
# 192 KB of a core are shared out between synapses and neurons; all of it is counted as synapses here (assumed). 120
# cores, as several papers have of boards; the brief says up to 128.
LOIHI2 = ChipLimits("Loihi 2", 120, 8192, 192 * 1024 * 8, None, None, "Intel, Loihi 2 technology brief, 2021")
CHIPS = (LOIHI2, LOIHI1)
