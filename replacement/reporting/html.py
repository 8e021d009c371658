"""The report of a version: report.json for programs, report.html and report.zh.html for people.

A page is one file and needs no network.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from pingti import files
from pingti.workspace.chinese import translated
from pingti.workspace.report import Report, how_sure, refusal, without_rows
from pingti.workspace.report_parts import ClassCurve
from pingti.workspace.verdict import LANGUAGES, page_name, verdict
from replacement.evaluation.bootstrap import FIGURES
from replacement.reporting import charts, words

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
    """Write all forms into a version's folder: JSON, and the page in each language.

    Args:
        folder: where to; it is made, if needed.
        report: the report, or what report.json is to hold.

    Raises:
        ValueError: it is no report, or holds a number that JSON does not have; nothing is written.
    """
    report = Report.model_validate(report)
    pages = {language: render(report, language) for language in LANGUAGES}
    files.write_json(folder / "report.json", report.stored())
    for language, page in pages.items():
        files.write_bytes(folder / page_name(language), page.encode())


def render(report: Report | Mapping[str, Any], language: str = "en") -> str:
    """Render the HTML form; every text in it is escaped.

    Args:
        report: the report, or what report.json holds.
        language: of the page; one of ``pingti.workspace.verdict.LANGUAGES``.

    Returns:
        A page that stands alone.

    Raises:
        ValueError: it is no report.
    """
    report = Report.model_validate(report)
    return _template().render(
        report=report,
        language=language,
        verdict=verdict(report, language),
        t=words.CHINESE if language == "zh" else words.ENGLISH,
        told=translated if language == "zh" else str,
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
