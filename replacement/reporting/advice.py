"""What would help a student that was refused, read off its own run: what helps most comes first.

Each way on says what it would close of what is lacking. A threshold closes all where the holdout has one
that reaches the gate. A larger budget closes what a doubling of the rows brought so far (F1 on the validation
rows as a straight line over the logarithm of the rows learned from). What the teacher itself is unsure of,
or takes for another class, no budget closes: people's labels close, at most, what precision and recall lack
by errors on such texts. And a verdict that chance has a part in may be another on more
days.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pingti.workspace.definition import Definition
from replacement.evaluation.holdout_size import rarest_class, what_holds_more
from replacement.evaluation.metrics import decide, measure
from replacement.evaluation.operating_points import Scored
from replacement.results import Round, StopReason

_TELLS = 0.1
"""Share of what is lacking: what would close less is not named."""
_DOUBLINGS = 3
"""A budget of more than eight times as much is no advice."""
_UNKNOWN = 0.5
"""Taken for what a way on closes of which the run shows nothing."""
_SURE = 0.95
_MANY_ROWS = 400  # of a class: recall near .9 is then known to .03


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What a run knows of the student that it keeps."""

    task: str
    definition: Definition
    rounds: Sequence[Round]
    kept: Round
    stopped: StopReason
    holdout: Scored
    margin: NDArray[np.float32]
    """(n,): the teacher's on the rows of the holdout."""
    held_out: int
    """Rows that are held out, of which those were drawn."""
    unasked: int
    """Rows of the pool that the teacher was not asked about."""
    boundary: int
    """Rows learned from of which the teacher itself is unsure: those that people get."""
    sure: float
    """As of ``replacement.evaluation.gate.sureness``."""
    family: str | None = None
    """Whose run it was; None: the task's alone."""

    @property
    def command(self) -> str:
        """What makes such a run again."""
        return f"pingti replace {self.task if self.family is None else f'--family {self.family}'}"

    @property
    def lacking(self) -> float:
        """What precision or recall lacks to the gate, the one that lacks more."""
        return max(self.kept.holdout.shortfall(self.definition.gate))


def advise(evidence: Evidence) -> tuple[str, ...]:
    """The ways on for a student that falls short of its gate on the holdout, in words with their commands.

    Args:
        evidence: of its run.

    Returns:
        A part of a sentence each, what helps most first; none where precision and recall reach the gate.
    """
    if evidence.lacking == 0.0:
        return ()
    ways = [_threshold(evidence), _budget(evidence), _unsure(evidence), _classes(evidence), _days(evidence)]
    telling = sorted((way for way in ways if way[0] >= _TELLS), key=lambda way: -way[0])
    return tuple(says for _, says in telling)


def _again(evidence: Evidence, key: str) -> str:
    return f"{key} in tasks/{evidence.task}.toml, then {evidence.command}"


def _threshold(evidence: Evidence) -> tuple[float, str]:
    """Whether another threshold reaches the gate on the holdout."""
    if not evidence.definition.binary or evidence.kept.threshold is None:
        return 0.0, ""
    gate, points = evidence.definition.gate, evidence.holdout.curve
    above = np.minimum(points.precisions - gate.precision, points.recalls - gate.recall)
    best = int(above.argmax())
    if above[best] < 0.0:
        return 0.0, ""
    return 1.0, (
        f"another threshold: on the holdout {points.thresholds[best]:.3f} reaches precision "
        f"{points.precisions[best]:.3f} and recall {points.recalls[best]:.3f}, where the validation rows, "
        f"{evidence.kept.validation.positives:,} of them positive, chose {evidence.kept.threshold:.3f}; an "
        f"operating point of its own has it ({_again(evidence, f'[scenes.NAME] recall = {gate.recall:g}')}, "
        f"and jobs ask for {evidence.task}@NAME)"
    )


def _budget(evidence: Evidence) -> tuple[float, str]:
    """What a doubling of the rows brought, and the budget that would bring what is lacking."""
    learned = np.array([result.rows for result in evidence.rounds], np.float64)
    if evidence.unasked == 0:
        return _more_texts(evidence)
    if learned[-1] == learned[0]:
        return _further_rounds(evidence)
    f1s = np.array([result.validation.f1 for result in evidence.rounds])
    brought = float(np.polyfit(np.log2(learned), f1s, 1)[0])
    doublings = evidence.lacking / brought if brought > 0.0 else math.inf
    if doublings > _DOUBLINGS:
        return 0.0, ""
    budget = evidence.definition.teacher.budget
    more = min(math.ceil(learned[-1] * (2**doublings - 1)), evidence.unasked)
    wanted = math.ceil((budget + 1.25 * more) / 100) * 100  # a fifth of it measures
    return min(1.0, 1.0 / doublings), (
        f"a larger budget: each doubling of the rows learned from brought {brought:.3f} F1 on the validation "
        f"rows, and {evidence.lacking:.3f} is lacking; {_again(evidence, f'teacher.budget = {wanted}')} "
        f"({budget:,} now)"
    )


