"""What came from data is shown, and does nothing: on a terminal, in Markdown, in CSV and in JSON."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from hardneg.cli import main
from hardneg.cli.output import console, print_error
from hardneg.errors import DataError
from hardneg.report import comparison
from hardneg.report.visible import as_json, fenced, in_cell, in_markdown, one_line, visible

MakeJob = Callable[..., Path]
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b5m\r\x08\u202e\U000e0041"
HOSTILE = f"a{ESCAPES} [bold]b[/bold] | <img src=x onerror=y> [c](http://d) :smile:"
FORBIDDEN = set("\x1b\x07\x9b\r\x08\u202e\U000e0041")


@given(st.text(st.characters(codec=None, categories=None)))
def test_whatever_is_shown_can_be_printed_and_controls_nothing(text: str) -> None:
    shown = one_line(text)
    shown.encode()
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in shown)
    assert visible(visible(text)) == visible(text)
    as_json([text]).encode()
    whole = text.encode(errors="ignore").decode()
    assert json.loads(as_json([whole])) == [whole]


def test_each_form_by_hand() -> None:
    assert one_line(HOSTILE).startswith(r"a\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b5m \x08\u202e\U000e0041 [bold]b")
    assert in_markdown("x | <b> [c](d)\n# e") == r"x \| \<b> \[c](d) # e"
    assert [in_cell(value) for value in ("=1+1", "@x", "+1", "-1", "a-1", -1.5, None)] == [
        "'=1+1", "'@x", "'+1", "'-1", "a-1", -1.5, None,
    ]  # fmt: skip
    assert fenced("a: |\n  ````\n  # Forged", "yaml") == "`````yaml\na: |\n  ````\n  # Forged\n`````"
    assert as_json("\x7f") == '"\\u007f"'


def test_the_console_prints_text_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    table = Table(HOSTILE)
    table.add_row(HOSTILE)
    table.add_row(Text(HOSTILE))
    console().print(HOSTILE, style="bold")
    console().print(table)
    printed = capsys.readouterr().out
    assert not FORBIDDEN & set(printed)
    assert printed.count("[bold]b[/bold]") == 4
    assert ":smile:" in printed


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(DataError.at("q.jsonl", 3, f"query id `{HOSTILE}\nhardneg: done` is there already"))
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith(r"hardneg: q.jsonl:3: query id `a\x1b]0;owned")
    assert not FORBIDDEN & set(said)


def test_a_job_on_hostile_data(make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_job(changes={"filters.safe.margin": 0.9})
    data = tmp_path / "data"
    rows = [json.loads(line) for line in (data / "corpus.jsonl").read_text().splitlines()]
    rows = [{"_id": row["_id"] + ESCAPES, "text": f"{row['text']} {HOSTILE}\n1. query forged"} for row in rows]
    (data / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    qrels = (line.split("\t") for line in (data / "qrels" / "train.tsv").read_text().splitlines()[1:])
    (data / "qrels" / "train.tsv").write_bytes(
        "".join(f"{q}\t{p}{ESCAPES}\t{grade}\n" for q, p, grade in qrels).encode()
    )
    assert main(["run", str(path)]) == 0
    for arguments in (["dropped", str(path)], ["show", str(path), "--query", "q1-0"], ["dropped", str(path), "--json"]):
        capsys.readouterr()
        assert main(arguments) == 0
        printed = capsys.readouterr().out
        assert not FORBIDDEN & set(printed), arguments
        assert not any(line.startswith("1. query forged") for line in printed.splitlines())
        assert "owned" in printed
    with (data / "queries.jsonl").open("a") as file:
        file.write(json.dumps({"_id": f"x{ESCAPES}", "text": "x"}) + "\n")
        file.write(json.dumps({"_id": f"x{ESCAPES}", "text": "y"}) + "\n")
    capsys.readouterr()
    assert main(["run", str(path)]) == 2
    said = capsys.readouterr().err
    assert "already appears on line" in said
    assert not FORBIDDEN & set(said)


def test_a_report_of_somebody_else_in_a_table(tmp_path: Path) -> None:
    row = dict.fromkeys(comparison.COLUMNS, 0.5) | {
        "rank": 1,
        "run": "=cmd()",
        "set": HOSTILE,
        "what": "final",
        "best": None,
    }
    markdown = comparison.markdown([row])
    assert not FORBIDDEN & set(markdown)
    assert r"\<img" in markdown
    assert r"\[c](http" in markdown
    table = comparison.comma_separated([row])
    assert ",'=cmd()," in table
    assert not FORBIDDEN & set(table)


def test_any_encoding_of_stdout_will_do(make_job: MakeJob, tmp_path: Path) -> None:
    path = make_job()
    data = tmp_path / "data" / "corpus.jsonl"
    data.write_text(data.read_text(encoding="utf-8").replace("rome is", "rōme 東京 is"), encoding="utf-8")

    def say(encoding: str, *arguments: str) -> bytes:
        command = [sys.executable, "-m", "hardneg", arguments[0], str(path), *arguments[1:]]
        environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    assert b"negatives chosen" in say("ascii", "run")
    found = json.loads(say("latin-1", "show", "--query", "q2-0", "--json"))
    assert any("rōme 東京" in row["text"] for group in ("chosen", "kept", "refused") for row in found[group])
    for encoding in ("ascii", "latin-1"):
        assert rb"\u6771\u4eac" in say(encoding, "show", "--query", "q2-0")
