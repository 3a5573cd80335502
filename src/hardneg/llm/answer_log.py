"""Answers of language models on disk, each from the moment that it arrives: nothing is paid for twice.

A log is a folder of append-only files. A line is the first 16 hexadecimal digits of the SHA-256 of the rest, a space,
and a JSON object. Every writer has a file of its own, so a line that a crash cut off is the last of its file. It is
passed over, as is any line whose checksum does not fit. A line without an answer stands for one that may have been paid
and did not arrive. Nothing is ever deleted.

Where the cache is at a URL, a file goes there when a step has its answers, and every `HAND_ON` seconds; then the next
file begins. Since files only grow, the longer one of two is the later one.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from hardneg.cache.folders import Cache
from hardneg.data.chat import Completion
from hardneg.errors import StoreError
from hardneg.files.durable import announce, make_folder, sync
from hardneg.files.mirror import exchange, follow, mirror_of

SYNC = 1.0
"""Seconds between two times that written lines are forced onto the disk. A crash of this process alone loses none."""


HAND_ON = 60.0
"""Seconds of answers that are lost with a machine that never comes back, where the cache is at a URL."""

ANSWERS = "answers"
"""The group of the cache that logs lie in."""
PLACE = 40
"""Bits of a place in a file: an entry of the index is one number, of the file and the place."""


class Answers:
    """The answers of one model, by `chat.Request.key`. Thread-safe; memory holds an entry's place, not its text.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Answers(Path(folder)).add("c0ffee", Completion("a text", completion_tokens=2))
    ...     print(Answers(Path(folder)).get("c0ffee").text)
    a text
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[Path] = []
        self._places: dict[bytes, int] = {}
        self._lost: Counter[bytes] = Counter()
        self._lock = Lock()
        self._writer: BinaryIO | None = None
        self._end = 0
        self._synced = 0.0
        self._begun = 0.0
        self.damaged = 0
        """Lines that were cut off, and are passed over."""
        exchange(folder)
        for file in sorted(folder.glob("*.jsonl")) if folder.is_dir() else []:
            self._index(file)

    def _index(self, file: Path) -> None:
        number, place = len(self._files), 0
        self._files.append(file)
        with file.open("rb") as stream:
            for count, line in enumerate(stream, 1):
                if (entry := _checked(line)) is None:
                    if line.endswith(b"\n"):
                        raise _changed(file, count)
                    self.damaged += 1
                elif "answer" not in entry:
                    self._lost[bytes.fromhex(entry["key"])] += 1
                else:
                    self._places[bytes.fromhex(entry["key"])] = number << PLACE | place
                place += len(line)

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> Completion | None:
        """The answer to a request, if it is there."""
        where = self._places.get(bytes.fromhex(key))
        if where is None:
            return None
        with self._files[where >> PLACE].open("rb") as stream:
            stream.seek(where & ((1 << PLACE) - 1))
            entry = _checked(stream.readline())
        if entry is None:
            raise _changed(self._files[where >> PLACE])
        return Completion(**entry["answer"])

    def lost(self, key: str) -> int:
        """How many answers to a request may have been paid and did not arrive."""
        return self._lost[bytes.fromhex(key)]

    def add(self, key: str, answer: Completion) -> None:
        """Writes an answer. Raises `StoreError` when the disk does not take it."""
        with self._lock:
            self._places[bytes.fromhex(key)] = self._write({"key": key, "answer": asdict(answer)})

    def lose(self, key: str) -> None:
        """Writes that an answer may have been paid and did not arrive. Raises `StoreError` like `add`."""
        with self._lock:
            self._write({"key": key})
            self._lost[bytes.fromhex(key)] += 1

    def _write(self, entry: dict[str, Any]) -> int:
        """Appends a line; returns its place."""
        rest = json.dumps(entry, ensure_ascii=True, separators=(",", ":")).encode()
        line = _checksum(rest) + b" " + rest + b"\n"
        try:
            if self._writer is None:
                make_folder(self._folder)
                name = f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(2)}.jsonl"
                self._files.append(self._folder / name)
                self._writer, self._end = (self._folder / name).open("xb", buffering=0), 0
                self._begun = time.monotonic()
                weakref.finalize(self, self._writer.close)
                sync(self._folder)
            if self._writer.write(line) != len(line):
                raise OSError("the disk took a part of the line only")
            if time.monotonic() - self._synced > SYNC:
                self._sync()
        except OSError as error:
            self._writer = None  # what is half written ends this file; the next answer begins another
            raise StoreError(
                f"{self._folder}: an answer cannot be written ({error.strerror or error}); free some space and run "
                "again: what is written is not asked again"
            ) from error
        place = (len(self._files) - 1) << PLACE | self._end
        self._end += len(line)
        if time.monotonic() - self._begun > HAND_ON:
            self._hand_on()
        return place

    def sync(self) -> None:
        """Forces what is written onto the disk, and to the URL of the cache if it has one."""
        with self._lock:
            self._sync()
            self._hand_on()

    def _sync(self) -> None:
        if self._writer is not None:
            os.fsync(self._writer.fileno())
            self._synced = time.monotonic()

    def _hand_on(self) -> None:
        """The file goes to its URL, and the next answer begins another."""
        if self._writer is not None and mirror_of(self._folder) is not None:
            self._writer.close()
            self._writer = None
            announce(self._files[-1])


def verify(cache: Cache) -> Iterator[tuple[Path, str | None]]:
    """Every file of answers in a cache, and what is wrong with it, or None."""
    for file in sorted((cache.root / ANSWERS).glob("*/*.jsonl")):
        with file.open("rb") as stream:
            wrong = [count for count, line in enumerate(stream, 1) if line.endswith(b"\n") and _checked(line) is None]
        yield file, f"line {wrong[0]}: an answer has changed since it was written" if wrong else None


def _changed(file: Path, line: int | None = None) -> StoreError:
    where = f"{file}:{line}" if line else str(file)
    return StoreError(
        f"{where}: an answer has changed since it was written. It was paid for, so it is not asked for again unasked: "
        "put the file back from a copy, or delete that line to pay for the answer once more"
    )


def _checksum(rest: bytes) -> bytes:
    return hashlib.sha256(rest).hexdigest()[:16].encode()


def _checked(line: bytes) -> dict[str, Any] | None:
    """The entry of a line; None for one that is cut off or changed."""
    checksum, _, rest = line.partition(b" ")
    if not rest.endswith(b"\n") or _checksum(rest[:-1]) != checksum:
        return None
    entry: dict[str, Any] = json.loads(rest)
    return entry


@lru_cache(maxsize=8)
def answers_of(cache: Cache, model: str) -> Answers:
    """The log of a model, by its client's identity: one for all of this process."""
    name = hashlib.sha256(model.encode()).hexdigest()[:16]
    if cache.url is not None:
        follow(cache.root / ANSWERS / name, f"{cache.url}/{ANSWERS}/{name}")
    return Answers(cache.root / ANSWERS / name)
