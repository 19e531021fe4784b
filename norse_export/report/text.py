"""Results as plain text for people: what the command line prints on standard output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from norse_export.report.checklist import checklist
from norse_export.report.columns import count, indented, one_line, short, table
from norse_export.report.outcome import errors_among
from norse_export.report.prices import prices_table

if TYPE_CHECKING:
    from norse_export.errors import Finding
    from norse_export.report.results import (
        ActivitySummary,
        Artefact,
        CheckResult,
        ExportResult,
        InputSummary,
        InspectResult,
        LayerActivity,
        ParityResult,
        RunResult,
        TargetCheck,
        TargetExport,
        TargetSummary,
        VendorCheck,
    )

NOT_VERIFIED = "NOT VERIFIED: the artefact was not run and not compared (--no-verify)"


def text_of(command: str, result: Any, *, verbose: bool = False) -> list[str]:
    """What a command gave, as lines without their ends; each line is one line, whatever the names in it hold."""
    return _SHOWN[command](result, verbose)


def of_export(result: ExportResult, verbose: bool) -> list[str]:
    """The checklist of every target: layers, verdict, artefact."""
    lines: list[str] = []
    for target in result.targets:
        lines += [
            "",
            one_line(f"{result.model} -> {target.target}"),
            *indented(_export(target, result.inputs, verbose)),
            *indented(_reason(target) if len(result.targets) > 1 else []),
        ]
    return lines[1:]


def _export(target: TargetExport, inputs: InputSummary | None, verbose: bool) -> list[str]:
    lines = [_inputs(inputs)] if inputs is not None and target.parity else []
    if target.prices:
        lines += ["", *prices_table(target.prices, verbose=verbose)]
    for comparison in target.parity:
        lines += ["", *checklist(comparison, verbose=verbose)]
    lines += _vendors(target.vendor, verbose)
    if target.artefact is None:
        return [*lines, "FAILED: nothing was written"]
    if not target.verified:
        lines.append(NOT_VERIFIED)
    return [*lines, f"written: {_artefact(target.artefact)}"]


def _reason(target: TargetExport) -> list[str]:
    """Why an export failed: its first error. That which decides the exit code is told in full beside the result."""
    if target.error is None:
        return []
    first, *more = errors_among(target.error.findings) or target.error.findings
    lines = [one_line(f"{first.where}: {first.message}")]
    return indented([*lines, *([f"and {len(more)} more"] if more else [])])


def _vendors(checks: Iterable[VendorCheck], verbose: bool) -> list[str]:
    """What vendors' software made of an artefact: what differs from what was foretold, and its own figures."""
    lines: list[str] = []
    for check in checks:
        word = "as foretold" if check.equal else "DIFFERENT"
        lines += ["", one_line(f"vendor {check.vendor} {check.version}: {word}")]
        kinds = [(kind, counts.total, counts.differing) for kind, counts in check.compared.items()]
        if kinds:
            lines += indented(table(("compared", "total", "differing"), kinds, right=(1, 2)))
        figures = [(name, value if isinstance(value, str) else _figure(value)) for name, value in check.figures.items()]
        if figures:
            lines += indented(table(("figure", "value"), figures))
        if check.parity is not None:
            lines += indented(checklist(check.parity, verbose=verbose))
    return lines


def of_check(result: CheckResult, verbose: bool) -> list[str]:
    """Per target whether the model fits, all findings (notes: verbose only), and the use of what is limited."""
    lines = [one_line(result.model), *indented(of_findings(_wanted(result.findings, verbose)))]
    for target in result.targets:
        lines += indented(_check(target, verbose))
    if result.takers is not None:
        takers = ", ".join(result.takers) or "none; norse-export run and parity run it as it is"
        lines.append(one_line(f"targets that take this model: {takers}"))
    return lines


def _wanted(findings: Iterable[Finding], verbose: bool) -> list[Finding]:
    return [finding for finding in findings if verbose or finding.severity != "note"]


def _check(target: TargetCheck, verbose: bool) -> list[str]:
    if target.error is not None:
        failed = one_line(f"{target.target}: FAILED, it could not be asked")
        return [failed, *indented(of_findings(_wanted(target.error.findings, verbose)))]
    lines = [one_line(f"{target.target}: {'fits' if target.fits else 'does NOT fit'}")]
    lines += indented(of_findings(_wanted(target.findings, verbose)))
    if target.limits:
        rows = [(limit.name, _amount(limit.used), _amount(limit.maximum), limit.source) for limit in target.limits]
        lines += indented(table(("limit", "used", "maximum", "source"), rows, right=(1, 2)))
    return lines


def _amount(number: float | None) -> str:
    """What is counted, in full, a share in six digits; `-` for what has no limit."""
    return short(number) if number is None or not float(number).is_integer() else f"{int(number)}"


def of_findings(findings: Iterable[Finding]) -> list[str]:
    """Every finding in full, three lines each."""
    lines: list[str] = []
    for finding in findings:
        lines += [
            one_line(f"{finding.severity}: {finding.message}"),
            f"  where: {one_line(finding.where)}",
            f"  fix:   {one_line(finding.fix)}",
        ]
    return lines


