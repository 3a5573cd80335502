"""Which file is read, and which are written: nothing that is written takes the place of what is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hardneg.auditing.rewriting import ending
from hardneg.errors import DataError
from hardneg.files.durable import replacing
from hardneg.files.json_documents import Write, writing
from hardneg.files.text_lines import existing


def training_file(path: Path) -> Path:
    """The training file, or its folder. Raises `DataError` for one that holds no texts."""
    if path.is_dir():
        return path
    path = existing(path)
    if ending(path).startswith((".run", ".trec", ".txt")):
        raise DataError(f"{path}: a TREC run holds ids and no texts; audit the training file that is made of it")
    return path


def spared(path: Path, out: Path | None, folder: Path | None, against: Sequence[Path] = ()) -> None:
    """Raises `DataError` where something that is written would take the place of what is read, or of something else.

    ``against``: folders of evaluation sets, which are read too.
    """
    written = [] if folder is None else [folder / name for name in ("audit.html", "audit.json", "findings.jsonl")]
    if out is not None:
        written += [out, removed_of(out)]
    for read, what in ((path, "to be audited"), *((known, "of an evaluation set") for known in against)):
        source, kind = read.resolve(), "folder" if read.is_dir() else "file"
        for name in written:
            target = name.resolve()
            if target == source or (name.exists() and name.samefile(read)) or source in target.parents:
                raise DataError(f"{name}: this is the {kind} {what}, or lies in it; give another place")
            if read.is_dir() and target in source.parents:
                raise DataError(f"{name}: the folder {what} lies in it; give another place")
    if out is None:
        return
    if path.is_dir():
        if out.exists() and not (out / "state.json").is_file():
            raise DataError(f"{out}: is there already and is no folder saved by `datasets`; give another place")
    elif ending(path) != ending(out):
        raise DataError(f"{out}: the cleaned file has the format of {path.name}; let its name end in {ending(path)}")
    elif out.is_dir():
        raise DataError(f"{out}: is a folder; name a file")


def removed_of(out: Path) -> Path:
    """Where the list of what a cleaned file lacks is."""
    return out.with_name(f"{out.name}.removed.jsonl")


@contextmanager
def documents(path: Path) -> Iterator[Write]:
    """Writes documents, a line each; the file is there when all are."""
    with replacing(path) as temporary, writing(temporary, default=str) as write:
        yield write


State = dict[str, tuple[int, int]]


def state_of(path: Path) -> State:
    """Size and time of change of a file, or of every file of a folder."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in files}


def unchanged(path: Path, before: State) -> None:
    """Raises `DataError` where a file is no longer what it was."""
    if state_of(path) != before:
        raise changed(path)


def changed(path: Path) -> DataError:
    """What is said of a file that is not the same at each look."""
    return DataError(f"{path}: the file has changed while it was read; audit it again")
