"""The report of a version: report.json for programs, report.html for people (one file, no network)."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from pingti import files
from pingti.workspace.report import ClassCurve, Report, how_sure, refusal, without_rows
from replacement.evaluation.bootstrap import FIGURES
from replacement.reporting import charts

_TEMPLATE = "report.html.j2"
_CURVES = 24  # of the classes with the lowest F1
_REASONS = {"competing": "hard negatives"}
"""Why rows were chosen, where the report's key has another word for it."""

_CORPUS = {
    "labelled": "in teacher.labels, before the holdout",
    "labelled_in_holdout": "in teacher.labels, of the holdout's days",
}
"""What became of the corpus's rows, where the report's key says too little."""


def write(folder: Path, report: Report | Mapping[str, Any]) -> None:
    """Write both forms into a version's folder.

    Args:
        folder: where to; it is made, if needed.
        report: the report, or what report.json is to hold.

    Raises:
        ValueError: it is no report, or holds a number that JSON does not have; nothing is written.
    """
    report = Report.model_validate(report)
    page = render(report)
    files.write_json(folder / "report.json", report.stored())
    files.write_bytes(folder / "report.html", page.encode())


def render(report: Report | Mapping[str, Any]) -> str:
    """Render the HTML form; every text in it is escaped.

    Args:
        report: the report, or what report.json holds.

    Returns:
        A page that stands alone.

    Raises:
        ValueError: it is no report.
    """
    report = Report.model_validate(report)
    return _template().render(
        report=report,
        refusal=refusal(report),
        without_rows=without_rows(report),
        sure=how_sure(report),
        curves=_lowest(report),
        charts=charts,
        figures=FIGURES,
        reasons=_REASONS,
        corpus_words=_CORPUS,
    )


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("replacement.reporting", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATE)


def _lowest(report: Report) -> list[ClassCurve]:
    """The curves that are drawn: those of the classes with the lowest F1."""
    f1_of = {own.class_name: own.f1 for own in report.by_class}
    return sorted(report.curves, key=lambda own: f1_of[own.class_name] or 0.0)[:_CURVES]
