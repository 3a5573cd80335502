"""Charts as inline SVG: drawn here, coloured by the page's style, readable without a script.

Nothing has a ``style`` attribute, since the page's content-security policy forbids those. Every picture says in
words what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

from hardneg.report.visible import one_line

COLOURS = 7
WIDTH, HEIGHT = 480, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 40


@dataclass(frozen=True, slots=True)
class Series:
    """A line through the points ``x``, ``y``; ``low`` and ``high``, where given, are a band around it."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    stepped: bool = False
    """Whether ``y`` is the height between a point and the next, as in a histogram."""
    colour: int | None = None
    """The number of its colour. Left out: its place among the series."""


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1)
        return round(self.begin + share * (self.end - self.begin), 2)


def plot(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_marks: Mapping[str, float] | None = None,
    diagonal: bool = False,
    percent: bool = False,
    from_zero: bool = True,
    powers: bool = False,
) -> Markup:
    """Lines over common axes, with a legend below.

    ``x_marks``: vertical lines by name, such as a threshold. ``diagonal``: also draws y = x, as a reliability curve
    wants. ``percent``: the values of y are shares. ``from_zero``: y begins at 0. ``powers``: the values of x are
    logarithms to the base 10, and the axis names the numbers. An empty string without any point.
    """
    marks = x_marks or {}
    xs = [value for one in series for value in one.x if math.isfinite(value)] + list(marks.values())
    ys = [value for one in series for values in (one.y, one.low, one.high) for value in values if math.isfinite(value)]
    if not xs or not ys:
        return Markup("")
    if diagonal:
        ys += [min(xs), max(xs)]

    def told(value: float) -> str:
        return f"{10**value if powers else value:.4g}"

    whole = [float(n) for n in range(math.floor(min(xs)), math.ceil(max(xs)) + 1)]
    x_ticks, y_ticks = (
        whole if powers else ticks(min(xs), max(xs), 8),
        ticks(min(0.0, *ys) if from_zero else min(ys), max(ys)),
    )
    x = _Scale(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    y = _Scale(min(y_ticks[0], *ys), max(y_ticks[-1], *ys), HEIGHT - BOTTOM, TOP)
    root = _picture(title, _described(series, marks, told), f"0 0 {WIDTH} {HEIGHT}", "chart")
    for value in y_ticks:
        _line(root, (LEFT, y(value)), (WIDTH - RIGHT, y(value)), "grid")
        label = f"{100 * value:.4g}%" if percent else f"{value:.4g}"
        _write(root, label, (LEFT - 6, y(value) + 4), "end")
    for value in x_ticks:
        if x.low <= value <= x.high:
            _line(root, (x(value), y.begin), (x(value), y.begin + 4), "axis")
            _write(root, told(value), (x(value), y.begin + 17), "middle")
    _line(root, (LEFT, y.begin), (WIDTH - RIGHT, y.begin), "axis")
    _name_axes(root, x_label, y_label)
    if diagonal:
        _line(root, (x(x.low), y(x.low)), (x(x.high), y(x.high)), "reference")
    for number, one in enumerate(series):
        _draw(root, one, _colour(one, number), x, y)
    for value in marks.values():
        _line(root, (x(value), TOP), (x(value), y.begin), "threshold")
    return Markup(tostring(root, encoding="unicode")) + _legend(series, marks, told)  # noqa: S704 - ElementTree escapes


def scatter(points: Mapping[str, tuple[float, float]], *, title: str, x_label: str, y_label: str) -> Markup:
    """Named points, each with its name beside it. An empty string without any point."""
    if not points:
        return Markup("")
    x_ticks, y_ticks = (ticks(min(own), max(own)) for own in zip(*points.values(), strict=True))
    x = _Scale(x_ticks[0], x_ticks[-1], LEFT, WIDTH - RIGHT)
    y = _Scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    told = "; ".join(f"{name}: {a:.3g}, {b:.3g}" for name, (a, b) in points.items())
    root = _picture(title, f"{told}.", f"0 0 {WIDTH} {HEIGHT}", "chart")
    for value in y_ticks:
        _line(root, (LEFT, y(value)), (WIDTH - RIGHT, y(value)), "grid")
        _write(root, f"{value:.4g}", (LEFT - 6, y(value) + 4), "end")
    for value in x_ticks:
        _write(root, f"{value:.4g}", (x(value), y.begin + 17), "middle")
    _line(root, (LEFT, y.begin), (WIDTH - RIGHT, y.begin), "axis")
    _name_axes(root, x_label, y_label)
    for number, (name, (a, b)) in enumerate(points.items()):
        place = {"cx": f"{x(a):g}", "cy": f"{y(b):g}", "r": "5"}
        SubElement(root, "circle", {**place, "class": f"f{number % COLOURS}"})
        right = x(a) > WIDTH * 0.7
        _write(root, name, (x(a) + (-9 if right else 9), y(b) + 4), "end" if right else "start")
    return Markup(tostring(root, encoding="unicode"))  # noqa: S704


def bar(value: float, most: float, *, colour: int = 0, refused: float = 0.0) -> Markup:
    """A bar for a cell of a table: ``value`` of ``most``. ``refused`` is drawn after it in grey.

    The cell beside it has the number, so the bar is hidden from screen readers.
    """
    root = _hidden("bar", "0 0 100 10")
    _box(root, 0, 100, "track")
    share = 100 * value / (most or 1)
    _box(root, 0, share, f"f{colour % COLOURS}")
    if refused:
        _box(root, share, 100 * refused / (most or 1), "f6").set("fill-opacity", "0.45")
    return Markup(tostring(root, encoding="unicode"))  # noqa: S704


def interval(
    low: float, value: float, high: float, *, begin: float, end: float, colour: int = 0, reference: float | None = None
) -> Markup:
    """A value with its interval on a scale from ``begin`` to ``end``, for a cell of a table; ``reference`` is a line.

    The cell beside it has the numbers, so the picture is hidden from screen readers.
    """
    root, at = _hidden("bar", "0 0 100 10"), _Scale(begin, end, 3, 97)
    _box(root, 0, 100, "track")
    if reference is not None:
        _line(root, (at(reference), 0), (at(reference), 10), "threshold")
    _line(root, (at(max(low, begin)), 5), (at(min(high, end)), 5), f"l{colour % COLOURS}").set("stroke-width", "1.5")
    place = {"x": f"{at(value) - 1.2:.2f}", "y": "1.5", "width": "2.4", "height": "7"}
    SubElement(root, "rect", {**place, "class": f"f{colour % COLOURS}"})
    return Markup(tostring(root, encoding="unicode"))  # noqa: S704


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers that cover ``low`` to ``high``, about ``wanted`` of them.

    >>> ticks(0.0, 0.93)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = (high - low) or abs(high) or 1.0
    rough = span / wanted
    power = 10 ** math.floor(math.log10(rough))
    step = next((power * factor for factor in (1, 2, 5) if power * factor >= rough * 0.99), 10 * power)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.10g}") for number in range(first, last + 1)]


