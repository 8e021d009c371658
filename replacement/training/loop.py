"""The replacement loop: from a task's definition to a student, measured against the teacher.

A round trains a student on the rows that the teacher was asked about, lets it scan the whole pool, looks
at its errors, and chooses from them which rows the teacher is asked about next.

Three kinds of rows are kept apart. Those asked about are trained on, but for boundary rows. Calibration
rows, drawn from the pool, choose the threshold and the best round. The holdout, newer than both, only
measures; the gate is held against it.
"""

import datetime
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import sampling
from pingti import files
from pingti.annotation import review_queue
from pingti.errors import InputError
from pingti.workspace.registry import TaskEntry
from pingti.workspace.report import shortfall
from replacement.answers import Answers, join
from replacement.evaluation import disagreement, gate, holdout
from replacement.evaluation.metrics import decide
from replacement.evaluation.operating_points import Scored, operating_points
from replacement.progress import Progress, advancing
from replacement.reporting import html
from replacement.training import acquisition, label_groups, stopping, validation_set, warm_start
from replacement.training.dataset import asked, load_corpus, outside, where_parents_hold
from replacement.training.results import Outcome, Round
from replacement.training.teacher_labels import Gold
from textcnn import Student, Vocabulary

_FIRST_ROWS = 1000  # at most, drawn for round 1 where no labelled rows are given, or beside known ones
_KNOWN_BUDGETS = 4  # so many budgets' rows of the incumbent are kept, the newest
_CALIBRATION_ROWS = 1500
_ALIKE = 0.02  # of F1 on the calibration rows


def replace(
    entry: TaskEntry,
    *,
    seed: int = 0,
    run: str | None = None,
    progress: Progress = lambda what, done, total: None,
    announce: Callable[[Round], None] = lambda found: None,
    device: str | None = None,
) -> Outcome:
    """Make a student for a task, and write it with its report as a new version; it is not promoted.

    Started again after a kill it goes the same way, the teacher's cached answers costing nothing. Where a
    version is promoted, its rows are learned from too, at no cost, and the first round adds newer ones.

    Args:
        entry: the task.
        seed: every random choice comes from it.
        run: a name for the report, by which a run that was cut off finds the version that it made.
        progress: told what is being done, how much of it is done, and how much there is.
        announce: told every round's result.
        device: the teacher's torch device; a GPU where there is one, if absent.

    Raises:
        InputError: a file, label or definition that cannot be used.
        UnavailableError: the teacher cannot be had.
    """
    loop = _Run(entry, seed=seed, name=run, progress=progress, device=device)
    rounds: list[Round] = []
    students: list[Student] = []
    stopped = ""
    while not stopped:
        student, found = loop.round(len(rounds) + 1)
        rounds.append(found)
        students.append(student)
        announce(found)
        usable = found.threshold is not None or not entry.definition.binary
        stopped = stopping.stop(entry.definition.gate, rounds, usable=usable) or loop.extend(student, found)
    best = len(rounds) - 1
    if stopped != stopping.REACHED:
        # Of rounds that the calibration rows hardly tell apart, the latest has learned from the most rows.
        reached = [each.calibration.f1 for each in rounds]
        best = max(index for index, f1 in enumerate(reached) if f1 >= max(reached) - _ALIKE)
    return loop.keep(students, rounds, best, stopped)


