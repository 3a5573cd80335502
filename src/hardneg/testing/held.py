"""A program in a child process that is held at its file-system calls."""

from __future__ import annotations

import errno
import gc
import os
import socket
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from hardneg.testing.system_calls import Watch, hold, machine

Program = Callable[[Path], object] | Sequence[str]
"""A function of the folder, or a command, which is run in it. A number that the function returns is its exit status."""


@contextmanager
def started(program: Program, folder: Path, output: int) -> Iterator[tuple[int, Watch]]:
    """Runs ``program`` in a child, which is the first of a session of its own; gives its process id, and the calls that
    it and what it starts are held at. ``output``: the descriptor of a file for its stdout and stderr.

    Raises NotImplementedError or OSError where the system cannot do that.
    """
    machine()
    ours, theirs = socket.socketpair()
    with ours, theirs, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn where there are other threads
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            _be(program, folder, output, theirs)
        theirs.close()
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        if not descriptors:
            os.waitpid(child, 0)
            raise OSError(errno.ENOSYS, "this system does not let a program be held at its calls (seccomp, Linux 5.6)")
        watch = Watch(descriptors[0])
        try:
            yield child, watch
        finally:
            watch.close()


def _be(program: Program, folder: Path, output: int, to: socket.socket) -> NoReturn:
    """What the forked child does."""
    status = 1
    try:
        os.setsid()
        for standard in (1, 2):
            os.dup2(output, standard)
        sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
        gc.freeze()  # else the first collection copies all memory that is shared with the parent
        listener = hold()
        socket.send_fds(to, [b"."], [listener])
        os.close(listener)
        if callable(program):
            result = program(folder)
            status = result if isinstance(result, int) else 0
        else:
            os.chdir(folder)
            os.execvp(program[0], list(program))  # noqa: S606
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
