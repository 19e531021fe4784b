"""Results of every command, of every shape that text and JSON must show. Not tests."""

from __future__ import annotations

import math
from dataclasses import replace
from types import MappingProxyType

from norse_export.compare import Comparison, Divergence, LayerParity
from norse_export.errors import (
    CapacityError,
    ExportError,
    Finding,
    MissingDependencyError,
    ParityError,
    UnsupportedError,
)
from norse_export.passes.prices import LayerPrice
from norse_export.passes.scales import WeightPrice
from norse_export.report.results import (
    ActivitySummary,
    Artefact,
    CheckResult,
    EdgeSummary,
    ExportResult,
    InputSummary,
    InspectResult,
    LayerActivity,
    NodeSummary,
    ParityResult,
    RunResult,
    TargetCheck,
    TargetExport,
    TargetSummary,
    VendorCheck,
)
from norse_export.target import Compared, Limit

SHA256 = "0123456789abcdef" * 4
ARTEFACT = Artefact("m.nir", SHA256, 4321)
INPUTS = InputSummary("stored in the model", 100, 8)
WARNING = Finding(
    "coefficient", "warning", "2.lif", "dt is above tau_mem: the state alternates", "choose a smaller --dt"
)
NOTE = Finding("suffix", "note", "m.pt", "the suffix does not fit the content", "rename the file")


def spiking(node: str, expected: int = 20, actual: int = 20, differing: int = 0, **changed: object) -> LayerParity:
    fields: dict[str, object] = {
        "kind": "spikes",
        "explained": 0,
        "consequences": 0,
        "jaccard": 1.0,
        "van_rossum": 0.0,
        "victor_purpura": 0.0,
        "states_equal": True,
        "states_max_abs": 0.0,
        **changed,
    }
    return LayerParity(node=node, spikes_expected=expected, spikes_actual=actual, differing=differing, **fields)  # type: ignore[arg-type]


def values(node: str, differing: int = 0, **changed: object) -> LayerParity:
    return spiking(node, 0, 0, differing, **{"kind": "values", "states_equal": None, "states_max_abs": None, **changed})


def comparison(**changed: object) -> Comparison:
    fields: dict[str, object] = {
        "reference": "norse 1.1.0, torch 2.13.0",
        "actual": "interpreter, float32",
        "rung": 1,
        "steps": 100,
        "samples": 8,
        "equal": True,
        "vacuous": False,
        "silent": (),
        "first_divergence": None,
        "layers": (spiking("0.lif", 4000, 4000), spiking("2.lif"), values("3")),
        "explained_flips": 0,
        "allowed_flips": 1,
        "decisions_equal": (8, 8),
        "accuracy": None,
        **changed,
    }
    return Comparison(**fields)  # type: ignore[arg-type]


DIVERGENCE = Divergence("2.lif", 17, 3, (1, 4), "spikes", 1.0, 0.0)
DIVERGENT = comparison(
    equal=False,
    first_divergence=DIVERGENCE,
    layers=(spiking("0.lif"), spiking("2.lif", 20, 18, 2, jaccard=0.9, victor_purpura=2.0, van_rossum=1.0)),
    accuracy=(0.975, 0.5),
)
NOT_FINITE = comparison(
    equal=False,
    first_divergence=Divergence("3", 0, 0, (), "output", math.nan, math.inf),
    layers=(values("3", 1, states_equal=False, states_max_abs=math.inf),),
    decisions_equal=None,
)
VACUOUS = comparison(vacuous=True, silent=("2.lif",), layers=(spiking("0.lif"), spiking("2.lif", 0, 0)))
CONSTANT = comparison(vacuous=True, layers=(values("3"),))
EXPLAINED = comparison(
    explained_flips=1, layers=(spiking("0.lif", 4000, 4001, 12, explained=1, consequences=11), values("3"))
)
STATES = comparison(equal=False, layers=(spiking("0.lif", states_equal=False, states_max_abs=0.25),))
RECORDED = comparison(rung=None, reference="trace.nir")
TOO_MANY = comparison(equal=False, explained_flips=3, layers=(spiking("0.lif", differing=3, explained=3),))