class _Run:
    def __init__(
        self, entry: TaskEntry, *, seed: int, name: str | None, progress: Progress, device: str | None
    ) -> None:
        self.entry = entry
        self.definition = entry.definition
        self.seed = seed
        self.name = name
        self.progress = progress
        self.gold = Gold(entry, seed=seed, progress=progress, device=device)
        labelled = self.gold.labelled.texts if self.gold.labelled else []
        corpus = load_corpus(self.definition, entry.path.parent, apart=labelled)
        self.corpus = where_parents_hold(entry, corpus)
        self.vocabulary = Vocabulary.build(
            self.corpus.texts.take(pa.array(self.corpus.pool)), size=self.definition.student.vocabulary
        )
        # Texts that people labelled and labelled texts come behind the corpus: they may not be in it.
        behind = asked(entry, outside(self.corpus, self.gold.reviewed_texts, labelled))
        labelled = asked(entry, labelled)
        self.texts = pa.concat_arrays([self.corpus.texts, pa.array([*behind, *labelled], pa.large_string())])
        self.encoded = self.vocabulary.encode(self.texts)
        self.embedding = self.gold.token_vectors(self.vocabulary.tokens, self.definition.student.embedding)
        self._known_rows = warm_start.read(entry, self.gold.fingerprint)
        self._measure_rows()
        self.rows = np.zeros(0, np.int64)
        self.answers = join([])
        self.competing = np.zeros(0, np.bool_)
        self.brought: dict[str, acquisition.Brought] = {}
        known = self._take_known()
        end = len(self.corpus.texts) + len(behind)
        reviewed = self._ask_reviewed(np.arange(len(self.corpus.texts), end))
        first = np.setdiff1d(np.arange(end, len(self.texts)), self.rows)
        if len(first) > self._left():
            first = self._draw(first, self._left(), "labelled")
        kind = "labelled" if labelled else "random"
        if len(first) == 0:
            count = max(1, min(_FIRST_ROWS, self._left() // self.definition.gate.rounds))
            rows, kind = self._unasked(), "new" if known else "random"
            if known:  # the corpus is in order of time
                rows = rows[rows > self.rows[self.rows < len(self.corpus.texts)].max(initial=-1)]
            first = self._draw(rows, min(count, len(rows)), "first")
        self.added = {**known, kind: len(first), **reviewed}
        self._ask(first, np.zeros(len(first), np.bool_))
        seen = join([self.calibration.answers, self.answers])
        self.subclasses = label_groups.divide(
            self.gold.class_of,
            seen.labels,
            seen.vectors,
            most=self.definition.student.subclasses,
            rng=self._rng("subclasses"),
        )

    def _rng(self, purpose: str) -> np.random.Generator:
        """A generator of its own for every purpose: a change in one place moves no other."""
        return np.random.default_rng([self.seed, *purpose.encode()])

    def _draw(self, rows: NDArray[np.int64], count: int, purpose: str) -> NDArray[np.int64]:
        return np.sort(rows[sampling.random_rows(len(rows), budget=count, rng=self._rng(purpose))])

    def _texts(self, rows: NDArray[np.int64]) -> list[str]:
        values: list[str] = self.texts.take(pa.array(rows)).to_pylist()
        return values

    def _measure_rows(self) -> None:
        """Have the rows scored that choose the threshold, and those that measure."""
        budget = self.definition.teacher.budget
        held = min(self.definition.gate.holdout_rows, budget // 3)
        # The draws depend on the corpus alone, so tasks over one corpus share the teacher's answers.
        self.holdout_rows = self._draw(self.corpus.holdout, held, "holdout")
        count = min(_CALIBRATION_ROWS, budget // 6, len(self.corpus.pool) // 4)
        promoted = gate.promoted(self.entry) if self.definition.binary else None
        # Rows are aimed by a student that has learned from none but rows drawn evenly, or not at all.
        aimed = self.definition.binary and (promoted is not None or not self._known_rows)
        even = round(count * validation_set.EVEN) if aimed else count
        self.calibration = validation_set.Rows(self.corpus, self.gold, even, count, promoted, rng=self._rng)
        self.holdout = self.gold.ask(self._texts(self.holdout_rows), "teacher: holdout")
        self.asked = len(self.holdout_rows) + count

    def _take_known(self) -> dict[str, int]:
        """Learn from the rows of the promoted version, as far as they are still there; how many they are."""
        if not self._known_rows:
            return {}
        rows = np.concatenate([self._unasked(), np.arange(len(self.corpus.texts), len(self.texts))])
        places, competing = warm_start.find(self._texts(rows), self._known_rows)
        most = _KNOWN_BUDGETS * self.definition.teacher.budget
        # One whose answer is gone from the cache would cost as much as any other.
        free = self.gold.cached(self._texts(rows[places]))
        rows, competing = rows[places][free][-most:], competing[free][-most:]
        if len(rows):
            self._ask(rows, competing, free=True)
        return {"known": len(rows)} if len(rows) else {}

    def _ask_reviewed(self, behind: NDArray[np.int64]) -> dict[str, int]:
        """Learn from the rows that people labelled, up to half of the budget; how many they are.

        Those among the calibration rows and in the holdout only measure. ``behind``: rows not of the corpus.
        """
        rows = np.setdiff1d(np.concatenate([self._unasked(), behind]), self.rows)
        rows = rows[self.gold.is_reviewed(self.texts.take(pa.array(rows)))]
        rows = self._draw(rows, min(len(rows), self._left() // 2), "reviewed")
        if len(rows):
            self._ask(rows, np.zeros(len(rows), np.bool_))
        return {"reviewed": len(rows)} if len(rows) else {}

    def _left(self) -> int:
        return max(0, self.definition.teacher.budget - self.asked)

    def _unasked(self) -> NDArray[np.int64]:
        return np.setdiff1d(self.corpus.pool, np.concatenate([self.calibration.rows, self.rows]))

    def _ask(self, rows: NDArray[np.int64], competing: NDArray[np.bool_], *, free: bool = False) -> Answers:
        found = self.gold.ask(self._texts(rows), "teacher: rows to learn from")
        self.asked += 0 if free else len(rows)
        self.rows = np.concatenate([self.rows, rows])
        self.answers = join([self.answers, found])
        self.competing = np.concatenate([self.competing, competing])
        return found

    def _clear(self) -> NDArray[np.bool_]:
        """Which of the rows asked about are no boundary rows, (n,)."""
        return self.answers.margin >= self.definition.teacher.margin

    def round(self, number: int) -> tuple[Student, Round]:
        """Train on the rows known so far, and measure."""
        from textcnn.train import Recipe, class_weights, train  # torch only where something is trained

        clear = self._clear()
        rows = self.rows[clear]
        if len(rows) == 0:
            raise InputError(
                f"{self.entry.path}: teacher.margin: on all {len(clear)} rows the teacher's margin is below "
                f"{self.definition.teacher.margin}; nothing is left to learn from"
            )
        recipe, weights = Recipe(epochs=self.definition.student.epochs), None
        if not self.definition.binary:
            # Of two classes the threshold does what weights would: F1 was level. On weibo's nine, from 12,000
            # random rows, they made macro F1 .71 to .74 and accuracy .795 to .801; the wide part's margins
            # are smaller then, and with 1.5 logits for each the scores are calibrated as well as before.
            weights = class_weights(self.answers.decided[clear], len(self.definition.classes))
            recipe = Recipe(epochs=recipe.epochs, wide_strength=1.5)
        network = train(
            self.encoded.take(rows),
            self.subclasses.targets(self.answers.labels[clear]),
            weights=weights,
            size=self.vocabulary.size,
            architecture=self.definition.student.architecture(),
            rng=self._rng(f"round {number}"),
            embedding=self.embedding,
            subclasses=self.subclasses.counts,
            recipe=recipe,
            progress=advancing(self.progress, f"round {number}: training", len(rows) * recipe.epochs),
        )
        student = Student.from_network(
            network, self.vocabulary, self.definition.classes, subclasses=self.subclasses.counts
        )
        self.calibration.aim(student, self.rows)
        judged = self._calibrated(student)
        threshold = judged.threshold(self.definition.operating_points["default"])[0]
        found = Round(
            round=number,
            rows=len(rows),
            asked=self.asked,
            added=self.added,
            brought=self.brought,
            boundary=int((~clear).sum()),
            competing=int(self.competing[clear].sum()),
            threshold=threshold,
            calibration=judged.measure(threshold),
            holdout=self._held(student).measure(threshold),
            coverage=[],
        )
        return student, found

    def _calibrated(self, student: Student) -> Scored:
        return self.calibration.scored(student.score_encoded(self.encoded.take(self.calibration.rows)))

    def _held(self, student: Student) -> Scored:
        scores = student.score_encoded(self.encoded.take(self.holdout_rows))
        return Scored(gold=self.holdout.decided, scores=scores)

    def extend(self, student: Student, found: Round) -> str:
        """Choose the next round's rows from this round's errors, and ask about them."""
        unasked = self._unasked()
        budget = min(self._left() // (self.definition.gate.rounds - found.round), len(unasked))
        if budget < 1:
            return "the teacher's budget is spent" if len(unasked) else "the pool is used up"
        candidates = self.encoded.take(unasked)
        scores, features = student.score_encoded(candidates), student.features(candidates)
        chosen, coverage = acquisition.choose(
            acquisition.Candidates(
                probabilities=scores,
                features=features,
                network=None if max(student.subclasses) > 1 else student.network_logits(features),
                threshold=found.threshold,
            ),
            self._known(student, self.rows, self.answers, found.threshold),
            self._known(student, self.calibration.rows, self.calibration.answers, found.threshold),
            found.calibration,
            found.calibration.shortfall(self.definition.gate),
            budget=budget,
            rng=self._rng(f"rows of round {found.round + 1}"),
        )
        found.coverage.extend(coverage)
        self.added = {kind: len(picked) for kind, picked in chosen.items()}
        picked = np.concatenate(list(chosen.values()))
        kinds = np.repeat(list(chosen), [len(rows) for rows in chosen.values()])
        order = np.argsort(unasked[picked])  # in order of time, as the cache keeps them
        picked, kinds = picked[order], kinds[order]
        answers = self._ask(unasked[picked], np.zeros(len(picked), np.bool_))
        self.brought = acquisition.brought(
            kinds, answers.decided, decide(scores[picked], found.threshold), answers.margin
        )
        self.competing[-len(picked) :] = disagreement.compete(
            answers.probabilities, scores[picked], found.threshold, rng=self._rng("competing")
        )
        return ""

    def _known(
        self, student: Student, rows: NDArray[np.int64], answers: Answers, threshold: float | None
    ) -> acquisition.Known:
        encoded = self.encoded.take(rows)
        return acquisition.Known(
            gold=answers.decided,
            decided=decide(student.score_encoded(encoded), threshold),
            vectors=answers.vectors,
            features=student.features(encoded),
        )

    def keep(self, students: list[Student], rounds: list[Round], best: int, stopped: str) -> Outcome:
        """Write the best round's student, report and review file."""
        student, found = students[best], rounds[best]
        measured = self._held(student)
        scenes = operating_points(
            self.definition.operating_points, self._calibrated(student), measured, self._rng("scenes")
        )
        version = self.entry.next_version()
        present = gate.promoted(self.entry)
        held = holdout.Held(
            texts=self._texts(self.holdout_rows),
            answers=self.holdout,
            scores=measured.scores,
            threshold=found.threshold,
            days=None if self.corpus.days is None else self.corpus.days[self.holdout_rows],
            before=decide(self._held(students[0]).scores, rounds[0].threshold),
            incumbent=present,
            truth=self.gold.truth,
        )
        learned = holdout.Learned(
            rows=self.rows,
            rounds=[sum(each.added.values()) for each in rounds],
            days=self.corpus.days,
            targets=self.answers.probabilities,
            scores=student.score_encoded(self.encoded.take(self.rows)),
            trained=self._clear() & (np.arange(len(self.rows)) < found.rows + found.boundary),
            texts=self._texts,
        )
        comparison = gate.against_incumbent(
            present, held.texts, held.answers.decided, held.decided, self._rng("incumbent")
        )
        judged = gate.verdict(
            self.definition.gate, found.holdout, comparison, usable=scenes["default"].usable
        )
        judged["unread"] = gate.unread(self.entry) if present is None else ""
        document = {
            "format": 1,
            "task": self.entry.name,
            "version": version,
            "run": self.name,
            "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seed": self.seed,
            "classes": list(self.definition.classes),
            "subclasses": self.subclasses.named(self.definition.classes, self.gold.labels),
            "teacher": {
                **self.gold.described(),
                "rows_asked": self.asked,
                "rows_computed": self.gold.rows_scored,
            },
            "corpus": self.corpus.counts,
            "gate": judged,
            "holdout": asdict(found.holdout),
            "rounds": [asdict(each) for each in rounds],
            "kept_round": found.round,
            "stopped": stopped,
            "scenes": {name: asdict(point) for name, point in scenes.items()},
            "boundary_rows": self._write_review(version),
            "speed": asdict(self.gold.speed(student, self.texts.take(pa.array(self.holdout_rows)))),
            **holdout.describe(held, self.definition.classes, self._rng("evidence")),
            **holdout.of_learned(learned, self.definition.classes),
        }
        judged["says"] = "" if judged["passed"] else shortfall(document)
        student.metadata.update(
            task=self.entry.name,
            version=version,
            thresholds={name: point.threshold for name, point in scenes.items() if point.usable},
            refused={name: point.says for name, point in scenes.items() if not point.usable},
            rules=self.definition.rules.model_dump(),
            depends_on=list(self.definition.depends_on),
        )
        # A run that is killed leaves no half of a version, and its number to the next one.
        with files.new_folder(self.entry.folder / "students" / str(version)) as folder:
            html.write(folder, document)
            warm_start.write(folder, self._texts(self.rows), self.competing)
            student.save(folder)
        return Outcome(
            task=self.entry.name,
            version=version,
            passed=judged["passed"],
            stopped=stopped,
            rounds=rounds,
            best=found,
            report=document,
        )

    def _write_review(self, version: int) -> int:
        """Write the boundary rows for a person; how many they are."""
        unclear = np.flatnonzero(self.answers.margin < self.definition.teacher.margin)
        rows = self.rows[unclear]
        ids = [self.corpus.ids[row].as_py() if row < len(self.corpus.ids) else None for row in rows.tolist()]
        return review_queue.write(
            self.entry,
            version,
            ids,
            self._texts(rows),
            self.answers.probabilities[unclear],
            self.answers.margin[unclear],
        )
