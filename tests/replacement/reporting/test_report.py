import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pingti.annotation import review_queue
from pingti.workspace.registry import Workspace
from pingti.workspace.report import Report, refusal, shortfall
from pingti.workspace.report_parts import Rung
from replacement.answers import margin
from replacement.evaluation.bootstrap import FIGURES
from replacement.reporting import charts, html, words
from tests.support.dashboard import report_of, rung

EVIL = "<script>alert(1)</script>\"'&"


def figures(**changed: float) -> dict[str, Any]:
    standard = {"precision": 0.91, "recall": 0.82, "f1": 0.86, "accuracy": 0.95, "rows": 500, "positives": 60}
    return {**standard, **changed}


def document(text: str = "a text", **changed: Any) -> dict[str, Any]:
    """A report with ``text`` wherever it comes from outside."""
    rounds = [
        {
            "round": number,
            "rows": 100 * number,
            "asked": 700 + 100 * number,
            "added": {"random": 25, "competing": 75},
            "holdout": figures(f1=0.5 + number / 10),
        }
        for number in (1, 2, 3)
    ]
    whole = {
        "format": 1, "task": text, "version": 4, "made": text, "seed": 0, "classes": [text, "yes"],
        "teacher": {"model": text, "fingerprint": text, "rows_asked": 1000, "rows_computed": 10},
        "corpus": {"read": 9000, "negative_by_rule": 7, text: 1},
        "gate": {"precision": 0.9, "recall": 0.9, "passed": False, "shortfall": [0.0, 0.08]},
        "holdout": figures(), "rounds": rounds, "kept_round": 3, "stopped": text,
        "scenes": {
            text: {"threshold": 0.4321, "says": text, "holdout": figures(precision=0.777)},
            "dream": {"threshold": None, "says": "no threshold reaches it", "holdout": None},
        },
        "hardest": [{"text": text, "teacher": text, "student": text, "difference": 0.9}],
        "boundary_rows": 12,
    }  # fmt: skip
    return {**whole, **changed}


