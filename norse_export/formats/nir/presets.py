"""What other frameworks make of a .nir file: for each its time step, its rules, and how it takes the fields of neurons.

A preset is how the framework's own importer runs a file: what it leaves out is left out, what it refuses is refused,
and where it does more than one step of ours can say, that is told. Sources, read and run (tests/unit/formats):

- norse 1.1.0, norse/torch/utils/import_nir.py
- snntorch 1.0.0, snntorch/import_nir.py, snntorch/_neurons/{leaky,synaptic}.py with reset_delay=False
- spikingjelly 2.0.0, spikingjelly/activation_based/nir_exchange/from_nir.py, functional/neuron.py
- sinabs 3.1.3, sinabs/nir.py, sinabs/layers/functional/lif.py: time constants are counted in steps
- lava: docs/source/examples/lava/nir_to_lava.py of the repository neuromorphs/NIR, which is the only reader there is:
  LIF as a process of lava-nc 0.10, CubaLIF and IF as blocks of lava-dl 0.6; here in real numbers

Fields are those of NIR's nodes: arrays of one value, or one for each neuron.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from norse_export.errors import Finding, UnsupportedError
from norse_export.ir.arrays import FloatArray
from norse_export.ir.schemes import Scheme

from .preset_parts import (
    EXACT,
    LOOSE,
    NEAR,
    Fields,
    Given,
    Need,
    Take,
    added,
    equals,
    equals_rate,
    equals_reset,
    equals_unit,
    first,
    longer,
    number,
    same,
    scaled_alike,
    snapped,
    stable,
    uniform,
    unit,
)

_OWN_FLAGS = "leave --as out, and give --dt, --scheme, --order, --threshold and --reset"


@dataclass(frozen=True, slots=True)
class Reading:
    """How a framework takes one kind of neuron.

    needs: what has to hold. takes: fields that it replaces. ignores: fields it does not look at, with the value that it
    has instead. start: the membrane before the first step, None: where NIR's kind starts.
    """

    needs: tuple[Need, ...] = ()
    takes: Mapping[str, Take] = field(default_factory=dict)
    ignores: Mapping[str, float] = field(default_factory=dict)
    start: Take | None = None


@dataclass(frozen=True, slots=True)
class Preset:
    """A framework's reading of .nir files.

    title: its name. dt: its time step in seconds where nothing else is said. words: its choices, as in `CHOICES`.
    kinds: how it takes NIR's neurons; it has none for the others. limits: by kind, what it does beyond one step of
    ours; told wherever such a node is read.
    """

    title: str
    dt: float
    words: Mapping[str, str]
    kinds: Mapping[str, Reading]
    limits: Mapping[str, str] = field(default_factory=dict)

    def read(
        self, kind: str, fields: Fields, dt: float, scheme: Scheme, where: str
    ) -> tuple[dict[str, FloatArray | None], FloatArray | None, tuple[Finding, ...]]:
        """Give the fields as the framework has them, where the membrane starts, and what should be told.

        Of the fields, None is a gain with which an input is added as it is; of the start, where NIR's kind starts.

        Raises:
            UnsupportedError: the framework does not take such a node; every reason is listed.
        """
        given = Given({name: np.asarray(value, np.float64) for name, value in fields.items()}, dt, scheme)
        reading = self.kinds.get(kind)
        if reading is None:
            message = f"{self.title} does not read NIR's {kind}"
            raise UnsupportedError(message, where=where, fix=_OWN_FLAGS, kind="as")
        reasons = [reason for need in reading.needs if (reason := need(given)) is not None]
        if reasons:
            found = [Finding("as", "error", where, f"{self.title} does not take it: {r}", _OWN_FLAGS) for r in reasons]
            raise UnsupportedError.of(found)
        taken: dict[str, FloatArray | None] = dict(fields)
        taken |= {name: np.asarray(value) for name, value in reading.ignores.items() if name in fields}
        taken |= {name: take(given) for name, take in reading.takes.items()}
        start = None if reading.start is None else reading.start(given)
        return taken, start, tuple(self._ignored(reading, given, where))

    def _ignored(self, reading: Reading, given: Given, where: str) -> Iterator[Finding]:
        for name, value in reading.ignores.items():
            found = given.fields.get(name)
            if found is not None and np.any(found != value):
                message = f"{self.title} does not look at {name} ({first(found):g}): it is {value:g} there, and here"
                yield Finding("as", "warning", where, message, "leave --as out to have the file's own value")


_NORSE = Preset(
    title="norse.torch.from_nir",
    dt=1e-3,
    words={"scheme": "euler", "order": "synapse-first", "threshold": "gt", "reset": "zero"},
    kinds={
        "IF": Reading(takes={"r": added}, ignores={"v_reset": 0.0}, start=number(0.0)),
        "LIF": Reading(needs=(stable("tau"),), ignores={"r": 1.0, "v_reset": 0.0}),
        "CubaLIF": Reading(
            needs=(stable("tau_syn", "tau_mem"), equals("v_leak", 0.0, EXACT)), ignores={"v_reset": 0.0}
        ),
    },
    limits={"IF": "it adds an input as it is, whatever r and dt are"},
)

_ONE_THRESHOLD = uniform("v_threshold")
_SNNTORCH = Preset(
    title="snnTorch",
    dt=1e-4,
    words={"scheme": "euler", "order": "synapse-first", "threshold": "gt", "reset": "zero"},
    kinds={
        "LIF": Reading(
            needs=(equals("v_leak", 0.0, LOOSE), _ONE_THRESHOLD, scaled_alike("r", tau="tau"), longer("tau")),
            takes={"v_leak": number(0.0), "r": snapped("r", "tau", LOOSE)},
            ignores={"v_reset": 0.0},
        ),
        "CubaLIF": Reading(
            needs=(
                equals("v_leak", 0.0, LOOSE),
                equals_unit("r", "tau_mem", LOOSE),
                _ONE_THRESHOLD,
                scaled_alike("w_in", tau="tau_syn"),
                longer("tau_syn", "tau_mem"),
            ),
            takes={
                "v_leak": number(0.0),
                "r": unit("tau_mem"),
                "w_in": snapped("w_in", "tau_syn", LOOSE),
            },
            ignores={"v_reset": 0.0},
        ),
    },
    limits=dict.fromkeys(
        ("LIF", "CubaLIF"),
        "its export writes neurons that reset by subtraction, or a step late, as ones that reset to zero at once; that "
        "is also how it reads them back",
    ),
)

_SPIKINGJELLY = Preset(
    title="SpikingJelly",
    dt=1e-4,
    words={"scheme": "euler", "order": "synapse-first", "threshold": "ge", "reset": "value"},
    kinds={
        "IF": Reading(needs=(uniform("r", "v_threshold", "v_reset"), equals_rate(NEAR)), takes={"r": added}),
        "LIF": Reading(
            needs=(
                uniform("tau", "r", "v_leak", "v_threshold", "v_reset"),
                longer("tau", than_dt=True),
                equals_reset("v_leak", NEAR),
                lambda given: (
                    None
                    if given.near("r", 1.0, NEAR) or given.near("r", given.unit("tau"), NEAR)
                    else f"r has to be 1, or tau/dt, {first(given.unit('tau')):g} at dt = {given.dt:g} s"
                ),
            ),
            takes={"r": snapped("r", "tau", NEAR, 1.0), "v_leak": same("v_reset")},
        ),
        "CubaLIF": Reading(
            needs=(
                uniform("tau_syn", "tau_mem", "r", "w_in", "v_leak", "v_threshold", "v_reset"),
                longer("tau_syn", "tau_mem"),
                equals_unit("r", "tau_mem", NEAR),
                equals_unit("w_in", "tau_syn", NEAR),
                equals("v_leak", 0.0, NEAR),
            ),
            takes={"r": unit("tau_mem"), "w_in": unit("tau_syn"), "v_leak": number(0.0)},
            start=same("v_reset"),
        ),
    },
)

_MANY = "it sends several spikes in a step that takes v to several times its threshold; here it is one a step"
_SINABS = Preset(
    title="sinabs",
    dt=1.0,
    words={"scheme": "exponential", "order": "synapse-first", "threshold": "ge", "reset": "subtract"},
    kinds={
        "IF": Reading(takes={"r": added}, start=number(0.0)),
        "LIF": Reading(needs=(equals("v_leak", 0.0, EXACT),), takes={"r": unit("tau")}),
        "LI": Reading(
            needs=(equals("v_leak", 0.0, EXACT), equals("r", 1.0, EXACT)),
            takes={"r": unit("tau")},
        ),
    },
    limits={
        "IF": f"{_MANY}; and it keeps v above -v_threshold, here v has no bound",
        "LIF": f"{_MANY}; and it adds an input as it is (norm_input=False), whatever r is",
        "LI": "it adds an input as it is (norm_input=False)",
    },
)

_ROUNDED = (
    "lava-dl rounds decays to 1/4096 and states to 1/64, and Loihi computes with integers; here it is real numbers"
)
_LAVA = Preset(
    title="Lava",
    dt=1e-4,
    words={"scheme": "euler", "order": "synapse-first", "threshold": "gt", "reset": "zero"},
    kinds={
        "LIF": Reading(ignores={"r": 1.0, "v_leak": 0.0, "v_reset": 0.0}),
        "IF": Reading(
            needs=(uniform("v_threshold"), equals("r", 1.0, EXACT)),
            takes={"r": added},
            ignores={"v_reset": 0.0},
            start=number(0.0),
        ),
        "CubaLIF": Reading(
            needs=(
                equals("v_leak", 0.0, LOOSE),
                equals_unit("r", "tau_mem", LOOSE),
                uniform("tau_syn", "tau_mem", "v_threshold"),
            ),
            takes={
                "v_leak": number(0.0),
                "r": unit("tau_mem"),
                "w_in": snapped("w_in", "tau_syn", LOOSE),
            },
            ignores={"v_reset": 0.0},
        ),
    },
    limits={
        "LIF": "each of Lava's synapses takes a step: what it sends is as many steps later there as there are synapses",
        "IF": _ROUNDED,
        "CubaLIF": _ROUNDED,
    },
)

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {"norse": _NORSE, "snntorch": _SNNTORCH, "spikingjelly": _SPIKINGJELLY, "sinabs": _SINABS, "lava": _LAVA}
)
