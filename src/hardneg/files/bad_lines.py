"""What happens to a line that cannot be used: it stops the run, or it is put aside with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

from hardneg.errors import DataError

MOST = 100_000
"""Lines that are put aside before the file is refused."""
Rule = Literal["error", "skip"]


@dataclass
class BadLines:
    """``with bad:`` around the work on one line. A `DataError` about a line goes through (``rule`` is ``error``), or
    is kept in ``found`` and the work goes on after the block (``skip``).
    """

    rule: Rule = "error"
    found: list[DataError] = field(default_factory=list)

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self.rule == "error" or not isinstance(error, DataError) or error.line is None:
            return False
        if len(self.found) == MOST:
            raise DataError(f"{error}; {MOST:,} lines before cannot be used either: this is no file to skip lines of")
        self.found.append(error)
        return True

    def __iter__(self) -> Iterator[DataError]:
        return iter(self.found)


STRICT = BadLines()
"""Every line that cannot be used is an error."""
