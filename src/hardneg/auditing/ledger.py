"""What was found: counted, some of it shown, all of it written where somebody wants it."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from hardneg.auditing.finding import Finding
from hardneg.auditing.kinds import KINDS
from hardneg.auditing.scores import Place
from hardneg.data.training_rows import Row

SHOWN = 20
"""Cases of a kind that the report has."""
CHARACTERS = 500
"""Characters of a text in the report."""
RANKED = "likely_answer"
"""The kind whose cases are shown by value, the highest first; of others a sample is shown, by line."""


@dataclass
class Verdict:
    """What is refused of one line: all of it for the reasons ``row``, or ``passages`` for theirs. A reason is a kind
    and a sentence.
    """

    row: list[tuple[str, str]] = field(default_factory=list)
    passages: dict[Place, list[tuple[str, str]]] = field(default_factory=dict)


@dataclass
class Ledger:
    """Filled line by line. ``refused``: the kinds that decide ``verdicts``. ``write`` is given every finding."""

    refused: frozenset[str]
    write: Callable[[dict[str, Any]], object] | None = None
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    lines: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    _shown: dict[str, list[tuple[float, int, dict[str, Any]]]] = field(
        default_factory=lambda: {name: [] for name in KINDS}
    )
    _draws: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311  which cases are shown

    def add(self, line: int, findings: Iterable[Finding], row: Row | None = None) -> None:
        """What the checks say of a line. ``row``: None for a line that cannot be read."""
        kinds = set[str]()
        for finding in findings:
            kinds.add(finding.kind)
            self.counts[finding.kind] += 1
            if finding.kind in self.refused:
                self._refuse(line, finding)
            if self.write is not None:
                self.write(_described(line, finding, row, None))
            self._show(line, finding, row)
        for kind in kinds:
            self.lines[kind] += 1

    def _refuse(self, line: int, finding: Finding) -> None:
        verdict = self.verdicts.setdefault(line, Verdict())
        if finding.text is None:
            verdict.row.append((finding.kind, finding.reason))
        else:
            place = finding.text.column, finding.text.place
            verdict.passages.setdefault(place, []).append((finding.kind, finding.reason))

    def _show(self, line: int, finding: Finding, row: Row | None) -> None:
        shown = self._shown[finding.kind]
        rank = finding.value or 0.0 if finding.kind == RANKED else self._draws.random()
        if len(shown) < SHOWN or rank > shown[0][0]:
            entry = rank, self.counts[finding.kind], _described(line, finding, row, CHARACTERS)
            heapq.heappush(shown, entry) if len(shown) < SHOWN else heapq.heapreplace(shown, entry)

    def report(self, looked: frozenset[str]) -> dict[str, Any]:
        """``findings`` of the report. ``looked``: which of ``model`` and ``against`` were given."""
        out: dict[str, Any] = {}
        for name, kind in KINDS.items():
            ranked = name == RANKED
            shown = sorted(self._shown[name], key=lambda entry: -entry[0] if ranked else entry[2]["line"])
            out[name] = {
                "what": kind.what,
                "checked": not kind.needs or kind.needs in looked,
                "refused": name in self.refused,
                "count": self.counts[name],
                "rows": self.lines[name],
                "cases": [case for _, _, case in shown],
            }
        return out


def _described(line: int, finding: Finding, row: Row | None, most: int | None) -> dict[str, Any]:
    """A finding as JSON: the same keys for every kind. Texts are cut after ``most`` characters; None: not."""
    text = finding.text
    return {
        "line": line,
        "kind": finding.kind,
        "side": finding.side,
        "column": text and text.column,
        "place": text and text.place,
        "id": text and text.id,
        "reason": finding.reason,
        "value": finding.value,
        "query": row and row.query[:most],
        "positive": row.positives[0].contents[:most] if row and row.positives else None,
        "passage": text and text.contents[:most],
    }
