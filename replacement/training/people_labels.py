"""What people say about a task's texts: the seed, labels given since, and true labels that only measure."""

from collections.abc import Sequence
from dataclasses import dataclass

from pingti.annotation import labels
from pingti.annotation.labelled_texts import Labelled, read_labelled
from pingti.corpus.normalize import keys_of
from pingti.workspace.registry import TaskEntry
from replacement.training.teacher_model import teacher_owner


@dataclass(frozen=True, kw_only=True, eq=False)
class Reviewed:
    """The texts that people labelled since; their labels outrank the teacher's."""

    class_of: dict[str, int]
    """Class number of each text, by its normalised form."""
    texts: list[str]
    """The texts as they were given, in the same order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PeopleLabels:
    """All labels of people that a run goes by."""

    seed: Labelled | None
    """What ``teacher.labels`` names: it fine-tunes the teacher, and round 1 starts from it."""
    reviewed: Reviewed
    true: dict[str, int]
    """Class number of each text that ``gate.labels`` names, by its normalised form."""

    @property
    def seed_texts(self) -> list[str]:
        """The texts of the seed; none where there is no seed."""
        return self.seed.texts if self.seed else []


def read_people_labels(entry: TaskEntry) -> PeopleLabels:
    """Read a task's labels.

    Args:
        entry: the task.

    Raises:
        InputError: a file that cannot be read, or a label that is no class of the task.
    """
    definition = entry.definition
    seed = read_seed(teacher_owner(entry))
    reviewed = read_reviewed(entry, definition.classes)
    true: dict[str, int] = {}
    if definition.gate.labels is not None:
        labelled = read_labelled(entry.path.parent / definition.gate.labels, entry)
        numbers = map(definition.classes.index, labelled.labels)
        true = dict(zip(keys_of(labelled.texts), numbers, strict=True))
    return PeopleLabels(seed=seed, reviewed=reviewed, true=true)


def read_seed(owner: TaskEntry) -> Labelled | None:
    """Read the labelled texts that ``teacher.labels`` names; None where it names none.

    Args:
        owner: the task that has the teacher.

    Raises:
        InputError: the file cannot be read, or a line of it cannot be used.
    """
    section = owner.definition.teacher
    return read_labelled(owner.path.parent / section.labels, owner) if section.labels else None


def read_reviewed(entry: TaskEntry, classes: Sequence[str], *, of_version: bool = False) -> Reviewed:
    """Read what people labelled since.

    Args:
        entry: the task.
        classes: those that the numbers count; labels are of these.
        of_version: they are a version's, whatever the definition says by now; labels of others are left out.

    Raises:
        InputError: a label that is no class of the task, unless ``of_version``.
    """
    by_key = labels.read_normalised(entry, classes if of_version else None)
    return Reviewed(
        class_of={key: classes.index(label.label) for key, label in by_key.items()},
        texts=[label.text for label in by_key.values()],
    )
