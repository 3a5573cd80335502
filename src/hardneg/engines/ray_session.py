"""What this process has on a Ray cluster: the connection, the workers of one shape, and marks in the shared folders."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from hardneg import progress
from hardneg.engines.ray_cluster import joined, room
from hardneg.engines.ray_crew import Crew
from hardneg.engines.ray_worker import Meeting

if TYPE_CHECKING:
    from hardneg.engines.ray import Ray, Workers

MARK = ".seen-by-workers-"


class Session:
    """One crew at a time: where a stage needs workers of another shape, the earlier ones make room first."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._joined: tuple[Any, ...] | None = None
        self._environment: dict[str, Any] = {}
        self._shape: Workers | None = None
        self._crew: Crew | None = None
        self._meeting = Meeting([])

    def crew(self, engine: Ray, shape: Workers, folders: Sequence[Path]) -> Crew:
        """The crew of this shape on the engine's cluster, joined if need be."""
        wanted = engine.address, repr(engine.runtime_env), tuple(folders)
        if self._joined != wanted:
            self.close()
            self._environment = self._stack.enter_context(joined(engine.address, engine.runtime_env))
            self._meeting = Meeting([self._stack.enter_context(_marked(folder)) for folder in folders])
            self._joined = wanted
        if self._crew is None or self._shape != shape:
            self._dismiss()
            self._shape, self._crew = shape, _crew(shape, self._environment, self._meeting)
        return self._crew

    def _dismiss(self) -> None:
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.end()

    def close(self) -> None:
        """Ends the workers and leaves the cluster."""
        try:
            self._dismiss()
        finally:
            self._joined = None
            self._stack.close()


def _crew(shape: Workers, environment: dict[str, Any], meeting: Meeting) -> Crew:
    cpus, gpus = shape.cpus or 1, shape.gpus or 0
    there = room(cpus, gpus)
    if not there:
        progress.note(
            f"no machine of the Ray cluster has what a worker needs (cpus: {cpus:g}, gpus: {gpus:g}); waiting for one "
            "that has"
        )
    most = shape.concurrency or max(1, there)
    least, most = most if isinstance(most, tuple) else (most, most)
    options = {
        "num_cpus": cpus,
        "num_gpus": gpus,
        "runtime_env": environment,
        "scheduling_strategy": "SPREAD",
        "max_restarts": 0,
        "max_task_retries": 0,
    }
    return Crew(options, meeting, least, most)


@contextmanager
def _marked(folder: Path) -> Iterator[Path]:
    """A file in a folder that this process holds a lock on, so that workers can tell that they see the same folder."""
    for leftover in folder.glob(f"{MARK}*"):
        with suppress(Timeout, OSError), FileLock(leftover).acquire(timeout=0):
            leftover.unlink(missing_ok=True)
    mark = folder / f"{MARK}{secrets.token_hex(8)}"
    with FileLock(mark):
        try:
            yield mark
        finally:
            mark.unlink(missing_ok=True)
