"""Where the shards of a run are: each exists whole or not at all, in a folder named by what it was made from."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Container, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import Self

from hardneg import progress
from hardneg.cache.folders import MIRRORS, Cache, used
from hardneg.errors import StoreError
from hardneg.files.checksums import digest, read_signed, signed
from hardneg.files.durable import remove, replacing
from hardneg.files.mirror import bring, follow, here, names, offer
from hardneg.paths import is_url
from hardneg.pipeline.admission import admitted, nothing
from hardneg.pipeline.share import Share
from hardneg.pipeline.stage import Stage, folder_name

COMPLETE = "complete.json"
SHARD_FILE = re.compile(r"part-\d+\.\w+\.parquet")


class Store(Protocol):
    """Shards by stage and number, and one small JSON document a stage, written when the stage is complete."""

    def shards(self, stage: Stage, among: Container[int] | None = None) -> AbstractSet[int]:
        """The shards that are there, whole. ``among``: those that are looked at; None: all."""
        ...

    def listed(self, stage: Stage) -> AbstractSet[int]:
        """The shards that are there, unread."""
        ...

    def read(self, stage: Stage, shard: int) -> pa.Table: ...

    def write(self, stage: Stage, shard: int, table: pa.Table) -> None: ...

    def summary(self, stage: Stage) -> dict[str, Any] | None:
        """The document of a complete stage, else None."""
        ...

    def complete(self, stage: Stage, summary: dict[str, Any]) -> None: ...

    def drop(self, stage: Stage, shards: Sequence[int] | None = None) -> None:
        """Forgets that a stage is complete, and these shards of it; all where none are named."""
        ...


@dataclass(frozen=True, slots=True)
class Memory:
    """A store that forgets: for library calls."""

    tables: dict[tuple[str, int], pa.Table] = field(default_factory=dict)
    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)

    def shards(self, stage: Stage, among: Container[int] | None = None) -> AbstractSet[int]:
        return {shard for shard in self.listed(stage) if among is None or shard in among}

    def listed(self, stage: Stage) -> AbstractSet[int]:
        return {shard for folder, shard in self.tables if folder == stage.folder}

    def read(self, stage: Stage, shard: int) -> pa.Table:
        return self.tables[stage.folder, shard]

    def write(self, stage: Stage, shard: int, table: pa.Table) -> None:
        self.tables[stage.folder, shard] = table

    def summary(self, stage: Stage) -> dict[str, Any] | None:
        return self.summaries.get(stage.folder)

    def complete(self, stage: Stage, summary: dict[str, Any]) -> None:
        self.summaries[stage.folder] = summary

    def drop(self, stage: Stage, shards: Sequence[int] | None = None) -> None:
        self.summaries.pop(stage.folder, None)
        for key in [key for key in self.tables if key[0] == stage.folder and (shards is None or key[1] in shards)]:
            del self.tables[key]


@dataclass(frozen=True, slots=True)
class Folder:
    """``<root>/stages/<stage>-<fingerprint>/part-00000.<checksum>.parquet``. ``stage.json`` says what the stage is, and
    ``complete.json`` is there once all its shards are. What has changed since it was written is not read.

    ``url``: where all of it lies; ``root`` is then this machine's copy (`files.mirror`).
    """

    root: Path
    url: str | None = None
    _known: dict[tuple[str, int], Path] = field(default_factory=dict, compare=False, repr=False)
    """Where shards are, as far as this process has looked."""

    @classmethod
    def at(cls, place: str, cache: Cache) -> Self:
        """The folder of this path; of a URL its copy, which lies in the cache."""
        if not is_url(place):
            return cls(Path(place))
        copy = f"{digest(place.encode())}-{place.rpartition('/')[2]}"
        return cls(used(cache.root / MIRRORS / copy), place)

    def __post_init__(self) -> None:
        if self.url is not None:
            follow(self.root, self.url)

    def __reduce__(self) -> tuple[type[Folder], tuple[Any, ...]]:
        return Folder, (self.root, self.url, self._known)

    def _folder(self, stage: Stage) -> Path:
        return self.root / "stages" / stage.folder

    def listed(self, stage: Stage) -> AbstractSet[int]:
        return {_number(Path(name)) for name in names(self._folder(stage)) if SHARD_FILE.fullmatch(name)}

    def shards(self, stage: Stage, among: Container[int] | None = None) -> AbstractSet[int]:
        """The shards that are there, each read to the end. A damaged one is removed, and said to be."""
        found: dict[int, Path] = {}
        folder = self._folder(stage)
        bring(folder, lambda n: bool(SHARD_FILE.fullmatch(n)) and (among is None or _number(Path(n)) in among))
        paths = [p for p in folder.glob("part-*.parquet") if among is None or _number(p) in among]
        for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns):
            if damage(path):
                progress.note(f"{path}: the shard has changed since it was written; it is made again")
                remove(path)
                continue
            shard = _number(path)
            if shard in found:  # written anew by a run that was stopped before it removed the earlier one
                remove(found[shard])
            found[shard] = self._known[stage.folder, shard] = path
        offer(found.values())
        return found.keys()

    def read(self, stage: Stage, shard: int) -> pa.Table:
        path = self._known.get((stage.folder, shard))
        if path is None or not path.exists():
            bring(self._folder(stage), lambda name: name.startswith(f"part-{shard:05d}."))
            paths = list(self._folder(stage).glob(f"part-{shard:05d}.*.parquet"))
            path = paths[0] if paths else self._folder(stage) / f"part-{shard:05d}.parquet"
        try:
            content = path.read_bytes()
            if not _is_whole(path, content):
                raise StoreError(f"{path}: the shard has changed since it was written; run again, and it is made again")
            return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
        except (OSError, pa.ArrowInvalid) as error:
            raise StoreError(f"{path}: the shard cannot be read ({error}); delete it and run again") from error

    def first(self, name: str, fingerprint: str) -> pa.Table | None:
        """The first shard of a stage of which only name and fingerprint are known; None where it is lost or damaged."""
        folder = self.root / "stages" / folder_name(name, fingerprint)
        bring(folder, lambda name: name.startswith("part-00000."))
        whole = [file for file in folder.glob("part-00000.*.parquet") if not damage(file)]
        return pq.read_table(whole[0]) if whole else None

    def write(self, stage: Stage, shard: int, table: pa.Table) -> None:
        folder, sink = self._described(stage), pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        content = sink.getvalue()
        path = folder / _named(content, shard)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        self._drop_others(path, shard)
        self._known[stage.folder, shard] = path

    def _described(self, stage: Stage) -> Path:
        """The folder of a stage, with the document that says what it is."""
        folder = self._folder(stage)
        if not here(folder / "stage.json"):
            write_json(folder / "stage.json", stage.document())
        return folder

    def _drop_others(self, path: Path, shard: int) -> None:
        """A shard that was written anew has another name: the earlier one goes."""
        for other in path.parent.glob(f"part-{shard:05d}.*.parquet"):
            if other != path:
                remove(other)

    def summary(self, stage: Stage) -> dict[str, Any] | None:
        path = self._folder(stage) / COMPLETE
        if not here(path):
            return None
        try:
            return read_signed(path.read_text(encoding="utf-8"))
        except ValueError as error:
            progress.note(f"{path}: {error}; the stage is completed again")
            remove(path)
            return None

    def complete(self, stage: Stage, summary: dict[str, Any]) -> None:
        write_json(self._described(stage) / COMPLETE, signed(summary))

    def drop(self, stage: Stage, shards: Sequence[int] | None = None) -> None:
        """The document that says that it is complete goes first."""
        folder = self._folder(stage)
        remove(folder / COMPLETE)
        for name in names(folder) | {path.name for path in folder.glob("part-*.parquet")}:
            if SHARD_FILE.fullmatch(name) and (shards is None or _number(Path(name)) in shards):
                remove(folder / name)

    def latest(self, name: str, other_than: Stage) -> dict[str, Any] | None:
        """The document of the newest stage of this name that is not ``other_than``, if there is one."""
        bring(self.root / "stages", lambda name: name.endswith("/stage.json"), deep=True)
        found = [p for p in (self.root / "stages").glob("*/stage.json") if p.parent.name != other_than.folder]
        documents = [(path.stat().st_mtime_ns, read_json(path)) for path in found]
        return max(
            ((t, d) for t, d in documents if d.get("name") == name), key=lambda pair: pair[0], default=(0, None)
        )[1]

    def locked(
        self, share: Share | None = None, first: Callable[[], None] = nothing
    ) -> contextlib.AbstractContextManager[None]:
        """Keeps other runs out of this folder, or the same share of the job (`admission.admitted`)."""
        return admitted(self.root, share, first)


def _number(path: Path) -> int:
    return int(path.name.removeprefix("part-").split(".")[0])


def _named(content: Any, shard: int) -> str:
    return f"part-{shard:05d}.{digest(content)}.parquet"


def _is_whole(path: Path, content: bytes) -> bool:
    return path.name.split(".")[1] == digest(content)


def damage(path: Path) -> str | None:
    """What is wrong with a shard, or None. Raises OSError for one that is there and cannot be read now."""
    try:
        return None if _is_whole(path, path.read_bytes()) else "has changed since it was written"
    except FileNotFoundError as error:
        return str(error)


NUMBERS = re.compile(r"\[\n[-+.,\d\se]+\]")
"""A list of numbers in indented JSON. No text in it has a line break."""


def write_json(path: Path, document: Any) -> None:
    """Writes a JSON document that a person can read, whole or not at all. A list of numbers is one line."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    text = NUMBERS.sub(lambda found: "[" + " ".join(found[0][1:-1].split()) + "]", text)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON document of a run. Raises `StoreError` when it is damaged."""
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); delete it and run again") from error
    return document
