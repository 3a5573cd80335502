"""Text files line by line, with a clear error for every way in which one can be broken.

Compression goes by the ending: ``.gz``, ``.zst``. UTF-8 with or without a byte order mark; any line ending.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from hardneg.bounds import Count
from hardneg.errors import DataError
from hardneg.files.bad_lines import STRICT, BadLines
from hardneg.kinds import NEUTRAL, part

SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
ALWAYS = 64 << 20
"""Bytes that a compressed file may always unfold to: what is small is no bomb, however well it is packed."""
BLANK = 1_000_000
"""Blank lines that may follow each other: a file of nothing else would be read for minutes."""
COMPRESSION = {".gz": "gzip", ".zst": "zstd"}


@part
class Limits:
    """How large text may be: a longer line, or a file that unfolds to more, is refused before it fills the memory.

    ``line``: MiB of one line. Of a compressed file, ``total``: GiB that it unfolds to; ``ratio``: how many times its
    own size that may be. Up to 64 MiB every ratio is allowed.
    """

    line: Count = 32  # decides which lines `bad_lines: skip` puts aside; the others are errors whatever is said
    total: Count = field(default=200, metadata=NEUTRAL)
    ratio: Count = field(default=200, metadata=NEUTRAL)

    def unfolded(self, path: Path) -> int:
        """The bytes that the compressed file ``path`` may unfold to."""
        return min(self.total << 30, max(ALWAYS, self.ratio * path.stat().st_size))


USUAL = Limits()
"""What is allowed unless a job says otherwise."""


def existing(path: Path, *, what: str = "file") -> Path:
    """``path``, or ``path`` with ``.gz`` or ``.zst`` behind it, whichever is there."""
    for candidate in (path, *(path.with_name(path.name + ending) for ending in COMPRESSION)):
        if candidate.is_file():
            return candidate
    raise DataError(f"{path}: there is no such {what}")


def lines(path: Path, limits: Limits = USUAL, bad: BadLines = STRICT) -> Iterator[tuple[int, str]]:
    """Line number, from 1, and text of every line that is not blank. A line too long or not UTF-8 is for ``bad``.

    Raises `DataError` for a compressed file that is damaged, or that unfolds to more than ``limits`` allow.
    """
    number = last = 0
    try:
        for number, line in raw_lines(path, limits):
            if number - last > BLANK:
                raise DataError(f"{path}:{number}: more than {BLANK:,} blank lines in a row; cut them out")
            with bad:
                if len(line) > limits.line << 20:
                    raise DataError.at(
                        path, number, f"the line is longer than {limits.line} MiB; raise `limits.line` if it is meant"
                    )
                text = _decoded(line, path, number)
                if text and not text.isspace():
                    last = number
                    yield number, text
    except OSError as error:
        raise DataError(f"{path}:{number + 1}: the file cannot be read on ({error})") from error


def raw_lines(path: Path, limits: Limits = USUAL) -> Iterator[tuple[int, bytes]]:
    """Line number and bytes of every line, its ending included; of a line that is too long its first bytes, one more
    than allowed.
    """
    compression = COMPRESSION.get(path.suffix)
    most = limits.unfolded(path) if compression else None
    longest = limits.line << 20
    number = found = 0
    with pa.input_stream(str(path), compression=compression) as stream, io.BufferedReader(stream) as buffered:
        while line := buffered.readline(longest + 1):
            number += 1
            rest = line
            while True:
                found += len(rest)
                if most is not None and found > most:
                    raise DataError(
                        f"{path}:{number}: the file unfolds to more than {most >> 20:,} MiB, from "
                        f"{path.stat().st_size:,} bytes; raise `limits.ratio` or `limits.total` if it is meant"
                    )
                if len(line) <= longest or rest.endswith(b"\n"):
                    break
                if not (rest := buffered.readline(1 << 20)):
                    break
            yield number, line


def _decoded(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError.at(
            path, number, f"byte {error.start + 1} of the line is not UTF-8 ({error.reason}); convert the file to UTF-8"
        ) from error


def json_lines(path: Path, limits: Limits = USUAL, bad: BadLines = STRICT) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of every line of a JSONL file. A line that is none is for ``bad``."""
    for number, text in lines(path, limits, bad):
        with bad:
            yield number, _object(text, path, number)


def _object(text: str, path: Path, number: int) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError.at(
            path, number, f"broken JSON at column {error.colno} ({error.msg}); is the line cut off?"
        ) from error
    except (RecursionError, ValueError) as error:
        raise DataError.at(path, number, f"JSON that cannot be read ({error})") from error
    if SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except (UnicodeEncodeError, RecursionError) as error:
            raise DataError.at(path, number, "half of a surrogate pair (\\ud800 to \\udfff) is no text") from error
    if not isinstance(value, dict):
        raise DataError.at(path, number, f"expected a JSON object, found {type(value).__name__}")
    return value


def text_of(record: dict[str, Any], keys: Sequence[str], path: Path, number: int, *, required: bool = True) -> str:
    """The first of ``keys`` that the record has, as a string; numbers are allowed as ids."""
    for key in keys:
        value = record.get(key)
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is not None:
            raise DataError.at(path, number, f"`{key}` must be a string, not {type(value).__name__}")
    if required:
        raise DataError.at(path, number, f"the key `{keys[0]}` is missing; the line has: {', '.join(record)}")
    return ""


def known_hash(path: Path) -> str:
    """`file_hash`, computed once for each state (size and time of change) that the file is in."""
    stat = path.stat()
    return _hash_in(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _hash_in(path: Path, _size: int, _changed: int) -> str:
    return file_hash(path)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
