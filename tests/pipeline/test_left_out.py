"""Jobs in which an example kills the processes that work on it: it is found and named, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import deadly
import pytest
from support import files_of, small_shards, write_data

from hardneg.cache.folders import Cache
from hardneg.engines import local
from hardneg.engines.local import Local
from hardneg.errors import HardnegError
from hardneg.generators.bm25 import BM25
from hardneg.pipeline.left_out import culprits
from hardneg.pipeline.plan import Plan
from hardneg.pipeline.run import Pipeline
from hardneg.pipeline.share import Share
from hardneg.pipeline.store import Folder
from hardneg.readers.beir import BEIR
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.scorers.false_negative import FalseNegative
from hardneg.selectors.top import Top
from hardneg.testing import HashedWords

VICTIM = "q2-1"


@pytest.fixture(autouse=True)
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Workers that find the parts of this folder."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    small_shards(monkeypatch)
    yield
    local._stop(local._pool(1))


@pytest.fixture
def pipeline(tmp_path: Path) -> Callable[..., Pipeline]:
    """A job on twelve queries, three shards, with other parts in place of its own."""
    write_data(tmp_path / "data", copies=4)
    (tmp_path / "marks").mkdir()

    def make(name: str = "run", workers: int = 2, **parts: Any) -> Pipeline:
        plan = Plan(
            reader=BEIR(path=tmp_path / "data"),
            generators={"lexical": parts.get("generator") or BM25(depth=4)},
            scorers={"target": BiEncoder(encoder=HashedWords())} | parts.get("scorers", {}),
            filters=parts.get("filters", {}),
            selector=Top(scorer="target", per_query=2),
            target="target",
            deepen=parts.get("deepen", 0),
        )
        return Pipeline(plan, Folder(tmp_path / name), Cache(tmp_path / "cache"), Local(workers=workers))

    return make


def lines(job: Pipeline) -> dict[str, tuple[list[str], list[str]]]:
    """Positives and chosen negatives by query."""
    found = {}
    for batch in job.run().batches:
        assert batch.selection is not None
        for i, name in enumerate(batch.ids):
            own = [p.id for p in next(e for e in batch if e.id == name).positives]
            found[name] = own, batch.passage_ids(batch.selection.of(i))
    return found


def test_a_process_that_dies_once_changes_nothing(pipeline: Callable[..., Pipeline], tmp_path: Path) -> None:
    part = deadly.DeadlyScorer(of=VICTIM, marks=str(tmp_path / "marks"), times=1)
    wanted = lines(pipeline("whole"))
    assert lines(pipeline(scorers={"other": part})) == wanted
    assert len(list((tmp_path / "marks").iterdir())) == 1


@pytest.mark.parametrize(
    ("place", "how", "workers"),
    [
        ("scorers", "kill", 2),
        pytest.param("parts", "kill", 2, marks=pytest.mark.engines),
        ("generator", "memory", 2),
        ("scorers", "memory", 1),
        ("filters", "memory", 1),
    ],
)
def test_an_example_that_always_kills_is_left_out_and_named(
    pipeline: Callable[..., Pipeline], tmp_path: Path, place: str, how: Any, workers: int
) -> None:
    options = {"of": VICTIM, "marks": str(tmp_path / "marks"), "how": how}
    parts: dict[str, Any] = {
        "generator": {"generator": deadly.DeadlyGenerator(**options)},
        "parts": {"generator": deadly.DeadlyPart(**options)},
        "scorers": {"scorers": {"other": deadly.DeadlyScorer(**options)}},
        "filters": {"filters": {"other": deadly.DeadlyFilter(**options)}},
    }[place]
    lexical = {"generator": "generate.lexical", "parts": "generate.lexical.part-2-of-3"}
    stage = {**lexical, "scorers": "score.other", "filters": "filter.other"}[place]
    wanted = lines(pipeline("whole"))
    job = pipeline(workers=workers, **parts)
    found = lines(job)
    assert found == {name: own for name, own in wanted.items() if name != VICTIM}
    report = job.run().report
    assert report["left_out"] == {VICTIM: stage}
    [warning] = [text for text in report["warnings"] if "left out" in text]
    assert f"`{VICTIM}` ({stage})" in warning
    marks = len(list((tmp_path / "marks").iterdir()))
    before = files_of(tmp_path / "run")
    again = pipeline(workers=workers, **parts)
    assert again.run().ran == [], "a second run knows it"
    assert files_of(tmp_path / "run") == before
    assert len(list((tmp_path / "marks").iterdir())) == marks


def test_a_shard_may_be_empty_then(
    pipeline: Callable[..., Pipeline], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("graph", "reading"):
        monkeypatch.setattr(f"hardneg.pipeline.{module}.SHARD", 1)
    wanted = lines(pipeline("whole", 1))
    part = deadly.DeadlyGenerator(of=VICTIM, marks=str(tmp_path / "marks"), how="memory")
    job = pipeline("run", 1, generator=part, deepen=1)
    assert lines(job) == {name: own for name, own in wanted.items() if name != VICTIM}


def test_deeper_waves_go_on_without_it(pipeline: Callable[..., Pipeline], tmp_path: Path) -> None:
    part = deadly.DeadlyGenerator(of=VICTIM, marks=str(tmp_path / "marks"), depth=1, how="memory")
    wanted = lines(pipeline("whole", 1, generator=BM25(depth=1), deepen=2))
    found = lines(pipeline("run", 1, generator=part, deepen=2))
    assert found == {name: own for name, own in wanted.items() if name != VICTIM}


def test_a_scorer_added_later_leaves_its_victim_out_of_what_was_there(
    pipeline: Callable[..., Pipeline], tmp_path: Path
) -> None:
    wanted = lines(pipeline(workers=1))
    part = deadly.DeadlyScorer(of=VICTIM, marks=str(tmp_path / "marks"), how="memory")
    found = lines(pipeline(workers=1, scorers={"other": part}))
    assert found == {name: own for name, own in wanted.items() if name != VICTIM}
    assert lines(pipeline(workers=1)) == wanted, "without it the example is back"


def test_tables_that_lack_an_example_stay_in_line_when_its_killer_is_gone(
    pipeline: Callable[..., Pipeline], tmp_path: Path
) -> None:
    wanted = lines(pipeline("whole", 1))
    part = deadly.DeadlyScorer(of=VICTIM, marks=str(tmp_path / "marks"), how="memory")
    last = {"last": BiEncoder(encoder=HashedWords(dimensions=32))}
    pipeline(workers=1, scorers={"other": part, **last}).run()
    job = pipeline(workers=1, scorers=last)
    assert lines(job) == {name: own for name, own in wanted.items() if name != VICTIM}
    assert job.run().report["left_out"] == {VICTIM: "score.other"}
    fresh = pipeline("fresh", 1, scorers=last)
    fresh.run()
    scores = [
        [
            batch.scores["last"].negatives[batch.candidates_of(i)].tolist()
            for i, name in enumerate(batch.ids)
            if name != VICTIM
        ]
        for batch in fresh.run().batches
    ]
    assert [
        [batch.scores["last"].negatives[batch.candidates_of(i)].tolist() for i in range(len(batch))]
        for batch in job.run().batches
    ] == scores


def test_what_an_interrupted_run_left_out_stays_known(pipeline: Callable[..., Pipeline], tmp_path: Path) -> None:
    part = deadly.DeadlyScorer(of=VICTIM, marks=str(tmp_path / "marks"), how="memory")
    job = pipeline(workers=1, scorers={"other": part})
    wanted = lines(job)
    [folder] = (tmp_path / "run" / "stages").glob("score.other-*")
    (folder / "complete.json").unlink()
    next(folder.glob("part-00002.*.parquet")).unlink()
    assert lines(pipeline(workers=1, scorers={"other": part})) == wanted
    assert pipeline(workers=1, scorers={"other": part}).run().report["left_out"] == {VICTIM: "score.other"}


def test_shares_leave_out_what_one_process_does(pipeline: Callable[..., Pipeline], tmp_path: Path) -> None:
    """Also where one share has the victim, and another one learns from the whole job and completes the stages."""
    part = deadly.DeadlyScorer(of=VICTIM, marks=str(tmp_path / "marks"), how="memory")
    scorers = {"other": part, "doubt": FalseNegative(encoder=HashedWords())}
    whole = pipeline("whole", 1, scorers=scorers).run()
    for index in (2, 1, 3, 2, 1):
        job = pipeline("run", 1, scorers=scorers)
        worked = replace(job, share=Share(index, 3)).work()
    assert worked.ran == ["score.doubt"]
    merged = pipeline("run", 1, scorers=scorers).run()
    assert merged.ran == ["select", "evaluate"]
    assert files_of(tmp_path / "run") == files_of(tmp_path / "whole")
    assert merged.report == whole.report
    assert merged.report["left_out"] == {VICTIM: "score.other"}


def test_a_part_that_has_no_memory_for_anything_is_one_error(pipeline: Callable[..., Pipeline], tmp_path: Path) -> None:
    part = deadly.DeadlyScorer(of="", marks=str(tmp_path / "marks"), how="memory")
    with pytest.raises(HardnegError, match="no example alone is to blame"):
        pipeline(scorers={"other": part}).run()
    with pytest.raises(HardnegError, match="no example alone is to blame"):
        culprits(["a", "b", "c"], lambda groups: groups)
    with pytest.raises(HardnegError, match="no example alone is to blame"):
        culprits(["a", "b", "c"], lambda _: [])


@pytest.mark.parametrize("deadly_ones", [{3}, {0, 999}, {500, 501, 502}])
def test_culprits_are_found_in_few_tries(deadly_ones: set[int]) -> None:
    tries = []

    def lost(groups: Sequence[list[str]]) -> list[list[str]]:
        tries.extend(groups)
        return [group for group in groups if deadly_ones & set(map(int, group))]

    assert culprits([str(n) for n in range(1_000)], lost) == [str(n) for n in sorted(deadly_ones)]
    assert sum(bool(deadly_ones & set(map(int, group))) for group in tries) <= 4 * len(deadly_ones)
