"""What a notebook shows of a run, of `mine` and of the filter: HTML in one piece, everything escaped, else a few words."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from support import PASSAGES

from hardneg import ECIFilter, Mined, MissingExtraError, mine
from hardneg.generators.bm25 import BM25
from hardneg.job.run_folder import Job
from hardneg.pages.notebook import Report, shown
from hardneg.testing import HashedWords

HOSTILE = "<script>alert(1)</script>"


def read(html: str) -> ET.Element:
    """The piece, which is well formed, runs nothing, and asks for nothing."""
    found = ET.fromstring(html)
    assert found.get("class") == "hardneg"
    assert not {one.tag for one in found.iter()} & {"script", "img", "link", "iframe", "object", "form"}
    assert not [key for one in found.iter() for key in one.attrib if key.startswith("on") or key in ("href", "src")]
    return found


def cells(found: ET.Element) -> list[list[str]]:
    return [[cell.text or "" for cell in row] for row in found.iter("tr")]


@pytest.fixture(scope="module")
def mined() -> Mined:
    texts = [*PASSAGES.values(), *(f"the town number {n} has a cat and a river" for n in range(20))]
    pairs: dict[str, list[str]] = {
        "query": ["where did the cat sit", "a river in france", "a town of animals"],
        "positive": [PASSAGES["cat"], PASSAGES["paris"], PASSAGES["dogs"]],
    }
    generators = {HOSTILE: BM25(depth=5)}
    return mine(pairs, HashedWords(), corpus=texts, generators=generators, calibrated=None, margin=-1.0, per_query=2)


def test_what_mine_returns_is_a_table_with_a_picture(mined: Mined) -> None:
    found = read(mined._repr_html_())
    rows = cells(found)
    assert rows[0] == ["set, after filtering", "negatives", "hardness", "eci_v1"], "nothing is estimated here"
    assert [row[0] for row in rows[1:]] == ["final", HOSTILE, "random (control)"]
    assert len([one for one in found.iter("svg") if one.get("role") == "img"]) == 1
    said = ["".join(one.itertext()) for one in found.iter("p")]
    assert said[0].startswith("6 negatives for 3 queries (0 short)")
    assert repr(mined).splitlines()[-1] == "3 rows: anchor, positive, negative_1, negative_2"
    assert len(repr(mined)) < 500


def test_a_report_is_a_dictionary_and_a_data_frame(mined: Mined) -> None:
    report = mined.report
    assert pickle.loads(pickle.dumps(report)) == json.loads(json.dumps(report)) == dict(report)
    assert repr(report).startswith("6 negatives for 3 queries")
    assert "a report with the keys metric, scorer, " in repr(report)
    frame = report.to_pandas()
    assert list(frame.columns[:3]) == ["set", "moment", "what"]
    assert len(frame) == 2 * len(report["sets"])
    final = frame[(frame["set"] == "final") & (frame["moment"] == "after")].iloc[0]
    assert final["eci_v1"] == report["sets"]["final"]["after"]["eci_v1"]
    assert cells(read(Report(warnings=[])._repr_html_())) == [["key"], ["warnings"]]


def test_what_a_job_returns_is_its_report(make_job: Callable[..., Path]) -> None:
    job = Job.read(make_job())
    result = job.run()
    assert repr(result).splitlines()[-1].startswith("computed: read, generate.lexical, ")
    assert len(repr(result)) < 1_000
    assert [row[0] for row in cells(read(result._repr_html_())) if "easy" in row[0]] == ["easy (control)"]
    assert repr(job.run()).endswith("computed: nothing: everything was there")


def test_what_the_filter_returns_is_a_table_of_before_and_after() -> None:
    negatives = [[HOSTILE, "far"], ["near"]]
    found = ECIFilter(margin=0.1)(
        ["q", HOSTILE], ["p", "p"], negatives, similarities=([0.8, 0.9], [[0.75, 0.2], [0.85]])
    )
    assert repr(found) == "1 of 3 negatives kept, the others refused by margin; 1 of 2 queries have none left"
    for html in (found._repr_html_(), found.report._repr_html_()):
        rows = cells(read(html))
        assert [row[:2] for row in rows[1:]] == [["before", "1.5"], ["after", "0.5"]]
    frame = found.to_pandas()
    assert frame["negative"].tolist() == [HOSTILE, "far", "near"]
    assert frame["example"].tolist() == [0, 0, 1]
    assert frame["kept"].tolist() == [False, True, False]
    assert np.allclose(frame["limit"], [0.7, 0.7, 0.8])
    terms = found.report.to_pandas()
    assert terms["moment"].tolist() == ["before", "after"]
    assert terms["eci_v1"].tolist() == [found.report.before.eci_v1, found.report.after.eci_v1]
    nothing: Any = ECIFilter(margin=0.1)([], [], [], similarities=([], []))
    assert "0 of 0 negatives kept" in repr(nothing)
    read(nothing._repr_html_())


def test_probabilities_bring_their_share() -> None:
    corpus = [f"passage {n} about river {n % 7} and engine {n % 11}" for n in range(60)]
    found = ECIFilter(HashedWords(), corpus=corpus)([f"river {n}" for n in range(5)], corpus[:5], [corpus[5:15]] * 5)
    assert cells(read(found._repr_html_()))[0][2] == "false, estimated"


def test_texts_are_escaped_and_control_characters_seen() -> None:
    found = read(shown([HOSTILE + "\x1b[31m"], ["<b>", "é"], [["&", "\u202e"]], warnings=["`<i>` is no tag"]))
    assert cells(found) == [["<b>", "é"], ["&", "\\u202e"]]
    assert [one.text for one in found.iter("code")] == ["<i>"]


def test_without_pandas_the_error_says_how_to_get_it(mined: Mined, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        MissingExtraError,
        match=r'`to_pandas` needs `pandas`, which is not installed: pip install "hardneg\[datasets\]"',
    ):
        mined.report.to_pandas()
