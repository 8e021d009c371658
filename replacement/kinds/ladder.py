"""The ladder: students of several kinds on the same rows, what each reaches, what it costs, which is kept."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from pingti.students import AnyStudent
from pingti.workspace.definition import GateSection
from pingti.workspace.report_parts import Rung
from replacement.evaluation.metrics import stored
from replacement.evaluation.speed import Speed, Speeds
from replacement.kinds import training, transformer
from replacement.results import Round

if TYPE_CHECKING:
    from replacement.training.outcome.trained import Trained
    from replacement.training.rounds.state import Asked, Setup

KINDS = ("ngram", "transformer")
"""What ``student.kind = "auto"`` tries besides the rounds' TextCNN, in the order of the report."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Climbed:
    """The student that is kept, and those that it was chosen from."""

    student: AnyStudent
    result: Round
    """What it learned from, its threshold, and what it reaches; its number is the best round's."""
    ladder: tuple[Rung, ...]
    speed: Speed | None
    """Of the kept student and of the teacher; None where no model of the teacher is here."""
    rate: float | None = None
    """Texts that the kept student scores in a second of one core."""
    second: "Second | None" = None
    """Who answers where the kept student is not sure, of a cascade whose second is no teacher."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Second:
    """A student that answers where another is not sure; its likeliest class is its decision."""

    student: AnyStudent
    texts_per_second: float
    """On one core."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """A student of one kind, measured."""

    student: AnyStudent
    result: Round
    operations: float
    """For a text, as of ``AnyStudent.cost``: what the cheapest is chosen by, the same on every machine."""
    usable: bool
    """Whether the operating point "default" can be had."""

    def passes(self, gate: GateSection) -> bool:
        """Whether it reaches precision and recall of a gate on the holdout."""
        return self.usable and self.result.holdout.passes(gate)

    def passes_twice(self, gate: GateSection) -> bool:
        """Whether it reaches them on the validation rows, too."""
        return self.passes(gate) and self.result.validation.passes(gate)


def climb(setup: "Setup", asked: "Asked", trained: "Trained", *, speed: Speed | None = None) -> "Trained":
    """Train students of the kinds that a definition asks for, and choose the one that is kept.

    Each learns from all rows that the rounds asked about, and the teacher is asked about no others. The
    validation rows choose its threshold.

    Args:
        setup: has the texts, and says which kinds are wanted.
        asked: all rows asked about.
        trained: what the rounds made; their best student is the ladder's first rung.
        speed: of a TextCNN of the same network, and of the teacher, where it is known; it is not measured
            again for a ladder of one rung.

    Returns:
        The same with the student that is kept: of the kind that was asked for; of "auto" as of ``choose``.
    """
    kind, gate = setup.definition.student.kind, setup.definition.gate
    wanted = {"textcnn": (), "auto": KINDS}.get(kind, (kind,))
    beside = [second] if (second := training.second_kind(setup)) and second not in wanted else []
    left_out = {other: why for other in (*wanted, *beside) if (why := training.why_not(setup, other))}
    candidates = [_candidate(setup, asked, trained, trained.of_rounds, of_rounds=True)]
    for other in (*wanted, *beside):
        if other not in left_out:
            setup.progress(f"student: {other}", 0, 1)
            student = training.TRAINERS[other](setup, asked, trained)
            candidates.append(_candidate(setup, asked, trained, student))
            setup.progress(f"student: {other}", 1, 1)
    eligible = [candidate for candidate in candidates if candidate.student.kind not in beside]
    kept = choose(eligible, gate) if kind == "auto" else len(eligible) - 1
    if speed is not None and len(candidates) == 1:
        speeds = Speeds(students=(speed.student,), teacher=speed.teacher)
    else:
        speeds = setup.teacher.speeds(
            [candidate.student for candidate in candidates],
            setup.dataset.texts.take(pa.array(asked.holdout.rows)),
        )
    rungs = [
        _rung(setup, candidate, rate, kept=place == kept)
        for place, (candidate, rate) in enumerate(zip(candidates, speeds.students, strict=True))
    ]
    return dataclasses.replace(
        trained,
        climbed=Climbed(
            student=candidates[kept].student,
            result=candidates[kept].result,
            ladder=(*rungs, *(Rung(kind=other, note=why) for other, why in left_out.items())),
            speed=speeds.of(kept),
            rate=speeds.students[kept],
            second=_second(second, candidates, speeds, kept),
        ),
    )


def _second(kind: str, candidates: Sequence[Candidate], speeds: Speeds, kept: int) -> Second | None:
    """The student of a kind that answers where the kept one is not sure; None where that is the kept one."""
    places = [place for place, own in enumerate(candidates) if own.student.kind == kind and place != kept]
    return (
        Second(student=candidates[places[0]].student, texts_per_second=speeds.students[places[0]])
        if places
        else None
    )


def choose(candidates: Sequence[Candidate], gate: GateSection) -> int:
    """Choose a student among those of several kinds.

    Args:
        candidates: one or more.
        gate: what is asked of them.

    Returns:
        The place of the cheapest that reaches the gate on the holdout and on the validation rows; where none
        does, of that with the best F1 on the validation rows.
    """
    passing = [place for place, own in enumerate(candidates) if own.passes_twice(gate)]
    if passing:
        return min(passing, key=lambda place: candidates[place].operations)
    return max(
        range(len(candidates)),
        key=lambda place: (candidates[place].result.validation.f1, -candidates[place].operations),
    )


def _candidate(
    setup: "Setup", asked: "Asked", trained: "Trained", student: AnyStudent, *, of_rounds: bool = False
) -> Candidate:
    """Measure a student as a round's is measured; one ``of_rounds`` is measured already."""
    best, definition = trained.rounds[trained.best], setup.definition
    encoded = setup.dataset.encoded.take(asked.holdout.rows)
    result = best
    if not of_rounds:
        validation = asked.scored_validation(setup, student)
        threshold = validation.threshold(definition.operating_points["default"], definition.gate)[0]
        learned = asked.training.learned(definition.teacher)
        result = dataclasses.replace(
            best,
            rows=int(learned.sum()),
            asked=asked.count,
            boundary=int((~learned).sum()),
            hard_negatives=int(asked.training.hard_negatives[learned].sum()),
            threshold=threshold,
            validation=validation.measure(threshold),
            holdout=asked.scored_holdout(setup, student).measure(threshold),
        )
    return Candidate(
        student=student,
        result=result,
        operations=student.cost(len(encoded.ids) / max(1, len(encoded))).operations,
        usable=result.threshold is not None or not definition.binary,
    )


def _rung(setup: "Setup", candidate: Candidate, rate: float, *, kept: bool) -> Rung:
    figures = stored(candidate.result.holdout, len(setup.definition.classes))
    return Rung(
        kind=candidate.student.kind,
        f1=figures["f1"],
        precision=figures["precision"],
        recall=figures["recall"],
        agreement=figures["accuracy"],
        texts_per_second=rate,
        bytes=candidate.student.cost(1.0).bytes,
        teacher_share=0.0,
        passes=candidate.passes(setup.definition.gate),
        kept=kept,
        note=transformer.note(candidate.student),
    )
