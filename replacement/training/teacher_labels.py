"""The teacher of a task: found or fine-tuned, its labels mapped to the task's classes, its answers cached."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pingti import files
from pingti.annotation import labels
from pingti.annotation.labelled_texts import Labelled, read_labelled
from pingti.corpus.normalize import keys_of, normalised
from pingti.errors import ConflictError, DefinitionError
from pingti.workspace.definition import HUB_NAME
from pingti.workspace.registry import TaskEntry
from replacement.answers import Answers
from replacement.evaluation.speed import Speed, measure_speed
from replacement.progress import Progress, advancing, quiet
from textcnn import Student


@dataclass(frozen=True, kw_only=True)
class Made:
    """The teacher that a version was made with, and how: its definition may say other things by now."""

    version: int
    model: str | None
    """Folder or hub name; None: it is gone, and the definition's stands in."""
    fingerprint: str | None
    classes: tuple[str, ...]
    map: dict[str, str]
    max_length: int
    precision: str | None


class Gold:
    """What a task takes as right: a person's label where there is one, else its teacher's decision.

    Raises, when made:
        DefinitionError: labels or classes that do not fit each other.
        ConflictError: the teacher that a version was made with is another by now.
        UnavailableError: torch or transformers is missing, or the model cannot be had.
    """

    def __init__(
        self,
        entry: TaskEntry,
        *,
        seed: int,
        progress: Progress,
        device: str | None = None,
        made: Made | None = None,
    ) -> None:
        """``made``: the teacher of a version, taken instead of the definition's and of its labels."""
        from teacher.bert import describe  # torch only where a teacher is asked
        from teacher.cache import CachedTeacher

        self.entry = entry
        owner = _owner(entry)
        section = self._section = owner.definition.teacher
        self.labelled = None
        if section.labels and (made is None or made.model is None):
            self.labelled = read_labelled(owner.path.parent / section.labels, owner)
        self.classes = classes = made.classes if made else entry.definition.classes
        reviewed = labels.read_normalised(entry, made.classes if made else None)
        self.reviewed = {key: classes.index(found.label) for key, found in reviewed.items()}
        """Class number of each text that a person labelled, by its normalised form."""
        self.reviewed_texts = [found.text for found in reviewed.values()]
        self.truth: dict[str, int] = {}
        """Class number of each text whose true label the gate's labels tell, by its normalised form."""
        if made is None and entry.definition.gate.labels is not None:
            true = read_labelled(entry.path.parent / entry.definition.gate.labels, entry)
            keys = keys_of(true.texts)
            self.truth = {key: classes.index(name) for key, name in zip(keys, true.labels, strict=True)}
        self.model = (made and made.model) or _model(
            owner, self.labelled, seed=seed, progress=progress, device=device
        )
        how = made or section
        found = describe(self.model, max_length=how.max_length, precision=how.precision, device=device)
        if made and made.fingerprint not in (None, found.fingerprint):
            raise ConflictError(
                f"task {entry.name!r}: {self.model} is another teacher by now than the one that version "
                f"{made.version} was made with; pingti replace makes a version with this one"
            )
        self._teacher = CachedTeacher.open(found, entry.workspace.teachers, device=device)
        self._described = found
        self.fingerprint = found.fingerprint
        self.labels = found.labels
        self.class_of = _columns(
            entry, self.labels, classes, made.map if made else entry.definition.teacher.map
        )
        """The class number of each of ``labels``."""
        self._progress = progress

    @classmethod
    def of_version(cls, entry: TaskEntry, version: int, *, progress: Progress = quiet) -> Self:
        """The teacher that a version was made with, as its report names it.

        Another seed or a changed definition would name another teacher, or other classes for its labels.
        Where its folder is gone, it is the definition's, of the seed of the version.

        Raises as when made, and NotFoundError where there is no such version or it has no report.
        """
        report = entry.report(version)
        said = report.get("teacher", {})
        model = said.get("model")
        if model is not None and not HUB_NAME.fullmatch(model):
            model = model if Path(model).is_absolute() and Path(model).is_dir() else None
        section = _owner(entry).definition.teacher
        made = Made(
            version=version,
            model=model,
            fingerprint=said.get("fingerprint"),
            classes=Student.read_classes(entry.student_folder(version)),
            # Reports did not always tell these.
            map=said.get("map", entry.definition.teacher.map),
            max_length=said.get("max_length", section.max_length),
            precision=said.get("precision", section.precision),
        )
        return cls(entry, seed=report.get("seed", 0), progress=progress, made=made)

    def described(self) -> dict[str, Any]:
        """What a report tells of the teacher, so that ``of_version`` finds it again."""
        return {
            "model": self.model,
            "fingerprint": self.fingerprint,
            "max_length": self._described.max_length,
            "precision": self._described.precision,
            "map": {label: self.classes[c] for label, c in zip(self.labels, self.class_of, strict=True)},
        }

    @property
    def rows_scored(self) -> int:
        """Rows that the model really computed for this object; cached ones are free."""
        return self._teacher.rows_scored

    def cached(self, texts: list[str]) -> NDArray[np.bool_]:
        """Which texts are answered without the model, (n,)."""
        return self._teacher.cached(texts)

    def ask(self, texts: list[str], what: str) -> Answers:
        """The teacher's answers; only texts that it was never asked about cost anything."""
        scored = self._teacher.score(texts, progress=advancing(self._progress, what, len(texts)))
        found = scored.probabilities.astype(np.float32)
        probabilities = np.zeros((len(texts), len(self.classes)), np.float32)
        for column, target in enumerate(self.class_of):
            probabilities[:, target] += found[:, column]
        # A person outranks the teacher. The teacher is asked all the same: its vectors are needed.
        keys = keys_of(texts) if self.reviewed else []
        for row, key in enumerate(keys):
            decided = self.reviewed.get(key)
            if decided is not None:
                # Which label of the class it is, the teacher still knows best.
                own = np.where(np.equal(self.class_of, decided), found[row] + np.float32(1e-6), 0.0)
                found[row] = own / own.sum()
                probabilities[row] = 0.0
                probabilities[row, decided] = 1.0
        return Answers(probabilities=probabilities, labels=found, vectors=scored.vectors)

    def is_reviewed(self, texts: pa.Array) -> NDArray[np.bool_]:
        """Which texts a person labelled, (n,), whichever form of them it was."""
        found: Any = pc.is_in(normalised(texts), pa.array(list(self.reviewed), texts.type))
        return np.asarray(found.to_numpy(zero_copy_only=False), np.bool_)

    def speed(self, student: Student, texts: pa.Array) -> Speed:
        """How fast a student and this teacher are on some texts, on one core each."""
        length, precision = self._described.max_length, self._section.precision
        return measure_speed(student, self.model, texts, max_length=length, precision=precision)

    def token_vectors(self, tokens: tuple[str, ...], width: int) -> NDArray[np.float32]:
        """Start of a student's embedding, (tokens, width): what the teacher makes of each token alone.

        Half comes from its input embeddings, half from its output, either by principal components, as in
        model2vec (Tulkens and van Dongen 2024), which takes the output. On weibo and CLINC150 both together
        were better than input embeddings alone by .025 and .003 F1, from 3,500 and 2,750 rows, and better
        than the output alone. Where the teacher has fewer dimensions, the rest is 0.
        """
        advance = advancing(self._progress, "teacher: tokens", len(tokens))
        inputs, outputs = self._teacher.token_vectors(tokens, progress=advance)
        half = width // 2
        return np.concatenate([_reduced(inputs, width - half), _reduced(outputs, half)], axis=1)


