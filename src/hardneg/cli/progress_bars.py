"""Progress bars with rates and the time that is left, on stderr."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text
from typing_extensions import Self

from hardneg import progress


class Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")


class Bars:
    """Listens to progress while it is entered."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(),  # moves also while a model loads
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._progress)
        self._stack.enter_context(progress.listening(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self, title: str, total: int | None) -> int:
        """A new bar."""
        return self._progress.add_task(title, total=total)

    def advance(self, task: int, amount: int) -> None:
        """Moves a bar on."""
        self._progress.advance(task, amount)  # type: ignore[arg-type]

    def stop(self, task: int) -> None:
        """Takes a bar away."""
        self._progress.remove_task(task)  # type: ignore[arg-type]

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(f"hardneg: {text}", markup=False, highlight=False)
