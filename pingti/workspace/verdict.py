"""A report's verdict in a sentence: may the student replace its teacher, what that costs, where it fails."""

from collections.abc import Callable

from pingti.workspace.chinese import translated
from pingti.workspace.report import Cascade, Figures, Interval, Report, Speed, refusal

LANGUAGES = ("en", "zh")
"""In which verdict and report page are written; the first is the one that is meant where none is named."""

_MILLION = 1_000_000
_LONGEST = 60  # characters of a text


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
    return _chinese(report) if language == "zh" else _english(report)


def _english(report: Report) -> str:
    opening = "It may replace its teacher"
    if (both := _both(report)) is not None:
        opening += f", which is still asked about {both.teacher_share:.1%} of the texts".replace("%", " %")
    if not report.gate.passed:
        lacking = refusal(report).headline
        opening = f"It may not replace its teacher yet{f' ({lacking})' if lacking else ''}"
    parts = [_decides_english(report)]
    if report.speed is not None:
        student, teacher = _seconds(report.speed, both)
        parts.append(
            f"a million texts cost {_duration(student, 's', 'min', 'h')} of one core instead of "
            f"{_duration(teacher, 's', 'min', 'h')}"
        )
    elif report.teacher.rows_asked:
        parts.append(f"the teacher was asked about {report.teacher.rows_asked:,} texts")
    fails = _fails(report, _pair_english, _cluster_english, 'it fails most clearly on "{}"')
    return f"{opening}: {'; '.join([*parts, *fails])}."


def _chinese(report: Report) -> str:
    opening = "可以取代教师模型"
    if (both := _both(report)) is not None:
        opening += f"，但仍需就 {both.teacher_share:.1%} 的文本询问教师"
    if not report.gate.passed:
        lacking = translated(refusal(report).headline)
        opening = f"还不能取代教师模型{f'（{lacking}）' if lacking else ''}"
    parts = [_decides_chinese(report)]
    if report.speed is not None:
        student, teacher = _seconds(report.speed, both)
        parts.append(
            f"每一百万条文本只需单核 {_duration(student, '秒', '分钟', '小时')}，教师模型需 "
            f"{_duration(teacher, '秒', '分钟', '小时')}"
        )
    elif report.teacher.rows_asked:
        parts.append(f"共向教师模型询问了 {report.teacher.rows_asked:,} 条文本")
    fails = _fails(report, _pair_chinese, _cluster_chinese, "分歧最明显的是“{}”")
    return f"{opening}：{'；'.join([*parts, *fails])}。"


def _both(report: Report) -> Cascade | None:
    """Student and teacher together, where they reach the gate that the student alone does not."""
    return report.cascade if report.gate.passed and report.gate.by == "cascade" else None


def _seconds(speed: Speed, both: Cascade | None) -> tuple[float, float]:
    """Seconds of one core for a million texts: of the student, or of both together; and of the teacher."""
    student = _MILLION / speed.student
    if both is not None and both.seconds_per_million is not None:
        student = both.seconds_per_million
    return student, _MILLION / speed.teacher


def _decides_english(report: Report) -> str:
    holdout, interval = _decided(report)
    if holdout.accuracy is None or holdout.f1 is None:
        return "what it decides otherwise no held-out row tells"
    spread = f", 95 % interval {interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
    return (
        f"it decides {1 - holdout.accuracy:.1%} of the {holdout.rows:,} held-out texts otherwise "
        f"(F1 {holdout.f1:.3f}{spread})"
    ).replace("%", " %", 1)


def _decided(report: Report) -> tuple[Figures, Interval | None]:
    """What the version reaches on the holdout, and the interval of its F1 where that is known."""
    both = _both(report)
    return (report.holdout, report.holdout_intervals.get("f1")) if both is None else (both.holdout, None)


def _decides_chinese(report: Report) -> str:
    holdout, interval = _decided(report)
    if holdout.accuracy is None or holdout.f1 is None:
        return "留出行无法说明它与教师的判断有何不同"
    spread = f"，95% 区间 {interval[0]:.3f} 至 {interval[1]:.3f}" if interval else ""
    return (
        f"在 {holdout.rows:,} 条留出文本中有 {1 - holdout.accuracy:.1%} 与教师判断不同"
        f"（F1 {holdout.f1:.3f}{spread}）"
    )


def _fails(
    report: Report,
    pair: Callable[[str, str, int, int], str],
    cluster: Callable[[str, int, int, bool], str],
    text: str,
) -> list[str]:
    """Where it fails most, as far as the report tells: a confused pair of classes, texts, or one text."""
    if report.pairs:
        worst = max(report.pairs, key=lambda own: own.rows)
        return [pair(worst.teacher, worst.student, worst.rows, worst.of)]
    clusters = [(own, own in report.clusters) for own in (*report.clusters, *report.false_clusters)]
    wrong = [(own, missed) for own, missed in clusters if own.errors and own.examples]
    if wrong:
        own, missed = max(wrong, key=lambda entry: entry[0].errors)
        return [cluster(_short(own.examples[0]), own.errors, own.rows, missed)]
    return [text.format(_short(report.hardest[0].text))] if report.hardest else []


def _pair_english(teacher: str, student: str, rows: int, of: int) -> str:
    return f"it fails most by taking {teacher} for {student} ({rows} of {of})"


def _pair_chinese(teacher: str, student: str, rows: int, of: int) -> str:
    return f"最常见的错误是把 {teacher} 判为 {student}（{of} 条中 {rows} 条）"


def _cluster_english(example: str, errors: int, rows: int, missed: bool) -> str:
    what = "missed" if missed else "called wrongly"
    return f'it fails most on texts like "{example}" ({errors} of {rows} {what})'


def _cluster_chinese(example: str, errors: int, rows: int, missed: bool) -> str:
    return f"错得最多的是类似“{example}”的文本（{rows} 条中{'遗漏' if missed else '误报'} {errors} 条）"


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
