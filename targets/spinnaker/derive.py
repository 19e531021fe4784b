"""What the chip derives from the parameter words that the host writes: reciprocals, decays, refractory steps.

The host writes a neuron's parameters as the user gives them, in s16.15 (an int32 that stands for raw / 2^15) and in ms,
mV, nF, nA; exponentials are computed on the chip when the network is loaded. Decays and what goes with them are u0.32
(an unsigned word that stands for raw / 2^32). All of it is exact here, in whole numbers.

Sources: sPyNNaker 7.4.1, C text of neuron_model_lif_impl.h, exp_synapse_utils.h, input_type_delta.h and the stdfix exp
of its library, cross-checked with the disassembly and the execution of its IF_curr_exp.aplx and IF_curr_delta.aplx;
measured: the d_* of tests/goldens/spinnaker.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, localcontext
from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import UsageError

IntArray = NDArray[np.int64]

WORD_BITS = 32
FRACTION_BITS = 15  # of s16.15
ONE = 1 << FRACTION_BITS
UNIT_BITS = 32  # of u0.32
_WORD = (1 << WORD_BITS) - 1

# exp: arguments beyond which the result is 0, or the largest word; from the C text, in s16.15.
EXP_LEAST, EXP_GREATEST = -340695, 363408
INT_MAX = 2**31 - 1
LEAK = 2  # ONE less the largest exp_tc below ONE: with its rounding, exp(-2^-15) is 1 - 2 / 2^15
_POLYNOMIAL = (4293434720, 2081624032, 5294)  # 1 - exp(-y) for y below 1/16, about y (1 - y / 2), in u0.32
_STEPS = 16  # of the table of exp(-i / 16) within a unit


class Model(StrEnum):
    """A neuron model of sPyNNaker, by the name of its binary."""

    IF_CURR_EXP = "IF_curr_exp"
    IF_CURR_DELTA = "IF_curr_delta"


_NEURON = ("v", "v_rest", "cm", "tau_m", "i_offset", "v_reset", "tau_refrac", "refract_timer", "dt")
WORDS: Mapping[Model, tuple[str, ...]] = {  # in the order in which they stand in SDRAM; refract_timer in steps
    Model.IF_CURR_EXP: (*_NEURON, "v_thresh", "tau_syn_exc", "isyn_exc", "tau_syn_inh", "isyn_inh", "dt_synapse"),
    Model.IF_CURR_DELTA: (*_NEURON, "dt_input", "v_thresh", "isyn_exc", "isyn_inh"),
}


def derive(model: str, sdram_words: Any) -> dict[str, IntArray]:
    """What each neuron computes with, int64 [N], for its parameter words [N, W] in the order of WORDS.

    For both models: v_init, v_rest, r_membrane, exp_tc, i_offset, refract_timer, v_reset, t_refract, v_thresh, exc_isyn
    and inh_isyn (the currents before the first step); for IF_curr_exp exc_decay, exc_init, inh_decay and inh_init in
    u0.32; for IF_curr_delta scale_factor.

    Raises:
        UsageError: an unknown model, another number of words, a word of more than 32 bits, or a time or capacitance
            that is negative, or 0 where it divides.
    """
    kind = model_of(model)
    words = np.asarray(sdram_words)
    if words.ndim != 2 or words.shape[1] != len(WORDS[kind]) or not words.size or words.dtype.kind not in "iu":
        message = f"parameter words of shape {words.shape} and dtype {words.dtype}"
        raise UsageError(message, where=kind, fix=f"give whole numbers [neurons, {len(WORDS[kind])}]")
    if not -(2**31) <= int(words.min()) <= int(words.max()) < 2**32:
        raise UsageError("a parameter word has more than 32 bits", where=kind, fix="give the words as SDRAM holds them")
    kinds, place = np.unique(words, axis=0, return_inverse=True)
    rows = [_derived(kind, tuple(map(int, row))) for row in kinds]
    return {name: np.array([row[name] for row in rows], np.int64)[place.ravel()] for name in rows[0]}


def model_of(name: Any) -> Model:
    """The model of that name; the name can be an array of one, as a file of arrays has it.

    Raises:
        UsageError: there is no law for it.
    """
    try:
        return Model(str(name))
    except ValueError:
        fix = f"use one of {', '.join(Model)}"
        raise UsageError(f"no law for neuron model {str(name)!r}", where="model", fix=fix) from None


def _derived(kind: Model, words: tuple[int, ...]) -> dict[str, int]:
    """What one neuron derives from its words."""
    given = dict(zip(WORDS[kind], map(signed, words), strict=True))
    dt, tau_m = given["dt"], given["tau_m"]
    derived = {
        "v_init": given["v"],
        "v_rest": given["v_rest"],
        "r_membrane": divided(tau_m, given["cm"]),
        "exp_tc": expk(-divided(dt, tau_m)),
        "i_offset": given["i_offset"],
        "refract_timer": given["refract_timer"],
        "v_reset": given["v_reset"],
        "t_refract": _rounded_up(divided(given["tau_refrac"], dt)),
        "v_thresh": given["v_thresh"],
        "exc_isyn": given["isyn_exc"],
        "inh_isyn": given["isyn_inh"],
    }
    if kind is Model.IF_CURR_DELTA:
        return derived | {"scale_factor": divided(ONE, given["dt_input"])}
    for port in ("exc", "inh"):
        decay, initial = _synapse(given["dt_synapse"], given[f"tau_syn_{port}"])
        derived |= {f"{port}_decay": decay, f"{port}_init": initial}
    return derived


def _synapse(dt: int, tau_syn: int) -> tuple[int, int]:
    """decay = exp(-dt / tau_syn) and init = tau_syn / dt (1 - decay), both in u0.32."""
    decay = expulr(-divided(dt, tau_syn))
    return decay, (divided(tau_syn, dt) * (_WORD - decay) >> FRACTION_BITS) & _WORD


def _rounded_up(value: int) -> int:
    """The least whole number that is not below a value in s16.15."""
    return -(-value >> FRACTION_BITS)


def signed(word: int) -> int:
    """The two's complement number that the lowest 32 bits of a whole number stand for."""
    return ((word + 2**31) & _WORD) - 2**31


