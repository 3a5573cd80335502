"""The page of an audit: every finding, with cases, whatever their texts are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from browser import browsing

import hardneg
from hardneg.testing import HashedWords

HOSTILE = "</script><img src=x onerror='window.broken = 1'> \u202eegnar"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit of a file with faults and with hostile texts, with a model and an evaluation set."""
    folder = tmp_path_factory.mktemp("audit")
    rows = [
        {"query": f"question {n} {HOSTILE}", "pos": [f"the answer {n} to it"], "neg": [f"other text {n} of no use", f"The  answer {n} to it"]}
        for n in range(40)
    ]  # fmt: skip
    rows += [{"query": "", "pos": ["p"], "neg": ["n"]}, {"query": "q", "pos": ["long " * 20_000], "neg": ["n"]}]
    file = folder / "train.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    known = folder / "known"
    (known / "qrels").mkdir(parents=True)
    (known / "corpus.jsonl").write_text(json.dumps({"_id": "d", "text": "the answer 3 to it"}) + "\n")
    (known / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "another question"}) + "\n")
    (known / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    hardneg.audit(
        file,
        HashedWords(),
        against=[known],
        clean=folder / "clean.jsonl",
        output=folder / "found",
        cache=folder / "cache",
    )
    return folder / "found"


def test_every_finding_is_on_the_page(made: Path) -> None:
    report = json.loads((made / "audit.json").read_text())
    text = (made / "audit.html").read_bytes()
    assert len(text) < 2_000_000
    found = [name for name, one in report["findings"].items() if one["count"]]
    assert {"same_as_positive", "empty_query", "long_text", "evaluation_positive"} <= set(found)
    assert re.findall(r'<details id="(\w+)"', text.decode()) == found
    cases = sum(len(one["cases"]) for one in report["findings"].values())
    assert text.decode().count('<div class="panel">') == cases


@pytest.mark.engines
def test_it_is_accessible_asks_for_nothing_and_fits(made: Path) -> None:
    with browsing() as new:
        for scheme, width in (("light", 1280), ("dark", 360)):
            tab = new(color_scheme=scheme, viewport={"width": width, "height": 800})
            tab.open(made / "audit.html")
            tab.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
            assert not tab.wider_than_screen()
            assert tab.violations() == []
            assert tab.page.evaluate("window.broken") is None
            assert tab.complaints == []
            assert tab.requests == []
