"""Data of a job that is at URLs: fetched into the cache once for each version of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from hardneg.cache.folders import FETCHED, Cache
from hardneg.errors import DataError, StoreError
from hardneg.files.durable import UNFINISHED
from hardneg.files.remote import Item, Remote
from hardneg.files.text_lines import COMPRESSION

AT_ONCE = 16
"""Files that are fetched side by side. What was fetched before a connection broke off is not fetched again."""


class Fetching:
    """Fetches a URL, a file or all files below it, into a cache. ``urls``: where each path comes from."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._paths: dict[str, Path] = {}
        self.urls: dict[Path, str] = {}
        self.at: str | None = None
        """What is being fetched, or could not be."""

    def __call__(self, url: str) -> Path:
        """The path of a file or folder with what is at the URL now.

        Raises `DataError` where nothing is there, and what `files.remote.Remote` raises.
        """
        if url not in self._paths:
            self.at = url
            path = self._paths[url] = self._fetched(url)
            self.urls[path] = url
            self.at = None
        return self._paths[url]

    def origin(self, file: Path) -> str:
        """The URL that a file comes from; of any other its path."""
        for path, url in self.urls.items():
            if file.is_relative_to(path):
                return "/".join([url, *file.relative_to(path).parts])
        return str(file.resolve())

    def _fetched(self, url: str) -> Path:
        base, files = _found(url)
        last = base.url.rpartition("/")[2]
        told = [(name, item.size, item.version) for name, item in files.items()]
        version = hashlib.sha256(json.dumps([url, told]).encode()).hexdigest()[:32]

        def make(folder: Path) -> None:
            for leftover in folder.rglob(f".*{UNFINISHED}"):
                leftover.unlink()
            _fetch(base, files, folder / last)
            if _found(url)[1] != files:
                raise StoreError(f"{url}: changed while it was fetched; run again when nothing writes to it any more")

        return self._cache.made(FETCHED, version, make) / last


def _found(url: str) -> tuple[Remote, dict[str, Item]]:
    """What is at a URL, or at the same with the ending of a compressed file. One file has no name."""
    for ending in ("", *COMPRESSION):
        if (one := Remote(url + ending).one()) is not None:
            return Remote(url + ending), {"": one}
        if not ending and (files := Remote(url).files()):
            return Remote(url), files
    raise DataError(f"{url}: there is no such file, and nothing below it; see that bucket and name are right")


def _fetch(base: Remote, files: Mapping[str, Item], target: Path) -> None:
    lacking = iter(
        (name, item)
        for name, item in files.items()
        if not (target / name).is_file() or (target / name).stat().st_size != item.size
    )
    while some := dict(islice(lacking, AT_ONCE)):
        base.fetch(some, target)