def _reduced(vectors: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """The first principal components (n, width), of a standard deviation of 1 in all."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    # Eigenvectors of the covariance: small, and the same on every run.
    _, axes = np.linalg.eigh(centred.T @ centred)
    reduced = centred @ axes[:, ::-1][:, :width]
    found = np.zeros((len(vectors), width), np.float32)
    found[:, : reduced.shape[1]] = reduced / max(float(reduced.std()), 1e-12)
    return found


def _owner(entry: TaskEntry) -> TaskEntry:
    """The task whose teacher this task uses: itself, or the one that "task:NAME" names."""
    model = entry.definition.teacher.model
    if not model.startswith("task:"):
        return entry
    owner = entry.workspace.task(model.removeprefix("task:"))
    if owner.definition.teacher.model.startswith("task:"):
        raise DefinitionError(f"{entry.path}: teacher.model: {model!r} has no teacher of its own")
    return owner


def _model(
    owner: TaskEntry, labelled: Labelled | None, *, seed: int, progress: Progress, device: str | None
) -> str:
    """The fine-tuned model, a whole path or a hub name; made first where labels are to fine-tune it."""
    section = owner.definition.teacher
    local = owner.path.parent / section.model
    # What is neither a folder there nor a hub name can only be a path: the error says where it leads.
    hub = HUB_NAME.fullmatch(section.model) and not local.is_dir()
    model = section.model if hub else str(local)
    if labelled is None or not section.fine_tune:
        return model
    from teacher.finetune import Recipe, fine_tune
    from teacher.folders import contents

    # One folder per set of inputs: a second run finds it, a changed seed makes another. A base model in a
    # folder goes by what is in it: its weights may be exchanged, and the workspace may be moved.
    how = section.model_dump(include={"max_length", "epochs", "learning_rate", "freeze_layers"})
    what = contents(local) if local.is_dir() else model
    inputs = [labelled.texts, labelled.labels, how, owner.definition.classes, what, seed]
    key = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]
    folder = owner.folder / "teacher" / key
    if folder.exists():
        return str(folder)

    def busy() -> None:
        progress("waiting for another run, which fine-tunes this teacher", 0, 1)

    # Several tasks may share the teacher: of runs side by side one makes it, and the others take it.
    with files.locked(owner.folder / "teacher.lock", busy=busy):
        if not folder.exists():
            fine_tune(
                model,
                labelled.texts,
                labelled.labels,
                classes=owner.definition.classes,
                out=folder,
                rng=np.random.default_rng(seed),
                recipe=Recipe(
                    max_length=section.max_length,
                    epochs=section.epochs,
                    learning_rate=section.learning_rate,
                    freeze_layers=section.freeze_layers,
                ),
                device=device,
                progress=lambda done, steps: progress("fine-tuning the teacher", done, steps),
            )
    return str(folder)


def _columns(
    entry: TaskEntry, labels: tuple[str, ...], classes: tuple[str, ...], mapping: dict[str, str]
) -> list[int]:
    """For each label of the teacher the number of the class that it stands for."""
    if mapping:
        strange = sorted(set(mapping.values()) - set(classes))
        if strange:  # the definition was changed since
            raise DefinitionError(
                f"{entry.path}: teacher.map: {strange[0]!r} is no class; allowed are {', '.join(classes)}"
            )
        unknown = sorted(set(mapping) - set(labels) - {"*"})
        rest = [label for label in labels if label not in mapping]
        if unknown or (rest and "*" not in mapping):
            problem = f"no label {unknown[0]!r}" if unknown else f"label {rest[0]!r} is not mapped"
            known = ", ".join(labels)
            raise DefinitionError(
                f'{entry.path}: teacher.map: {problem}; the teacher has {known}, and "*" is for the rest'
            )
        columns = [classes.index(mapping.get(label, mapping.get("*", ""))) for label in labels]
    elif set(labels) == set(classes):
        columns = [classes.index(label) for label in labels]
    elif len(labels) == len(classes) and all(re.fullmatch("LABEL_[0-9]+", label) for label in labels):
        columns = list(range(len(labels)))  # a model that was saved without names: in order
    else:
        raise DefinitionError(
            f"{entry.path}: classes: {', '.join(classes)} are not the teacher's labels, {', '.join(labels)}; "
            "teacher.map says which label stands for which class"
        )
    missing = sorted(set(range(len(classes))) - set(columns))
    if missing:
        raise DefinitionError(
            f"{entry.path}: teacher.map: no label of the teacher stands for {classes[missing[0]]!r}"
        )
    return columns
