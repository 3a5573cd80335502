"""Fails the n-th file-system operation of a program, for n = 1, 2, 3 … until a run passes undisturbed.

    for trial in every_fault(save_my_index, folder):
        assert trial.killed or "Traceback" not in trial.output, trial
        assert run(load_or_make_my_index, folder).status == 0, trial

The program is a function, run in a forked child, so that whatever it imports is loaded once; or a command. Kills are
real. The kernel reports each operation, so it is seen whoever does it: Python, a library in C++, a worker process.
Not seen: stores into memory-mapped files (forcing those onto the disk is), changes of times and modes, and reads from
files that are open. Linux 5.6 or newer, on x86-64 or arm64; elsewhere NotImplementedError is raised.
"""

from __future__ import annotations

import errno
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from hardneg.testing.held import Program, started
from hardneg.testing.power import Disk
from hardneg.testing.system_calls import Call, Kind, Watch

ANY: frozenset[Kind] = frozenset(get_args(Kind))
CHANGES: frozenset[Kind] = frozenset(kind for kind in ANY if kind != "read")
GROWING: frozenset[Kind] = frozenset(kind for kind in CHANGES if kind != "remove")


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls an operation of one of the kinds ``hits``. ``then``: the operation fails with ``error``, a number of
    `errno`; a write takes a half of its bytes, and the program goes on; or the process is killed before the operation,
    or after a half of its bytes; or the power is cut before it. ``lasting``: later operations fail as well.
    """

    name: str
    hits: frozenset[Kind]
    then: Literal["fail", "shorten", "kill", "tear", "cut", "cut but for names"] = "fail"
    error: int = 0
    lasting: bool = False

    def __str__(self) -> str:
        return self.name


KILL = Fault("kill", CHANGES, "kill")
"""SIGKILL before an operation. A kill after one operation is the same as a kill before the next."""
TORN = Fault("kill inside a write", frozenset({"write"}), "tear")
NO_SPACE = Fault("ENOSPC", GROWING, error=errno.ENOSPC, lasting=True)
NO_SPACE_ONCE = Fault("ENOSPC once", GROWING, error=errno.ENOSPC)
IO_ERROR = Fault("EIO", ANY, error=errno.EIO)
NO_DESCRIPTORS = Fault("EMFILE", frozenset({"open", "read"}), error=errno.EMFILE)
TOO_LARGE = Fault("EFBIG", frozenset({"write", "truncate"}), error=errno.EFBIG)
SHORT = Fault("short write", frozenset({"write"}), "shorten")
POWER = Fault("power cut", CHANGES, "cut")
"""All processes are killed, and of files and names only what was forced onto the disk is left. The last trial of
`every_fault` is a run that passes, after which the power goes.
"""
POWER_BUT_NAMES = Fault("power cut that spares names", CHANGES, "cut but for names")
"""The same where the file system has saved all names on its own, but no contents."""
END = sys.maxsize
"""More operations than any program does: the number of a power cut after the end."""
FAULTS = (KILL, TORN, NO_SPACE, NO_SPACE_ONCE, IO_ERROR, NO_DESCRIPTORS, TOO_LARGE, SHORT, POWER, POWER_BUT_NAMES)


@dataclass(frozen=True, slots=True)
class Operation:
    """One file-system operation. ``path`` is relative to the folder; of a renaming it is the new name."""

    kind: Kind
    path: Path

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


@dataclass(frozen=True, slots=True)
class Trial:
    """A run that is over. ``number`` counts the operations that the fault may hit from 1."""

    fault: Fault | None
    number: int
    met: Operation | None
    """What the fault hit; None when the program had ended before."""
    status: int
    """The exit status, or minus the number of the signal that ended the program."""
    output: str
    """What it wrote to stdout and stderr."""
    operations: tuple[Operation, ...]
    """Everything that it did, as far as it came."""

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.status == -signal.SIGKILL

    def __str__(self) -> str:
        return f"{self.fault} at operation {self.number} ({self.met}), status {self.status}\n{self.output}"


def run(program: Program, folder: Path, fault: Fault | None = None, number: int = 1, *, seconds: float = 120) -> Trial:
    """Runs ``program`` once, with ``fault`` at the operation of this number below ``folder``. A function is run in a
    fork of this process, whose other threads should be idle then.

    Raises TimeoutError, and kills the program, when it takes longer than ``seconds``.
    """
    folder = folder.resolve()
    with tempfile.TemporaryFile() as output, started(program, folder, output.fileno()) as (child, watch):
        referee = _Referee(folder, fault, number)
        try:
            referee.attend(child, watch, time.monotonic() + seconds)
        finally:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        while watch.next(10) not in ("gone", None):
            pass
        referee.end()
        output.seek(0)
        said = output.read().decode(errors="replace")
    return Trial(fault, number, referee.met, status, said, tuple(referee.seen))


def every_fault(program: Program, folder: Path, faults: Sequence[Fault] = FAULTS) -> Iterator[Trial]:
    """For each fault a trial for n = 1, 2, 3 … up to the run that passes undisturbed. Each begins with ``folder`` as it
    was at first, and leaves it for the caller to look at; in the end it is as it was.
    """
    with _put_back(folder) as put_back:
        for fault in faults:
            number, more = 1, True
            while more:
                put_back()
                trial = run(program, folder, fault, number)
                number, more = number + 1, trial.met is not None
                if more or fault.then.startswith("cut"):
                    yield trial


def some_faults(
    program: Program, folder: Path, count: int, *, seed: float = 0, faults: Sequence[Fault] = FAULTS
) -> Iterator[Trial]:
    """``count`` of the trials of `every_fault`, drawn without bias to the faults that can hit most; an undisturbed run
    tells how many there are. A seed has the same trials wherever the program does the same.
    """
    with _put_back(folder) as put_back:
        done = run(program, folder).operations
        for fault, number in draw(done, count, seed=seed, faults=faults):
            put_back()
            yield run(program, folder, fault, number)


def draw(
    operations: Sequence[Operation], count: int, *, seed: float = 0, faults: Sequence[Fault] = FAULTS
) -> list[tuple[Fault, int]]:
    """``count`` faults with their numbers, each fault in turn, for a program that does these operations."""
    rng = random.Random(seed)  # noqa: S311
    drawn: list[tuple[Fault, int]] = []
    left = {fault: list(range(1, 1 + sum(o.kind in fault.hits for o in operations))) for fault in faults}
    for numbers in left.values():
        rng.shuffle(numbers)
    while len(drawn) < count and any(left.values()):
        drawn += [(fault, numbers.pop()) for fault, numbers in left.items() if numbers]
    return drawn[:count]


class _Referee:
    """Says what becomes of each call of a program."""

    def __init__(self, folder: Path, fault: Fault | None, number: int) -> None:
        self._folder, self._fault, self._left = folder, fault, number
        self._disk = Disk(folder) if fault is not None and fault.then.startswith("cut") else None
        self.met: Operation | None = None
        self.seen: list[Operation] = []

    def attend(self, child: int, watch: Watch, deadline: float) -> None:
        """Until the program has ended; whatever it started is ended with it."""
        ended = os.pidfd_open(child)
        try:
            while not select.select([ended], [], [], 0)[0]:
                call = watch.next(0.05)
                if isinstance(call, Call):
                    self._decide(call, child, watch)
                elif call == "gone":
                    select.select([ended], [], [], 1)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{self._fault} at {self.met}: the program does not end")
        finally:
            os.killpg(child, signal.SIGKILL)
            os.close(ended)

    def _decide(self, call: Call, child: int, watch: Watch) -> None:
        paths: list[Path] = []
        with suppress(OSError):  # there is no such descriptor, or no such process any more
            paths = [path for path in call.paths() if path.is_relative_to(self._folder)]
        if not paths:
            watch.answer(call)
            return
        operation = Operation(call.kind, paths[-1].relative_to(self._folder))
        self.seen.append(operation)
        fault = self._fault
        if fault is None or operation.kind not in fault.hits or (self.met and not fault.lasting):
            self._allow(call, paths, watch)
            return
        self._left -= 1
        if self._left > 0:
            self._allow(call, paths, watch)
            return
        self.met = self.met or operation
        if fault.then == "fail":
            watch.answer(call, error=fault.error)
        elif fault.then == "shorten":
            half = call.half()
            watch.answer(call, done=half or None)
        else:
            if fault.then == "tear":
                call.half()
            with suppress(ProcessLookupError):
                os.kill(child if self._disk else call.process, signal.SIGKILL)

    def _allow(self, call: Call, paths: Sequence[Path], watch: Watch) -> None:
        if self._disk is not None and call.kind == "sync":
            self._disk.sync(paths[0] if call.name == "msync" else call.descriptor)
        elif self._disk is not None and call.kind in ("rename", "remove") and not call.exchanges:
            self._disk.forget(paths[-1])
        watch.answer(call)

    def end(self) -> None:
        """The power is cut, if it is to be, when nothing runs any more."""
        if self._disk is not None and self._fault is not None:
            self._disk.cut(names=self._fault.then == "cut but for names")


@contextmanager
def _put_back(folder: Path) -> Iterator[Callable[[], None]]:
    """Keeps what is in a folder, and puts it back whenever it is told to."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as kept:
        shutil.copytree(folder, kept, dirs_exist_ok=True)

        def put_back() -> None:
            shutil.rmtree(folder)
            shutil.copytree(kept, folder)

        try:
            yield put_back
        finally:
            put_back()
