"""Norse's own steps, called with the coefficients of a discrete population.

Norse multiplies dt by the inverse time constant; called with dt = 1 and the coefficient in the place of the inverse, a
step of it computes with the very coefficient that the model had. Weights are the graph's: what arrives through them is
handed over as it is, or where a step adds it in two places, through weights of the identity, which change nothing.

Source: norse 1.1.0, norse/torch/functional.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from norse_export.frontend.frameworks.table import Advance, Parameters, Ports, States


def _functional(name: str) -> Any:
    return import_module(f"norse.torch.functional.{name}")


def _lif(p: Parameters) -> Any:
    lif = _functional("lif")
    return lif.LIFParameters(p["beta"], p["alpha"], p["v_leak"], p["v_th"], p["v_reset"])


def _cuba_lif(x: Ports, state: States, p: Parameters) -> tuple[Any, States]:
    lif = _functional("lif")
    z, after = lif.lif_feed_forward_step(x[0], lif.LIFFeedForwardState(*state), _lif(p), 1.0)
    return z, (after.v, after.i)


def _into_current(advance: Advance) -> Advance:
    """(i + x) + r: Norse adds the two itself, so the first is added to the current before its step."""

    def step(x: Ports, state: States, p: Parameters) -> tuple[Any, States]:
        v, i, *others = state
        return advance((x[1],), (v, i + x[0], *others), p)

    return step


def _cuba_li(x: Ports, state: States, p: Parameters) -> tuple[Any, States]:
    li = _functional("leaky_integrator")
    own = li.LIParameters(p["beta"], p["alpha"], p["v_leak"])
    v, after = li.li_feed_forward_step(x[0], li.LIState(*state), own, 1.0)
    return v, (after.v, after.i)


def _lif_box(reset: str) -> Advance:
    def step(x: Ports, state: States, p: Parameters) -> tuple[Any, States]:
        box, resets = _functional("lif_box"), _functional("reset")
        own = box.LIFBoxParameters(
            p["alpha"], p["v_leak"], p["v_th"], p["v_reset"], reset_method=getattr(resets, reset)
        )
        z, after = box.lif_box_feed_forward_step(x[0], box.LIFBoxFeedForwardState(*state), own, 1.0)
        return z, (after.v,)

    return step


def _li_box(x: Ports, state: States, p: Parameters) -> tuple[Any, States]:
    box = _functional("leaky_integrator_box")
    v, after = box.li_box_feed_forward_step(
        x[0], box.LIBoxState(*state), box.LIBoxParameters(p["alpha"], p["v_leak"]), 1.0
    )
    return v, (after.v,)


def _iaf(x: Ports, state: States, p: Parameters) -> tuple[Any, States]:
    iaf = _functional("iaf")
    own = iaf.IAFParameters(p["v_th"], p["v_reset"])
    z, after = iaf.iaf_feed_forward_step(x[0], iaf.IAFFeedForwardState(*state), own, 1.0)
    return z, (after.v,)


def _identity(like: Any) -> Any:
    import torch

    return torch.eye(like.shape[-1], dtype=like.dtype)


def _lsnn_parameters(p: Parameters) -> Any:
    return _functional("lsnn").LSNNParameters(
        p["beta"], p["alpha"], p["zeta"], p["v_leak"], p["v_th"], p["v_reset"], p["b_spike"]
    )


def _lsnn(x: Ports, state: States, p: Parameters) -> tuple[Any, States]:
    lsnn = _functional("lsnn")
    z, after = lsnn.lsnn_feed_forward_step(x[0], lsnn.LSNNFeedForwardState(*state), _lsnn_parameters(p), 1.0)
    return z, (after.v, after.i, after.b)


def _lsnn_recurrent(x: Ports, state: States, p: Parameters) -> tuple[Any, States]:
    lsnn, same = _functional("lsnn"), _identity(x[0])
    z, after = lsnn.lsnn_step(x[0], lsnn.LSNNState(x[1], *state), same, same, _lsnn_parameters(p), 1.0)
    return z, (after.v, after.i, after.b)


def _refrac(x: Ports, state: States, p: Parameters) -> tuple[Any, States]:
    refrac, lif = _functional("lif_refrac"), _functional("lif")
    v, i, rho = state
    given = refrac.LIFRefracFeedForwardState(lif.LIFFeedForwardState(v, i), rho)
    own = refrac.LIFRefracParameters(_lif(p), p["rho_reset"])
    z, after = refrac.lif_refrac_feed_forward_step(x[0], given, own, 1.0)
    return z, (after.lif.v, after.lif.i, after.rho)


def _ex(x: Ports, state: States, p: Parameters) -> tuple[Any, States]:
    ex = _functional("lif_ex")
    own = ex.LIFExParameters(p["delta_t"], p["beta"], p["alpha"], p["v_leak"], p["v_th"], p["v_reset"])
    z, after = ex.lif_ex_feed_forward_step(x[0], ex.LIFExFeedForwardState(*state), own, 1.0)
    return z, (after.v, after.i)


def _adex_parameters(p: Parameters) -> Any:
    levels = (p["v_leak"], p["v_th"], p["v_reset"])
    return _functional("lif_adex").LIFAdExParameters(
        p["a_v"], p["a_spike"], p["delta_t"], p["zeta"], p["beta"], p["alpha"], *levels
    )


def _adex(x: Ports, state: States, p: Parameters) -> tuple[Any, States]:
    adex = _functional("lif_adex")
    z, after = adex.lif_adex_feed_forward_step(x[0], adex.LIFAdExFeedForwardState(*state), _adex_parameters(p), 1.0)
    return z, (after.v, after.i, after.a)


def _adex_refrac(x: Ports, state: States, p: Parameters) -> tuple[Any, States]:
    refrac, adex = _functional("lif_adex_refrac"), _functional("lif_adex")
    *inner, rho = state
    given = refrac.LIFAdExRefracFeedForwardState(adex.LIFAdExFeedForwardState(*inner), rho)
    own = refrac.LIFAdExRefracParameters(_adex_parameters(p), p["rho_reset"])
    z, after = refrac.lif_adex_refrac_feed_forward_step(x[0], given, own, 1.0)
    return z, (after.lif_adex.v, after.lif_adex.i, after.lif_adex.a, after.rho)


def _coupled(x: Ports, state: States, p: Parameters) -> tuple[Any, States]:
    """lif_mc_step: a step of LIF, and then v + dt (g v); here dt has to be the model's."""
    from torch.nn.functional import linear

    z, (v, i) = STEPS["cuba_lif_recurrent" if len(x) > 1 else "cuba_lif"](x, state, p)
    return z, (v + p["step"] * linear(v, p["g"]), i)


