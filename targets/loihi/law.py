"""The laws of Loihi as data: `lava` (Loihi 2 as Intel's Lava has it) and `loihi1` (as the nengo-loihi emulator has it).

`lava` is the fixed-point law of lava-nc 0.10.0 (lava/proc/lif/models.py, dense/models.py, conv/models.py,
utils/weightutils.py), bit for bit, with what is Lava's and not the chip's: those places say "Lava". The widths:

    u, v             24 bits            du, dv       12 bits, unsigned     threshold    17 bits, unsigned
    bias mantissa    13 bits, signed    exponent      3 bits, unsigned     weight        8 bits and a sign

Lava checks none of them, and neither does this law: it computes what Lava computes beyond them too. Its integers are
int32 and wrap. One unit of a weight or of a threshold is 2^ALIGN_BITS units of the states.

`loihi1` is the law of the nengo-loihi 1.1.0 emulator (nengo_loihi/emulator/interface.py). Its overflows are true two's
complement, where Lava's are not.

A step of synaptic delay belongs to both laws: what is sent at step t arrives at t + SYNAPSE_STEPS. Recordings hold the
states after the step.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.ir.fixed import Delivery
from norse_export.program.operations import (
    TOWARD_ZERO,
    equal,
    maximum,
    minimum,
    mul_shift,
    saturate,
    shift_left,
    where,
    wrap,
    wrap_once,
)
from norse_export.program.program import Family, Step

IntArray = NDArray[np.int64]

STATE_BITS = 24  # of u and v
STATE_RANGE = 1 << (STATE_BITS - 1)
DECAY_BITS = 12
DECAY_UNITY = 1 << DECAY_BITS
ALIGN_BITS = 6  # of weights and thresholds against the states
CURRENT_DECAY_OFFSET = 1  # Loihi 1 has a register for it; Lava sets it to 1, so that du = 4095 leaves nothing of u
LAVA_BITS = 32  # of Lava's integers, which are numpy's int32
BIAS_STORED_BITS = 16  # of Lava's bias mantissa and exponent, which are numpy's int16
WEIGHT_BITS = 8
CONV_SUM_BITS = 24
SYNAPSE_STEPS = 1
MAX_DELAY = 63  # 6 bits: lava/proc/dense/models.py, PyDelayDenseModelBitAcc
SIGNED = "signed"
LOIHI1_INPUT_BITS = 22  # 21 and a sign: nengo_loihi/emulator/interface.py, Q_BITS
LOIHI1_CURRENT_BITS = 24  # 23 and a sign: U_BITS


# The neurons of Lava


def _integrated(a: Any, u: Any, v: Any, u_keep: Any, v_keep: Any, bias: Any) -> tuple[Any, Any]:
    """u and v of one step before the threshold (AbstractPyLifModelFixed.subthr_dynamics).

    Lava: u wraps once, into (-2^23, 2^23], so that +2^23 stays and what is farther off leaves 24 bits; before that it
    is an int32. The sum of v is an int32 too, and then saturates at +-(2^23 - 1).
    """
    summed = mul_shift(u, u_keep, DECAY_BITS, TOWARD_ZERO) + shift_left(a, ALIGN_BITS)
    u1 = wrap_once(wrap(summed, LAVA_BITS), -STATE_RANGE + 1, STATE_RANGE)
    driven = mul_shift(v, v_keep, DECAY_BITS, TOWARD_ZERO) + u1 + bias
    return u1, saturate(wrap(driven, LAVA_BITS), -STATE_RANGE + 1, STATE_RANGE - 1)


def lava_lif(a: Any, u: Any, v: Any, *, u_keep: Any, v_keep: Any, bias: Any, v_th: Any) -> Step:
    """LIF (PyLifModelBitAcc): strict threshold, reset to 0; a spike leaves u as it is."""
    u1, v1 = _integrated(a, u, v, u_keep, v_keep, bias)
    z = v1 > v_th
    return Step(spike=z, state=(u1, where(z, 0, v1)))


def lava_readout(a: Any, u: Any, v: Any, *, u_keep: Any, v_keep: Any, bias: Any, v_th: Any) -> Step:
    """The same neuron where the host reads v, and no spike goes anywhere: it sends v."""
    u1, v1 = _integrated(a, u, v, u_keep, v_keep, bias)
    v2 = where(v1 > v_th, 0, v1)
    return Step(state=(u1, v2), output=v2)


def lava_lif_reset(
    a: Any, u: Any, v: Any, phase: Any, *, u_keep: Any, v_keep: Any, bias: Any, v_th: Any, interval: Any, offset: Any
) -> Step:
    """LIFReset (PyLifResetModelBitAcc): u and v are 0 before the step whenever its number, modulo interval, is offset.

    phase: number of the step modulo interval; Lava counts steps from 1.
    """
    now = equal(phase, offset)
    u1, v1 = _integrated(a, where(now, 0, u), where(now, 0, v), u_keep, v_keep, bias)
    z = v1 > v_th
    following = minimum(phase + 1, interval)
    return Step(spike=z, state=(u1, where(z, 0, v1), where(following >= interval, 0, following)))


def _ternary(
    a: Any, u: Any, v: Any, u_keep: Any, v_keep: Any, bias: Any, v_th: Any, v_low: Any
) -> tuple[Any, Any, tuple[Any, Any]]:
    """The signed spike, whether there is one, and the state (PyTernLifModelFixed)."""
    u1, v1 = _integrated(a, u, v, u_keep, v_keep, bias)
    signed = where(v1 > v_th, 1, 0) - where(v_low > v1, 1, 0)
    fired = ~equal(signed, 0)
    return signed, fired, (u1, where(fired, 0, v1))


def lava_ternary(a: Any, u: Any, v: Any, *, u_keep: Any, v_keep: Any, bias: Any, v_th: Any, v_low: Any) -> Step:
    """TernaryLIF: +1 above v_th, -1 below v_low, both strict; either resets v to 0. Sends the signed spike."""
    signed, _, state = _ternary(a, u, v, u_keep, v_keep, bias, v_th, v_low)
    return Step(spike=signed, state=state)


def lava_ternary_unsigned(
    a: Any, u: Any, v: Any, *, u_keep: Any, v_keep: Any, bias: Any, v_th: Any, v_low: Any
) -> Step:
    """TernaryLIF that feeds synapses without message bits: Lava counts whatever is not 0 as 1 there, -1 too.

    The signed spike is the observable SIGNED.
    """
    signed, fired, state = _ternary(a, u, v, u_keep, v_keep, bias, v_th, v_low)
    return Step(spike=fired, state=state, observe={SIGNED: signed})


LAVA_LIF = Family("lava_lif", lava_lif, ports=("a",), state=("u", "v"))
LAVA_READOUT = Family("lava_readout", lava_readout, ports=("a",), state=("u", "v"))
LAVA_LIF_RESET = Family("lava_lif_reset", lava_lif_reset, ports=("a",), state=("u", "v", "phase"))
LAVA_TERNARY = Family("lava_ternary", lava_ternary, ports=("a",), state=("u", "v"))
LAVA_TERNARY_UNSIGNED = Family("lava_ternary_unsigned", lava_ternary_unsigned, ports=("a",), state=("u", "v"))


# The neuron of Loihi 1


@cache
def loihi1_lif(v_min: int, v_max: int) -> Family:
    """The neuron of nengo-loihi: v saturates at v_min and v_max, which are registers of a core.

    refractory counts the steps in which v still rests at 0, that of the spike not counted. u is recorded without the
    bias.
    """

    def step(
        a: Any, u: Any, v: Any, refractory: Any, *, u_keep: Any, v_keep: Any, bias: Any, v_th: Any, refract_delay: Any
    ) -> Step:
        u1 = wrap(mul_shift(u, u_keep, DECAY_BITS, TOWARD_ZERO) + wrap(a, LOIHI1_INPUT_BITS), LOIHI1_CURRENT_BITS)
        drive = wrap(u1 + bias, LOIHI1_CURRENT_BITS)
        v1 = saturate(mul_shift(v, v_keep, DECAY_BITS, TOWARD_ZERO) + drive, v_min, v_max)
        v2 = where(refractory > 0, 0, v1)
        z = v2 > v_th
        return Step(spike=z, state=(u1, where(z, 0, v2), maximum(where(z, refract_delay, refractory) - 1, 0)))

    return Family("loihi1_lif", step, ports=("a",), state=("u", "v", "refractory"))


# What becomes of parameters


def current_keep(du: IntArray) -> IntArray:
    """What a step leaves of u, in parts of DECAY_UNITY. du = -1 leaves all; a register has no such value, Lava does."""
    return DECAY_UNITY - (du + CURRENT_DECAY_OFFSET)


def voltage_keep(dv: IntArray) -> IntArray:
    """What a step leaves of v, in parts of DECAY_UNITY. Beyond dv = 4096 it is negative: Lava takes that too."""
    return DECAY_UNITY - dv


def lava_bias(mantissa: IntArray, exponent: IntArray) -> IntArray:
    """mantissa 2^exponent, floor where the exponent is negative (AbstractPyLifModelFixed.scale_bias).

    Lava: both are stored as int16, so that a mantissa of 40000 is -25536, and the product is an int32.
    """
    kept, power = wrap(mantissa, BIAS_STORED_BITS), wrap(exponent, BIAS_STORED_BITS)
    return np.where(power >= 0, shifted(kept, power), kept >> np.clip(-power, 0, LAVA_BITS - 1))


def aligned_threshold(threshold: IntArray) -> IntArray:
    """A threshold in units of v."""
    return np.asarray(shift_left(threshold, ALIGN_BITS))


def shifted(value: IntArray, bits: Any) -> IntArray:
    """value 2^bits as an int32; 0 where the shift is negative or 32 and more, as numpy's left_shift gives it."""
    inside = (np.asarray(bits) >= 0) & (np.asarray(bits) < LAVA_BITS)
    return np.asarray(np.where(inside, wrap(value << np.where(inside, bits, 0), LAVA_BITS), 0))


