"""What is measured of the student that is kept: on the holdout, and against people's labels."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pingti.corpus.normalize import keys_of
from pingti.students import AnyStudent
from pingti.workspace.report_parts import Cascade, Rung, TeacherQuality
from replacement.cascade.measuring import Rows, SecondRows, make_cascade, rung_of
from replacement.evaluation import gate, holdout, teacher_quality
from replacement.evaluation.baseline import Baseline
from replacement.evaluation.metrics import absent, decide
from replacement.evaluation.operating_points import OperatingPoint, Scored, operating_points
from replacement.reading import note_of_reading
from replacement.recency import notes_of_recency
from replacement.reporting.advice import Evidence, advise
from replacement.reporting.document import Evaluation
from replacement.training.outcome.trained import Trained
from replacement.training.people_labels import PeopleLabels
from replacement.training.rounds.state import Asked, Setup
from replacement.training.teacher_model import teacher_owner


def evaluate(setup: Setup, asked: Asked, trained: Trained, people: PeopleLabels) -> Evaluation:
    """Measure the student that is kept, and hold it against the gate and the promoted version.

    Args:
        setup: has texts and teacher.
        asked: all rows asked about.
        trained: has the student.
        people: true labels, and those to learn a baseline from.
    """
    definition, corpus, true = setup.definition, setup.dataset.corpus, people.true
    student, kept = trained.student, trained.result
    scored = asked.scored_holdout(setup, student)
    points = operating_points(
        definition.operating_points,
        asked.scored_validation(setup, student),
        scored,
        setup.rng("scenes"),
        gate=definition.gate,
    )
    promoted = gate.promoted(setup.entry)
    first = asked.scored_holdout(setup, trained.students[0])
    encoded = setup.dataset.encoded.take(asked.holdout.rows)
    baseline = _baseline(setup, people)
    held = holdout.Held(
        texts=setup.dataset.texts_of(asked.holdout.rows),
        answers=asked.holdout.answers,
        vectors=asked.holdout.answers.vectors_or(lambda: trained.of_rounds.features(encoded)),
        scores=scored.scores,
        threshold=kept.threshold,
        days=None if corpus.days is None else corpus.days[asked.holdout.rows],
        before=decide(first.scores, trained.rounds[0].threshold),
        incumbent=promoted,
        true_labels=true,
        baseline=baseline,
    )
    comparison = gate.against_incumbent(
        promoted, held.texts, held.answers.decided, held.decided, setup.rng("incumbent")
    )
    cascade = _cascade(setup, asked, trained, points["default"])
    verdict = gate.verdict(
        definition.gate,
        kept.holdout,
        comparison,
        usable=points["default"].usable,
        cascade_passes=cascade is not None and cascade.passes,
        absent=[definition.classes[c] for c in absent(held.answers.decided, len(definition.classes))],
    )
    verdict["unread"] = gate.unread(setup.entry) if promoted is None else ""
    verdict |= _sureness_and_advice(setup, asked, trained, scored)
    described = holdout.describe(held, definition.classes, setup.rng("evidence"))
    truth_apart = _against_true_labels_apart(setup, asked, trained, true, baseline)
    qualities = _qualities(setup, asked, baseline, described["truth"] or truth_apart)
    return Evaluation(
        kept=kept,
        verdict=verdict,
        operating_points=points,
        speed=None if trained.climbed is None else trained.climbed.speed,
        kind=student.kind,
        ladder=_ladder(trained, cascade),
        cascade=cascade,
        holdout={**described, "truth_apart": truth_apart},
        teacher_quality=qualities[0] if qualities else None,
        learned=holdout.of_learned(_learned(setup, asked, trained), definition.classes),
        notes=(
            *_warnings(setup, people, qualities),
            *setup.notes,
            *_notes_of_true_labels(true, held.texts, len(asked.apart)),
            *teacher_quality.notes_of_baseline([described["truth"], truth_apart]),
            *note_of_reading(setup.teacher, held.texts, cut_alike=definition.student.read == "teacher"),
            *_notes_of_recency(setup, asked, student, scored, points),
            *_notes_of_answers(setup),
            *_notes_of_second(setup, trained),
        ),
    )


def _cascade(setup: Setup, asked: Asked, trained: Trained, default: OperatingPoint) -> Cascade | None:
    """What the student reaches with its teacher or another second, where the definition asks for that."""
    section, student = setup.definition.cascade, trained.student
    if section is None or not default.usable:
        return None
    second = _second_rows(setup, asked, trained)
    if section.second != "teacher" and second is None:  # "auto" has kept it as the student itself
        return None
    rows = Rows(
        validation=asked.scored_validation(setup, student),
        time=asked.validation.rows,  # the corpus is in order of time
        holdout=asked.scored_holdout(setup, student),
        second=second,
    )
    speed = None if trained.climbed is None else trained.climbed.speed
    return make_cascade(
        section,
        setup.definition.gate,
        rows,
        default.threshold,
        rate=None if trained.climbed is None else trained.climbed.rate,
        teacher_rate=None if speed is None else speed.teacher,
    )


def _second_rows(setup: Setup, asked: Asked, trained: Trained) -> SecondRows | None:
    """What a second that is a student decides."""
    second = None if trained.climbed is None else trained.climbed.second
    if second is None:
        return None
    return SecondRows(
        validation=asked.scored_validation(setup, second.student).scores.argmax(axis=1),
        holdout=asked.scored_holdout(setup, second.student).scores.argmax(axis=1),
        texts_per_second=second.texts_per_second,
    )


def _ladder(trained: Trained, cascade: Cascade | None) -> tuple[Rung, ...]:
    """The kinds of students, and what the kept one reaches with its teacher or another second."""
    ladder = () if trained.climbed is None else trained.climbed.ladder
    if cascade is None:
        return ladder
    second = None if trained.climbed is None else trained.climbed.second
    students = [trained.student] if second is None else [trained.student, second.student]
    return (*ladder, rung_of(cascade, sum(student.cost(1.0).bytes for student in students)))


def _sureness_and_advice(setup: Setup, asked: Asked, trained: Trained, scored: Scored) -> dict[str, Any]:
    """How sure the verdict on the holdout is, and what would help where it is a refusal."""
    kept, definition = trained.result, setup.definition
    decided = decide(scored.scores, kept.threshold)
    sure = gate.sureness(
        definition.gate, scored.reference, decided, len(definition.classes), setup.rng("sureness")
    )
    evidence = Evidence(
        task=setup.entry.name,
        family=setup.family,
        definition=definition,
        rounds=trained.rounds,
        kept=kept,
        stopped=trained.stopped,
        holdout=scored,
        margin=asked.holdout.answers.margin,
        held_out=len(setup.dataset.corpus.holdout),
        unasked=len(asked.unasked(setup)),
        boundary=int((~asked.training.clear(definition.teacher.margin)).sum()),
        sure=sure,
    )
    return {"sure": sure, "advice": advise(evidence)}


def _notes_of_recency(
    setup: Setup, asked: Asked, student: AnyStudent, scored: Scored, points: Mapping[str, OperatingPoint]
) -> tuple[str, ...]:
    """What weighing validation rows by time did to the operating points of a student."""
    scores = setup.dataset.scores(student, asked.validation.rows)
    alike = asked.validation.scored(scores)
    definition = setup.definition
    return notes_of_recency(alike, scored, points, definition.operating_points, definition.gate)


def _against_true_labels_apart(
    setup: Setup, asked: Asked, trained: Trained, true: dict[str, int], baseline: Baseline
) -> dict[str, Any] | None:
    """Student, teacher, incumbent and baseline against the true labels of texts outside the corpus."""
    if not asked.apart:
        return None
    texts = list(asked.apart)
    answers = setup.teacher.ask(texts, "teacher: texts with true labels")
    texts = [text for text, answered in zip(texts, answers.answered.tolist(), strict=True) if answered]
    if not texts:
        return None
    answers = answers.take(answers.answered)
    held = holdout.Held(
        texts=texts,
        answers=answers,
        vectors=answers.vectors,
        scores=trained.student.score(texts),
        threshold=trained.result.threshold,
        days=None,
        before=np.zeros(len(texts), np.int64),
        incumbent=gate.promoted(setup.entry),
        true_labels=true,
        baseline=baseline,
    )
    return holdout.against_true_labels(held, len(setup.definition.classes), setup.rng("true labels apart"))


def _baseline(setup: Setup, people: PeopleLabels) -> Baseline:
    """The n-gram model, which learns from the seed as far as its labels stand for classes of the task."""
    classes = setup.definition.classes
    class_of = {name: number for number, name in enumerate(classes)}
    if teacher_owner(setup.entry) is not setup.entry:  # they are that task's
        class_of = dict(zip(setup.teacher.rule.labels, setup.teacher.rule.class_of, strict=True))
    pairs = [] if people.seed is None else zip(people.seed.texts, people.seed.labels, strict=True)
    known = [(text, class_of[label]) for text, label in pairs if label in class_of]
    answers = np.array([number for _, number in known], np.int64)
    return Baseline(texts=[text for text, _ in known], answers=answers, classes=len(classes))


def _qualities(
    setup: Setup, asked: Asked, baseline: Baseline, against_true: dict[str, Any] | None
) -> list[TeacherQuality]:
    """All that is known of the teacher's quality, what tells most first."""
    training, dataset = asked.training, setup.dataset
    true_of = dict(zip(keys_of(baseline.texts), baseline.answers.tolist(), strict=True))
    places = np.flatnonzero(np.isin(training.rows, dataset.seed))
    keys = keys_of(dataset.texts_of(training.rows[places]))
    known = np.array([key in true_of for key in keys], np.bool_)
    figures = [teacher_quality.of_true_labels(against_true)]
    if setup.teacher.description is not None:
        figures.insert(0, teacher_quality.of_rows_kept_aside(setup.teacher.description.folder))
    if known.any() and not teacher_owner(setup.entry).definition.teacher.tuned:
        figures.append(
            teacher_quality.of_labelled_rows(
                dataset.texts_of(training.rows[places[known]]),
                np.array([true_of[key] for key in keys if key in true_of], np.int64),
                training.answers.decided[places[known]],
                baseline,
                setup.rng("n-grams of the seed"),
            )
        )
    return [own for own in figures if own is not None]


