"""Batches of training rows in the layouts of sentence-transformers, taken apart and put together again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hardneg.arrays import Bool
from hardneg.errors import DataError

LABELS = ("label", "labels", "score", "scores")
"""Columns that a trainer takes for the label: the first of these that is there; all others are inputs by position."""


@dataclass(frozen=True)
class Layout:
    """A batch in one of the layouts. ``anchor`` and ``positive`` are its first two inputs; ``negatives`` the rest."""

    rows: Mapping[str, Any]
    anchor: str
    positive: str
    negatives: tuple[str, ...]
    labels: str | None
    extra: tuple[str, ...]

    @property
    def is_list(self) -> bool:
        """Whether positives and negatives share a column of lists, told apart by labels."""
        return not self.negatives

    def examples(self) -> tuple[list[str], list[list[str]], list[list[str]]]:
        """Queries, positives and negatives of each row."""
        queries = list(self.rows[self.anchor])
        if not self.is_list:
            columns = [list(self.rows[name]) for name in self.negatives]
            return queries, [[p] for p in self.rows[self.positive]], [list(own) for own in zip(*columns, strict=True)]
        positives, negatives = [], []
        for number, (texts, relevant) in enumerate(zip(self.rows[self.positive], self._relevant(), strict=True)):
            if len(texts) != len(relevant):
                raise DataError(f"row {number}: {len(texts)} texts in `{self.positive}` and {len(relevant)} labels")
            positives.append([text for text, true in zip(texts, relevant, strict=True) if true])
            negatives.append([text for text, true in zip(texts, relevant, strict=True) if not true])
        return queries, positives, negatives

    def _relevant(self) -> list[list[bool]]:
        """Which texts of a row's list are positives: those labelled above 0; with scores, the first."""
        values = self.rows[self.labels or ""]
        if self.labels == "labels":
            return [[label > 0 for label in own] for own in values]
        return [[place == 0 for place in range(len(own))] for own in values]

    def only(self, keep: Sequence[Bool], short: Literal["repeat", "drop", "error"]) -> dict[str, list[Any]]:
        """The batch with only these negatives, one array of flags a row; rows without any are left out."""
        out: dict[str, list[Any]] = {name: [] for name in self.rows}
        width = len(self.negatives)
        relevant = self._relevant() if self.is_list else []
        for number, flags in enumerate(keep):
            chosen = np.flatnonzero(flags)
            if not len(chosen):
                continue
            if not self.is_list and len(chosen) < width:
                if short == "error":
                    raise DataError(f"row {number} of the batch has {len(chosen)} of {width} negatives left")
                if short == "drop":
                    continue
                chosen = np.resize(chosen, width)
            if self.is_list:
                own, left = relevant[number], iter(flags.tolist())
                stays = [true or next(left) for true in own]
                along = {self.positive, *(name for name in LABELS if name in self.rows)}
                for name, values in self.rows.items():
                    value = values[number]
                    if name in along and len(value) != len(stays):
                        raise DataError(f"row {number}: {len(value)} entries in `{name}` for {len(stays)} texts")
                    out[name].append([v for v, s in zip(value, stays, strict=True) if s] if name in along else value)
                continue
            for name in (self.anchor, *self.extra):
                out[name].append(self.rows[name][number])
            out[self.positive].append(self.rows[self.positive][number])
            for name, place in zip(self.negatives, chosen.tolist(), strict=True):
                out[name].append(self.rows[self.negatives[place]][number])
            if self.labels:
                values = list(self.rows[self.labels][number])
                if len(values) != 1 + width:
                    raise DataError(f"row {number}: {len(values)} entries in `{self.labels}` for {1 + width} texts")
                out[self.labels].append([values[0], *(values[1 + place] for place in chosen.tolist())])
        return out


def layout(rows: Mapping[str, Any], columns: Sequence[str] | None = None) -> Layout:
    """The layout of a batch: by ``columns`` (anchor, positive, negatives…), else by sentence-transformers' rules.

    The first of `LABELS` that is there is the label; ``dataset_name`` is set aside; all others are inputs by position.
    Raises `DataError` where that gives no triplet, n-tuple or labeled list.
    """
    names = list(rows)
    labels = next((name for name in LABELS if name in names), None)
    if columns is not None:
        missing = [name for name in columns if name not in names]
        if missing:
            raise DataError(f"there is no column `{missing[0]}`; the batch has: {', '.join(names)}")
    inputs = list(columns) if columns is not None else [n for n in names if n not in (labels, "dataset_name")]
    extra = tuple(name for name in names if name not in (*inputs, labels))
    if len(inputs) == 2 and labels in ("labels", "scores"):
        return Layout(rows, inputs[0], inputs[1], (), labels, extra)
    if len(inputs) >= 3 and labels in (None, "scores"):
        found = Layout(rows, inputs[0], inputs[1], tuple(inputs[2:]), labels, extra)
        if labels and len(rows[labels]) and len(rows[labels][0]) != len(inputs) - 1:
            raise DataError(
                f"`{labels}` must hold a number for the positive and for each of {len(inputs) - 2} negatives"
            )
        return found
    raise DataError(
        f"the columns {', '.join(names)} are no triplet, n-tuple or labeled list; name anchor, positive and negatives "
        "with `columns`"
    )
