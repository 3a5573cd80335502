"""Tables that do not fit into memory: the same rows, and a disk that is full is told of."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hardneg.files import spilled
from hardneg.files.spilled import Spilled


def filled(count: int) -> Spilled:
    table = Spilled("line", "text")
    for number in range(count):
        assert table.put(f"q{number * 7919 % count}", str(number % 3), number, "a text " * 20) is None
    return table


@pytest.mark.parametrize("few", [100_000, 50], ids=["in memory", "on the disk"])
def test_what_is_kept_is_as_it_came(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(spilled, "MEMORY", 1)
    monkeypatch.setattr(spilled, "FEW", few)
    table = filled(20_000)  # 3 MB of text
    assert [(key, line) for key, _, line, _ in table] == [(f"q{n * 7919 % 20_000}", n) for n in range(20_000)]
    assert table.put("q7919", "1", 5, "another") == (1, "a text " * 20)
    assert table.put("q7919", "9", 5, "another") is None
    assert [sub for sub, *_ in table.of("q7919")] == ["1", "9"]
    table.drop("q7919")
    assert table.get("q7919", "1") is None
    assert table.get("q0", "0") == (0, "a text " * 20)


FULL = """
import resource
from hardneg.files.spilled import Spilled
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
table = Spilled("text")
for number in range(200_000):
    table.put(str(number), "", "a text " * 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of a file's size is the system's")
def test_a_disk_that_takes_no_more_is_named() -> None:
    done = subprocess.run([sys.executable, "-c", FULL], check=False, capture_output=True, text=True)
    assert "StoreError: the folder for temporary files (" in done.stderr
    assert "TMPDIR" in done.stderr
