"""Progress on a terminal, silent everywhere else."""

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from types import TracebackType
from typing import Any


class Progress:
    """Bars with the time left, one for each thing under way; a context manager.

    Nothing is shown, and rich is not imported, when `enabled` is False or standard error is
    neither a terminal nor a notebook with ipywidgets.
    """

    def __init__(self, enabled: bool = True) -> None:
        self._bars: Any = _new_bars() if enabled and _somebody_looks() else None

    def __enter__(self) -> "Progress":
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def bars(self, labels: Sequence[str], total: int) -> Callable[[int, int], None]:
        """Return update(index, done) for one bar per label; threads may call it."""
        if self._bars is None:
            return lambda index, done: None
        tasks = [self._bars.add_task(label, total=total) for label in labels]

        def update(index: int, done: int) -> None:
            self._bars.update(tasks[index], completed=done)

        return update

    def levels(self, label: str) -> Callable[[int, int | None], None]:
        """Return on_level(index, total) for one bar; it says that level `index` is done.

        As long as total is None the bar says how many levels are done, and not how many are left.
        """
        if self._bars is None:
            return lambda index, total: None
        task = self._bars.add_task(label, total=None)

        def update(index: int, total: int | None) -> None:
            self._bars.update(task, completed=index + 1, total=total)

        return update


def _somebody_looks() -> bool:
    # In a notebook rich draws with ipywidgets, and without them warns in place of bars.
    in_notebook = "ipykernel" in sys.modules and find_spec("ipywidgets") is not None
    return sys.stderr.isatty() or in_notebook


def _new_bars() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
