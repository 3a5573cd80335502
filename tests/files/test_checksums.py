"""Sealed folders: what has changed in them is noticed, in large files by a sample or when the whole is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hardneg.files import checksums
from hardneg.files.checksums import SEAL, broken, read_signed, seal, signed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sealed folder of a small and a large file; a block has four bytes, and a large file more than sixteen."""
    monkeypatch.setattr(checksums, "BLOCK", 4)
    (tmp_path / "inner").mkdir()
    (tmp_path / "small").write_bytes(b"0123456789")
    (tmp_path / "inner" / "large").write_bytes(bytes(range(200)))
    seal(tmp_path)
    assert broken(tmp_path) is broken(tmp_path, whole=True) is None
    return tmp_path


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("place", range(10))
def test_every_byte_of_a_small_file_is_looked_at(folder: Path, place: int) -> None:
    flip(folder / "small", place)
    assert broken(folder) == "small has changed since it was written"


def test_every_byte_of_a_large_file_is_looked_at_when_the_whole_is_asked_for(folder: Path) -> None:
    for place in range(200):
        flip(folder / "inner" / "large", place)
        assert broken(folder, whole=True) == "inner/large has changed since it was written"
        flip(folder / "inner" / "large", place)


def test_of_a_large_file_so_many_blocks_are_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[list[int]] = []
    blocks = checksums._blocks

    def listening(file: Path, numbers: range | list[int]):
        looked.append(list(numbers))
        return blocks(file, numbers)

    monkeypatch.setattr(checksums, "_blocks", listening)
    assert broken(folder) is None
    assert sorted(map(len, looked)) == [3, checksums.SAMPLE]
    for sample in looked:
        assert sample == sorted(set(sample)), "each once"


@pytest.mark.parametrize("content", [b"", b"012345678", b"0123456789a"])
def test_another_length_is_named(folder: Path, content: bytes) -> None:
    (folder / "small").write_bytes(content)
    assert broken(folder) == f"small has {len(content)} bytes in place of 10"


def test_a_large_file_with_more_behind_it_is_noticed_by_its_length(folder: Path) -> None:
    with (folder / "inner" / "large").open("ab") as stream:
        stream.write(b"more")
    assert broken(folder) == "inner/large has 204 bytes in place of 200"


def test_a_file_or_a_seal_that_is_missing_is_named(folder: Path) -> None:
    (folder / "small").unlink()
    assert broken(folder) == "small is missing"
    (folder / SEAL).unlink()
    assert broken(folder) == f"{SEAL} is missing"


def test_a_seal_of_another_version_or_with_another_bit_is_not_believed(folder: Path) -> None:
    document = read_signed((folder / SEAL).read_text())
    (folder / SEAL).write_text(json.dumps(signed(document | {"format": checksums.FORMAT + 1})))
    assert broken(folder) == "it was written by another version"
    (folder / SEAL).write_text(json.dumps(signed(document)).replace("small", "smell"))
    assert broken(folder) == "it has changed since it was written"


def test_the_order_of_keys_is_no_change() -> None:
    document = signed({"b": 1, "a": [1, {"d": 2, "c": 3}]})
    turned = dict(reversed(document.items()))
    assert read_signed(json.dumps(turned)) == {"b": 1, "a": [1, {"d": 2, "c": 3}]}
    for wrong in ({**document, "b": 2}, {"b": 1}, [1]):
        with pytest.raises(ValueError, match="it has changed since it was written"):
            read_signed(json.dumps(wrong))