class Page(HTMLParser):
    """Elements, attributes, table rows and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in ("meta", "polyline", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("polyline", "circle"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_both_forms_are_written_and_say_the_same(tmp_path: Path) -> None:
    html.write(tmp_path / "1", document("每日一句"))
    assert json.loads((tmp_path / "1" / "report.json").read_text(encoding="utf-8")) == document("每日一句")
    page = Page((tmp_path / "1" / "report.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert page.rows[:3] == [
        ["", "precision", "recall", "F1", "accuracy", "rows", "positives"],
        ["student", "0.910", "0.820", "0.860", "0.950", "500", "60"],
        ["gate", "0.900", "0.900", "", "", "", ""],
    ]
    assert ["2", "200", "900", "25 random, 75 hard negatives", "0.910", "0.820", "0.700"] in page.rows
    assert ["每日一句", "0.4321", "每日一句", "0.777", "0.820", "0.860"] in page.rows
    assert ["dream", "–", "no threshold reaches it", "–", "–", "–"] in page.rows
    assert ["每日一句"] * 3 in page.rows
    assert ["negative by rule", "7"] in page.rows
    assert "refused: recall 0.820 is below 0.900" in page.text
    assert "round 3 was kept" in page.text
    assert "12 boundary rows" in page.text


def test_how_sure_a_verdict_is_and_what_would_help_stand_on_the_page() -> None:
    shown = document()
    shown["gate"] |= {"sure": 0.61, "advice": ["a larger budget", "more days"]}
    shown["holdout_intervals"] = {"precision": [0.8, 0.9], "recall": [0.7, 0.8], "f1": [0.7, 0.8]}
    page = Page(html.render(shown))
    assert "of holdouts drawn again 61% give the same verdict" in page.text
    assert page.text.index("what helps most is a larger budget") < page.text.index("what helps, too, is more")
    shown["gate"] |= {"passed": True, "advice": []}
    page = Page(html.render(shown))
    assert "of holdouts drawn again 61% give the same verdict" in page.text
    assert "what helps" not in page.text


def test_the_teacher_s_own_quality_stands_beside_what_is_trivial() -> None:
    quality = {"rows": 300, "teacher": 0.8, "ngram": 0.7, "frozen": 0.75, "measured_on": "rows kept aside"}
    shown = document()
    shown["teacher"]["quality"] = quality
    page = Page(html.render(shown))
    assert ["teacher", "0.800"] in page.rows
    assert ["linear n-gram model", "0.700"] in page.rows
    assert ["frozen encoder with a linear head", "0.750"] in page.rows
    assert "On 300 rows kept aside." in page.text
    assert "A trivial model is better" not in page.text
    shown["teacher"]["quality"] = {**quality, "ngram": 0.81, "frozen": None}
    page = Page(html.render(shown))
    assert "A trivial model is better than this teacher." in page.text
    assert "frozen encoder" not in page.text
    assert "itself, against people" not in Page(html.render(document())).text


def test_the_baseline_stands_beside_student_and_teacher() -> None:
    who = {name: {**figures(f1=f1), "intervals": {}} for name, f1 in (("teacher", 0.7), ("baseline", 0.6))}
    page = Page(html.render(document(truth=who)))
    names = [row[0] for row in page.rows]
    assert "linear n-gram model, against true labels" in names
    assert "teacher, against true labels" in names


def test_no_text_becomes_markup(tmp_path: Path) -> None:
    evil = Page(html.render(document(EVIL)))
    plain = Page(html.render(document()))
    assert evil.tags == plain.tags
    assert evil.attributes == plain.attributes
    assert "script" not in evil.tags
    assert evil.text.count(EVIL) == plain.text.count("a text") > 8


def test_the_page_needs_no_network() -> None:
    page = html.render(document())
    assert "http" not in page
    assert "url(" not in page
    assert {"link", "img", "script", "iframe"}.isdisjoint(Page(page).tags)


@pytest.mark.parametrize(
    ("holdout", "lacks"),
    [
        (figures(recall=0.95), ""),
        (figures(recall=0.9), ""),
        (figures(precision=0.5), "precision 0.500 is below 0.900 and recall 0.820 is below 0.900"),
        (figures(precision=0.8, recall=0.9), "precision 0.800 is below 0.900"),
    ],
)
def test_the_verdict(holdout: dict[str, Any], lacks: str) -> None:
    gate = {"precision": 0.9, "recall": 0.9, "passed": not lacks}
    report = document(holdout=holdout, gate=gate)
    assert shortfall(report) == lacks
    text = Page(html.render(report)).text
    assert ("the gate is reached" in text) == (not lacks)
    assert ("refused: " + lacks in text) == bool(lacks)


def test_a_refusal_is_a_headline_and_a_list_of_points() -> None:
    cluster = {"rows": 9, "covered": 0.5, "examples": ["a <b>text</b>"]}
    gate = {"precision": 0.9, "recall": 0.9, "passed": False}
    report = document(
        holdout=figures(precision=0.5, recall=0.4),
        gate=gate,
        clusters=[{**cluster, "missed": 3}],
        false_clusters=[{**cluster, "false": 4}],
    )
    page = html.render(report)
    lacks = refusal(report)
    assert f"refused: {lacks.headline}</span>" in page
    points = re.findall("<li>(.*)</li>", page)
    assert [unescape(point) for point in points] == list(lacks.points)
    assert len(points) == 2
    assert "<b>" not in page


@pytest.mark.parametrize("values", [[0.5], [0.0, 1.0], [1.0, 1.0, 1.0], [0.2, 0.9, 0.6]])
def test_the_lines_stay_inside_the_picture_and_rise_with_the_values(values: list[float]) -> None:
    rounds = [
        {**document()["rounds"][0], "round": i, "holdout": figures(precision=v, recall=v, f1=v)}
        for i, v in enumerate(values, 1)
    ]
    page = Page(html.render(document(rounds=rounds)))
    lines = [value for name, value in page.attributes if name == "points"]
    assert len(lines) == 3
    for line in lines:
        points = [tuple(map(float, point.split(","))) for point in str(line).split()]
        assert all(0 <= x <= 620 and 0 <= y <= 200 for x, y in points)
        assert (
            np.argsort([-y for _, y in points], kind="stable").tolist()
            == np.argsort(values, kind="stable").tolist()
        )
        assert len({x for x, _ in points}) == len(values)


def test_all_that_is_known_is_shown_and_stays_text() -> None:
    stretch = {"first": "2025-01-01", "last": "2025-01-03", "measure": figures(f1=0.111), "threshold": 0.7654}
    point = {
        "threshold": 0.4, "says": "best", "holdout": figures(), "calibration": figures(),
        "intervals": {"threshold": [0.3, 0.5], "f1": [0.8, 0.9]}, "days": [stretch], "worst": stretch,
    }  # fmt: skip
    cluster = {"rows": 9, "covered": 0.8, "covered_before": 0.25, "examples": [EVIL, "b"]}
    report = document(
        scenes={EVIL: point},
        rounds=[
            {
                **document()["rounds"][0],
                "brought": {"competing": {"rows": 7, "positives": 2, "errors": 3, "lead": 0.4321}},
            }
        ],
        asked_by_day=[
            {"first": "2025-01-01", "last": "2025-01-05", "rounds": [30, 10, 0]},
            {"first": "2025-01-06", "last": "2025-01-09", "rounds": [0, 5, 5]},
        ],
        clusters=[{**cluster, "missed": 2, "class": EVIL}],
        false_clusters=[{**cluster, "false": 3}],
        pairs=[{"teacher": EVIL, "student": "b", "rows": 4, "of": 50, "share": 0.08, "examples": [EVIL]}],
        by_class=[{"class": EVIL, "precision": 0.5, "recall": 0.6, "f1": 0.7, "rows": 80}],
        losses=[
            {
                "text": EVIL,
                "loss": 4.5,
                "teacher": EVIL,
                "teacher_score": 0.9,
                "student": "b",
                "student_score": 1.0,
            }
        ],
        truth={
            "student": {**figures(accuracy=0.1234), "intervals": {name: [0.2, 0.7] for name in FIGURES}},
            "teacher": figures(),
        },
        curves=[{"class": EVIL, "points": [{"threshold": 0.5, "precision": 0.5, "recall": 0.6}]}],
        days=[{"day": "2025-01-02", **figures()}, {"day": "2025-01-03", **figures(f1=0.0, positives=0)}],
        worst_day="2025-01-02",
        speed={"student": 500_000.0, "teacher": 50.0},
    )
    page = Page(html.render(report))
    assert page.open == []
    assert "script" not in page.tags
    assert [
        "2025-01-01 to 2025-01-03 (the worst)",
        "0.910",
        "0.820",
        "0.111",
        "500",
        "60",
        "0.7654",
    ] in page.rows
    assert ["1", "hard negatives", "7", "2", "3", "0.4321"] in page.rows
    assert ["all", "0.910", "0.820", "0.860", "500", "60", "0.4000"] in page.rows
    assert "The worst day is 2025-01-02." in page.text
    assert ["95 % interval", *["0.200 to 0.700"] * 3, "", "", ""] in page.rows
    assert [f"{EVIL}: {EVIL} · b", "9", "0.250", "0.800", "2"] in page.rows
    assert [f"{EVIL} · b", "9", "0.250", "0.800", "3"] in page.rows
    assert [f"{EVIL} for b", EVIL, "4 of 50", "0.080"] in page.rows
    assert [EVIL, "0.500", "0.600", "0.700", "80"] in page.rows
    assert [EVIL, f"{EVIL} 0.900", "b 1.000", "4.50"] in page.rows
    assert ["student, against true labels", "0.910", "0.820", "0.860", "0.123", "500", "60"] in page.rows
    assert "threshold 0.300 to 0.500, f1 0.800 to 0.900" in page.text
    assert "10,000 times as many" in page.text
    # A bar for every round that asked about rows of those days, and the frame of the one class's curve.
    assert page.tags.count("rect") == 4 + 1
    assert ("aria-label", EVIL) in page.attributes
    assert "2025-01-01 to 2025-01-05, round 1: 30 rows" in page.text
    heights = [float(value or 0) for name, value in page.attributes if name == "height"]
    assert sum(heights[:2]) == pytest.approx(130.0, abs=0.2)


def test_a_report_of_typed_values_is_written_with_the_keys_on_disk(tmp_path: Path) -> None:
    html.write(tmp_path, Report.model_validate(document()))
    assert json.loads((tmp_path / "report.json").read_text()) == document()
    assert (tmp_path / "report.html").read_text() == html.render(document())


def test_what_is_no_json_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        html.write(tmp_path, document(holdout=figures(f1=float("nan"))))
    assert list(tmp_path.iterdir()) == []


def test_the_review_file_has_the_least_clear_row_first(workspace: Workspace) -> None:
    entry = workspace.task("topic")
    probabilities = np.array([[0.5, 0.45, 0.05], [0.4, 0.2, 0.4], [0.1, 0.46, 0.44]], np.float32)
    scores, margins = probabilities, margin(probabilities)
    assert review_queue.write(entry, 2, ["a", None, "c"], ["x", "谁\u2028", EVIL], scores, margins) == 3
    rows = [
        json.loads(line) for line in (entry.folder / "review.jsonl").read_bytes().decode().split("\n")[:-1]
    ]
    assert [(row["id"], row["text"]) for row in rows] == [(None, "谁\u2028"), ("c", EVIL), ("a", "x")]
    assert rows[2]["teacher"] == {"sport": 0.5, "tech": 0.45, "other": 0.05}
    assert rows[1]["reason"] == "the teacher's margin of 0.020 is below 0.1"
    assert {(row["task"], row["version"]) for row in rows} == {("topic", 2)}
    assert review_queue.write(entry, 3, [], [], np.zeros((0, 3), np.float32), np.zeros(0, np.float32)) == 0
    assert (entry.folder / "review.jsonl").read_bytes() == b""


def test_labels_told_apart_within_a_class_are_listed() -> None:
    page = html.render(document(subclasses={"no": [["tech", "<b>"], ["other"]], "yes": [["sport"]]}))
    assert "no: tech, &lt;b&gt;; other" in page
    assert "yes: sport" not in page
    assert "tells labels of the teacher apart" not in html.render(document(subclasses={"no": [["a", "b"]]}))


def test_the_page_opens_with_the_verdict_in_the_language_asked_for(tmp_path: Path) -> None:
    gate = {"precision": 0.9, "recall": 0.8, "passed": True}
    html.write(tmp_path, document(gate=gate))
    for name, language, opening in (
        ("report.html", "en", "It may replace its teacher: it decides 5.0 % of the 500"),
        ("report.zh.html", "zh-CN", "可以取代教师模型：在 500 条"),
    ):
        page = (tmp_path / name).read_text(encoding="utf-8")
        assert f'<html lang="{language}">' in page
        assert re.search(rf'</h1>\s*<p class="verdict">{opening}', page)
        assert page.index('class="verdict"') < page.index("<table")


def test_in_chinese_nothing_of_the_page_stays_english() -> None:
    """But for names and texts of the report itself."""
    own = report_of("sport", 2)
    names = {
        "sport",
        "yes",
        "no",
        "default",
        "strict",
        "a match",
        "a game",
        "it was a game",
        "b",
        "F1",
        "JSON",
    }
    names |= {own["scenes"][name]["says"] for name in own["scenes"]}
    names |= {rung["kind"] for rung in own["ladder"]}
    names |= {row["text"] for row in own["hardest"]} | set(own["false_clusters"][0]["examples"])
    names |= {"review.jsonl", "n-gram", own["false_clusters"][0]["examples"][0][:59]}
    page = html.render(own, "zh")
    shown = unescape(re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))
    for name in sorted(names, key=len, reverse=True):
        shown = shown.replace(name, "")
    texts = re.findall(r">([^<>]+)<", shown) + re.findall(r'aria-label="([^"]*)"', shown)
    assert [text for text in texts if re.search("[A-Za-z]{3}", text)] == []
    assert "精确率" in shown


def test_the_ladder_is_a_table_and_a_drawing() -> None:
    rungs = [
        {**rung("textcnn", 0.9, 500_000.0), "note": EVIL},
        rung("ngram", 0.85, 2_000_000.0, passes=False, kept=True),
        {"kind": "transformer", "note": "no model of the teacher is here"},
    ]
    page = Page(html.render(document(ladder=rungs, kind="ngram")))
    rows = [row for row in page.rows if row and row[0] in ("textcnn", "ngram", "transformer")]
    assert rows == [
        ["textcnn", "0.900", "0.970", "2.0", "9.0", "0.0%", "✓"],
        ["ngram", "0.850", "0.970", "0.5", "9.0", "0.0%", "✗"],
        ["transformer", "–", "–", "–", "–", "–", "–"],
    ]
    assert f"textcnn: {EVIL}." in page.text
    assert "transformer: no model of the teacher is here." in page.text
    assert "Kept is ngram." in page.text
    assert Page(html.render(document(ladder=rungs[:1]))).tags.count("table") == page.tags.count("table") - 1


def test_the_ladder_s_drawing_marks_the_kept_one() -> None:
    rungs = [
        Rung(**rung("textcnn", 0.9, 500_000.0)),
        Rung(**rung("ngram", 0.85, 2e6, kept=True)),
        Rung(kind="auto"),
    ]
    drawing = str(charts.ladder(rungs, words.ENGLISH))
    places = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="(\d)" fill="([^"]+)"', drawing)
    (first_x, first_y, *_), (second_x, second_y, *_) = [tuple(map(float, place[:2])) for place in places]
    assert second_x < first_x  # cheaper: to the left
    assert second_y > first_y  # worse: further down
    assert [place[2] for place in places] == ["4", "6"]
    assert ">0.1<" in drawing
    assert ">10<" in drawing
    assert charts.ladder([Rung(kind="auto")], words.ENGLISH) == ""
