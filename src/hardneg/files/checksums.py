"""Checksums of what lies on the disk for long: every flipped bit in it is noticed before it is believed.

A *sealed* folder has a file with the length of every other file and the SHA-256 of its blocks. Because of the blocks, a
file of many gigabytes can be checked by a sample. Its length is always checked.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hardneg.files.npy import mapped

SEAL = ".checksums.json"
FORMAT = 1
"""To be raised when what a durable file holds comes to mean something else: older ones are then made again."""
BLOCK = 1 << 22
SAMPLED_ABOVE, SAMPLE = 16, 8
"""A file of more blocks than this is checked by so many of them, unless the whole is asked for."""


def digest(content: bytes) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of ``content``."""
    return hashlib.sha256(content).hexdigest()[:16]


def _blocks(file: Path, numbers: range | list[int]) -> Iterator[str]:
    with file.open("rb") as stream:
        for number in numbers:
            stream.seek(number * BLOCK)
            yield digest(stream.read(BLOCK))


def refuse_cut_array(file: Path) -> None:
    """Raises OSError for a ``.npy`` file that is shorter than it says itself: numpy does not notice when the disk does
    not take the last of it.
    """
    try:
        mapped(file)
    except (ValueError, EOFError) as error:
        raise OSError(f"the disk did not take the whole of {file.name}") from error


def seal(folder: Path) -> None:
    """Writes the checksums of all files of a folder that is finished. Raises OSError where one is not whole."""
    for file in folder.rglob("*.npy"):
        refuse_cut_array(file)
    files = {
        file.relative_to(folder).as_posix(): {"bytes": (size := file.stat().st_size), "blocks": _all_blocks(file, size)}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != SEAL
    }
    (folder / SEAL).write_text(json.dumps(signed({"format": FORMAT, "files": files})), encoding="utf-8")


def _all_blocks(file: Path, size: int) -> list[str]:
    return list(_blocks(file, range(-(-size // BLOCK))))


def broken(folder: Path, *, whole: bool = False) -> str | None:
    """What is wrong with a sealed folder, or None. ``whole``: large files are read to the end, not sampled.

    Raises OSError for a file that cannot be read now: that says nothing of what it holds.
    """
    try:
        document = read_signed((folder / SEAL).read_text(encoding="utf-8"))
        if document.get("format") != FORMAT:
            return "it was written by another version"
        for name, entry in document["files"].items():
            file, blocks = folder / name, entry["blocks"]
            if file.stat().st_size != entry["bytes"]:
                return f"{name} has {file.stat().st_size:,} bytes in place of {entry['bytes']:,}"
            numbers: range | list[int] = range(len(blocks))
            if len(blocks) > SAMPLED_ABOVE and not whole:
                numbers = sorted(secrets.SystemRandom().sample(numbers, SAMPLE))
            for number, found in zip(numbers, _blocks(file, numbers), strict=True):
                if found != blocks[number]:
                    return f"{name} has changed since it was written"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (NotADirectoryError, IsADirectoryError, ValueError, KeyError, TypeError) as error:
        return str(error)
    return None


def readable(check: Callable[[], str | None]) -> str | None:
    """What a check finds, or why it could not read."""
    try:
        return check()
    except OSError as error:
        return str(error)


def signed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with its own checksum."""
    plain: dict[str, Any] = json.loads(json.dumps(document))
    return plain | {"checksum": _sum_of(plain)}


def read_signed(text: str) -> dict[str, Any]:
    """A document that was `signed`, without its checksum. Raises ValueError for one that has changed since."""
    document = json.loads(text)
    if not isinstance(document, dict) or document.pop("checksum", None) != _sum_of(document):
        raise ValueError("it has changed since it was written")
    return document


def _sum_of(document: dict[str, Any]) -> str:
    return digest(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())
