"""The drawings of a report: SVG as markup. Every text from outside is escaped by ``Markup.format``."""

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from pingti.workspace.report import Report
from pingti.workspace.report_parts import AskedStretch, Cascade, ClassCurve, ClassFigures, Round, Rung

_LINES = (("precision", "#0b6bcb"), ("recall", "#c2571a"), ("f1", "#1a7f37"))
_POLYLINE = '<polyline stroke="{}" points="{}"/>'


Words = Callable[..., str]
"""A sentence in the page's language, with values; see ``replacement.reporting.words``."""


def rounds(turns: Sequence[Round], words: Words) -> Markup:
    """Precision, recall and F1 over the rounds as lines; what no row could tell has no point."""
    figures = [turn.holdout.model_dump() for turn in turns]
    known = [
        float(measured[name]) for measured in figures for name, _ in _LINES if measured[name] is not None
    ]
    lowest = min(known, default=0.0)
    floor = max(0.0, lowest - 0.05)
    step = 520 / max(1, len(figures) - 1)

    def height(value: float) -> float:
        return 190.0 - 170.0 * (value - floor) / (1.0 - floor)

    parts = []
    for name, colour in _LINES:
        points = [
            (60 + step * number, height(measured[name]))
            for number, measured in enumerate(figures)
            if measured[name] is not None
        ]
        parts.append(Markup(_POLYLINE).format(colour, _points(points)))
        parts += [_circle(x, y, 3.5, colour) for x, y in points]
    for number, (name, colour) in enumerate(_LINES):
        shown = words("F1" if name == "f1" else name)
        parts.append(
            Markup('<text x="{}" y="14" style="fill:{}">{}</text>').format(70 + 90 * number, colour, shown)
        )
    for value in (floor, (1.0 + floor) / 2, 1.0):
        parts.append(Markup('<text x="10" y="{:.1f}">{:.2f}</text>').format(height(value) + 4, value))
    for number, turn in enumerate(turns):
        place = Markup('<text x="{:.1f}" y="208" text-anchor="middle">{}</text>')
        parts.append(place.format(60 + step * number, turn.round))
    parts.append(Markup('<text x="320" y="226" text-anchor="middle">{}</text>').format(words("round")))
    return _drawing("0 0 620 232", words("precision, recall and F1 by round"), parts)


def curve(report: Report, words: Words) -> Markup:
    """Precision over recall on the holdout, the operating points marked."""
    points = [(60 + 520 * point.recall, 190 - 170 * point.precision) for point in report.curve]
    parts = [Markup(_POLYLINE).format("#0b6bcb", _points(points))]
    for name, point in report.operating_points.items():
        reached = point.holdout
        if reached is not None and reached.recall is not None and reached.precision is not None:
            x, y = 60 + 520 * reached.recall, 190 - 170 * reached.precision
            parts.append(_circle(x, y, 4, "#c2571a"))
            label = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text>')
            parts.append(label.format(x - 8, y + 16, name))
    for value in (0.0, 0.5, 1.0):
        parts.append(Markup('<text x="10" y="{:.1f}">{:.1f}</text>').format(194 - 170 * value, value))
        parts.append(Markup('<text x="{:.1f}" y="208">{:.1f}</text>').format(52 + 520 * value, value))
    parts.append(Markup('<text x="320" y="226" text-anchor="middle">{}</text>').format(words("recall")))
    parts.append(Markup('<text x="10" y="2">{}</text>').format(words("precision")))
    return _drawing("0 -14 620 246", words("precision (upwards) over recall, on the held-out rows"), parts)


def cascade(measured: Cascade, words: Words) -> Markup:
    """Agreement with the teacher over the share of rows that the second answers, on the held-out rows."""
    by_teacher = measured.second == "teacher"
    reached = [
        (point.teacher_share, point.holdout if point.holdout is not None else point.agreement)
        for point in measured.curve
    ]
    floor = min([measured.wanted, *(agreement for _, agreement in reached)]) - 0.01

    def place(share: float, agreement: float) -> tuple[float, float]:
        return 60 + 520 * share, 190.0 - 170.0 * (agreement - floor) / (1.0 - floor)

    level = place(0.0, measured.wanted)[1]
    parts = [
        Markup(
            '<line x1="60" x2="580" y1="{0:.1f}" y2="{0:.1f}" stroke="currentColor" stroke-opacity="0.4"/>'
        ).format(level),
        Markup(_POLYLINE).format("#0b6bcb", _points([place(*point) for point in reached])),
    ]
    if measured.holdout.accuracy is not None:
        parts.append(_circle(*place(measured.teacher_share, measured.holdout.accuracy), 4, "#c2571a"))
    for value in (floor, measured.wanted, 1.0):
        height = place(0.0, value)[1] + 4
        parts.append(Markup('<text x="10" y="{:.1f}">{:.3f}</text>').format(height, value))
    for value in (0.0, 0.5, 1.0):
        parts.append(Markup('<text x="{:.1f}" y="208">{:.0%}</text>').format(52 + 520 * value, value))
    label = words(
        "share of the rows that the teacher is asked about"
        if by_teacher
        else "share of the rows that the transformer answers"
    )
    parts.append(Markup('<text x="320" y="226" text-anchor="middle">{}</text>').format(label))
    title = (
        "agreement (upwards) over the teacher's share"
        if by_teacher
        else "agreement (upwards) over the transformer's share"
    )
    return _drawing("0 0 620 232", words(title), parts)


