"""A job that several processes work on side by side, each with a share of the shards: the bytes are one process's."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from support import REMOVED, WORDS, Listener, small_shards, write_data
from twelve import alone, bytes_of

from hardneg.cli import main
from hardneg.errors import HardnegError, JobError
from hardneg.job.run_folder import Job
from hardneg.job.shares import ranges
from hardneg.llm.answer_log import answers_of
from hardneg.pipeline.share import Share
from hardneg.testing import FaultServer

Make = Callable[..., Path]

CHANGES = {
    "scorers.doubt": {"kind": "false_negative", "encoder": WORDS},
    "filters.calm": {"kind": "eci_safety", "scorer": "doubt", "calibrated": 0.35},
    "generators.lexical.depth": 1,
    "generators.semantic.depth": 1,
    "eci.sem": False,
} | dict.fromkeys(
    ("generators.reranked", "scorers.referee", "filters.veto", "filters.copies", "exports.flag", "exports.tuples"),
    REMOVED,
)
"""A scorer that learns from the whole job in the middle of it, so few candidates that the search goes deeper, and
nothing that is beside the point."""


def merged(job: Path) -> list[str]:
    """Merges a job. Returns what that computed."""
    assert main(["merge", str(job)]) == 0
    ran: list[str] = json.loads((job.parent / "runs" / job.stem / "manifest.json").read_text())["ran"]
    return ran


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process makes of them."""
    found, ran = alone(tmp_path_factory.mktemp("reference"), CHANGES)
    assert {"learn.scorer.doubt", "score.doubt.deeper1"} <= set(ran), "the job has what makes it hard to share"
    return found


