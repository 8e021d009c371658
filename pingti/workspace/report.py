"""What a report of a version says, in words."""

from typing import Any

_NAMED = 3  # clusters or pairs in a refusal
_LONGEST = 60  # characters of a text in a refusal


def shortfall(report: dict[str, Any]) -> str:
    """What a refused student lacks, in words."""
    gate, holdout = report["gate"], report["holdout"]
    lacking = [
        f"{name} {holdout[name]:.3f} is below {gate[name]:.3f}"
        for name in ("precision", "recall")
        if holdout[name] < gate[name]
    ]
    if not gate.get("usable", True):
        lacking.append(f"the scene default cannot be had: {report['scenes']['default']['says']}")
    incumbent = gate.get("incumbent")
    if incumbent is not None and incumbent["interval"][1] < 0.0:
        low, high = incumbent["interval"]
        lacking.append(
            f"F1 is {-incumbent['f1_difference']:.3f} below that of the promoted version "
            f"{incumbent['version']} (95 % interval {-high:.3f} to {-low:.3f})"
        )
    return " and ".join(lacking) + where_it_fails(report)


def where_it_fails(report: dict[str, Any]) -> str:
    """The clusters and pairs at fault for a student that falls short of its gate, in words; or nothing."""
    gate, holdout = report["gate"], report["holdout"]
    where = ""
    missed = [each for each in report.get("clusters", []) if each["missed"]]
    false = [each for each in report.get("false_clusters", []) if each["false"]]
    pairs = report.get("pairs", [])
    if pairs and (holdout["precision"] < gate["precision"] or holdout["recall"] < gate["recall"]):
        listed = ", ".join(
            f"{each['teacher']} for {each['student']} ({each['rows']} of {each['of']}, like "
            f'"{_short(each["examples"][0])}")'
            for each in pairs[:_NAMED]
        )
        where += f"; most often it mistakes {listed}"
    if holdout["precision"] < gate["precision"] and false:
        where += f"; most are called wrongly among texts like {_named(false, 'false', 'called wrongly')}"
    if holdout["recall"] < gate["recall"] and missed:
        where += f"; most are missed among texts like {_named(missed, 'missed', 'missed')}"
    return where


def _named(clusters: list[dict[str, Any]], key: str, what: str) -> str:
    return ", ".join(
        f'"{_short(each["examples"][0])}" ({each[key]} of {each["rows"]} '
        f"{what}{' as ' + each['class'] if 'class' in each else ''})"
        for each in clusters[:_NAMED]
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
