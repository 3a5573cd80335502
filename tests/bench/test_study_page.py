"""The study's page takes the rows of its tables from the report."""

from bench.study.page import renewed

PAGE = """Text.

| set | size |
| --- | --- |
| `b` | 1 |
| `a` |

Between.

| set | size |
| --- | --- |
| `c` | 1 |

| other | here |
| --- | --- |
| stays | 1 |
"""

REPORT = """### First

| set | size |
| --- | --- |
| `a` | 7 |
| `left out` | 7 |
| `b` | 8 |

| set | size |
| --- | --- |
| `c` | 9 |
"""


def test_rows_that_the_page_has_are_those_of_the_report_and_equal_heads_are_taken_in_turn() -> None:
    found = "\n".join(renewed(PAGE.split("\n"), REPORT.split("\n")))
    assert found == PAGE.replace("| `b` | 1 |\n| `a` |", "| `a` | 7 |\n| `b` | 8 |").replace(
        "| `c` | 1 |", "| `c` | 9 |"
    )


def test_what_is_known_by_two_cells_is_told_apart() -> None:
    page = ["| regime | predictor |", "| --- | --- |", "| squad | probe |", ""]
    report = ["| regime | predictor |", "| --- | --- |", "| squad | eci_v1 | 1 |", "| squad | probe | 2 |", ""]
    assert renewed(page, report)[2] == "| squad | probe | 2 |"
