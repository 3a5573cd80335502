"""Text files line by line, with a clear error for every way in which one can be broken.

Compression goes by the ending: ``.gz``, ``.zst``. UTF-8 with or without a byte order mark; any line ending.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from hardneg.errors import DataError

SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
LONGEST = 256 << 20
COMPRESSION = {".gz": "gzip", ".zst": "zstd"}


def existing(path: Path, *, what: str = "file") -> Path:
    """``path``, or ``path`` with ``.gz`` or ``.zst`` behind it, whichever is there."""
    for candidate in (path, *(path.with_name(path.name + ending) for ending in COMPRESSION)):
        if candidate.is_file():
            return candidate
    raise DataError(f"{path}: there is no such {what}")


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line number, from 1, and text of every line that is not blank."""
    compression = COMPRESSION.get(path.suffix)
    number = 0
    try:
        with pa.input_stream(str(path), compression=compression) as stream, io.BufferedReader(stream) as buffered:
            while line := buffered.readline(LONGEST):
                number += 1
                if len(line) == LONGEST:
                    raise DataError.at(path, number, f"the line is longer than {LONGEST >> 20} MiB")
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if text and not text.isspace():
                    yield number, text
    except UnicodeDecodeError as error:
        raise DataError.at(
            path, number, f"byte {error.start + 1} of the line is not UTF-8 ({error.reason}); convert the file to UTF-8"
        ) from error
    except OSError as error:
        raise DataError.at(path, number + 1, f"the file cannot be read on ({error})") from error


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of every line of a JSONL file."""
    for number, text in lines(path):
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
            except UnicodeEncodeError as error:
                raise DataError.at(path, number, "half of a surrogate pair (\\ud800 to \\udfff) is no text") from error
        if not isinstance(value, dict):
            raise DataError.at(path, number, f"expected a JSON object, found {type(value).__name__}")
        yield number, value


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


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
