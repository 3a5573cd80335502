"""YAML that is meant to do harm, or is only broken."""

from pathlib import Path

import pytest

from hardneg.errors import JobError
from hardneg.job import yaml_document as documents


def read(tmp_path: Path, content: bytes) -> object:
    return documents.parse(content, tmp_path / "job.yaml")


def test_every_key_has_its_line(tmp_path: Path) -> None:
    value, lines = read(tmp_path, b"a:\n  b: 1\n  c: [x, {d: 2}]\n")
    assert value == {"a": {"b": 1, "c": ["x", {"d": 2}]}}
    assert lines["a", "b"] == 2
    assert lines["a", "c", 1, "d"] == 3


def test_anchors_are_shared_and_merged(tmp_path: Path) -> None:
    value, _ = read(tmp_path, b"a: &x {k: 1}\nb: *x\nc: {<<: *x, l: 2}\n")
    assert value == {"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 1, "l": 2}}


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 10)) for i in range(8)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"!!python/object/apply:os.system ['touch /tmp/x']", "could not determine a constructor"),
        (BOMB, "its aliases make it too large"),
        (b"[" * 500 + b"]" * 500, "too deep"),
        (b"a: 1\na: 2\n", r"job.yaml:2: the key `a` is there already, in line 1"),
        (b"a: 1\n---\nb: 2\n", r"job.yaml:2: a second document begins here"),
        (b"a: \xff\n", r"job.yaml:1: byte 4 of the file is not UTF-8"),
        (b"a: 1\n\tb: 2\n", r"job.yaml:2: not valid YAML"),
        (b"", "the file is empty"),
        (b"a: *nowhere\n", "undefined alias"),
        (b"x" * (2 << 20), "larger than 1 MiB"),
        (b"? {a: 1}\n: b\n", r"job.yaml:1: a key must be a single word"),
        (b"a: \x00\n", "job.yaml"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(JobError, match=message):
        read(tmp_path, content)
