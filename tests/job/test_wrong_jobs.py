"""What a wrong job or wrong data says: one line with the place and the way out, and nothing that is finished is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support import REMOVED, WORDS, as_yaml, changed, files_of, job_on, line_with, write_data

from hardneg.cli import main
from hardneg.job.run_folder import Job


class Wrong(NamedTuple):
    """A change to the job, or to the text of its file, and what is said of it."""

    change: Mapping[str, Any] | Callable[[str], str]
    message: str
    at: str | None = None
    """Words of the line that the message must name."""


class Finished(NamedTuple):
    """A job that has been run, and its folder."""

    job: dict[str, Any]
    folder: Path
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("finished")
    write_data(folder / "data")
    job = job_on()
    (folder / "job.yaml").write_text(as_yaml(job))
    Job.read(folder / "job.yaml").run()
    return Finished(job, folder, files_of(folder / "runs" / "job"))


SEVERAL_LINES = {"a misspelt key", "a misspelt key at the top", "a misspelt key in eci"}
WRONG = {
    "a misspelt key": Wrong(
        {"filters.safe.margn": 0.1, "filters.safe.margin": REMOVED},
        "filters.safe.margn: unknown key `margn`: did you mean `margin`?",
        "margn",
    ),
    "a misspelt key at the top": Wrong(
        {"selekt": {}, "select": REMOVED}, "unknown key `selekt`: did you mean `select`?"
    ),
    "a misspelt key in eci": Wrong({"eci": {"scorr": "target"}}, "unknown key `scorr`: did you mean `scorer`?"),
    "an unknown kind": Wrong(
        {"generators.lexical.kind": "bm52"},
        "generators.lexical: unknown kind 'bm52' of generators: did you mean `bm25`?",
        "lexical:",
    ),
    "no kind": Wrong(
        {"generators.lexical.kind": REMOVED},
        "generators.lexical: expected a mapping with the key `kind`",
        "lexical:",
    ),
    "two documents": Wrong(lambda text: text + "---\nx: 1\n", "a second document begins here", "---"),
    "one key twice": Wrong(lambda text: text + "output: x\n", "the key `output` already appears on line", "output: x"),
    "depth 0": Wrong(
        {"generators.lexical.depth": 0}, "generators.lexical.depth: must be at least 1, not 0", "depth: 0"
    ),
    "a depth that is no number": Wrong(
        {"generators.lexical.depth": "deep"}, "generators.lexical.depth: Input should be a valid integer", "deep"
    ),
    "a nested depth": Wrong(
        {"generators.reranked.candidates.depth": -6},
        "generators.reranked.candidates.depth: must be at least 1, not -6",
        "depth: -6",
    ),
    "an unknown scorer": Wrong(
        {"filters.safe.scorer": "targt"},
        "filters.safe.scorer: no scorer is called `targt`: did you mean `target`?",
        "targt",
    ),
    "an unknown scorer of eci": Wrong(
        {"eci.scorer": "nobody"},
        "eci.scorer: no scorer is called `nobody`; the job's scorers are: `target`, `referee`",
        "nobody",
    ),
    "an unknown scorer of an export": Wrong(
        {"exports.tuples.scorer": "x"}, "exports.tuples.scorer: no scorer is called `x`", "scorer: x"
    ),
    "an unknown scorer of the selector": Wrong(
        {"select.scorer": "targt"}, "select.scorer: no scorer is called `targt`: did you mean `target`?", "targt"
    ),
    "an unknown generator in a quota": Wrong(
        {"select.quota": {"lexicl": 1}}, "select.quota.lexicl: no generator to train on is called `lexicl`", "lexicl"
    ),
    "a control in a quota": Wrong(
        {"select.quota": {"easy": 1}}, "select.quota.easy: no generator to train on is called `easy`", "easy: 1"
    ),
    "an unknown control": Wrong(
        {"controls": ["eazy"]}, "controls: no generator is called `eazy`: did you mean `easy`?", "controls:"
    ),
    "only controls": Wrong(
        {"controls": ["lexical", "semantic", "reranked", "easy"]},
        "there is no generator that is not a control; add one",
    ),
    "controls that are no list": Wrong({"controls": "easy"}, "controls: Input should be a valid tuple", "controls:"),
    "a missing key": Wrong({"eci": REMOVED}, "job.yaml:1: eci: this key is missing"),
    "a missing folder": Wrong({"data.path": "nowhere"}, "there is no such folder"),
    "a missing split": Wrong({"data.split": "dev"}, "the splits here are: train"),
    "a missing model": Wrong(
        {"scorers.target.encoder": {"kind": "sentence_transformers", "model": "/nowhere/at/all"}}, "model folder `"
    ),
    "a tag": Wrong(
        lambda text: text + "x: !!python/object/apply:os.system ['true']\n",
        "the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not for jobs; write the value without it",
    ),
    "not a mapping": Wrong(lambda _: "- a\n- b\n", "a job is a mapping of keys, this is a list"),
    "empty": Wrong(lambda _: "", "the file is empty"),
    "broken yaml": Wrong(lambda _: "data: {kind: beir\nx: 1\n", "job.yaml:2: not valid YAML"),
    "true for a number": Wrong({"generators.lexical.depth": True}, "generators.lexical.depth: expected a number"),
    "a kind that is a list": Wrong({"generators.lexical.kind": ["bm25"]}, "generators.lexical: unknown kind ['bm25']"),
    "a key that is no word": Wrong(
        {"generators.lexical": {"kind": "bm25", 5: 5}}, "generators.lexical.5: unknown key `5`", "5: 5"
    ),
    "more negatives than there are": Wrong(
        {"exports.tuples.negatives": 9}, "exports.tuples.negatives: more than the 2", "negatives: 9"
    ),
    "an impossible date": Wrong(lambda text: text.replace("depth: 5", "depth: 2024-99-99", 1), "valid integer"),
    "workers for no stage": Wrong(
        {"engine": {"kind": "ray", "stages": {"generate.semantics": {"gpus": 1}}}},
        "engine.stages.generate.semantics: no stage is called `generate.semantics`: did you mean `generate.semantic`?",
        "generate.semantics:",
    ),
    "workers of no sense": Wrong(
        {"engine": {"kind": "ray", "concurrency": [4, 2]}}, "engine: `concurrency` must be [min, max]", "engine:"
    ),
    "an odd name": Wrong(lambda text: text.replace("  lexical:", "  ../lexical:"), "a name is made of letters, digits"),
    "the control of an earlier version": Wrong(
        {"generators.easy.control": True},
        "generators.easy.control: name controls beside the generators: `controls: [easy]`",
        "control: true",
    ),
    "a generator called final": Wrong(
        lambda text: text.replace("  lexical:", "  final:"), "`final` is the name of the final set in the report"
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_job_says_where_and_what_to_do(
    finished: Finished, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    wrong, path = WRONG[case], finished.folder / "job.yaml"
    right = as_yaml(finished.job)
    text = wrong.change(right) if callable(wrong.change) else as_yaml(changed(finished.job, wrong.change))
    assert text != right
    path.write_text(text)
    assert main(["run", str(path)]) == 2
    printed = capsys.readouterr().err
    message = wrong.message if wrong.at is None else f"job.yaml:{line_with(text, wrong.at)}: {wrong.message}"
    assert message.replace("job.yaml", str(path)) in printed
    assert len(printed.splitlines()) == 1 or case in SEVERAL_LINES
    assert "Traceback" not in printed
    assert files_of(finished.folder / "runs" / "job") == finished.files


def test_a_model_that_is_written_twice_is_one_anchor(finished: Finished) -> None:
    """Guards the tests themselves: the jobs that they write are those that users write."""
    assert "encoder: &id" in as_yaml(finished.job)
    assert "encoder: *id" in as_yaml(finished.job)
    assert as_yaml(finished.job).count(WORDS["kind"]) == 2  # the target's, and the referee's own


def test_nothing_behind_an_optional_key_is_nothing(make_job: Callable[..., Path]) -> None:
    path = make_job()
    path.write_text(as_yaml(changed(job_on(), {"filters": None, "controls": None, "exports": None})))
    plan = Job.read(path).plan
    assert dict(plan.filters) == dict(plan.exports) == {}
    assert plan.controls == ()


BAD_DATA = {
    "a line cut in half": ("corpus.jsonl", b'{"_id": "x", "te', r"corpus.jsonl:1: broken JSON"),
    "invalid utf-8": ("queries.jsonl", b'{"_id": "q1-0", "text": "\xff"}\n', r"queries.jsonl:1: byte 26 of the line is not UTF-8"),
    "a duplicate passage": ("corpus.jsonl", b'{"_id": "x", "text": "a"}\n{"_id": "x", "text": "b"}\n', "corpus.jsonl:2: passage id `x` already appears on line 1"),
    "an unknown passage": ("qrels/train.tsv", b"h\nq1-0\tnowhere\t1\n", "train.tsv:2: corpus id `nowhere` is not in corpus.jsonl"),
    "a query of white space": ("queries.jsonl", b'{"_id": "q1-0", "text": " \\n"}\n{"_id": "q2-0", "text": "a"}\n{"_id": "q3-0", "text": "b"}\n', "queries.jsonl:1: the text of query `q1-0` is empty"),
    "no positives": ("qrels/train.tsv", b"h\nq1-0\tcat\t0\n", "no query has a positive (1 times: query without a positive; 2 times"),
    "no queries": ("queries.jsonl", b"", "train.tsv:2: query id `q1-0` is not in queries.jsonl"),
}  # fmt: skip


@pytest.fixture
def right_data(finished: Finished) -> Iterator[Path]:
    """The job's data, put right again afterwards."""
    data = finished.folder / "data"
    shutil.copytree(data, finished.folder / "kept")
    yield data
    shutil.rmtree(data)
    (finished.folder / "kept").rename(data)


