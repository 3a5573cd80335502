"""YAML that is meant to do harm, or is only broken."""

from pathlib import Path

import pytest

from hardneg.errors import JobError
from hardneg.job import document
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
        (
            b"!!python/object/apply:os.system ['touch /tmp/x']",
            r"job.yaml:1: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not for jobs",
        ),
        (BOMB, "its aliases make it too large"),
        (b"[" * 500 + b"]" * 500, "too deep"),
        (b"a: 1\na: 2\n", r"job.yaml:2: the key `a` already appears on line 1"),
        (b"a: 1\n---\nb: 2\n", r"job.yaml:2: a second document begins here"),
        (b"a: \xff\n", r"job.yaml:1: byte 4 of the file is not UTF-8"),
        (b"a: 1\n\tb: 2\n", r"job.yaml:2: not valid YAML"),
        (b"", "the file is empty"),
        (b"a: *nowhere\n", "undefined alias"),
        (b"x" * (2 << 20), "larger than 128 KiB"),
        (b"? {a: 1}\n: b\n", r"job.yaml:1: a key must be a single word"),
        (b"a: \x00\n", "job.yaml"),
        (b"a: 1\nb: !!bool x\n", r"job.yaml:2: the tag 'tag:yaml.org,2002:bool' is not for jobs"),
        (b"!!float '': 1\n", r"job.yaml:1: the tag"),
        (b"a: !!timestamp x\n", r"job.yaml:1: the tag"),
        (b"a: !!set {b}\n", r"job.yaml:1: the tag"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(JobError, match=message):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("017", 17), ("-08", -8), ("0o17", 15), ("0x1F", 31), ("1e3", 1000.0), ("1e-3", 0.001), (".5", 0.5), ("2.", 2.0),
        (".inf", float("inf")), ("on", "on"), ("No", "No"), ("1:30", "1:30"), ("1_000", "1_000"), ("true", True),
        ("2024-01-01", "2024-01-01"), ("~", None), ("", None), ("0b11", "0b11"), ("=", "="), ("'017'", "017"),
    ],
)  # fmt: skip
def test_words_mean_what_yaml_1_2_says(tmp_path: Path, written: str, meant: object) -> None:
    value, _ = read(tmp_path, f"a: {written}\n".encode())
    assert value == {"a": meant}
    assert type(value["a"]) is type(meant)


def test_of_many_mistakes_the_first_are_named(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("".join(f"key{n}: {n}\n" for n in range(3_000)))
    with pytest.raises(JobError) as found:
        document.read(file)
    named = str(found.value).splitlines()
    assert len(named) == 21
    assert named[-1].endswith("job.yaml: there are 2,986 more mistakes")
    file.write_text("".join(f"k{n}:\n" for n in range(11_000)))
    with pytest.raises(JobError, match="the document is too deep, or its aliases make it too large"):
        document.read(file)