PARITY_ERROR = ParityError("the artefact differs", where="2.lif", fix="report it with the model")
UNSUPPORTED = UnsupportedError.of(
    [
        Finding("reset", "error", "1.lif", "reset by subtraction cannot be expressed", "use reset to a value"),
        Finding("conv_groups", "error", "0", "groups cannot be expressed", "use one group"),
        Finding("pool", "error", "3", "padding of a pool cannot be expressed", "use no padding"),
    ]
)
CAPACITY = CapacityError("5000 neurons exceed 4096", where="2.lif", fix="use fewer neurons")
MISSING = MissingDependencyError("lava is not installed", where="--vendor", fix="install it")


def target_export(name: str = "nir", parity: tuple[Comparison, ...] = (), **changed: object) -> TargetExport:
    fields: dict[str, object] = {"artefact": ARTEFACT, "verified": True, "findings": (), "error": None, **changed}
    return TargetExport(target=name, parity=parity, **fields)  # type: ignore[arg-type]


def failing(name: str, error: ExportError, parity: tuple[Comparison, ...] = ()) -> TargetExport:
    return target_export(name, parity, artefact=None, error=error, findings=error.findings)


WEIGHTS = WeightPrice("0", 8, 0, (0.01, 0.02), 72, 70, 0.47, 0.004, 1, 2)
SPIKING = LayerPrice("1", "cuba_lif", 512, (WEIGHTS,), 8, 24, 24, True, 9000, 120, 118, 12, 0.9, (1, 0, (7, 2)))
VALUES = LayerPrice("3", "cuba_li", 10, (WEIGHTS, WEIGHTS), 6, None, 24, False, 100, value_error=0.028)
UNMEASURED = LayerPrice("5", "if", 10, (), 0, 30, 24, False)
PRICES = (SPIKING, VALUES, UNMEASURED)


EXPORTED = ExportResult("m.pt", INPUTS, (target_export("nir", (comparison(),)),))
UNVERIFIED = ExportResult("m.pt", None, (target_export(verified=False),), (WARNING, NOTE))
BROKEN = ExportResult("m.pt", INPUTS, (failing("nir", PARITY_ERROR, (DIVERGENT,)),), (WARNING,))
SEVERAL = ExportResult(
    "m.pt",
    INPUTS,
    (
        target_export("nir", (EXPLAINED,)),
        failing("loihi", CAPACITY),
        failing("onnx", UNSUPPORTED, (VACUOUS,)),
        failing("sim", PARITY_ERROR, (DIVERGENT,)),
    ),
)
PRICED = ExportResult(
    "m.pt",
    INPUTS,
    (target_export("sim", (comparison(rung=3), replace(DIVERGENT, rung=2)), prices=PRICES),),
)
MAPPED = VendorCheck(
    "chip",
    "vendor",
    "1.2",
    {"weights": Compared(640, 0), "rows": Compared(64, 0)},
    {"cores": 3, "board": "spin5"},
    None,
)
SIMULATED = VendorCheck("chip", "lava", "0.9", {}, {"seconds": math.inf}, comparison(rung=4))
WRONG_WEIGHTS = replace(MAPPED, compared={"weights": Compared(640, 2)}, findings=(WARNING,))
WRONG_RUN = replace(SIMULATED, parity=replace(DIVERGENT, rung=4))
CHECKED = ExportResult("m.pt", INPUTS, (target_export("chip", (comparison(rung=3),), vendor=(MAPPED, SIMULATED)),))
CHECKED_WRONG = ExportResult(
    "m.pt", INPUTS, (replace(failing("chip", PARITY_ERROR, (comparison(rung=3),)), vendor=(WRONG_WEIGHTS, WRONG_RUN)),)
)
EXPORTS = (
    EXPORTED,
    PRICED,
    UNVERIFIED,
    BROKEN,
    SEVERAL,
    *(
        ExportResult("m.pt", INPUTS, (target_export("nir", (shown,)),))
        for shown in (NOT_FINITE, VACUOUS, CONSTANT, EXPLAINED, STATES, TOO_MANY, RECORDED)
    ),
    CHECKED,
    CHECKED_WRONG,
)

