"""Draw how speed and memory grow with lanes and context: the picture of docs/speed.md.

    sample-explorer bench --model gpt2 --lanes 1 2 4 8 16 --context 64 256 1000 --json > bench.txt
    python -m tests.benchmarks.growth bench.txt docs/images/speed.svg

The last line of the first file is what is drawn.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
"""Told apart by people who do not see all colours (Okabe and Ito, 2008); lines are named too."""

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 440, 280, 62, 40, 98, 44


def main() -> None:
    """Read the figures and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figures", type=Path)
    parser.add_argument("picture", type=Path)
    args = parser.parse_args()
    figures = json.loads(args.figures.read_text(encoding="utf-8").splitlines()[-1])
    args.picture.write_text(picture(figures), encoding="utf-8")


def picture(figures: dict[str, Any]) -> str:
    """Return an SVG of two plots over the number of lanes."""
    title = f"{figures['name']}, {figures['build']}, {figures['device_name']}"
    plots = [
        _plot(0, "tokens a second, all lanes together", figures["contexts"]),
        _plot(WIDTH, "memory needed, MB", figures["needs_mb"]),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT + 24}"'
        ' font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n'
        f'<text x="{LEFT}" y="18" font-weight="bold">{escape(title)}</text>\n'
        + "\n".join(plots)
        + "\n</svg>\n"
    )


def _plot(shift: int, title: str, tables: dict[str, dict[str, float]]) -> str:
    lanes = sorted({int(number) for table in tables.values() for number in table})
    ceiling = _round_up(max(value for table in tables.values() for value in table.values()))
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    span = math.log2(lanes[-1] / lanes[0]) or 1.0

    def across(number: int) -> float:
        return LEFT + wide * math.log2(number / lanes[0]) / span

    def up(value: float) -> float:
        return TOP + 24 + high * (1 - value / ceiling)

    drawn = [f'<text x="{LEFT}" y="{TOP + 10}">{title}</text>']
    for part in range(5):
        value = ceiling * part / 4
        y = up(value)
        drawn += [
            f'<path d="M{LEFT} {y:.1f}H{LEFT + wide}" stroke="#ccc"/>',
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,.0f}</text>',
        ]
    drawn += [
        f'<text x="{across(number):.1f}" y="{up(0) + 18:.1f}" text-anchor="middle">{number}</text>'
        for number in lanes
    ]
    drawn.append(
        f'<text x="{LEFT + wide / 2}" y="{up(0) + 36:.1f}" text-anchor="middle">lanes</text>'
    )
    labels: list[float] = []
    for at, (context, table) in enumerate(tables.items()):
        points = [(across(int(number)), up(value)) for number, value in table.items()]
        colour = COLOURS[at % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        x, y = points[-1]
        while any(abs(y - other) < 14 for other in labels):
            y += 2
        labels.append(y)
        drawn.append(
            f'<text x="{x + 8:.1f}" y="{y + 4:.1f}" fill="{colour}">{context} tokens</text>'
        )
    return f'<g transform="translate({shift},0)">' + "\n".join(drawn) + "</g>"


def _round_up(value: float) -> float:
    """Return the next number of the form 1, 2, 4, 6 or 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value)


if __name__ == "__main__":
    main()
