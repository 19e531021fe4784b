"""The table of Norse's neuron families: which classes there are, and where each parameter of a kind comes from.

Source: norse 1.1.0, norse/torch/module and norse/torch/functional; names of fields are those of its parameter tuples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from norse_export.ir.neurons import (
    IF,
    LI,
    LIF,
    LIFMC,
    LSNN,
    CobaLIF,
    CubaLI,
    CubaLIF,
    Izhikevich,
    Kind,
    LIFAdEx,
    LIFAdExRefrac,
    LIFEx,
    LIFMCRefrac,
    LIFRefrac,
)

Rate = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True, slots=True)
class Form:
    """One class of a family. lead: its leading axes, 1 for one step, 2 for a sequence (time and batch).

    weights: "": what arrives is added as it is; "input": it has input weights; "recurrent": recurrent weights, too;
    "conductances": those, but what arrives is left aside. own_forward: its forward calls the step by name, where that
    of others calls the function that is their activation.
    """

    lead: int
    weights: str = ""
    own_forward: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class NorseFamily:
    """A family of Norse's.

    functional: the module of its steps, and of its parameter tuple; `step` takes weights, `feed_forward` none.
    parameters: the name of the tuple. module: the module of its classes. classes: by name. within: the field of the
    tuple that holds the tuple of the neuron proper. rates: what multiplies a sum in the step, as Norse computes it from
    (tuple, dt, a one in the type of the states). levels: parameter of the kind -> field of the tuple; with a slash
    before it, of the outer one. attributes: parameters that are attributes of the module.
    """

    kind: Kind
    functional: str
    module: str
    parameters: str
    feed_forward: str | None
    step: str | None
    classes: Mapping[str, Form]
    rates: Mapping[str, Rate] = field(default_factory=dict)
    levels: Mapping[str, str] = field(default_factory=dict)
    within: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    def inner(self, p: Any) -> Any:
        """The tuple of the neuron proper."""
        return getattr(p, self.within) if self.within else p

    def level(self, p: Any, name: str) -> Any:
        """The value of one parameter, as Norse holds it."""
        source = self.levels[name]
        return getattr(p, source[1:]) if source.startswith("/") else getattr(self.inner(p), source)


_ALPHA: dict[str, Rate] = {"alpha": lambda p, dt, one: dt * p.tau_mem_inv}
_BETA: dict[str, Rate] = {"beta": lambda p, dt, one: dt * p.tau_syn_inv}
_V = {name: name for name in ("v_leak", "v_th", "v_reset")}


def _forms(name: str, *, recurrent: bool = True, sequence: bool = True) -> dict[str, Form]:
    """The classes of a family that Norse gives in the usual forms."""
    found = {f"{name}Cell": Form(1), name: Form(2)}
    found |= {f"{name}RecurrentCell": Form(1, "recurrent"), f"{name}Recurrent": Form(2, "recurrent")}
    return {
        cls: form
        for cls, form in found.items()
        if (recurrent or not form.weights) and (sequence or form.lead == 1 or bool(form.weights))
    }


_F, _M = "norse.torch.functional", "norse.torch.module"


def _family(
    kind: Kind, file: str, prefix: str, parameters: str, classes: Mapping[str, Form], **more: Any
) -> NorseFamily:
    """A family whose module and functions are named alike."""
    steps = {"feed_forward": f"{prefix}_feed_forward_step", "step": f"{prefix}_step", **more}
    return NorseFamily(kind, f"{_F}.{file}", f"{_M}.{file}", parameters, classes=classes, **steps)


_EX = {**_V, "delta_t": "delta_T"}
_ADEX = {**_EX, "a_v": "adaptation_current", "a_spike": "adaptation_spike"}
_ZETA_ADA: dict[str, Rate] = {"zeta": lambda p, dt, one: dt * p.tau_ada_inv}
_RESTING = {"rho_reset": "/rho_reset"}

FAMILIES: tuple[NorseFamily, ...] = (
    _family(CubaLIF, "lif", "lif", "LIFParameters", _forms("LIF"), rates={**_ALPHA, **_BETA}, levels=_V),
    _family(
        LIF,
        "lif_box",
        "lif_box",
        "LIFBoxParameters",
        _forms("LIFBox", recurrent=False, sequence=False),
        step=None,
        rates=_ALPHA,
        levels=_V,
    ),
    _family(
        CubaLI,
        "leaky_integrator",
        "li",
        "LIParameters",
        {**_forms("LI", recurrent=False), "LILinearCell": Form(1, "input", own_forward=True)},
        rates={**_ALPHA, **_BETA},
        levels={"v_leak": "v_leak"},
    ),
    _family(
        LI,
        "leaky_integrator_box",
        "li_box",
        "LIBoxParameters",
        _forms("LIBox", recurrent=False, sequence=False),
        step=None,
        rates=_ALPHA,
        levels={"v_leak": "v_leak"},
    ),
    _family(
        IF,
        "iaf",
        "iaf",
        "IAFParameters",
        _forms("IAF", recurrent=False),
        levels={"v_th": "v_th", "v_reset": "v_reset"},
    ),
    _family(
        LSNN,
        "lsnn",
        "lsnn",
        "LSNNParameters",
        _forms("LSNN"),
        rates={**_ALPHA, **_BETA, "zeta": lambda p, dt, one: dt * p.tau_adapt_inv},
        levels={**_V, "b_spike": "beta"},
    ),
    _family(
        LIFRefrac,
        "lif_refrac",
        "lif_refrac",
        "LIFRefracParameters",
        _forms("LIFRefrac", sequence=False),
        rates={**_ALPHA, **_BETA},
        levels={**_V, **_RESTING},
        within="lif",
    ),
    _family(LIFEx, "lif_ex", "lif_ex", "LIFExParameters", _forms("LIFEx"), rates={**_ALPHA, **_BETA}, levels=_EX),
    _family(
        LIFAdEx,
        "lif_adex",
        "lif_adex",
        "LIFAdExParameters",
        _forms("LIFAdEx"),
        rates={**_ALPHA, **_BETA, **_ZETA_ADA},
        levels=_ADEX,
    ),
    _family(
        LIFAdExRefrac,
        "lif_adex_refrac",
        "lif_adex_refrac",
        "LIFAdExRefracParameters",
        _forms("LIFAdExRefrac", sequence=False),
        rates={**_ALPHA, **_BETA, **_ZETA_ADA},
        levels={**_ADEX, **_RESTING},
        within="lif_adex",
    ),
    _family(
        LIFMC,
        "lif_mc",
        "lif_mc",
        "LIFParameters",
        {"LIFMCRecurrentCell": Form(1, "recurrent", own_forward=True)},
        rates={**_ALPHA, **_BETA},
        levels=_V,
        attributes={"step": "dt", "g": "g_coupling"},
    ),
    _family(
        LIFMCRefrac,
        "lif_mc_refrac",
        "lif_mc_refrac",
        "LIFRefracParameters",
        {"LIFMCRefracRecurrentCell": Form(1, "recurrent", own_forward=True)},
        rates={"alpha": lambda p, dt, one: one * dt * p.tau_mem_inv, **_BETA},
        levels={**_V, **_RESTING},
        within="lif",
        attributes={"g": "g_coupling"},
    ),
    _family(
        Izhikevich,
        "izhikevich",
        "izhikevich",
        "IzhikevichParameters",
        _forms("Izhikevich"),
        step="izhikevich_recurrent_step",
        rates={"alpha": lambda p, dt, one: p.tau_inv * dt, "zeta": lambda p, dt, one: p.tau_inv * dt * p.a},
        levels={
            "square": "sq",
            "linear": "mn",
            "constant": "bias",
            "u_v": "b",
            "v_th": "v_th",
            "v_reset": "c",
            "u_spike": "d",
        },
    ),
    _family(
        CobaLIF,
        "coba_lif",
        "coba_lif",
        "CobaLIFParameters",
        {"CobaLIFCell": Form(1, "conductances", own_forward=True)},
        rates={
            "gamma": lambda p, dt, one: dt * p.c_m_inv,
            "beta_e": lambda p, dt, one: dt * p.tau_syn_exc_inv,
            "beta_i": lambda p, dt, one: dt * p.tau_syn_inh_inv,
        },
        levels={
            "g_l": "g_l",
            "v_rest": "v_rest",
            "e_e": "e_rev_E",
            "e_i": "e_rev_I",
            "v_th": "v_thresh",
            "v_reset": "v_reset",
        },
    ),
)
