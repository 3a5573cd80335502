"""Judgments by people, in three formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardneg.data.answers import Answer, answers_of, by_pair
from hardneg.errors import DataError

LINE = '{"review": "final-1", "query_id": "q", "passage_id": "p", "answer": "%s", "annotator": "ada", "seconds": %s}\n'


def test_three_formats_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(LINE % ("relevant", "1.5"))
    (tmp_path / "b.tsv").write_text("query-id\tcorpus-id\tscore\nq\tp\t1\nq 2\tp 2\t0\n")
    (tmp_path / "c.qrels").write_text("q 0 p 2\nq 0 r -1\n")
    found = answers_of(sorted(tmp_path.iterdir()))
    assert found == [
        Answer(("q", "p"), 1.0, "ada", "final-1", 1.5),
        Answer(("q", "p"), 1.0, "b"),
        Answer(("q 2", "p 2"), 0.0, "b"),
        Answer(("q", "p"), 1.0, "c"),
        Answer(("q", "r"), 0.0, "c"),
    ]


def test_the_later_answer_of_one_person_counts_and_people_are_averaged(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(LINE % ("relevant", "1") + LINE % ("unsure", "null"))
    (tmp_path / "b.tsv").write_text("q\tp\t0\n")
    found = answers_of([tmp_path / "a.jsonl", tmp_path / "b.tsv"])
    assert [answer.value for answer in found] == [0.5, 0.0]
    assert by_pair(found) == {("q", "p"): 0.25}


def test_one_person_in_two_reviews_counts_in_both_and_once_among_people(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text(LINE % ("unsure", "1"))
    second.write_text((LINE % ("not relevant", "1")).replace("final-1", "kept-2"))
    (tmp_path / "c.jsonl").write_text(LINE % ("relevant", "1"))
    (tmp_path / "bob.tsv").write_text("q\tp\t1\n")
    found = answers_of([first, second])
    assert [(answer.review, answer.value) for answer in found] == [("final-1", 0.5), ("kept-2", 0.0)]
    assert by_pair(found) == {("q", "p"): 0.0}
    assert by_pair(answers_of([first, second, tmp_path / "bob.tsv"])) == {("q", "p"): 0.5}
    found = answers_of([first, second, tmp_path / "c.jsonl"])
    assert [(answer.review, answer.value) for answer in found] == [("kept-2", 0.0), ("final-1", 1.0)]
    assert by_pair(found) == {("q", "p"): 1.0}


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.jsonl", LINE % ("maybe", "1"), "a.jsonl:1: `answer` must be one of relevant"),
        ("a.jsonl", '{"query_id": "q", "answer": "unsure"}\n', "a.jsonl:1: the key `passage_id` is missing"),
        ("a.tsv", "q\tp\n", "a.tsv:1: expected three columns"),
        ("a.tsv", "q\tp\t1\nq\tr\tyes\n", "a.tsv:2: the grade must be a whole number, not 'yes'"),
    ],
)
def test_what_is_no_judgment_is_an_error_with_its_line(tmp_path: Path, name: str, text: str, problem: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=problem):
        answers_of([tmp_path / name])
