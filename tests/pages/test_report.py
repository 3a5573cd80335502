"""The page of a run: what it says, how large it gets, and how it behaves in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import Tab, browsing
from support import PASSAGES, POSITIVES, REMOVED, as_yaml, changed, job_on, write_data

from hardneg.cli import main
from hardneg.job.report_page import run_in
from hardneg.job.run_folder import Job
from hardneg.pages.flow import flow
from hardneg.pages.report_page import Run, report_page

MakeJob = Callable[..., Path]
HOSTILE = (
    "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'> \u2028 \u202egnihtemos \x1b[31m"
)
CALIBRATED = {
    "scorers.doubt": {"kind": "false_negative", "encoder": {"kind": "hashed_words"}},
    "filters.doubtful": {"kind": "eci_safety", "scorer": "doubt", "calibrated": 0.5},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run on twelve queries, with probabilities and judgments."""
    folder = tmp_path_factory.mktemp("run")
    write_data(folder / "data", copies=4)
    (folder / "job.yaml").write_text(as_yaml(changed(job_on(), CALIBRATED | {"data.judged": "train"})))
    Job.read(folder / "job.yaml").run()
    return run_in(folder / "runs" / "job", "job")


def many(run: Run, count: int, text: str = "") -> Run:
    """The run with ``count`` examples, made of its own; ``text`` stands before each of their texts."""
    made = []
    for number in range(count):
        one = json.loads(json.dumps(run.examples[number % len(run.examples)]))
        one["id"] = f"q{number}"
        for passage in (*one["positives"], *one["candidates"]):
            passage["text"] = text + passage["text"]
        made.append(one)
    return Run(run.name, run.report, run.manifest, run.job, made)


def test_counts_add_up_from_generators_to_the_final_set(run: Run) -> None:
    counts, groups = run.report["counts"], {group["name"]: group["rows"] for group in flow(run.report)}
    found = groups["Found"]
    trained = [row for row in found if row["name"] in ("lexical", "semantic", "reranked")]
    [twice] = [row for row in found if row["name"] == "found more than once"]
    assert sum(row["count"] for row in trained) + twice["change"] == found[-1]["count"] == counts["candidates"]
    left = counts["candidates"]
    for row in groups["Left by the filters, in their order"]:
        left += row["change"]
        assert row["count"] == left
    assert left == counts["kept"]
    [chosen] = groups["Chosen"]
    assert left + chosen["change"] == chosen["count"] == counts["chosen"]


def test_who_found_what_is_in_the_report(run: Run) -> None:
    found, generated = run.report["found_by"], run.report["generated"]
    names, both = found["generators"], found["candidates"]["both"]
    assert [both[i][i] for i in range(len(names))] == [generated[name] for name in names]
    assert all(both[i][j] == both[j][i] <= both[i][i] for i in range(len(names)) for j in range(len(names)))
    assert all(alone <= both[i][i] for i, alone in enumerate(found["candidates"]["alone"]))


def test_histograms_have_every_candidate(run: Run) -> None:
    counts, similar = run.report["counts"], run.report["similarities"]["counts"]
    assert sum(similar["positives"]) == counts["positives"]
    for what in ("candidates", "kept", "chosen"):
        assert sum(similar[what]) == counts[what]
    assert sum(similar["refused"]) == counts["candidates"] - counts["kept"]
    looked_at = run.report["similarities"]["filters"]["doubtful"]["counts"]
    assert sum(looked_at["refused"]) == run.report["dropped"]["doubtful"]["all"]
    assert sum(row["count"] for row in run.report["reliability"]) == counts["candidates"]


def test_sources_may_be_called_anything(make_job: MakeJob, tmp_path: Path) -> None:
    names = {"generators.positives": {"kind": "random", "depth": 3}, "generators.all": {"kind": "random", "depth": 2}}
    report = Job.read(make_job(changes=names)).run().report
    similar, generated = report["similarities"], report["generated"]
    assert sum(similar["counts"]["candidates"]) == report["counts"]["candidates"]
    assert {name: sum(own["candidates"]) for name, own in similar["sources"].items()} == generated