@pytest.fixture
def shared(make_job: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same job in a folder of its own, not run yet."""
    small_shards(monkeypatch)
    write_data(tmp_path / "data", copies=4)
    return make_job(changes=CHANGES)


@pytest.mark.parametrize(
    ("count", "order"),
    [(3, [3, 1, 2, 3, 1]), (7, [5, 1, 7, 3, 2, 6, 4])],
)
def test_shares_in_any_order_are_equal_to_one_run(
    shared: Path, tmp_path: Path, reference: dict[str, bytes], count: int, order: Sequence[int]
) -> None:
    """Also more shares than shards, and shares that are done twice, in the second round what had to wait."""
    worked = [Job.read(shared).work(Share(index, count)) for index in order]
    assert worked[0].ran[0] == "read"
    assert not any("read" in each.ran for each in worked[1:]), "it is read once"
    ran = merged(shared)
    assert bytes_of(tmp_path / "runs" / "job") == reference
    assert not {"read", "generate.lexical", "generate.semantic", "merge", "score.target"} & set(ran)


def test_what_needs_the_whole_job_is_done_by_the_last_and_used_by_all(shared: Path) -> None:
    first = Job.read(shared).work(Share(2, 2))
    assert (first.shards, first.of) == (1, 3)
    assert first.waiting["score.doubt"] == ["learn.scorer.doubt"]
    assert "filter.safe" in first.ran
    last = Job.read(shared).work(Share(1, 2))
    assert {"learn.scorer.doubt", "score.doubt", "score.doubt.deeper1"} <= set(last.ran)
    assert last.waiting == {}
    again = Job.read(shared).work(Share(2, 2))
    assert again.ran[:2] == ["score.doubt", "filter.calm"]
    assert Job.read(shared).work(Share(2, 2)).ran in ([], ["short.deeper1", "short.deeper2"])
    assert merged(shared)[-1] == "export.all"


def test_what_comes_after_it_is_left_to_the_merge_where_nobody_does_it(
    shared: Path, tmp_path: Path, reference: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    for index in (1, 2):
        assert main(["run", str(shared), "--shard", f"{index}/2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("--shard 1/2: 2 of 3 shards; computed: read, generate.lexical, ")
    assert f"learn.scorer.doubt needs every shard of the job: when the other shares are done too, this command goes on, or `hardneg merge {shared}`" in out  # fmt: skip
    assert main(["merge", str(shared)]) == 0
    assert "score.doubt, filter.calm: left to this process; the shares, run once more" in capsys.readouterr().err
    assert bytes_of(tmp_path / "runs" / "job") == reference


def test_a_merge_that_comes_too_early_says_which_commands_are_missing(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["merge", str(shared)]) == 1
    assert "no share of the job is done; run `hardneg run" in capsys.readouterr().err
    assert main(["run", str(shared), "--shard", "2/3"]) == 0
    capsys.readouterr()
    assert main(["merge", str(shared)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line == (
        f"hardneg: {shared}: 2 of 3 shards are not done (shards 0,2: generate.lexical, generate.semantic, "
        "generate.easy, merge and 3 more stages); run "
        f"`hardneg run {shared} --shard 1/3`, `hardneg run {shared} --shard 3/3`, and merge again"
    )


def test_commands_that_are_missing_name_what_was_set(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["merge", str(shared), "--set", "output=runs/other"]) == 1
    assert f"run `hardneg run {shared} --set=output=runs/other --shard 1/N`" in capsys.readouterr().err


def test_many_commands_are_told_as_ranges(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("graph", "reading"):
        monkeypatch.setattr(f"hardneg.pipeline.{module}.SHARD", 1)
    Job.read(shared).work(Share(4, 9, "generate.easy"))
    with pytest.raises(HardnegError, match=r"`hardneg run \S+ --shard I/9` for I in 1-9, and merge again"):
        Job.read(shared).merge()
    assert ranges([12]) == "12"


def test_one_stage_alone(shared: Path, tmp_path: Path, reference: dict[str, bytes]) -> None:
    worked = Job.read(shared).work(Share(1, 2, "generate.semantic"))
    assert worked.ran == ["read", "generate.semantic"]
    with pytest.raises(
        HardnegError, match=r"merge cannot begin in share 1/2: `generate.lexical`, .* must be there first"
    ):
        Job.read(shared).work(Share(1, 2, "merge"))
    with pytest.raises(JobError, match="--stage select: no share of the job is enough for it; `hardneg merge"):
        Job.read(shared).work(Share(1, 2, "select"))
    with pytest.raises(JobError, match=r"the job has no such stage; there are `generate\.lexical`"):
        Job.read(shared).work(Share(1, 2, "generate.semantik"))
    assert main(["run", str(shared), "--stage", "generate.semantic"]) == 0
    assert Job.read(shared).run().ran[0] == "generate.lexical"
    assert bytes_of(tmp_path / "runs" / "job") == reference


@pytest.mark.parametrize(
    ("text", "way_out"),
    [
        ("0/16", r"within 1/16 and 16/16, not '0/16'; counted from 0 \(Kubernetes\), add 1"),
        ("17/16", "within 1/16 and 16/16"),
        ("0/0", "within 1/0"),
        ("3", "as in 3/16, not '3'"),
        ("-1/4", "as in 3/16"),
        ("a/b", "as in 3/16"),
    ],
)
def test_a_share_that_there_cannot_be(
    make_job: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, way_out: str
) -> None:
    assert main(["run", str(make_job()), f"--shard={text}"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert re.search(way_out, line)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("other", "share", "problem"),
    [
        (None, Share(1, 2), "another run is going on in this folder"),
        (Share(1, 2), None, "another process works on `--shard 1/2`; wait for it$"),
        (Share(1, 2), Share(1, 2), "another process works on `--shard 1/2`; wait for it or choose another `output`"),
        (Share(1, 2), Share(1, 2, "merge"), "another process works on `--shard 1/2`; wait for it$"),
        (Share(1, 2, "merge"), Share(1, 2), "another process works on `--shard 1/2 --stage merge`"),
        (Share(1, 2), Share(2, 3), "another process works on `--shard 1/2`; wait for it, or use its count"),
        (Share(1, 2), Share(2, 2), None),
        (Share(1, 2, "merge"), Share(1, 2, "generate.easy"), None),
    ],
)
def test_who_may_work_in_a_folder_at_the_same_time(
    shared: Path, other: Share | None, share: Share | None, problem: str | None
) -> None:
    job = Job.read(shared)
    with job.opened(other):
        if problem is None:
            with Job.read(shared).opened(share):
                return
        with pytest.raises(JobError, match=problem), Job.read(shared).opened(share):
            pass
    with Job.read(shared).opened(share):  # what is over is in nobody's way
        pass


def test_who_waits_for_what_is_shown(shared: Path, tmp_path: Path) -> None:
    """A share whose corpus another process reads waits, says so, and does not read it again."""
    from hardneg import progress

    job = Job.read(shared)
    stage = job.pipeline.stages.read
    lock: FileLock = job.pipeline.cache.lock("read", stage.fingerprint)

    lock.acquire()
    listener = Listener(lambda title: lock.release() if title.startswith("wait") else None)
    with progress.listening(listener):
        job.work(Share(1, 2))
    assert listener.titles[0] == "wait for another process: read"


def test_results_as_json(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(shared), "--shard", "7/7", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found == {"share": "--shard 7/7", "shards": 0, "of": 3, "ran": ["read"], "waiting": {}}
    assert main(["run", str(shared), "--shard", "1/7", "--qrels", "x"]) == 2


def written(body: dict[str, Any]) -> str:
    said = body["messages"][1]["content"]
    return json.dumps({"negatives": [f"a small town number {sum(map(ord, said)) % 1_000} in the rain"]})


@pytest.fixture
def asking(make_job: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_answers: None) -> Make:
    """A job on twelve queries, for each of which a language model writes a text."""
    small_shards(monkeypatch)
    write_data(tmp_path / "data", copies=4)

    def make(server: FaultServer, name: str, **budget: Any) -> Path:
        client = {"kind": "openai", "base_url": server.url, "model": "any", "timeout": 5}
        llm = {"kind": "llm", "per_query": 1, "context": "lexical", "client": client}
        parts = {"generators.written": llm, "budget": budget, "deepen": 0, "cache": f"cache-{name}"}
        answers_of.cache_clear()
        return make_job(name, CHANGES | parts)

    return make


def test_shares_ask_a_language_model_each_for_its_own_and_within_its_part_of_the_budget(
    asking: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultServer(answer=written) as server:
        assert main(["run", str(asking(server, "one", max_tokens=100_000))]) == 0
        wanted, sent = server.sent.total(), len(server.bodies)
        capsys.readouterr()
        many = asking(server, "many", max_tokens=100_000)
        for index, part in ((2, "1 of 3 shards may use 33,333"), (1, "2 of 3 shards may use 66,666")):
            answers_of.cache_clear()
            assert main(["run", str(many), "--shard", f"{index}/2"]) == 0
            assert f"budget: {part} of 100,000 tokens" in capsys.readouterr().err
        answers_of.cache_clear()
        assert server.sent.total() == 2 * wanted
        assert "generate.written" not in merged(many)
        assert len(server.bodies) == 2 * sent, "the merge asks nothing"
    one, other = (bytes_of(tmp_path / "runs" / name) for name in ("one", "many"))
    assert {k: v for k, v in one.items() if "README" not in k} == {k: v for k, v in other.items() if "README" not in k}


def test_shares_together_stay_within_the_budget(asking: Make, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultServer(answer=written) as server:
        job = asking(server, "job", max_tokens=7_500)
        spent = []
        for index in (1, 2, 3):
            answers_of.cache_clear()
            assert main(["run", str(job), "--shard", f"{index}/3", "--stage", "generate.lexical"]) == 0
            assert main(["run", str(job), "--shard", f"{index}/3", "--stage", "generate.written"]) == 1
            found = re.search(r"the budget of this share is used up \(([\d,]+) tokens\)", capsys.readouterr().err)
            assert found is not None
            spent.append(int(found[1].replace(",", "")))
        assert 0 < sum(spent) <= 7_500
        assert max(spent) <= 2_500


def test_a_share_asks_no_faster_than_its_part_of_the_rate(asking: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 100 a minute, a third of the shards may send three at once and then one every two seconds."""
    times: list[float] = []

    def timed(body: dict[str, Any]) -> str:
        times.append(time.monotonic())
        return written(body)

    with FaultServer(answer=timed) as server:
        job = asking(server, "job")
        rate = "--set=generators.written.client.requests_per_minute=100"
        assert main(["run", str(job), "--shard", "2/2", rate]) == 0
    assert "`any`: 1 of 3 shards may send 33.33 of 100 requests a minute" in capsys.readouterr().err
    assert len(times) == 4
    assert times[-1] - times[0] > 1, "ten at once in the whole job"