def curves(drawn: Sequence[ClassCurve], by_class: Sequence[ClassFigures]) -> Markup:
    """Precision over recall of each class against the others, a small drawing each; the student is marked."""
    figures = {own.class_name: own for own in by_class}
    frame = Markup(
        '<svg class="small" viewBox="0 0 160 116" role="img" aria-label="{name}">'
        '<text x="10" y="14">{name}</text><rect x="10" y="20" width="140" height="90" fill="none" '
        'stroke="currentColor" stroke-opacity="0.3"/>{line}{mark}</svg>'
    )
    parts = []
    for own in drawn:
        points = [(10 + 140 * point.recall, 110 - 90 * point.precision) for point in own.points]
        student = figures[own.class_name]
        # A student that never names the class has no place in the drawing.
        mark = Markup("")
        if student.recall is not None and student.precision is not None:
            mark = _circle(10 + 140 * student.recall, 110 - 90 * student.precision, 3.5, "#c2571a")
        parts.append(
            frame.format(
                name=own.class_name,
                line=Markup(_POLYLINE).format("#0b6bcb", _points(points)),
                mark=mark,
            )
        )
    return Markup("").join(parts)


def ladder(rungs: Sequence[Rung], words: Words) -> Markup:
    """F1 over what a text costs, on a scale of powers of ten: a place for each kind, the kept one marked."""
    placed = [
        (1e6 / rung.texts_per_second, rung.f1, rung)
        for rung in rungs
        if rung.texts_per_second and rung.f1 is not None
    ]
    if not placed:
        return Markup("")
    first = math.floor(min(math.log10(cost) for cost, _, _ in placed))
    last = max(first + 1, math.ceil(max(math.log10(cost) for cost, _, _ in placed)))
    floor = max(0.0, min(f1 for _, f1, _ in placed) - 0.05)

    def across(power: float) -> float:
        return 60.0 + 520.0 * (power - first) / (last - first)

    def height(value: float) -> float:
        return 190.0 - 170.0 * (value - floor) / (1.0 - floor)

    parts = []
    for cost, f1, rung in placed:
        x, y = across(math.log10(cost)), height(f1)
        parts.append(_circle(x, y, 6 if rung.kept else 4, "#c2571a" if rung.kept else "#0b6bcb"))
        # A name stands on the side that has room.
        end = x > 320
        label = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
        parts.append(label.format(x - 10 if end else x + 10, y + 4, "end" if end else "start", rung.kind))
    for value in (floor, (1.0 + floor) / 2, 1.0):
        parts.append(Markup('<text x="10" y="{:.1f}">{:.2f}</text>').format(height(value) + 4, value))
    for power in range(first, last + 1):
        tick = Markup('<text x="{:.1f}" y="208" text-anchor="middle">{:,g}</text>')
        parts.append(tick.format(across(power), 10.0**power))
    below = words("microseconds a text, on one core")
    parts.append(Markup('<text x="320" y="226" text-anchor="middle">{}</text>').format(below))
    parts.append(Markup('<text x="10" y="8">{}</text>').format(words("F1")))
    return _drawing("0 -8 620 240", words("F1 (upwards) over the cost of a text"), parts)


def asked_by_day(stretches: Sequence[AskedStretch], words: Words) -> Markup:
    """When the rows that were learned from are of, by the round that asked about them: stacked bars."""
    most = max(sum(stretch.rounds) for stretch in stretches) or 1
    width = 540 / len(stretches)
    parts = []
    for place, stretch in enumerate(stretches):
        x, y = 60 + width * place, 150.0
        for number, count in enumerate(stretch.rounds, 1):
            height = 130 * count / most
            y -= height
            if count:
                parts.append(
                    Markup(
                        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="#0b6bcb" '
                        'fill-opacity="{:.2f}"><title>{}</title></rect>'
                    ).format(
                        x + 1,
                        y,
                        max(1.0, width - 2),
                        height,
                        1.0 - 0.75 * (number - 1) / max(1, len(stretch.rounds) - 1),
                        words(
                            "{first} to {last}, round {round}: {rows} rows",
                            first=stretch.first,
                            last=stretch.last,
                            round=number,
                            rows=count,
                        ),
                    )
                )
    parts.append(Markup('<text x="60" y="168">{}</text>').format(stretches[0].first))
    parts.append(Markup('<text x="600" y="168" text-anchor="end">{}</text>').format(stretches[-1].last))
    parts.append(Markup('<text x="10" y="30">{:,}</text><text x="10" y="152">0</text>').format(most))
    parts.append(Markup('<text x="10" y="12">{}</text>').format(words("rows")))
    return _drawing("0 0 620 176", words("teacher rows by day; a later round is lighter"), parts)


def _drawing(box: str, label: str, parts: Sequence[Markup]) -> Markup:
    svg = Markup('<svg viewBox="{}" role="img" aria-label="{}">{}</svg>')
    return svg.format(box, label, Markup("").join(parts))


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _circle(x: float, y: float, radius: float, colour: str) -> Markup:
    return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}" fill="{}"/>').format(x, y, radius, colour)
