"""The front of quality against cost, as lines for a terminal and as SVG."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from replacement.search.pareto import Point

_WIDTH, _HEIGHT = 57, 13  # cells of the terminal's picture
_BLUE, _ORANGE, _GREY = "#0b6bcb", "#c2571a", "#9aa4ad"
_RATIOS = (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)


def terminal(points: Sequence[Point]) -> list[str]:
    """Draw F1 over cost in characters.

    Args:
        points: one or more, the definition's first.

    Returns:
        Lines; the definition's shape is a square, those on the front are full circles.
    """
    low, high, left, right = _bounds(points)
    cells = [[" "] * _WIDTH for _ in range(_HEIGHT)]
    for point in sorted(points[1:], key=lambda point: point.on_front):
        row, column = _cell(point, low, high, left, right)
        cells[row][column] = "●" if point.on_front else "·"
    row, column = _cell(points[0], low, high, left, right)
    cells[row][column] = "■"
    marks = {0: high, _HEIGHT // 2: (low + high) / 2, _HEIGHT - 1: low}
    lines = [
        f"{f'{marks[row]:.3f}' if row in marks else '':>6} ┤{''.join(own).rstrip()}"
        for row, own in enumerate(cells)
    ]
    axis = [" "] * (_WIDTH + 6)
    for ratio in _RATIOS:
        place = round((math.log2(ratio) - left) / (right - left) * (_WIDTH - 1))
        if 0 <= place < _WIDTH:
            text = f"{ratio:.2g}"
            axis[place : place + len(text)] = text
    return [
        *lines,
        f"{'':>6} └{'─' * _WIDTH}",
        f"{'':>8}{''.join(axis).rstrip()}",
        f"{'F1':>6}  operations for a text, as a share of the definition's: ■ it   ● the front   · others",
    ]


def svg(points: Sequence[Point], title: str) -> str:
    """Draw F1 over cost as a file of SVG.

    Args:
        points: one or more, the definition's first.
        title: what is searched.
    """
    low, high, left, right = _bounds(points)

    def x(cost: float) -> float:
        return 70 + 520 * (math.log2(cost) - left) / (right - left)

    def y(f1: float) -> float:
        return 250 - 210 * (f1 - low) / (high - low)

    parts = [Markup('<text x="330" y="20" text-anchor="middle">{}</text>').format(title)]
    for value in (low, (low + high) / 2, high):
        parts.append(
            Markup(
                '<line x1="70" x2="590" y1="{0:.1f}" y2="{0:.1f}" stroke="{1}" stroke-opacity=".4"/>'
            ).format(y(value), _GREY)
        )
        parts.append(
            Markup('<text x="62" y="{:.1f}" text-anchor="end">{:.3f}</text>').format(y(value) + 4, value)
        )
    for ratio in _RATIOS:
        if left <= math.log2(ratio) <= right:
            parts.append(
                Markup('<text x="{:.1f}" y="272" text-anchor="middle">{:g}</text>').format(x(ratio), ratio)
            )
    parts.append(
        Markup('<text x="330" y="294" text-anchor="middle">{}</text>').format(
            "operations for a text, as a share of the definition's; F1 on the validation rows"
        )
    )
    best = sorted((point for point in points if point.on_front), key=lambda point: point.operations)
    line = " ".join(f"{x(point.cost):.1f},{y(point.f1):.1f}" for point in best)
    parts.append(Markup('<polyline points="{}" fill="none" stroke="{}"/>').format(line, _BLUE))
    for number, point in enumerate(points):
        colour = _ORANGE if number == 0 else _BLUE if point.on_front else _GREY
        parts.append(
            Markup('<circle cx="{:.1f}" cy="{:.1f}" r="4.5" fill="{}"><title>{}</title></circle>').format(
                x(point.cost), y(point.f1), colour, f"F1 {point.f1:.3f} at {point.cost:.2f} of the cost"
            )
        )
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 620 304" font-family="sans-serif" '
        'font-size="12"><rect width="620" height="304" fill="#fff"/>'
    )
    return str(head + Markup("").join(parts) + Markup("</svg>\n"))


def _bounds(points: Sequence[Point]) -> tuple[float, float, float, float]:
    """Lowest and highest F1, and the logarithms of the least and the greatest cost, with room around them."""
    f1s, costs = [point.f1 for point in points], [math.log2(point.cost) for point in points]
    room = max(0.005, 0.05 * (max(f1s) - min(f1s)))
    return max(0.0, min(f1s) - room), min(1.001, max(f1s) + room), min(costs) - 0.2, max(costs) + 0.2


def _cell(point: Point, low: float, high: float, left: float, right: float) -> tuple[int, int]:
    row = round((high - point.f1) / (high - low) * (_HEIGHT - 1))
    return row, round((math.log2(point.cost) - left) / (right - left) * (_WIDTH - 1))
