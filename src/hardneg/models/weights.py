"""Where a model's weights are and what they are: the identity that every cached number is filed under."""

from __future__ import annotations

import hashlib
import time
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from hardneg.errors import JobError, ModelError

PICKLES = {
    "pytorch_model*.bin": ("model.safetensors", "model.safetensors.index.json"),
    "adapter_model*.bin": ("adapter_model.safetensors",),
}
"""Files of weights that loaders unpickle, and those beside them that they read instead."""
FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors", "*.bin", "*.pt", "*.pth", "*.py")
SETTLED = 2_000_000_000
"""Nanoseconds within which a second change of a file can bear the same time, so that its hash is not kept yet."""


def local(model: str) -> Path | None:
    """The folder that ``model`` is; None for a name on the hub. Raises `JobError` for a folder that does not exist."""
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or model.startswith((".", "~")):
        raise JobError(f"model folder `{model}` does not exist")
    return None


@lru_cache(maxsize=32)
def snapshot(model: str, revision: str | None) -> Path:
    """The folder of a model's files: ``model`` itself if it is a folder, else the hub's copy, fetched when needed."""
    if (path := local(model)) is not None:
        return path
    from huggingface_hub import snapshot_download

    try:
        try:
            return Path(snapshot_download(model, revision=revision, local_files_only=True))
        except FileNotFoundError:
            return Path(snapshot_download(model, revision=revision))
    except Exception as error:  # the hub's client raises a dozen kinds, of two HTTP libraries
        raise ModelError(
            f"model `{model}` is neither a folder here nor to be had from the hub ({type(error).__name__}: {error})"
        ) from error


def refuse_pickles(folder: Path, model: str) -> None:
    """Raises `ModelError` where a part of the model has its weights in a pickle alone: reading one can run code."""
    for pattern, instead in PICKLES.items():
        for file in sorted(folder.rglob(pattern)):
            if not any((file.parent / name).exists() for name in instead):
                raise ModelError(
                    f"model `{model}`: `{file.relative_to(folder)}` is a pickle, which can run code when it is read, "
                    f"and there is no `{instead[0]}` beside it; save the model as safetensors, or say "
                    "`pickled_weights: true` if you trust where it comes from"
                )


def identity(model: str, revision: str | None) -> str:
    """SHA-256 over the names and contents of a model folder's files; for the hub's copy, model and commit.

    A folder whose files have changed since the last call, after training, has another identity.
    """
    folder = snapshot(model, revision)
    if folder != Path(model).expanduser():  # the hub's copy, in a folder named by the commit
        return f"{model}@{folder.name}"
    files = sorted({file for pattern in FILES for file in folder.rglob(pattern)})
    states = tuple(_State.of(file) for file in files)
    fresh = any(0 <= time.time_ns() - state.changed < SETTLED for state in states)
    return _hashed.__wrapped__(folder, states) if fresh else _hashed(folder, states)


class _State(NamedTuple):
    """What tells that a file has been written to, whatever time a copying tool gave it."""

    file: Path
    size: int
    modified: int
    changed: int
    inode: int

    @classmethod
    def of(cls, file: Path) -> _State:
        stat = file.stat()
        return cls(file, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


@lru_cache(maxsize=32)
def _hashed(folder: Path, files: tuple[_State, ...]) -> str:
    """The hash of these files, read once for each state that they are in."""
    digest = hashlib.sha256()
    for file, size, *_ in files:
        digest.update(f"{file.relative_to(folder).as_posix()}\0{size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()
