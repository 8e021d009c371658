"""The report of a version: report.json for programs, report.html for people (one file, no network)."""

from html import escape
from pathlib import Path
from typing import Any

from pingti import files
from pingti.workspace.report import shortfall
from replacement.evaluation.bootstrap import FIGURES
from replacement.reporting import charts

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #c4302b; --ink: #0b6bcb; }
@media (prefers-color-scheme: dark) { :root { --good: #4ac26b; --bad: #ff7b72; --ink: #58a6ff; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem 4rem; }
h1 { margin-bottom: .2rem; } h2 { margin: 2.5rem 0 .5rem; font-size: 1.2rem; }
div { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; font-size: .85rem; } tbody tr:hover { background: #8881; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
.good { color: var(--good); } .bad { color: var(--bad); } summary { cursor: pointer; }
polyline { fill: none; stroke-width: 2.5; } svg text { font-size: 12px; fill: currentColor; }
svg.small { width: 11rem; margin: .2rem; }
"""
_CURVES = 24  # of the classes with the lowest F1


def write(folder: Path, report: dict[str, Any]) -> None:
    """Write both forms into a version's folder."""
    files.write_json(folder / "report.json", report)
    files.write_bytes(folder / "report.html", render(report).encode())


def render(report: dict[str, Any]) -> str:
    """The HTML form; every text in it is escaped."""
    gate, holdout = report["gate"], report["holdout"]
    verdict = (
        '<span class="good">the gate is reached</span>'
        if gate["passed"]
        else f'<span class="bad">refused: {escape(shortfall(report))}</span>'
    )
    title = f"{report['task']}, version {report['version']}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>Made {escape(report['made'])}. {verdict}; the loop ended because {escape(report['stopped'])}, "
        f"and round {report['kept_round']} was kept.</p>",
        "<h2>Against the teacher, on the held-out rows</h2>",
        _table(
            ["", "precision", "recall", "F1", "accuracy", "rows", "positives"],
            [
                ["student", *_figures(holdout), str(holdout["rows"]), str(holdout["positives"])],
                *_beside(report),
                ["gate", f"{gate['precision']:.3f}", f"{gate['recall']:.3f}", "", "", "", ""],
            ],
        ),
        "<h2>Rounds</h2>",
        charts.rounds(report["rounds"]),
        _table(
            ["round", "rows", "teacher rows asked", "added", "precision", "recall", "F1"],
            [
                [
                    str(found["round"]),
                    str(found["rows"]),
                    str(found["asked"]),
                    ", ".join(f"{count} {kind}" for kind, count in found["added"].items()),
                    *_figures(found["holdout"])[:3],
                ]
                for found in report["rounds"]
            ],
        ),
        *_brought(report["rounds"]),
        *charts.asked_by_day(report.get("asked_by_day", [])),
        "<h2>Scenes</h2>",
        _table(
            ["scene", "threshold", "on the calibration rows", "precision", "recall", "F1"],
            [
                [
                    name,
                    "" if scene["threshold"] is None else f"{scene['threshold']:.4f}",
                    scene["says"],
                    *(_figures(scene["holdout"])[:3] if scene["holdout"] else ["", "", ""]),
                ]
                for name, scene in report["scenes"].items()
            ],
        ),
        *_scene_days(report["scenes"]),
        *_evidence(report),
        *_faults(report),
        "<h2>Clearest disagreements on the holdout</h2>",
        _table(
            ["text", "teacher", "student"],
            [[row["text"], row["teacher"], row["student"]] for row in report["hardest"]],
        ),
        *_losses(report.get("losses", [])),
        "<h2>Corpus and teacher</h2>",
        _table(
            ["", "rows"], [[key.replace("_", " "), str(value)] for key, value in report["corpus"].items()]
        ),
        f"<p>The teacher was asked about {report['teacher']['rows_asked']} rows, of which "
        f"{report['teacher']['rows_computed']} were computed in this run and the others were cached. "
        f"{report['boundary_rows']} boundary rows wait for a person in review.jsonl.</p>",
        *_subclasses(report.get("subclasses", {})),
        *_speed(report.get("speed")),
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>{"".join(parts)}</html>'
    )


def _brought(rounds: list[dict[str, Any]]) -> list[str]:
    """What each kind of chosen rows turned out to be."""
    rows = [
        [str(found["round"]), kind, *(str(each[name]) for name in ("rows", "positives", "errors", "lead"))]
        for found in rounds
        for kind, each in found.get("brought", {}).items()
    ]
    if not rows:
        return []
    head = ["round", "kind", "rows", "positives", "the student was wrong", "teacher's mean lead"]
    return ["<h2>What the chosen rows brought</h2>", _table(head, rows)]


def _evidence(report: dict[str, Any]) -> list[str]:
    """Curve, days and calibration, as far as the report has them."""
    by_f1 = {each["class"]: each["f1"] for each in report.get("by_class", [])}
    parts = []
    if report.get("curve"):
        parts += ["<h2>Precision and recall, the scenes marked</h2>", charts.curve(report)]
    if report.get("curves"):
        drawn = sorted(report["curves"], key=lambda each: by_f1[each["class"]])[:_CURVES]
        parts += [
            "<h2>Precision and recall of each class against the others</h2>",
            f"<p>{len(drawn)} of {len(report['curves'])} classes, the lowest F1 first; recall to the right, "
            "precision upwards, the student as it decides marked.</p>",
            f"<div>{charts.curves(drawn, report['by_class'])}</div>",
        ]
    if report.get("days"):
        worst = report.get("worst_day")
        parts += [
            f"<h2>Day by day</h2><p>{f'The worst day is {escape(worst)}.' if worst else ''}</p>",
            _table(
                ["day", "precision", "recall", "F1", "rows", "positives"],
                [
                    [day["day"], *_figures(day)[:3], str(day["rows"]), str(day["positives"])]
                    for day in report["days"]
                ],
            ),
        ]
    if report.get("calibration"):
        parts += [
            "<h2>Calibration</h2>",
            _table(
                ["mean score", "share that the teacher confirms", "rows"],
                [
                    [f"{each['score']:.3f}", f"{each['share']:.3f}", str(each["rows"])]
                    for each in report["calibration"]
                ],
            ),
        ]
    return parts


def _scene_days(scenes: dict[str, Any]) -> list[str]:
    """Each scene's intervals, and what its threshold reaches day by day."""
    parts = []
    for name, scene in scenes.items():
        spans = scene.get("intervals")
        if not spans and not scene.get("days"):
            continue
        said = [f"{key} {low:.3f} to {high:.3f}" for key, (low, high) in (spans or {}).items()]
        rows = []
        for each in scene.get("days", []):
            worst = " (the worst)" if each == scene["worst"] else ""
            figures = each["measure"]
            days = each["first"] if each["first"] == each["last"] else f"{each['first']} to {each['last']}"
            own = each.get("threshold")
            rows.append(
                [days + worst, *_figures(figures)[:3], str(figures["rows"]), str(figures["positives"])]
            )
            rows[-1].append("" if own is None else f"{own:.4f}")
        if rows:
            overall = scene["calibration"]
            rows.append(["all", *_figures(overall)[:3], str(overall["rows"]), str(overall["positives"])])
            rows[-1].append("" if scene["threshold"] is None else f"{scene['threshold']:.4f}")
        title = f"{name}: " + (f"95 % intervals: {', '.join(said)}" if said else "by day")
        parts.append(f"<details{' open' if rows else ''}><summary>{escape(title)}</summary>")
        if rows:
            head = ["days", "precision", "recall", "F1", "rows", "positives", "threshold by these alone"]
            parts.append(_table(head, rows))
        parts.append("</details>")
    if not parts:
        return []
    return ["<p>On the calibration rows, each counted as one over its chance to be drawn:</p>", *parts]


def _faults(report: dict[str, Any]) -> list[str]:
    """Clusters that are missed or called wrongly, and the classes that are mixed up."""
    parts = []
    for key, count, title in (
        ("clusters", "missed", "Where it is missed most"),
        ("false_clusters", "false", "Where it is called wrongly most"),
    ):
        found = report.get(key, [])[:10]
        if not found:
            continue
        head = ["texts like", "rows", "as the teacher: round 1", "now", count]
        rows = [
            [
                (f"{each['class']}: " if "class" in each else "") + " · ".join(each["examples"]),
                str(each["rows"]),
                f"{each.get('covered_before', each['covered']):.3f}",
                f"{each['covered']:.3f}",
                str(each[count]),
            ]
            for each in found
        ]
        parts += [f"<h2>{title}: clusters of the held-out rows</h2>", _table(head, rows)]
    if report.get("by_class"):
        rows = [
            [each["class"], *(f"{each[name]:.3f}" for name in FIGURES), str(each["rows"])]
            for each in report["by_class"]
        ]
        parts += ["<h2>Classes</h2>", _table(["class", "precision", "recall", "F1", "rows"], rows)]
    if report.get("pairs"):
        rows = [
            [
                f"{each['teacher']} for {each['student']}",
                " · ".join(each["examples"]),
                f"{each['rows']} of {each['of']}",
                f"{each['share']:.3f}" if "share" in each else "",
            ]
            for each in report["pairs"]
        ]
        parts += [
            "<h2>Classes that it mistakes</h2>",
            _table(["teacher's for its own", "texts like", "rows", "share"], rows),
        ]
    return parts


def _losses(ranked: list[dict[str, Any]]) -> list[str]:
    """The rows learned from with the highest loss."""
    if not ranked:
        return []
    rows = [
        [
            each["text"],
            f"{each['teacher']} {each['teacher_score']:.3f}",
            f"{each['student']} {each['student_score']:.3f}",
            f"{each['loss']:.2f}",
        ]
        for each in ranked
    ]
    head = ["text", "teacher", "student", "loss"]
    return [
        "<h2>Learned worst: rows of the highest loss</h2>",
        "<p>The student cannot learn them, or the teacher has them wrong.</p>",
        f"<details><summary>{len(rows)} rows</summary>{_table(head, rows)}</details>",
    ]


def _subclasses(divided: dict[str, list[list[str]]]) -> list[str]:
    """Which of the teacher's labels the student tells apart within a class."""
    said = [
        f"{name}: {'; '.join(', '.join(labels) for labels in parts)}"
        for name, parts in divided.items()
        if len(parts) > 1
    ]
    if not said:
        return []
    return (
        ["<p>The student tells labels of the teacher apart within a class.</p><ul>"]
        + [f"<li>{escape(each)}</li>" for each in said]
        + ["</ul>"]
    )


def _speed(speed: dict[str, float] | None) -> list[str]:
    if not speed:
        return []
    student, teacher = speed["student"], speed["teacher"]
    return [
        "<p>On one core of the machine that made it the student scores "
        f"{student:,.0f} texts a second and the teacher {teacher:,.0f}: "
        f"{student / teacher:,.0f} times as many.</p>"
    ]


def _beside(report: dict[str, Any]) -> list[list[str]]:
    """Rows of the table: the student's 95 % intervals, and the version that was promoted before it."""
    rows = _spans(report.get("holdout_intervals"))
    incumbent = report["gate"].get("incumbent")
    if incumbent:
        held = incumbent["holdout"]
        name = f"version {incumbent['version']}, promoted now"
        rows.append([name, *_figures(held), str(held["rows"]), str(held["positives"])])
    for who, held in (report.get("truth") or {}).items():
        rows.append(
            [f"{who}, against true labels", *_figures(held), str(held["rows"]), str(held["positives"])]
        )
        rows += _spans(held.get("intervals"))
    return rows


def _spans(found: dict[str, Any] | None) -> list[list[str]]:
    """The row of some intervals, where there are any."""
    spans = [f"{found[name][0]:.3f} to {found[name][1]:.3f}" for name in FIGURES] if found else []
    return [["95 % interval", *spans, "", "", ""]] if spans else []


def _figures(measure: dict[str, Any]) -> list[str]:
    return [f"{measure[name]:.3f}" for name in ("precision", "recall", "f1", "accuracy")]


def _table(head: list[str], rows: list[list[str]]) -> str:
    cells = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"
