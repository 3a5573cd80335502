"""A record without some of its passages, with all that belongs to them, in the shape that it had."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from hardneg.auditing.scores import Place
from hardneg.data.training_rows import Row, Text

Short = Literal["repeat", "drop"]


def without(record: dict[str, Any], row: Row, gone: Collection[Place], short: Short) -> dict[str, Any] | None:
    """The record without the passages in these places. None where no positive or no negative would be left of some.

    Columns that hold one negative each stay as many: the negatives that are left stand in for those that go, in turn
    (``short: repeat``), or the row goes (``short: drop``).
    """
    left = [[text for text in texts if _place(text) not in gone] for texts in (row.positives, row.negatives)]
    if any(before and not after for before, after in zip((row.positives, row.negatives), left, strict=True)):
        return None
    texts = [*row.positives, *row.negatives]
    single = [text for text in row.negatives if text.place is None]
    if any(_place(text) in gone for text in single):
        stay = [text for text in single if _place(text) not in gone]
        if short == "drop" or not stay:
            return None
        return _refilled(record, texts, single, stay, gone)
    out = dict(record)
    for column in {text.column for text in texts if _place(text) in gone}:
        places = {text.place for text in texts if text.column == column and _place(text) in gone}
        for name in (column, *aligned(record, row, column)):
            out[name] = [item for place, item in enumerate(record[name]) if place not in places]
    for name in _together(record, row):
        out[name] = [value for value, text in zip(record[name], texts, strict=True) if _place(text) not in gone]
    return out


def relabelled(record: dict[str, Any], row: Row, moved: Collection[Place]) -> tuple[dict[str, Any], set[Place]]:
    """The record with those negatives among its positives, as far as its shape has room for them; which those were.

    Room is a list of positives, or labels. What lies beside the negatives (scores, ids) must have its like there.
    """
    done: set[Place] = set()
    out = record
    for text in row.negatives:
        place, target = _place(text), row.positives[0] if row.positives else None
        if place not in moved or text.place is None or target is None or target.place is None:
            continue
        if target.column == text.column:
            if "labels" not in record:
                continue
            labels = list(out["labels"])
            labels[text.place] = labels[target.place]
            out = out | {"labels": labels}
        else:
            pairs = {name: _like(name, record, row, target.column) for name in aligned(record, row, text.column)}
            others = set(aligned(record, row, target.column)) - set(pairs.values())
            alike = type(record[text.column][text.place]) is type(record[target.column][target.place])
            if None in pairs.values() or others or not alike or _together(record, row):
                continue
            for name, other in ((text.column, target.column), *pairs.items()):
                out = out | {str(other): [*out[str(other)], record[name][text.place]]}
        done.add(place)
    return out, done


def aligned(record: dict[str, Any], row: Row, column: str) -> list[str]:
    """The lists that say something of each passage of a list ``column``, such as ``neg_scores``: as long, and called
    like its side. A list of positives and negatives goes with every list of its length.
    """
    length = len(record[column])
    mixed = any(t.column == column for t in row.positives) and any(t.column == column for t in row.negatives)
    prefix = "" if mixed else column[:3]
    own = {text.column for text in (*row.positives, *row.negatives)}
    return [
        name
        for name, value in record.items()
        if name not in own and name.startswith(prefix) and isinstance(value, list) and len(value) == length
    ]


def _refilled(
    record: dict[str, Any], texts: list[Text], single: list[Text], stay: list[Text], gone: Collection[Place]
) -> dict[str, Any]:
    out, taken = dict(record), 0
    stands_in: dict[Place, Text] = {}
    for text in single:
        if _place(text) in gone:
            stands_in[_place(text)] = stay[taken % len(stay)]
            out[text.column] = record[stay[taken % len(stay)].column]
            taken += 1
    scores = record.get("scores")
    if isinstance(scores, list) and len(scores) == len(texts):
        number = {_place(text): place for place, text in enumerate(texts)}
        out["scores"] = [scores[number[_place(stands_in.get(_place(text), text))]] for text in texts]
    return out


def _together(record: dict[str, Any], row: Row) -> list[str]:
    """The list ``scores`` of the positives, then the negatives, where these are in columns of their own."""
    texts = (*row.positives, *row.negatives)
    scores = record.get("scores")
    apart = len({text.column for text in texts}) > 1
    return ["scores"] if apart and isinstance(scores, list) and len(scores) == len(texts) else []


def _like(name: str, record: dict[str, Any], row: Row, column: str) -> str | None:
    """The list beside ``column`` that ends like ``name``: ``pos_scores`` for ``neg_scores``."""
    ending = name.rpartition("_")[2]
    return next((other for other in aligned(record, row, column) if other.rpartition("_")[2] == ending), None)


def _place(text: Text) -> Place:
    return text.column, text.place