def _colour(one: Series, place: int) -> int:
    return (place if one.colour is None else one.colour) % COLOURS


def _name_axes(root: Element, x_label: str, y_label: str) -> None:
    _write(root, x_label, ((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6), "middle")
    middle = (TOP + HEIGHT - BOTTOM) / 2
    _write(root, y_label, (12, middle), "middle").set("transform", f"rotate(-90 12 {middle})")


def _draw(root: Element, one: Series, colour: int, x: _Scale, y: _Scale) -> None:
    if len(one.low):
        there = [f"{x(a)},{y(b)}" for a, b in zip(one.x, one.low, strict=True)]
        back = [f"{x(a)},{y(b)}" for a, b in zip(one.x, one.high, strict=True)]
        SubElement(root, "polygon", {"points": " ".join(there + back[::-1]), "class": f"band f{colour}"})
    points = [(x(a), y(b)) for a, b in zip(one.x, one.y, strict=True) if math.isfinite(a) and math.isfinite(b)]
    if one.stepped:
        ends = [*(place for place, _ in points[1:]), points[-1][0] if points else 0.0]
        points = [corner for (a, b), end in zip(points, ends, strict=True) for corner in ((a, b), (end, b))]
    path = " ".join(f"{a},{b}" for a, b in points)
    SubElement(root, "polyline", {"points": path, "class": f"line l{colour}"})


def _legend(series: Sequence[Series], marks: Mapping[str, float], told: Callable[[float], str]) -> Markup:
    root = Element("ul", {"class": "legend"})
    names = [(one.name, f"l{_colour(one, number)}") for number, one in enumerate(series)]
    for name, kind in [*names, *((f"{name} ({told(value)})", "threshold") for name, value in marks.items())]:
        item = SubElement(root, "li")
        picture = SubElement(item, "svg", {"viewBox": "0 0 20 10", "aria-hidden": "true"})
        _line(picture, (0, 5), (20, 5), kind).set("stroke-width", "3")
        picture.tail = one_line(name)
    return Markup(tostring(root, encoding="unicode"))  # noqa: S704


def _described(series: Sequence[Series], marks: Mapping[str, float], told: Callable[[float], str]) -> str:
    """The picture in words."""
    parts = []
    for one in series:
        if points := [(a, b) for a, b in zip(one.x, one.y, strict=True) if math.isfinite(a) and math.isfinite(b)]:
            top = max(points, key=lambda point: point[1])
            begin, end, highest = (told(point[0]) for point in (points[0], points[-1], top))
            parts.append(f"{one.name}: from {begin} to {end}, highest {top[1]:.3g} at {highest}")
    parts += [f"{name} at {told(value)}" for name, value in marks.items()]
    return "; ".join(parts) + "."


def _picture(title: str, description: str, box: str, kind: str) -> Element:
    label = one_line(f"{title}. {description}")
    return Element("svg", {"viewBox": box, "class": kind, "role": "img", "aria-label": label})


def _hidden(kind: str, box: str) -> Element:
    return Element("svg", {"viewBox": box, "class": kind, "aria-hidden": "true", "preserveAspectRatio": "none"})


def _box(root: Element, begin: float, width: float, kind: str) -> Element:
    place = {"x": f"{begin:.2f}", "y": "1", "width": f"{max(width, 0):.2f}", "height": "8"}
    return SubElement(root, "rect", {**place, "class": kind})


def _line(root: Element, one: tuple[float, float], other: tuple[float, float], kind: str) -> Element:
    ends = {"x1": one[0], "y1": one[1], "x2": other[0], "y2": other[1]}
    return SubElement(root, "line", {key: f"{value:g}" for key, value in ends.items()} | {"class": kind})


def _write(root: Element, text: str, place: tuple[float, float], anchor: str) -> Element:
    made = SubElement(root, "text", {"x": f"{place[0]:g}", "y": f"{place[1]:g}", "text-anchor": anchor})
    made.text = one_line(text)
    return made
