"""A report's verdict in a sentence: may the student replace its teacher, what that costs, where it fails."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pingti.workspace.chinese import translated
from pingti.workspace.report import Report, refusal
from pingti.workspace.report_parts import Cascade, Figures, Interval, Speed

LANGUAGES = ("en", "zh")
"""In which verdict and report page are written; the first is the one that is meant where none is named."""

_MILLION = 1_000_000
_LONGEST = 60  # characters of a text


@dataclass(frozen=True, kw_only=True)
class _Words:
    """The parts of the sentence in one language; {} and {name} are filled in."""

    may: str
    still_asks: str
    """Behind ``may``: where student and teacher together reach the gate, the share that the teacher gets."""
    may_not: str
    """{lacking}: what is short of the gate, in ``reason``."""
    reason: str
    differs: str
    spread: str
    """Of the F1: its 95 % interval."""
    unknown: str
    cost: str
    asked: str
    pair: str
    missed: str
    false: str
    one_text: str
    units: tuple[str, str, str]
    """Seconds, minutes, hours."""
    percent: str
    whole: str
    """{opening} and {parts}, which ``between`` joins."""
    between: str
    refused: Callable[[str], str]
    """What is lacking, as the report says it, in this language."""


_WORDS: Mapping[str, _Words] = {
    "en": _Words(
        may="It may replace its teacher",
        still_asks=", which is still asked about {} of the texts",
        may_not="It may not replace its teacher yet{lacking}",
        reason=" ({})",
        differs="it decides {share} of the {rows:,} held-out texts otherwise (F1 {f1:.3f}{spread})",
        spread=", 95 % interval {:.3f} to {:.3f}",
        unknown="what it decides otherwise no held-out row tells",
        cost="a million texts cost {student} of one core instead of {teacher}",
        asked="the teacher was asked about {:,} texts",
        pair="it fails most by taking {teacher} for {student} ({rows} of {of})",
        missed='it fails most on texts like "{example}" ({errors} of {rows} missed)',
        false='it fails most on texts like "{example}" ({errors} of {rows} called wrongly)',
        one_text='it fails most clearly on "{}"',
        units=("s", "min", "h"),
        percent="{:.1f} %",
        whole="{opening}: {parts}.",
        between="; ",
        refused=str,
    ),
    "zh": _Words(
        may="可以取代教师模型",
        still_asks="，但仍需就 {} 的文本询问教师",
        may_not="还不能取代教师模型{lacking}",
        reason="（{}）",
        differs="在 {rows:,} 条留出文本中有 {share} 与教师判断不同（F1 {f1:.3f}{spread}）",
        spread="，95% 区间 {:.3f} 至 {:.3f}",
        unknown="留出行无法说明它与教师的判断有何不同",
        cost="每一百万条文本只需单核 {student}，教师模型需 {teacher}",
        asked="共向教师模型询问了 {:,} 条文本",
        pair="最常见的错误是把 {teacher} 判为 {student}（{of} 条中 {rows} 条）",
        missed="错得最多的是类似“{example}”的文本（{rows} 条中遗漏 {errors} 条）",
        false="错得最多的是类似“{example}”的文本（{rows} 条中误报 {errors} 条）",
        one_text="分歧最明显的是“{}”",
        units=("秒", "分钟", "小时"),
        percent="{:.1f}%",
        whole="{opening}：{parts}。",
        between="；",
        refused=translated,
    ),
}


def page_name(language: str) -> str:
    """The name of the report's page in a language, in the folder of the version.

    Args:
        language: one of ``LANGUAGES``.
    """
    return "report.html" if language == LANGUAGES[0] else f"report.{language}.html"


def verdict(report: Report, language: str = "en") -> str:
    """Say in one sentence whether the student may replace its teacher, what that costs, and where it fails.

    Args:
        report: the version's.
        language: one of ``LANGUAGES``.

    Returns:
        The sentence. What no row of the holdout tells is said to be unknown.

    Raises:
        ValueError: there is no such language.

    Examples:
        >>> from pingti.workspace.report import Report
        >>> shares = {"precision": 0.9, "recall": 0.9, "f1": 0.9, "accuracy": 0.95}
        >>> holdout = {**shares, "rows": 200, "positives": 60}
        >>> gate = {"precision": 0.8, "recall": 0.8, "passed": True}
        >>> verdict(Report.model_validate({"gate": gate, "holdout": holdout}))
        'It may replace its teacher: it decides 5.0 % of the 200 held-out texts otherwise (F1 0.900).'
    """
    if language not in LANGUAGES:
        raise ValueError(f"there is no verdict in {language!r}; allowed are {', '.join(LANGUAGES)}")
    words = _WORDS[language]
    opening = _may(report, words) if report.gate.passed else _may_not(report, words)
    parts = [_differs(report, words), *_costs(report, words), *_fails(report, words)]
    return words.whole.format(opening=opening, parts=words.between.join(parts))


def _may(report: Report, words: _Words) -> str:
    both = _both(report)
    if both is None or both.second != "teacher":
        return words.may
    return words.may + words.still_asks.format(words.percent.format(100 * both.teacher_share))


def _may_not(report: Report, words: _Words) -> str:
    lacking = words.refused(refusal(report).headline)
    return words.may_not.format(lacking=words.reason.format(lacking) if lacking else "")


def _differs(report: Report, words: _Words) -> str:
    """How often it decides otherwise than its teacher on held-out rows."""
    holdout, interval = _decided(report)
    if holdout.accuracy is None or holdout.f1 is None:
        return words.unknown
    return words.differs.format(
        share=words.percent.format(100 * (1 - holdout.accuracy)),
        rows=holdout.rows,
        f1=holdout.f1,
        spread=words.spread.format(*interval) if interval else "",
    )


def _costs(report: Report, words: _Words) -> list[str]:
    """What a million texts cost; where no speed was measured, what the teacher was asked."""
    if report.speed is not None:
        student, teacher = (
            _duration(seconds, *words.units) for seconds in _seconds(report.speed, _both(report))
        )
        return [words.cost.format(student=student, teacher=teacher)]
    asked = report.teacher.rows_asked
    return [words.asked.format(asked)] if asked else []


def _both(report: Report) -> Cascade | None:
    """Student and teacher together, where they reach the gate that the student alone does not."""
    return report.cascade if report.gate.passed and report.gate.by == "cascade" else None


def _decided(report: Report) -> tuple[Figures, Interval | None]:
    """What the version reaches on the holdout, and the interval of its F1 where that is known."""
    both = _both(report)
    return (report.holdout, report.holdout_intervals.get("f1")) if both is None else (both.holdout, None)


def _seconds(speed: Speed, both: Cascade | None) -> tuple[float, float]:
    """Seconds of one core for a million texts: of the student, or of both together; and of the teacher."""
    student = _MILLION / speed.student
    if both is not None and both.seconds_per_million is not None:
        student = both.seconds_per_million
    return student, _MILLION / speed.teacher


def _fails(report: Report, words: _Words) -> list[str]:
    """Where it fails most, as far as the report tells: a confused pair of classes, texts, or one text."""
    if report.pairs:
        worst = max(report.pairs, key=lambda own: own.rows)
        return [words.pair.format(teacher=worst.teacher, student=worst.student, rows=worst.rows, of=worst.of)]
    clusters = [
        *((own.errors, own.rows, own.examples, words.missed) for own in report.clusters),
        *((own.errors, own.rows, own.examples, words.false) for own in report.false_clusters),
    ]
    wrong = [cluster for cluster in clusters if cluster[0] and cluster[2]]
    if wrong:
        errors, rows, examples, sentence = max(wrong, key=lambda cluster: cluster[0])
        return [sentence.format(example=_short(examples[0]), errors=errors, rows=rows)]
    return [words.one_text.format(_short(report.hardest[0].text))] if report.hardest else []


def _duration(seconds: float, *units: str) -> str:
    """Seconds in the largest of seconds, minutes and hours of which there is one."""
    for unit, size in zip(reversed(units), (3600, 60), strict=False):
        if seconds >= size:
            return f"{seconds / size:,.{0 if seconds >= 100 * size else 1}f} {unit}"
    return (
        f"{seconds:.{0 if seconds >= 10 else 1}f} {units[0]}"
        if seconds >= 0.1
        else f"{seconds:.2g} {units[0]}"
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
