"""The drawings of a report: SVG as text, every text from outside escaped."""

from html import escape
from typing import Any

_LINES = (("precision", "#0b6bcb"), ("recall", "#c2571a"), ("f1", "#1a7f37"))


def rounds(found: list[dict[str, Any]]) -> str:
    """Precision, recall and F1 over the rounds as lines."""
    lowest: float = min(each["holdout"][name] for each in found for name, _ in _LINES)
    floor = max(0.0, lowest - 0.05)
    step = 520 / max(1, len(found) - 1)

    def height(value: float) -> float:
        return 190.0 - 170.0 * (value - floor) / (1.0 - floor)

    parts = []
    for name, colour in _LINES:
        points = [(60 + step * i, height(each["holdout"][name])) for i, each in enumerate(found)]
        parts.append(
            f'<polyline stroke="{colour}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'
        )
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
    for index, (name, colour) in enumerate(_LINES):
        parts.append(f'<text x="{70 + 90 * index}" y="14" style="fill:{colour}">{name}</text>')
    for value in (floor, (1.0 + floor) / 2, 1.0):
        parts.append(f'<text x="10" y="{height(value) + 4:.1f}">{value:.2f}</text>')
    label = "precision, recall and F1 by round"
    return f'<svg viewBox="0 0 620 200" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def curve(report: dict[str, Any]) -> str:
    """Precision over recall on the holdout."""
    points = [(60 + 520 * each["recall"], 190 - 170 * each["precision"]) for each in report["curve"]]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts = [f'<polyline stroke="#0b6bcb" points="{line}"/>']
    for name, scene in report["scenes"].items():
        if scene["holdout"]:
            x, y = 60 + 520 * scene["holdout"]["recall"], 190 - 170 * scene["holdout"]["precision"]
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#c2571a"/>')
            parts.append(f'<text x="{x - 8:.1f}" y="{y + 16:.1f}" text-anchor="end">{escape(name)}</text>')
    for value in (0.0, 0.5, 1.0):
        parts.append(f'<text x="10" y="{194 - 170 * value:.1f}">{value:.1f}</text>')
        parts.append(f'<text x="{52 + 520 * value:.1f}" y="208">{value:.1f}</text>')
    label = "precision (upwards) over recall, on the held-out rows"
    return f'<svg viewBox="0 0 620 215" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def curves(found: list[dict[str, Any]], by_class: list[dict[str, Any]]) -> str:
    """Precision over recall of each class against the others, a small drawing each; the student is marked."""
    figures = {each["class"]: each for each in by_class}
    parts = []
    for each in found:
        points = [(10 + 140 * point["recall"], 110 - 90 * point["precision"]) for point in each["points"]]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        name, own = escape(str(each["class"])), figures[each["class"]]
        x, y = 10 + 140 * own["recall"], 110 - 90 * own["precision"]
        parts.append(
            f'<svg class="small" viewBox="0 0 160 116" role="img" aria-label="{name}">'
            f'<text x="10" y="14">{name}</text><rect x="10" y="20" width="140" height="90" fill="none" '
            f'stroke="currentColor" stroke-opacity="0.3"/><polyline stroke="#0b6bcb" points="{line}"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="#c2571a"/></svg>'
        )
    return "".join(parts)


def asked_by_day(stretches: list[dict[str, Any]]) -> list[str]:
    """When the rows that were learned from are of, by the round that asked about them: stacked bars."""
    if not stretches:
        return []
    most = max(sum(each["rounds"]) for each in stretches) or 1
    width = 540 / len(stretches)
    parts = []
    for index, each in enumerate(stretches):
        x, y = 60 + width * index, 150.0
        for number, count in enumerate(each["rounds"], 1):
            height = 130 * count / most
            y -= height
            if count:
                title = f"{each['first']} to {each['last']}, round {number}: {count} rows"
                shade = 1.0 - 0.75 * (number - 1) / max(1, len(each["rounds"]) - 1)
                parts.append(
                    f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{max(1.0, width - 2):.1f}" '
                    f'height="{height:.1f}" fill="#0b6bcb" fill-opacity="{shade:.2f}">'
                    f"<title>{escape(title)}</title></rect>"
                )
    first, last = escape(stretches[0]["first"]), escape(stretches[-1]["last"])
    parts.append(f'<text x="60" y="168">{first}</text>')
    parts.append(f'<text x="600" y="168" text-anchor="end">{last}</text>')
    parts.append(f'<text x="10" y="30">{most:,}</text><text x="10" y="152">0</text>')
    label = "teacher rows by day; a later round is lighter"
    return [
        "<h2>Teacher rows by day and round</h2>",
        f'<svg viewBox="0 0 620 176" role="img" aria-label="{label}">{"".join(parts)}</svg>',
        "<p>Of the rows learned from; a later round is lighter.</p>",
    ]
