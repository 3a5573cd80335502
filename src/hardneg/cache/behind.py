"""The folders of a cache at a URL: each is made on one machine and fetched by the others.

``<url>/<group>/<name>/<version>/…`` are the files of a folder with their seal, and ``<url>/<group>/<name>/whole`` names
the version. It is written last and once, so that half a folder never counts, and of two machines that made the same one
at once all take the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardneg import progress
from hardneg.errors import HardnegError
from hardneg.files.checksums import SEAL, broken, digest
from hardneg.files.durable import sync, sync_all
from hardneg.files.remote import Remote

WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Behind:
    """A cache at a URL. Raises what `files.remote.Remote` raises."""

    remote: Remote

    def pull(self, group: str, name: str, target: Path, workspace: Path) -> bool:
        """Fetches a folder to ``target``. Returns whether there is one; a damaged one is removed, and said to be."""
        with self._named():
            return self._pull(group, name, target, workspace)

    def _pull(self, group: str, name: str, target: Path, workspace: Path) -> bool:
        place = self.remote.at(group, name)
        if (version := self._version(place)) is None:
            return False
        fetched = workspace / name
        try:
            sizes = self._sizes(place.at(version))
        except (ValueError, KeyError, TypeError) as error:
            return self._spoilt(place, str(error))
        found = place.at(version).files()
        if missing := [file for file in sizes if file not in found]:
            return self._spoilt(place, f"{missing[0]} is missing")
        place.at(version).fetch(
            {file: found[file] for file in [*sizes, SEAL]}, fetched, f"fetch {group} from {place.url}"
        )
        if problem := broken(fetched, whole=True):
            return self._spoilt(place, problem)
        sync_all(fetched)
        try:
            fetched.replace(target)
        except OSError:
            if not target.is_dir():  # else another process of this machine was faster
                raise
        sync(target.parent)
        return True

    def push(self, group: str, name: str, folder: Path) -> bool:
        """Puts a sealed folder there, unless there is one. Returns whether what is there now is this one."""
        with self._named():
            return self._push(group, name, folder)

    def _push(self, group: str, name: str, folder: Path) -> bool:
        place, version = self.remote.at(group, name), digest((folder / SEAL).read_bytes())
        if (known := self._version(place)) is not None:
            return known == version
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        with progress.task(f"put {group} to {place.url}", sum(file.stat().st_size for file in files)) as bar:
            for file in files:
                place.at(version, file.relative_to(folder).as_posix()).put(file)
                bar.advance(file.stat().st_size)
        return place.at(WHOLE).create(version.encode()) or self._version(place) == version

    @contextmanager
    def _named(self) -> Iterator[None]:
        """What goes wrong is told with the key of the job."""
        try:
            yield
        except HardnegError as error:
            error.args = (f"cache: {error}",)
            raise

    def _version(self, place: Remote) -> str | None:
        content = place.at(WHOLE).read()
        return None if content is None else content.decode("ascii", "replace").strip().replace("/", "")

    def _sizes(self, version: Remote) -> dict[str, Any]:
        seal = version.at(SEAL).read()
        if seal is None:
            raise ValueError(f"{SEAL} is missing")
        files: dict[str, Any] = json.loads(seal)["files"]
        return files

    def _spoilt(self, place: Remote, problem: str) -> bool:
        progress.note(f"{place.url}: {problem}; it is removed and made again")
        place.at(WHOLE).remove()
        place.remove(place.files())
        return False
