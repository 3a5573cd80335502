"""Where the shards of a run are: each exists whole or not at all, in a folder named by what it was made from."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from hardneg.errors import JobError, StoreError
from hardneg.files.durable import UNFINISHED, replacing
from hardneg.pipeline.stage import Stage


class Store(Protocol):
    """Shards by stage and number, and one small JSON document a stage, written when the stage is complete."""

    def has(self, stage: Stage, shard: int) -> bool: ...

    def read(self, stage: Stage, shard: int) -> pa.Table: ...

    def write(self, stage: Stage, shard: int, table: pa.Table) -> None: ...

    def summary(self, stage: Stage) -> dict[str, Any] | None:
        """The document of a complete stage, else None."""
        ...

    def complete(self, stage: Stage, summary: dict[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class Memory:
    """A store that forgets: for library calls."""

    tables: dict[tuple[str, int], pa.Table] = field(default_factory=dict)
    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)

    def has(self, stage: Stage, shard: int) -> bool:
        return (stage.folder, shard) in self.tables

    def read(self, stage: Stage, shard: int) -> pa.Table:
        return self.tables[stage.folder, shard]

    def write(self, stage: Stage, shard: int, table: pa.Table) -> None:
        self.tables[stage.folder, shard] = table

    def summary(self, stage: Stage) -> dict[str, Any] | None:
        return self.summaries.get(stage.folder)

    def complete(self, stage: Stage, summary: dict[str, Any]) -> None:
        self.summaries[stage.folder] = summary


@dataclass(frozen=True, slots=True)
class Folder:
    """``<root>/stages/<stage>-<fingerprint>/part-00000.parquet``, with ``stage.json`` saying what the stage is and
    ``complete.json`` once all its shards are there.
    """

    root: Path

    def _folder(self, stage: Stage) -> Path:
        return self.root / "stages" / stage.folder

    def _shard(self, stage: Stage, shard: int) -> Path:
        return self._folder(stage) / f"part-{shard:05d}.parquet"

    def has(self, stage: Stage, shard: int) -> bool:
        return self._shard(stage, shard).exists()

    def read(self, stage: Stage, shard: int) -> pa.Table:
        path = self._shard(stage, shard)
        try:
            return pq.ParquetFile(path).read()
        except (OSError, pa.ArrowInvalid) as error:
            raise StoreError(f"{path}: the shard is damaged ({error}); delete it and run again") from error

    def write(self, stage: Stage, shard: int, table: pa.Table) -> None:
        path = self._shard(stage, shard)
        if not path.parent.exists():
            write_json(path.parent / "stage.json", stage.document())
        with replacing(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")

    def summary(self, stage: Stage) -> dict[str, Any] | None:
        path = self._folder(stage) / "complete.json"
        return read_json(path) if path.exists() else None

    def complete(self, stage: Stage, summary: dict[str, Any]) -> None:
        write_json(self._folder(stage) / "stage.json", stage.document())
        write_json(self._folder(stage) / "complete.json", summary)

    def shards(self, stage: Stage) -> int:
        """How many shards of a stage are there."""
        return len(list(self._folder(stage).glob("part-*.parquet")))

    def latest(self, name: str, other_than: Stage) -> dict[str, Any] | None:
        """The document of the newest stage of this name that is not ``other_than``, if there is one."""
        found = [p for p in (self.root / "stages").glob("*/stage.json") if p.parent.name != other_than.folder]
        documents = [(path.stat().st_mtime_ns, read_json(path)) for path in found]
        return max(
            ((t, d) for t, d in documents if d.get("name") == name), key=lambda pair: pair[0], default=(0, None)
        )[1]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second run out of this folder. The lock goes with the process, however that ends."""
        lock = FileLock(self.root / ".lock")
        try:
            lock.acquire(timeout=0)
            for place in (".", "stages/*", "exports", "exports/*"):  # what a killed run left behind
                for leftover in self.root.glob(f"{place}/.*{UNFINISHED}"):
                    shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        except Timeout as error:
            raise JobError(
                f"{self.root}: another run is going on in this folder; wait for it or choose another `output`"
            ) from error
        except OSError as error:
            raise JobError(
                f"{self.root}: cannot be written ({error.strerror or error}); see that the folder can be written, or "
                "choose another `output`"
            ) from error
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # what went wrong in the run is what the user hears of
                lock.release()


def write_json(path: Path, document: Any) -> None:
    """Writes a JSON document that a person can read, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(
            json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON document of a run. Raises `StoreError` when it is damaged."""
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); delete it and run again") from error
    return document
