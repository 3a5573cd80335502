"""What decides results is in fingerprints, field by field (`test_neutral` tries what is not in them)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from other_values import FIELDS, PARTS, WORDS, pair_of, part_of
from support import write_data

from hardneg.files.text_lines import Limits
from hardneg.filters.eci_safety import ECISafety
from hardneg.generators.bm25 import BM25
from hardneg.generators.dense import Dense
from hardneg.generators.llm import LLM
from hardneg.generators.random import Random
from hardneg.kinds import described, fingerprint
from hardneg.llm.openai import OpenAI
from hardneg.pipeline import graph
from hardneg.pipeline.graph import Stages, stages_of
from hardneg.pipeline.plan import Plan
from hardneg.prompts import HERE
from hardneg.readers.beir import BEIR
from hardneg.readers.training_file import TrainingFile
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.scorers.cross_encoder import CrossEncoder
from hardneg.scorers.llm_judge import LLMJudge
from hardneg.selectors.top import Top

FILES = {"1. corpus.jsonl": "0" * 64}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the paths of parts lead to."""
    import datasets

    folder = tmp_path_factory.mktemp("places") / "here"
    write_data(folder / "data")
    for split, passage in (("test", "dog"), ("testx", "rain")):
        (folder / "data" / "qrels" / f"{split}.tsv").write_text(f"q1-0\t{passage}\t1\n")
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / "own.jsonl").write_text(json.dumps({"query_id": "q1-0", "candidates": ["rain"]}) + "\n")
    shutil.copy(HERE / "judge.v1.md", folder / "judge.md")
    rows = [datasets.Dataset.from_dict({"query": [q], "positive": ["p"]}) for q in ("one", "two")]
    datasets.DatasetDict(dict(zip(("train", "trainx"), rows, strict=True))).save_to_disk(folder / "dataset")
    return folder


@pytest.fixture(scope="module")
def elsewhere(here: Path) -> Path:
    """The same under another name."""
    return Path(shutil.copytree(here, here.parent / "elsewhere"))