# What becomes of weights, and of their sums


class SignMode(StrEnum):
    """Which signs the weights of one array of synapses have (lava/utils/weightutils.py, SignMode)."""

    MIXED = "mixed"
    EXCITATORY = "excitatory"
    INHIBITORY = "inhibitory"


def sign_mode_of(weight: IntArray) -> SignMode:
    """The mode that Lava takes for weights without one: all zeros are excitatory."""
    if weight.min(initial=0) >= 0:
        return SignMode.EXCITATORY
    return SignMode.INHIBITORY if weight.max(initial=0) <= 0 else SignMode.MIXED


def effective_weights(weight: IntArray, mode: SignMode, num_weight_bits: int) -> IntArray:
    """The weights that are added up: clipped, then without their lowest bits.

    Mixed weights of 8 bits have a step of 2: odd ones go to the next lower even one. Bits of inhibitory weights are
    dropped from their magnitude. Lava: where num_weight_bits exceeds what the mode allows, all weights become 0, and
    below 0 more bits are dropped than a weight has.
    """
    sign = -1 if mode is SignMode.INHIBITORY else 1
    low = -(1 << WEIGHT_BITS) if mode is SignMode.MIXED else 0
    clipped = saturate(sign * weight, low, (1 << WEIGHT_BITS) - 1)
    dropped = WEIGHT_BITS - num_weight_bits + (mode is SignMode.MIXED)
    return sign * shifted(clipped >> min(max(dropped, 0), LAVA_BITS - 1), dropped)


def lava_delivery(weight_exp: int, *, graded: bool) -> Delivery:
    """The sum of a bucket of one delay is shifted by weight_exp, floor; a graded sum is an int32 before that.

    Ports of 16 bits that Lava declares hold more: nothing is clipped.
    """
    return Delivery(wrap_bits=LAVA_BITS if graded else None, shift=weight_exp)


def conv_delivery() -> Delivery:
    """Lava: the sums of a convolution wrap at 24 bits; its weights are as given, and weight_exp is not read."""
    return Delivery(wrap_bits=CONV_SUM_BITS)
