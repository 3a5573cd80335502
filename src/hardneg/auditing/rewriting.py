"""A training file once more, some of its lines changed or left out, all others byte by byte as they were."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, suppress
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa

from hardneg.auditing import rewriting_arrow
from hardneg.errors import DataError
from hardneg.files.text_lines import COMPRESSION, Limits, raw_lines

Change = Callable[[int, dict[str, Any] | None, str], dict[str, Any] | None]
"""Line number, record (None: it has none) and text of a line; the record as it shall be, or None."""
SEPARATORS = ((", ", ": "), (",", ":"))
SHOWN = 1_000
"""Characters of a line without a record that the list of what was removed has."""


def ending(path: Path) -> str:
    """What says the format of a file: its last ending, with that of its compression."""
    return "".join(path.suffixes[-2:]) if path.suffix in COMPRESSION else path.suffix


def rewrite(path: Path, out: Path, touched: Collection[int], change: Change, limits: Limits) -> None:
    """Writes ``path`` to ``out``, each line in ``touched`` as ``change`` says.

    Raises `DataError` for a line that would be copied and is longer than ``limits`` allow.
    """
    if path.is_dir():
        rewriting_arrow.folder(path, out, touched, change)
    elif path.suffix == ".parquet":
        rewriting_arrow.parquet(path, out, touched, change)
    else:
        with _sink(out, COMPRESSION.get(path.suffix)) as sink:
            table = ending(path).startswith((".csv", ".tsv"))
            pieces = _table(path, touched, change, limits) if table else _json(path, touched, change, limits)
            for piece in pieces:
                sink.write(piece)


def _sink(out: Path, compression: str | None) -> AbstractContextManager[Any]:
    found: AbstractContextManager[Any] = pa.output_stream(str(out), compression=compression, buffer_size=1 << 20)
    return found


def _json(path: Path, touched: Collection[int], change: Change, limits: Limits) -> Iterator[bytes]:
    for number, line in raw_lines(path, limits):
        if number not in touched:
            yield _whole(path, number, line, limits)
            continue
        text = line.decode("utf-8-sig" if number == 1 else "utf-8", errors="replace").rstrip("\r\n")
        record = None
        with suppress(ValueError, RecursionError):
            record = json.loads(text)
        new = change(number, record if isinstance(record, dict) else None, text[:SHOWN])
        if new is not None:
            begin = b"\xef\xbb\xbf" if number == 1 and line.startswith(b"\xef\xbb\xbf") else b""
            yield begin + _as(text, record, new).encode() + line[len(line.rstrip(b"\r\n")) :]


def _as(text: str, old: Any, new: dict[str, Any]) -> str:
    """A record in the manner in which another was written: spaces, characters beyond ASCII."""
    for ascii_only, separators in product((text.isascii(), not text.isascii()), SEPARATORS):
        if json.dumps(old, ensure_ascii=ascii_only, separators=separators) == text:
            return json.dumps(new, ensure_ascii=ascii_only, separators=separators)
    return json.dumps(new, ensure_ascii=text.isascii())


def _table(path: Path, touched: Collection[int], change: Change, limits: Limits) -> Iterator[bytes]:
    """A record of a table may be several lines; its number is that of the last one."""
    delimiter = "\t" if ".tsv" in path.suffixes else ","
    taken: list[bytes] = []
    number = 0

    def texts() -> Iterator[str]:
        nonlocal number
        for place, line in raw_lines(path, limits):
            taken.append(_whole(path, place, line, limits))
            text = line.decode("utf-8-sig" if place == 1 else "utf-8", errors="replace")
            if text.strip("\r\n") and not text.isspace():
                number = place
                yield text.rstrip("\r\n") + "\n"

    table = csv.reader(texts(), delimiter=delimiter)
    header = [cell.strip() for cell in next(table, [])]
    while True:
        yield from () if number in touched else taken
        taken.clear()
        before = number
        cells: list[str] | None = []
        with suppress(csv.Error):
            cells = next(table, None)
        if cells is None:
            break
        if number == before or number not in touched:
            continue
        text = b"".join(taken).decode("utf-8", errors="replace")
        record = dict(zip(header, cells, strict=True)) if len(cells) == len(header) else None
        new = change(number, record, text[:SHOWN])
        if new is not None:
            line = io.StringIO()
            csv.writer(line, delimiter=delimiter, lineterminator="").writerow([new[name] for name in header])
            yield line.getvalue().encode() + taken[-1][len(taken[-1].rstrip(b"\r\n")) :]
    yield from taken


def _whole(path: Path, number: int, line: bytes, limits: Limits) -> bytes:
    if len(line) > limits.line << 20:
        raise DataError.at(
            path,
            number,
            f"the line is longer than {limits.line} MiB and cannot be copied; let it go, or raise `limits`",
        )
    return line