@pytest.fixture(autouse=True)
def extras_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a part says of itself does not need its library."""
    for module in ("hardneg.llm.vllm", "hardneg.generators.dense"):
        monkeypatch.setattr(f"{module}.find_spec", lambda name: name)
    monkeypatch.setattr("hardneg.generators.pgvector.PGVector.identity", lambda self: "what the server holds")


def plan_with(group: str = "", part: Any = None, **changes: Any) -> Plan:
    """A small plan with two waves, in which ``part`` has its place under the name ``part``."""
    members: dict[str, dict[str, Any]] = {
        "generators": {"lexical": BM25(depth=4), "easy": Random(depth=4)},
        "scorers": {name: BiEncoder(encoder=WORDS) for name in ("target", "other", "third")},
        "filters": {name: ECISafety(scorer="target", margin=0.1) for name in ("safe", "veto")},
        "exports": {},
    }
    if group == "encoders":
        group, part = "scorers", BiEncoder(encoder=part)
    elif group == "indexes":
        group, part = "generators", Dense(encoder=WORDS, search=part)
    elif group == "pair_scorers":
        group, part = "scorers", CrossEncoder(model=part)
    elif group == "clients":
        group, part = "generators", LLM(client=part)
    if group in members:
        members[group]["part"] = part
    plan = Plan(
        reader=part if group == "readers" else BEIR(path=Path("data")),
        selector=part if group == "selectors" else Top(scorer="target"),
        target="target",
        controls=("easy",),
        deepen=1,
        **members,
    )
    return replace(plan, **changes)


def differing(one: Stages, other: Stages) -> set[str]:
    """The names of the stages whose fingerprints differ."""
    before = {stage.name: stage.fingerprint for stage in one}
    after = {stage.name: stage.fingerprint for stage in other}
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def after(stages: Stages, roots: Iterable[str]) -> set[str]:
    """Stages of these names and all that take their input from them, at any remove."""
    found = set(roots)
    for stage in stages:
        if found & {inner.name for inner in stage.inputs}:
            found.add(stage.name)
    return found


def own_stages(group: str, stages: Stages) -> set[str]:
    """The stages that the part of `plan_with` is in."""
    if group == "readers":
        return {"read"}
    if group == "selectors":
        return {"select"}
    return {stage.name for stage in stages if "part" in stage.name.split(".")}


def is_neutral(part: Any, name: str) -> bool:
    return any(field.name == name and field.metadata.get("neutral") for field in fields(part))


@pytest.mark.parametrize(("group", "kind", "name"), FIELDS)
def test_every_field_is_in_the_fingerprint_or_neutral(
    group: str, kind: str, name: str, here: Path, elsewhere: Path
) -> None:
    one, other = pair_of(group, kind, name, here, elsewhere)
    assert getattr(one, name) != getattr(other, name)
    before, now = (stages_of(plan_with(group, part), FILES) for part in (one, other))
    if is_neutral(one, name):
        assert fingerprint(described(one)) == fingerprint(described(other))
        found = differing(before, now)
        measures = {"judged": {"evaluate"}, "check": {"recall.part", "evaluate"}}
        assert found == measures.get(name, set()), "what only measures decides nothing"
        return
    assert fingerprint(described(one)) != fingerprint(described(other))
    found, wanted = differing(before, now), set().union(*(after(s, own_stages(group, s)) for s in (before, now)))
    assert found >= wanted > set()
    assert found <= wanted | after(now, ["short.deeper1"] if name == "per_query" else [])


@pytest.mark.parametrize(
    ("group", "kind", "name"), [f for f in FIELDS if f[0] in ("encoders", "pair_scorers", "clients")]
)
def test_cached_numbers_and_answers_are_filed_under_every_field(
    group: str, kind: str, name: str, here: Path, elsewhere: Path
) -> None:
    """The cache knows a model by its identity alone."""
    one, other = pair_of(group, kind, name, here, elsewhere)
    by_content = (kind, name) in {("vllm", "model"), ("vllm", "revision")}  # a folder has no revision
    assert (one.identity() == other.identity()) is (is_neutral(one, name) or by_content)


@pytest.mark.parametrize(("group", "kind"), PARTS)
def test_another_version_of_a_part_is_another_part(
    group: str, kind: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = part_of(group, kind, here)
    before = stages_of(plan_with(group, part), FILES)
    monkeypatch.setattr(type(part), "version", getattr(type(part), "version", 1) + 1, raising=False)
    now = stages_of(plan_with(group, part), FILES)
    assert differing(before, now) >= after(now, own_stages(group, now)) > set()


def test_how_long_a_line_may_be_decides_what_is_skipped(tmp_path: Path) -> None:
    lines = [{"query": "one", "positive": "short"}, {"query": "two", "positive": "long " * 300_000}]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    parts = [TrainingFile(path=file, bad_lines="skip", limits=Limits(line=line)) for line in (1, 2)]
    assert [sum(read.problem is None for read in part.passages()) for part in parts] == [1, 2]
    assert fingerprint(described(parts[0])) != fingerprint(described(parts[1]))


def test_other_content_behind_a_path_is_another_part(here: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(here, tmp_path / "other"))
    (other / "own.jsonl").write_text((other / "own.jsonl").read_text().replace("rain", "rome"))
    (other / "model" / "config.json").write_text("{ }")
    for group, kind in (
        ("generators", "file"),
        ("encoders", "sentence_transformers"),
        ("pair_scorers", "sentence_transformers_cross_encoder"),
        ("clients", "vllm"),
    ):
        assert part_of(group, kind, here).identity() != part_of(group, kind, other).identity()


def own_changes(one: Stages, other: Stages) -> set[str]:
    """The names of the stages that say something else of themselves, whatever their inputs are."""
    before, now = ({stage.name: stage.description for stage in stages} for stages in (one, other))
    return {name for name in {*before, *now} if fingerprint(before.get(name)) != fingerprint(now.get(name))}


def asking_plan(**changes: Any) -> Plan:
    """A plan with all that looks at controls: a judge, a writer that asks again, and a filter that learns."""
    plan = plan_with()
    client = OpenAI(model="any")
    return replace(
        plan,
        generators={**plan.generators, "written": LLM(client=client, rounds=1)},
        scorers={**plan.scorers, "judge": LLMJudge(client=client)},
        filters={**plan.filters, "learnt": ECISafety(scorer="target", percentile=0.5)},
        **changes,
    )


def both_waves(*names: str) -> set[str]:
    return {f"{name}{suffix}" for name in names for suffix in ("", ".deeper1")}


LOOKS_AT_CONTROLS = both_waves("generate.written", "score.judge", "filter.safe", "filter.veto", "filter.learnt") | {
    "learn.filter.learnt",
    "short.deeper1",
    "select",
}


@pytest.mark.parametrize(
    ("first", "then", "where"),
    [
        ({}, {"at": (3,)}, {"evaluate"}),
        ({}, {"sem": False}, {"evaluate"}),
        ({}, {"probe": True}, {"evaluate"}),
        ({"probe": True}, {"loss": "own"}, {"evaluate"}),
        ({"probe": False}, {"loss": "own"}, set()),
        ({}, {"target": "other"}, {"evaluate"}),
        ({}, {"controls": ()}, LOOKS_AT_CONTROLS | {"generate.easy.deeper1"}),
        ({}, {"controls": ("easy", "lexical")}, LOOKS_AT_CONTROLS | {"generate.lexical.deeper1"}),
    ],
)
def test_what_a_job_says_is_in_the_stages_that_it_decides(
    first: Mapping[str, Any], then: Mapping[str, Any], where: set[str]
) -> None:
    one, other = (stages_of(asking_plan(**changes), FILES) for changes in (first, {**first, **then}))
    assert own_changes(one, other) == where
    assert differing(one, other) >= after(other, where)


def test_what_no_part_says_is_in_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = asking_plan()
    before = stages_of(plan, FILES)
    everything = {stage.name for stage in before}
    assert differing(before, stages_of(plan, {"1. corpus.jsonl": "1" * 64})) == everything
    assert differing(before, stages_of(plan, FILES, ["q1"])) == {"select", "evaluate", "provenance"}
    deeper = differing(before, stages_of(replace(plan, deepen=2), FILES))
    assert deeper & everything == {"select", "evaluate", "provenance"}
    turned = replace(plan, generators=dict(reversed(plan.generators.items())))
    assert own_changes(before, stages_of(turned, FILES)) == both_waves("merge")
    stricter = replace(plan, filters={**plan.filters, "safe": ECISafety(scorer="target", margin=0.2)})
    assert own_changes(before, stages_of(stricter, FILES)) == both_waves("filter.safe", "generate.written")
    monkeypatch.setattr("hardneg.pipeline.deeper.DEEPER", 3)
    assert own_changes(before, stages_of(plan, FILES)) == {"generate.lexical.deeper1"}
    monkeypatch.undo()
    monkeypatch.setattr(graph, "SHARD", graph.SHARD + 1)
    assert own_changes(before, stages_of(plan, FILES)) == {"read"}
    assert differing(before, stages_of(plan, FILES)) == everything
