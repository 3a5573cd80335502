"""Warnings: what misleads in the numbers, and only that."""

from hardneg.report.warnings import warnings


def test_the_control_that_wins_is_warned_about() -> None:
    def moments(score: float) -> dict:
        after = {"eci_v1": 0.0, "size": 1.0, "without_negatives": 0}
        return {"before": {"eci_v1": score, "size": 1.0}, "after": after}

    sets = {"final": moments(0.1), "lexical": moments(0.77), "semantic": moments(1.2), "easy": moments(1.02)}
    report = {
        "sets": sets,
        "read": {"bad_lines": {}},
        "controls": ["easy"],
        "hybrids": [],
        "counts": {"short with enough candidates": 0},
        "generated": {},
        "left_out": {},
        "recall": {},
        "shortcut": None,
    }
    [warning] = warnings(report)
    assert "the easy control `easy` has a higher eci_v1 (1.02) than `lexical` (0.77):" in warning
    assert "semantic" not in warning