@pytest.mark.parametrize("case", BAD_DATA)
def test_wrong_data_says_where_and_leaves_finished_stages(
    finished: Finished, right_data: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    path = finished.folder / "job.yaml"
    path.write_text(as_yaml(finished.job))
    file, content, message = BAD_DATA[case]
    (right_data / file).write_bytes(content)
    assert main(["run", str(path)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert files_of(finished.folder / "runs" / "job") == finished.files


def test_nan_in_a_file_of_candidates(
    make_job: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.run").write_text("q1-0 Q0 dog 1 nan me\n")
    found = {"kind": "file", "path": str(tmp_path / "x.run")}
    assert main(["run", str(make_job(changes={"generators.lexical": found}))]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "x.run:1: the score of passage `dog` is 'nan'; scores must be finite numbers" in line


def test_the_folder_of_another_job_or_of_something_else(
    make_job: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Job.read(make_job()).run()
    before = files_of(tmp_path / "runs" / "job")
    write_data(tmp_path / "other-data")
    other = make_job("other", data=tmp_path / "other-data", output=tmp_path / "runs" / "job")
    assert main(["run", str(other)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "is the folder of another job, on other data" in line
    assert "choose another `output`" in line
    assert files_of(tmp_path / "runs" / "job") == before
    assert main(["run", str(make_job("third", output=tmp_path / "data"))]) == 2
    assert "holds files and is not the folder of a run" in capsys.readouterr().err
