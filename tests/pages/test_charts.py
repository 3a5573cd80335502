from __future__ import annotations

from xml.etree.ElementTree import fromstring

import pytest

from hardneg.pages.charts import Series, bar, interval, plot, scatter, ticks

HOSTILE = '</svg><script>alert("1")</script>\u202e'


def test_a_plot_escapes_names_and_says_in_words_what_it_shows() -> None:
    made = plot(
        [Series(HOSTILE, [0.0, 0.5, 1.0], [0.1, 0.9, 0.3], low=[0, 0.8, 0.2], high=[0.2, 1.0, 0.4])],
        title="A title",
        x_label="x",
        y_label="y",
        x_marks={"threshold": 0.4},
        diagonal=True,
    )
    root = fromstring(f"<div>{made}</div>")
    svg = root[0]
    assert svg.get("role") == "img"
    assert svg.get("aria-label", "").startswith("A title. ")
    assert "highest 0.9 at 0.5" in svg.get("aria-label", "")
    assert "threshold at 0.4" in svg.get("aria-label", "")
    assert not root.findall(".//script")
    assert not [one for one in root.iter() if one.get("style")]
    assert "\u202e" not in made


def test_a_plot_without_points_is_nothing() -> None:
    assert plot([], title="t", x_label="x", y_label="y") == ""
    assert plot([Series("a", [float("nan")], [1.0])], title="t", x_label="x", y_label="y", percent=True) == ""


def test_lines_end_where_the_values_do() -> None:
    root = fromstring(f"<div>{plot([Series('a', [2, 4], [10, 20])], title='t', x_label='x', y_label='y')}</div>")
    points = root.find(".//polyline").get("points").split()  # type: ignore[union-attr]
    first, last = ([float(number) for number in point.split(",")] for point in points)
    assert first[0] == 52.0
    assert last[0] == 468.0
    assert first[1] > last[1], "y grows upwards"


def test_steps_are_as_wide_as_their_bins() -> None:
    series = Series("a", [0, 1, 2], [3, 5, 0], stepped=True)
    root = fromstring(f"<div>{plot([series], title='t', x_label='x', y_label='y')}</div>")
    points = [p.split(",") for p in root.find(".//polyline").get("points").split()]  # type: ignore[union-attr]
    assert [x for x, _ in points] == ["52.0", "260.0", "260.0", "468.0", "468.0", "468.0"]


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]), (-3, 7, [-4, -2, 0, 2, 4, 6, 8])],
)
def test_ticks_are_round_and_cover_the_values(low: float, high: float, wanted: list[float]) -> None:
    found = ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    if low != high:
        assert found == pytest.approx(wanted)


def test_bars_and_intervals_are_shares_of_their_scale() -> None:
    root = fromstring(bar(25, 100, refused=50))
    assert [box.get("width") for box in root] == ["100.00", "25.00", "50.00"]
    root = fromstring(interval(0.2, 0.4, 0.6, begin=0, end=1, reference=0.5))
    assert root.get("aria-hidden") == "true"
    lines = root.findall("line")
    assert [line.get("x1") for line in lines] == ["50", "21.8"]


def test_named_points_and_axes_of_powers() -> None:
    root = fromstring(scatter({HOSTILE: (0.2, 1.0), "b": (0.4, 3.0)}, title="t", x_label="x", y_label="y"))
    assert len([one for one in root if one.tag == "circle"]) == 2
    assert "b: 0.4, 3" in root.get("aria-label", "")
    assert scatter({}, title="t", x_label="x", y_label="y") == ""
    made = plot([Series("a", [-3, 0], [1, 2])], title="t", x_label="x", y_label="y", x_marks={"t": -2}, powers=True)
    root = fromstring(f"<div>{made}</div>")
    assert {"0.001", "0.01", "0.1", "1"} <= {text.text for text in root.findall(".//text")}
    assert "t (0.01)" in "".join(root.itertext())
