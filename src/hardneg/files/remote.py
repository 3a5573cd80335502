"""Files at a URL, through fsspec: what lies there, and whole files moved from there and to there.

What another program sees at a URL is a whole file or none: an object store shows an object once all of it has arrived.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from hardneg import progress
from hardneg.errors import DataError, HardnegError, JobError, MissingExtraError, StoreError
from hardneg.files.durable import UNFINISHED, make_folder, sync

EXTRAS = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3"), "gs": ("gcsfs", "gs"), "gcs": ("gcsfs", "gs")}
"""By protocol: the package that knows it, and the extra that installs it."""
OBJECT_STORES = frozenset({*EXTRAS, "abfs", "abfss", "az", "oss", "oci", "memory"})
"""Where a file that is written appears whole or not at all. Elsewhere files are only read."""
VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "sha256", "generation")
"""What file systems call that which changes whenever a file does."""
TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")
KEYS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and AWS_ENDPOINT_URL where it is not AWS",
    "gs": "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
}


S3 = ("s3", "s3a")
PIECES = {"default_block_size": 16 << 20, "max_concurrency": 4}
PARTS = {"chunksize": 32 << 20, "max_concurrency": 2}
"""How s3fs fetches large files, and puts them: left to itself it holds half a gigabyte of one in memory."""
OWN = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EMFILE, errno.ENFILE)
"""What this machine refuses, and no server."""


@dataclass(frozen=True, slots=True)
class Item:
    """One file at a URL: its ``size`` in bytes, a ``version`` that changes when it does, and the ``time`` of its last
    change, in seconds since the epoch. None where the server does not tell.
    """

    size: int | None
    version: str
    time: float | None


@dataclass(frozen=True, slots=True)
class Remote:
    """A file or folder at a URL. Picklable: a connection is made where it is used.

    All methods raise `JobError` or `DataError` for what the user must change, and `StoreError` for a server that cannot
    be reached or that breaks off. `MissingExtraError` where the package of the protocol is not installed.
    """

    url: str

    @property
    def protocol(self) -> str:
        """What stands before ``://``."""
        return self.url.partition("://")[0].lower()

    def at(self, *names: str) -> Remote:
        """What lies below."""
        return Remote("/".join([self.url.rstrip("/"), *names]))

    def one(self) -> Item | None:
        """The file at this very URL; None where there is none."""
        with self._told() as system:
            try:
                info = system.info(self.url)
            except (FileNotFoundError, NotADirectoryError):
                return None
        return _item(info) if info["type"] == "file" else None

    def files(self, *, deep: bool = True) -> dict[str, Item]:
        """The files below this folder by their names in it. Not ``deep``: those right in it."""
        with self._told() as system:
            root = str(system._strip_protocol(self.url)).rstrip("/")  # noqa: SLF001  fsspec has no public name for it
            try:
                listed = system.find(root, maxdepth=None if deep else 1, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return {}
        found = {path.removeprefix(root).lstrip("/"): info for path, info in listed.items()}
        return {
            _inside(name, self.url): _item(info) for name, info in sorted(found.items()) if name and name[-1] != "/"
        }

    def refuse_unwritable(self) -> None:
        """Raises `JobError` where files do not appear whole, and `DataError` where there is no such bucket."""
        self._refuse_without_atomic_writes()
        bucket = self.url.partition("://")[2].partition("/")[0]
        with self._told() as system:
            if self.protocol in EXTRAS and not system.exists(bucket):
                raise FileNotFoundError(bucket)

    def read(self) -> bytes | None:
        """The content of the file at this URL; None where there is none."""
        with self._told() as system:
            try:
                return bytes(system.cat_file(self.url))
            except FileNotFoundError:
                return None

    def fetch(self, files: Mapping[str, Item], folder: Path, title: str | None = None) -> None:
        """Files below this URL into ``folder``, each whole and on the disk, or not there at all."""
        if not files:
            return
        names = sorted(files)
        targets = [folder / name for name in names]
        temporary = [target.with_name(f".{target.name}.{secrets.token_hex(4)}{UNFINISHED}") for target in targets]
        for parent in {target.parent for target in targets}:
            make_folder(parent)
        try:
            with (
                self._told() as system,
                progress.task(title or f"fetch {self.url}", sum(item.size or 0 for item in files.values())) as bar,
            ):
                system.get(
                    [f"{self.url.rstrip('/')}/{name}" if name else self.url for name in names],
                    [str(path) for path in temporary],
                    callback=_counting(bar),
                )
            for name, part, target in zip(names, temporary, targets, strict=True):
                item = files[name]
                if item.size is not None and part.stat().st_size != item.size:
                    raise StoreError(
                        f"{self.at(name).url}: {part.stat().st_size:,} of {item.size:,} bytes arrived; run again: what "
                        "is finished is kept"
                    )
                sync(part)
                if item.time is not None:
                    os.utime(part, (item.time, item.time))
                part.replace(target)
            for parent in {target.parent for target in targets}:
                sync(parent)
        except OSError as error:
            raise StoreError(
                f"{folder}: cannot be written ({error.strerror or error}); free some space, or name another `cache`"
            ) from error
        finally:
            for part in temporary:
                part.unlink(missing_ok=True)

    def put(self, file: Path) -> None:
        """A file takes the place of the one at this URL, in one step."""
        self._refuse_without_atomic_writes()
        with self._told() as system:
            system.put_file(str(file), self.url, **(PARTS if self.protocol in S3 else {}))

    def create(self, content: bytes) -> bool:
        """Writes a small file unless there is one. Returns whether it was written.

        Of two at once one writes, where the server knows conditional writes; where it does not, the last one stays.
        """
        self._refuse_without_atomic_writes()
        with self._told() as system:
            try:
                if system.exists(self.url):
                    return False
                system.pipe_file(self.url, content, mode="create")
            except FileExistsError:
                return False
        return True

    def remove(self, names: Iterable[str] = ("",)) -> None:
        """Removes files below this URL, those that are there, one after another."""
        with self._told() as system:
            for name in names:
                with suppress(FileNotFoundError):
                    system.rm_file(self.at(name).url if name else self.url)

    def _refuse_without_atomic_writes(self) -> None:
        if self.protocol not in OBJECT_STORES:
            raise JobError(
                f"{self.url}: a file does not appear whole at `{self.protocol}://`; name an object store (s3://, "
                "gs://, az://), or a folder that is mounted"
            )

    def _system(self) -> Any:
        try:
            return _opened(self.protocol, os.getpid())
        except ImportError as error:
            if self.protocol in EXTRAS:
                raise MissingExtraError(*EXTRAS[self.protocol], self.url) from error
            raise JobError(f"{self.url}: {error}") from error
        except ValueError as error:
            raise JobError(f"{self.url}: `{self.protocol}://` is unknown; take s3:// or gs://") from error

    @contextmanager
    def _told(self) -> Iterator[Any]:
        """The file system. What goes wrong with it is told in a sentence with the URL."""
        try:
            yield self._system()
        except HardnegError:
            raise
        except FileNotFoundError as error:
            raise DataError(f"{self.url}: there is no such bucket or file; see that the name is right") from error
        except Exception as error:
            if isinstance(error, OSError) and error.errno in OWN:
                raise
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            if _about_credentials(error):
                known = EXTRAS.get(self.protocol, ("", ""))[1]
                way_out = KEYS.get(known, "see how its file system of fsspec wants to be told them")
                raise JobError(f"{self.url}: not allowed, or no credentials ({reason}); {way_out}") from error
            raise StoreError(
                f"{self.url}: the server cannot be reached or broke off ({reason}); run again when it is there: what "
                "is finished is kept"
            ) from error


@lru_cache(maxsize=8)
def _opened(protocol: str, _process: int) -> Any:
    """The file system of a protocol, one a process. Nothing that it has listed is kept."""
    import fsspec

    pieces = PIECES if protocol in S3 else {}
    system = fsspec.filesystem(protocol, use_listings_cache=False, skip_instance_cache=True, **pieces)
    if getattr(system, "async_impl", False):
        system.loop.set_exception_handler(lambda *_: None)  # what matters is raised; the rest would be printed
    return system


def _item(info: Mapping[str, Any]) -> Item:
    times = [info[name] for name in TIMES if info.get(name) is not None]
    version = next((str(info[name]) for name in VERSIONS if info.get(name)), "")
    stamp = getattr(times[0], "timestamp", lambda: times[0])() if times else None
    time = float(stamp) if isinstance(stamp, (int, float)) else None
    return Item(info.get("size"), version or f"{info.get('size')} {times[:1]}", time)


def _inside(name: str, url: str) -> str:
    """The name of a file in a folder. Raises `DataError` for one that would lead out of it."""
    if ".." in PurePosixPath(name).parts or name.startswith("/") or "\\" in name:
        raise DataError(f"{url}: the file name {name!r} leads out of the folder; rename or delete it")
    return name


def _about_credentials(error: BaseException) -> bool:
    """Whether the server, or the library before it asks one, does not know or not let in who asks."""
    names = {cls.__name__ for cls in type(error).__mro__}
    return isinstance(error, PermissionError) or any("Credential" in name or "Token" in name for name in names)


def _counting(bar: progress.Task) -> Any:
    """Tells fsspec's progress to a bar, in bytes."""
    from fsspec.callbacks import Callback

    class Counting(Callback):  # type: ignore[misc]
        def relative_update(self, inc: int = 1) -> None:
            bar.advance(inc)

        def branched(self, path_1: str, path_2: str, **kwargs: Any) -> Any:
            return Counting()

    class Files(Counting):  # counts files itself, which are no bytes
        def relative_update(self, inc: int = 1) -> None: ...

    return Files()
