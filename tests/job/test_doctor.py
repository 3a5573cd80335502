"""What the doctor finds on this machine, and what it finds missing for a job."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from support import WORDS

from hardneg.cli import main
from hardneg.job import doctor
from hardneg.testing import FaultServer

MakeJob = Callable[..., Path]


def found(capsys: pytest.CaptureFixture[str], *arguments: str, status: int) -> dict[str, list[dict[str, Any]]]:
    """What the command finds, by what it looked at."""
    assert main(["doctor", *arguments, "--json"]) == status
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in json.loads(capsys.readouterr().out):
        rows.setdefault(row["what"], []).append(row)
    return rows


def asking(url: str, **fields: Any) -> dict[str, Any]:
    """A job with a judge at this address."""
    client = {"kind": "openai", "base_url": url, "model": "any", "attempts": 1, "timeout": 2, **fields}
    return {"scorers.judge": {"kind": "llm_judge", "client": client}}


def test_this_machine(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDNEG_CACHE", str(tmp_path / "cache"))
    rows = found(capsys, status=0)
    assert rows["numpy"][0]["found"] == version("numpy")
    assert rows["BM25"][0]["found"] == doctor.WORKS
    assert rows["cache"][0]["found"] == f"{tmp_path / 'cache'}: not there yet"
    assert rows["free for the cache"][0]["found"].split()[1].startswith("GB")
    assert not any(row["missing"] for own in rows.values() for row in own)
    assert main(["doctor"]) == 0
    assert "extra st" in capsys.readouterr().out


def test_a_job_that_has_everything(make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultServer() as server:
        rows = found(capsys, str(make_job("job", asking(server.url))), status=0)
        assert server.sent.total() == 1
    assert "nothing is missing" in rows["job"][0]["found"]


def test_a_server_that_is_down_and_a_key_that_is_not_set(
    make_job: MakeJob, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_KEY_HERE", raising=False)
    path = make_job("job", asking("http://127.0.0.1:9/v1", api_key_env="NO_KEY_HERE"))
    rows = found(capsys, str(path), status=1)
    text = " ".join(row["found"] for row in rows["job"])
    assert "the environment variable `NO_KEY_HERE`" in text
    assert "model `any`: " in text


def test_a_key_is_never_shown(
    make_job: MakeJob, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "sk-CANARY")
    with FaultServer() as server:
        assert main(["doctor", str(make_job("job", asking(server.url, api_key_env="A_KEY")))]) == 0
    shown = capsys.readouterr()
    assert "key A_KEY" in shown.out
    assert "CANARY" not in shown.out + shown.err


def test_an_extra_that_is_not_there(
    make_job: MakeJob, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = doctor.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "faiss" else real(name))
    without = found(capsys, str(make_job("without")), status=0)
    assert without["extra faiss"][0] == {
        "what": "extra faiss",
        "found": 'for `search: faiss`: pip install "hardneg[faiss]"',
        "missing": False,
    }
    dense = {"kind": "dense", "depth": 5, "encoder": WORDS, "search": "faiss"}
    path = make_job("job", {"generators.semantic": dense})
    assert main(["doctor", str(path)]) == 1
    assert 'hardneg: extra faiss: for `search: faiss`: pip install "hardneg[faiss]"' in capsys.readouterr().err


def test_bm25_that_does_not_work(
    make_job: MakeJob, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ImportError("numba needs NumPy 2.3 or less")

    monkeypatch.setattr("hardneg.models.bm25_search.best", broken)
    assert "numba needs NumPy" in found(capsys, status=0)["BM25"][0]["found"]
    assert found(capsys, str(make_job()), status=1)["BM25"][0]["missing"]


def test_a_job_that_cannot_be_read_and_data_that_is_not_there(
    make_job: MakeJob, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = found(capsys, str(make_job("wrong", {"controls": ["nobody"]})), status=1)
    assert "no generator is called `nobody`" in rows["job"][0]["found"]
    rows = found(capsys, str(make_job("job", data="nowhere")), status=1)
    assert "nowhere" in rows["job"][0]["found"]
