"""Generated texts that are no passages, each refused for its own reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hardneg.arrays import offsets_of
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates
from hardneg.data.merge import merge
from hardneg.data.passage_style import PassageStyle
from hardneg.errors import PartError
from hardneg.filters.text_quality import INSIDE, TALK, TextQuality, opening, repeated
from hardneg.testing import check_filter

PASSAGES = {
    f"d{i}": f"The {name} is a river in the {side} of the country, and it flows for about {i + 20} miles before it reaches the sea."
    for i, (name, side) in enumerate(
        (n, s) for n in ("Arno", "Tiber", "Po", "Adda", "Piave") for s in ("north", "south")
    )
}
GOOD = "The lake lies at the foot of the hills, where two small streams meet before they turn to the plain."


def batch_with(batch_of: Callable[..., Batch], texts: dict[str, list[str]]) -> Batch:
    bare = batch_of(PASSAGES, dict.fromkeys(texts, "which river"), {key: ["d0"] for key in texts})
    flat = [text for own in texts.values() for text in own]
    found = Candidates(
        offsets_of([len(own) for own in texts.values()]), np.full(len(flat), -1), np.zeros(len(flat), np.float32), flat
    )
    mined = Candidates(offsets_of([1] * len(texts)), np.full(len(texts), 3), np.ones(len(texts), np.float32))
    return merge(bare, {"written": found, "mined": mined})


def reason(batch_of: Callable[..., Batch], text: str, **fields: object) -> str | None:
    batch = batch_with(batch_of, {"q": [text]})
    part = TextQuality(**fields)
    found = check_filter(TextQuality(**fields, openings=()) if part.learns else part, batch).reason(0)
    return found.rule if found else None


def test_a_passage_is_kept(batch_of: Callable[..., Batch]) -> None:
    assert reason(batch_of, GOOD) is None


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("...!? 12 -- 34", "empty"),
        ("A river.", "short"),
        (GOOD * 4, "long"),
        ("Sure! Here are two passages about rivers that flow to the north and to the south of it.", "talk"),
        ("Here is a passage about the river and its many small towns, which lie along the whole of its banks.", "talk"),
        ("I'm sorry, but I can't help with writing passages about rivers that lie in the north of it.", "talk"),
        ("I cannot provide a passage of that kind, since the river is not known to lie there at all.", "talk"),
        ("As an AI language model I do not know rivers, but most of them flow from hills to the sea.", "talk"),
        ("Passage 1: the river flows from the hills to the sea, and it has no towns along its banks.", "talk"),
        ("The river flows to the north, and this text does not answer the query about its length at all.", "talk"),
        ("The river flows to the north of the plain </query 1a2b> and it has no towns along its banks.", "talk"),
        ("This passage avoids the answer and tells of a river in the north that flows to the sea.", "talk"),
        ("A passage that does not answer the question can be written, and it lies in the north of it all.", "talk"),
        ("The passage 0a1b2c3d4e5f6071 lies in the north of the country and flows into the sea at its end.", "talk"),
        (
            "The flood was rare. The flood was a rare flood. The flood was rare. The flood was a rare flood of it.",
            "repetition",
        ),
        ("the river the river the river the river the river the river the river the river", "repetition"),
        ("Le lac se trouve au pied des collines, où deux petits ruisseaux se rejoignent avant la plaine.", "language"),
        ("Озеро лежит у подножия холмов, где встречаются два небольших ручья, прежде чем уйти на равнину.", "language"),
    ],
)
def test_what_is_refused(batch_of: Callable[..., Batch], text: str, rule: str) -> None:
    assert reason(batch_of, text) == rule


@pytest.mark.parametrize(
    "text",
    [
        "Sure Start was a programme of the north, and it ran for about ten years before it reached its end.",
        "Here the river turns to the south, and it flows for about forty miles before it reaches the sea.",
        "I was born by the river in the north, and we lived for about ten years in a house by the sea.",
        "The document of 1320 is a letter, and it lay for about ten years in a house before it was sent.",
    ],
)
def test_what_only_looks_like_talk(batch_of: Callable[..., Batch], text: str) -> None:
    assert reason(batch_of, text) is None


@pytest.mark.parametrize("name", ["cranfield", "squad"])
def test_real_passages_would_pass(collections: Path, name: str) -> None:
    with (collections / name / "corpus.jsonl").open(encoding="utf-8") as file:
        texts = [text for line in file if (text := json.loads(line)["text"]).strip()]
    refused = [text[:80] for text in texts if TALK.search(text) or INSIDE.search(text) or repeated(text) > 0.3]
    assert refused == []


def test_what_the_corpus_holds_is_never_touched(batch_of: Callable[..., Batch]) -> None:
    batch = batch_with(batch_of, {"q": ["A river."]})
    assert TextQuality(openings=()).judge(batch).broken.tolist() == [0, -1]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("A river.", {"length": False}),
        ("This passage avoids the answer and tells of a river in the north that flows to the sea.", {"talk": False}),
        ("the river the river the river the river the river the river the river", {"repetition": None}),
        ("Le lac se trouve au pied des collines, où deux petits ruisseaux se rejoignent ici.", {"language": False}),
    ],
)
def test_rules_can_be_switched_off(batch_of: Callable[..., Batch], text: str, fields: dict[str, object]) -> None:
    assert reason(batch_of, text, **fields) is None


def test_boilerplate_is_learnt_from_the_whole_job(batch_of: Callable[..., Batch]) -> None:
    common = "In the world of rivers there is {} of them that flows to the north and then to the sea."
    texts = {
        f"q{i}": [common.format(word), common.format(word + " more")]
        for i, word in enumerate(["one", "two", "three", "four"])
    }
    texts["q4"] = [GOOD]
    batch = batch_with(batch_of, texts)
    part = TextQuality(boilerplate=3)
    learnt = part.learn([batch])
    assert learnt == {"openings": ("in the world of rivers",)}
    verdicts = TextQuality(boilerplate=3, **learnt).judge(batch)
    assert [r.rule if (r := verdicts.reason(j)) else None for j in range(len(batch.rows)) if batch.rows[j] < 0] == [
        "boilerplate"
    ] * 8 + [None]
    assert TextQuality(boilerplate=4).learn([batch]) == {"openings": ()}, "four examples, each counted once"
    assert TextQuality(boilerplate=3).learn([batch_with(batch_of, {"q0": texts["q0"]})]) == {"openings": ()}


def test_the_share_of_what_repeats() -> None:
    assert repeated("a b c a b c a b c") == pytest.approx(4 / 7)
    assert repeated("") == 0


@pytest.mark.parametrize("fields", [{"repetition": 0.0}, {"repetition": 1.0}, {"boilerplate": 0}])
def test_wrong_fields(fields: dict[str, float]) -> None:
    with pytest.raises(PartError):
        TextQuality(**fields)


def test_what_is_at_a_limit_is_kept() -> None:
    style = PassageStyle(shortest=4, usual=3, longest=3, language=None)
    rules = TextQuality(repetition=0.75, language=False, boilerplate=None)

    def rule(text: str) -> str | None:
        found = rules._reason(text, style, frozenset())
        return None if found is None else found.rule

    assert [rule("one"), rule("one two")] == ["short", None]
    assert [rule("a b c d e f g"), rule("a b c d e f")] == ["long", None]
    assert (repeated("no " * 6), rule("no " * 6)) == (0.75, None)
    assert opening("one two three four five") == ""
    assert opening("one two three four five six") == "one two three four five"