def _further_rounds(evidence: Evidence) -> tuple[float, str]:
    """One round alone shows nothing of what further rows bring."""
    definition = evidence.definition
    if evidence.stopped is StopReason.BUDGET_SPENT:
        key, now = f"teacher.budget = {2 * definition.teacher.budget}", definition.teacher.budget
    else:
        key, now = f"gate.rounds = {max(5, 2 * definition.gate.rounds)}", definition.gate.rounds
    return _UNKNOWN, (
        f"further rounds, which choose their rows by this one's errors: {_again(evidence, key)} ({now:,} now)"
    )


def _more_texts(evidence: Evidence) -> tuple[float, str]:
    """The pool is used up."""
    return _UNKNOWN, f"more texts, for all were asked about: {_again(evidence, 'more of corpus.files')}"


def _errors(evidence: Evidence) -> NDArray[np.int64]:
    decided = decide(evidence.holdout.scores, evidence.kept.threshold)
    return np.flatnonzero(decided != evidence.holdout.reference)


def _unsure(evidence: Evidence) -> tuple[float, str]:
    """What the student would lack without its errors on texts on which the teacher itself is unsure.

    Those may all be errors that precision and recall do not lack: then people's labels close nothing. Nor do
    they where the teacher was sure of all rows that were learned from, and people would get none.
    """
    if evidence.boundary == 0:
        return 0.0, ""
    errors, margin = _errors(evidence), evidence.definition.teacher.margin
    unsure = errors[evidence.margin[errors] < margin]
    reference, gate = evidence.holdout.reference, evidence.definition.gate
    decided = decide(evidence.holdout.scores, evidence.kept.threshold)
    mended = decided.copy()
    mended[unsure] = reference[unsure]
    now, without = (
        sum(measure(reference, decisions, len(evidence.definition.classes)).shortfall(gate))
        for decisions in (decided, mended)
    )
    closes = (now - without) / now if now else 0.0
    return closes, (
        f"people's labels: of {len(errors):,} errors on the holdout {len(unsure):,} are texts on which the "
        f"teacher itself is unsure (its margin is below {margin:g}), and without them at most {closes:.0%} "
        f"of what is lacking would be there; pingti review export {evidence.task} --out rows.json gives such "
        "texts to people, and classes worded otherwise may tell them apart"
    )


def _classes(evidence: Evidence) -> tuple[float, str]:
    """Which part of the errors lies between two classes, where there are more."""
    names, errors = evidence.definition.classes, _errors(evidence)
    if evidence.definition.binary or len(errors) == 0:
        return 0.0, ""
    decided = decide(evidence.holdout.scores, evidence.kept.threshold)[errors]
    pairs = np.sort(np.stack([evidence.holdout.reference[errors], decided], axis=1), axis=1)
    distinct, counts = np.unique(pairs, axis=0, return_counts=True)
    first, second = (names[number] for number in distinct[counts.argmax()].tolist())
    share = float(counts.max() / len(errors))
    # Of many classes that are mistaken alike, one pair has its part by chance.
    return share if share >= 2 / len(names) else 0.0, (
        f"other classes: {share:.0%} of the errors on the holdout lie between {first} and {second}; one "
        f"class of both ({_again(evidence, 'classes and teacher.map')}) would end them"
    )


def _days(evidence: Evidence) -> tuple[float, str]:
    """Whether chance has a part in the verdict, and how many days leave it less."""
    if evidence.sure >= _SURE:
        return 0.0, ""
    definition, reference = evidence.definition, evidence.holdout.reference.astype(np.int64)
    name, rows = rarest_class(definition, reference)
    if not 0 < rows < _MANY_ROWS:
        return 0.0, ""
    more = what_holds_more(
        definition, rows, measured=len(reference), drawn_from=evidence.held_out, wanted=_MANY_ROWS
    )
    return 2 * (1 - evidence.sure), (
        f"more held-out rows: {rows} of the class {name} leave the verdict to chance "
        f"({1 - evidence.sure:.0%} of holdouts drawn again pass); {more}; then "
        f"{evidence.command}"
    )
