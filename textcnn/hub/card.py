"""The model card of a student: what its metadata and its report say, and nothing else.

A report holds texts of the corpus, and paths of the machine that made it. Neither is in a card; what a report
does not tell is a dash.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from pingti.frames.texts import listed

DASH = "–"
_FIGURES = ("precision", "recall", "f1", "accuracy")
_NAMES = {"textcnn": "TextCNN"}
_TRANSFORMER = ("pingti.students.transformer", "TransformerStudent")
"""The module and the class that load a student of that kind."""
_TRUE_LABELS = {
    "student": "student, against people's labels",
    "teacher": "teacher, against people's labels",
    "baseline": "a linear n-gram model, against people's labels",
}


def model_card(
    name: str,
    classes: Sequence[str],
    metadata: Mapping[str, Any],
    report: Mapping[str, Any] | None,
    *,
    kind: str = "textcnn",
) -> str:
    """Write a card: README.md with a YAML head.

    Args:
        name: how ``Student.from_pretrained`` finds the student.
        classes: the student's.
        metadata: the student's.
        report: what report.json of its version holds; None where there is none.
        kind: of student.
    """
    document = report or {}
    title = str(metadata.get("task") or name)
    parts = [
        _head(kind),
        f"# {title}\n\nA {_NAMES.get(kind, kind)} student of Pingti: it decides as its teacher, a larger "
        f"classifier, does. Classes: {listed(classes)}.",
        _use(name, classes, metadata, kind),
        _figures(document),
        _gate(document.get("gate") or {}, document.get("cascade") or {}),
        _teacher(document.get("teacher") or {}),
        _data(document),
    ]
    if report is None:
        parts.append("There was no report of this student when the card was written.")
    return "\n\n".join(parts) + "\n"


def _head(kind: str) -> str:
    fields = {
        "library_name": "pingti",
        "pipeline_tag": "text-classification",
        "tags": [kind, "distillation", "onnx" if kind == "transformer" else "safetensors"],
    }
    # A value in JSON is one in YAML, too.
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in fields.items()), "---"])


def _use(name: str, classes: Sequence[str], metadata: Mapping[str, Any], kind: str) -> str:
    package, found = ("pingti", "Student") if kind != "transformer" else _TRANSFORMER
    lines = [
        "## Use\n",
        "```python",
        f"import {package}",
        "",
        f"student = {package}.{found}.from_pretrained({json.dumps(name, ensure_ascii=False)})",
        f'student.score(["a text"])  # float32 (1, {len(classes)}): the classes\' probabilities',
        "```",
        "",
        "| operating point | threshold of the second class |",
        "|---|--:|",
    ]
    thresholds: Mapping[str, float | None] = metadata.get("thresholds") or {"": None}
    lines += [f"| {_cell(point or None)} | {_number(value)} |" for point, value in thresholds.items()]
    rules = metadata.get("rules") or {}
    patterns = sum(len(patterns) for patterns in rules.values())
    depends_on = metadata.get("depends_on") or ()
    if patterns or depends_on:
        lines += ["", "`score` knows the network alone. The task it was made for has, besides:", ""]
        lines += [f"- rules: {patterns} patterns that decide before the student is asked"] * bool(patterns)
        lines += [f"- it is asked only where other tasks say {listed(depends_on)}"] * bool(depends_on)
    return "\n".join(lines)


def _figures(report: Mapping[str, Any]) -> str:
    rows = [
        _row(
            "student, against its teacher",
            report.get("holdout") or {},
            report.get("holdout_intervals") or {},
        )
    ]
    for key, where in (("truth", "held-out texts"), ("truth_apart", "texts apart from the corpus")):
        for who, measured in (report.get(key) or {}).items():
            if who in _TRUE_LABELS:
                rows.append(_row(f"{_TRUE_LABELS[who]} ({where})", measured, measured.get("intervals") or {}))
    speed = report.get("speed") or {}
    return "\n".join(
        [
            "## Figures\n",
            "On rows that it did not learn from; 95 % intervals. Of more than two classes, means.\n",
            "| | precision | recall | F1 | accuracy | rows | positives |",
            "|---|--:|--:|--:|--:|--:|--:|",
            *rows,
            "",
            f"Texts a second on one core, where it was made: student {_count(speed.get('student'))}, teacher "
            f"{_count(speed.get('teacher'))}.",
        ]
    )


def _row(what: str, measured: Mapping[str, Any], intervals: Mapping[str, Any]) -> str:
    cells = [what]
    for name in _FIGURES:
        cell = _number(measured.get(name))
        if cell != DASH and (interval := intervals.get(name)):
            cell += f" ({_number(interval[0])} to {_number(interval[1])})"
        cells.append(cell)
    cells += [_count(measured.get(name)) for name in ("rows", "positives")]
    return f"| {' | '.join(cells)} |"


def _gate(gate: Mapping[str, Any], cascade: Mapping[str, Any]) -> str:
    passed = DASH if gate.get("passed") is None else "reached" if gate["passed"] else "not reached"
    if gate.get("passed") and gate.get("by") == "cascade":  # who is not in this folder
        passed = (
            f"reached by the student together with its {cascade.get('second', 'teacher')}, which answers "
            "where the student is not sure and is not in this folder; not by the student alone"
        )
    return (
        "## Gate\n\n"
        f"Asked against the teacher: precision {_number(gate.get('precision'))}, recall "
        f"{_number(gate.get('recall'))}. It was: {passed}."
    )


def _teacher(teacher: Mapping[str, Any]) -> str:
    quality = teacher.get("quality") or {}
    facts = {
        "model": _file_name(teacher.get("model")),
        "label that was asked for": teacher.get("label"),
        "pieces that it reads": teacher.get("max_length"),
        "numbers": teacher.get("precision"),
        "rows that it was asked about": _count(teacher.get("rows_asked")),
        "right, by people's labels": _number(quality.get("teacher")),
        "right, a linear n-gram model on the same rows": _number(quality.get("ngram")),
    }
    return f"## Teacher\n\n{_facts(facts)}"


def _data(report: Mapping[str, Any]) -> str:
    learned = report.get("asked_by_day") or ()
    days = sorted(str(day["day"]) for day in report.get("days") or () if day.get("day"))
    corpus = report.get("corpus") or {}
    rounds = report.get("rounds") or ()
    kept: Mapping[str, Any] = next((one for one in rounds if one["round"] == report.get("kept_round")), {})
    facts = {
        "made": report.get("made"),
        "rows of the corpus": _count(corpus.get("read")),
        "rows that it was trained on": _count(kept.get("rows")),
        "they are of": _span(
            [str(part["first"]) for part in learned], [str(part["last"]) for part in learned]
        ),
        "held-out rows are of": _span(days, days),
    }
    return f"## Data\n\n{_facts(facts)}"


def _facts(facts: Mapping[str, Any]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {_cell(value)} |" for key, value in facts.items())])


def _span(firsts: Iterable[str], lasts: Iterable[str]) -> str | None:
    first, last = min(firsts, default=None), max(lasts, default=None)
    return None if first is None or last is None else first if first == last else f"{first} to {last}"


def _file_name(model: Any) -> str | None:
    """A teacher's name; of a path its last part alone."""
    text = str(model or "")
    is_path = text.startswith(("/", ".", "~")) or "\\" in text or text.count("/") > 1
    return (PurePosixPath(text.replace("\\", "/")).name if is_path else text) or None


def _cell(value: Any) -> str:
    if value in (None, ""):
        return DASH
    return " ".join(str(value).split()).replace("|", "\\|")


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"


def _count(value: float | None) -> str:
    return DASH if value is None else f"{value:,.0f}"
