"""Every error that hardneg raises on purpose.

    HardnegError                     exit status 1: the run failed; running again goes on
    ├── ModelError                   a model or a server gave no usable answer
    ├── BudgetError                  the job has used what it may use; what is finished is kept
    ├── WorkerError                  processes die of some of the work; the rest is done
    ├── StoreError                   a file could not be written or is damaged
    └── UserError                    exit status 2: the user must change something
        ├── JobError                 the job file: where in it, and what was expected
        ├── DataError                a data file: file, line, and what is wrong with it
        ├── PartError                a part was given a value that it cannot work with (also a ValueError)
        └── MissingExtraError        an optional dependency is not installed: the pip line

A message is one line: the place first, identifiers in backticks, values with ``repr``, and the way out last.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class HardnegError(Exception):
    """Base of all errors raised on purpose.

    >>> issubclass(StoreError, HardnegError), HardnegError.exit_status
    (True, 1)
    """

    exit_status = 1


class ModelError(HardnegError):
    """A model or a server gave no usable answer. ``retryable`` says whether asking again can help.

    >>> ModelError("the server is busy", retryable=True).retryable
    True
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class BudgetError(HardnegError):
    """The job has used up its budget. Everything that was answered is kept.

    >>> BudgetError.exit_status
    1
    """


class StoreError(HardnegError):
    """A file of a run or of the cache could not be written, or is damaged.

    >>> StoreError.exit_status
    1
    """


class WorkerError(HardnegError):
    """Every process that worked on these ``shards`` was killed or ran out of memory. All other shards are done.

    >>> WorkerError([3]).shards
    [3]
    """

    def __init__(self, shards: Sequence[Any]) -> None:
        super().__init__(
            f"every process that worked on {len(shards)} of the shards was killed or ran out of memory; lower "
            "`batch_size` of the model or `engine.workers` and run again: what is finished is kept"
        )
        self.shards = list(shards)

    def __reduce__(self) -> tuple[type[WorkerError], tuple[list[Any]]]:
        return type(self), (self.shards,)


class UserError(HardnegError):
    """Something that only the user can change."""

    exit_status = 2


class JobError(UserError):
    """The job file says something that cannot be done.

    >>> JobError.exit_status
    2
    """


class DataError(UserError):
    """A data file holds something that cannot be used.

    >>> print(DataError.at("corpus.jsonl", 12, "no text"))
    corpus.jsonl:12: no text
    """

    file: str | None = None
    line: int | None = None
    """The line, from 1, that cannot be used. None where the fault is not one line's."""
    problem: str | None = None

    @classmethod
    def at(cls, file: Path | str, line: int | None, problem: str) -> DataError:
        """An error about one line, which begins with its place: ``corpus.jsonl:12: problem``."""
        error = cls(f"{file}:{line}: {problem}" if line else f"{file}: {problem}")
        error.file, error.line, error.problem = str(file), line, problem
        return error


class PartError(UserError, ValueError):
    """A part was given a value that it cannot work with.

    >>> from hardneg.generators.bm25 import BM25
    >>> BM25(depth=0)
    Traceback (most recent call last):
    hardneg.errors.PartError: `depth` must be at least 1, not 0
    """


class MissingExtraError(UserError):
    """An optional dependency is not installed.

    >>> print(MissingExtraError("faiss-cpu", "faiss", "`search: faiss`"))
    `search: faiss` needs `faiss-cpu`, which is not installed: pip install "hardneg[faiss]"
    """

    def __init__(self, package: str, extra: str, purpose: str, line: str | None = None) -> None:
        line = line or f'pip install "hardneg[{extra}]"'
        super().__init__(f"{purpose} needs `{package}`, which is not installed: {line}")
        self._arguments = package, extra, purpose, line

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str, str]]:
        return type(self), self._arguments


def too_many_files(error: BaseException | None) -> bool:
    """Whether an error, or one that it comes of, is that no more files can be opened. That says nothing of the file.

    >>> too_many_files(OSError(errno.EMFILE, "Too many open files")), too_many_files(OSError(errno.EIO, "I/O error"))
    (True, False)
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return True
        error = error.__cause__
    return False