def _mc_refrac(x: Ports, state: States, p: Parameters) -> tuple[Any, States]:
    mc, refrac, lif = _functional("lif_mc_refrac"), _functional("lif_refrac"), _functional("lif")
    v, i, rho = state
    same, z_before = _identity(x[0]), x[1] if len(x) > 1 else 0 * x[0]
    given = refrac.LIFRefracState(lif.LIFState(z_before, v, i), rho)
    own = refrac.LIFRefracParameters(_lif(p), p["rho_reset"])
    z, after = mc.lif_mc_refrac_step(x[0], given, same, same, p["g"], own, 1.0)
    return z, (after.lif.v, after.lif.i, after.rho)


def _izhikevich(x: Ports, state: States, p: Parameters) -> tuple[Any, States]:
    """Norse has tau_inv dt a in one product: its step is called for v with tau_inv dt, and for u with that product."""
    izhikevich = _functional("izhikevich")
    quadratic = (p["square"], p["linear"], p["constant"], p["v_th"])

    def step(tau_inv: Any, d: Any) -> Any:
        own = izhikevich.IzhikevichParameters(1.0, p["u_v"], p["v_reset"], d, *quadratic, tau_inv)
        if len(x) == 1:
            return izhikevich.izhikevich_feed_forward_step(x[0], izhikevich.IzhikevichState(*state), own, 1.0)
        same, given = _identity(x[0]), izhikevich.IzhikevichRecurrentState(x[1], *state)
        return izhikevich.izhikevich_recurrent_step(x[0], given, same, same, own, 1.0)

    z, after = step(p["alpha"], p["u_spike"])
    u = step(p["zeta"], 0.0)[1].u
    return z, (after.v, (1 - z) * u + z * (u + p["u_spike"]))


def _coba(x: Ports, state: States, p: Parameters) -> tuple[Any, States]:
    """The conductances have jumped before the step; nothing else arrives."""
    coba = _functional("coba_lif")
    v, g_e, g_i = state
    given = coba.CobaLIFFeedForwardState(v, g_e + x[0], g_i + x[1])
    own = coba.CobaLIFParameters(
        p["beta_e"], p["beta_i"], p["gamma"], p["g_l"], p["e_i"], p["e_e"], p["v_rest"], p["v_reset"], p["v_th"]
    )
    z, after = coba.coba_lif_feed_forward_step(0 * x[0], given, own, 1.0)
    return z, (after.v, after.g_e, after.g_i)


STEPS: dict[str, Advance] = {
    "cuba_lif": _cuba_lif,
    "cuba_lif_recurrent": _into_current(_cuba_lif),
    "cuba_li": _cuba_li,
    "lif": _lif_box("reset_value"),
    "lif_subtract": _lif_box("reset_subtract"),
    "li": _li_box,
    "if": _iaf,
    "if_recurrent": lambda x, state, p: _iaf((x[1],), (state[0] + x[0],), p),
    "lsnn": _lsnn,
    "lsnn_recurrent": _lsnn_recurrent,
    "lif_refrac": _refrac,
    "lif_refrac_recurrent": _into_current(_refrac),
    "lif_ex": _ex,
    "lif_ex_recurrent": _into_current(_ex),
    "lif_adex": _adex,
    "lif_adex_recurrent": _into_current(_adex),
    "lif_adex_refrac": _adex_refrac,
    "lif_adex_refrac_recurrent": _into_current(_adex_refrac),
    "lif_mc_recurrent": _coupled,
    "lif_mc_refrac_recurrent": _mc_refrac,
    "izhikevich": _izhikevich,
    "izhikevich_recurrent": _izhikevich,
    "coba_lif": _coba,
}
