"""The JSON schema of what every command prints with --json."""

from __future__ import annotations

from norse_export.report.document import SCHEMA_VERSION
from norse_export.report.schema_parts import (
    COUNT,
    FLAG,
    NUMBER,
    PARTS,
    SHA256,
    SHAPE,
    SHARE,
    TEXT,
    WORDS,
    Schema,
    mapping,
    or_null,
    record,
    reference,
    row,
    sequence,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"
EXIT_CODES = (0, 1, 2, 3, 4, 5, 70, 130, 143)


def schema() -> Schema:
    """One schema for all commands: the outer object is the same, and `command` says what `result` holds.

    `result` is complete when the status is ok; a failed command gives what it had, or an empty object.
    """
    return {
        "$schema": DIALECT,
        "title": "What norse-export prints with --json",
        **record(
            {
                "schema": {"const": SCHEMA_VERSION},
                "command": {"enum": list(_RESULTS)},
                "status": {"enum": ["ok", "failed"]},
                "exit_code": {"enum": list(EXIT_CODES)},
                "result": {"type": "object"},
                "findings": sequence(reference("finding")),
            }
        ),
        "allOf": [
            _when({"status": {"const": "ok"}}, {"exit_code": {"const": 0}}, {"exit_code": {"not": {"const": 0}}}),
            *(_result_of(command) for command in _RESULTS),
        ],
        "$defs": {**PARTS, **_RESULTS},
    }


def _when(condition: Schema, then: Schema, otherwise: Schema | None = None) -> Schema:
    rule: Schema = {"if": {"properties": condition}, "then": {"properties": then}}
    return rule if otherwise is None else {**rule, "else": {"properties": otherwise}}


def _result_of(command: str) -> Schema:
    whole = {"result": reference(command)}
    partial = {"result": {"anyOf": [reference(command), {"type": "object", "maxProperties": 0}]}}
    by_status = _when({"status": {"const": "ok"}}, whole, partial)
    return {"if": {"properties": {"command": {"const": command}}}, "then": by_status}


_RESULTS: dict[str, Schema] = {
    "export": record(
        {
            "model": WORDS,
            "inputs": or_null(reference("inputs")),
            "targets": sequence(
                record(
                    {
                        "target": WORDS,
                        "exit_code": {"enum": list(EXIT_CODES)},
                        "verified": FLAG,
                        "artefact": or_null(reference("artefact")),
                        "parity": sequence(COUNT),  # positions in result.parity
                        "prices": sequence(reference("price")),  # of whole numbers
                        "findings": sequence(reference("finding")),
                    }
                )
            ),
            "parity": sequence(reference("comparison")),
            "vendor": sequence(reference("vendor_check")),
            "artefacts": sequence(reference("artefact")),
        }
    ),
    "check": record(
        {
            "model": WORDS,
            "targets": sequence(
                record(
                    {
                        "target": WORDS,
                        "fits": FLAG,
                        "findings": sequence(reference("finding")),
                        "limits": sequence(
                            record({"name": WORDS, "used": or_null(NUMBER), "max": or_null(NUMBER), "source": WORDS})
                        ),
                    }
                )
            ),
            "takers": or_null(sequence(WORDS)),  # null: all that were asked fit, or the others were not asked
        }
    ),
    "inspect": record(
        {
            "file": WORDS,
            "kind": WORDS,
            "sha256": SHA256,
            "bytes": COUNT,
            "nodes": sequence(
                record(
                    {
                        "name": TEXT,
                        "type": WORDS,
                        "input_shape": or_null(SHAPE),  # null: the file does not say it
                        "output_shape": or_null(SHAPE),
                        "parameters": COUNT,
                        "dt": or_null(NUMBER),
                        "details": mapping(TEXT),
                        "made_of": or_null(TEXT),  # the class of the user's framework, of populations
                    }
                )
            ),
            "edges": sequence(record({"source": TEXT, "target": TEXT, "port": TEXT, "delay_steps": COUNT})),
            "dt": sequence(NUMBER),
            "provenance": mapping(TEXT),
        }
    ),
    "run": record(
        {
            "file": WORDS,
            "ran_by": WORDS,
            "law": WORDS,
            "inputs": reference("inputs"),
            "layers": sequence(
                record(
                    {
                        "node": TEXT,
                        "neurons": COUNT,
                        "spikes": or_null(COUNT),
                        "rate": or_null(NUMBER),
                        "states": mapping(row(or_null(NUMBER), 2)),
                    }
                )
            ),
            "accuracy": or_null(SHARE),
            "activity": or_null(reference("activity")),  # null: a run of floats, or by a chip's emulation
            "vendor": sequence(reference("vendor_check")),
            "artefacts": sequence(reference("artefact")),
        }
    ),
    "parity": record(
        {
            "a": WORDS,
            "b": WORDS,
            "inputs": or_null(reference("inputs")),
            "parity": sequence(reference("comparison")),
            "artefacts": sequence(reference("artefact")),
        }
    ),
    "targets": record(
        {
            "targets": sequence(
                record(
                    {
                        "name": WORDS,
                        "stage": WORDS,
                        "description": WORDS,
                        "runners": sequence(WORDS),
                        "origin": WORDS,
                        "vendors": sequence(WORDS),
                    }
                )
            )
        }
    ),
    "schema": record({"json_schema": {"type": "object"}}),
}
