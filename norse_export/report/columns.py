"""Plain text in lines and columns: what a file says about itself cannot break a line, move the cursor or hide text."""

from __future__ import annotations

from collections.abc import Sequence

LINE_CHARACTERS = 300
CELL_CHARACTERS = 100
_CUT = "..."


def one_line(text: object, limit: int = LINE_CHARACTERS) -> str:
    """The text on one line of at most `limit` characters.

    Line breaks and other spaces become one space; what cannot be printed (control characters, escape sequences, marks
    that turn the direction of writing) is shown as its escape.
    """
    raw = str(text)[: 4 * limit]  # names may be huge: no more is looked at than can be shown
    shown = "".join(_printable(character) for character in raw)
    line = " ".join(shown.split())
    return line if len(line) <= limit else line[: limit - len(_CUT)] + _CUT


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else character.encode("unicode_escape").decode("ascii")


def table(header: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = ()) -> list[str]:
    """Aligned columns, two spaces apart, under a header; the columns numbered in `right` are flush right.

    Cells are cut to CELL_CHARACTERS; those of the last column push nothing aside, and may be as long as a line.
    """
    limits = [*[CELL_CHARACTERS] * (len(header) - 1), LINE_CHARACTERS]
    cells = [[one_line(cell, limit) for cell, limit in zip(row, limits, strict=True)] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return [_row(row, widths, right) for row in cells]


def _row(cells: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> str:
    padded = (
        cell.rjust(width) if column in right else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()


def indented(lines: Sequence[str], by: int = 2) -> list[str]:
    """The lines, moved to the right."""
    return [" " * by + line if line else line for line in lines]


def count(number: int, noun: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def short(number: float | None) -> str:
    """A measured number in six digits; `-` for none."""
    return "-" if number is None else f"{number:.6g}"


def exact(number: float) -> str:
    """A number with every digit that tells it from its neighbours; whole numbers without a point."""
    number = float(number)
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
