"""What runs in a worker on a Ray cluster."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from hardneg import progress

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Meeting:
    """What a worker is asked before it is given work. ``marks``: files that the driver holds a lock on."""

    marks: Sequence[Path]
    version: str = field(default_factory=lambda: version("hardneg"))

    def problem(self) -> str | None:
        """What keeps this process from the job."""
        machine = platform.node()
        if (own := version("hardneg")) != self.version:
            return f"the machine {machine} of the cluster has hardneg {own}, this one has {self.version}; install one"
        for mark in self.marks:
            if not mark.exists():
                return (
                    f"{mark.parent}: the machine {machine} of the cluster does not see this folder as it is here; let "
                    "`output` and `cache` lie on a disk that all machines share, at one path"
                )
            lock = FileLock(mark)
            try:
                with lock.acquire(timeout=0):
                    return (
                        f"{mark.parent}: locks on this disk do not hold between this machine and {machine}; mount it "
                        "so that they do (NFS 4, Lustre with `flock`)"
                    )
            except Timeout:
                continue
        return None


@dataclass(slots=True)
class _Notes:
    """Hears what the work says, for the driver to say it."""

    texts: list[str] = field(default_factory=list)

    def start(self, title: str, total: int | None) -> int:
        return 0

    def advance(self, task: int, amount: int) -> None:
        pass

    def stop(self, task: int) -> None:
        pass

    def note(self, text: str) -> None:
        self.texts.append(text)


class Worker:
    """One process on one machine. What it has loaded stays from shard to shard."""

    def meet(self, meeting: Meeting) -> tuple[str, str | None]:
        """The id of the worker's machine, and what keeps it from the job."""
        import ray

        return ray.get_runtime_context().get_node_id(), meeting.problem()

    def work(self, function: Callable[[T], R], shard: T) -> tuple[R, list[str]]:
        """``function(shard)``, and what was noted meanwhile."""
        notes = _Notes()
        with progress.listening(notes):
            return function(shard), notes.texts