FITS = CheckResult("m.pt", (TargetCheck("nir", True, (WARNING,), (Limit("neurons", 12, None, "assumed"),)),), (NOTE,))
FITS_NOT = CheckResult(
    "m.pt",
    (
        TargetCheck("nir", False, UNSUPPORTED.findings),
        TargetCheck("loihi", False, CAPACITY.findings, (Limit("neurons", 5000, 4096, "Loihi 2 manual, 3.1"),)),
        TargetCheck("sim", True, ()),
    ),
)
TOO_LARGE = CheckResult("m.pt", (TargetCheck("loihi", False, CAPACITY.findings),))
SAYS_NOT_WHY = CheckResult("m.pt", (TargetCheck("loihi", False, ()),))
CHECKS = (FITS, FITS_NOT, TOO_LARGE, SAYS_NOT_WHY)

INSPECTED = InspectResult(
    "m.pt",
    "a model that norse_export saved",
    SHA256,
    98765,
    (
        NodeSummary("input", "Input", (3, 28, 28), (3, 28, 28), 0, None),
        NodeSummary("0", "Linear", (2352,), (10,), 23530, None),
        NodeSummary("1.lif", "LIF", (10,), (10,), 40, 1e-3, MappingProxyType({"tau_mem": "0.01 s", "v_th": "1"})),
    ),
    (EdgeSummary("input", "0", "x", 0), EdgeSummary("0", "1.lif", "x", 0), EdgeSummary("1.lif", "1.lif", "z", 1)),
    (1e-3,),
    MappingProxyType({"norse_export": "0.1.0", "scheme": "euler"}),
    (NOTE,),
)
INSPECTS = (INSPECTED, InspectResult("m.nir", "an HDF5 file", SHA256, 1, (), (), (), {}))

RAN = RunResult(
    "m.nir",
    "interpreter, float32",
    "float: forward Euler",
    INPUTS,
    (
        LayerActivity("1.lif", 10, 1234, 0.154, MappingProxyType({"v": (-0.5, 1.0), "i": (0.0, 2.25)})),
        LayerActivity("3", 10, None, None, {"v": (-math.inf, math.nan)}),
    ),
    ARTEFACT,
    0.975,
)
CYCLES = {"cycles": 1200, "cycles_per_step": {"min": 10, "mean": 12.5, "max": 20}, "critical_core": None}
ACTIVITY = ActivitySummary(1234, 56789, 1000, 3, 0, 4096, 0.846, MappingProxyType(CYCLES))
RAN_WHOLE = RunResult("m.sim", "engine", "generic", INPUTS, (), None, activity=ACTIVITY)
RAN_BY_VENDOR = RunResult("m.chip", "emulation", "chip", INPUTS, (), None, vendor=(WRONG_RUN,), error=PARITY_ERROR)
RUNS = (RAN, RunResult("m.nir", "interpreter", "float", INPUTS, (), None), RAN_WHOLE, RAN_BY_VENDOR)

COMPARED = ParityResult("m.pt", "m.nir", INPUTS, (comparison(accuracy=(1.0, 1.0)),))
DIFFER = ParityResult("m.pt", "m.nir", INPUTS, (DIVERGENT,), (), PARITY_ERROR)
PARITIES = (COMPARED, DIFFER, ParityResult("a.nir", "b.nir", None, (NOT_FINITE, VACUOUS), (WARNING,), PARITY_ERROR))

TARGETS = (
    TargetSummary("nir", "continuous", "NIR graph, exact physics", ("interpreter",), "norse_export"),
    TargetSummary("chip", "fixed", "another package's chip", (), "other_package", ("lava",)),
)

OF_COMMAND = {
    "export": EXPORTS,
    "check": CHECKS,
    "inspect": INSPECTS,
    "run": RUNS,
    "parity": PARITIES,
    "targets": (TARGETS, ()),
}
