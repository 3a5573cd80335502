"""Warnings: what misleads in the numbers, and only that."""

import pytest

from hardneg.report.warnings import warnings


def moments(score: float) -> dict:
    after = {"eci_v1": 0.0, "size": 1.0, "without_negatives": 0}
    return {"before": {"eci_v1": score, "size": 1.0}, "after": after}


def report_of(sets: dict, passages: int = 10_000, estimator: str | None = None) -> dict:
    return {
        "sets": sets,
        "read": {"bad_lines": {}, "passages": passages},
        "false": {"scorer": estimator},
        "controls": ["easy"],
        "hybrids": [],
        "counts": {"short with enough candidates": 0},
        "generated": {},
        "left_out": {},
        "recall": {},
        "shortcut": None,
    }


def test_the_control_that_wins_is_warned_about() -> None:
    sets = {"final": moments(0.1), "lexical": moments(0.77), "semantic": moments(1.2), "easy": moments(1.02)}
    [warning] = warnings(report_of(sets))
    assert "the easy control `easy` has a higher eci_v1 (1.02) than `lexical` (0.77):" in warning
    assert "semantic" not in warning


@pytest.mark.parametrize(("passages", "estimator", "warned"), [(999, "doubt", 1), (1_000, "doubt", 0), (999, None, 0)])
def test_ranks_among_few_passages_are_warned_about(passages: int, estimator: str | None, warned: int) -> None:
    sets = {"final": moments(0.1), "lexical": moments(1.1), "easy": moments(1.0)}
    found = warnings(report_of(sets, passages, estimator))
    assert [text for text in found if "999 passages: ranks among so few say little" in text] == found
    assert len(found) == warned