def divided(a: int, b: int) -> int:
    """a / b in s16.15, rounded toward zero, the lowest 32 bits kept; a >= 0 and b > 0.

    Raises:
        UsageError: other operands: what the chip makes of them was not measured.
    """
    if a < 0 or b <= 0:
        message = f"the chip divides {a} by {b} (s16.15)"
        fix = "times and capacitances are positive, a refractory time may be 0"
        raise UsageError(message, where="parameter words", fix=fix)
    return signed((a << FRACTION_BITS) // b)


def expk(n: int) -> int:
    """exp(n), argument and result in s16.15, rounded down as the chip's series has it; INT_MAX above EXP_GREATEST."""
    if n > EXP_GREATEST:
        return INT_MAX
    return 0 if n < EXP_LEAST else _exp(n) >> (UNIT_BITS - FRACTION_BITS)


def expulr(n: int) -> int:
    """exp(n), argument in s16.15, result in u0.32: the whole part is lost, so that expulr(0) is 0.

    Raises:
        UsageError: n above EXP_GREATEST, which no time constant gives.
    """
    if n > EXP_GREATEST:
        raise UsageError(f"exp({n} / 2^15)", where="parameter words", fix="use a longer time constant")
    return 0 if n < EXP_LEAST else _exp(n) & _WORD


def _exp(n: int) -> int:
    """exp(n / 2^15) times 2^32.

    By n = z - f: a table of exp(z), less its part 1 - exp(-f): a table for the sixteenths of f, a series for the rest.
    """
    z, f = n >> FRACTION_BITS, n & (ONE - 1)
    if not f:
        return _power(z)
    z, f = z + 1, ONE - f
    within = ONE // _STEPS
    t = _power(z)
    t -= _product(t, _complement(f // within))
    y = (f % within) << (UNIT_BITS - FRACTION_BITS)
    first, second, third = _POLYNOMIAL
    series = ((first - (second * y >> UNIT_BITS)) * y >> UNIT_BITS) + third
    return t - _product(t, series)


def _product(x: int, y: int) -> int:
    """x * y / 2^32, in two halves: the lower is rounded (up from a rest of 0x7FFFFFFF on)."""
    low = (x & _WORD) * y
    return (low >> UNIT_BITS) + ((low & _WORD) >= INT_MAX) + (x >> UNIT_BITS) * y


@cache
def _power(z: int) -> int:
    """exp(z) times 2^32, rounded to nearest; the chip has a table of these, for z = -13 to 12."""
    return _nearest(z, 1, of_complement=False)


@cache
def _complement(i: int) -> int:
    """1 - exp(-i / 16) times 2^32, rounded to nearest; the chip has a table of these, for i = 0 to 15."""
    return _nearest(-i, _STEPS, of_complement=True)


def _nearest(numerator: int, denominator: int, *, of_complement: bool) -> int:
    with localcontext() as context:
        context.prec = 60
        value = (Decimal(numerator) / denominator).exp()
        return round((1 - value if of_complement else value) * (1 << UNIT_BITS))
