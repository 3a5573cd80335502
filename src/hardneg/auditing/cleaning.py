"""The decision about each line that something is refused of, and the list of what went."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hardneg.auditing.ledger import Verdict
from hardneg.auditing.removal import Short, relabelled, without
from hardneg.auditing.scores import Place, finite
from hardneg.data import training_rows as formats
from hardneg.data.training_rows import Row, Text
from hardneg.errors import DataError

MOVED = {"known_positive"}
"""The kinds whose negatives are positives."""


@dataclass
class Cleaner:
    """Called once for each line of ``verdicts``; counts what it did and tells ``removed`` every row and passage.

    ``relabel``: negatives that are known positives of their query become positives where the shape has room for them.
    """

    path: Path
    verdicts: Mapping[int, Verdict]
    relabel: bool
    short: Short
    removed: Callable[[dict[str, Any]], object]
    counts: dict[str, int] = field(
        default_factory=lambda: {"rows_removed": 0, "rows_changed": 0, "passages_removed": 0, "relabelled": 0}
    )

    def __call__(self, line: int, record: dict[str, Any] | None, raw: str = "") -> dict[str, Any] | None:
        """The record as it shall be, or None where it goes. ``record``: None where the line, ``raw``, has none."""
        verdict = self.verdicts[line]
        row = None if record is None else self._row(record, line)
        if record is None or row is None:
            self.counts["rows_removed"] += 1
            self.removed(_entry(line, verdict.row, record=record) | ({"raw": raw} if raw else {}))
            return None
        gone, reasons = set(verdict.passages), [*verdict.row]
        new, done = (record, set[Place]()) if verdict.row else self._moved(record, row, verdict)
        if not verdict.row:
            in_place = {place for place in done if place[0] == row.positives[0].column}
            changed = self._row(new, line) or row
            left = without(new, changed, gone - in_place, self.short)
            after = None if left is None else self._row(left, line)
            if left is not None and after is not None and after.positives and (after.negatives or not row.negatives):
                self._changed(line, row, verdict, done)
                return left
            reasons = list(dict.fromkeys(reason for own in verdict.passages.values() for reason in own))
        self.counts["rows_removed"] += 1
        self.removed(_entry(line, reasons, record=record))
        return None

    def _row(self, record: dict[str, Any], line: int) -> Row | None:
        try:
            return formats.row(finite(record)[0], self.path, line)
        except DataError:
            return None

    def _moved(self, record: dict[str, Any], row: Row, verdict: Verdict) -> tuple[dict[str, Any], set[Place]]:
        if not self.relabel:
            return record, set()
        known = {place for place, reasons in verdict.passages.items() if {kind for kind, _ in reasons} <= MOVED}
        return relabelled(record, row, known)

    def _changed(self, line: int, row: Row, verdict: Verdict, done: set[Place]) -> None:
        self.counts["rows_changed"] += 1
        for side, text in _sides(row):
            place = text.column, text.place
            if place not in verdict.passages:
                continue
            moved = place in done
            self.counts["relabelled" if moved else "passages_removed"] += 1
            entry = _entry(line, verdict.passages[place], side="relabelled" if moved else side)
            self.removed(
                entry
                | {"column": place[0], "place": place[1], "query": row.query, "id": text.id, "text": text.contents}
            )


def _sides(row: Row) -> Iterator[tuple[str, Text]]:
    yield from (("positive", text) for text in row.positives)
    yield from (("negative", text) for text in row.negatives)


def _entry(
    line: int, reasons: list[tuple[str, str]], *, side: str = "row", record: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A line of the list: ``removed`` is ``row``, ``positive``, ``negative`` or ``relabelled``.

    Numbers that are not finite are texts (``nan``, ``inf``), since JSON has none.
    """
    found = [{"kind": kind, "reason": reason} for kind, reason in reasons]
    return {"line": line, "removed": side, "reasons": found} | ({} if record is None else {"record": _plain(record)})


def _plain(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return repr(value)
        case dict():
            return {name: _plain(own) for name, own in value.items()}
        case list():
            return [_plain(own) for own in value]
    return value
