"""The progress bar on standard error, only where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, float], None]  # stage, fraction of the whole from 0 to 1


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Progress | None]:
    """A function that moves the bar; None where there is nobody to see it. The bar is gone afterwards."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich import progress
    from rich.console import Console

    stage = progress.TextColumn("{task.description}", markup=False)
    columns = (stage, progress.BarColumn(), progress.TaskProgressColumn(), progress.TimeElapsedColumn())
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)

        def moved(stage: str, fraction: float) -> None:
            bar.update(task, description=stage, completed=fraction)

        yield moved