def test_a_job_can_leave_the_page_out(make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "runs" / "job" / "report.html"
    assert main(["run", str(make_job())]) == 0
    assert str(page) in capsys.readouterr().out.splitlines()[-1]
    assert page.is_file()
    assert main(["run", str(make_job(report=False))]) == 0
    assert "report.html" not in capsys.readouterr().out
    assert not page.exists()


def test_the_same_run_gives_the_same_page(make_job: MakeJob, tmp_path: Path) -> None:
    write_data(tmp_path / "data", copies=4)
    pages = []
    for name, workers in (("one", 1), ("two", 2)):
        Job.read(make_job(name, changes=CALIBRATED, workers=workers, output=tmp_path / name / "run")).run()
        run = run_in(tmp_path / name / "run", "run")
        stages = {name: {**stage, "seconds": 0, "peak_memory": 0} for name, stage in run.manifest["stages"].items()}
        manifest = {**run.manifest, "stages": stages, "seconds": 0, "job": {"sha256": ""}}
        pages.append(report_page([Run(run.name, run.report, manifest, "", run.examples)]))
    assert pages[0] == pages[1]


def test_the_command_writes_one_run_or_several(
    make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make_job("first"), make_job("second", margin=0.1)
    for job in (first, second):
        Job.read(job).run()
    page = tmp_path / "runs" / "first" / "report.html"
    page.unlink()
    monkeypatch.setattr("webbrowser.open", lambda address: print("opened", address))
    assert main(["report", str(first), "--open"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(page), f"opened {page.as_uri()}"]
    both = tmp_path / "both.html"
    assert main(["report", str(first), str(tmp_path / "runs" / "second"), "--output", str(both)]) == 0
    text = both.read_text()
    assert text.count("<h3>first</h3>") == text.count("<h3>second</h3>") == 5
    assert main(["report", str(tmp_path)]) == 2
    assert f"{tmp_path}: there is no report.json; name the `output` folder" in capsys.readouterr().err


def test_tune_draws_its_curves_into_the_page_until_what_they_show_changes(
    make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, page = make_job(changes={"filters.veto": REMOVED}), tmp_path / "runs" / "job" / "report.html"
    Job.read(path).run()
    assert b"threshold of margin" not in page.read_bytes()
    assert main(["tune", str(path)]) == 0
    assert b"threshold of margin" in page.read_bytes()
    Job.read(make_job(changes={"filters.veto": REMOVED}, margin=0.2)).run()
    assert b"threshold of margin" in page.read_bytes(), "its own threshold changes nothing in the curves"
    assert "in force (0.2)" in page.read_text(), "the line is where the threshold is now"
    Job.read(make_job(changes={"filters.veto": REMOVED, "select.per_query": 1})).run()
    assert b"threshold of margin" not in page.read_bytes(), "short of another number"
    Job.read(make_job(changes={"filters.veto": REMOVED})).run()
    assert b"threshold of margin" in page.read_bytes()
    broken = tmp_path / "runs" / "job" / "tune" / "broken.json"
    broken.write_text("{")
    assert main(["report", str(path)]) == 0
    assert "broken.json: not shown on the page" in capsys.readouterr().err
    broken.unlink()
    Job.read(make_job(changes={"filters.veto": REMOVED, "filters.copies": REMOVED})).run()
    assert b"threshold of margin" not in page.read_bytes()


def test_lost_examples_are_no_mistake(make_job: MakeJob, tmp_path: Path) -> None:
    path = make_job()
    Job.read(path).run()
    [shard] = (tmp_path / "runs" / "job" / "stages").glob("evaluate-*/part-*.parquet")
    shard.write_bytes(b"damaged")
    assert main(["report", str(path)]) == 0
    assert b"No examples were kept" in (tmp_path / "runs" / "job" / "report.html").read_bytes()
    with pytest.warns(UserWarning, match="has changed since it was written"):
        Job.read(path).run()
    assert b"No examples were kept" not in (tmp_path / "runs" / "job" / "report.html").read_bytes()


def long_texts(folder: Path, queries: int) -> None:
    """A collection whose every text has 100 kB, of characters that take most room in a page."""
    (folder / "qrels").mkdir(parents=True)
    text = "<" * 50_000 + "\x01" * 25_000 + "\U0001f600" * 25_000
    corpus = [{"_id": "<" * 300 + str(n), "text": f"word{n} {text}"} for n in range(12)]
    asked = [{"_id": f"q{n}", "text": f"word{n % 12} {text}"} for n in range(queries)]
    for name, records in (("corpus", corpus), ("queries", asked)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    lines = [f"q{n}\t{'<' * 300}{n % 12}\t1" for n in range(queries)]
    (folder / "qrels" / "train.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n")


def test_no_text_makes_the_page_larger_than_two_megabytes(make_job: MakeJob, tmp_path: Path) -> None:
    long_texts(tmp_path / "data", queries=6)
    slow = (
        "generators.reranked",
        "scorers.referee",
        "filters.veto",
        "filters.repeats",
        "filters.copies",
        "exports.all",
    )
    Job.read(make_job(changes=dict.fromkeys(slow, REMOVED))).run()
    run = run_in(tmp_path / "runs" / "job", "job")
    assert len(run.examples) == 6
    assert all(one["candidates"] for one in run.examples)
    assert len(report_page([many(run, 200)])) < 2_000_000


def test_own_script_is_under_15_kilobytes(run: Run) -> None:
    scripts = re.findall(r"<script>(.*?)</script>", report_page([run]).decode(), re.DOTALL)
    assert sum(len(script.encode()) for script in scripts) < 15_000


@pytest.fixture(scope="module")
def tab() -> Iterator[Callable[..., Tab]]:
    with browsing() as new:
        yield new


def written(tmp_path: Path, *runs: Run) -> Path:
    file = tmp_path / "page.html"
    file.write_bytes(report_page(list(runs)))
    return file


def visible_ids(opened: Tab) -> list[str]:
    told: list[str] = opened.page.eval_on_selector_all(
        ".example > summary > .quiet", "found => found.map(one => one.textContent.split(' · ')[0])"
    )
    return told


@pytest.mark.engines
@pytest.mark.parametrize(("scheme", "width"), [("light", 360), ("dark", 1280)])
def test_it_is_accessible_asks_for_nothing_and_fits(
    tab: Callable[..., Tab], run: Run, tmp_path: Path, scheme: str, width: int
) -> None:
    opened = tab(color_scheme=scheme, viewport={"width": width, "height": 800})
    opened.open(written(tmp_path, run))
    opened.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    opened.page.wait_for_selector(".example:last-child .passages")
    assert opened.violations() == []
    assert opened.complaints == []
    assert opened.requests == []
    assert not opened.wider_than_screen()


@pytest.mark.engines
def test_several_runs_side_by_side_are_accessible_too(tab: Callable[..., Tab], run: Run, tmp_path: Path) -> None:
    other = Run("other", run.report, run.manifest, run.job, run.examples)
    opened = tab(viewport={"width": 360, "height": 800})
    opened.open(written(tmp_path, run, other))
    assert (opened.violations(), opened.complaints, opened.wider_than_screen()) == ([], [], False)
    opened.page.select_option("#run", "other")
    assert f"{len(run.examples)} of {2 * len(run.examples)} examples" in opened.page.inner_text("#status")


@pytest.mark.engines
def test_pages_keys_search_and_filters(tab: Callable[..., Tab], run: Run, tmp_path: Path) -> None:
    opened = tab()
    opened.open(written(tmp_path, many(run, 2_000)))  # ten times what a run keeps: 200 of them are shown
    page, press = opened.page, opened.page.keyboard.press
    seen = []
    while True:
        seen += visible_ids(opened)
        if page.is_disabled("#next"):
            break
        page.click("#next")
    assert seen == [f"q{number}" for number in range(0, 2_000, 10)]
    assert page.inner_text("#place") == "page 4 of 4"
    press("p")
    assert page.inner_text("#place") == "page 3 of 4"
    press("j")
    press("j")
    press("k")
    assert page.evaluate("document.activeElement.textContent.includes('q1010 ')")
    press("Enter")
    assert page.locator(".example[open] .is-positive").count() == len(
        run.examples[1010 % len(run.examples)]["positives"]
    )
    press("?")
    assert page.is_visible("#help")
    press("Escape")
    assert not page.is_visible("#help")
    press("/")
    page.keyboard.type("Q1990")
    assert visible_ids(opened) == ["q1990"]
    assert page.inner_text("#status") == "1 of 200 examples"
    page.fill("#search", "nothing has this")
    assert visible_ids(opened) == []
    page.fill("#search", "")
    page.select_option("#filter", "safe")
    page.click("#open-all")
    assert page.locator(".is-refused").count() > 0
    assert page.locator(".is-chosen").count() == 0, "only what the filter refused"
    page.select_option("#filter", "")
    page.select_option("#source", "lexical")
    heads = page.eval_on_selector_all(".passages li:not(.is-positive)", "all => all.map(one => one.textContent)")
    assert heads
    assert all("lexical at rank" in head for head in heads)
    page.select_option("#source", "")
    page.select_option("#reason", "same text")
    assert all("same text" in text for text in page.locator(".is-refused").all_inner_texts())
    page.select_option("#reason", "")
    page.select_option("#order", "most refused first")
    counts = [
        int(re.search(r"(\d+) refused", text)[1]) for text in page.locator(".example > summary").all_inner_texts()
    ]  # type: ignore[index]
    assert counts == sorted(counts, reverse=True)
    assert page.locator("mark").count() > 3
    assert opened.complaints == []


@pytest.mark.engines
def test_hostile_passages_are_shown_and_do_nothing(tab: Callable[..., Tab], make_job: MakeJob, tmp_path: Path) -> None:
    folder = write_data(tmp_path / "data")
    texts = {name: f"{text} {HOSTILE} {'x' * 100_000 if name == 'cat' else ''}" for name, text in PASSAGES.items()}
    asked = {f"{query}-0": f"{query} {HOSTILE}" for query in POSITIVES}
    for name, records in (("corpus", texts), ("queries", asked)):
        lines = [json.dumps({"_id": one, "text": text}) for one, text in records.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    Job.read(make_job()).run()
    run = run_in(tmp_path / "runs" / "job", HOSTILE)
    examples = json.loads(json.dumps(run.examples))
    examples[0]["query"] = "\ud800" + examples[0]["query"]
    opened = tab(viewport={"width": 360, "height": 800})
    opened.open(written(tmp_path, Run(run.name, run.report, run.manifest, run.job + HOSTILE, examples)))
    opened.page.click("#open-all")
    assert opened.page.evaluate("window.broken") is None
    shown = opened.page.inner_text("#list")
    assert "</script><script>window.broken = 1</script>" in shown
    assert "\\u202egnihtemos" in shown
    assert "\\ud800" in shown
    assert "\u202e" not in opened.page.inner_text("body")
    assert opened.violations() == []
    assert (opened.complaints, opened.requests, opened.wider_than_screen()) == ([], [], False)