def of_inspect(result: InspectResult, verbose: bool) -> list[str]:
    """The file, its nodes, its edges, and where it comes from; verbose: the parameters of each node."""
    steps = ", ".join(f"{dt:.12g} s" for dt in result.dt)
    lines = [
        one_line(f"{result.file}: {result.kind}, {count(result.bytes, 'byte')}, sha256 {result.sha256}"),
        f"dt: {steps or 'not given in the file'}",
        "",
        *_nodes(result, verbose),
    ]
    if result.edges:
        edges = [(edge.source, edge.target, edge.port, edge.delay_steps) for edge in result.edges]
        lines += ["", *table(("source", "target", "port", "delay_steps"), edges, right=(3,))]
    if result.provenance:
        lines += ["", "provenance", *indented(table(*_pairs(result.provenance)))]
    return lines


def _nodes(result: InspectResult, verbose: bool) -> list[str]:
    classes = ["made of"] if any(node.made_of for node in result.nodes) else []
    header = ("node", "type", *classes, "input", "output", "parameters", "dt", *(["details"] if verbose else []))
    rows = [
        (
            node.name,
            node.type,
            *([node.made_of or "-"] if classes else []),
            _shape(node.input_shape),
            _shape(node.output_shape),
            node.parameters,
            "-" if node.dt is None else f"{node.dt:.12g} s",
            *([", ".join(f"{key} {value}" for key, value in node.details.items())] if verbose else []),
        )
        for node in result.nodes
    ]
    return table(header, rows, right=(header.index("parameters"),))


def _pairs(mapping: Mapping[str, str]) -> tuple[tuple[str, str], list[tuple[str, str]]]:
    return ("key", "value"), list(mapping.items())


def of_run(result: RunResult, verbose: bool) -> list[str]:
    """What ran, and for each layer its spikes, rate and the range of its states."""
    lines = [
        one_line(f"{result.file}, run by {result.ran_by}"),
        one_line(f"law: {result.law}"),
        _inputs(result.inputs),
        "",
        *table(
            ("layer", "neurons", "spikes", "rate", "states (lowest to highest)"),
            [_activity(layer) for layer in result.layers],
            right=(1, 2, 3),
        ),
    ]
    if result.accuracy is not None:
        lines.append(f"accuracy: {result.accuracy:.4f}")
    if result.activity is not None:
        lines += ["", *_did(result.activity)]
    lines += _vendors(result.vendor, verbose)
    if result.trace is not None:
        lines.append(f"trace: {_artefact(result.trace)}")
    return lines


def _did(activity: ActivitySummary) -> list[str]:
    """What a run of whole numbers did, one figure a line; cycles by their own names."""
    names = ("synaptic_operations", "neuron_updates", "overflows", "saturated", "footprint_bytes")
    rows = [(name.replace("_", " "), getattr(activity, name)) for name in names]
    rows.append(("activation sparsity", short(activity.activation_sparsity)))
    for name, value in (activity.cycles or {}).items():
        parts: Any = value.items() if isinstance(value, Mapping) else [("", value)]
        found = [(f"{name} {part}".replace("_", " ").strip(), _figure(number)) for part, number in parts]
        known = {(told, str(figure)) for told, figure in rows}
        rows += [row for row in found if row not in known]  # the machine counts some of them, too
    return table(("figure", "all samples"), rows, right=(1,))


def _figure(number: Any) -> str:
    """A count in full, a measured number in six digits."""
    return str(number) if isinstance(number, int) else short(number)


def _activity(layer: LayerActivity) -> tuple[object, ...]:
    ranges = ", ".join(f"{name} {short(low)} to {short(high)}" for name, (low, high) in layer.states.items())
    spikes = "values" if layer.spikes is None else layer.spikes
    return (layer.node, layer.neurons, spikes, short(layer.rate), ranges or "-")


def of_parity(result: ParityResult, verbose: bool) -> list[str]:
    """The checklist of two things compared."""
    lines = [one_line(f"{result.a} against {result.b}")]
    if result.inputs is not None:
        lines.append(_inputs(result.inputs))
    for comparison in result.parity:
        lines += ["", *checklist(comparison, verbose=verbose)]
    return lines


def of_targets(result: tuple[TargetSummary, ...], verbose: bool) -> list[str]:
    """Every target: what it is, what can run it here, and whose software can check it (--vendor)."""
    rows = []
    for target in result:
        names = (", ".join(target.runners) or "nothing", ", ".join(target.vendors) or "-")
        rows.append((target.name, target.stage, target.description, *names, target.origin))
    return table(("target", "takes", "what it is", "can run it here", "vendor", "from"), rows)


def _inputs(inputs: InputSummary) -> str:
    extent = f"{count(inputs.steps, 'step')}, {count(inputs.samples, 'sample')}"
    return one_line(f"inputs: {inputs.origin}; {extent}")


def _artefact(artefact: Artefact) -> str:
    return f"{one_line(artefact.path)}, {count(artefact.bytes, 'byte')}, sha256 {artefact.sha256}"


def _shape(shape: tuple[int, ...] | None) -> str:
    if shape is None:
        return "-"
    return "x".join(str(size) for size in shape) or "scalar"


_SHOWN: Mapping[str, Callable[[Any, bool], list[str]]] = {
    "export": of_export,
    "check": of_check,
    "inspect": of_inspect,
    "run": of_run,
    "parity": of_parity,
    "targets": of_targets,
}
