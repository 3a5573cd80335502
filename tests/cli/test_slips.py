"""A slip on the command line is answered with what was probably meant."""

from __future__ import annotations

import pytest

from hardneg.cli import main


@pytest.mark.parametrize(
    ("typed", "usage", "meant"),
    [
        ("rnu job.yaml", "hardneg [-h]", "did you mean `run`?"),
        ("run job.yaml --shrad 1/2", "hardneg run", "unknown: --shrad 1/2: did you mean `--shard`?"),
        ("compare --formt=json runs/a", "hardneg compare", "unknown: --formt=json: did you mean `--format`?"),
        ("compare --format jsn runs/a", "hardneg compare", "did you mean `json`?"),
        ("check job.yaml zebra", "hardneg check", "unknown: zebra\n"),
    ],
)
def test_what_was_meant_is_named(typed: str, usage: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(typed.split())
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"usage: {usage}")
    assert meant in error
