"""Draws docs/figures/structure.svg: the rooms of src/hardneg in their layers, and which room uses which.

    make figure

Layers are those that import-linter holds (pyproject.toml); imports and lines are counted in the code as it stands.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

import grimp
import tomllib

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "hardneg"
FIGURE = ROOT / "docs" / "figures" / "structure.svg"
WIDTH, ROW, BOX, GAP, TOP = 1180, 78, 128, 14, 20
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1b1f24 } .small { font-size: 10px; fill: #57606a }
rect { fill: #f6f8fa; stroke: #8c959f; rx: 5 } path { fill: none; stroke: #0969da; stroke-opacity: .28 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #9198a1 }
rect { fill: #161b22; stroke: #6e7681 } path { stroke: #58a6ff } }
"""


def layers() -> list[list[str]]:
    """The rooms of every layer, from the top down."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    return [[room.strip("() ") for room in re.split(r"[|:]", layer)] for layer in contract["layers"]]


def lines_of(room: str) -> int:
    """Lines of a room that are not blank."""
    place = SOURCE / room
    files = place.rglob("*.py") if place.is_dir() else [SOURCE / f"{room}.py"]
    return sum(1 for file in files for line in file.read_text(encoding="utf-8").splitlines() if line.strip())


def uses() -> dict[tuple[str, str], int]:
    """How many imports lead from one room to another."""
    graph, found = grimp.build_graph("hardneg"), {}
    for module in graph.modules:
        for used in graph.find_modules_directly_imported_by(module):
            pair = tuple(name.split(".")[1] for name in (module, used) if "." in name)
            if len(pair) == 2 and pair[0] != pair[1]:
                found[pair] = found.get(pair, 0) + 1
    return found


def main() -> None:
    rows = [
        [room for room in layer if (SOURCE / room).exists() or (SOURCE / f"{room}.py").exists()] for layer in layers()
    ]
    place: dict[str, tuple[float, float]] = {}
    for number, rooms in enumerate(rows):
        span = len(rooms) * BOX + (len(rooms) - 1) * GAP
        for k, room in enumerate(rooms):
            place[room] = ((WIDTH - span) / 2 + k * (BOX + GAP), TOP + number * ROW)
    height = TOP + len(rows) * ROW
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">']
    out += ["<title>The rooms of hardneg in their layers</title>", f"<style>{STYLE}</style>"]
    for (one, other), count in sorted(uses().items()):
        if one in place and other in place:
            (x, y), (u, v) = place[one], place[other]
            a, b, c, d = x + BOX / 2, y + 40, u + BOX / 2, v
            width = 0.6 + min(count, 12) / 4
            out.append(f'<path stroke-width="{width:.1f}" d="M{a},{b} C{a},{b + 40} {c},{d - 40} {c},{d}"/>')
    for room, (x, y) in place.items():
        out.append(f'<rect x="{x}" y="{y}" width="{BOX}" height="40"/>')
        out.append(f'<text x="{x + BOX / 2}" y="{y + 17}" text-anchor="middle">{html.escape(room)}</text>')
        words = f"{lines_of(room):,} lines"
        out.append(f'<text class="small" x="{x + BOX / 2}" y="{y + 32}" text-anchor="middle">{words}</text>')
    FIGURE.write_text("\n".join([*out, "</svg>", ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
