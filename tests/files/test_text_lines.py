"""Files that are made to fill the memory or to keep a run busy, and what is only large."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from hardneg.errors import DataError, PartError
from hardneg.files.bad_lines import BadLines
from hardneg.files.text_lines import Limits, json_lines, lines

MIB = 1 << 20


def packed(path: Path, block: bytes, times: int) -> Path:
    with gzip.open(path, "wb", 6) as file:
        for _ in range(times):
            file.write(block)
    return path


def test_a_line_that_unfolds_to_gigabytes_is_refused_at_once_and_in_little_memory(tmp_path: Path) -> None:
    bomb = packed(tmp_path / "bomb.jsonl.gz", b"a" * MIB, 512)
    code = (
        "import resource, sys; from pathlib import Path; from hardneg.files.text_lines import lines\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: list(lines(Path(sys.argv[1])))\n"
        "except Exception as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(bomb)], capture_output=True, text=True, check=True)
    error, grown = done.stdout.splitlines()
    assert "bomb.jsonl.gz:1: the file unfolds to more than " in error
    assert "raise `limits.ratio` or `limits.total` if it is meant" in error
    assert int(grown) < 200 << 10  # KiB


def test_nothing_but_blank_lines_is_refused(tmp_path: Path) -> None:
    bomb = packed(tmp_path / "bomb.jsonl.gz", b"\n" * MIB, 2)
    with pytest.raises(DataError, match=r"bomb.jsonl.gz:1000001: more than 1,000,000 blank lines in a row"):
        list(lines(bomb))


def test_what_is_meant_can_be_allowed(tmp_path: Path) -> None:
    large = packed(tmp_path / "large.txt.gz", (b"a" * 1023 + b"\n") * 1024, 66)
    with pytest.raises(DataError, match="unfolds to more than 64 MiB"):
        list(lines(large))
    assert sum(len(text) for _, text in lines(large, Limits(ratio=1100))) == 1023 * (66 << 10)
    with pytest.raises(PartError, match="`ratio` must be at least 1"):
        Limits(ratio=0)


@pytest.mark.parametrize("ending", [b"\n", b""])
def test_a_long_line_is_one_error_or_one_line_that_is_put_aside(tmp_path: Path, ending: bytes) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(b"first\n" + b"a" * (5 * MIB) + ending)
    limits = Limits(line=2)
    with pytest.raises(DataError, match=r"long.txt:2: the line is longer than 2 MiB; raise `limits.line`"):
        list(lines(path, limits))
    if ending:
        path.write_bytes(path.read_bytes() + b"last\n")
    bad = BadLines("skip")
    assert list(lines(path, limits, bad)) == ([(1, "first"), (3, "last")] if ending else [(1, "first")])
    assert [error.line for error in bad] == [2]


def test_a_file_cut_short_is_an_error_although_lines_are_skipped(tmp_path: Path) -> None:
    whole = packed(tmp_path / "cut.jsonl.gz", b'{"a": 1}\n', 10_000)
    whole.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read on"):
        list(json_lines(whole, bad=BadLines("skip")))


def test_a_file_of_nothing_but_bad_lines_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "no.jsonl"
    path.write_bytes(b"x\n" * 100_001)
    with pytest.raises(DataError, match="100,000 lines before cannot be used either"):
        list(json_lines(path, bad=BadLines("skip")))