def _warnings(setup: Setup, people: PeopleLabels, qualities: list[TeacherQuality]) -> tuple[str, ...]:
    """Where the teacher is no better than what is trivial, or nobody can tell."""
    tuned = teacher_owner(setup.entry).definition.teacher.tuned
    return tuple(teacher_quality.warnings(qualities, len(people.seed_texts) if tuned else None))


def _notes_of_true_labels(true: dict[str, int], held: list[str], apart: int) -> tuple[str, ...]:
    """What became of the true labels, where some of them measured nothing."""
    in_holdout = len(set(keys_of(held)) & true.keys()) if true else 0
    unused = len(true) - in_holdout - apart
    if not unused:
        return ()
    return (
        f"gate.labels: of {len(true)} true labels {in_holdout} measure on the holdout and {apart} on texts "
        f"outside the corpus; {unused} are not used: their texts may be learned from, a rule decides them, "
        "or they are more than gate.holdout_rows or than the fifth of the budget that measures has room for",
    )


def _notes_of_second(setup: Setup, trained: Trained) -> tuple[str, ...]:
    """Where "auto" has kept the very student that a cascade was to ask."""
    cascade = setup.definition.cascade
    if cascade is None or cascade.second != trained.student.kind:
        return ()
    return (f"no cascade: the student that is kept is the {cascade.second} itself, and answers all rows",)


def _notes_of_answers(setup: Setup) -> tuple[str, ...]:
    """What of the teacher could not be had or measured."""
    notes = list(setup.teacher.cost_notes)
    if setup.teacher.description is None:
        notes.append("the teacher's speed was not measured: no model of it is here")
    if setup.teacher.stored_alone:
        notes.append("stored answers are all there is: drift cannot be measured")
    return tuple(notes)


def _learned(setup: Setup, asked: Asked, trained: Trained) -> holdout.Learned:
    """The rows learned from, as the student that is kept sees them."""
    training, dataset = asked.training, setup.dataset
    student, kept = trained.student, trained.result
    known_then = np.arange(len(training.rows)) < kept.rows + kept.boundary
    return holdout.Learned(
        rows=training.rows,
        rounds=[sum(result.added.values()) for result in trained.rounds],
        days=dataset.corpus.days,
        targets=training.answers.probabilities,
        scores=dataset.scores(student, training.rows),
        trained=training.learned(setup.definition.teacher) & known_then,
        texts=dataset.texts_of,
    )
