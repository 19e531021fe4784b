"""The chip's laws: IF_curr_exp and IF_curr_delta of sPyNNaker 7.4.1 as integer programs, bit for bit.

A step of 1 dt, in the order in which the chip does it; every number is an int32 and wraps, nothing saturates but the
ring buffers; a product of two s16.15 is floor(a b / 2^15), one with a u0.32 floor(a b / 2^32):

    1  rb = what the ring buffers hold for this step: uint16, sums of weights >= 0 that saturate at 65535, one for each
       receptor type; x = rb 2^shift, as an int32 (it can turn negative)
       IF_curr_exp    s = s + x init            IF_curr_delta    s = s + x
    2  v and the currents s are recorded: v before the update, s after its input and before its decay
    3  where the refractory counter is 0 or less:
           I = exc - inh + i_offset             (IF_curr_delta: exc and inh each times scale_factor)
           a = I R + v_rest                     v = a - (a - v) exp_tc
       else the counter counts down, and v rests
    4  a spike where v >= v_thresh: tested while refractory, too
    5  on a spike v = v_reset, and the counter is set to t_refract, which may be 0
    6  IF_curr_exp: s = s decay, floor, so that a negative s never comes to 0; IF_curr_delta: s = 0

A spike of step t with a delay of d steps is part of rb in step t + d, d >= 1. One step per dt (sPyNNaker's n_steps is
1); current sources are 0.

Sources: sPyNNaker 7.4.1, the C text of neuron_impl_standard.h, neuron_model_lif_impl.h, exp_synapse_utils.h,
synapses_delta_impl and synapses.c, cross-checked with the disassembly and the execution of its IF_curr_exp.aplx and
IF_curr_delta.aplx; measured: tests/goldens/spinnaker. The chip's code multiplies with the ARM instruction smull and
shifts, which is floor; a build of the same C text for Thumb rounds, and gives other numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from inspect import Parameter, Signature
from typing import Any

import numpy as np

from norse_export.errors import UsageError
from norse_export.ir.fixed import Population
from norse_export.ir.graph import Shape
from norse_export.program.operations import FLOOR, mul_shift, shift_left, where, wrap
from norse_export.program.program import Family, Step

from .derive import FRACTION_BITS, LEAK, UNIT_BITS, WORD_BITS, Model, derive, model_of

PORTS = ("exc", "inh")  # receptor types: both take magnitudes
RING_MAX = 65535  # of a cell of a ring buffer, and of a weight in a synaptic row
MAX_SHIFT = 31
UNIT = 2.0**-FRACTION_BITS  # of membrane potentials and currents
STATE = ("v", "refractory", "i_exc", "i_inh")
OBSERVED = ("v_rec", "exc", "inh")
_OF_MEMBRANE = ("v_rest", "r_membrane", "exp_tc", "i_offset", "v_reset", "v_thresh", "t_refract")
_OF_SYNAPSES = {
    Model.IF_CURR_EXP: ("exc_init", "inh_init", "exc_decay", "inh_decay"),
    Model.IF_CURR_DELTA: ("scale_factor",),
}
_INITIAL = {"v": "v_init", "refractory": "refract_timer", "i_exc": "exc_isyn", "i_inh": "inh_isyn"}  # derive's names

Pair = tuple[Any, Any]  # exc, inh


def population(
    model: str,
    sdram_words: Any,
    shifts: Sequence[int],
    *,
    shape: Shape,
    dt: float,
    readout: bool = False,
    scale: int = 1,
    counts: bool = False,
) -> Population:
    """Neurons with the given parameter words [N, W] (see derive), N in the C order of the shape; dt in seconds.

    shifts: by how many bits what the ring buffers hold is shifted to the left, exc and inh. readout: see `law`.
    scale: what 1 in the model's units is on the chip. counts: of membranes, that they are counts: see counting.py.

    Raises:
        UsageError: an unknown model, or words or shifts that the chip could not hold.
    """
    derived = derive(model, sdram_words)
    family = law(model, shifts, readout=readout)
    units = dict.fromkeys(("v", "i_exc", "i_inh"), UNIT / scale) | ({"v": 1 / (LEAK * scale)} if counts else {})
    return Population(
        program=family.trace(),
        shape=shape,
        parameters={name: derived[name].reshape(shape) for name in family.parameters},
        initial_state={name: derived[_INITIAL[name]].reshape(shape) for name in STATE},
        dt=dt,
        saturated=dict.fromkeys(PORTS, RING_MAX),
        unit={name: np.full(shape, unit) for name, unit in units.items()},
    )


def law(model: str, shifts: Sequence[int], *, readout: bool = False) -> Family:
    """The family of a model whose ring buffers are shifted so (exc, inh): the shifts are constants of its program.

    readout: the spikes are not read, but v as the chip records it, which is before the update.

    Raises:
        UsageError: an unknown model; other than two shifts of 0 to 31 bits.
    """
    kind = model_of(model)
    if len(shifts) != len(PORTS) or not all(0 <= shift <= MAX_SHIFT for shift in shifts):
        fix = f"give two shifts, exc and inh, of 0 to {MAX_SHIFT} bits"
        raise UsageError(f"ring buffers shifted by {list(map(int, shifts))} bits", where=kind, fix=fix)
    return _family(kind, *map(int, shifts), readout=readout)


@cache
def _family(model: Model, exc_shift: int, inh_shift: int, *, readout: bool) -> Family:
    currents = _exponential if model is Model.IF_CURR_EXP else _delta

    def step(exc: Any, inh: Any, v: Any, refractory: Any, i_exc: Any, i_inh: Any, **p: Any) -> Step:
        arriving = (shift_left(exc, exc_shift), shift_left(inh, inh_shift))
        exc, inh, drive, left = currents(arriving, (i_exc, i_inh), p)
        v1, counter, spike = _membrane(drive, v, refractory, p)
        observe, state = {"v_rec": v, "exc": exc, "inh": inh}, (v1, counter, *left)
        if readout:
            return Step(state=state, output=v, observe=observe)
        return Step(state=state, spike=spike, observe=observe)

    arguments = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in (*PORTS, *STATE)]
    arguments += [Parameter(name, Parameter.KEYWORD_ONLY) for name in (*_OF_SYNAPSES[model], *_OF_MEMBRANE)]
    step.__signature__ = Signature(arguments)  # type: ignore[attr-defined]  # read by Family
    return Family(model, step, ports=PORTS, state=STATE)


def _exponential(x: Pair, i: Pair, p: Mapping[str, Any]) -> tuple[Any, Any, Any, Pair]:
    """Currents with the input x, what drives the membrane, and the currents after their decay."""
    exc, inh = (_wrapped(i[n] + _part(_wrapped(x[n]), p[f"{port}_init"])) for n, port in enumerate(PORTS))
    return exc, inh, exc - inh, (_part(exc, p["exc_decay"]), _part(inh, p["inh_decay"]))


def _delta(x: Pair, i: Pair, p: Mapping[str, Any]) -> tuple[Any, Any, Any, Pair]:
    """The same for a model whose currents last for one step."""
    exc, inh = (_wrapped(i[n] + x[n]) for n in range(2))
    return exc, inh, _scaled(exc, p["scale_factor"]) - _scaled(inh, p["scale_factor"]), (0, 0)


def _membrane(drive: Any, v: Any, refractory: Any, p: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Membrane potential and refractory counter after the step, and the spikes."""
    resting = refractory > 0
    target = _scaled(_wrapped(drive + p["i_offset"]), p["r_membrane"]) + p["v_rest"]
    moved = _wrapped(target - _scaled(_wrapped(target - v), p["exp_tc"]))
    v1 = where(resting, v, moved)
    spike = v1 >= p["v_thresh"]
    counter = where(resting, refractory - 1, refractory)
    return where(spike, p["v_reset"], v1), where(spike, p["t_refract"], counter), spike


def _wrapped(a: Any) -> Any:
    """The lowest 32 bits, as an int32.

    The chip cuts every sum and product so. Here only what is multiplied or compared next is cut: the same bits come
    out, since the lowest bits of a sum depend on those of its terms alone.
    """
    return wrap(a, WORD_BITS)


def _scaled(a: Any, k: Any) -> Any:
    """Product of two numbers in s16.15."""
    return mul_shift(a, k, FRACTION_BITS, FLOOR)


def _part(a: Any, k: Any) -> Any:
    """Product of an s16.15 with a u0.32: never beyond 32 bits."""
    return mul_shift(a, k, UNIT_BITS, FLOOR)
