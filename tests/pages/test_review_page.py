"""The page for judging by hand, in a real browser: keys, what is kept, what is saved, and the rate while judging."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Tab, browsing

from hardneg.data.answers import Answer, answers_of, by_pair
from hardneg.false_negatives import estimate, sample
from hardneg.pages import review
from hardneg.report.review import Design

HOSTILE = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'> \u2028 \u202egnihtemos"
Made = Callable[..., Path]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as new:
        yield new


def design_of(count: int) -> Design:
    rng = np.random.default_rng(0)
    drawn = sample(rng.random(5 * count) ** 4, count, 0)
    items = [(f"q{n % 50}", f"p {n}" if n == 3 else f"p{n}", h) for n, h in enumerate(drawn.strata.tolist())]
    return Design(f"final-{count}", "final", 0, drawn.sizes.tolist(), drawn.expected.tolist(), items)


def cases_of(design: Design) -> list[dict[str, Any]]:
    texts = {0: HOSTILE, 1: "x" * 100_000}
    return [
        {
            "query_id": query,
            "query": f"what is {query}",
            "id": passage,
            "text": texts.get(n, f"passage number {n}"),
            "positives": [f"the answer to {query}", HOSTILE][: 1 + (n == 0)],
            "details": {"found by": "bm25 1", "score by target": "0.5"},
        }
        for n, (query, passage, _) in enumerate(design.items)
    ]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    def make(count: int = 40, **options: Any) -> Path:
        design = design_of(count)
        for name, content in review.pages(design, cases_of(design), "review", **options):
            (tmp_path / name).write_bytes(content)
        return tmp_path / "review.html"

    return make


def press(tab: Tab, keys: str) -> None:
    for key in keys:
        tab.page.keyboard.press(key)


def place(tab: Tab) -> str:
    return str(tab.page.inner_text("#place"))


def saved(tab: Tab, kind: str, folder: Path) -> Path:
    with tab.page.expect_download() as download:
        tab.page.click(f"[data-export={kind}]")
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    return file


def test_a_blind_page_does_not_hold_what_it_hides_and_files_are_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Made
) -> None:
    assert b"bm25 1" not in made().read_bytes()
    assert b"bm25 1" in made(blind=False).read_bytes()
    assert len((Path(review.__file__).parent / "review.js").read_bytes()) < 15_000
    monkeypatch.setattr(review, "LARGEST", review.ROOM + 2_000)
    design = design_of(40)
    files = dict(review.pages(design, cases_of(design), "judge"))
    assert list(files)[:2] == ["judge-001.html", "judge-002.html"]
    found = [json.loads(text.split(b'id="data">')[1].split(b"</script>")[0]) for text in files.values()]
    assert [item["id"] for data in found for item in data["items"]] == [item[1] for item in design.items]
    assert [data["first"] for data in found] == np.cumsum([0, *(len(data["items"]) for data in found)])[:-1].tolist()


@pytest.mark.engines
def test_keys_undo_and_what_is_kept_over_a_reload(browser: Any, made: Made) -> None:
    tab = browser()
    tab.open(made(annotator="ada"))
    press(tab, "102")
    assert place(tab) == "Candidate 4 of 40"
    assert tab.page.inner_text("#status") == "3 of 40 judged, 1 unsure"
    press(tab, "kk")
    assert tab.page.get_attribute("[data-answer='not relevant']", "aria-pressed") == "true"
    press(tab, "1")  # another answer; then on to the next that has none
    assert place(tab) == "Candidate 4 of 40"
    press(tab, "u")
    assert place(tab) == "Candidate 2 of 40"
    assert tab.page.get_attribute("[data-answer='not relevant']", "aria-pressed") == "true"
    press(tab, "jjj0")
    assert "1 passed over" in tab.page.inner_text("#status")
    press(tab, "u?")
    assert tab.page.is_visible("#helping")
    press(tab, "1")
    tab.page.keyboard.press("Escape")
    tab.page.uncheck("#keys")
    press(tab, "1")
    tab.page.check("#keys")
    tab.page.fill("#annotator", "ada1")
    tab.page.fill("#annotator", "ada")
    assert tab.page.inner_text("#status") == "3 of 40 judged, 1 unsure"
    rate = tab.page.inner_text("#rate")
    tab.page.reload()
    assert place(tab) == "Candidate 4 of 40"
    assert tab.page.inner_text("#rate") == rate
    press(tab, "uuuu")
    assert tab.page.inner_text("#status") == "0 of 40 judged"
    assert tab.page.inner_text("#rate") == ""
    press(tab, "1")
    tab.page.fill("#annotator", "bob")
    tab.page.keyboard.press("Tab")
    assert tab.page.inner_text("#status") == "0 of 40 judged", "another name, other answers"
    assert tab.complaints == []


@pytest.mark.engines
def test_the_rate_is_the_one_that_python_computes(browser: Any, made: Made) -> None:
    tab = browser()
    tab.open(made())
    rng = np.random.default_rng(1)
    for _ in range(200):
        strata = int(rng.integers(1, 6))
        sizes = rng.integers(1, 500, strata)
        expected, judged = rng.random(strata) ** 3, rng.binomial(sizes, rng.choice([0, 0.02, 0.3, 1]))
        relevant = rng.binomial(judged, rng.choice([0, 0.01, 0.3, 1]))
        wanted = estimate(sizes, expected, judged, relevant)
        arguments = [array.tolist() for array in (sizes, expected, judged, relevant)]
        found = tab.page.evaluate("(given) => estimate(...given)", arguments)
        assert [found["value"], found["low"], found["high"]] == pytest.approx(
            [wanted.value, wanted.low, wanted.high], abs=1e-12
        )
    press(tab, "1000200010")
    answers = {
        item[:2]: value for item, value in zip(design_of(40).items, [1, 0, 0, 0, 0.5, 0, 0, 0, 1, 0], strict=False)
    }
    share = design_of(40).share(answers)
    value, low, high = (100 * number for number in (share.value, share.low, share.high))
    assert tab.page.inner_text("#rate") == (
        f"False-negative rate of the final set {value:.1f} % (95 % interval {low:.1f} to {high:.1f}) after 9 judgments"
    )


@pytest.mark.engines
def test_what_is_saved_is_read_by_python_and_by_the_page(browser: Any, made: Made, tmp_path: Path) -> None:
    tab = browser(accept_downloads=True)
    page = made(annotator="ada")
    tab.open(page)
    press(tab, "10210")
    design = design_of(40)
    wanted = [1.0, 0.0, 0.5, 1.0, 0.0]
    files = {kind: saved(tab, kind, tmp_path) for kind in ("jsonl", "tsv", "qrels")}
    assert files["jsonl"].name == "final-40-ada.jsonl"
    found = answers_of([files["jsonl"]])
    assert [(a.pair, a.value, a.annotator, a.review) for a in found] == [
        (item[:2], value, "ada", "final-40") for item, value in zip(design.items, wanted, strict=False)
    ]
    assert all(a.seconds is not None and 0 <= a.seconds < 60 for a in found)
    known = {item[:2]: value for item, value in zip(design.items, wanted, strict=False) if value != 0.5}
    assert by_pair(answers_of([files["tsv"]])) == known
    del known["q3", "p 3"]  # TREC's columns are parted by white space
    assert by_pair(answers_of([files["qrels"]])) == known
    assert "2 answers are not in that file" in tab.page.inner_text("#notice")
    assert isinstance(found[0], Answer)

    elsewhere = browser()
    elsewhere.open(page)
    with files["jsonl"].open("a") as file:
        file.write('{"review": "other"}\nno json\n')
    elsewhere.page.set_input_files("#load", files["jsonl"])
    elsewhere.page.wait_for_selector("#notice p")
    assert elsewhere.page.inner_text("#notice") == "5 answers loaded. 2 lines are not about this page."
    assert place(elsewhere) == "Candidate 6 of 40"
    assert elsewhere.page.inner_text("#rate") == tab.page.inner_text("#rate")
    elsewhere.page.reload()
    assert place(elsewhere) == "Candidate 6 of 40"
    elsewhere.page.fill("#annotator", "bob")
    elsewhere.page.set_input_files("#load", files["jsonl"])
    elsewhere.page.wait_for_selector("#notice:has-text('0 answers')")
    assert "5 are somebody else's" in elsewhere.page.inner_text("#notice")
    assert tab.complaints == elsewhere.complaints == []


@pytest.mark.engines
def test_hostile_texts_and_two_thousand_examples(browser: Any, made: Made) -> None:
    page = made(2_000)
    for width, scheme in ((360, "light"), (800, "dark"), (1280, "light")):
        tab = browser(viewport={"width": width, "height": 700}, color_scheme=scheme)
        tab.open(page)
        assert "<script>window.broken" in tab.page.inner_text("#case .candidate")
        assert "\\u202egnihtemos" in tab.page.inner_text("#case .candidate")
        press(tab, "1")
        assert len(tab.page.inner_text("#case .candidate")) < 5_000
        tab.page.click("#case .candidate button")
        assert len(tab.page.inner_text("#case .candidate")) == 100_000
        assert not tab.wider_than_screen()
        assert tab.violations() == []
        press(tab, "0" * 10)
        assert tab.page.inner_text("#status") == "11 of 2000 judged"
        assert tab.page.evaluate("window.broken") is None
        press(tab, "?")
        assert tab.violations() == []
        assert tab.complaints == []
        assert tab.requests == []


@pytest.mark.engines
def test_a_browser_that_keeps_nothing_says_so_and_still_saves(browser: Any, made: Made, tmp_path: Path) -> None:
    tab = browser(accept_downloads=True)
    tab.page.add_init_script("Storage.prototype.setItem = () => { throw new Error('full'); };")
    tab.open(made())
    press(tab, "101")
    assert "does not keep them" in tab.page.inner_text("#kept")
    assert tab.page.inner_text("#status") == "3 of 40 judged"
    assert len(answers_of([saved(tab, "jsonl", tmp_path)])) == 3
