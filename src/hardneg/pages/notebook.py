"""What a notebook shows: a small table and a picture, escaped and in one piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from hardneg.errors import MissingExtraError
from hardneg.pages.page import fragment
from hardneg.pages.similarity import whole
from hardneg.report.comparison import COLUMNS, rows
from hardneg.report.first_lines import first_lines, percent
from hardneg.report.views import MOMENTS
from hardneg.report.visible import visible

if TYPE_CHECKING:
    from pandas import DataFrame

LEFT_OUT = ("rank", "run", "best")
"""Columns of a comparison of runs that say nothing of one report."""
HEADINGS = ("set, after filtering", "negatives", "false, estimated", "hardness", "eci_v1")


class Report(dict[str, Any]):
    """A report, as in a job's ``report.json``: a dictionary that says in short what it holds.

    In a notebook it is a table of its sets and the distributions of similarities.
    """

    def __repr__(self) -> str:
        return "\n".join([*self.lines, f"a report with the keys {', '.join(self)}"])

    @property
    def lines(self) -> list[str]:
        """The sentences that a run shows first."""
        return [visible(line) for line in first_lines(self)] if "sets" in self else []

    def _repr_html_(self) -> str:
        if "sets" not in self:
            return shown(self.lines, ("key",), [[key] for key in self])
        return shown(self.lines, HEADINGS, self._rows(), whole(self), self["warnings"])

    def _rows(self) -> Iterator[list[str]]:
        for name, moments in self["sets"].items():
            if name in self["hybrids"]:
                continue
            own = moments["after"]
            low, high = own["intervals"]["eci_v1"]
            share = self["false"]["sets"][name]["after"]["estimated"]
            yield [
                f"{name} (control)" if name in self["controls"] else name,
                f"{own['size']:.1f}",
                percent(share) if share else "",
                f"{own['hardness']:.3f}",
                f"{own['eci_v1']:.3f} ±{(high - low) / 2:.3f}",
            ]

    def to_pandas(self) -> DataFrame:
        """A row for every set before filtering and after: what it is, the terms of eci_v1 with the bounds of its 95 %
        interval, eci_sem, the share above s+, the estimated false share, the probe's score.

        Raises `MissingExtraError` without pandas.
        """
        kept = [column for column in COLUMNS if column not in LEFT_OUT]
        found = {moment: rows({"": self}, moment) for moment in MOMENTS}
        every = [row | {"moment": moment} for moment, own in found.items() for row in own]
        return as_pandas({column: [row[column] for row in every] for column in ("set", "moment", *kept[1:])})


def shown(
    lines: Sequence[str],
    headings: Sequence[str],
    cells: Iterable[Sequence[str]],
    picture: Markup | str = "",
    warnings: Sequence[str] = (),
) -> str:
    """HTML for a notebook's cell: sentences, a table, a picture, warnings. Every text is escaped; a column in which
    nothing stands is left out.
    """
    table = [headings, *cells]
    told = [column for column in zip(*table, strict=True) if any(column[1:])]
    first, *others = zip(*told, strict=True)
    return fragment("notebook.html", lines=lines, headings=first, rows=others, picture=picture, warnings=warnings)


def as_pandas(columns: Mapping[str, Any]) -> DataFrame:
    """A data frame. Raises `MissingExtraError` without pandas."""
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError("pandas", "datasets", "`to_pandas`") from error
    return pd.DataFrame(dict(columns))
