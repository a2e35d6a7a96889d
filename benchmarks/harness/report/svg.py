"""Plots as SVG, with nothing but text: horizontal bars, stacked bars, lines; logarithmic where figures span decades."""

import math
from dataclasses import dataclass
from html import escape

WIDTH = 760
LABEL = 190         # left of the bars
RIGHT = 90          # for the figures behind them
ROW = 26
TOP = 44
COLOURS = ("#2563a8", "#d9822b", "#4f9d4f", "#b8434e", "#7d5ba6", "#8a6d4b", "#4aa3a2", "#999999", "#c9b037", "#d77fb3",
           "#555555", "#9cc4e4", "#f2c894", "#a8d5a2", "#e0a3a8", "#c3b1e1")


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    text: str           # behind the bar
    colour: int = 0     # an index: one colour a server


def _page(height: int, title: str, body: list[str]) -> str:
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            'font-family="sans-serif" font-size="13">')
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
                      f'<text x="12" y="22" font-size="15" font-weight="bold">{escape(title)}</text>', *body, "</svg>\n"])


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = "#222222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}" fill="{colour}"/>'


def bars(title: str, rows: list[Bar], logarithmic: bool = False) -> str:
    """One bar a row; logarithmic from the decade below the smallest."""
    room = WIDTH - LABEL - RIGHT
    low = 10 ** math.floor(math.log10(min(r.value for r in rows))) if logarithmic else 0
    most = max(r.value for r in rows)

    def length(value: float) -> float:
        if not logarithmic:
            return room * value / most
        return room * math.log(value / low * 1.02) / math.log(most / low * 1.02)

    body = []
    for number, row in enumerate(rows):
        y = TOP + number * ROW
        body += [_text(LABEL - 8, y + 15, row.label, "end"),
                 _rectangle(LABEL, y, length(row.value), ROW - 7, COLOURS[row.colour % len(COLOURS)]),
                 _text(LABEL + length(row.value) + 6, y + 15, row.text)]
    foot = TOP + len(rows) * ROW + 12
    if logarithmic:
        body.append(_text(LABEL, foot, f"logarithmic, from {low:g}", colour="#777777"))
    return _page(foot + 12, title, body)


def stacks(title: str, parts: list[str], rows: list[tuple[str, list[float], str]]) -> str:
    """One stacked bar a row (label, a value a part, text behind it), each to its own sum: shares, not sizes."""
    left = max(LABEL, 12 + 7 * max(len(label) for label, _, _ in rows))
    room = WIDTH - left - RIGHT
    body = []
    for number, (label, values, text) in enumerate(rows):
        y, x = TOP + number * ROW, float(left)
        body.append(_text(left - 8, y + 15, label, "end"))
        for part, value in enumerate(values):
            width = room * value / sum(values)
            if value > 0:
                body.append(_rectangle(x, y, width, ROW - 7, COLOURS[part % len(COLOURS)]))
            x += width
        body.append(_text(x + 6, y + 15, text))
    y = TOP + len(rows) * ROW + 12
    for part, name in enumerate(parts):
        at = 12 + part % 2 * (WIDTH // 2)
        body += [_rectangle(at, y + part // 2 * 20, 12, 12, COLOURS[part % len(COLOURS)]),
                 _text(at + 18, y + part // 2 * 20 + 11, name)]
    return _page(y + (len(parts) + 1) // 2 * 20 + 12, title, body)


def lines(title: str, across: str, series: dict[str, list[tuple[float, float]]], colours: dict[str, int]) -> str:
    """Points joined by lines, both axes logarithmic. colours: an index for each name."""
    height, bottom, left, right = 360, 60, 80, 190
    points = [point for line in series.values() for point in line]
    spans = []
    for axis in (0, 1):
        values = [math.log10(p[axis]) for p in points]
        low, high = math.floor(min(values)), math.ceil(max(values))
        spans.append((low, max(high, low + 1)))

    def place(point: tuple[float, float]) -> tuple[float, float]:
        (x0, x1), (y0, y1) = spans
        return (left + (math.log10(point[0]) - x0) / (x1 - x0) * (WIDTH - left - right),
                height - bottom - (math.log10(point[1]) - y0) / (y1 - y0) * (height - bottom - TOP))

    body = []
    for decade in range(spans[1][0], spans[1][1] + 1):
        _, y = place((10 ** spans[0][0], 10 ** decade))
        body += [f'<line x1="{left}" y1="{y:.1f}" x2="{WIDTH - right}" y2="{y:.1f}" stroke="#dddddd"/>',
                 _text(left - 8, y + 4, f"{10 ** decade:,}", "end")]
    for decade in range(spans[0][0], spans[0][1] + 1):
        x, _ = place((10 ** decade, 10 ** spans[1][0]))
        body.append(_text(x, height - bottom + 20, f"{10 ** decade:,}", "middle"))
    body.append(_text((WIDTH - right + left) / 2, height - 16, across, "middle"))
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[colours[name] % len(COLOURS)]
        placed = [place(point) for point in sorted(line)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in placed]
        body += [_rectangle(WIDTH - right + 12, TOP + number * 20, 12, 12, colour),
                 _text(WIDTH - right + 30, TOP + 11 + number * 20, name)]
    return _page(height, title, body)
