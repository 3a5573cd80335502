"""Counts the words of a large corpus in several processes.

They are started as commands, so they import nothing of the program that asked. Each takes every so manyth block and
ends when its pipe does. The order of blocks decides all numbers, so the result is that of one process.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import IO

import numpy as np
from typing_extensions import Self

from hardneg.arrays import Int64, offsets_of, places_of
from hardneg.data.corpus import Corpus
from hardneg.models.bm25_words import Counted, Words, counted

COMMAND = """
import os, pickle, sys
out = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # whatever else is printed must not come between
sys.path[:] = pickle.load(sys.stdin.buffer)
from hardneg.models.bm25_processes import serve
serve(out, *pickle.load(sys.stdin.buffer))
"""
Block = tuple[int, int]
"""The first row of some passages, and the row after the last."""


def count(language: str, stopwords: frozenset[str], corpus: Corpus, blocks: Sequence[Block]) -> Iterator[Counted]:
    """Counts one block of a corpus after another."""
    words = Words(language, stopwords)
    for begin, end in blocks:
        yield counted(words, corpus.contents(np.arange(begin, end)))


def serve(out: IO[bytes], language: str, stopwords: frozenset[str], corpus: Corpus, blocks: Sequence[Block]) -> None:
    """Writes `count` to a pipe."""
    for block in count(language, stopwords, corpus, blocks):
        pickle.dump(block, out, pickle.HIGHEST_PROTOCOL)
        out.flush()


def count_in_processes(
    language: str, stopwords: frozenset[str], corpus: Corpus, blocks: Sequence[Block], processes: int
) -> Iterator[Counted]:
    """The same as `count`. What a process that dies leaves is counted in this one."""
    numbers: dict[str, int] = {}
    with ExitStack() as stack:
        shares = [blocks[first::processes] for first in range(processes)]
        sources = [stack.enter_context(_Source(language, stopwords, corpus, share)) for share in shares]
        for place in range(len(blocks)):
            source = sources[place % processes]
            yield source.renumbered(source.next(), numbers)


class _Source:
    """A process with its share of the blocks, and the numbers that its words have here."""

    def __init__(self, language: str, stopwords: frozenset[str], corpus: Corpus, blocks: Sequence[Block]) -> None:
        self._task, self._left = (language, stopwords, corpus), list(blocks)
        self._here: Iterator[Counted] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = np.zeros(0, np.int64)

    @property
    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process is not None  # noqa: S101  for type checkers
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        return self._process.stdin, self._process.stdout

    def __enter__(self) -> Self:
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own code
                [sys.executable, "-c", COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # what goes wrong there goes wrong here too, and is said here
                start_new_session=True,  # Ctrl-C is for the process that waits
            )
        except OSError:  # no process more is allowed
            self._here = count(*self._task, self._left)
            return self
        with suppress(BrokenPipeError):  # it is dead already
            pickle.dump(sys.path, self._pipes[0])
            pickle.dump((*self._task, self._left), self._pipes[0])
            self._pipes[0].flush()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.kill()
        for pipe in self._pipes:
            with suppress(BrokenPipeError):
                pipe.close()
        self._process.wait()

    def next(self) -> Counted:
        """The counts of the next block of the share."""
        if self._here is None:
            try:
                block: Counted = pickle.load(self._pipes[1])  # noqa: S301  of our own process
            except (EOFError, pickle.UnpicklingError):
                self._numbers = np.zeros(0, np.int64)
                self._here = count(*self._task, self._left)
            else:
                del self._left[0]
                return block
        return next(self._here)

    def renumbered(self, block: Counted, numbers: dict[str, int]) -> Counted:
        """The block with words numbered as in ``numbers``, to which new ones are added."""
        known = len(numbers)
        own = [numbers.setdefault(word, len(numbers)) for word in block.new]
        self._numbers = np.concatenate([self._numbers, np.array(own, np.int64)])
        new = [word for word, number in zip(block.new, own, strict=True) if number >= known]
        there: Int64 = self._numbers[block.numbers]
        order = np.argsort(there)
        passages = block.passages[order]
        entries = np.repeat(offsets_of(block.passages)[:-1][order], passages) + places_of(offsets_of(passages))
        return Counted(new, there[order], passages, block.rows[entries], block.times[entries], block.lengths)
